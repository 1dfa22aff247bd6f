//! `key`, `keyless` and `certificate`: what is read, and what is refused, each with its typed fault
//! and its place.

mod identities;

use super::support::*;
use crate::policy::{Advice, Documents, PolicyFault, RegExpFault};

const WORKFLOW: &str =
    r"https://github\.com/acme/app/\.github/workflows/release\.yml@refs/tags/v.*";
const GITHUB: &str = "issuer: https://token.actions.githubusercontent.com";

fn require(text: &str) -> Vec<(String, PolicyFault)> {
    let faults = faults(&policy(text));
    let below = |field: String| field.strip_prefix("spec.require").unwrap_or(&field).to_owned();
    faults.into_iter().map(|(_, field, fault)| (below(field), fault)).collect()
}

fn key(text: &str) -> Vec<(String, PolicyFault)> {
    require(&format!("{{name: a, key: {text}}}"))
}

fn keyless(text: &str) -> Vec<(String, PolicyFault)> {
    require(&format!("{{name: a, keyless: {text}}}"))
}

fn identity(text: &str) -> Vec<(String, PolicyFault)> {
    let below =
        |field: String| field.strip_prefix(".keyless.identities[0]").unwrap_or(&field).to_owned();
    let faults = keyless(&format!("{{identities: [{text}]}}"));
    faults.into_iter().map(|(field, fault)| (below(field), fault)).collect()
}

fn certificate(text: &str) -> Vec<(String, PolicyFault)> {
    require(&format!("{{name: a, certificate: {text}}}"))
}

fn at(field: &str, fault: PolicyFault) -> [(String, PolicyFault); 1] {
    [(field.to_owned(), fault)]
}

fn missing(name: &'static str) -> PolicyFault {
    PolicyFault::MissingField { name }
}

fn needs(name: &'static str) -> PolicyFault {
    PolicyFault::NeedsTrustRoot { name }
}

fn excludes(name: &'static str, with: &'static str) -> PolicyFault {
    PolicyFault::Excludes { name, with }
}

/// One identity that is good.
fn good() -> String {
    format!("{{{GITHUB}, subjectRegExp: '^{WORKFLOW}$'}}")
}

#[test]
fn keys_with_windows_and_trust_roots() {
    for text in [
        "{files: [a.pub, {file: b.pub}, {file: c.pub, notBefore: 2026-01-01T00:00:00Z}]}",
        "{files: [{file: a.pub, notBefore: '2026-01-01T00:00:00Z', notAfter: \
         2027-01-01T00:00:00+01:00}]}",
        "{files: [a.pub], trustRoot: public-good, minLogEntries: 1, minTimestamps: 0}",
        "{files: [a.pub], trustRoot: my.root-2, minTimestamps: 8}",
    ] {
        assert_eq!(key(text), [], "{text}");
    }
    let file = |text: &str| key(&format!("{{files: [a.pub, {text}]}}"));
    assert_eq!(file("{}"), at(".key.files[1]", missing("file")));
    assert_eq!(file("{notAfter: 2027-01-01T00:00:00Z}"), at(".key.files[1]", missing("file")));
    assert_eq!(
        file("{file: a.pub}"),
        at(".key.files[1]", PolicyFault::DuplicateEntry { value: "a.pub".to_owned() })
    );
    let climbs = PolicyFault::KeyFileName { name: "../b".to_owned() };
    assert_eq!(file("{file: ../b}"), at(".key.files[1].file", climbs));
    for time in [
        "2027-01-01",
        "tomorrow",
        "2027-13-01T00:00:00Z",
        "2027-01-01T00:00:00",
        "2027-02-30T00:00:00Z",
    ] {
        let fault = PolicyFault::Time { got: time.to_owned() };
        assert_eq!(
            file(&format!("{{file: b, notAfter: '{time}'}}")),
            at(".key.files[1].notAfter", fault),
            "{time}"
        );
    }
    for (first, last) in [
        ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("2027-01-01T01:00:00Z", "2027-01-01T01:00:00+01:00"),
    ] {
        let text = format!("{{file: b, notBefore: '{first}', notAfter: '{last}'}}");
        assert_eq!(file(&text), at(".key.files[1]", PolicyFault::EmptyWindow));
    }
    assert_eq!(
        key("{files: [a.pub], minLogEntries: 1}"),
        at(".key.minLogEntries", needs("minLogEntries"))
    );
    assert_eq!(
        key("{files: [a.pub], minTimestamps: 0}"),
        at(".key.minTimestamps", needs("minTimestamps"))
    );
    let range = PolicyFault::Range { got: 9, from: 0, to: 8 };
    assert_eq!(
        key("{files: [a.pub], trustRoot: x, minLogEntries: 9}"),
        at(".key.minLogEntries", range)
    );
    let wrong = PolicyFault::WrongType { expected: "a number", got: "a number" };
    assert_eq!(
        key("{files: [a.pub], trustRoot: x, minLogEntries: -1}"),
        at(".key.minLogEntries", wrong)
    );
}

