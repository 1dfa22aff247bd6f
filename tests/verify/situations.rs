//! What each fixture says of itself, and that every byte of it is what its digest says.

use std::collections::BTreeSet;

use sealgate::image::{ChooseError, Digest, Document, ImageConfig, Platform};
use sealgate::verify::{Fault, Form, Signed};

use crate::fixtures::{self, Repository};
use crate::{key, verify_all};

const KEYS: [&str; 6] = ["build", "security", "other", "p384", "rsa", "ed25519"];

/// The keys that made the older signatures on a digest, and those that made bundles on it.
fn signers(repository: &Repository, subject: &str) -> (Vec<&'static str>, Vec<&'static str>) {
    let mut signers = (Vec::new(), Vec::new());
    for name in KEYS {
        let key = key(name);
        let (old, new) = verify_all(repository, subject, &key);
        let made =
            |signed: &Signed| signed.key() == Some(key.id()) && signed.digest().as_str() == subject;
        for signed in old.iter().flatten() {
            assert!(
                made(signed)
                    && signed.form() == Form::SimpleSigning
                    && signed.docker_reference().is_some()
            );
            signers.0.push(name);
        }
        for signed in new.iter().flatten() {
            assert!(
                made(signed)
                    && signed.form() == Form::Statement
                    && signed.docker_reference().is_none()
            );
            signers.1.push(name);
        }
        let wrong =
            |fault: &Fault| matches!(fault, Fault::WrongSignature | Fault::WrongRsaSignature);
        assert!(
            old.iter().chain(&new).filter_map(|outcome| outcome.as_ref().err()).all(wrong),
            "{name}"
        );
    }
    signers
}

fn amd64() -> Platform {
    Platform { os: "linux".into(), architecture: "amd64".into(), variant: None }
}

#[test]
fn every_situation_is_what_its_name_says() {
    let none: &[&str] = &[];
    for (situation, old, new) in [
        ("signed-v2", &["build"][..], none),
        ("signed-v3", none, &["build"]),
        ("signed-both", &["build"], &["build"]),
        ("unsigned", none, none),
        ("signed-other", &["other"], &["other"]),
        ("two-signers-v2", &["build", "security"], none),
        ("two-signers-v3", none, &["build", "security"]),
        ("key-p384", &["p384"], &["p384"]),
        ("key-rsa", &["rsa"], &["rsa"]),
        ("key-ed25519", &["ed25519"], &["ed25519"]),
        ("signed-docker", &["build"], none),
        ("named-exactly", &["build"], none),
        ("named-elsewhere", &["build"], none),
        ("index-v2", &["build"], none),
        ("index-v3", none, &["build"]),
        ("index-child-v2", none, none),
        ("index-unsigned", none, none),
        ("staying", &["build"], none),
        ("labels-by-case", &["build"], &["build"]),
    ] {
        let repository = fixtures::prod(situation);
        let got = signers(repository, &repository.tags["v1"]);
        assert_eq!(got, (old.to_vec(), new.to_vec()), "{situation}");
    }
}

#[test]
fn a_platform_manifest_signed_alone() {
    for (form, expected) in [("v2", (vec!["build"], vec![])), ("v3", (vec![], vec!["build"]))] {
        let repository = fixtures::prod(&format!("index-child-{form}"));
        let Document::Index(index) = Document::parse(repository.tagged("v1")).unwrap() else {
            panic!("no index")
        };
        let child = index.choose(&amd64()).unwrap();
        assert_eq!(signers(repository, child.digest.as_str()), expected);
        let arm64 = Platform { architecture: "arm64".into(), ..amd64() };
        assert_eq!(
            signers(repository, index.choose(&arm64).unwrap().digest.as_str()),
            (vec![], vec![])
        );
        let s390x = Platform { architecture: "s390x".into(), ..amd64() };
        assert_eq!(index.choose(&s390x), Err(ChooseError::None));
    }
}

#[test]
fn attack_b6_the_payload_says_which_repository_it_was_signed_for() {
    for (situation, expected) in [
        ("registry.example.test/prod/signed-v2", "registry.example.test/prod/signed-v2"),
        ("registry.example.test/prod/named-exactly", "registry.example.test/prod/named-exactly:v1"),
        ("registry.example.test/prod/named-elsewhere", "registry.example.test/prod/elsewhere"),
        ("docker.io/library/sealgate-hello", "index.docker.io/library/sealgate-hello"),
    ] {
        let repository = &fixtures::load()[situation];
        let (old, _) = verify_all(repository, &repository.tags["v1"], &key("build"));
        assert_eq!(old[0].as_ref().unwrap().docker_reference(), Some(expected));
    }
}

#[test]
fn attack_b1_a_signature_copied_from_another_digest() {
    for (form, count) in [("v2", (1, 0)), ("v3", (0, 1))] {
        let repository = fixtures::prod(&format!("wrong-digest-{form}"));
        let (old, new) = verify_all(repository, &repository.tags["v1"], &key("build"));
        assert_eq!((old.len(), new.len()), count);
        assert!(old.iter().chain(&new).all(|outcome| *outcome == Err(Fault::OtherDigest)));
    }
}

#[test]
fn attack_b2_an_attestation_is_no_image_signature() {
    let repository = fixtures::prod("attested");
    let (_, new) = verify_all(repository, &repository.tags["v1"], &key("build"));
    assert_eq!(new, [Err(Fault::NotImageSignature)]);
}

/// Also that every manifest, index and config in the fixtures is accepted by the strict readers.
#[test]
fn every_byte_is_what_its_digest_says() {
    let repositories = fixtures::load();
    assert_eq!(repositories.len(), 82);
    for repository in repositories.values() {
        for (digest, (media_type, bytes)) in &repository.manifests {
            assert_eq!(Digest::of(bytes).as_str(), digest);
            match Document::parse(bytes).unwrap() {
                Document::Manifest(manifest) => {
                    assert_eq!(&manifest.media_type, media_type);
                    let config = &repository.blobs[manifest.config.digest.as_str()];
                    assert_eq!(config.len() as u64, manifest.config.size);
                    let image =
                        manifest.layers.iter().any(|layer| layer.media_type.contains("tar"));
                    assert!(!image || ImageConfig::parse(config).is_ok(), "{}", repository.path);
                }
                Document::Index(index) => assert_eq!(&index.media_type, media_type),
            }
        }
        for (digest, bytes) in &repository.blobs {
            assert_eq!(Digest::of(bytes).as_str(), digest);
        }
    }
    let reached: BTreeSet<_> =
        repositories.values().flat_map(|r| r.manifests.keys().chain(r.blobs.keys())).collect();
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/images/blobs/sha256");
    assert_eq!(
        std::fs::read_dir(kept).unwrap().count(),
        reached.len(),
        "blobs that no repository has"
    );
}
