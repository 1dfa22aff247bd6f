//! `kind: DenyList`: what is struck off everywhere, and what is not stopped by that (attack C3).

use super::fixtures::{ACME, at, document, found_in, keyless, material};
use super::support::{
    REPOSITORY, Signer, assert_permitted, denied, digest, faults, file, found, judge, permitted,
    policy, set, set_with, subject,
};
use crate::evidence::Pod;
use crate::policy::{
    Case, Class, Conclusion, Documents, Finding, PolicyFault, PolicyFile, PolicySet, Reason,
    Unmatched, Verdict,
};
use crate::verify::VerificationCache;

const BUILD: &str = "{name: build, key: {files: [build.pub]}}";
const SINCE: &str = "reason: leaked, date: 2026-01-01T00:00:00Z";
const IMAGE: &str = "reg.test/prod/app:1";

/// A deny list with this `spec`.
fn list(spec: &str) -> String {
    format!(
        "---\napiVersion: sealgate/v1\nkind: DenyList\nmetadata: {{name: struck-off}}\nspec: \
         {{{spec}}}\n"
    )
}

fn key_list(key: &str, more: &str) -> String {
    list(&format!("keys: [{{fingerprint: \"{key}\", {more}{SINCE}}}]"))
}

fn why(verdict: Verdict) -> Finding {
    let denial = denied(verdict);
    let Reason::NoneCounts { why } = denial.reason() else { panic!("{:?}", denial.reason()) };
    why.clone()
}

/// Attack C3: a denied digest under another tag, another name, as the platform manifest under an
/// index, and as a manifest under a denied index that was pulled by itself.
#[test]
fn attack_c3_a_denied_digest_is_refused_under_every_name() {
    let (key, target, child) = (Signer::new(), digest("index"), digest("child"));
    let digests = |more: &str| list(&format!("digests: [{{digest: \"{target}\", {more}{SINCE}}}]"));
    let plain = set(&(policy(BUILD) + &digests("")), &[("build.pub", &key)]);
    let evidence = [&target, &child].map(|d| found(d, vec![key.signs(d, REPOSITORY)]));
    let evidence: Vec<_> = evidence.iter().collect();
    for name in [IMAGE, "reg.test/prod/app:2", "reg.test/other:1", "elsewhere.test/a:1"] {
        let denial = denied(judge(&plain, &subject(name, &target), &evidence));
        assert_eq!((denial.class(), denial.policy()), (Class::Refused, Some("struck-off")));
        let Reason::DigestDenied { digest, by: Some(by) } = denial.reason() else {
            panic!("{denial}")
        };
        assert_eq!((digest, by.why.as_str()), (&target.to_string(), "leaked"));
        assert!(denial.to_string().contains("since 2026-01-01T00:00:00Z: leaked"), "{denial}");
    }
    let under = subject(IMAGE, &child);
    assert_permitted(judge(&plain, &under, &evidence));
    let whole = digests(&format!("manifests: [\"{child}\"], "));
    let whole = set(&(policy(BUILD) + &whole), &[("build.pub", &key)]);
    assert!(denied(judge(&whole, &under, &evidence)).is_struck_off());
    let mut behind = subject(IMAGE, &digest("other index"));
    behind.child = Some(child);
    assert!(denied(judge(&whole, &behind, &evidence)).is_struck_off());
    let key_of = |s: &crate::evidence::Subject| {
        whole.verdict_key(s, &whole.applicable(&s.name, &Pod::default()))
    };
    let mut before = subject(&format!("reg.test/prod/app@{}", behind.target), &behind.target);
    let unknown = key_of(&before);
    before.child = behind.child.clone();
    assert_ne!(unknown, key_of(&before), "a verdict from before the child was known is not its");
}

