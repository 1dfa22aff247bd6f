//! Attestations with whole bills of materials: read, judged and kept, a few at a time.

use sealgate::cri::{Gate, Limits};
use sealgate::image::Digest;
use sealgate::policy::{Class, Documents, PolicyFile, PolicySet, Unmatched};
use sealgate::verify::PublicKey;
use serde_json::{Value, json};

use crate::fixtures;
use crate::registry::{OCI_MANIFEST, Settings};
use crate::rig::{HOST, Rig, Special, by_digest, patient, pull};
use crate::signing::Signer;

const REPOSITORY: &str = "prod/unsigned";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
const SPDX: &str = "https://spdx.dev/Document";
const MIB: usize = 1 << 20;

fn subject() -> Digest {
    Digest::parse(&fixtures::prod("unsigned").tags["v1"]).unwrap()
}

fn gate(rig: &Rig, signer: &Signer, limits: Limits) -> Gate {
    let text = format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: production}}\nspec:\n  \
         images: [\"{HOST}/prod/**\"]\n  require: {{name: sbom, attestation: \
         {{predicateType: \"{SPDX}\", \
         by: {{key: {{files: [own.pub]}}}}}}}}\n"
    );
    let file = PolicyFile { name: "policy.yaml".to_owned(), bytes: text.into_bytes() };
    let keys =
        std::iter::once(("own.pub".to_owned(), PublicKey::parse_pem(&signer.pem()).unwrap()));
    let policy =
        PolicySet::build(Documents::parse(&[file]).unwrap(), keys.collect(), Unmatched::Deny)
            .unwrap();
    let special = Special { policy, store: Some(rig.store()), ..Special::default() };
    rig.with_limits(special, limits)
}

/// A bundle with a bill of materials of so many MiB.
fn bill(signer: &Signer, mib: usize) -> String {
    let package = |n: usize| json!({"SPDXID": n, "name": format!("package-{n}"), "licenseConcluded": "x".repeat(1400)});
    let packages: Vec<Value> = (0..mib * MIB / 1470).map(package).collect();
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "image", "digest": {"sha256": subject().hex()}}],
        "predicateType": SPDX,
        "predicate": {"packages": packages},
    });
    signer.statement_bundle(&statement.to_string())
}

/// Hangs a bundle on the image.
fn attach(rig: &Rig, bundle: &str) {
    let config = rig.registry.put_blob(REPOSITORY, b"{}");
    let blob = rig.registry.put_blob(REPOSITORY, bundle.as_bytes());
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": BUNDLE,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
        "layers": [{"mediaType": BUNDLE, "digest": blob, "size": bundle.len()}],
        "subject": {"mediaType": OCI_MANIFEST, "digest": subject().as_str(), "size": 2},
    });
    rig.registry.put_manifest(REPOSITORY, None, manifest.to_string().as_bytes(), OCI_MANIFEST);
}

/// Bundles of 1, 5 and 16 MiB of predicate, and an envelope under the older tag: admitted, kept,
/// and admitted again with no network after a restart.
#[tokio::test]
async fn bills_of_materials_are_read_and_kept() {
    for mib in [1, 5, 15] {
        let (rig, signer) = (Rig::new(Settings::conforming()), Signer::p256());
        let bundle = bill(&signer, mib);
        if mib == 5 {
            let bundle: Value = serde_json::from_str(&bundle).unwrap();
            let envelope = bundle["dsseEnvelope"].to_string();
            let config = rig.registry.put_blob(REPOSITORY, b"{}");
            let blob = rig.registry.put_blob(REPOSITORY, envelope.as_bytes());
            let manifest = json!({
                "schemaVersion": 2, "mediaType": OCI_MANIFEST,
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
                "layers": [{"mediaType": ENVELOPE, "digest": blob, "size": envelope.len()}],
            });
            let tag = format!("sha256-{}.att", subject().hex());
            rig.registry.put_manifest(
                REPOSITORY,
                Some(&tag),
                manifest.to_string().as_bytes(),
                OCI_MANIFEST,
            );
        } else {
            attach(&rig, &bundle);
        }
        pull(&gate(&rig, &signer, patient()), &by_digest("unsigned")).await.unwrap();
        rig.cut();
        pull(&gate(&rig, &signer, patient()), &by_digest("unsigned")).await.unwrap();
        assert_eq!(rig.registry.requests().len(), 0, "{mib} MiB");
    }
}

/// Attack D1: junk as large as may be, before and after the good one: each is dropped before the
/// next is read.
#[tokio::test]
async fn attack_d1_large_junk_does_not_hide_the_good_one() {
    let (rig, signer, stranger) =
        (Rig::new(Settings::conforming()), Signer::p256(), Signer::p256());
    for bundle in [bill(&stranger, 5), bill(&signer, 6), bill(&stranger, 7), bill(&stranger, 8)] {
        attach(&rig, &bundle);
    }
    pull(&gate(&rig, &signer, patient()), &by_digest("unsigned")).await.unwrap();
}

/// What is larger than the option lets it be is not even asked for, and the option is named.
#[tokio::test]
async fn attack_d1_what_is_too_large_is_unable_and_the_option_is_named() {
    let (rig, signer) = (Rig::new(Settings::conforming()), Signer::p256());
    let bundle = bill(&signer, 3);
    attach(&rig, &bundle);
    let limits = Limits { attestation_mib: 1, ..patient() };
    let refusal = pull(&gate(&rig, &signer, limits), &by_digest("unsigned")).await.unwrap_err();
    let sealgate::cri::Refusal::Denied(denial) = &refusal else { panic!("{refusal}") };
    assert_eq!(denial.class(), Class::Unable, "{refusal}");
    assert!(refusal.to_string().contains("limits.attestation_mib"), "{refusal}");
    assert_eq!(rig.registry.count(&format!("/blobs/{}", Digest::of(bundle.as_bytes()))), 0);
}
