//! Signatures that belong to something else, and data without end (classes B and D of the attack
//! list).

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealgate::image::Digest;
use sealgate::verify::{BUNDLE_MAX, Bound, Budget, Fault, PAYLOAD_MAX, PublicKey, Untrusted};
use serde_json::{Value, json};

use crate::signing::{self, IMAGE_SIGNATURE, SIGNATURE, Signer};

const MANIFEST: &[u8] = b"{\"schemaVersion\":2}";
const REFERENCE: &str = "registry.example.test/prod/app";

fn beyond(what: &'static str, limit: usize) -> Fault {
    Fault::Beyond(Bound { what, limit })
}

fn subject() -> Digest {
    Digest::of(MANIFEST)
}

fn key(signer: &Signer) -> PublicKey {
    PublicKey::parse_pem(&signer.pem()).unwrap()
}

/// Signs a payload whatever it says, and verifies it for the manifest.
fn payload(text: &str) -> Result<(), Fault> {
    let signer = Signer::p256();
    let untrusted =
        Untrusted::simple_signing(text.as_bytes(), &signer.annotations(text.as_bytes()))?;
    untrusted.verify(&subject(), &key(&signer), &mut Budget::default()).map(drop)
}

/// Signs a statement whatever it says, and verifies it for the manifest.
fn statement(text: &str) -> Result<(), Fault> {
    let signer = Signer::p256();
    let untrusted = Untrusted::bundle(signer.statement_bundle(text).as_bytes())?;
    untrusted.verify(&subject(), &key(&signer), &mut Budget::default()).map(drop)
}

/// Verifies a good bundle after `change`.
fn bundle(change: impl FnOnce(&mut Value)) -> Result<(), Fault> {
    let signer = Signer::p256();
    let good = signer.statement_bundle(&signing::statement(subject().as_str(), IMAGE_SIGNATURE));
    let mut bundle: Value = serde_json::from_str(&good).unwrap();
    change(&mut bundle);
    let untrusted = Untrusted::bundle(bundle.to_string().as_bytes())?;
    untrusted.verify(&subject(), &key(&signer), &mut Budget::default()).map(drop)
}

/// A genuine bundle whose statement is swapped for a message signature.
#[test]
fn attack_b1_content_swapped_for_a_message_signature() {
    let signer = Signer::p256();
    let text = signing::statement(subject().as_str(), IMAGE_SIGNATURE);
    let genuine: Value = serde_json::from_str(&signer.statement_bundle(&text)).unwrap();
    let signature = genuine["dsseEnvelope"]["signatures"][0]["sig"].clone();
    let signed = format!("DSSEv1 28 application/vnd.in-toto+json {} {text}", text.len());
    let entry = log_entry("dsse", "0.0.1", &dsse_body(&text, &signature));
    for (digest_of, entries, expected) in [
        (MANIFEST, json!([]), Fault::WrongSignature),
        (signed.as_bytes(), json!([]), Fault::OtherDigest),
        (MANIFEST, json!([entry]), Fault::OtherLogEntry),
        (signed.as_bytes(), json!([entry]), Fault::OtherLogEntry),
    ] {
        let mut swapped = genuine.clone();
        swapped.as_object_mut().unwrap().remove("dsseEnvelope");
        let digest = STANDARD.encode(hex::decode(Digest::of(digest_of).hex()).unwrap());
        swapped["messageSignature"] = json!({"messageDigest": {"algorithm": "SHA2_256", "digest": digest}, "signature": signature});
        swapped["verificationMaterial"]["tlogEntries"] = entries;
        let outcome = Untrusted::bundle(swapped.to_string().as_bytes()).and_then(|untrusted| {
            untrusted.verify(&subject(), &key(&signer), &mut Budget::default())
        });
        assert_eq!(outcome, Err(expected));
    }
}

fn log_entry(kind: &str, version: &str, body: &Value) -> Value {
    json!({
        "logIndex": "1",
        "logId": {"keyId": STANDARD.encode([0; 32])},
        "kindVersion": {"kind": kind, "version": version},
        "canonicalizedBody": STANDARD.encode(body.to_string()),
    })
}

