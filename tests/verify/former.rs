//! Log entries of kinds that only older signers wrote: `rekord` 0.0.1 beside signatures, `intoto`
//! 0.0.1 beside attestations (cosign before 2.2). Each is bound to what was signed, to the
//! signature and to the certificate or key.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealgate::image::Digest;
use sealgate::verify::{
    About, Budget, Claim, Demands, Fault, PublicKey, Signed, Trust, TrustRoot, Untrusted,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::instance::{ARTIFACT, DEMANDS, Holder, Instance, SIGNED};
use crate::keyless::now;
use crate::signing::{self, Signer};

const PROVENANCE: &str = "https://slsa.dev/provenance/v0.2";
const TYPE: &str = "application/vnd.in-toto+json";
const BUNDLE: &str = "dev.sigstore.cosign/bundle";

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn statement() -> String {
    signing::statement(Digest::of(ARTIFACT).as_str(), PROVENANCE)
}

/// An envelope as cosign writes it, signed with this.
fn envelope(sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let statement = statement();
    let signed = format!("DSSEv1 {} {TYPE} {} {statement}", TYPE.len(), statement.len());
    let signature = STANDARD.encode(sign(signed.as_bytes()));
    let payload = STANDARD.encode(&statement);
    format!(
        r#"{{"payloadType":"{TYPE}","payload":"{payload}","signatures":[{{"keyid":"","sig":"{signature}"}}]}}"#
    )
}

/// What Rekor writes of an envelope (`pkg/types/intoto/v0.0.1`, `Canonicalize`).
fn intoto(envelope: &str, verifier: &str) -> Value {
    json!({"apiVersion": "0.0.1", "kind": "intoto", "spec": {
        "content": {
            "hash": {"algorithm": "sha256", "value": sha256(envelope.as_bytes())},
            "payloadHash": {"algorithm": "sha256", "value": sha256(statement().as_bytes())},
        },
        "publicKey": verifier,
    }})
}

/// What Rekor writes of a signature (`pkg/types/rekord/v0.0.1`, `Canonicalize`).
fn rekord(payload: &str, signature: &str, verifier: &str) -> Value {
    json!({"apiVersion": "0.0.1", "kind": "rekord", "spec": {
        "data": {"hash": {"algorithm": "sha256", "value": sha256(payload.as_bytes())}},
        "signature": {"content": signature, "format": "x509", "publicKey": {"content": verifier}},
    }})
}

fn prove(root: &Value, item: &Untrusted, demands: Demands) -> Result<Signed, Fault> {
    let root = TrustRoot::parse(root.to_string().as_bytes()).unwrap();
    let (digest, types) = (Digest::of(ARTIFACT), [PROVENANCE.to_owned()]);
    let claim = item.predicate_type().map_or(Claim::ImageSignature, |_| Claim::Attestation(&types));
    let about = About { digest: &digest, artifact: None, claim };
    item.prove(&about, &Trust::Keyless { root: &root }, demands, now(), &mut Budget::default())
}

/// An attestation with an entry of `intoto` 0.0.1, and the trust in it; each can be changed.
struct Attested {
    root: Value,
    instance: Instance,
    holder: Holder,
    envelope: String,
}

impl Attested {
    fn new() -> Self {
        let instance = Instance::new();
        let holder = instance.issue(|_| {});
        let envelope = envelope(|bytes| holder.sign(bytes));
        Self { root: instance.trust_root(), instance, holder, envelope }
    }

    fn judge(
        &self,
        envelope: &str,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Signed, Fault> {
        prove(&self.root, &Untrusted::attestation(envelope.as_bytes(), annotations)?, DEMANDS)
    }

    fn logged(&self, body: &Value) -> BTreeMap<String, String> {
        self.instance.annotations(&self.holder, body, SIGNED)
    }

    fn body(&self) -> Value {
        intoto(&self.envelope, &self.holder.logged())
    }
}

#[test]
fn an_attestation_with_an_entry_of_intoto_001() {
    let attested = Attested::new();
    let signed = attested.judge(&attested.envelope, &attested.logged(&attested.body())).unwrap();
    assert_eq!(
        (signed.entries().len(), signed.times().len(), signed.entries()[0].index),
        (1, 1, Some(7))
    );
    assert_eq!(signed.times()[0].time.as_second(), SIGNED);
    // The first of the kind had no digest of the payload.
    let mut first = attested.body();
    first["spec"]["content"].as_object_mut().unwrap().remove("payloadHash");
    assert!(attested.judge(&attested.envelope, &attested.logged(&first)).is_ok());
    // A certificate log is asked for all the same, and so are other logs.
    let item =
        Untrusted::attestation(attested.envelope.as_bytes(), &attested.logged(&attested.body()))
            .unwrap();
    assert_eq!(prove(&attested.root, &item, Demands::KEYLESS), Err(Fault::Sct));
    let two = Demands { log_entries: 2, ..DEMANDS };
    assert_eq!(prove(&attested.root, &item, two), Err(Fault::TooFewLogEntries { got: 1, want: 2 }));
}

/// Attack B1: an entry that is about another envelope, signature, payload or holder.
#[test]
fn attack_b1_an_intoto_001_entry_about_something_else() {
    let attested = Attested::new();
    let other = attested.instance.issue(|_| {});
    let judge = |body: &Value| attested.judge(&attested.envelope, &attested.logged(body)).map(drop);
    let with = |pointer: &str, value: Value| {
        let mut body = attested.body();
        *body.pointer_mut(pointer).unwrap() = value;
        judge(&body)
    };
    assert_eq!(judge(&attested.body()), Ok(()));
    let key = signing::pem("PUBLIC KEY", &attested.holder.spki());
    for (pointer, value) in [
        ("/spec/content/hash/value", json!(sha256(b"other"))),
        ("/spec/content/hash/value", json!(sha256(statement().as_bytes()))),
        ("/spec/content/hash/value", json!(sha256(attested.envelope.as_bytes()).to_uppercase())),
        ("/spec/content/hash/algorithm", json!("sha512")),
        ("/spec/content/hash", Value::Null),
        ("/spec/content/payloadHash/value", json!(sha256(b"other"))),
        ("/spec/content/payloadHash/algorithm", json!("md5")),
        ("/spec/content/payloadHash", Value::Null),
        ("/spec/content", Value::Null),
        ("/spec/publicKey", json!(other.logged())),
        // Its key, and not its certificate.
        ("/spec/publicKey", json!(STANDARD.encode(key))),
        ("/spec/publicKey", json!("")),
        ("/spec", json!({})),
        ("/kind", json!("rekord")),
        ("/kind", json!("hashedrekord")),
    ] {
        assert_eq!(with(pointer, value.clone()), Err(Fault::OtherLogEntry), "{pointer} {value}");
    }
    // The same statement signed once more, and the same envelope written in another way: another
    // digest.
    let again = envelope(|bytes| attested.holder.sign(bytes));
    let spaced = attested.envelope.replacen('{', "{ ", 1);
    for envelope in [again, spaced] {
        let outcome = attested.judge(&envelope, &attested.logged(&attested.body()));
        assert_eq!(outcome, Err(Fault::OtherLogEntry));
    }
    // Somebody else's, entry and all.
    let theirs = envelope(|bytes| other.sign(bytes));
    assert_eq!(
        attested.judge(&theirs, &attested.logged(&attested.body())),
        Err(Fault::OtherLogEntry)
    );
    let body = intoto(&theirs, &attested.holder.logged());
    assert_eq!(attested.judge(&theirs, &attested.logged(&body)), Err(Fault::WrongSignature));
}

/// Attacks C1 and B7: what is judged without the library is judged as strictly.
#[test]
fn attack_c1_certificates_beside_an_older_entry() {
    let attested = Attested::new();
    let body = attested.body();
    let item =
        Untrusted::attestation(attested.envelope.as_bytes(), &attested.logged(&body)).unwrap();
    let under = |change: &dyn Fn(&mut Value)| {
        let mut root = attested.root.clone();
        change(&mut root);
        prove(&root, &item, DEMANDS).map(drop)
    };
    let window = |start: &str, end: &str| json!({"start": start, "end": end});
    assert_eq!(under(&|_| {}), Ok(()));
    let stranger = Instance::new().trust_root();
    let theirs = &stranger["certificateAuthorities"];
    assert_eq!(
        under(&|root| root["certificateAuthorities"] = theirs.clone()),
        Err(Fault::CertificateChain)
    );
    assert_eq!(under(&|root| root["tlogs"] = stranger["tlogs"].clone()), Err(Fault::LogUnknown));
    for (start, end) in [
        ("2025-06-01T12:00:01Z", "2026-01-01T00:00:00Z"),
        ("2024-01-01T00:00:00Z", "2025-06-01T11:59:59Z"),
    ] {
        let late =
            |root: &mut Value| root["certificateAuthorities"][0]["validFor"] = window(start, end);
        assert_eq!(under(&late), Err(Fault::CertificateChain));
        let late =
            |root: &mut Value| root["tlogs"][0]["publicKey"]["validFor"] = window(start, end);
        assert_eq!(under(&late), Err(Fault::LogUnknown));
    }
    for (at, expected) in [
        (SIGNED - 86_400, Fault::CertificateExpired),
        (SIGNED + 86_400, Fault::CertificateExpired),
        (4_102_444_800, Fault::FutureTime),
    ] {
        let annotations = attested.instance.annotations(&attested.holder, &body, at);
        assert_eq!(attested.judge(&attested.envelope, &annotations), Err(expected), "{at}");
    }
    // A certificate that is not for signing code.
    let holder = attested.instance.issue(|params| params.extended_key_usages.clear());
    let envelope = envelope(|bytes| holder.sign(bytes));
    let annotations =
        attested.instance.annotations(&holder, &intoto(&envelope, &holder.logged()), SIGNED);
    assert_eq!(attested.judge(&envelope, &annotations), Err(Fault::CertificateChain));
}

/// Attack B3: nothing changed is accepted but what nobody reads.
#[test]
fn attack_b3_no_changed_byte_of_an_older_attestation_passes() {
    let attested = Attested::new();
    let annotations = attested.logged(&attested.body());
    let good = attested.judge(&attested.envelope, &annotations).unwrap();
    for at in 0..attested.envelope.len() {
        let mut changed = attested.envelope.clone().into_bytes();
        changed[at] ^= 1;
        let Ok(changed) = String::from_utf8(changed) else { continue };
        assert!(attested.judge(&changed, &annotations).is_err(), "envelope byte {at}");
    }
    for name in [BUNDLE, "dev.sigstore.cosign/certificate"] {
        for at in 0..annotations[name].len() {
            let mut changed = annotations[name].clone().into_bytes();
            changed[at] ^= 1;
            let Ok(changed) = String::from_utf8(changed) else { continue };
            let mut annotations = annotations.clone();
            annotations.insert(name.to_owned(), changed);
            if let Ok(signed) = attested.judge(&attested.envelope, &annotations) {
                assert_eq!(signed, good, "{name} byte {at}");
                assert!(name != BUNDLE, "byte {at}");
            }
        }
    }
}

/// An entry holds the digest of the envelope's own bytes, which a bundle does not have.
#[test]
fn a_bundle_with_an_entry_of_intoto_001_cannot_be_told() {
    let attested = Attested::new();
    let mut entry = attested.instance.entry(0, &attested.body().to_string(), SIGNED);
    entry["kindVersion"] = json!({"kind": "intoto", "version": "0.0.1"});
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1",
        "verificationMaterial": {"certificate": {"rawBytes": STANDARD.encode(&attested.holder.der)}, "tlogEntries": [entry]},
        "dsseEnvelope": serde_json::from_str::<Value>(&attested.envelope).unwrap(),
    });
    let item = Untrusted::bundle(bundle.to_string().as_bytes()).unwrap();
    assert_eq!(prove(&attested.root, &item, DEMANDS), Err(Fault::Unsupported));
}

