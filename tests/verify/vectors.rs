//! Signatures that other projects published, read from `shared/vectors` beside the checkout where
//! it is there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use sealgate::image::{Digest, Document};
use sealgate::verify::{
    About, Authority, Budget, Claim, Demands, Fault, Form, KeyError, PublicKey, San, Signed,
    Signer, Trust, TrustRoot, Untrusted,
};
use serde_json::{Value, json};

use crate::conformance;
use crate::skipped::skipped;

/// The folder, or `None` where it is not there.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors").join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    skipped(&format!("shared/vectors/{name} is not beside the checkout"));
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
            let claim =
                if types.is_empty() { Claim::ImageSignature } else { Claim::Attestation(&types) };
            let about = About {
                digest: &Digest::of(&case.artifact),
                artifact: Some(&case.artifact),
                claim,
            };
            let trust = Trust::Key { key: &key, root: None };
            untrusted.prove(
                &about,
                &trust,
                Demands::NONE,
                Timestamp::UNIX_EPOCH,
                &mut Budget::default(),
            )
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
    let layer: Value =
        serde_json::from_slice(file.strip_prefix(b"\0sigstore-json\n").unwrap()).unwrap();
    let payload = STANDARD.decode(layer["payload"].as_str().unwrap()).unwrap();
    let annotations = serde_json::from_value(layer["annotations"].clone()).unwrap();
    (Digest::of(&manifest), Untrusted::simple_signing(&payload, &annotations))
}

#[test]
fn containers_image_simple_signing() {
    let Some(folder) = folder("simple-signing") else { return };
    let (one, two) =
        (key(&folder.join("cosign.pub")).unwrap(), key(&folder.join("cosign2.pub")).unwrap());
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
        assert_eq!(
            outcome.as_ref().map(|s| s.docker_reference().unwrap()).map_err(|f| *f),
            expected,
            "{situation}"
        );
    }
    for name in ["cosign.pub", "cosign2.pub", "rekor.pub"] {
        assert!(key(&folder.join(name)).is_ok(), "{name}");
    }
    assert!(
        matches!(key(&folder.join("fulcio_v1.crt.pem")), Err(KeyError::Label(label)) if label == "CERTIFICATE")
    );
    assert_eq!(key(&folder.join("image.signature")), Err(KeyError::NotPem));
}

/// A trust root of one log, one CA or both, as their keys and certificates lie in the folder.
fn composed(log: &[u8], ca: Option<&[u8]>) -> TrustRoot {
    let der = |pem: &[u8]| {
        let text = str::from_utf8(pem).unwrap();
        let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
        STANDARD.decode(body).unwrap()
    };
    let spki = der(log);
    let id = STANDARD.encode(hex::decode(Digest::of(&spki).hex()).unwrap());
    let from = json!({"start": "2021-01-01T00:00:00Z"});
    let cas = ca.map(|ca| {
        json!({
            "subject": {"organization": "sigstore.dev", "commonName": "sigstore"},
            "uri": "https://fulcio.example.test",
            "certChain": {"certificates": [{"rawBytes": STANDARD.encode(der(ca))}]},
            "validFor": from,
        })
    });
    let root = json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [{
            "baseUrl": "https://rekor.example.test",
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": STANDARD.encode(&spki),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": from,
            },
            "logId": {"keyId": id},
        }],
        "certificateAuthorities": Vec::from_iter(cas),
        "ctlogs": [],
        "timestampAuthorities": [],
    });
    TrustRoot::parse(root.to_string().as_bytes()).unwrap()
}

fn prove(
    item: &Untrusted,
    subject: &Digest,
    trust: &Trust<'_>,
    demands: Demands,
) -> Result<Signed, Fault> {
    let about = About { digest: subject, artifact: None, claim: Claim::ImageSignature };
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    item.prove(&about, trust, demands, now, &mut Budget::default())
}

/// Whether the signature is by a certificate that has this e-mail address, from this issuer.
fn is_by(signed: &Signed, email: &str, issuer: Option<&str>) -> bool {
    let Signer::Certificate(certificate) = signed.signer() else { return false };
    certificate.sans().contains(&San::Email(email.to_owned())) && certificate.issuer() == issuer
}