fn dsse_body(statement: &str, signature: &Value) -> Value {
    json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {
        "payloadHash": {"algorithm": "sha256", "value": Digest::of(statement.as_bytes()).hex()},
        "signatures": [{"signature": signature}],
    }})
}

/// Log entries that agree are ignored, those about another signature, payload, digest or kind are
/// refused.
#[test]
fn attack_b1_a_log_entry_about_something_else() {
    let text = signing::statement(subject().as_str(), IMAGE_SIGNATURE);
    let signed = format!("DSSEv1 28 application/vnd.in-toto+json {} {text}", text.len());
    let other = Value::from(STANDARD.encode("other"));
    let hashed = |hash: &[u8], signature: &Value| {
        json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": Digest::of(hash).hex()}},
            "signature": {"content": signature},
        }})
    };
    let hashed_v2 = |hash: &[u8], signature: &Value| {
        let digest = STANDARD.encode(hex::decode(Digest::of(hash).hex()).unwrap());
        json!({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": {
            "data": {"algorithm": "SHA2_256", "digest": digest},
            "signature": {"content": signature},
        }}})
    };
    let intoto = |payload: &str, signature: &Value| {
        let twice = STANDARD.encode(signature.as_str().unwrap());
        json!({"apiVersion": "0.0.2", "kind": "intoto", "spec": {"content": {
            "payloadHash": {"algorithm": "sha256", "value": Digest::of(payload.as_bytes()).hex()},
            "envelope": {"signatures": [{"sig": twice}]},
        }}})
    };
    type Body<'a> = &'a dyn Fn(&Value) -> Value;
    let cases: [(&str, &str, Body<'_>, bool); 13] = [
        ("dsse", "0.0.1", &|sig| dsse_body(&text, sig), true),
        ("dsse", "0.0.1", &|sig| dsse_body("{}", sig), false),
        ("dsse", "0.0.1", &|_| dsse_body(&text, &other), false),
        ("intoto", "0.0.2", &|sig| intoto(&text, sig), true),
        ("intoto", "0.0.2", &|sig| intoto("{}", sig), false),
        ("intoto", "0.0.2", &|_| intoto(&text, &other), false),
        ("hashedrekord", "0.0.1", &|sig| hashed(signed.as_bytes(), sig), true),
        ("hashedrekord", "0.0.1", &|sig| hashed(MANIFEST, sig), false),
        ("hashedrekord", "0.0.1", &|_| hashed(signed.as_bytes(), &other), false),
        ("hashedrekord", "0.0.2", &|sig| hashed_v2(signed.as_bytes(), sig), true),
        ("hashedrekord", "0.0.2", &|sig| hashed_v2(MANIFEST, sig), false),
        ("hashedrekord", "0.0.2", &|sig| hashed(signed.as_bytes(), sig), false),
        ("dsse", "0.0.1", &|sig| hashed(signed.as_bytes(), sig), false),
    ];
    for (number, (kind, version, body, agrees)) in cases.into_iter().enumerate() {
        let outcome = bundle(|bundle| {
            let signature = bundle["dsseEnvelope"]["signatures"][0]["sig"].clone();
            bundle["verificationMaterial"]["tlogEntries"] =
                json!([log_entry(kind, version, &body(&signature))]);
        });
        assert_eq!(
            outcome,
            if agrees { Ok(()) } else { Err(Fault::OtherLogEntry) },
            "case {number}"
        );
    }
}

