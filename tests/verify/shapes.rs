//! Bundles of shapes that few signers write, and that readers disagree about.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    SigningKey, date_time_ymd,
};
use sealgate::image::Digest;
use sealgate::verify::{Authority, Budget, Demands, Fault, RootError, Trust, TrustRoot, Untrusted};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::instance::{self, ARTIFACT, DEMANDS, Instance};

/// An envelope may be logged as what it is signed over, under hashedrekord 0.0.1.
#[test]
fn attack_b1_an_envelope_logged_by_its_hash() {
    let instance = Instance::new();
    let root = instance.trust_root();
    let (holder, other) = (instance.issue(|_| {}), instance.issue(|_| {}));
    let prove = |bundle: &Value| instance::prove(&root, bundle, DEMANDS).map(drop);
    let good = instance.logged_statement(&holder, |_| {});
    assert_eq!(prove(&good), Ok(()));

    let payload = STANDARD.decode(good["dsseEnvelope"]["payload"].as_str().unwrap()).unwrap();
    for hashed in [&payload, ARTIFACT] {
        let hash = hex::encode(Sha256::digest(hashed));
        let bundle = instance
            .logged_statement(&holder, |body| body["spec"]["data"]["hash"]["value"] = hash.into());
        assert_eq!(prove(&bundle), Err(Fault::OtherLogEntry));
    }
    let elsewhere = instance.logged_statement(&other, |_| {});
    for pointer in [
        "/verificationMaterial/certificate",
        "/verificationMaterial/tlogEntries",
        "/dsseEnvelope/signatures",
    ] {
        let mut bundle = good.clone();
        *bundle.pointer_mut(pointer).unwrap() = elsewhere.pointer(pointer).unwrap().clone();
        assert_eq!(prove(&bundle), Err(Fault::OtherLogEntry), "{pointer}");
    }
    // All but the payload agrees: of a holder's own signature over something else.
    let mut bundle = good;
    let text = String::from_utf8(payload).unwrap().replace("\"predicate\":{}", "\"predicate\":{ }");
    bundle["dsseEnvelope"]["payload"] = STANDARD.encode(&text).into();
    assert_eq!(prove(&bundle), Err(Fault::OtherLogEntry));
    let hash = hex::encode(Sha256::digest(format!(
        "DSSEv1 28 application/vnd.in-toto+json {} {text}",
        text.len()
    )));
    let mut logged = instance
        .logged_statement(&holder, |body| body["spec"]["data"]["hash"]["value"] = hash.into());
    logged["dsseEnvelope"]["payload"] = STANDARD.encode(&text).into();
    assert!(prove(&logged).is_err());
}

