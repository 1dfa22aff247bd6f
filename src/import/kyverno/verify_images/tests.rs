//! `verifyImages`: counts, lists, modes, selection, and each way in which an import would be weaker.

use crate::import::tests::{KEY, OTHER, documents, faults, imported, notices, omissions};
use crate::import::{ImportFault, Notice, Omission};

const NO_LOG: &str = ", rekor: {url: \"https://rekor.sigstore.dev\", ignoreTlog: true}";

/// A policy that enforces this entry of `verifyImages`, of rules with this rest.
fn policy(entry: &str, rule: &str) -> String {
    format!(
        "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {{name: one}}\nspec:\n  validationFailureAction: Enforce\n  rules:\n  - name: signed\n{rule}    verifyImages:\n    - {{{entry}}}\n"
    )
}

const PODS: &str = "    match: {any: [{resources: {kinds: [Pod]}}]}\n";

fn entry(more: &str) -> String {
    format!("imageReferences: [\"ghcr.io/acme/*\"], {more}")
}

fn keys(pem: &str, more: &str) -> String {
    format!("{{keys: {{publicKeys: {}{more}}}}}", serde_json::Value::from(pem))
}

/// All of a list unless it counts, any where it counts one; each list is a document.
#[test]
fn lists_and_counts() {
    let (a, b) = (keys(KEY, NO_LOG), keys(OTHER, NO_LOG));
    let both = keys(&format!("{KEY}\n{OTHER}"), NO_LOG);
    for (attestors, expected) in [
        (format!("[{{entries: [{a}, {b}]}}]"), &["all:"][..]),
        (format!("[{{count: 1, entries: [{a}, {b}]}}]"), &["any:"]),
        (format!("[{{entries: [{both}]}}]"), &["all:"]),
        (format!("[{{count: 1, entries: [{both}]}}]"), &["any:"]),
        (
            format!("[{{entries: [{a}]}}, {{entries: [{b}]}}]"),
            &["name: \"key-1\"", "name: \"key-2\""],
        ),
        (
            format!("[{{count: 2, entries: [{a}, {b}, {{attestor: {{entries: [{a}]}}}}]}}]"),
            &["atLeast:\n      count: 2\n      of:\n        - name: \"key-1\""],
        ),
    ] {
        let text = policy(&entry(&format!("attestors: {attestors}")), PODS);
        let imported = imported(&[&text]);
        assert_eq!(omissions(&imported), [], "{attestors}");
        let all = documents(&imported);
        assert_eq!(all.len(), expected.len(), "{}", imported.text);
        for (document, expected) in all.iter().zip(expected) {
            assert!(document.contains(&format!("  require:\n    {expected}")), "{document}");
            assert!(!document.contains("warn") && !document.contains("trustRoot"), "{document}");
        }
    }
    // Without a word about it, the public log is asked.
    let text = policy(&entry(&format!("attestors: [{{entries: [{}]}}]", keys(KEY, ""))), PODS);
    let logged = imported(&[&text]);
    assert!(documents(&logged)[0].contains("trustRoot: \"public-good\", minLogEntries: 1"));
}

/// One of two that may sign is one way less; of two that must, nothing is left.
#[test]
fn what_is_left_out_admits_nothing() {
    let (a, secret) = (keys(KEY, NO_LOG), "{keys: {secret: {name: k, namespace: n}}}");
    let count = |count: &str| {
        let list = format!("attestors: [{{{count}entries: [{a}, {secret}]}}]");
        let imported = imported(&[&policy(&entry(&list), PODS)]);
        assert_eq!(omissions(&imported), [Omission::KeyElsewhere]);
        documents(&imported)[0].clone()
    };
    assert!(count("count: 1, ").contains("name: \"key-1\""));
    assert!(count("").contains("name: \"rejected\""));
    let set = format!("attestors: [{{entries: [{a}]}}]");
    for (more, expected) in [
        ("type: Notary", Omission::Notation),
        ("annotations: {a: b}", Omission::Field { name: "annotations" }),
        ("validate: {deny: {}, message: x}", Omission::Field { name: "validate" }),
        ("attestations: [{type: \"https://slsa.dev/provenance/v1\"}]", Omission::Anybody),
        (
            "attestations: [{type: \"https://slsa.dev/provenance/v1\", attestors: [{entries: [{keyless: {issuer: i, subject: s}}]}], conditions: [{all: []}]}]",
            Omission::Language { language: "a condition in JMESPath" },
        ),
    ] {
        let imported = imported(&[&policy(&entry(&format!("{set}, {more}")), PODS)]);
        assert_eq!(omissions(&imported), [expected], "{more}");
        let all = documents(&imported);
        assert!(all.len() == 1 && all[0].contains("name: \"rejected\""), "{more}: {all:?}");
    }
}

/// Without an action Kyverno audits; an entry may say otherwise, and overrides count as enforced.
#[test]
fn actions() {
    let set = format!("attestors: [{{entries: [{}]}}]", keys(KEY, NO_LOG));
    let audits = |text: &str| documents(&imported(&[text]))[0].contains("action: warn");
    // A pattern with a tag that stands for every tag, so that what warns is about no more.
    let entry = format!("imageReferences: [\"ghcr.io/acme/*\"], {set}");
    let text = policy(&entry, PODS);
    assert!(!audits(&text));
    assert!(audits(&text.replace("  validationFailureAction: Enforce\n", "")));
    assert!(audits(&policy(&format!("failureAction: Audit, {entry}"), PODS)));
    let overridden = text.replace(
        "  validationFailureAction: Enforce\n",
        "  validationFailureAction: Audit\n  validationFailureActionOverrides: [{action: Enforce, namespaces: [a]}]\n",
    );
    assert!(!audits(&overridden));
}