/// Attack E2: a trust root's name becomes a file's name.
#[test]
fn attack_e2_names_of_trust_roots_do_not_climb() {
    for name in
        ["../x", "a/b", "/etc/x", ".", "..", ".x", "x.", "X", "a b", "", "x.json", "-a", "a\u{e9}"]
    {
        let fault = PolicyFault::RootName { name: name.to_owned() };
        assert_eq!(
            key(&format!("{{files: [a.pub], trustRoot: '{name}'}}")),
            at(".key.trustRoot", fault),
            "{name}"
        );
    }
    let long = "a".repeat(64);
    assert_eq!(key(&format!("{{files: [a.pub], trustRoot: {long}}}")).len(), 1);
    assert_eq!(key(&format!("{{files: [a.pub], trustRoot: {}}}", &long[1..])), []);
}

#[test]
fn keyless_and_what_is_asked_of_logs() {
    let good = good();
    for rest in [
        "",
        ", trustRoot: staging",
        ", minLogEntries: 2, minTimestamps: 1",
        ", insecureIgnoreTlog: true",
        ", insecureIgnoreTlog: true, minTimestamps: 2, insecureIgnoreSCT: true",
    ] {
        assert_eq!(keyless(&format!("{{identities: [{good}]{rest}}}")), [], "{rest}");
    }
    let rest = |text: &str| keyless(&format!("{{identities: [{good}], {text}}}"));
    assert_eq!(rest("minLogEntries: 0"), at(".keyless.minLogEntries", PolicyFault::LogNotAsked));
    let both = excludes("minLogEntries", "insecureIgnoreTlog");
    assert_eq!(
        rest("minLogEntries: 1, insecureIgnoreTlog: true"),
        at(".keyless.minLogEntries", both)
    );
    let range = PolicyFault::Range { got: 0, from: 1, to: 8 };
    assert_eq!(
        rest("minTimestamps: 0, insecureIgnoreTlog: true"),
        at(".keyless.minTimestamps", range)
    );
    for name in ["insecureIgnoreTlog", "insecureIgnoreSCT"] {
        for value in ["false", "yes", "'true'", "1"] {
            let fault = PolicyFault::NotTrue { name };
            assert_eq!(
                rest(&format!("{name}: {value}")),
                at(&format!(".keyless.{name}"), fault),
                "{name} {value}"
            );
        }
    }
    assert_eq!(keyless("{}"), at(".keyless", missing("identities")));
    assert_eq!(keyless("{identities: []}"), at(".keyless.identities", PolicyFault::EmptyList));
    let twice = keyless(&format!("{{identities: [{good}, {good}]}}"));
    assert!(
        matches!(twice.as_slice(), [(field, PolicyFault::DuplicateEntry { .. })] if field == ".keyless.identities[1]")
    );
    let many: Vec<String> = (0..65)
        .map(|n| format!("{{{GITHUB}, subject: 'https://github.com/acme/app{n}/x'}}"))
        .collect();
    let fault = PolicyFault::TooMany { what: "identities in one requirement", limit: 64 };
    assert_eq!(
        keyless(&format!("{{identities: [{}]}}", many.join(", "))),
        at(".keyless.identities", fault)
    );
    assert_eq!(keyless(&format!("{{identities: [{}]}}", many[1..].join(", "))), []);
    assert_eq!(require(&format!("{{keyless: {{identities: [{good}]}}}}")), at("", missing("name")));
}

