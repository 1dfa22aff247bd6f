//! Where documents have signatures looked for, and how fresh they want evidence to be.

use std::time::Duration;

use super::support::*;
use crate::evidence::{Outcome, Pod, Source};
use crate::image::Repository;
use crate::policy::{
    Advice, Class, Documents, Freshness, PolicyFault, PolicySet, Reason, SIGNATURE_REPOSITORIES_MAX,
};

const BUILD: &str = "{name: build, key: {files: [build.pub]}}";
const DIGEST: &str = "{digest: {anyOf: [\"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]}}";

/// A document with these fields of `spec`.
fn document(name: &str, fields: &str, require: &str) -> String {
    named(name, r#"["reg.test/**"]"#, require).replace("spec: {", &format!("spec: {{{fields}, "))
}

fn set_of(documents: &[String]) -> PolicySet {
    set(&documents.join("---\n"), &[("build.pub", &Signer::new())])
}

fn repositories(set: &PolicySet) -> Vec<String> {
    let name = subject("reg.test/prod/app:1", &digest("image")).name;
    let applicable = set.applicable(&name, &Pod::default());
    let own = name.repository().unwrap();
    set.signature_repositories(&applicable, &own).iter().map(ToString::to_string).collect()
}

fn freshness(set: &PolicySet) -> Freshness {
    let name = subject("reg.test/prod/app:1", &digest("image")).name;
    set.freshness(&set.applicable(&name, &Pod::default()))
}

fn notes(text: &str) -> Vec<(String, Advice)> {
    let documents =
        Documents::parse(&[file(text)]).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
    documents.notes().iter().map(|note| (note.field.clone(), note.advice.clone())).collect()
}

fn hours(count: u64) -> Option<Duration> {
    Some(Duration::from_secs(count * 3600))
}

#[test]
fn signatures_are_looked_for_in_the_own_repository_unless_another_is_named() {
    let plain = document("plain", "action: enforce", BUILD);
    let other = document("other", "signatureRepository: sig.test:5000/a/b", BUILD);
    assert_eq!(repositories(&set_of(std::slice::from_ref(&plain))), [REPOSITORY]);
    assert_eq!(repositories(&set_of(std::slice::from_ref(&other))), ["sig.test:5000/a/b"]);
    assert_eq!(repositories(&set_of(&[plain, other])), [REPOSITORY, "sig.test:5000/a/b"]);
}

#[test]
fn each_repository_stands_once_however_it_is_spelled() {
    let spelled =
        ["docker.io/library/sig", "Index.Docker.io/sig", "registry-1.docker.io:443/library/sig"];
    let documents = spelled.iter().enumerate();
    let documents: Vec<String> = documents
        .map(|(n, name)| document(&format!("p{n}"), &format!("signatureRepository: {name}"), BUILD))
        .collect();
    assert_eq!(repositories(&set_of(&documents)), ["docker.io/library/sig"]);
    let own = document("own", &format!("signatureRepository: {REPOSITORY}"), BUILD);
    assert_eq!(
        repositories(&set_of(&[own, document("plain", "action: enforce", BUILD)])),
        [REPOSITORY]
    );
}

/// A document that asks for no evidence has no say in where evidence is looked for.
#[test]
fn what_asks_for_no_evidence_names_no_repository() {
    let named = document("named", "signatureRepository: sig.test/a", BUILD);
    let digest = document("digest", "action: enforce", DIGEST);
    let odd = document("odd", "signatureRepository: sig.test/b", DIGEST);
    assert_eq!(repositories(&set_of(&[named, digest.clone()])), ["sig.test/a"]);
    assert_eq!(repositories(&set_of(&[digest, odd])), [REPOSITORY]);
}

#[test]
fn another_sets_documents_name_no_repository_and_no_age() {
    let named =
        set_of(&[document("named", "signatureRepository: sig.test/a, maxOffline: 1h", BUILD)]);
    let other = set_of(&[document("other", "maxOffline: 2h", BUILD)]);
    let name = subject("reg.test/prod/app:1", &digest("image")).name;
    let foreign = other.applicable(&name, &Pod::default());
    let own = Repository::parse(REPOSITORY).unwrap();
    assert_eq!(named.signature_repositories(&foreign, &own), std::slice::from_ref(&own));
    assert_eq!(named.freshness(&foreign), Freshness::default());
}

#[test]
fn a_signature_repository_is_a_host_and_a_path() {
    for (written, write) in [
        ("acme/signatures", Some("docker.io/acme/signatures")),
        ("signatures", Some("docker.io/library/signatures")),
        ("sig.test/a:1", Some("sig.test/a")),
        ("sig.test:5000/a:1", Some("sig.test:5000/a")),
        (
            "sig.test/a@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            Some("sig.test/a"),
        ),
        ("sig.test/A", None),
        ("sig.test/", None),
        ("sig.test/a/*", None),
        ("https://sig.test/a", None),
        ("\"\"", None),
        ("sig.test:05000/a", None),
    ] {
        let got = written.trim_matches('"').to_owned();
        let fault = PolicyFault::SignatureRepository { got, write: write.map(str::to_owned) };
        let text = document(
            "a",
            &format!("signatureRepository: \"{}\"", written.trim_matches('"')),
            BUILD,
        );
        assert_eq!(faults(&text), [(4, "spec.signatureRepository".to_owned(), fault)], "{written}");
    }
    let list = document("a", "signatureRepository: [sig.test/a]", BUILD);
    let wrong = PolicyFault::WrongType { expected: "text", got: "a list" };
    assert_eq!(faults(&list), [(4, "spec.signatureRepository".to_owned(), wrong)]);
}

#[test]
fn ages_are_positive_and_have_a_unit() {
    for name in ["refreshAfter", "maxOffline"] {
        for got in ["0h", "0d", "24", "1w", "1.5h", "-1h", "3651d"] {
            let text = document("a", &format!("{name}: \"{got}\""), BUILD);
            let fault = PolicyFault::Age { got: got.to_owned() };
            assert_eq!(faults(&text), [(4, format!("spec.{name}"), fault)], "{got}");
        }
    }
    let both = document("a", "refreshAfter: 0h, maxOffline: x, signatureRepository: y", BUILD);
    assert_eq!(faults(&both).len(), 3, "every fault is told");
}

#[test]
fn the_least_age_counts() {
    let one = document("one", "refreshAfter: 24h, maxOffline: 30d", BUILD);
    let two = document("two", "refreshAfter: 2d", BUILD);
    let three = document("three", "maxOffline: 12h", BUILD);
    let silent = document("silent", "action: enforce", BUILD);
    let none = Freshness::default();
    assert_eq!(freshness(&set_of(std::slice::from_ref(&silent))), none);
    let of_two = freshness(&set_of(&[two.clone(), silent]));
    assert_eq!(of_two, Freshness { refresh_after: hours(48), max_offline: None });
    let all = freshness(&set_of(&[one, two, three]));
    assert_eq!(all, Freshness { refresh_after: hours(24), max_offline: hours(12) });
    let node = Freshness { refresh_after: hours(6), max_offline: None };
    assert_eq!(all.least(node), Freshness { refresh_after: hours(6), max_offline: hours(12) });
    assert_eq!(none.least(none), none);
}

/// `maxOffline` can refuse; a policy that warns stands in nobody's way.
#[test]
fn a_policy_that_warns_never_ends_evidence() {
    let warns = document("warns", "action: warn, refreshAfter: 1h, maxOffline: 1h", BUILD);
    let digest = document("digest", "refreshAfter: 1m, maxOffline: 1m", DIGEST);
    let denies = document("denies", "refreshAfter: 1m, maxOffline: 1m, deny: {digests: [X]}", "{}")
        .replace("X", &format!("\"{}\"", super::support::digest("other")))
        .replace(", require: {}", "");
    let set = set_of(&[warns.clone(), digest.clone(), denies.clone()]);
    assert_eq!(freshness(&set), Freshness { refresh_after: hours(1), max_offline: None });
    let field = |name: &str| format!("spec.{name}");
    assert_eq!(notes(&warns), [(field("maxOffline"), Advice::RefusesNothing)]);
    for text in [digest, denies] {
        let expected = ["refreshAfter", "maxOffline"]
            .map(|name| (field(name), Advice::NoEvidenceAsked { name }));
        assert_eq!(notes(&text), expected);
    }
}

#[test]
fn what_is_odd_about_ages_is_noted() {
    let odd = |fields: &str| notes(&document("a", fields, BUILD));
    assert_eq!(odd("refreshAfter: 30d, maxOffline: 30d"), []);
    assert_eq!(
        odd("refreshAfter: 31d, maxOffline: 30d"),
        [("spec.refreshAfter".to_owned(), Advice::RefreshBeyondOffline)]
    );
    let anything =
        document("a", "signatureRepository: sig.test/a", "{insecureAcceptAnything: true}");
    let expected = Advice::NoEvidenceAsked { name: "signatureRepository" };
    assert_eq!(notes(&anything), [("spec.signatureRepository".to_owned(), expected)]);
    let attested = "{name: a, attestation: {predicateType: spdx, by: {key: {files: [a.pub]}}}}";
    assert_eq!(
        notes(&document("a", "signatureRepository: sig.test/a, refreshAfter: 1h", attested)),
        []
    );
}

/// Attack D1: more repositories than are looked in: what was not found there is not known, and is
/// no refusal.
#[test]
fn attack_d1_more_repositories_than_are_looked_in_is_not_a_refusal() {
    let key = Signer::new();
    let document = |n: usize| {
        document(&format!("p{n}"), &format!("signatureRepository: sig.test/r{n}"), BUILD)
    };
    let target = digest("image");
    let subject = subject("reg.test/prod/app:1", &target);
    for (count, reason) in [
        (SIGNATURE_REPOSITORIES_MAX, Reason::Unsigned),
        (
            SIGNATURE_REPOSITORIES_MAX + 1,
            Reason::TooManyRepositories { limit: SIGNATURE_REPOSITORIES_MAX },
        ),
    ] {
        let documents: Vec<String> = (0..count).map(document).collect();
        let set = set(&documents.join("---\n"), &[("build.pub", &key)]);
        assert_eq!(repositories(&set).len(), SIGNATURE_REPOSITORIES_MAX);
        let denial = denied(judge(&set, &subject, &[&found(&target, vec![])]));
        let class = if reason == Reason::Unsigned { Class::Refused } else { Class::Unable };
        assert_eq!((denial.class(), denial.reason()), (class, &reason));
        // What was found counts.
        assert_permitted(judge(
            &set,
            &subject,
            &[&found(&target, vec![key.signs(&target, REPOSITORY)])],
        ));
    }
}

/// Attack B6: a signature counts wherever it lies, and never for another name than the image's own,
/// that of the repository it lies in neither.
#[test]
fn attack_b6_the_signature_repository_is_not_the_name_that_is_signed() {
    let key = Signer::new();
    let set =
        set(&document("a", "signatureRepository: sig.test/all", BUILD), &[("build.pub", &key)]);
    let target = digest("image");
    let subject = subject("reg.test/prod/app:1", &target);
    let there = |mut item: crate::evidence::Item| {
        item.place.repository = Repository::parse("sig.test/all").unwrap();
        let mut evidence = looked(&target, vec![item], Outcome::Found(1));
        for (place, _) in &mut evidence.looked {
            place.repository = Repository::parse("sig.test/all").unwrap();
            assert!(matches!(place.source, Source::Referrers | Source::SignatureTag));
        }
        evidence
    };
    assert_permitted(judge(&set, &subject, &[&there(key.signs(&target, REPOSITORY))]));
    let denial = denied(judge(&set, &subject, &[&there(key.signs(&target, "sig.test/all"))]));
    assert_eq!(denial.class(), Class::Refused);
}