/// Namespaces are carried over where nothing else selects; anything else makes it about every pod.
#[test]
fn which_pods() {
    let set = format!("attestors: [{{entries: [{}]}}]", keys(KEY, NO_LOG));
    for (rule, namespaces, expected) in [
        (PODS, "", &[][..]),
        (
            "    match: {any: [{resources: {kinds: [Pod], namespaces: [\"prod-*\", a]}}, {resources: {kinds: [Pod], namespaces: [b]}}]}\n",
            "  namespaces:\n    - \"prod-*\"\n    - \"a\"\n    - \"b\"\n",
            &[],
        ),
        (
            "    match: {any: [{resources: {kinds: [Pod], namespaces: [a]}}, {resources: {kinds: [Pod]}}]}\n",
            "",
            &[],
        ),
        (
            "    match: {any: [{resources: {kinds: [Pod], selector: {matchLabels: {a: b}}}}]}\n",
            "",
            &[Omission::Selector],
        ),
        (
            "    match: {resources: {kinds: [Pod], namespaces: [a]}}\n    exclude: {any: [{resources: {names: [b]}}]}\n",
            "",
            &[Omission::Selector],
        ),
        ("    match: {any: [{resources: {kinds: [Task]}}]}\n", "", &[Omission::Selector]),
    ] {
        let audit = format!("failureAction: Audit, {}", entry(&set));
        let audits = imported(&[&policy(&audit, rule)]);
        let left = documents(&audits).iter().filter(|one| one.contains("action: warn")).count();
        assert_eq!(left, usize::from(expected.is_empty()), "{rule}: {}", audits.text);
        let imported = imported(&[&policy(&entry(&set), rule)]);
        assert_eq!(omissions(&imported), expected, "{rule}");
        let [one] = documents(&imported).try_into().unwrap();
        assert!(one.contains(&format!("{namespaces}  require:")), "{rule}: {one}");
        assert_eq!(one.contains("namespaces:"), !namespaces.is_empty(), "{rule}: {one}");
    }
}

/// What is skipped is excluded where it can be said exactly.
#[test]
fn skipped_images_and_repositories() {
    let set = format!("attestors: [{{entries: [{}]}}]", keys(KEY, NO_LOG));
    let skips = |glob: &str| {
        imported(&[&policy(&entry(&format!("{set}, skipImageReferences: [\"{glob}\"]")), PODS)])
    };
    assert!(
        documents(&skips("ghcr.io/acme/open/*"))[0]
            .contains("exclude:\n    - \"ghcr.io/acme/open/**\"")
    );
    for glob in ["ghcr.io/acme/a:v1", "ghcr.io/acme/a", "*open*"] {
        let skipped = skips(glob);
        assert_eq!(omissions(&skipped).len(), 1, "{glob}");
        assert!(!documents(&skipped)[0].contains("exclude"), "{glob}");
    }
    let own = entry(&format!("{set}, repository: reg.example/signatures"));
    assert!(documents(&imported(&[&policy(&own, PODS)]))[0].contains("signatureRepository"));
    let other = own.replace("{keys:", "{repository: reg.example/more, keys:");
    assert_eq!(omissions(&imported(&[&policy(&other, PODS)])), [Omission::SeveralSources]);
}

/// An identity has wildcards, or an expression, and nothing that is left out is anybody's.
#[test]
fn identities() {
    let keyless = |fields: &str| {
        let set = format!("attestors: [{{entries: [{{keyless: {{{fields}}}}}]}}]");
        imported(&[&policy(&entry(&set), PODS)])
    };
    let good = keyless(
        "issuer: \"https://token.actions.githubusercontent.com\", subject: \"https://github.com/acme/app/.github/workflows/*\"",
    );
    assert_eq!(omissions(&good), []);
    let [one] = documents(&good).try_into().unwrap();
    assert!(
        one.contains(r#"subjectRegExp: "^https://github\\.com/acme/app/\\.github/workflows/.*$""#),
        "{one}"
    );
    for (fields, expected) in [
        ("issuer: \"https://*\", subject: a", Omission::RegExp { part: "a wildcard" }),
        ("issuer: i, subject: a, roots: x", Omission::Fulcio),
        ("issuer: i, subject: a, subjectRegExp: b", Omission::TwoSubjects),
        (
            "issuer: i, subject: a, additionalExtensions: {a: b}",
            Omission::Field { name: "additionalExtensions" },
        ),
        ("issuer: i, subject: a, rekor: {url: u, pubkey: p}", Omission::LogKeys),
    ] {
        let imported = keyless(fields);
        assert_eq!(omissions(&imported), [expected], "{fields}");
        assert!(documents(&imported)[0].contains("name: \"rejected\""), "{fields}");
    }
}

#[test]
fn faults_and_rules_of_other_kinds() {
    let bad = policy(&entry("attestor: []"), PODS);
    assert_eq!(faults(&[&bad])[0].1, "spec.rules[0].verifyImages[0].attestor");
    let empty = policy(&entry("attestors: [{entries: []}]"), PODS);
    assert_eq!(faults(&[&empty])[0].2, ImportFault::Empty);
    let other = "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {name: one}\nspec:\n  rules: [{name: a, match: {}, validate: {}}]\n";
    assert_eq!(notices(&imported(&[other])), [Notice::OtherRule]);
}
