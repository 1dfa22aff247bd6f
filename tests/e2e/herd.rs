//! The power was gone, the registry still is, and every pod of the node starts at the same moment:
//! none is turned away.

use std::time::Instant;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};

use crate::acts::running;
use crate::containerd::{Cri, Flavour, Launch, Pod};
use crate::ensure;
use crate::fixtures;
use crate::means::prod;
use crate::outage::take_away;
use crate::registry::{OCI_MANIFEST, Settings, TestRegistry};
use crate::signing::{self, Signer};
use crate::stage::{Failure, Outcome, Props, Stage, by_id, usual_policy};

/// As many containers as a kubelet lets a node have by default.
const USUAL: usize = 110;
/// As many as the largest nodes have.
const LARGEST: usize = 500;
/// Images that were admitted before, no two alike and each in a repository of its own: a verdict
/// and evidence for each.
const IMAGES: usize = 110;
/// Sandboxes that they start in: what a sandbox costs is the runtime's.
const PODS: usize = 10;
/// Pulls at once, as a kubelet that pulls in parallel makes them.
const PULLS: usize = 8;
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

pub async fn herd() -> Outcome {
    play(&[USUAL, LARGEST]).await
}

/// As [`herd`], without the largest nodes: their containers keep each runtime busy for minutes.
pub async fn shortened() -> Outcome {
    println!("   {USUAL} containers; `make e2e SCENARIO=herd` starts {LARGEST} as well");
    play(&[USUAL]).await
}

async fn play(herds: &[usize]) -> Outcome {
    for flavour in [Flavour::system()?, Flavour::at_least(2, 1)?] {
        println!("   containerd {}.{}", flavour.version.0, flavour.version.1);
        let signer = Signer::p256();
        let policy = usual_policy().replace("build.pub", "own.pub");
        let keys = vec![("own.pub".to_owned(), signer.pem())];
        let registry = Settings::conforming();
        let mut stage =
            Stage::set(Props { flavour, policy, keys, registry, ..Props::usual()? }).await?;
        let known = admit(&stage, &signer).await?;
        take_away(&mut stage);
        for many in herds {
            start_all(&mut stage, &known, *many).await?;
        }
    }
    Ok(())
}

/// Pulls every image while there is a registry; its names and the ids behind them.
async fn admit(stage: &Stage, signer: &Signer) -> Result<Vec<(String, String)>, Failure> {
    // The sandboxes' own image.
    stage.pod().await?;
    let began = Instant::now();
    let names: Vec<String> = (0..IMAGES).map(|number| format!("herd-{number}")).collect();
    names.iter().for_each(|name| put_signed(&stage.registry, &format!("prod/{name}"), signer));
    let pulled = stream::iter(names).map(|name| {
        let (cri, name) = (stage.cri(), prod(&name));
        async move { cri.pull(&name).await.map(|id| (name, id)) }
    });
    let known: Result<Vec<_>, _> =
        pulled.buffer_unordered(PULLS).collect::<Vec<_>>().await.into_iter().collect();
    println!("   {IMAGES} images admitted in {:.1} s", began.elapsed().as_secs_f64());
    Ok(known?)
}

/// Puts an image that is no other's into a repository, and a signature on it.
fn put_signed(registry: &TestRegistry, repository: &str, signer: &Signer) {
    put_signed_copy(registry, repository, (fixtures::prod("signed-v3"), "v1"), signer);
}

/// Puts an image as no other repository has it into one, as `v1`, and a signature on it.
pub fn put_signed_copy(
    registry: &TestRegistry,
    repository: &str,
    (source, tag): (&fixtures::Repository, &str),
    signer: &Signer,
) {
    source.blobs.values().for_each(|bytes| drop(registry.put_blob(repository, bytes)));
    let mut image: Value = serde_json::from_slice(source.tagged(tag)).expect("JSON");
    image["annotations"] = json!({ "herd": repository });
    let image = image.to_string();
    let digest = registry.put_manifest(repository, Some("v1"), image.as_bytes(), OCI_MANIFEST);
    let bundle = signer.statement_bundle(&signing::statement(&digest, signing::IMAGE_SIGNATURE));
    let (config, blob) =
        (registry.put_blob(repository, b"{}"), registry.put_blob(repository, bundle.as_bytes()));
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": BUNDLE,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
        "layers": [{"mediaType": BUNDLE, "digest": blob, "size": bundle.len()}],
        "subject": {"mediaType": OCI_MANIFEST, "digest": digest, "size": image.len()},
    });
    registry.put_manifest(repository, None, manifest.to_string().as_bytes(), OCI_MANIFEST);
}

/// Puts an image with its signature into another repository.
pub fn copy_signed(registry: &TestRegistry, repository: &str) {
    let source = fixtures::prod("signed-v3");
    registry.put_all(repository, &source.blobs, &source.manifests, &source.tags);
}

/// Gate and runtime are killed and come back with nothing in memory; then all containers at once.
async fn start_all(stage: &mut Stage, known: &[(String, String)], many: usize) -> Outcome {
    stage.containerd.cri().remove_all_pods().await?;
    let pods = join_all((0..PODS).map(|_| stage.pod()))
        .await
        .into_iter()
        .collect::<Result<Vec<Pod>, _>>()?;
    let before = stage.records().len();
    stage.power_cut().await?;
    let began = Instant::now();
    // Over two connections, as a kubelet has them.
    let clients = [stage.cri(), stage.cri()];
    let known = known.iter().cycle().zip(pods.iter().cycle()).zip(clients.iter().cycle());
    let starts = known.take(many).map(|(((name, id), pod), cri)| start(cri, pod, name, id));
    let ended = join_all(starts).await;
    let refused: Vec<String> =
        ended.iter().filter_map(|one| one.as_ref().err()).map(|why| why.0.clone()).collect();
    ensure!(
        refused.is_empty(),
        "{} of {many} did not start, the first: {}",
        refused.len(),
        refused[0]
    );
    let count = running(&stage.containerd.cri()).await?;
    ensure!(count == many, "{count} of {many} containers run");
    println!("   {many} containers at once: all run after {:.1} s", began.elapsed().as_secs_f64());

    let records = stage.records().split_off(before);
    let created: Vec<_> =
        records.iter().filter(|record| record["call"] == "CreateContainer").collect();
    ensure!(created.len() == many, "{} records of {many} creates", created.len());
    for record in &created {
        let source = record["source"].as_str().unwrap_or_default();
        ensure!(
            record["verdict"] == "admitted" && ["evidence", "memory"].contains(&source),
            "not by what is on the node: {record:#}"
        );
    }
    let mut decided: Vec<u64> =
        created.iter().filter_map(|record| record["timings"]["total"].as_u64()).collect();
    decided.sort_unstable();
    let of = |percent: usize| {
        decided.get(decided.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
            / 1000
    };
    println!("   the gate's decision: p50 {} ms, p99 {} ms", of(50), of(99));
    Ok(())
}

async fn start(cri: &Cri, pod: &Pod, name: &str, id: &str) -> Outcome {
    let command = ["/hello", "stay"].map(str::to_owned).to_vec();
    let launch = Launch { command, ..by_id(id, name) };
    let container =
        cri.create(pod, launch).await.map_err(|error| format!("creating {name}: {error}"))?;
    Ok(cri.start(&container).await.map_err(|error| format!("starting {name}: {error}"))?)
}
