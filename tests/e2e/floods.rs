//! Floods: a registry that answers 64 pulls at once with as much as it may, and holds the last of
//! it back. The release build's memory stays bounded.
//!
//! `make e2e` builds `target/release/sealgate` first: memory of a build without optimisation says
//! nothing.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealgate::image::Digest;
use serde_json::{Value, json};

use crate::ensure;
use crate::means::prod;
use crate::registry::{Answer, OCI_INDEX, OCI_MANIFEST, Rule, TestRegistry};
use crate::stage::{Failure, Outcome, Props, Stage};

/// Pulls at once: as many as there are decisions at once.
const PULLS: usize = 64;
/// Signatures of each image: as many as are read.
const SIGNATURES: usize = 64;
/// Most memory, KiB.
const PEAK_MAX: u64 = 96 << 10;
/// How soon after it no more than half as much again is kept as there was at the start.
const SETTLED: Duration = Duration::from_secs(30);
/// How long a decision takes here: it ends with its time, since something never comes.
const DECISION: u64 = 10;
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// What the registry sends for an image: bytes of its index, of each signature, annotations of each
/// layer that nobody reads, and bytes of a certificate that is none.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    index: usize,
    payload: usize,
    annotations: usize,
    certificate: usize,
}

/// An index of 3.9 MiB, and a manifest of 4 MiB with 64 layers of 1000 annotations.
pub async fn manifests() -> Outcome {
    play(Sizes { index: 3_900_000, payload: 64_000, annotations: 1000, certificate: 0 }).await
}

/// Manifests just below their limit, of which all that is read is kept.
pub async fn certificates() -> Outcome {
    play(Sizes { index: 3_900_000, payload: 64_000, annotations: 10, certificate: 30_000 }).await
}

/// Nothing that is large by itself: 64 signatures of just under 64 KiB.
pub async fn signatures() -> Outcome {
    play(Sizes { index: 500, payload: 65_000, annotations: 5, certificate: 0 }).await
}

/// A panic ends one task and not the process: the release build has what throws one in it. What
/// becomes of the decision then,
/// `lib/decision::single_flight::a_panic_is_told_to_everyone_and_frees_the_key` says.
pub async fn unwinds() -> Outcome {
    let program = std::fs::read(Stage::released()?)?;
    let throws = b"_Unwind_RaiseException";
    ensure!(
        program.windows(throws.len()).any(|part| part == throws),
        "the release build aborts where it panics"
    );
    Ok(())
}

async fn play(sizes: Sizes) -> Outcome {
    let config = format!("limits.decision_seconds = {DECISION}");
    let mut stage = Stage::set(Props { config, ..Props::usual()? }).await?;
    stage.use_release().await?;
    flood_with(&stage.registry, sizes);
    let start = memory(&stage, "VmRSS")?;
    let pulls = (0..PULLS).map(|number| {
        let cri = stage.cri();
        tokio::spawn(async move { cri.pull(&prod(&format!("flood-{number}"))).await.map(drop) })
    });
    for pull in pulls.collect::<Vec<_>>() {
        ensure!(pull.await?.is_err(), "an image without a signature was pulled");
    }
    let (peak, ended) = (memory(&stage, "VmHWM")?, Instant::now());
    let may_be_kept = start + start / 2;
    let mut kept = memory(&stage, "VmRSS")?;
    while kept > may_be_kept && ended.elapsed() < SETTLED {
        tokio::time::sleep(Duration::from_millis(500)).await;
        kept = memory(&stage, "VmRSS")?;
    }
    println!(
        "   {PULLS} pulls: {} MiB at the start, {} MiB at most, {} MiB {:.1} s after it",
        start >> 10,
        peak >> 10,
        kept >> 10,
        ended.elapsed().as_secs_f64(),
    );
    ensure!(kept <= may_be_kept, "{} MiB are kept, {} MiB may be", kept >> 10, may_be_kept >> 10);
    ensure!(peak <= PEAK_MAX, "{} MiB at most, {} MiB may be", peak >> 10, PEAK_MAX >> 10);
    Ok(())
}

/// A figure of the gate's memory, KiB.
fn memory(stage: &Stage, what: &str) -> Result<u64, Failure> {
    let pid = stage.gate_pid().ok_or("no gate")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
        .ok_or_else(|| Failure(format!("no {what}")))
}

/// Answers every image under `prod/flood-…` so; the last signature never comes.
fn flood_with(registry: &TestRegistry, sizes: Sizes) {
    let found = |kind: &str, body: Vec<u8>| {
        let headers = vec![("content-type", kind.to_owned())];
        Answer::Full { status: 200, headers, body }
    };
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": Digest::of(b"{}").as_str(), "size": 2});
    let child =
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": []})
            .to_string();
    let entry = json!({
        "mediaType": OCI_MANIFEST,
        "digest": Digest::of(child.as_bytes()).as_str(),
        "size": child.len(),
        "platform": {"os": "linux", "architecture": "amd64"},
    });
    // As many small values as a document may have: in memory they take the most.
    let filling = named(sizes.index / 65, 36);
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry], "annotations": filling});
    let index = index.to_string();
    let about = Digest::of(index.as_bytes());
    let mut layers = Vec::new();
    for number in 0..SIGNATURES {
        let payload = json!({
            "critical": {
                "type": "cosign container image signature",
                "image": {"docker-manifest-digest": about.as_str()},
                "identity": {"docker-reference": prod("flood")},
            },
            "optional": {"number": number, "filling": "x".repeat(sizes.payload.saturating_sub(400))},
        });
        let payload = payload.to_string().into_bytes();
        let digest = Digest::of(&payload);
        let mut annotations = named(sizes.annotations, 45);
        annotations["dev.cosignproject.cosign/signature"] = STANDARD.encode(vec![b's'; 70]).into();
        if sizes.certificate > 0 {
            annotations["dev.sigstore.cosign/certificate"] = "x".repeat(sizes.certificate).into();
        }
        layers.push(json!({
            "mediaType": SIMPLE_SIGNING, "digest": digest.as_str(), "size": payload.len(), "annotations": annotations,
        }));
        let is_last = number + 1 == SIGNATURES;
        let answer =
            if is_last { Answer::Hang } else { found("application/octet-stream", payload) };
        registry.rule(Rule::new(format!("blobs/{digest}"), answer));
    }
    let manifest =
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers});
    registry.rule(Rule::new(".sig", found(OCI_MANIFEST, manifest.to_string().into_bytes())));
    registry.rule(Rule::new("/manifests/v1", found(OCI_INDEX, index.into_bytes())));
}

/// So many annotations with values of so many bytes.
fn named(count: usize, length: usize) -> Value {
    (0..count)
        .map(|number| (format!("filling-{number:06}"), Value::from("x".repeat(length))))
        .collect()
}
