//! Signatures that other projects published, read from `shared/vectors` beside the checkout where it is there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use sealgate::image::{Digest, Document};
use sealgate::verify::{About, Budget, Claim, Demands, Fault, Form, KeyError, PublicKey, Signed, Trust, Untrusted};
use serde_json::Value;

use crate::conformance;

/// The folder, or `None` with a line that says what was not tested.
fn folder(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors").join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("SKIPPED: {} is not there, so its vectors were not tested", folder.display());
    None
}

fn key(path: &Path) -> Result<PublicKey, KeyError> {
    PublicKey::parse_pem(&fs::read(path).unwrap())
}

/// Signed with a certificate: never accepted on a key's word.
#[test]
fn sigstore_conformance_bundles_by_a_key_that_is_not_theirs() {
    let Some(folder) = folder("sigstore-bundle") else { return };
    let key = key(&folder.join("managed-key-happy-path/key.pub")).unwrap();
    let mut seen = BTreeMap::new();
    for name in conformance::names(&folder) {
        let case = conformance::Case::read(&folder, &name);
        let outcome = Untrusted::bundle(&case.bundle).and_then(|untrusted| {
            let types: Vec<_> = untrusted.predicate_type().map(str::to_owned).into_iter().collect();
            let claim = if types.is_empty() { Claim::ImageSignature } else { Claim::Attestation(&types) };
            let about = About { digest: &Digest::of(&case.artifact), artifact: Some(&case.artifact), claim };
            let trust = Trust::Key { key: &key, root: None };
            untrusted.prove(&about, &trust, Demands::NONE, Timestamp::UNIX_EPOCH, &mut Budget::default())
        });
        assert_eq!(outcome.is_ok(), name.starts_with("managed-key"), "{name}: {outcome:?}");
        *seen.entry(outcome.map(drop)).or_insert(0) += 1;
    }
    assert!(seen[&Err(Fault::NotKeySigned)] >= 10, "{seen:?}");
}

/// One of containers/image's signature files: `NUL sigstore-json LF` and the layer as JSON.
fn signature_file(folder: &Path, situation: &str) -> (Digest, Result<Untrusted, Fault>) {
    let manifest = fs::read(folder.join(situation).join("manifest.json")).unwrap();
    let file = fs::read(folder.join(situation).join("signature-1")).unwrap();
    let layer: Value = serde_json::from_slice(file.strip_prefix(b"\0sigstore-json\n").unwrap()).unwrap();
    let payload = STANDARD.decode(layer["payload"].as_str().unwrap()).unwrap();
    let annotations = serde_json::from_value(layer["annotations"].clone()).unwrap();
    (Digest::of(&manifest), Untrusted::simple_signing(&payload, &annotations))
}

#[test]
fn containers_image_simple_signing() {
    let Some(folder) = folder("simple-signing") else { return };
    let (one, two) = (key(&folder.join("cosign.pub")).unwrap(), key(&folder.join("cosign2.pub")).unwrap());
    for (situation, key, expected) in [
        ("valid", &one, Ok("192.168.64.2:5000/cosign-signed-single-sample")),
        ("valid", &two, Err(Fault::WrongSignature)),
        ("key-rekor-valid", &two, Ok("192.168.64.2:5000/cosign-signed/key-1")),
        ("key-rekor-valid", &one, Err(Fault::WrongSignature)),
        ("modified-manifest", &one, Err(Fault::OtherDigest)),
        ("fulcio-rekor-valid", &one, Err(Fault::WrongSignature)),
        ("pki-valid", &one, Err(Fault::WrongSignature)),
    ] {
        let (subject, read) = signature_file(&folder, &format!("dir-img-cosign-{situation}"));
        let outcome = read.unwrap().verify(&subject, key, &mut Budget::default());
        assert_eq!(outcome.as_ref().map(|s| s.docker_reference().unwrap()).map_err(|f| *f), expected, "{situation}");
    }
    for name in ["cosign.pub", "cosign2.pub", "rekor.pub"] {
        assert!(key(&folder.join(name)).is_ok(), "{name}");
    }
    assert!(matches!(key(&folder.join("fulcio_v1.crt.pem")), Err(KeyError::Label(label)) if label == "CERTIFICATE"));
    assert_eq!(key(&folder.join("image.signature")), Err(KeyError::NotPem));
}

#[test]
fn connaisseur_registry() {
    let Some(folder) = folder("registry") else { return };
    let repository = folder.join("securesystemsengineering/testimage");
    let (alice, bob) = (key(&folder.join("alice.pub")).unwrap(), key(&folder.join("bob.pub")).unwrap());
    for (tag, by_alice, by_bob) in [
        ("multi-cosigned-alice", true, false),
        ("multi-cosigned-alice-bob-charlie", true, true),
        ("keyless", false, false),
    ] {
        let Some(manifest) = manifest(&repository, tag) else { panic!("{tag} is not there") };
        let subject = Digest::of(&manifest);
        for (key, expected) in [(&alice, by_alice), (&bob, by_bob)] {
            let signed: Vec<_> = signed(&repository, &subject, key);
            assert_eq!(signed.len(), usize::from(expected), "{tag} {subject}");
            for one in signed {
                assert_eq!(one.form(), Form::SimpleSigning);
                assert_eq!(one.docker_reference(), Some("index.docker.io/securesystemsengineering/testimage"));
            }
        }
    }
}

fn manifest(repository: &Path, reference: &str) -> Option<Vec<u8>> {
    let folder = repository.join("manifests");
    fs::read(folder.join(format!("{reference}.json"))).or_else(|_| fs::read(folder.join(reference))).ok()
}

fn blob(repository: &Path, digest: &str) -> Vec<u8> {
    let folder = repository.join("blobs");
    let read = |name: String| fs::read(folder.join(&name)).or_else(|_| fs::read(folder.join(format!("{name}.json"))));
    read(digest.to_owned()).or_else(|_| read(digest.replace(':', "-"))).unwrap()
}

fn signed(repository: &Path, subject: &Digest, key: &PublicKey) -> Vec<Signed> {
    let Some(signatures) = manifest(repository, &format!("sha256-{}.sig", subject.hex())) else { return Vec::new() };
    let Document::Manifest(signatures) = Document::parse(&signatures).unwrap() else { panic!("an index") };
    let layers = signatures.layers.iter().filter_map(|layer| {
        let payload = blob(repository, layer.digest.as_str());
        assert_eq!(Digest::of(&payload), layer.digest);
        let untrusted = Untrusted::simple_signing(&payload, &layer.annotations).ok()?;
        untrusted.verify(subject, key, &mut Budget::default()).ok()
    });
    layers.collect()
}