/// The same for signatures over the artifact itself, whose digest the bundle may say under another
/// algorithm or not.
#[test]
fn attack_b1_a_log_entry_about_another_artifact() {
    let signer = Signer::p256();
    let digest = hex::decode(subject().hex()).unwrap();
    let entry = |hash: &str, value: String, signature: &Value| {
        let body = json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
            "data": {"hash": {"algorithm": hash, "value": value}},
            "signature": {"content": signature},
        }});
        log_entry("hashedrekord", "0.0.1", &body)
    };
    let other = Value::from(STANDARD.encode("other"));
    for (hash, of, same_signature, says_digest, agrees) in [
        ("sha256", MANIFEST, true, true, true),
        ("sha256", &b"other"[..], true, true, false),
        ("sha256", MANIFEST, false, true, false),
        ("sha512", MANIFEST, true, true, true),
        ("sha512", MANIFEST, false, true, false),
        ("sha256", MANIFEST, true, false, true),
        ("sha256", MANIFEST, false, false, false),
        ("md5", MANIFEST, true, true, false),
    ] {
        let mut bundle: Value =
            serde_json::from_str(&signer.message_bundle(MANIFEST, "SHA2_256", &digest)).unwrap();
        let signature = bundle["messageSignature"]["signature"].clone();
        let logged = if same_signature { &signature } else { &other };
        let entry = entry(hash, Digest::of(of).hex().to_owned(), logged);
        bundle["verificationMaterial"]["tlogEntries"] = json!([entry]);
        if !says_digest {
            bundle["messageSignature"]["messageDigest"] = json!({});
        }
        let outcome = Untrusted::bundle(bundle.to_string().as_bytes()).and_then(|untrusted| {
            untrusted.verify(&subject(), &key(&signer), &mut Budget::default())
        });
        let expected = if agrees { Ok(()) } else { Err(Fault::OtherLogEntry) };
        assert_eq!(outcome.map(drop), expected, "{hash} {same_signature} {says_digest}");
    }
}

#[test]
fn attack_b1_one_bundle_with_two_contents_or_two_signers() {
    let message =
        json!({"messageDigest": {"algorithm": "SHA2_256", "digest": "AA=="}, "signature": "AA=="});
    assert_eq!(bundle(|b| b["messageSignature"] = message), Err(Fault::UnknownField));
    assert_eq!(bundle(|b| b["messageSignature"] = Value::Null), Err(Fault::UnknownField));
    let certificate = json!({"rawBytes": "AA=="});
    assert_eq!(
        bundle(|b| b["verificationMaterial"]["certificate"] = certificate),
        Err(Fault::UnknownField)
    );
    let chain = json!({"certificates": []});
    assert_eq!(
        bundle(|b| b["verificationMaterial"]["x509CertificateChain"] = chain),
        Err(Fault::UnknownField)
    );
    assert_eq!(bundle(|b| b["verificationMaterial"] = json!({})), Err(Fault::Malformed));
    let signature = json!({"sig": "AA=="});
    assert_eq!(
        bundle(|b| b["dsseEnvelope"]["signatures"].as_array_mut().unwrap().push(signature)),
        Err(Fault::SignatureCount)
    );
    assert_eq!(bundle(|b| b["dsseEnvelope"]["signatures"] = json!([])), Err(Fault::SignatureCount));
}

#[test]
fn attack_b2_every_predicate_but_one_is_no_image_signature() {
    assert_eq!(statement(&signing::statement(subject().as_str(), IMAGE_SIGNATURE)), Ok(()));
    for predicate in [
        "https://slsa.dev/provenance/v1",
        "https://cosign.sigstore.dev/attestation/v1",
        "https://sigstore.dev/cosign/sign/v2",
        "https://sigstore.dev/cosign/sign/v1/",
        "HTTPS://sigstore.dev/cosign/sign/v1",
        "",
    ] {
        let text = signing::statement(subject().as_str(), predicate);
        assert_eq!(statement(&text), Err(Fault::NotImageSignature), "{predicate}");
    }
}

