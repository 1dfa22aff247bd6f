//! `attestation`: what is read, and what is refused, each with its typed fault and its place.

use super::support::*;
use crate::policy::document::Documents;
use crate::policy::requirement::Demand;
use crate::policy::{ConditionFault, PolicyFault};

const BY: &str = "by: {key: {files: [a.pub]}}";

fn require(text: &str) -> Vec<(String, PolicyFault)> {
    let faults = faults(&policy(&format!("{{name: a, attestation: {text}}}")));
    let below =
        |field: String| field.strip_prefix("spec.require.attestation").unwrap_or(&field).to_owned();
    faults.into_iter().map(|(_, field, fault)| (below(field), fault)).collect()
}

fn at(field: &str, fault: PolicyFault) -> [(String, PolicyFault); 1] {
    [(field.to_owned(), fault)]
}

/// The predicate types that a requirement asks for.
fn types(text: &str) -> Vec<String> {
    let documents =
        Documents::parse(&[file(&policy(&format!("{{name: a, attestation: {text}}}")))]);
    let documents = documents.unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
    match &documents.documents[0].require.leaves[0].demand {
        Demand::Attestation { constraint, .. } => constraint.predicate_types.clone(),
        other @ (Demand::Signature { .. } | Demand::Digest(_)) => panic!("{other:?}"),
    }
}

#[test]
fn predicate_types_are_uris_or_cosigns_words() {
    for (word, uri) in [
        ("slsaprovenance", "https://slsa.dev/provenance/v0.2"),
        ("slsaprovenance02", "https://slsa.dev/provenance/v0.2"),
        ("slsaprovenance1", "https://slsa.dev/provenance/v1"),
        ("spdx", "https://spdx.dev/Document"),
        ("spdxjson", "https://spdx.dev/Document"),
        ("cyclonedx", "https://cyclonedx.org/bom"),
        ("vuln", "https://cosign.sigstore.dev/attestation/vuln/v1"),
        ("openvex", "https://openvex.dev/ns"),
        ("link", "https://in-toto.io/Link/v1"),
        ("custom", "https://cosign.sigstore.dev/attestation/v1"),
        ("https://acme.com/scan/v1", "https://acme.com/scan/v1"),
        ("cosign.sigstore.dev/attestation/v1", "cosign.sigstore.dev/attestation/v1"),
    ] {
        assert_eq!(types(&format!("{{predicateType: '{word}', {BY}}}")), [uri], "{word}");
    }
    for word in ["slsa", "SPDX", "spdxjso", "", "a b/c", "https://acme.com/\u{e9}"] {
        let fault = PolicyFault::PredicateType { got: word.to_owned() };
        assert_eq!(
            require(&format!("{{predicateType: '{word}', {BY}}}")),
            at(".predicateType", fault),
            "{word}"
        );
    }
}

#[test]
fn several_predicate_types_are_each_named_once() {
    let vex = "https://openvex.dev/ns";
    assert_eq!(
        types(&format!("{{predicateTypes: [vuln, openvex], {BY}}}")),
        ["https://cosign.sigstore.dev/attestation/vuln/v1", vex]
    );
    let twice = PolicyFault::DuplicateEntry { value: vex.to_owned() };
    assert_eq!(
        require(&format!("{{predicateTypes: [openvex, '{vex}'], {BY}}}")),
        at(".predicateTypes[1]", twice)
    );
    let none = require(&format!("{{predicateTypes: [], {BY}}}"));
    assert_eq!(none, at(".predicateTypes", PolicyFault::EmptyList));
    let slip = PolicyFault::PredicateType { got: "spdxjso".to_owned() };
    assert_eq!(
        require(&format!("{{predicateTypes: [vuln, spdxjso], {BY}}}")),
        at(".predicateTypes[1]", slip)
    );
}

#[test]
fn provenance_is_of_either_version() {
    let text = format!("{{slsa: {{builder: https://acme.com/builder}}, {BY}}}");
    assert_eq!(
        types(&text),
        ["https://slsa.dev/provenance/v0.2", "https://slsa.dev/provenance/v1"]
    );
}