/// A signer does not say who is trusted: a chain without its root.
#[test]
fn attack_c1_a_bundle_that_brings_its_root() {
    let instance = Instance::new();
    let root = instance.trust_root();
    let holder = instance.issue(|_| {});
    let [intermediate, above] = instance.above();
    let with = |chain: &[&[u8]]| {
        let mut bundle = instance.bundle(&holder, &[0]);
        bundle["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.2".into();
        let material = bundle["verificationMaterial"].as_object_mut().unwrap();
        material.remove("certificate");
        let chain: Vec<Value> =
            chain.iter().map(|der| json!({"rawBytes": STANDARD.encode(der)})).collect();
        material.insert("x509CertificateChain".to_owned(), json!({"certificates": chain}));
        instance::prove(&root, &bundle, DEMANDS).map(drop)
    };
    assert_eq!(with(&[&holder.der]), Ok(()));
    assert_eq!(with(&[&holder.der, &intermediate]), Ok(()));
    assert_eq!(with(&[&holder.der, &intermediate, &above]), Err(Fault::CertificateChain));
    assert_eq!(with(&[&holder.der, &above]), Err(Fault::CertificateChain));
}

/// Only a line in the log's own name is the log's signature on a tree head.
#[test]
fn attack_b1_a_tree_head_signed_in_anothers_name() {
    let instance = Instance::new();
    let root = instance.trust_root();
    let holder = instance.issue(|_| {});
    let good = instance.bundle(&holder, &[0]);
    let head = "/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint/envelope";
    for name in ["log1.test", "log0.test.evil", "log0.tes", "log0", "LOG0.test"] {
        let mut bundle = good.clone();
        let renamed = bundle
            .pointer(head)
            .unwrap()
            .as_str()
            .unwrap()
            .replace("\u{2014} log0.test", &format!("\u{2014} {name}"));
        *bundle.pointer_mut(head).unwrap() = renamed.into();
        assert_eq!(
            instance::prove(&root, &bundle, DEMANDS).map(drop),
            Err(Fault::LogUnknown),
            "{name}"
        );
    }
    assert!(instance::prove(&root, &good, DEMANDS).is_ok());
}

/// A window that is spelt as protobuf spells it is no open one.
#[test]
fn attack_b4_a_window_in_another_spelling() {
    let instance = Instance::new();
    let bundle = instance.bundle(&instance.issue(|_| {}), &[0]);
    let mut root = instance.trust_root();
    let ended = json!({"start": "2024-01-01T00:00:00Z", "end": "2025-01-01T00:00:00Z"});
    root["tlogs"][0]["publicKey"]["validFor"] = ended.clone();
    assert_eq!(instance::prove(&root, &bundle, DEMANDS).map(drop), Err(Fault::LogUnknown));
    let key = root["tlogs"][0]["publicKey"].as_object_mut().unwrap();
    key.remove("validFor");
    key.insert("valid_for".to_owned(), ended);
    assert!(matches!(TrustRoot::parse(root.to_string().as_bytes()), Err(RootError::Malformed(_))));
}

/// Of certificates with one subject, a search for a path tries every order: seven cost seconds.
#[test]
fn attack_d1_a_chain_of_many_orders() {
    let (root, holder) = (authority("root"), authority("holder"));
    let chain = |names: &[&str]| -> Vec<Vec<u8>> {
        names.iter().map(|name| below(name, &holder)).collect()
    };
    assert_eq!(
        layer(&root, &holder, &chain(&["a", "b", "c", "d", "e", "f", "g"])),
        Err(Fault::CertificateChain)
    );
    assert_eq!(layer(&root, &holder, &chain(&["holder"])), Err(Fault::CertificateChain));
    // As the path would be.
    assert_eq!(layer(&holder, &holder, &chain(&["a", "holder"])), Ok(()));
    // Not looked for at all.
    assert_eq!(layer(&holder, &holder, &chain(&["a", "a"])), Err(Fault::CertificateChain));
    assert_eq!(layer(&holder, &holder, &chain(&["holder"; 7])), Err(Fault::CertificateChain));
}

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2030, 1, 1);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn authority(name: &str) -> Issuer {
    Issuer::self_signed(named(name), KeyPair::generate().unwrap()).unwrap()
}

fn below(name: &str, issuer: &Issuer) -> Vec<u8> {
    named(name).signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().to_vec()
}

/// Proves an older signature by a certificate below `issuer`, with this chain beside it, by the
/// authority of `root`.
fn layer(root: &Issuer, issuer: &Issuer, chain: &[Vec<u8>]) -> Result<(), Fault> {
    let mut params = named("signer");
    params.is_ca = IsCa::NoCa;
    params.subject_alt_names = vec![instance::uri("https://acme.test/release")];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    let digest = Digest::of(ARTIFACT);
    let payload = json!({"critical": {
        "type": "cosign container image signature",
        "image": {"docker-manifest-digest": digest.as_str()},
        "identity": {"docker-reference": "registry.example.test/prod/app"},
    }, "optional": null});
    let payload = payload.to_string();
    let annotations = BTreeMap::from([
        (
            "dev.cosignproject.cosign/signature".to_owned(),
            STANDARD.encode(key.sign(payload.as_bytes()).unwrap()),
        ),
        ("dev.sigstore.cosign/certificate".to_owned(), certificate.pem()),
        ("dev.sigstore.cosign/chain".to_owned(), chain.iter().map(|der| pem(der)).collect()),
    ]);
    let authority = Authority::parse(&[pem(root.der()).as_bytes()], &[], &[]).unwrap();
    let trust = Trust::Authority { authority: &authority, root: None };
    let about = crate::keyless::image_signature(&digest);
    let item = Untrusted::simple_signing(payload.as_bytes(), &annotations)?;
    item.prove(&about, &trust, Demands::NONE, crate::keyless::now(), &mut Budget::default())
        .map(drop)
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
}