/// By keys too: the log entry counts, and names the key.
#[test]
fn a_key_with_an_entry_of_intoto_001() {
    let (instance, signer, other) = (Instance::new(), Signer::p256(), Signer::p256());
    let root = TrustRoot::parse(instance.trust_root().to_string().as_bytes()).unwrap();
    let envelope = envelope(|bytes| signer.sign(bytes));
    let judge = |by: &Signer| {
        let body = intoto(&envelope, &STANDARD.encode(by.pem()));
        let mut annotations = instance.annotations(&instance.issue(|_| {}), &body, SIGNED);
        annotations.remove("dev.sigstore.cosign/certificate");
        let item = Untrusted::attestation(envelope.as_bytes(), &annotations)?;
        let (digest, types) = (Digest::of(ARTIFACT), [PROVENANCE.to_owned()]);
        let about = About { digest: &digest, artifact: None, claim: Claim::Attestation(&types) };
        let key = PublicKey::parse_pem(&signer.pem()).unwrap();
        let trust = Trust::Key { key: &key, root: Some(&root) };
        let demands = Demands { log_entries: 1, ..Demands::NONE };
        item.prove(&about, &trust, demands, now(), &mut Budget::default())
            .map(|signed| signed.times().len())
    };
    assert_eq!(judge(&signer), Ok(1));
    assert_eq!(judge(&other), Err(Fault::OtherLogEntry));
}