/// Attack C3: whatever admits without proof, or admits a digest, admits nothing that is denied.
#[test]
fn attack_c3_nothing_admits_what_is_denied() {
    let target = digest("image");
    let by_digest = list(&format!("digests: [{{digest: \"{target}\", {SINCE}}}]"));
    let by_name = list(&format!("repositories: [{{pattern: \"reg.test/prod/**\", {SINCE}}}]"));
    let listed = policy(&format!("{{digest: {{anyOf: [\"{target}\"]}}}}"));
    let anything = policy("{insecureAcceptAnything: true}");
    let warns = listed.replace("spec: {", "spec: {action: warn, ");
    for denial in [&by_digest, &by_name] {
        for admitting in [&listed, &anything, &warns, &String::new()] {
            let set = set_with(&format!("{admitting}{denial}"), &[], Unmatched::Admit);
            let verdict = judge(&set, &subject(IMAGE, &target), &[]);
            assert!(denied(verdict).is_struck_off(), "{admitting}");
            let elsewhere = subject("elsewhere.test/a:1", &digest("other"));
            assert_permitted(judge(&set, &elsewhere, &[]));
        }
    }
}

/// Attack E8: a denied repository in every spelling of its name.
#[test]
fn attack_e8_a_denied_repository_is_refused_in_every_spelling() {
    let denying = |pattern: &str| {
        let list = list(&format!("repositories: [{{pattern: \"{pattern}\", {SINCE}}}]"));
        set_with(&list, &[], Unmatched::Admit)
    };
    let hub = denying("docker.io/nginx");
    for name in ["nginx", "docker.io/nginx:1", "index.docker.io/library/nginx:1"] {
        let denial = denied(judge(&hub, &subject(name, &digest("x")), &[]));
        assert!(matches!(denial.reason(), Reason::RepositoryDenied { .. }), "{denial}");
    }
    let host = denying("REG.test:443/bad/**");
    assert!(denied(judge(&host, &subject("reg.test/bad/a:1", &digest("x")), &[])).is_struck_off());
    assert_permitted(judge(&host, &subject("reg.test/badly/a:1", &digest("x")), &[]));
    assert!(host.struck_off_name(&subject("reg.test/bad/a:1", &digest("x")).name).is_some());
}

/// Attack C3: what a denied key signed does not count, however the key is written down; and who
/// holds it stops nothing by signing.
#[test]
fn attack_c3_a_denied_key_counts_nowhere_and_stops_nothing() {
    let (leaked, good, target) = (Signer::new(), Signer::new(), digest("image"));
    let id = leaked.public().id().to_string();
    let either = policy("{name: build, key: {files: [leaked.pub, good.pub]}}");
    let keys = [("leaked.pub", &leaked), ("good.pub", &good)];
    let pairs = id.trim_start_matches("sha256:").to_uppercase();
    let pairs: Vec<_> = pairs.as_bytes().chunks(2).collect();
    let pairs = pairs.iter().map(|pair| std::str::from_utf8(pair).unwrap());
    let by_leaked = found(&target, vec![leaked.signs(&target, REPOSITORY)]);
    let both = vec![leaked.signs(&target, REPOSITORY), good.signs(&target, REPOSITORY)];
    let by_both = found(&target, both);
    for written in [id.clone(), id.to_uppercase(), pairs.collect::<Vec<_>>().join(":")] {
        let set = set(&(either.clone() + &key_list(&written, "")), &keys);
        let image = subject(IMAGE, &target);
        let Finding::KeyDenied(finding) = why(judge(&set, &image, &[&by_leaked])) else {
            panic!("the key is denied")
        };
        assert!(finding.signer.contains("leaked.pub") && finding.by.why == "leaked", "{finding:?}");
        let permit = permitted(judge(&set, &image, &[&by_both]));
        let signers = &permit.report().documents[0].requirements[0].signers;
        assert_eq!(signers.iter().filter_map(|s| s.file()).collect::<Vec<_>>(), ["good.pub"]);
    }
    // Two of two, of which one is denied.
    let two = policy(
        "{atLeast: {count: 2, of: [{name: a, key: {files: [leaked.pub]}}, {name: b, \
        key: {files: [good.pub]}}]}}",
    );
    let set = set(&(two + &key_list(&id, "")), &keys);
    assert!(matches!(
        why(judge(&set, &subject(IMAGE, &target), &[&by_both])),
        Finding::KeyDenied(_)
    ));
}

