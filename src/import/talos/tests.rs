//! ImageVerificationConfig: the first rule decides, and each way in which an import would be weaker.

use crate::import::tests::{KEY, OTHER, documents, faults, imported, notices, omissions};
use crate::import::{ImportFault, Notice, Omission};

const GITHUB: &str = "keyless: {issuer: \"https://token.actions.githubusercontent.com\", subjectRegex: \"https://github.com/acme/app/.*\"}";

/// A config of these rules, each in one line from the fourth on.
fn config(rules: &[&str]) -> String {
    let rules: Vec<String> = rules.iter().map(|rule| format!("  - {{{rule}}}\n")).collect();
    format!("apiVersion: v1alpha1\nkind: ImageVerificationConfig\nrules:\n{}", rules.concat())
}

fn key(pem: &str) -> String {
    format!("publicKey: {{certificate: {}}}", serde_json::Value::from(pem))
}

/// A rule is about what no rule above it is about.
#[test]
fn the_first_rule_decides() {
    let (build, other) = (key(KEY), key(OTHER));
    let imported = imported(&[&config(&[
        "image: \"reg.example/open/*\", skip: true",
        &format!("image: \"reg.example/*\", {build}"),
        "image: \"reg.example/closed\", deny: true",
        &format!("image: \"ghcr.io/acme/app*\", {GITHUB}"),
        &format!("image: \"**\", {other}"),
        "image: \"quay.io/*\", skip: true",
    ])]);
    assert_eq!(omissions(&imported), []);
    let [open, wide, closed, app, rest] = documents(&imported).try_into().unwrap();
    assert!(open.contains("insecureAcceptAnything: true") && !open.contains("exclude"), "{open}");
    assert!(wide.contains("exclude:\n    - \"reg.example/open/**\"\n  require:"), "{wide}");
    // Of what is left of it nothing is reached either; it is no weaker for being there.
    assert!(closed.contains("- \"reg.example/**\"") && closed.contains("rejected"), "{closed}");
    assert!(app.contains("ghcr.io/acme/app*/**") && app.contains("subjectRegExp"), "{app}");
    assert!(rest.contains("images:\n    - \"**\"\n  exclude:") && rest.contains("key:"), "{rest}");
    assert!(notices(&imported).contains(&Notice::Unreached));
    assert!(!notices(&imported).contains(&Notice::UnmatchedAccepted));
}

/// What no rule is about, Talos lets through, and so does a last rule that skips.
#[test]
fn what_no_rule_is_about_is_unmatched() {
    let rule = format!("image: \"reg.example/*\", {}", key(KEY));
    for rules in [&[rule.as_str()][..], &[&rule, "image: \"**\", skip: true"]] {
        let imported = imported(&[&config(rules)]);
        assert_eq!(documents(&imported).len(), 1);
        assert!(notices(&imported).contains(&Notice::UnmatchedAccepted));
    }
}

/// A pattern that no pattern here says is about more where it demands, and is left out where it lets
/// through; rules below it hold there as well.
#[test]
fn patterns_that_cannot_be_said() {
    let (build, other) = (key(KEY), key(OTHER));
    let wide = imported(&[&config(&[
        "image: \"*.example.com/*\", skip: true",
        &format!("image: \"reg.example/a*/b\", {build}"),
        &format!("image: \"reg.example/*\", {other}"),
    ])]);
    assert_eq!(omissions(&wide).len(), 2);
    let [some, rest] = documents(&wide).try_into().unwrap();
    assert!(some.contains("- \"reg.example/**\"") && !some.contains("exclude"), "{some}");
    assert!(!rest.contains("exclude"), "{rest}");
    // No repository in its full form is meant.
    let dead = imported(&[&config(&[&format!("image: \"my-registry/*\", {build}")])]);
    assert_eq!((documents(&dead).len(), notices(&dead)[0].clone()), (0, Notice::DeadScope));
}

#[test]
fn what_is_left_out_admits_nothing() {
    let both = "keyless: {issuer: \"https://i\", subject: a, subjectRegex: b}";
    let log =
        "keyless: {issuer: \"https://i\", subject: a, rekorURL: \"https://rekor.acme.example\"}";
    let url = "https://rekor.acme.example".to_owned();
    for (rule, expected) in [(both, Omission::TwoSubjects), (log, Omission::Instance { url })] {
        let imported = imported(&[&config(&[&format!("image: \"reg.example/*\", {rule}")])]);
        assert_eq!(omissions(&imported), [expected]);
        assert!(documents(&imported)[0].contains("name: \"rejected\""));
        assert_eq!(imported.omissions[0].origin.position.unwrap().line, 4);
    }
}

/// The mistakes that Talos' own tests refuse, and those of this reader.
#[test]
fn faults_have_their_places() {
    let ways = ImportFault::NotOneOf { expected: &["skip", "deny", "keyless", "publicKey"] };
    for (rule, expected) in [
        ("skip: true", ImportFault::MissingField { name: "image" }),
        ("image: \"docker.io/*\", verify: true", ways.clone()),
        ("image: \"docker.io/*\", verify: false, keyless: {issuer: i, subject: s}", ways.clone()),
        ("image: \"docker.io/*\", skip: true, deny: true", ways),
        (
            "image: \"docker.io/*\", keyless: {subject: s}",
            ImportFault::MissingField { name: "issuer" },
        ),
        (
            "image: \"docker.io/*\", keyless: {issuer: i}",
            ImportFault::MissingField { name: "subject" },
        ),
        (
            "image: \"docker.io/*\", skips: true",
            ImportFault::UnknownField { name: "skips".to_owned() },
        ),
    ] {
        let found = faults(&[&config(&[rule])]);
        assert_eq!((found[0].0, &found[0].2), (4, &expected), "{rule}");
    }
    let one = config(&["image: \"docker.io/*\", verify: false"]);
    assert!(matches!(faults(&[&one, &one])[0].2, ImportFault::Second { .. }));
}
