//! Requirements that are refused, each with its typed fault and its place.

use super::support::*;
use crate::image::{DigestError, ReferenceError};
use crate::policy::{Documents, IdentityFault, PolicyFault, PolicyFile};

const HEX: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Shorthand: the fault of a document whose spec has this `require`, which stands on line 4.
fn require(text: &str) -> Vec<(String, PolicyFault)> {
    let faults = faults(&policy(text));
    faults.into_iter().map(|(_, field, fault)| (field, fault)).collect()
}

#[test]
fn requirement_faults() {
    let leaf = "{name: a, key: {files: [a.pub]}}";
    let at = |field: &str, fault| (format!("spec.require{field}"), fault);
    let unknown =
        |name: &str, expected| PolicyFault::UnknownField { name: name.to_owned(), expected };
    let wrong = |expected, got| PolicyFault::WrongType { expected, got };
    let list = "a list ([a, b], or one - per line)";
    for (text, expected) in [
        ("{}".to_owned(), at("", PolicyFault::NotOneKind { found: vec![] })),
        ("{name: a}".to_owned(), at("", PolicyFault::NotOneKind { found: vec![] })),
        (
            "{all: [], any: []}".to_owned(),
            at("", PolicyFault::NotOneKind { found: vec!["all", "any"] }),
        ),
        (
            "{name: a, key: {files: [a.pub]}, digest: {anyOf: []}}".to_owned(),
            at("", PolicyFault::NotOneKind { found: vec!["key", "digest"] }),
        ),
        ("{all: []}".to_owned(), at(".all", PolicyFault::EmptyList)),
        ("{any: []}".to_owned(), at(".any", PolicyFault::EmptyList)),
        ("{atLeast: {count: 1, of: []}}".to_owned(), at(".atLeast.of", PolicyFault::EmptyList)),
        (format!("{{all: {leaf}}}"), at(".all", wrong(list, "a map"))),
        ("[]".to_owned(), at("", wrong("a map", "a list"))),
        ("all".to_owned(), at("", wrong("a map", "text"))),
        (
            format!("{{atLeast: {{count: 0, of: [{leaf}]}}}}"),
            at(".atLeast.count", PolicyFault::Count { count: 0, of: 1 }),
        ),
        (
            format!("{{atLeast: {{count: 2, of: [{leaf}]}}}}"),
            at(".atLeast.count", PolicyFault::Count { count: 2, of: 1 }),
        ),
        (
            format!("{{atLeast: {{count: -1, of: [{leaf}]}}}}"),
            at(".atLeast.count", wrong("a number", "a number")),
        ),
        (
            format!("{{atLeast: {{count: '1', of: [{leaf}]}}}}"),
            at(".atLeast.count", wrong("a number", "text")),
        ),
        (
            format!("{{atLeast: {{of: [{leaf}]}}}}"),
            at(".atLeast", PolicyFault::MissingField { name: "count" }),
        ),
        (
            "{atLeast: {count: 1}}".to_owned(),
            at(".atLeast", PolicyFault::MissingField { name: "of" }),
        ),
        (format!("{{all: [{leaf}], name: x}}"), at(".name", unknown("name", &[]))),
        (
            format!("{{all: [{leaf}], signedIdentity: matchExact}}"),
            at(".signedIdentity", unknown("signedIdentity", &[])),
        ),
        (
            format!("{{signedIdentity: matchExact, digest: {{anyOf: [\"{HEX}\"]}}}}"),
            at(".signedIdentity", unknown("signedIdentity", &["name"])),
        ),
    ] {
        assert_eq!(require(&text), [expected], "{text}");
    }
}

