//! Predicates of every shape, and how a condition reads them.

use super::*;

/// What nothing is asked of admits whatever it is; what is asked of something that cannot say it
/// cannot be told.
#[test]
fn predicates_of_other_shapes_admit_where_nothing_is_asked_of_them() {
    const KIND: &str = "https://example.test/report/v1";
    let signer = Signer::new();
    let target = digest("image");
    let judge = |predicate_type: &str, more: &str, predicate: &str| {
        let kind = if more.contains("slsa:") {
            String::new()
        } else {
            format!("predicateType: '{predicate_type}', ")
        };
        let require = format!(
            "{{name: report, attestation: {{{kind}by: {{key: {{files: [a.pub]}}}}{more}}}}}"
        );
        let set = set(&policy(&require), &[("a.pub", &signer)]);
        let evidence =
            found(&target, vec![signer.attests_text(&target, predicate_type, predicate)]);
        judge(&set, &subject("reg.test/prod/app:v1", &target), &[&evidence])
    };
    let unable = |verdict| {
        let denial = denied(verdict);
        assert_eq!(denial.class(), Class::Unable, "{denial}");
        let Reason::NotTold { why } = denial.reason() else { panic!("{denial:?}") };
        why.clone()
    };
    for predicate in ["null", "\"SPDXVersion: SPDX-2.3\"", "[{\"a\":1}]", "true", "7", "{}"] {
        assert_permitted(judge(KIND, "", predicate));
        assert_permitted(judge(KIND, ", where: 'predicateType != \"x\"'", predicate));
        let slsa = judge(SLSA, ", slsa: {source: 'https://github.com/acme/app'}", predicate);
        if predicate == "{}" {
            assert_eq!(denied(slsa).class(), Class::Refused);
            continue;
        }
        assert!(matches!(unable(slsa), Finding::ConditionFailed { .. }), "{predicate}");
        // Attack B2: no negation of what is not there makes it true.
        for condition in [
            "predicate.a == 1",
            "!has(predicate.a)",
            "!(predicate.a == 1)",
            "predicate == null",
            "predicate != 1",
        ] {
            let why = unable(judge(KIND, &format!(", where: '{condition}'"), predicate));
            assert!(
                matches!(why, Finding::ConditionFailed { .. }),
                "{condition} of {predicate}: {why}"
            );
        }
    }
    // Past a limit: admitted by nobody, and the limit is named.
    let many = format!("{{\"a\":1,\"l\":[{}0]}}", "0,".repeat(280_000));
    for more in ["", ", where: 'predicate.a == 1'"] {
        let why = unable(judge(KIND, more, &many));
        assert!(why.to_string().contains("more than 262144 values in its predicate"), "{why}");
    }
}

/// By somebody else it is as any other signature by somebody else.
#[test]
fn a_predicate_past_a_limit_by_somebody_else_is_refused() {
    const KIND: &str = "https://example.test/report/v1";
    let (signer, target) = (Signer::new(), digest("image"));
    let many = format!("{{\"a\":1,\"l\":[{}0]}}", "0,".repeat(280_000));
    let stranger = Signer::new();
    let require = format!(
        "{{name: report, attestation: {{predicateType: '{KIND}', by: {{key: {{files: \
         [a.pub]}}}}}}}}"
    );
    let set = set(&policy(&require), &[("a.pub", &signer)]);
    let evidence = found(&target, vec![stranger.attests_text(&target, KIND, &many)]);
    let verdict = judge(&set, &subject("reg.test/prod/app:v1", &target), &[&evidence]);
    assert_eq!(denied(verdict).class(), Class::Refused);
}