#[test]
fn containers_image_keys_in_a_log() {
    let Some(folder) = folder("simple-signing") else { return };
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let (one, two) =
        (key(&folder.join("cosign.pub")).unwrap(), key(&folder.join("cosign2.pub")).unwrap());
    let (rekor, other) = (composed(&read("rekor.pub"), None), composed(&read("cosign.pub"), None));
    let logged = Demands { log_entries: 1, ..Demands::NONE };
    for (situation, key, root, expected) in [
        ("key-rekor-valid", &two, &rekor, Ok(1)),
        ("key-rekor-valid", &two, &other, Err(Fault::LogUnknown)),
        ("key-rekor-valid", &one, &rekor, Err(Fault::WrongSignature)),
        // No signed entry timestamp.
        ("valid", &one, &rekor, Err(Fault::TooFewLogEntries { got: 0, want: 1 })),
        ("modified-manifest", &one, &rekor, Err(Fault::OtherDigest)),
        ("fulcio-rekor-valid", &two, &rekor, Err(Fault::WrongSignature)),
    ] {
        let (subject, read) = signature_file(&folder, &format!("dir-img-cosign-{situation}"));
        let signed = prove(&read.unwrap(), &subject, &Trust::Key { key, root: Some(root) }, logged);
        assert_eq!(
            signed.as_ref().map(|signed| signed.entries().len()).map_err(|f| *f),
            expected,
            "{situation}"
        );
        if let Ok(signed) = signed {
            assert_eq!(signed.entries()[0].index, Some(11_608_800));
            assert_eq!(signed.times()[0].time.to_string(), "2023-01-20T21:57:39Z");
        }
    }
}

#[test]
fn containers_image_keyless() {
    let Some(folder) = folder("simple-signing") else { return };
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let fulcio = read("fulcio_v1.crt.pem");
    let rekor = composed(&read("rekor.pub"), Some(&fulcio));
    let public_good =
        fs::read(folder.join("../sigstore-bundle/public-good-trusted_root.json")).unwrap();
    let public_good = TrustRoot::parse(&public_good).unwrap();
    let (subject, item) = signature_file(&folder, "dir-img-cosign-fulcio-rekor-valid");
    let item = item.unwrap();
    let without_sct = Demands { sct: false, ..Demands::KEYLESS };
    for (root, demands) in [(&rekor, without_sct), (&public_good, Demands::KEYLESS)] {
        let signed = prove(&item, &subject, &Trust::Keyless { root }, demands).unwrap();
        assert!(
            is_by(&signed, "mitr@redhat.com", Some("https://github.com/login/oauth")),
            "{signed:?}"
        );
        assert!(!is_by(&signed, "other@redhat.com", Some("https://github.com/login/oauth")));
        assert_eq!(
            signed.docker_reference(),
            Some("192.168.64.2:5000/cosign-signed/fulcio-rekor-1")
        );
        assert_eq!(signed.times()[0].time.to_string(), "2023-01-20T20:51:33Z");
    }
    for (root, demands, expected) in [
        // Nobody vouches for the certificate's log there.
        (&rekor, Demands::KEYLESS, Fault::Sct),
        (&composed(&read("cosign.pub"), Some(&fulcio)), without_sct, Fault::LogUnknown),
        (&composed(&read("rekor.pub"), None), without_sct, Fault::CertificateChain),
        (
            &composed(&read("rekor.pub"), Some(&read("pki_root_crts.pem"))),
            without_sct,
            Fault::CertificateChain,
        ),
        (
            &rekor,
            Demands { log_entries: 2, ..without_sct },
            Fault::TooFewLogEntries { got: 1, want: 2 },
        ),
    ] {
        assert_eq!(prove(&item, &subject, &Trust::Keyless { root }, demands), Err(expected));
    }
    // A key's signature is nobody's certificate.
    let (subject, item) = signature_file(&folder, "dir-img-cosign-key-rekor-valid");
    let refused = prove(&item.unwrap(), &subject, &Trust::Keyless { root: &rekor }, without_sct);
    assert_eq!(refused, Err(Fault::NotCertificateSigned));
}