#[test]
fn certificates_of_an_own_authority() {
    for text in [
        "{roots: [ca.pem], subjects: [{email: a@acme.com}]}",
        "{roots: [ca.pem, /etc/pki/ca2.pem], intermediates: [int.pem], crls: [team.crl], subjects: \
         [{host: a.acme.com}, {uri: 'spiffe://acme.com/a'}]}",
        r"{roots: [ca.pem], subjects: [{emailRegExp: '.*@acme\.com'}], trustRoot: acme, minTimestamps: 1}",
        "{roots: [ca.pem], insecureAnySubject: true}",
    ] {
        assert_eq!(certificate(text), [], "{text}");
    }
    let subject = |text: &str| certificate(&format!("{{roots: [ca.pem], subjects: [{text}]}}"));
    assert_eq!(
        certificate("{subjects: [{email: a@acme.com}]}"),
        at(".certificate", missing("roots"))
    );
    assert_eq!(
        certificate("{roots: [], subjects: [{email: a@acme.com}]}"),
        at(".certificate.roots", PolicyFault::EmptyList)
    );
    let climbs = PolicyFault::FileName { name: "../ca.pem".to_owned() };
    assert_eq!(
        certificate("{roots: [../ca.pem], subjects: [{email: a}]}"),
        at(".certificate.roots[0]", climbs)
    );
    let either: &[&str] = &["subjects", "insecureAnySubject"];
    let fault = PolicyFault::OneOf { expected: either, found: vec![] };
    assert_eq!(certificate("{roots: [ca.pem]}"), at(".certificate", fault));
    let fault = excludes("insecureAnySubject", "subjects");
    assert_eq!(
        certificate("{roots: [ca.pem], subjects: [{email: a}], insecureAnySubject: true}"),
        at(".certificate.insecureAnySubject", fault)
    );
    let fault = PolicyFault::NotTrue { name: "insecureAnySubject" };
    assert_eq!(
        certificate("{roots: [ca.pem], insecureAnySubject: false}"),
        at(".certificate.insecureAnySubject", fault)
    );
    let kinds: &[&str] = &["email", "host", "uri", "emailRegExp", "hostRegExp", "uriRegExp"];
    let fault = |found| PolicyFault::OneOf { expected: kinds, found };
    assert_eq!(subject("{}"), at(".certificate.subjects[0]", fault(vec![])));
    assert_eq!(
        subject("{email: a, uri: b}"),
        at(".certificate.subjects[0]", fault(vec!["email", "uri"]))
    );
    assert_eq!(
        subject("{email: ''}"),
        at(".certificate.subjects[0].email", PolicyFault::EmptyText)
    );
    let faults = subject("{emailRegExp: '.*@.*'}");
    assert!(
        matches!(faults.as_slice(), [(field, PolicyFault::MatchesAnyone { .. })] if field.ends_with(".emailRegExp"))
    );
    assert_eq!(
        certificate("{roots: [ca.pem], subjects: [{email: a}], minLogEntries: 1}"),
        at(".certificate.minLogEntries", needs("minLogEntries"))
    );
    assert_eq!(
        certificate("{roots: [ca.pem], subjects: []}"),
        at(".certificate.subjects", PolicyFault::EmptyList)
    );
}

#[test]
fn ages_need_a_proven_time() {
    let good = good();
    let age = |beside: &str, age: &str| {
        require(&format!("{{name: a, {beside}, maxSignatureAge: {age}}}"))
    };
    let rooted = "key: {files: [a.pub], trustRoot: public-good}";
    for text in ["90d", "12h", "30m", "3650d"] {
        assert_eq!(age(rooted, text), [], "{text}");
        assert_eq!(age(&format!("keyless: {{identities: [{good}]}}"), text), [], "{text}");
    }
    for text in ["0d", "3651d", "90", "-1d", "1w", "'90 d'", "d", "99999999999999999999d"] {
        let faults = age(rooted, text);
        let told = matches!(faults.as_slice(), [(field, PolicyFault::Age { .. } | PolicyFault::WrongType { .. })] if field == ".maxSignatureAge");
        assert!(told, "{text}: {faults:?}");
    }
    assert_eq!(
        age("key: {files: [a.pub]}", "90d"),
        at(".maxSignatureAge", needs("maxSignatureAge"))
    );
    assert_eq!(
        age("certificate: {roots: [a], subjects: [{email: a}]}", "90d"),
        at(".maxSignatureAge", needs("maxSignatureAge"))
    );
    let faults = age(&format!("digest: {{anyOf: ['{}']}}", digest("x")), "90d");
    assert!(
        matches!(faults.as_slice(), [(_, PolicyFault::UnknownField { expected: ["name"], .. })]),
        "{faults:?}"
    );
}

#[test]
fn what_is_named_is_told_with_its_place_and_policy() {
    let text = policy(&format!(
        "{{all: [{{name: a, keyless: {{identities: [{}]}}}}, {{name: b, keyless: {{trustRoot: \
         acme, identities: [{}]}}}}, {{name: c, certificate: {{roots: [ca.pem], intermediates: \
         [int.pem], crls: [team.crl], subjects: [{{email: a@acme.com}}]}}}}, {{name: d, key: \
         {{files: [a.pub, {{file: b.pub}}]}}}}]}}",
        good(),
        good()
    ));
    let documents = Documents::parse(&[file(&text)]).unwrap_or_else(|errors| panic!("{errors:?}"));
    assert_eq!(documents.key_files().into_iter().collect::<Vec<_>>(), ["a.pub", "b.pub"]);
    let files = documents.places_of_files();
    assert_eq!(files.keys().collect::<Vec<_>>(), ["ca.pem", "int.pem", "team.crl"]);
    assert_eq!((files["team.crl"].policy.as_str(), files["team.crl"].position.line), ("test", 4));
    assert_eq!(files["team.crl"].field, "spec.require.all[2].certificate.crls[0]");
    let roots = documents.places_of_roots();
    assert_eq!(roots.keys().collect::<Vec<_>>(), ["acme", "public-good"]);
    assert_eq!(roots["public-good"].field, "spec.require.all[0].keyless");
    assert_eq!(roots["acme"].field, "spec.require.all[1].keyless.trustRoot");
    let none = Documents::parse(&[file(&policy("{name: a, key: {files: [a.pub]}}"))]).unwrap();
    assert!(none.places_of_roots().is_empty() && none.places_of_files().is_empty());
}
