//! Identities of keyless signers: what is read, what would match anyone, and what is odd.

use super::*;

#[test]
fn identity_fields() {
    let unknown = |name: &str, text: &str| {
        let faults = identity(text);
        assert!(
            matches!(faults.as_slice(), [(_, PolicyFault::UnknownField { name: got, .. })] if got == name),
            "{faults:?}"
        );
    };
    unknown("subjectRegexp", &format!("{{{GITHUB}, subject: x, subjectRegexp: y}}"));
    unknown("Issuer", &format!("{{{GITHUB}, subject: x, Issuer: y}}"));
    unknown(
        "sourceRepositoryUri",
        &format!("{{{GITHUB}, subject: x, extensions: {{sourceRepositoryUri: y}}}}"),
    );
    unknown(
        "sourceRepository",
        &format!("{{{GITHUB}, subject: x, extensionsRegExp: {{sourceRepository: y}}}}"),
    );
    assert_eq!(
        identity(&format!("{{{GITHUB}, subject: ''}}")),
        at(".subject", PolicyFault::EmptyText)
    );
    assert_eq!(
        identity(&format!("{{{GITHUB}, subjectRegExp: ''}}")),
        at(".subjectRegExp", PolicyFault::EmptyText)
    );
    assert_eq!(identity("{issuer: '', subject: x}"), at(".issuer", PolicyFault::EmptyText));
    let word = PolicyFault::UnknownWord {
        got: "mail".to_owned(),
        expected: &["email", "uri", "dns", "otherName"],
    };
    assert_eq!(
        identity(&format!("{{{GITHUB}, subject: x, subjectKind: mail}}")),
        at(".subjectKind", word)
    );
    let empty = identity(&format!("{{{GITHUB}, subject: x, extensions: {{}}}}"));
    assert_eq!(empty, at(".extensions", PolicyFault::EmptyList));
    let both = excludes("extensions", "extensionsRegExp");
    assert_eq!(
        identity(&format!(
            "{{{GITHUB}, subject: x, extensions: {{buildTrigger: push}}, extensionsRegExp: \
             {{buildTrigger: p}}}}"
        )),
        at(".extensionsRegExp.buildTrigger", both)
    );
    let quoted = PolicyFault::WrongType {
        expected: "text (in quotes when it looks like a number or a truth value)",
        got: "a number",
    };
    assert_eq!(
        identity(&format!(
            "{{{GITHUB}, subject: x, extensions: {{sourceRepositoryIdentifier: 4711}}}}"
        )),
        at(".extensions.sourceRepositoryIdentifier", quoted)
    );
}

/// Attack B4: two ways to say one thing, of which one would be ignored.
#[test]
fn attack_b4_an_issuer_and_a_subject_are_said_once() {
    let issuer: &[&str] = &["issuer", "issuerRegExp", "insecureAnyIssuer"];
    let subject: &[&str] = &["subject", "subjectRegExp", "insecureAnySubject"];
    let one_of = |expected, found| PolicyFault::OneOf { expected, found };
    for (text, fault) in [
        (
            "{issuer: x, issuerRegExp: x, subject: x}",
            one_of(issuer, vec!["issuer", "issuerRegExp"]),
        ),
        (
            "{issuer: x, insecureAnyIssuer: true, subject: x}",
            one_of(issuer, vec!["issuer", "insecureAnyIssuer"]),
        ),
        (
            "{issuer: x, subject: x, subjectRegExp: x}",
            one_of(subject, vec!["subject", "subjectRegExp"]),
        ),
        (
            "{issuer: x, subject: x, insecureAnySubject: true}",
            one_of(subject, vec!["subject", "insecureAnySubject"]),
        ),
    ] {
        assert_eq!(identity(text), at("", fault), "{text}");
    }
    for name in ["insecureAnyIssuer", "insecureAnySubject"] {
        let rest = if name == "insecureAnyIssuer" { "subject: x" } else { "issuer: x" };
        let fault = PolicyFault::NotTrue { name };
        assert_eq!(identity(&format!("{{{rest}, {name}: false}}")), at(&format!(".{name}"), fault));
        assert_eq!(identity(&format!("{{{rest}, {name}: true}}")), []);
    }
}