#[test]
fn attack_b2_a_statement_of_no_subject_fits_nothing() {
    let good = signing::statement(subject().as_str(), IMAGE_SIGNATURE);
    let listed = good.find('[').unwrap()..=good.find(']').unwrap();
    let hex = subject().hex().to_owned();
    for (subjects, expected) in [
        ("[]".to_owned(), Fault::NoSubject),
        ("null".to_owned(), Fault::NoSubject),
        ("{}".to_owned(), Fault::NoSubject),
        ("[{}]".to_owned(), Fault::Malformed),
        (r#"[{"digest":{}}]"#.to_owned(), Fault::NoSubject),
        (r#"[{"digest":{"sha512":"00"}}]"#.to_owned(), Fault::Malformed),
        (
            format!(r#"[{{"digest":{{"sha512":"{}"}}}}]"#, "00".repeat(64)),
            Fault::SubjectBy("sha512"),
        ),
        (r#"[{"digest":{"sha256":""}}]"#.to_owned(), Fault::Malformed),
        (format!(r#"[{{"digest":{{"sha256":"{}"}}}}]"#, hex.to_uppercase()), Fault::Malformed),
        (format!(r#"[{{"digest":{{"sha256":"sha256:{hex}"}}}}]"#), Fault::Malformed),
        (format!(r#"[{{"name":"{hex}","digest":{{"sha1":"{hex}"}}}}]"#), Fault::SubjectBy("sha1")),
        (
            format!(r#"[{{"digest":{{"sha256":"{}"}}}}]"#, Digest::of(b"other").hex()),
            Fault::OtherDigest,
        ),
    ] {
        let mut text = good.clone();
        text.replace_range(listed.clone(), &subjects);
        assert_eq!(statement(&text), Err(expected), "{subjects}");
    }
    let mut several = good.clone();
    let other = Digest::of(b"other");
    several.replace_range(
        listed,
        &format!(
            r#"[{{"digest":{{"sha256":"{}"}}}},{{"name":"app","digest":{{"sha256":"{hex}"}}}}]"#,
            other.hex()
        ),
    );
    assert_eq!(statement(&several), Ok(()));
}

#[test]
fn attack_b3_statements_that_are_not_whole() {
    let good = signing::statement(subject().as_str(), IMAGE_SIGNATURE);
    for (from, to, expected) in [
        ("Statement/v1", "Statement/v0.1", Ok(())),
        ("Statement/v1", "Statement/v2", Err(Fault::StatementType)),
        ("\"_type\"", "\"type\"", Err(Fault::Malformed)),
        ("\"_type\"", "\"_TYPE\"", Err(Fault::Malformed)),
        ("\"predicate\":{}", "\"predicate\":[]", Ok(())),
        ("\"predicate\":{}", "\"predicate\":[}", Err(Fault::Json)),
        ("\"predicate\":{}", "\"predicate\":{},\"predicate\":{}", Err(Fault::Json)),
        ("\"predicate\":{}", "\"predicate\":{},\"Predicate\":{}", Err(Fault::Json)),
        ("\"predicate\":{}", "\"predicate\":{},\"Subject\":[]", Err(Fault::Json)),
        ("\"predicate\":{}", "\"predicate\":{},\"extra\":1", Err(Fault::UnknownField)),
        ("\"predicate\":{}}", "\"predicate\":{}} {}", Err(Fault::Json)),
        ("{\"_type\"", "[{\"_type\"", Err(Fault::Json)),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good);
        assert_eq!(statement(&text), expected, "{to}");
    }
}

#[test]
fn attack_b3_bundles_that_are_not_whole() {
    assert_eq!(bundle(|_| ()), Ok(()));
    type Change = fn(&mut Value);
    let cases: [(Change, Fault); 12] = [
        (|b| b["dsseEnvelope"]["payloadType"] = "text/plain".into(), Fault::EnvelopeType),
        (
            |b| b["dsseEnvelope"]["payloadType"] = "application/vnd.in-toto+JSON".into(),
            Fault::EnvelopeType,
        ),
        (
            |b| b["mediaType"] = "application/vnd.dev.sigstore.bundle.v0.4+json".into(),
            Fault::BundleType,
        ),
        (|b| drop(b.as_object_mut().unwrap().remove("mediaType")), Fault::BundleType),
        (|b| b["extra"] = 1.into(), Fault::UnknownField),
        (|b| b["dsseEnvelope"]["extra"] = 1.into(), Fault::UnknownField),
        (|b| b["verificationMaterial"]["extra"] = 1.into(), Fault::UnknownField),
        (|b| b["verificationMaterial"]["tlogEntries"] = json!([{}]), Fault::Malformed),
        (|b| b["verificationMaterial"]["publicKey"] = Value::Null, Fault::Malformed),
        (|b| b["dsseEnvelope"]["signatures"][0]["sig"] = "".into(), Fault::WrongSignature),
        (|b| b["dsseEnvelope"] = json!([]), Fault::Malformed),
        (|b| *b = json!([b.clone()]), Fault::Malformed),
    ];
    for (number, (change, expected)) in cases.into_iter().enumerate() {
        assert_eq!(bundle(change), Err(expected), "case {number}");
    }
}

#[test]
fn attack_b6_payloads_that_are_not_whole() {
    let good = signing::payload(subject().as_str(), REFERENCE);
    for (from, to, expected) in [
        ("null", "null", Ok(())),
        ("null", "{\"creator\":\"x\",\"timestamp\":1}", Ok(())),
        (",\"optional\":null", "", Ok(())),
        // What the signer adds is theirs; nobody decides by it.
        ("null", "{\"HTTP_PROXY\":\"a\",\"http_proxy\":\"b\"}", Ok(())),
        ("null", "{\"env\":[{\"A\":1,\"a\":{\"b\":1,\"B\":2}}]}", Ok(())),
        ("null", "{\"a\":1,\"a\":1}", Err(Fault::Json)),
        ("null", "{},\"Optional\":{}", Err(Fault::Json)),
        ("\"image\"", "\"x\":{\"A\":1,\"a\":2},\"image\"", Err(Fault::Json)),
        ("null", "1", Err(Fault::Malformed)),
        (
            "cosign container image signature",
            "cosign container image signature ",
            Err(Fault::PayloadType),
        ),
        ("cosign container image signature", "atomic container signature", Err(Fault::PayloadType)),
        ("cosign container image signature", "", Err(Fault::PayloadType)),
        (REFERENCE, "", Err(Fault::NoReference)),
        ("docker-reference", "docker_reference", Err(Fault::UnknownField)),
        (
            "{\"docker-reference\":\"registry.example.test/prod/app\"}",
            "{}",
            Err(Fault::NoReference),
        ),
        ("\"identity\"", "\"Identity\"", Err(Fault::UnknownField)),
        ("\"critical\"", "\"Critical\"", Err(Fault::UnknownField)),
        ("\"type\"", "\"Type\":\"x\",\"type\"", Err(Fault::Json)),
        ("\"type\"", "\"type\":\"x\",\"type\"", Err(Fault::Json)),
        ("\"type\"", "\"extra\":1,\"type\"", Err(Fault::UnknownField)),
        ("sha256:", "sha512:", Err(Fault::Malformed)),
        ("sha256:", "", Err(Fault::Malformed)),
        ("{\"critical\"", " {\"critical\"", Ok(())),
        ("null}", "null}x", Err(Fault::Json)),
    ] {
        assert_eq!(payload(&good.replacen(from, to, 1)), expected, "{from} -> {to}");
    }
    let other = signing::payload(Digest::of(b"other").as_str(), REFERENCE);
    assert_eq!(payload(&other), Err(Fault::OtherDigest));
}

/// A signature annotation has one spelling; only line breaks in it are skipped, as cosign skips
/// them.
#[test]
fn attack_d3_base64_that_is_not_canonical() {
    let signer = Signer::ed25519();
    let text = signing::payload(subject().as_str(), REFERENCE);
    let good = signer.annotations(text.as_bytes())[SIGNATURE].clone();
    let verify = |annotation: &str| {
        let annotations = BTreeMap::from([(SIGNATURE.to_owned(), annotation.to_owned())]);
        let untrusted = Untrusted::simple_signing(text.as_bytes(), &annotations)?;
        untrusted.verify(&subject(), &key(&signer), &mut Budget::default()).map(drop)
    };
    assert!(good.ends_with("=="));
    assert_eq!(verify(&good), Ok(()));
    assert_eq!(verify(&format!("{}\n{}\r\n", &good[..40], &good[40..])), Ok(()));
    let stray = |c: char| char::from_u32(u32::from(c) + 1).unwrap();
    let last = good.trim_end_matches('=').chars().last().unwrap();
    for bad in [
        good.trim_end_matches('=').to_owned(),
        format!("{good}="),
        format!(" {good}"),
        format!("{good}\0"),
        format!("{}{}==", &good[..good.len() - 3], stray(last)),
        good.replace(['+', '/'], "-") + "-",
    ] {
        assert_eq!(verify(&bad), Err(Fault::Encoding), "{bad}");
    }
    assert_eq!(verify(""), Err(Fault::NoSignature));
    assert_eq!(verify(&"A".repeat(5000)), Err(beyond("characters in a signature", 4096)));
    assert_eq!(
        Untrusted::simple_signing(text.as_bytes(), &BTreeMap::new()).map(drop),
        Err(Fault::NoSignature)
    );
    assert_eq!(
        bundle(|b| b["dsseEnvelope"]["signatures"][0]["sig"] = "AA".into()),
        Err(Fault::Encoding)
    );
    assert_eq!(bundle(|b| b["dsseEnvelope"]["payload"] = "e30".into()), Err(Fault::Encoding));
    assert_eq!(bundle(|b| b["dsseEnvelope"]["payload"] = "e-0=".into()), Err(Fault::Encoding));
}

#[test]
fn attack_d1_every_check_is_counted() {
    let (signer, other) = (Signer::p256(), Signer::p256());
    let text = signing::payload(subject().as_str(), REFERENCE);
    let untrusted =
        Untrusted::simple_signing(text.as_bytes(), &signer.annotations(text.as_bytes())).unwrap();
    let mut budget = Budget::new(2);
    assert_eq!(
        untrusted.verify(&Digest::of(b"other"), &key(&signer), &mut budget),
        Err(Fault::OtherDigest)
    );
    assert_eq!(budget.left(), 2);
    assert_eq!(untrusted.verify(&subject(), &key(&other), &mut budget), Err(Fault::WrongSignature));
    assert!(untrusted.verify(&subject(), &key(&signer), &mut budget).is_ok());
    assert_eq!(untrusted.verify(&subject(), &key(&signer), &mut budget), Err(Fault::BudgetSpent));
    assert_eq!(budget.left(), 0);
}

#[test]
fn attack_d1_what_is_too_long_is_not_parsed() {
    let good = signing::payload(subject().as_str(), REFERENCE);
    assert_eq!(payload(&format!("{good}{}", " ".repeat(PAYLOAD_MAX - good.len()))), Ok(()));
    assert_eq!(
        payload(&format!("{good}{}", " ".repeat(PAYLOAD_MAX - good.len() + 1))),
        Err(beyond("bytes", PAYLOAD_MAX))
    );
    let long = format!("{{{}}}", " ".repeat(BUNDLE_MAX));
    assert_eq!(Untrusted::bundle(long.as_bytes()).map(drop), Err(beyond("bytes", BUNDLE_MAX)));
}

#[test]
fn attack_d3_deep_and_wide_documents() {
    let optional = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let good = signing::payload(subject().as_str(), REFERENCE);
    assert_eq!(
        payload(&good.replace("null", &format!("{{\"a\":{optional}}}"))),
        Err(beyond("levels", 16))
    );
    let wide = format!("{{\"a\":[{}0]}}", "0,".repeat(5000));
    assert_eq!(payload(&good.replace("null", &wide)), Err(beyond("values", 4096)));
    let entries: Vec<_> = (0..1000).map(|_| json!({})).collect();
    assert!(bundle(|b| b["verificationMaterial"]["tlogEntries"] = entries.into()).is_err());
}
