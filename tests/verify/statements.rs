//! Statements as their makers write them: predicates of any shape and size, data whose keys differ
//! by case, subjects that have no sha256. What decides is as strict as ever.

use sealgate::image::Digest;
use sealgate::image::json::{JsonError, Keep};
use sealgate::image::skim::Shape;
use sealgate::verify::{
    About, Bound, Budget, Claim, Fault, PREDICATE_VALUES_MAX, PredicateError, PublicKey, Signed,
    Trust, Untrusted,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};

use crate::keyless::now;
use crate::signing::Signer;

const ARTIFACT: &[u8] = b"artifact";
const KIND: &str = "https://example.test/predicate/v1";

fn statement(subject: &str, predicate: &str) -> String {
    format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":{subject},"predicateType":"{KIND}"{predicate}}}"#
    )
}

fn subject() -> String {
    json!([{"name": "app", "digest": {"sha256": Digest::of(ARTIFACT).hex()}}]).to_string()
}

fn prove(text: &str, artifact: Option<&[u8]>) -> Result<Signed, Fault> {
    let signer = Signer::p256();
    let key = PublicKey::parse_pem(&signer.pem()).unwrap();
    let item = Untrusted::bundle(signer.statement_bundle(text).as_bytes())?;
    let (digest, types) = (Digest::of(ARTIFACT), [KIND.to_owned()]);
    let about = About { digest: &digest, artifact, claim: Claim::Attestation(&types) };
    let trust = Trust::Key { key: &key, root: None };
    item.prove(&about, &trust, sealgate::verify::Demands::NONE, now(), &mut Budget::default())
}

fn with(predicate: &str) -> Signed {
    prove(&statement(&subject(), &format!(",\"predicate\":{predicate}")), None).unwrap()
}