#[test]
fn what_it_is_and_by_whom_is_said_once() {
    let what: &[&str] = &["predicateType", "predicateTypes", "slsa"];
    let whom: &[&str] = &["key", "keyless", "certificate"];
    let one_of = |expected, found| PolicyFault::OneOf { expected, found };
    assert_eq!(require(&format!("{{{BY}}}")), at("", one_of(what, vec![])));
    assert_eq!(
        require(&format!("{{predicateType: spdx, slsa: {{builder: x}}, {BY}}}")),
        at("", one_of(what, vec!["predicateType", "slsa"]))
    );
    assert_eq!(require("{predicateType: spdx}"), at("", PolicyFault::MissingField { name: "by" }));
    assert_eq!(require("{predicateType: spdx, by: {}}"), at(".by", one_of(whom, vec![])));
    assert_eq!(
        require("{predicateType: spdx, by: {key: {files: [a]}, keyless: {}}}"),
        at(".by", one_of(whom, vec!["key", "keyless"]))
    );
    assert_eq!(
        require("{predicateType: spdx, by: {key: {}}}"),
        at(".by.key", one_of(&["files", "pem"], vec![]))
    );
    let slip = require(&format!("{{predicateType: spdx, {BY}, when: x}}"));
    assert!(
        matches!(slip.as_slice(), [(field, PolicyFault::UnknownField { .. })] if field == ".when"),
        "{slip:?}"
    );
    let outer = faults_beside("signedIdentity: matchExact");
    assert!(matches!(outer.as_slice(), [PolicyFault::UnknownField { .. }]), "{outer:?}");
    assert_eq!(
        faults_beside("maxSignatureAge: 90d"),
        [PolicyFault::NeedsTrustRoot { name: "maxSignatureAge" }]
    );
    assert_eq!(
        require(&format!("{{predicateType: spdx, maxAge: 90d, {BY}}}")),
        at(".maxAge", PolicyFault::NeedsTrustRoot { name: "maxAge" })
    );
    let twice = format!(
        "{{name: a, maxSignatureAge: 90d, attestation: {{predicateType: spdx, maxAge: 9d, {BY}}}}}"
    );
    let twice = faults(&policy(&twice));
    let excludes = PolicyFault::Excludes { name: "maxAge", with: "maxSignatureAge" };
    assert!(twice.iter().any(|(_, _, fault)| *fault == excludes), "{twice:?}");
    let nameless = faults(&policy(&format!("{{attestation: {{predicateType: spdx, {BY}}}}}")));
    assert_eq!(nameless[0].2, PolicyFault::MissingField { name: "name" });
}

fn faults_beside(text: &str) -> Vec<PolicyFault> {
    let require = format!("{{name: a, attestation: {{predicateType: spdx, {BY}}}, {text}}}");
    faults(&policy(&require)).into_iter().map(|(_, _, fault)| fault).collect()
}

#[test]
fn conditions_are_read_with_the_policy() {
    let condition =
        |text: &str| require(&format!("{{predicateType: spdx, {BY}, where: '{text}'}}"));
    assert_eq!(condition("predicate.a == \"b\""), []);
    let fault = |text: &str| match condition(text).as_slice() {
        [(field, PolicyFault::Condition(error))] if field == ".where" => error.fault.clone(),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(fault(""), ConditionFault::Empty);
    assert!(matches!(fault("predicate.a =="), ConditionFault::Syntax(_)));
    assert!(matches!(fault("image.digest == \"x\""), ConditionFault::UnknownVariable(_)));
    assert_eq!(require(&format!("{{slsa: {{builder: x}}, where: 'predicate.a == 1', {BY}}}")), []);
}

/// Attack B4: a provenance of which nothing is asked, or a field that is misspelt.
#[test]
fn attack_b4_wishes_for_a_provenance_are_read_strictly() {
    let slsa = |text: &str| require(&format!("{{slsa: {text}, {BY}}}"));
    for text in [
        "{source: https://github.com/acme/app}",
        "{builder: https://acme.com/b, source: https://github.com/acme/app, tag: v1, workflow: \
         .github/workflows/release.yml, buildType: https://acme.com/t}",
        "{source: https://github.com/acme/app, ref: refs/heads/main}",
        "{source: https://github.com/acme/app, branch: main, commit: \
         0123456789abcdef0123456789abcdef01234567}",
    ] {
        assert_eq!(slsa(text), [], "{text}");
    }
    assert_eq!(slsa("{}"), at(".slsa", PolicyFault::EmptyList));
    let unknown =
        |text: &str| matches!(slsa(text).as_slice(), [(_, PolicyFault::UnknownField { .. })]);
    for text in
        ["{sources: x}", "{builder: x, Source: y}", "{builderID: x}", "{builder: x, repository: y}"]
    {
        assert!(unknown(text), "{text}");
    }
    assert_eq!(slsa("{builder: ''}"), at(".slsa.builder", PolicyFault::EmptyText));
    for (field, text) in [
        ("source", "acme/app"),
        ("source", "https://github.com"),
        ("source", "https://github.com/acme/app@refs/heads/main"),
        ("source", "https://github.com/acme/../app"),
        ("ref", "main"),
        ("branch", "refs/heads/main"),
        ("tag", "refs/tags/v1"),
        ("commit", "0123456"),
        ("commit", "0123456789ABCDEF0123456789abcdef01234567"),
        ("workflow", "/.github/workflows/x.yml"),
    ] {
        let faults = slsa(&format!("{{{field}: '{text}'}}"));
        let told = matches!(faults.as_slice(), [(at, PolicyFault::Provenance { got, .. })] if *at == format!(".slsa.{field}") && got == text);
        assert!(told, "{field} {text}: {faults:?}");
    }
    let excludes = |name, with| PolicyFault::Excludes { name, with };
    assert_eq!(
        slsa("{source: https://a.test/b, ref: refs/heads/b, branch: b}"),
        at(".slsa.branch", excludes("branch", "ref"))
    );
    assert_eq!(
        slsa("{source: https://a.test/b, tag: t, branch: b}"),
        at(".slsa.branch", excludes("branch", "tag"))
    );
    let wrong = PolicyFault::WrongType { expected: "a map", got: "text" };
    assert_eq!(slsa("https://acme.com"), at(".slsa", wrong));
}