/// A signature that nobody vouches for the time of counts as made after whatever moment.
#[test]
fn attack_c4_a_signature_without_a_proven_time_was_made_after_the_leak() {
    let (key, target) = (Signer::new(), digest("image"));
    let id = key.public().id().to_string();
    let list = key_list(&id, "signedAfter: 9999-01-01T00:00:00Z, ");
    let set = set(&(policy(BUILD) + &list), &[("build.pub", &key)]);
    let evidence = found(&target, vec![key.signs(&target, REPOSITORY)]);
    assert!(matches!(
        why(judge(&set, &subject(IMAGE, &target), &[&evidence])),
        Finding::KeyDenied(_)
    ));
}

/// What this deny list says of a keyless signature, made at 2025-06-01T12:00:00Z.
fn judged(spec: &str) -> Verdict {
    let found = found_in("keyless");
    let list = PolicyFile { name: "deny.yaml".to_owned(), bytes: list(spec).into_bytes() };
    let documents = Documents::parse(&[document(&keyless("release", &[ACME])), list]);
    let documents = documents.unwrap_or_else(|errors| panic!("{errors:#?}\n{spec}"));
    let set = PolicySet::build(documents, material(), Unmatched::Deny).unwrap();
    set.judge(&Case {
        subject: &found.subject,
        applicable: &set.applicable(&found.subject.name, &Pod::default()),
        evidence: &[&found.evidence],
        now: at("2025-06-02T12:00:00Z"),
        proofs: &VerificationCache::default(),
    })
}

/// Attack C3: holders, their certificates, the keys in these and the log entries, in any case; and
/// with a moment, only what was signed after it.
#[test]
fn attack_c3_denied_holders_certificates_and_log_entries_count_nowhere() {
    let signer =
        permitted(judged(&format!("keys: [{{fingerprint: \"{}\", {SINCE}}}]", "0".repeat(64))));
    let signer = signer.report().documents[0].requirements[0].signers[0].clone();
    let certificate = signer.certificate().unwrap().fingerprint.clone();
    let entry = signer.entries[0].clone();
    let index = entry.index.unwrap();
    let found = found_in("keyless");
    let key = found.evidence.items.iter().find_map(|item| {
        let untrusted = item.content.read().ok()?;
        Some(untrusted.claims().certificate?.key().to_string())
    });
    let issuer = "issuer: 'https://TOKEN.actions.githubusercontent.com/'";
    let subject = "subjectRegExp: 'https://github\\.com/acme/.*'";
    let is_identity: fn(&Finding) -> bool = |f| matches!(f, Finding::IdentityDenied(_));
    for (spec, is_kind) in [
        (format!("identities: [{{{issuer}, {SINCE}}}]"), is_identity),
        (format!("identities: [{{{subject}, {SINCE}}}]"), |f| {
            matches!(f, Finding::IdentityDenied(_))
        }),
        (
            format!(
                "identities: [{{{issuer}, {subject}, signedAfter: 2025-06-01T00:00:00Z, {SINCE}}}]"
            ),
            |f| matches!(f, Finding::IdentityDenied(_)),
        ),
        (
            format!("certificates: [{{fingerprint: \"{}\", {SINCE}}}]", certificate.to_uppercase()),
            |f| matches!(f, Finding::CertificateDenied(_)),
        ),
        (format!("keys: [{{fingerprint: \"{}\", {SINCE}}}]", key.unwrap()), |f| {
            matches!(f, Finding::KeyDenied(_))
        }),
        (format!("logIndexes: [{{index: {index}, {SINCE}}}]"), |f| {
            matches!(f, Finding::LogEntryDenied(_))
        }),
        (format!("logIndexes: [{{index: {index}, log: '{}', {SINCE}}}]", entry.log), |f| {
            matches!(f, Finding::LogEntryDenied(_))
        }),
    ] {
        let finding = why(judged(&spec));
        assert!(is_kind(&finding), "{spec}: {finding:?}");
    }
    for spec in [
        format!("identities: [{{{issuer}, subject: other, {SINCE}}}]"),
        format!("identities: [{{{subject}, signedAfter: 2025-06-02T00:00:00Z, {SINCE}}}]"),
        format!("logIndexes: [{{index: {index}, log: 'https://other.test', {SINCE}}}]"),
        format!("logIndexes: [{{index: {}, {SINCE}}}]", index + 1),
    ] {
        assert_permitted(judged(&spec));
    }
}