fn said(signed: &Signed, path: &[&str]) -> Result<Value, PredicateError> {
    let mut keep = Keep::nothing();
    keep.add(&path.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    signed.statement().unwrap().said(&keep, 1000)
}

#[test]
fn predicates_of_every_shape_hold_and_only_of_objects_can_a_part_be_asked() {
    for (predicate, shape) in [
        ("null", Shape::Null),
        ("true", Shape::Boolean),
        ("1.5", Shape::Number),
        (r#""SPDXVersion: SPDX-2.3\nPackageName: app""#, Shape::Text),
        ("[1,{\"a\":2}]", Shape::List),
        ("[]", Shape::List),
    ] {
        let signed = with(predicate);
        assert_eq!(signed.statement().unwrap().bounded(), Ok(()), "{predicate}");
        assert_eq!(said(&signed, &["a"]), Err(PredicateError::Shape(shape)), "{predicate}");
        assert_eq!(said(&signed, &[]), Err(PredicateError::Shape(shape)), "{predicate}");
    }
    let absent = prove(&statement(&subject(), ""), None).unwrap();
    assert_eq!(said(&absent, &["a"]), Err(PredicateError::NoPredicate));
    assert_eq!(said(&with("{}"), &["a"]), Ok(json!({})));
}

/// Attack A4: what is read of a predicate is what is spelt so, once; what nobody reads may be
/// anything.
#[test]
fn attack_a4_a_predicate_is_read_by_its_own_spelling() {
    for (predicate, path, expected) in [
        (
            r#"{"HTTP_PROXY":"a","http_proxy":"b"}"#,
            &["http_proxy"][..],
            Ok(json!({"http_proxy": "b"})),
        ),
        (r#"{"HTTP_PROXY":"a","http_proxy":"b"}"#, &["Http_Proxy"], Ok(json!({}))),
        (
            r#"{"l":{"MAINTAINER":1,"maintainer":2}}"#,
            &["l"],
            Ok(json!({"l": {"MAINTAINER": 1, "maintainer": 2}})),
        ),
        (
            r#"{"l":[{"A":1,"a":2}],"x":{"y":1,"y":2}}"#,
            &["l"],
            Ok(json!({"l": [{"A": 1, "a": 2}]})),
        ),
        ("{\"K\":1,\"\u{212a}\":2,\"k\":3}", &["k"], Ok(json!({"k": 3}))),
        (r#"{"a":1,"a":2,"b":3}"#, &["b"], Ok(json!({"b": 3}))),
        (
            r#"{"a":1,"a":2,"b":3}"#,
            &["a"],
            Err(PredicateError::Json(JsonError::DuplicateKey("a".into()))),
        ),
        (
            r#"{"a":1,"\u0061":2}"#,
            &["a"],
            Err(PredicateError::Json(JsonError::DuplicateKey("a".into()))),
        ),
        (
            r#"{"a":{"b":1,"b":2}}"#,
            &["a"],
            Err(PredicateError::Json(JsonError::DuplicateKey("b".into()))),
        ),
        (r#"{"a":{"b":1,"b":2,"c":3}}"#, &["a", "c"], Ok(json!({"a": {"c": 3}}))),
    ] {
        assert_eq!(said(&with(predicate), path), expected, "{predicate}");
    }
}

/// Attack A4: the keys that decide are never free, before the predicate and behind it.
#[test]
fn attack_a4_keys_that_decide_are_spelt_once() {
    for predicate in [
        ",\"predicate\":{},\"PREDICATE\":{}",
        ",\"Predicate\":{},\"predicate\":{}",
        ",\"predicate\":{},\"predicate\":{}",
        ",\"predicate\":{},\"\\u0070redicate\":{}",
        ",\"predicate\":{},\"predicatetype\":\"x\"",
        ",\"predicate\":{},\"Subject\":[]",
        ",\"x\":{\"A\":1,\"a\":2},\"predicate\":{}",
    ] {
        assert_eq!(
            prove(&statement(&subject(), predicate), None).map(drop),
            Err(Fault::Json),
            "{predicate}"
        );
    }
    let sha256 = Digest::of(ARTIFACT).hex().to_owned();
    for digest in [
        format!(r#"{{"sha256":"{sha256}","SHA256":"{}"}}"#, Digest::of(b"other").hex()),
        format!(r#"{{"sha256":"{sha256}","sha256":"{sha256}"}}"#),
    ] {
        let text = statement(&format!(r#"[{{"digest":{digest}}}]"#), "");
        assert_eq!(prove(&text, None).map(drop), Err(Fault::Json), "{digest}");
    }
    // A subject's annotations are its maker's.
    let subject = format!(
        r#"[{{"digest":{{"sha256":"{sha256}"}},"annotations":{{"A":{{"b":1,"B":2}},"a":1}}}}]"#
    );
    assert!(prove(&statement(&subject, ""), None).is_ok());
}

/// Attacks D1 and D3: a predicate past a limit is not read, and the limit is named; what is passed
/// over costs nothing.
#[test]
fn attack_d3_predicates_past_a_limit() {
    let list = |values: usize| format!("{{\"l\":[{}0]}}", "0,".repeat(values - 3));
    let most = with(&list(PREDICATE_VALUES_MAX));
    assert_eq!(most.statement().unwrap().bounded(), Ok(()));
    let past = with(&list(PREDICATE_VALUES_MAX + 1));
    let bound = Bound { what: "values in its predicate", limit: PREDICATE_VALUES_MAX };
    assert_eq!(past.statement().unwrap().bounded(), Err(Fault::Beyond(bound)));
    // More where they are large: a bill of materials of many megabytes.
    let long =
        format!("{{\"l\":[{}0]}}", format!("\"{}\",", "x".repeat(60)).repeat(PREDICATE_VALUES_MAX));
    assert_eq!(with(&long).statement().unwrap().bounded(), Ok(()));
    assert_eq!(said(&with(&long), &["m"]), Ok(json!({})));
    assert_eq!(said(&with(&long), &["l"]), Err(PredicateError::Json(JsonError::TooMany(1000))));
    let deep =
        |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    assert_eq!(with(&deep(64)).statement().unwrap().bounded(), Ok(()));
    let bound = Bound { what: "levels in its predicate", limit: 64 };
    for levels in [65, 100_000] {
        assert_eq!(
            with(&deep(levels)).statement().unwrap().bounded(),
            Err(Fault::Beyond(bound)),
            "{levels}"
        );
    }
    assert!(with(&deep(1_000_000)).statement().unwrap().bounded().is_err());
    // Around the predicate limits are as they were.
    let many =
        json!(vec![json!({"digest": {"sha256": Digest::of(ARTIFACT).hex()}}); 4097]).to_string();
    let bound = Bound { what: "subjects", limit: 4096 };
    assert_eq!(prove(&statement(&many, ""), None).map(drop), Err(Fault::Beyond(bound)));
}

/// Subjects by sha512 alone, as npm's provenance has them: compared with bytes, and named where
/// there are none.
#[test]
fn subjects_by_sha512_alone() {
    let (right, wrong) =
        (hex::encode(Sha512::digest(ARTIFACT)), hex::encode(Sha512::digest(b"other")));
    let of = |digests: &[Value]| {
        let subjects: Vec<_> =
            digests.iter().map(|digest| json!({"name": "pkg:npm/app", "digest": digest})).collect();
        statement(&json!(subjects).to_string(), ",\"predicate\":{}")
    };
    let sha256 = Digest::of(ARTIFACT).hex().to_owned();
    let other = Digest::of(b"other").hex().to_owned();
    for (digests, by_bytes, by_digest) in [
        (vec![json!({"sha512": right})], Ok(()), Err(Fault::SubjectBy("sha512"))),
        (vec![json!({"sha512": wrong})], Err(Fault::OtherDigest), Err(Fault::SubjectBy("sha512"))),
        (
            vec![json!({"sha512": wrong}), json!({"sha512": right})],
            Ok(()),
            Err(Fault::SubjectBy("sha512")),
        ),
        (vec![json!({"sha512": wrong}), json!({"sha256": sha256})], Ok(()), Ok(())),
        // Of one subject with both, an image is known by its sha256.
        (
            vec![json!({"sha512": right, "sha256": other})],
            Err(Fault::OtherDigest),
            Err(Fault::OtherDigest),
        ),
        (vec![json!({"sha512": wrong, "sha256": sha256})], Ok(()), Ok(())),
        (vec![json!({"sha512": right}), json!({"sha256": other})], Ok(()), Err(Fault::OtherDigest)),
        (
            vec![json!({"sha512": right.to_uppercase()})],
            Err(Fault::Malformed),
            Err(Fault::Malformed),
        ),
        (vec![json!({"sha512": &right[..126]})], Err(Fault::Malformed), Err(Fault::Malformed)),
        (vec![json!({"sha512": 1})], Err(Fault::Malformed), Err(Fault::Malformed)),
        (vec![json!({"sha1": "00"})], Err(Fault::SubjectBy("sha1")), Err(Fault::SubjectBy("sha1"))),
        (
            vec![json!({"gitCommit": "00"})],
            Err(Fault::SubjectBy("gitCommit")),
            Err(Fault::SubjectBy("gitCommit")),
        ),
        (
            vec![json!({"sha384": "00"})],
            Err(Fault::SubjectBy("sha384")),
            Err(Fault::SubjectBy("sha384")),
        ),
        (
            vec![json!({"x": "00"})],
            Err(Fault::SubjectBy("another digest")),
            Err(Fault::SubjectBy("another digest")),
        ),
        (vec![json!({})], Err(Fault::NoSubject), Err(Fault::NoSubject)),
    ] {
        let text = of(&digests);
        assert_eq!(prove(&text, Some(ARTIFACT)).map(drop), by_bytes, "{text}");
        assert_eq!(prove(&text, None).map(drop), by_digest, "{text}");
    }
    // Bytes that are not the digest's are refused before anything is compared.
    assert_eq!(
        prove(&of(&[json!({"sha512": wrong})]), Some(b"other")).map(drop),
        Err(Fault::OtherDigest)
    );
}