#[test]
fn a_signature_with_an_entry_of_rekord_001() {
    let instance = Instance::new();
    let (root, holder, other) =
        (instance.trust_root(), instance.issue(|_| {}), instance.issue(|_| {}));
    let payload = signing::payload(Digest::of(ARTIFACT).as_str(), "registry.example.test/prod/app");
    let signature = STANDARD.encode(holder.sign(payload.as_bytes()));
    let judge = |body: &Value| {
        let mut annotations = instance.annotations(&holder, body, SIGNED);
        annotations.insert(signing::SIGNATURE.to_owned(), signature.clone());
        let item = Untrusted::simple_signing(payload.as_bytes(), &annotations)?;
        prove(&root, &item, DEMANDS).map(|signed| (signed.entries().len(), signed.times().len()))
    };
    let good = rekord(&payload, &signature, &holder.logged());
    assert_eq!(judge(&good), Ok((1, 1)));
    let mut more = good.clone();
    more["spec"]["extraData"] = json!({"HTTP_PROXY": 1, "http_proxy": 2});
    assert_eq!(judge(&more), Ok((1, 1)));
    let again = STANDARD.encode(holder.sign(payload.as_bytes()));
    for (pointer, value) in [
        ("/spec/data/hash/value", json!(sha256(b"other"))),
        ("/spec/data/hash/algorithm", json!("sha512")),
        ("/spec/data", Value::Null),
        ("/spec/signature/content", json!(again)),
        ("/spec/signature/format", json!("pgp")),
        ("/spec/signature/format", json!("minisign")),
        ("/spec/signature/publicKey/content", json!(other.logged())),
        ("/spec/signature/publicKey", json!({"url": "https://evil.test"})),
        ("/kind", json!("intoto")),
        ("/kind", json!("dsse")),
    ] {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value.clone();
        assert_eq!(judge(&body), Err(Fault::OtherLogEntry), "{pointer} {value}");
    }
}
