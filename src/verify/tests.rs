//! What the library is not shown is judged as the library would: keyless signatures of the
//! fixtures, under roots and with certificates that were changed, by both.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::primitives::budget::Budget;
use super::primitives::content::Content;
use super::primitives::demands::Demands;
use super::primitives::fault::Fault;
use super::prove::ProofRequest;
use super::signature::log::EntrySigner;
use super::signature::untrusted::Material;
use super::signature::untrusted::Untrusted;
use super::sigstore;
use super::sigstore::root::TrustRoot;
use super::trust::{About, Claim};
use crate::image::Digest;

fn fixture(path: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)).unwrap()
}

fn root(change: impl FnOnce(&mut Value)) -> TrustRoot {
    let mut root: Value = serde_json::from_slice(&fixture("trust/local.json")).unwrap();
    change(&mut root);
    TrustRoot::parse(root.to_string().as_bytes()).unwrap()
}

/// The keyless bundles of the local Sigstore, and the digest that each is about.
fn bundles() -> Vec<(String, Untrusted, Digest)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bundles");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let item = Untrusted::bundle(&fixture(&format!("bundles/{name}"))).unwrap();
        let digest = match &item.content {
            Content::Statement { subjects, .. } => subjects.sha256.first().unwrap().clone(),
            Content::Payload { .. } | Content::Artifact { .. } => continue,
        };
        if matches!(&item.material, Material::Certificate(leaf) if leaf.claims.issuer.is_some()) {
            found.push((name, item, digest));
        }
    }
    assert!(found.len() >= 10, "{}", found.len());
    found
}

/// Whether both find the certificate good, with this one in place of the signer's: its path, its
/// time and its log.
fn both(
    item: &Untrusted,
    der: &[u8],
    digest: &Digest,
    root: &TrustRoot,
    sct: bool,
) -> Option<(bool, bool)> {
    let Material::Certificate(leaf) = &item.material else { return None };
    let sha256: [u8; 32] = hex::decode(digest.hex()).unwrap().try_into().unwrap();
    let about = About { digest, artifact: None, claim: Claim::ImageSignature };
    let (signed, artifact) = item.messages(&about, &sha256).unwrap();
    let demands = Demands { log_entries: 0, timestamps: 0, sct };
    let request =
        ProofRequest { signed, artifact, demands, now: "2026-06-01T00:00:00Z".parse().unwrap() };
    let mut budget = Budget::default();
    let witnessed = item
        .witnessed(Some(root), EntrySigner::Certificate(&leaf.der), request, &mut budget)
        .ok()?;
    witnessed.has_time().ok()?;
    let mut changed = item.clone();
    let Material::Certificate(leaf) = &mut changed.material else { return None };
    leaf.der = der.to_vec();
    let leaf = leaf.clone();
    let ours = changed.keyless_unshown((&leaf, root), &witnessed, request, &mut budget);
    let theirs =
        sigstore::keyless(root, &sigstore::shown(&changed, &witnessed.held, artifact)?, demands);
    let of_certificate = |outcome: Result<(), Fault>| match outcome {
        Err(
            Fault::Certificate | Fault::CertificateChain | Fault::CertificateExpired | Fault::Sct,
        ) => false,
        // That a changed certificate is not the one that was logged, the library says when it has
        // found it good.
        Ok(()) | Err(_) => true,
    };
    Some((of_certificate(ours), of_certificate(theirs)))
}

#[test]
fn both_judge_the_same_certificates_alike() {
    let none = root(|root| root["ctlogs"] = json!([]));
    let foreign: Value = serde_json::from_slice(&fixture("trust/foreign.json")).unwrap();
    let window = |start: &str, end: &str| json!({"start": start, "end": end});
    let roots = [
        root(|_| {}),
        none,
        root(|root| root["ctlogs"] = foreign["ctlogs"].clone()),
        root(|root| root["ctlogs"][0]["publicKey"] = foreign["ctlogs"][0]["publicKey"].clone()),
        root(|root| root["certificateAuthorities"] = foreign["certificateAuthorities"].clone()),
        root(|root| {
            let end = window("2025-01-01T00:00:00Z", "2025-05-01T00:00:00Z");
            root["ctlogs"][0]["publicKey"]["validFor"] = end;
        }),
        root(|root| {
            let end = window("2025-01-01T00:00:00Z", "2025-05-01T00:00:00Z");
            root["certificateAuthorities"][0]["validFor"] = end;
        }),
        root(|root| {
            root["certificateAuthorities"][0]["validFor"] =
                window("2025-06-01T12:00:00Z", "2065-01-01T00:00:00Z")
        }),
    ];
    let (mut judged, mut good) = (0, 0);
    for (name, item, digest) in &bundles() {
        let Material::Certificate(leaf) = &item.material else { panic!("{name}") };
        for (number, root) in roots.iter().enumerate() {
            for sct in [true, false] {
                let Some((ours, theirs)) = both(item, &leaf.der, digest, root, sct) else {
                    continue;
                };
                assert_eq!(ours, theirs, "{name} under root {number}, log asked for: {sct}");
                judged += 1;
                good += usize::from(ours);
            }
        }
    }
    assert!(judged >= 100 && good >= 40 && judged - good >= 20, "{judged} {good}");
}

/// Attack B3: bits of the certificate, signed and around what is signed.
#[test]
fn attack_b3_both_refuse_the_same_changed_certificates() {
    let root = root(|_| {});
    let (mut judged, mut good) = (0, 0);
    for (number, (name, item, digest)) in bundles().iter().enumerate() {
        let Material::Certificate(leaf) = &item.material else { panic!("{name}") };
        for bit in (number..leaf.der.len() * 8).step_by(149) {
            let mut der = leaf.der.clone();
            der[bit / 8] ^= 1 << (bit % 8);
            for sct in [true, false] {
                let Some((ours, theirs)) = both(item, &der, digest, &root, sct) else { continue };
                assert_eq!(ours, theirs, "{name} bit {bit}, log asked for: {sct}");
                judged += 1;
                good += usize::from(ours);
            }
        }
    }
    assert!(judged > 500 && good == 0, "{judged} {good}");
}