/// Attack B8: an identity that would match anyone is spelled insecure, or is an error.
#[test]
fn attack_b8_an_identity_that_matches_anyone_is_an_error() {
    let none = |part, spell| PolicyFault::MatchesAnyone { part, stranger: None, spell };
    assert_eq!(identity("{subject: x}"), at("", none("issuer", "insecureAnyIssuer")));
    assert_eq!(identity(&format!("{{{GITHUB}}}")), at("", none("subject", "insecureAnySubject")));
    assert_eq!(
        identity("{subjectKind: email}"),
        [
            at("", none("issuer", "insecureAnyIssuer")),
            at("", none("subject", "insecureAnySubject"))
        ]
        .concat()
    );
    let narrow = "extensions: {sourceRepositoryURI: https://github.com/acme/app}";
    let anyone = |text: &str, field: &str| {
        let faults = identity(text);
        let told = matches!(faults.as_slice(), [(at, PolicyFault::MatchesAnyone { stranger: Some(_), .. })] if at == field);
        assert!(told, "{text}: {faults:?}");
    };
    for expression in
        [".*", ".+@.+", r".*@gmail\.com", r"https://github\.com/.*", r"https://github\.com/acme.*"]
    {
        let text = format!("{GITHUB}, subjectRegExp: '{expression}'");
        anyone(&format!("{{{text}}}"), ".subjectRegExp");
        assert_eq!(identity(&format!("{{{text}, {narrow}}}")), [], "{expression}");
        // What does not name the source narrows nothing.
        for wide in [
            "extensions: {runnerEnvironment: github-hosted, buildTrigger: push}",
            r"extensionsRegExp: {sourceRepositoryURI: 'https://github\.com/.*'}",
            r"extensionsRegExp: {sourceRepositoryOwnerURI: 'https://github\.com/acme.*'}",
            "extensionsRegExp: {sourceRepositoryIdentifier: '[0-9]+'}",
        ] {
            anyone(&format!("{{{text}, {wide}}}"), ".subjectRegExp");
        }
        for good in [
            "extensions: {sourceRepositoryOwnerURI: https://github.com/acme}",
            "extensions: {sourceRepositoryIdentifier: '4711'}",
            r"extensionsRegExp: {sourceRepositoryURI: 'https://github\.com/acme/.*'}",
            "extensionsRegExp: {tokenSubject: 'repo:acme/app:.*'}",
        ] {
            assert_eq!(identity(&format!("{{{text}, {good}}}")), [], "{good}");
        }
    }
    for expression in
        [".*", "https://.*", r"https://oidc\.eks\..*", r"https://accounts\.google\.com.*"]
    {
        anyone(
            &format!("{{issuerRegExp: '{expression}', subject: release@acme.com}}"),
            ".issuerRegExp",
        );
        // What a stranger's issuer says narrows nothing.
        anyone(
            &format!("{{issuerRegExp: '{expression}', subject: release@acme.com, {narrow}}}"),
            ".issuerRegExp",
        );
    }
    let accepted = format!("{{{GITHUB}, insecureAnySubject: true}}");
    assert_eq!(identity(&accepted), []);
    assert_eq!(identity("{insecureAnyIssuer: true, insecureAnySubject: true}"), []);
}

/// Attack B8: a workflow that anyone may call signs for anyone.
#[test]
fn attack_b8_a_public_workflow_names_no_source() {
    let workflow = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml@refs/tags/v2.1.0";
    let faults = identity(&format!("{{{GITHUB}, subject: '{workflow}'}}"));
    let stranger = Some(workflow.to_owned());
    let fault =
        PolicyFault::MatchesAnyone { part: "subject", stranger, spell: "insecureAnySubject" };
    assert_eq!(faults, at(".subject", fault));
    let narrow = "extensions: {sourceRepositoryURI: https://github.com/acme/app}";
    assert_eq!(identity(&format!("{{{GITHUB}, subject: '{workflow}', {narrow}}}")), []);
    let signer = format!("extensions: {{buildSignerURI: '{workflow}'}}");
    assert_eq!(identity(&format!("{{{GITHUB}, subject: '{workflow}', {signer}}}")).len(), 1);
}

/// Attack B5: expressions that break out of their anchors, or are too large.
#[test]
fn attack_b5_expressions_that_cannot_be_used_are_errors() {
    let expression = |text: &str| {
        let faults = identity(&format!("{{{GITHUB}, subjectRegExp: '{text}'}}"));
        faults.into_iter().map(|(_, fault)| fault).collect::<Vec<_>>()
    };
    for text in ["a)|(?:.*", "(", "a)(b", "[a", r"a\", "*", r"(?P<x", "a**b(", r"\1"] {
        let faults = expression(text);
        let told = matches!(faults.as_slice(), [PolicyFault::RegExp(RegExpFault::Syntax(_))]);
        assert!(told || text == "a**b(", "{text}: {faults:?}");
        assert!(!faults.is_empty(), "{text}");
    }
    assert_eq!(expression("(?x) acme # x"), [PolicyFault::RegExp(RegExpFault::Unanchored)]);
    let long = "a".repeat(1025);
    assert_eq!(expression(&long), [PolicyFault::RegExp(RegExpFault::TooLong { limit: 1024 })]);
    assert_eq!(
        expression(r"\w{4000}"),
        [PolicyFault::RegExp(RegExpFault::TooLarge { limit: 256 * 1024 })]
    );
}

#[test]
fn what_is_odd_is_noted_with_its_place() {
    let notes = |text: &str| {
        let documents = Documents::parse(&[file(&policy(&format!(
            "{{name: a, keyless: {{identities: [{text}]}}}}"
        )))]);
        let documents = documents.unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
        documents
            .notes()
            .iter()
            .map(|note| (note.field.clone(), note.advice.clone()))
            .collect::<Vec<_>>()
    };
    let field = |name: &str| format!("spec.require.keyless.identities[0].{name}");
    assert_eq!(notes(&good()), []);
    assert_eq!(
        notes(&format!("{{{GITHUB}, subjectRegExp: '{WORKFLOW}'}}")),
        [(field("subjectRegExp"), Advice::AnchoredHere)]
    );
    assert_eq!(
        notes(&format!("{{{GITHUB}, subjectRegExp: '^https://github.com/acme/.*$'}}")),
        [(field("subjectRegExp"), Advice::BareDot)]
    );
    assert_eq!(
        notes(&format!("{{{GITHUB}, subject: 'https://github.com/acme/*'}}")),
        [(field("subject"), Advice::NoWildcard)]
    );
    let text = policy(&format!(
        "{{name: a, keyless: {{identities: [{{{GITHUB}, subjectRegExp: '{WORKFLOW}'}}]}}}}"
    ));
    let documents = Documents::parse(&[file(&text)]).unwrap();
    let note = &documents.notes()[0];
    assert_eq!((note.file.as_str(), note.position.line), ("test.yaml", 4));
    let line = note.to_string();
    assert!(
        line.starts_with("test.yaml:4:") && line.contains("cosign") && line.contains("anchored"),
        "{line}"
    );
}