#[test]
fn leaf_faults() {
    let leaf = "{name: a, key: {files: [a.pub]}}";
    let at = |field: &str, fault| (format!("spec.require{field}"), fault);
    for (text, expected) in [
        ("{key: {files: [a.pub]}}".to_owned(), at("", PolicyFault::MissingField { name: "name" })),
        (
            "{name: a, key: {}}".to_owned(),
            at(".key", PolicyFault::OneOf { expected: &["files", "pem"], found: vec![] }),
        ),
        (
            "{name: ' a', key: {files: [a.pub]}}".to_owned(),
            at(".name", PolicyFault::Name { got: " a".to_owned() }),
        ),
        (
            format!("{{all: [{leaf}, {leaf}]}}"),
            at(".all[1]", PolicyFault::DuplicateRequirement { name: "a".to_owned() }),
        ),
        (
            "{insecureAcceptAnything: false}".to_owned(),
            at(".insecureAcceptAnything", PolicyFault::AcceptNotTrue),
        ),
        (
            "{insecureAcceptAnything: yes}".to_owned(),
            at(".insecureAcceptAnything", PolicyFault::AcceptNotTrue),
        ),
        (
            "{insecureAcceptAnything: 'true'}".to_owned(),
            at(".insecureAcceptAnything", PolicyFault::AcceptNotTrue),
        ),
        (
            format!("{{any: [{leaf}, {{insecureAcceptAnything: true}}]}}"),
            at(".any[1].insecureAcceptAnything", PolicyFault::NestedAccept),
        ),
        ("{digest: {anyOf: []}}".to_owned(), at(".digest.anyOf", PolicyFault::EmptyList)),
        (
            "{digest: {anyOf: ['sha512:00']}}".to_owned(),
            at(".digest.anyOf[0]", PolicyFault::Digest(DigestError::Algorithm)),
        ),
        (
            "{digest: {anyOf: ['sha256:00']}}".to_owned(),
            at(".digest.anyOf[0]", PolicyFault::Digest(DigestError::Encoding)),
        ),
    ] {
        assert_eq!(require(&text), [expected], "{text}");
    }
}

#[test]
fn identity_faults() {
    let identity = |text: &str| {
        require(&format!("{{name: a, key: {{files: [a.pub]}}, signedIdentity: {text}}}"))
    };
    let at = |field: &str, fault| [(format!("spec.require.signedIdentity{field}"), fault)];
    assert_eq!(
        identity("matchexact"),
        at(
            "",
            PolicyFault::UnknownWord {
                got: "matchexact".to_owned(),
                expected: &["matchRepository", "matchExact", "matchRepoDigestOrExact"]
            }
        )
    );
    assert_eq!(identity("{}"), at("", PolicyFault::NotOneKind { found: vec![] }));
    assert_eq!(identity("[]"), at("", PolicyFault::WrongType { expected: "a map", got: "a list" }));
    let not_repository = PolicyFault::Identity(IdentityFault::NotRepository);
    assert_eq!(identity("{exactRepository: 'a.test/b:1'}"), at(".exactRepository", not_repository));
    let not_exact = PolicyFault::Identity(IdentityFault::NotExact);
    assert_eq!(identity("{exactReference: a.test/b}"), at(".exactReference", not_exact));
    let reference = PolicyFault::Identity(IdentityFault::Reference(ReferenceError::Path));
    assert_eq!(identity("{exactRepository: a.test/B}"), at(".exactRepository", reference));
    let missing = PolicyFault::MissingField { name: "signedPrefix" };
    assert_eq!(identity("{remap: {prefix: a.test}}"), at(".remap", missing));
    let prefix = PolicyFault::Identity(IdentityFault::Prefix);
    assert_eq!(
        identity("{remap: {prefix: app, signedPrefix: a.test}}"),
        at(".remap.prefix", prefix.clone())
    );
    assert_eq!(
        identity("{remap: {prefix: a.test/, signedPrefix: b.test}}"),
        at(".remap.prefix", prefix.clone())
    );
    assert_eq!(
        identity("{remap: {prefix: a.test/x, signedPrefix: 'b.test/y:1'}}"),
        at(".remap.signedPrefix", prefix)
    );
}

/// Attack E2: a key file's name that leaves the key folder.
#[test]
fn attack_e2_key_names_do_not_climb() {
    for name in ["../x.pub", "a/../../x", "/etc/../x", ".", "a//b", "a/", "./a", "a\\tb"] {
        let name = if name.contains("\\t") { "a\tb" } else { name };
        let faults =
            require(&format!("{{name: a, key: {{files: [\"{}\"]}}}}", name.replace('\t', "\\t")));
        let fault = PolicyFault::KeyFileName { name: name.to_owned() };
        assert_eq!(faults, [("spec.require.key.files[0]".to_owned(), fault)], "{name}");
    }
    for name in ["a.pub", "team/a.pub", "/etc/keys/a.pub", "..a"] {
        assert_eq!(require(&format!("{{name: a, key: {{files: [\"{name}\"]}}}}")), [], "{name}");
    }
}

