//! Every kind of key with every scheme that it may use, and files that are no key.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{self, RsaEncoding};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealgate::image::Digest;
use sealgate::verify::{Budget, Fault, Form, KeyError, PublicKey, Untrusted};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::signing::{self, IMAGE_SIGNATURE, Signer};
use crate::{digest, fixtures};

/// A manifest that was never pushed.
const MANIFEST: &[u8] = b"{\"schemaVersion\":2}";
const REFERENCE: &str = "registry.example.test/prod/app";

fn signers() -> Vec<(&'static str, Signer, u32)> {
    let rsa: [(&str, &'static dyn RsaEncoding, u32); 6] = [
        ("pkcs1 sha256", &signature::RSA_PKCS1_SHA256, 1),
        ("pss sha256", &signature::RSA_PSS_SHA256, 2),
        ("pkcs1 sha512", &signature::RSA_PKCS1_SHA512, 3),
        ("pss sha512", &signature::RSA_PSS_SHA512, 4),
        ("pkcs1 sha384", &signature::RSA_PKCS1_SHA384, 5),
        ("pss sha384", &signature::RSA_PSS_SHA384, 6),
    ];
    let mut signers = vec![
        ("p256", Signer::p256(), 1),
        ("p384 sha384", Signer::ecdsa(&signature::ECDSA_P384_SHA384_ASN1_SIGNING), 1),
        ("ed25519", Signer::ed25519(), 1),
        ("ed25519ph", Signer::ed25519ph(), 2),
    ];
    signers.extend(rsa.map(|(name, encoding, cost)| (name, Signer::rsa(encoding), cost)));
    signers
}

#[test]
fn every_scheme_in_every_form() {
    let subject = Digest::of(MANIFEST);
    for (name, signer, cost) in signers() {
        let key = PublicKey::parse_pem(&signer.pem()).unwrap();
        assert_eq!(key.id().to_string(), Digest::of(&signer.spki()).to_string());
        let payload = signing::payload(subject.as_str(), REFERENCE);
        let statement = signing::statement(subject.as_str(), IMAGE_SIGNATURE);
        let message = signer.message_bundle(MANIFEST, "SHA2_256", &Sha256::digest(MANIFEST));
        for (form, read) in [
            (
                Form::SimpleSigning,
                Untrusted::simple_signing(
                    payload.as_bytes(),
                    &signer.annotations(payload.as_bytes()),
                ),
            ),
            (Form::Statement, Untrusted::bundle(signer.statement_bundle(&statement).as_bytes())),
            (Form::MessageSignature, Untrusted::bundle(message.as_bytes())),
        ] {
            let (untrusted, mut budget) = (read.unwrap(), Budget::new(10));
            let signed = untrusted.verify_artifact(MANIFEST, &key, &mut budget).unwrap();
            assert_eq!(
                (signed.key(), signed.digest(), signed.form()),
                (Some(key.id()), &subject, form),
                "{name}"
            );
            assert_eq!(budget.left(), 10 - cost, "{name}");
            let other = PublicKey::parse_pem(&Signer::p256().pem()).unwrap();
            let refused = untrusted.verify_artifact(MANIFEST, &other, &mut budget);
            assert_eq!(refused, Err(Fault::WrongSignature), "{name} {form:?}");
            let elsewhere = untrusted.verify_artifact(b"{}", &key, &mut budget);
            assert_eq!(elsewhere, Err(Fault::OtherDigest), "{name} {form:?}");
        }
    }
}

/// Signatures that were made by hand with openssl: ECDSA with longer digests than the curve's, PSS.
#[test]
fn digests_and_salts_of_other_programs() {
    let file = |name: &str| {
        std::fs::read(format!("{}/tests/fixtures/openssl/{name}", env!("CARGO_MANIFEST_DIR")))
            .unwrap()
    };
    let payload = file("payload.json");
    let subject = Digest::of(fixtures::prod("unsigned").tagged("v1"));
    for (key, signature, cost, expected) in [
        ("p256", "p256-sha256", 1, Ok(())),
        ("p256", "p256-sha384", 1, Ok(())),
        ("p256", "p256-sha512", 1, Ok(())),
        ("p384", "p384-sha512", 2, Ok(())),
        ("rsa", "rsa-sha256-pss", 2, Ok(())),
        // The salt is longer than the digest.
        ("rsa", "rsa-sha256-pss-max", 6, Err(Fault::WrongRsaSignature)),
        ("p256", "p384-sha512", 1, Err(Fault::WrongSignature)),
        ("p384", "p256-sha512", 2, Err(Fault::WrongSignature)),
    ] {
        let signed = STANDARD.encode(file(&format!("{signature}.sig")));
        let annotations = BTreeMap::from([(signing::SIGNATURE.to_owned(), signed)]);
        let key = PublicKey::parse_pem(&file(&format!("{key}.pub"))).unwrap();
        let untrusted = Untrusted::simple_signing(&payload, &annotations).unwrap();
        let mut budget = Budget::new(10);
        assert_eq!(
            untrusted.verify(&subject, &key, &mut budget).map(drop),
            expected,
            "{signature}"
        );
        assert_eq!(budget.left(), 10 - cost, "{signature}");
        // Every bit of what is signed counts, whatever part of its digest does.
        for bit in (0..payload.len() * 8).step_by(113) {
            let mut changed = payload.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let outcome = Untrusted::simple_signing(&changed, &annotations);
            let outcome =
                outcome.and_then(|item| item.verify(&subject, &key, &mut Budget::default()));
            assert!(outcome.is_err(), "{signature}: bit {bit}");
        }
    }
}

/// What a digest alone can prove of a signature over the bytes.
#[test]
fn message_signatures_by_digest_alone() {
    let subject = Digest::of(MANIFEST);
    for (name, signer, _) in signers() {
        let key = PublicKey::parse_pem(&signer.pem()).unwrap();
        let bundle = signer.message_bundle(MANIFEST, "SHA2_256", &Sha256::digest(MANIFEST));
        let outcome = Untrusted::bundle(bundle.as_bytes()).unwrap().verify(
            &subject,
            &key,
            &mut Budget::default(),
        );
        let expected = match name {
            "p256" | "pkcs1 sha256" | "pss sha256" => Ok(Form::MessageSignature),
            "ed25519" | "ed25519ph" => Err(Fault::NeedsArtifact),
            "p384 sha384" => Err(Fault::WrongSignature),
            _ => Err(Fault::WrongRsaSignature),
        };
        assert_eq!(outcome.map(|signed| signed.form()), expected, "{name}");
    }
}

/// Bundles of the real `cosign sign-blob`: 2.5 hashes with SHA-256, 3.1 with the curve's own hash;
/// Ed25519 is pre-hashed by both, and 3.1 then says no digest at all.
#[test]
fn message_signatures_of_cosign() {
    let manifest = fixtures::prod("unsigned").tagged("v1");
    let subject = Digest::of(manifest);
    for (name, version, by_digest) in [
        ("build", 2, Ok(())),
        ("build", 3, Ok(())),
        ("p384", 2, Ok(())),
        ("p384", 3, Err(Fault::NeedsArtifact)),
        ("rsa", 2, Ok(())),
        ("rsa", 3, Ok(())),
        ("ed25519", 2, Err(Fault::NeedsArtifact)),
        ("ed25519", 3, Err(Fault::NeedsArtifact)),
    ] {
        let untrusted = Untrusted::bundle(&fixtures::message_bundle(name, version)).unwrap();
        let (key, budget) = (crate::key(name), &mut Budget::default());
        assert_eq!(
            untrusted.verify(&subject, &key, budget).map(drop),
            by_digest,
            "{name} v{version}"
        );
        let signed = untrusted.verify_artifact(manifest, &key, budget).unwrap();
        assert_eq!((signed.digest(), signed.key()), (&subject, Some(key.id())));
        for wrong in [crate::key("other"), crate::key("ed25519")]
            .iter()
            .filter(|wrong| wrong.id() != key.id())
        {
            assert_eq!(
                untrusted.verify_artifact(manifest, wrong, budget),
                Err(Fault::WrongSignature),
                "{name}"
            );
            assert!(untrusted.verify(&subject, wrong, budget).is_err(), "{name}");
        }
        let changed = [manifest, b" "].concat();
        assert!(untrusted.verify_artifact(&changed, &key, budget).is_err(), "{name} v{version}");
        assert!(
            untrusted.verify(&Digest::of(&changed), &key, budget).is_err(),
            "{name} v{version}"
        );
    }
}

/// A bundle that says no digest proves what the signature alone proves.
#[test]
fn message_signatures_without_a_digest() {
    let signer = Signer::p256();
    let key = PublicKey::parse_pem(&signer.pem()).unwrap();
    let bundle = signer.message_bundle(MANIFEST, "SHA2_256", &Sha256::digest(MANIFEST));
    let mut bundle: serde_json::Value = serde_json::from_str(&bundle).unwrap();
    bundle["messageSignature"]["messageDigest"] = serde_json::json!({});
    let budget = &mut Budget::default();
    for _ in 0..2 {
        let untrusted = Untrusted::bundle(bundle.to_string().as_bytes()).unwrap();
        assert!(untrusted.verify(&Digest::of(MANIFEST), &key, budget).is_ok());
        assert!(untrusted.verify_artifact(MANIFEST, &key, budget).is_ok());
        assert_eq!(untrusted.verify(&Digest::of(b"{}"), &key, budget), Err(Fault::WrongSignature));
        assert_eq!(untrusted.verify_artifact(b"{}", &key, budget), Err(Fault::WrongSignature));
        bundle["messageSignature"].as_object_mut().unwrap().remove("messageDigest");
    }
    bundle["messageSignature"]["messageDigest"] = serde_json::Value::Null;
    assert_eq!(Untrusted::bundle(bundle.to_string().as_bytes()).map(drop), Err(Fault::Malformed));
}

#[test]
fn message_signatures_with_a_longer_digest_need_the_bytes() {
    let signer = Signer::ecdsa(&signature::ECDSA_P384_SHA384_ASN1_SIGNING);
    let key = PublicKey::parse_pem(&signer.pem()).unwrap();
    for (algorithm, hash) in [
        ("SHA2_384", Sha384::digest(MANIFEST).to_vec()),
        ("SHA2_512", Sha512::digest(MANIFEST).to_vec()),
    ] {
        let bundle = signer.message_bundle(MANIFEST, algorithm, &hash);
        let untrusted = Untrusted::bundle(bundle.as_bytes()).unwrap();
        let budget = &mut Budget::default();
        assert_eq!(
            untrusted.verify(&Digest::of(MANIFEST), &key, budget),
            Err(Fault::NeedsArtifact)
        );
        assert!(untrusted.verify_artifact(MANIFEST, &key, budget).is_ok());
        assert_eq!(untrusted.verify_artifact(b"{}", &key, budget), Err(Fault::OtherDigest));
    }
}

#[test]
fn attack_c2_one_key_has_one_id() {
    let signer = Signer::rsa(&signature::RSA_PKCS1_SHA256);
    let spki = signer.spki();
    let key = PublicKey::parse_pem(&signer.pem()).unwrap();
    // 30 82 .. .. 30 0d <algorithm> 03 82 .. .. 00 <PKCS #1>
    let pkcs1 = signing::pem("RSA PUBLIC KEY", &spki[24..]);
    assert_eq!(PublicKey::parse_pem(&pkcs1).unwrap().id(), key.id());
    let commented =
        [b"# the build key\r\n".as_slice(), &signer.pem(), b"\n\n# its owner\n"].concat();
    assert_eq!(PublicKey::parse_pem(&commented).unwrap().id(), key.id());
    // The same key with absent parameters would have another id.
    let mut absent = spki.clone();
    absent.drain(17..19);
    absent[2..4].copy_from_slice(&(spki.len() as u16 - 6).to_be_bytes());
    absent[5] = 0x0b;
    assert_eq!(
        PublicKey::parse_pem(&signing::pem("PUBLIC KEY", &absent)),
        Err(KeyError::Malformed)
    );
}

#[test]
fn files_that_are_no_key() {
    let signer = Signer::p256();
    let (spki, pem) = (signer.spki(), signer.pem());
    let with = |at: usize, byte: u8| {
        let mut spki = spki.clone();
        spki[at] ^= byte;
        signing::pem("PUBLIC KEY", &spki)
    };
    let small = include_str!("../fixtures/keys/rsa1024.pub").as_bytes();
    for (name, file, error) in [
        ("empty", Vec::new(), KeyError::NotPem),
        ("text", b"hello".to_vec(), KeyError::NotPem),
        ("not UTF-8", vec![0xff; 10], KeyError::NotPem),
        ("DER", spki.clone(), KeyError::NotPem),
        ("too long", vec![b' '; 16 * 1024 + 1], KeyError::TooLong),
        ("two keys", [pem.clone(), pem.clone()].concat(), KeyError::Several(2)),
        (
            "a certificate",
            signing::pem("CERTIFICATE", &spki),
            KeyError::Label("CERTIFICATE".into()),
        ),
        (
            "a private key",
            signing::pem("PRIVATE KEY", &spki),
            KeyError::Label("PRIVATE KEY".into()),
        ),
        ("no end", pem[..pem.len() - 10].to_vec(), KeyError::NotPem),
        (
            "something behind the key",
            signing::pem("PUBLIC KEY", &[&spki[..], &[0]].concat()),
            KeyError::Malformed,
        ),
        ("an empty block", signing::pem("PUBLIC KEY", &[]), KeyError::Malformed),
        ("a compressed point", with(26, 6), KeyError::Malformed),
        ("a point off the curve", with(90, 1), KeyError::Invalid),
        ("RSA of 1024 bits", small.to_vec(), KeyError::RsaSize),
        ("P-521", include_bytes!("../fixtures/keys/p521.pub").to_vec(), KeyError::Algorithm),
    ] {
        assert_eq!(PublicKey::parse_pem(&file).map(|key| key.id().clone()), Err(error), "{name}");
    }
}

/// Ed25519 keys of small order make signatures that hold for every message.
#[test]
fn a_weak_key_is_refused() {
    let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let mut identity = [0; 32];
    identity[0] = 1;
    for point in [[0; 32], identity] {
        let file = signing::pem("PUBLIC KEY", &[&prefix[..], &point].concat());
        assert_eq!(PublicKey::parse_pem(&file), Err(KeyError::Invalid));
    }
}

/// What cosign calls a key in its bundles is the same digest of the same bytes.
#[test]
fn key_ids_are_cosigns_hints() {
    for (situation, key) in [("signed-v3", "build"), ("key-rsa", "rsa"), ("key-ed25519", "ed25519")]
    {
        let repository = fixtures::prod(situation);
        let bundle: serde_json::Value =
            serde_json::from_slice(&repository.bundles(&repository.tags["v1"])[0]).unwrap();
        let hint = bundle["verificationMaterial"]["publicKey"]["hint"].as_str().unwrap();
        let hint = STANDARD.decode(hint).unwrap();
        let id = crate::key(key).id().to_string();
        assert_eq!(digest(&id).hex(), hex::encode(hint));
    }
}

/// One key in another encoding would be another key to a threshold: only the canonical one is
/// taken.
#[test]
fn attack_c2_other_encodings_of_a_key_are_refused() {
    let ed25519 = pem_content("ed25519");
    assert_eq!(ed25519[..4], [0x30, 0x2a, 0x30, 0x05]);
    let null =
        [&[0x30, 0x2c, 0x30, 0x07][..], &ed25519[4..9], &[0x05, 0x00], &ed25519[9..]].concat();
    let long = [&[0x30, 0x81, 0x2a][..], &ed25519[2..]].concat();
    let mut unused = ed25519.clone();
    unused[11] = 1;
    let rsa = pem_content("rsa");
    let of_two = |at: usize| u16::from_be_bytes([rsa[at], rsa[at + 1]]);
    // 30 82 .. .. 30 0d <algorithm> 03 82 .. .. 00 30 82 .. .. 02 82 .. .. 00 <modulus>
    assert_eq!((rsa[19], rsa[24], rsa[28], rsa[32]), (0x03, 0x30, 0x02, 0x00));
    let mut zero = [&rsa[..32], &[0][..], &rsa[32..]].concat();
    for at in [2, 21, 26, 30] {
        zero[at..at + 2].copy_from_slice(&(of_two(at) + 1).to_be_bytes());
    }
    for (name, spki) in [("null", null), ("long", long), ("unused", unused), ("zero", zero)] {
        let got =
            PublicKey::parse_pem(&signing::pem("PUBLIC KEY", &spki)).map(|key| key.id().clone());
        assert!(
            matches!(got, Err(KeyError::Malformed | KeyError::Invalid | KeyError::Algorithm)),
            "{name}: {got:?}"
        );
    }
}

/// The DER of a key among the fixtures.
fn pem_content(name: &str) -> Vec<u8> {
    let text = String::from_utf8(fixtures::key(name)).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(body).unwrap()
}
