//! Bundles whose signature is over the manifest's own bytes: some keys and digests can be checked
//! over these alone, so the gate fetches them.

use std::collections::BTreeMap;

use sealgate::policy::{Documents, PolicyFile, PolicySet, Reason, Unmatched};
use sealgate::verify::PublicKey;
use sha2::{Digest as _, Sha256, Sha512};

use crate::fixtures;
use crate::registry::{OCI_MANIFEST, Settings};
use crate::rig::{HOST, Rig, Special, pull, reason};
use crate::signing::Signer;

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const REPOSITORY: &str = "prod/unsigned";

/// A gate whose one key is this signer's.
fn trusting(rig: &Rig, signer: &Signer) -> sealgate::cri::Gate {
    let text = format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: p}}\nspec:\n  images: \
         [\"{HOST}/prod/**\"]\n  \
         require: {{name: signer, key: {{files: [signer.pub]}}}}\n"
    );
    let file = PolicyFile { name: "policy.yaml".to_owned(), bytes: text.into_bytes() };
    let keys =
        BTreeMap::from([("signer.pub".to_owned(), PublicKey::parse_pem(&signer.pem()).unwrap())]);
    let policy = PolicySet::build(
        Documents::parse(&[file]).unwrap(),
        keys.into_iter().collect(),
        Unmatched::Deny,
    )
    .unwrap();
    rig.special(Special { policy, ..Special::default() })
}

/// Hangs a bundle on the unsigned image, as a referrer.
fn attach(rig: &Rig, bundle: &str) {
    let image = fixtures::prod("unsigned");
    let subject = &image.tags["v1"];
    let size = image.manifests[subject].1.len();
    let config = rig.registry.put_blob(REPOSITORY, b"{}");
    let layer = rig.registry.put_blob(REPOSITORY, bundle.as_bytes());
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","artifactType":"{BUNDLE}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{config}","size":2}},"layers":[{{"mediaType":"{BUNDLE}","digest":"{layer}","size":{}}}],"subject":{{"mediaType":"{OCI_MANIFEST}","digest":"{subject}","size":{size}}}}}"#,
        bundle.len()
    );
    rig.registry.put_manifest(REPOSITORY, None, manifest.as_bytes(), OCI_MANIFEST);
}

#[tokio::test]
async fn signatures_over_the_bytes_themselves_count() {
    let manifest = fixtures::prod("unsigned").tagged("v1").to_vec();
    let (sha256, sha512) = (Sha256::digest(&manifest).to_vec(), Sha512::digest(&manifest).to_vec());
    for (signer, algorithm, digest) in [
        (Signer::ed25519(), "SHA2_256", &sha256),
        (Signer::ed25519ph(), "SHA2_512", &sha512),
        (Signer::p256(), "SHA2_256", &sha256),
    ] {
        let rig = Rig::new(Settings::conforming());
        attach(&rig, &signer.message_bundle(&manifest, algorithm, digest));
        let gate = trusting(&rig, &signer);
        for image in [
            format!("{HOST}/{REPOSITORY}:v1"),
            format!("{HOST}/{REPOSITORY}@{}", fixtures::prod("unsigned").tags["v1"]),
        ] {
            assert!(pull(&gate, &image).await.is_ok(), "{algorithm} {image}");
        }
    }
}

/// Attack B1: a good signature over other bytes, of which the bundle says that they are these.
#[tokio::test]
async fn attack_b1_a_signature_over_other_bytes_does_not_count() {
    let manifest = fixtures::prod("unsigned").tagged("v1").to_vec();
    let signer = Signer::ed25519();
    let rig = Rig::new(Settings::conforming());
    attach(&rig, &signer.message_bundle(b"{}", "SHA2_256", &Sha256::digest(&manifest)));
    let gate = trusting(&rig, &signer);
    let refused = reason(pull(&gate, &format!("{HOST}/{REPOSITORY}:v1")).await);
    assert!(matches!(refused, Reason::NoneCounts { .. }), "{refused:?}");
}