#[test]
fn limits() {
    let deep = |depth: usize| {
        format!(
            "{}{{name: a, key: {{files: [a.pub]}}}}{}",
            "{all: [".repeat(depth),
            "]}".repeat(depth)
        )
    };
    assert_eq!(require(&deep(8)), []);
    let faults_of =
        |text: &str| require(text).into_iter().map(|(_, fault)| fault).collect::<Vec<_>>();
    assert_eq!(
        faults_of(&deep(9)),
        [PolicyFault::TooMany { what: "levels of requirements", limit: 8 }]
    );
    let leaves = |count: usize| {
        let leaves: Vec<String> =
            (0..count).map(|n| format!("{{name: a{n}, key: {{files: [a{n}.pub]}}}}")).collect();
        leaves.join(", ")
    };
    assert_eq!(
        faults_of(&format!("{{any: [{}]}}", leaves(65))),
        [PolicyFault::TooMany { what: "requirements in one list", limit: 64 }]
    );
    let two = format!(
        "{{all: [{{any: [{}]}}, {{any: [{}]}}]}}",
        leaves(40),
        leaves(40).replace("name: a", "name: b")
    );
    assert!(
        faults_of(&two)
            .contains(&PolicyFault::TooMany { what: "requirements in one policy", limit: 64 })
    );
    let files: Vec<String> = (0..33).map(|n| format!("{n}.pub")).collect();
    let files = format!("{{name: a, key: {{files: [{}]}}}}", files.join(", "));
    assert_eq!(
        faults_of(&files),
        [PolicyFault::TooMany { what: "key files in one requirement", limit: 32 }]
    );
    let huge = PolicyFile { name: "x.yaml".to_owned(), bytes: vec![b'#'; 1024 * 1024 + 1] };
    let fault = PolicyFault::FileTooLarge { bytes: 1024 * 1024 + 1, limit: 1024 * 1024 };
    assert_eq!(Documents::parse(&[huge]).unwrap_err()[0].fault, fault);
    let binary = PolicyFile { name: "x.yaml".to_owned(), bytes: vec![0xff, 0xfe] };
    assert_eq!(Documents::parse(&[binary]).unwrap_err()[0].fault, PolicyFault::NotText);
}

#[test]
fn thresholds_that_cannot_be_met_are_refused_with_the_keys_known() {
    let (a, b) = (Signer::new(), Signer::new());
    let leaf = |name: &str| format!("{{name: {name}, key: {{files: [{name}.pub]}}}}");
    let keys: &[(&str, &Signer)] = &[("a.pub", &a), ("b.pub", &a), ("c.pub", &b)];
    let all = policy(&format!("{{all: [{}, {}]}}", leaf("a"), leaf("b")));
    let fault = PolicyFault::Unsatisfiable { distinct_keys: 1 };
    assert_eq!(build_faults(&all, keys), [(4, "spec.require.all".to_owned(), fault)]);
    let nested = policy(&format!(
        "{{any: [{}, {{atLeast: {{count: 2, of: [{}, {}]}}}}]}}",
        leaf("c"),
        leaf("a"),
        leaf("b")
    ));
    let fault = PolicyFault::Unsatisfiable { distinct_keys: 2 };
    assert_eq!(
        build_faults(&nested, keys),
        [(4, "spec.require.any[1].atLeast.count".to_owned(), fault)]
    );
    assert_eq!(
        build_faults(&policy(&format!("{{all: [{}, {}]}}", leaf("a"), leaf("c"))), keys),
        []
    );
    assert_eq!(
        build_faults(&policy(&format!("{{any: [{}, {}]}}", leaf("a"), leaf("b"))), keys),
        []
    );
}

#[test]
fn thresholds_too_wide_to_search_and_missing_keys_are_refused() {
    let signers: Vec<(String, Signer)> =
        (0..30).map(|n| (format!("k{n}.pub"), Signer::new())).collect();
    let keys: Vec<(&str, &Signer)> =
        signers.iter().map(|(name, key)| (name.as_str(), key)).collect();
    let leaves: Vec<String> =
        (0..30).map(|n| format!("{{name: n{n}, key: {{files: [k{n}.pub]}}}}")).collect();
    let wide = policy(&format!("{{atLeast: {{count: 15, of: [{}]}}}}", leaves.join(", ")));
    let faults: Vec<PolicyFault> =
        build_faults(&wide, &keys).into_iter().map(|(_, _, fault)| fault).collect();
    assert!(matches!(faults.as_slice(), [PolicyFault::TooComplex { .. }]), "{faults:?}");
    let fault = PolicyFault::KeyMissing { name: "k0.pub".to_owned() };
    assert_eq!(
        build_faults(&policy(&leaves[0]), &[]),
        [(4, "spec.require.key.files[0]".to_owned(), fault)]
    );
}
