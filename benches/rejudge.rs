//! Judging a thousand remembered images again after a change of policy, on one core: by key and
//! keyless, with the evidence in memory and on disk, with the signatures proven before and not.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints"
)]
#![allow(clippy::unwrap_used, reason = "a benchmark fails loudly")]
#![allow(clippy::disallowed_methods, clippy::as_conversions, reason = "a benchmark measures time")]

#[path = "../tests/support/fixtures.rs"]
mod fixtures;
#[path = "../tests/support/registry.rs"]
mod registry;
#[path = "../tests/gate/rig.rs"]
mod rig;
#[path = "../tests/support/signing.rs"]
mod signing;
#[path = "support/mod.rs"]
mod support;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sealgate::cri::{Gate, MemoryOptions, Reevaluated};
use sealgate::image::Digest;
use sealgate::policy::{Documents, PolicyFile, PolicySet, Unmatched};
use sealgate::verify::{PublicKey, VerificationCache};
use serde_json::json;

use registry::{OCI_MANIFEST, Settings, TestRegistry};
use rig::{HOST, RELEASE, Rig, Special, by_digest, pull, requiring};
use signing::Signer;
use support::Table;

/// Images that a node may have run.
const IMAGES: usize = 1000;
/// Most milliseconds for all of them.
const LIMIT: f64 = 1000.0;
/// Keyless images of one signer. There are few: they are judged again and again until a thousand
/// were.
const KEYLESS: [&str; 2] = ["keyless", "keyless-rekor2"];
/// The repository of the images that are made here.
const BULK: &str = "prod/bulk";

fn main() -> ExitCode {
    let mut table = Table::new("A thousand remembered images, judged again", ["in all", ""]);
    for (place, evidence) in [("memory", IMAGES), ("disk", 1)] {
        let took = support::runtime().block_on(by_key(evidence));
        table.limit(&format!("key, evidence in {place}"), took.as_secs_f64() * 1e3, "ms", LIMIT);
        // In turns, so that a memory of one proof never has the one that is asked for.
        for (what, proofs) in
            [("proven before", VerificationCache::DEFAULT.get()), ("not proven before", 1)]
        {
            let took = support::runtime().block_on(keyless(evidence, proofs));
            table.limit(
                &format!("keyless, {what}, evidence in {place}"),
                took.as_secs_f64() * 1e3,
                "ms",
                LIMIT,
            );
        }
    }
    table.end()
}

/// A thousand images, each with a signature of its own.
async fn by_key(evidence: usize) -> Duration {
    let rig = Rig::new(Settings::conforming());
    let signer = Signer::p256();
    let images: Vec<String> = (0..IMAGES).map(|n| signed(&rig.registry, &signer, n)).collect();
    let gate = started(&rig, policy(&signer, "before"), (evidence, 1));
    for image in &images {
        pull(&gate, image).await.unwrap();
    }
    rig.cut();
    let took = again(&gate, policy(&signer, "after"), IMAGES).await;
    assert_eq!(rig.registry.requests().len(), 0);
    took
}

/// A few images, as often as it takes to judge a thousand.
async fn keyless(evidence: usize, proofs: usize) -> Duration {
    let rig = Rig::new(Settings::conforming());
    let gate = started(&rig, requiring(RELEASE), (evidence, proofs));
    for image in KEYLESS {
        pull(&gate, &by_digest(image)).await.unwrap();
    }
    rig.cut();
    let mut took = Duration::ZERO;
    for round in 0..IMAGES / KEYLESS.len() {
        let policy = requiring(&RELEASE.replacen("release", &format!("release-{round}"), 1));
        took += again(&gate, policy, KEYLESS.len()).await;
    }
    assert_eq!(rig.registry.requests().len(), 0);
    took
}

fn started(rig: &Rig, policy: PolicySet, (evidence, proofs): (usize, usize)) -> Gate {
    let count = |n| NonZeroUsize::new(n).unwrap();
    let memory = MemoryOptions {
        evidence: count(evidence),
        proofs: count(proofs),
        ..MemoryOptions::default()
    };
    rig.special(Special { memory, policy, store: Some(rig.store()), ..Special::default() })
}

/// Time until all are judged again, while nothing else runs.
async fn again(gate: &Gate, policy: PolicySet, images: usize) -> Duration {
    let began = Instant::now();
    gate.replace_policy(policy);
    let ended = |progress: Reevaluated| {
        progress.left == 0 && progress.admitted + progress.left_out == images
    };
    while !ended(gate.rejudged()) {
        tokio::task::yield_now().await;
    }
    assert_eq!(gate.rejudged().admitted, images);
    began.elapsed()
}

/// Puts the image of this number into the registry, signed in the older form; its reference.
fn signed(registry: &TestRegistry, signer: &Signer, number: usize) -> String {
    let config = format!("{{\"number\": {number}}}").into_bytes();
    let (image, _) = manifest(registry, &config, &[]);
    let payload = signing::payload(image.as_str(), &format!("{HOST}/{BULK}"));
    let digest = registry.put_blob(BULK, payload.as_bytes());
    let layer = json!({"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "digest": digest.to_string(),
        "size": payload.len(), "annotations": signer.annotations(payload.as_bytes())});
    let (_, bytes) = manifest(registry, b"{}", &[layer]);
    registry.put_manifest(BULK, Some(&format!("sha256-{}.sig", image.hex())), &bytes, OCI_MANIFEST);
    format!("{HOST}/{BULK}@{image}")
}

fn manifest(
    registry: &TestRegistry,
    config: &[u8],
    layers: &[serde_json::Value],
) -> (Digest, Vec<u8>) {
    let digest = registry.put_blob(BULK, config);
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest.to_string(),
        "size": config.len()});
    let manifest =
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers});
    let bytes = serde_json::to_vec(&manifest).unwrap();
    registry.put_manifest(BULK, None, &bytes, OCI_MANIFEST);
    (Digest::of(&bytes), bytes)
}

fn policy(signer: &Signer, name: &str) -> PolicySet {
    let text = format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: {name}}}\nspec:\n  \
         images: [\"{HOST}/prod/**\"]\n  require: {{name: signer, key: {{files: [it.pub]}}}}\n"
    );
    let file = PolicyFile { name: "policy.yaml".to_owned(), bytes: text.into_bytes() };
    let documents = Documents::parse(&[file]).unwrap();
    let key = PublicKey::parse_pem(&signer.pem()).unwrap();
    PolicySet::build(
        documents,
        std::iter::once(("it.pub".to_owned(), key)).collect(),
        Unmatched::Deny,
    )
    .unwrap()
}