/// Attack A4: a condition sees the key that it names, and no other spelling; one that stands twice
/// it does not see at all.
#[test]
fn attack_a4_a_condition_reads_the_spelling_that_it_names() {
    const KIND: &str = "https://example.test/report/v1";
    let signer = Signer::new();
    let target = digest("image");
    let verdict = |predicate_type: &str, asked: &str, predicate: &str| {
        let kind = if asked.contains("slsa:") {
            String::new()
        } else {
            format!("predicateType: '{predicate_type}', ")
        };
        let require = format!(
            "{{name: report, attestation: {{{kind}by: {{key: {{files: [a.pub]}}}}, {asked}}}}}"
        );
        let set = set(&policy(&require), &[("a.pub", &signer)]);
        let evidence =
            found(&target, vec![signer.attests_text(&target, predicate_type, predicate)]);
        match judge(&set, &subject("reg.test/prod/app:v1", &target), &[&evidence]) {
            crate::policy::Verdict::Permit(_) => None,
            crate::policy::Verdict::Denial(denial) => Some(denial.class()),
        }
    };
    let (no, unable) = (Some(Class::Refused), Some(Class::Unable));
    for (condition, predicate, expected) in [
        ("predicate.critical == 0", r#"{"Critical":0,"critical":3}"#, no),
        ("predicate.critical == 0", r#"{"critical":0,"CRITICAL":3}"#, None),
        ("predicate.critical == 0", r#"{"Critical":0}"#, unable),
        ("predicate.critical == 0", r#"{"critical":0,"critical":3}"#, unable),
        ("predicate.critical == 0", r#"{"critical":3,"critical":0}"#, unable),
        ("predicate.critical == 0", r#"{"critical":0,"\u0063ritical":0}"#, unable),
        ("predicate.critical == 0", r#"{"critical":0,"env":{"A":1,"A":2,"a":3}}"#, None),
        ("predicate.env.a == 3", r#"{"env":{"A":1,"a":3}}"#, None),
        ("predicate.env.all(k, k != \"B\")", r#"{"env":{"A":1,"a":3}}"#, None),
        ("predicate.env.all(k, k != \"A\")", r#"{"env":{"A":1,"a":3}}"#, no),
        ("predicate.env.all(k, k != \"B\")", r#"{"env":{"A":1,"A":3}}"#, unable),
    ] {
        assert_eq!(
            verdict(KIND, &format!("where: '{condition}'"), predicate),
            expected,
            "{condition}: {predicate}"
        );
    }
    let provenance = |source: &str, more: &str| {
        format!(
            r#"{{"buildDefinition":{{"externalParameters":{{"source":"{source}"{more}}},"internalParameters":{{"HTTP_PROXY":"a","http_proxy":"b"}}}}}}"#
        )
    };
    let (ours, theirs) = ("https://github.com/acme/app", "https://github.com/other/app");
    let asked = format!("slsa: {{source: '{ours}'}}");
    for (predicate, expected) in [
        (provenance(ours, ""), None),
        (provenance(theirs, ""), no),
        (provenance(ours, &format!(r#","Source":"{theirs}""#)), None),
        (provenance(theirs, &format!(r#","SOURCE":"{ours}""#)), no),
        (provenance(ours, &format!(r#","source":"{theirs}""#)), unable),
        (provenance(ours, &format!(r#","source":"{ours}""#)), unable),
    ] {
        assert_eq!(verdict(SLSA, &asked, &predicate), expected, "{predicate}");
    }
}

/// What the real cosign made of data whose keys differ by case, and of a document that is a text,
/// in both shapes.
#[test]
fn free_data_and_texts_as_cosign_attests_them() {
    const BUILD: &str = "https://acme.example/build/v1";
    let require = |predicate_type: &str, more: &str| {
        let by = "by: {key: {files: [build.pub]}}";
        format!("{{name: build, attestation: {{predicateType: '{predicate_type}', {by}{more}}}}}")
    };
    let proxy = |name: &str, value: &str| {
        require(BUILD, &format!(", where: 'predicate.environment.{name} == \"{value}\"'"))
    };
    assert_permitted(judged_in(&require(BUILD, ""), "attested-by-case", LATER));
    assert_permitted(judged_in(
        &proxy("http_proxy", "http://other.acme.example"),
        "attested-by-case",
        LATER,
    ));
    assert_permitted(judged_in(
        &proxy("HTTP_PROXY", "http://proxy.acme.example"),
        "attested-by-case",
        LATER,
    ));
    for (name, value, class) in [
        ("http_proxy", "http://proxy.acme.example", Class::Refused),
        ("HTTP_PROXY", "http://other.acme.example", Class::Refused),
        ("Http_Proxy", "http://proxy.acme.example", Class::Unable),
    ] {
        assert_eq!(
            denied(judged_in(&proxy(name, value), "attested-by-case", LATER)).class(),
            class,
            "{name}"
        );
    }
    assert_permitted(judged_in(&require("spdx", ""), "attested-text", LATER));
    for condition in
        ["size(predicate.packages) > 0", "predicate != \"\"", "!has(predicate.packages)"]
    {
        let asked = require("spdx", &format!(", where: '{condition}'"));
        assert_eq!(
            denied(judged_in(&asked, "attested-text", LATER)).class(),
            Class::Unable,
            "{condition}"
        );
    }
    assert_permitted(judged_in(
        "{name: build, key: {files: [build.pub]}}",
        "labels-by-case",
        LATER,
    ));
}