#[test]
fn containers_image_own_pki() {
    let Some(folder) = folder("simple-signing") else { return };
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let (roots, intermediates) = (read("pki_root_crts.pem"), read("pki_intermediate_crts.pem"));
    let (subject, item) = signature_file(&folder, "dir-img-cosign-pki-valid");
    let item = item.unwrap();
    for (roots, intermediates, accepted) in [
        (&roots[..], &[&intermediates[..]][..], true),
        (&roots, &[], true),
        (&intermediates, &[], true),
        (&read("fulcio_v1.crt.pem"), &[&intermediates], false),
    ] {
        let authority = Authority::parse(&[roots], intermediates, &[]).unwrap();
        let proven = prove(
            &item,
            &subject,
            &Trust::Authority { authority: &authority, root: None },
            Demands::NONE,
        );
        match proven {
            Ok(signed) => {
                assert!(accepted && is_by(&signed, "qiwan@redhat.com", None), "{signed:?}");
                assert!(!is_by(&signed, "myhost.example.com", None));
                assert_eq!(signed.docker_reference(), Some("localhost:5000/test"));
            }
            Err(fault) => assert_eq!((accepted, fault), (false, Fault::CertificateChain)),
        }
    }
}

#[test]
fn connaisseur_keyless() {
    let (Some(folder), Some(roots)) = (folder("registry"), folder("sigstore-bundle")) else {
        return;
    };
    let repository = folder.join("securesystemsengineering/testimage");
    let root =
        TrustRoot::parse(&fs::read(roots.join("public-good-trusted_root.json")).unwrap()).unwrap();
    let subject = Digest::of(&manifest(&repository, "keyless").unwrap());
    let items = items(&repository, &subject);
    assert_eq!(items.len(), 1);
    let signed =
        prove(&items[0], &subject, &Trust::Keyless { root: &root }, Demands::KEYLESS).unwrap();
    assert!(
        is_by(&signed, "philipp.belitz@securesystems.de", Some("https://github.com/login/oauth")),
        "{signed:?}"
    );
    // Its signer signed it for another repository than the one it lies in (attack B6: the policy
    // compares).
    assert_eq!(signed.docker_reference(), Some("index.docker.io/phbelitz/rekor-test"));
    assert_eq!(signed.entries().len(), 1);
    let other = Digest::of(b"other");
    assert_eq!(
        prove(&items[0], &other, &Trust::Keyless { root: &root }, Demands::KEYLESS),
        Err(Fault::OtherDigest)
    );
}

#[test]
fn connaisseur_registry() {
    let Some(folder) = folder("registry") else { return };
    let repository = folder.join("securesystemsengineering/testimage");
    let (alice, bob) =
        (key(&folder.join("alice.pub")).unwrap(), key(&folder.join("bob.pub")).unwrap());
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
                assert_eq!(
                    one.docker_reference(),
                    Some("index.docker.io/securesystemsengineering/testimage")
                );
            }
        }
    }
}

fn manifest(repository: &Path, reference: &str) -> Option<Vec<u8>> {
    let folder = repository.join("manifests");
    fs::read(folder.join(format!("{reference}.json")))
        .or_else(|_| fs::read(folder.join(reference)))
        .ok()
}

fn blob(repository: &Path, digest: &str) -> Vec<u8> {
    let folder = repository.join("blobs");
    let read = |name: String| {
        fs::read(folder.join(&name)).or_else(|_| fs::read(folder.join(format!("{name}.json"))))
    };
    read(digest.to_owned()).or_else(|_| read(digest.replace(':', "-"))).unwrap()
}

fn signed(repository: &Path, subject: &Digest, key: &PublicKey) -> Vec<Signed> {
    let items = items(repository, subject);
    items.iter().filter_map(|item| item.verify(subject, key, &mut Budget::default()).ok()).collect()
}

/// The layers of the older signatures on a digest; each can be read.
fn items(repository: &Path, subject: &Digest) -> Vec<Untrusted> {
    let Some(signatures) = manifest(repository, &format!("sha256-{}.sig", subject.hex())) else {
        return Vec::new();
    };
    let Document::Manifest(signatures) = Document::parse(&signatures).unwrap() else {
        panic!("an index")
    };
    let layers = signatures.layers.iter().map(|layer| {
        let payload = blob(repository, layer.digest.as_str());
        assert_eq!(Digest::of(&payload), layer.digest);
        Untrusted::simple_signing(&payload, &layer.annotations).unwrap()
    });
    layers.collect()
}
