//! What rows read, and what they make of lines that nobody knows.

use super::*;

const HEAD: &str =
    r#""schema":2,"id":"019aa3f5c6d1-00000007-5b1e22c4","time":"2025-11-21T00:00:00.000Z""#;

#[test]
fn a_decision_is_read_by_the_names_of_its_fields() {
    let text = format!(
        r#"{{"kind":"decision",{HEAD},"call":"CreateContainer","pod":{{"namespace":"prod","name":"a","uid":null}},
        "reference":"reg.test/\u0061:1","digest":null,"verdict":"admitted","reason":{{"code":"satisfied","message":"m"}},
        "cached":false,"policies":[{{"unmatched":false,"documents":[{{"policy":"p","action":"enforce","satisfied":true,
        "accepts_anything":false,"requirements":[{{"name":"r","satisfied":true,"signers":[
            {{"key":"sha256:00","file":"build.pub","logEntries":[{{"log":"l","index":7}}]}},
            {{"certificate":{{"subject":"a@b.test","subjectKind":"email","fingerprint":"sha256:01"}}}}],
        "rests_on":[],"fates":[]}}]}}]}}],"timings":{{"x":1}},"repeats":12,"later":{{"a":[1]}}}}"#
    );
    let row = Row::parse(&text).unwrap();
    assert_eq!((row.kind.as_str(), row.schema.number(), row.repeats.number()), ("decision", 2, 12));
    assert_eq!((row.pod.name.as_str(), row.pod.uid.some()), ("a", None));
    assert_eq!((row.reference.as_str(), row.digest.some()), ("reg.test/a:1", None));
    assert_eq!(row.known_verdict(), Some(Verdict::Admitted));
    assert_eq!(row.when().unwrap().to_string(), "2025-11-21T00:00:00.000Z");
    assert_eq!(row.policies.names().collect::<Vec<_>>(), ["p"]);
    let who: Vec<&str> = row.policies.signers().map(SignerRow::who).collect();
    assert_eq!(who, ["build.pub", "a@b.test"]);
    let entries = &row.policies.signers().next().unwrap().entries;
    assert_eq!((entries[0].log.as_str(), entries[0].index.number()), ("l", 7));
}

#[test]
fn lines_of_later_versions_are_read_as_far_as_they_go() {
    for (text, verdict) in [
        (format!(r#"{{"kind":"later",{HEAD},"pod":"a pod","verdict":"admitted"}}"#), ""),
        (
            format!(
                r#"{{"kind":"decision",{HEAD},"verdict":{{"word":1}},"policies":{{"cut":"x"}}}}"#
            ),
            "",
        ),
        (
            format!(r#"{{"kind":"decision",{HEAD},"verdict":"pondered","policies":null}}"#),
            "pondered",
        ),
    ] {
        let row = Row::parse(&text).unwrap();
        assert_eq!(row.id.as_str(), "019aa3f5c6d1-00000007-5b1e22c4", "{text}");
        assert_eq!((row.verdict.as_str(), row.known_verdict()), (verdict, None), "{text}");
        assert!(!row.was_let_through(), "{text}");
    }
    for text in [
        "",
        "7",
        "[]",
        "{}",
        r#"{"kind":7"#,
        r#"{"kind":"","id":"x"}"#,
        r#"{"kind":"a","kind":"b"}"#,
    ] {
        assert!(Row::parse(text).is_err(), "{text}");
    }
}

#[test]
fn schema_1_has_the_words_of_today() {
    let of = |code: &str, accepts: bool| {
        let text = format!(
            r#"{{"kind":"decision","schema":1,"verdict":"admitted","reason":{{"code":"{code}"}},"policies":[
            {{"documents":[{{"policy":"p","accepts_anything":{accepts}}}]}}]}}"#
        );
        Row::parse(&text).unwrap().known_verdict().unwrap()
    };
    assert_eq!(of("satisfied", false), Verdict::Admitted);
    assert_eq!(of("satisfied", true), Verdict::Unverified);
    assert_eq!(of("warned", false), Verdict::Warned);
    assert_eq!(of("unmatched", false), Verdict::Unmatched);
}