/// What is said of an identity before anybody signs: it is denied where every certificate that fits
/// it is, and where what it signed earlier still counts it is not.
#[test]
fn an_identity_is_denied_beforehand_where_every_certificate_of_it_is() {
    let name = "registry.example.test/prod/keyless:v1";
    let reference = crate::image::Reference::parse(name).unwrap();
    let is_denied = |spec: &str| {
        let name = "deny.yaml".to_owned();
        let list = PolicyFile { name, bytes: list(spec).into_bytes() };
        let documents = Documents::parse(&[document(&keyless("release", &[ACME])), list]).unwrap();
        let patterns = documents.patterns();
        let set = PolicySet::build(documents, material(), Unmatched::Deny).unwrap();
        let asked = (&reference, &Pod::default());
        let explanation = set.explain(asked, &patterns, at("2025-06-02T12:00:00Z"));
        matches!(explanation.outcome, Conclusion::SignersDenied { .. })
    };
    let issuer = "issuer: 'https://TOKEN.actions.githubusercontent.com/'";
    let subject = "subjectRegExp: 'https://github\\.com/acme/.*'";
    for (named, denied) in [
        (issuer.to_owned(), true),
        (subject.to_owned(), true),
        (format!("{issuer}, {subject}"), true),
        (format!("{issuer}, subject: other"), false),
        ("issuer: 'https://other.test'".to_owned(), false),
        (format!("{issuer}, signedAfter: 2025-06-01T00:00:00Z"), false),
    ] {
        assert_eq!(is_denied(&format!("identities: [{{{named}, {SINCE}}}]")), denied, "{named}");
    }
}

#[test]
fn a_deny_list_that_may_deny_less_than_was_meant_is_refused() {
    let fault = |spec: &str| {
        let faults = faults(&list(spec));
        assert!(!faults.is_empty(), "{spec}");
        faults[0].2.clone()
    };
    assert_eq!(fault(""), PolicyFault::EmptyList);
    assert!(matches!(
        fault(&format!("keys: [{{fingerprint: abc, {SINCE}}}]")),
        PolicyFault::Fingerprint { .. }
    ));
    assert!(matches!(
        fault(&format!("digests: [{{digest: \"sha256:abc\", {SINCE}}}]")),
        PolicyFault::Digest(_)
    ));
    assert!(matches!(fault(&format!("identities: [{{{SINCE}}}]")), PolicyFault::OneOf { .. }));
    assert!(matches!(
        fault(&format!("repositories: [{{pattern: \"app:1\", {SINCE}}}]")),
        PolicyFault::Pattern(_)
    ));
    assert!(matches!(
        fault("logIndexes: [{index: 1, date: 2026-01-01T00:00:00Z}]"),
        PolicyFault::MissingField { name: "reason" }
    ));
    assert!(matches!(
        fault("logIndexes: [{index: 1, reason: x}]"),
        PolicyFault::MissingField { name: "date" }
    ));
    assert!(matches!(
        fault("logIndexes: [{index: 1, reason: \"a\\nb\", date: 2026-01-01T00:00:00Z}]"),
        PolicyFault::Line { .. }
    ));
    let same = list(&format!("logIndexes: [{{index: 1, {SINCE}}}]")).replace("struck-off", "test");
    let documents = Documents::parse(&[file(&(policy(BUILD) + &same))]);
    assert!(matches!(documents.unwrap_err()[0].fault, PolicyFault::DuplicateName { .. }));
}
