//! The main job, as `make demo` shows it: on a real containerd a signed image runs; an unsigned one
//! is refused at pull, and at create when it was imported past the gate; three records say so.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tonic::Code;

use crate::acts::eventually;
use crate::ensure;
use crate::fixtures::{self, Repository};
use crate::stage::{Failure, HOST, Outcome, Stage, by_id, expect_refusal};

/// Longest wait for a line of the log: a busy machine may need it.
const LONG: Duration = Duration::from_secs(60);

pub async fn demo() -> Outcome {
    let stage = Stage::usual().await?;
    println!(
        "   a real containerd, a registry, and the gate between them; images under prod/ need the \
         key \"build\"\n"
    );

    let signed = format!("{HOST}/prod/signed-v3:v1");
    println!("1. a signed image, {signed}");
    let (exit, output) = stage.pull_and_run(&signed).await?;
    ensure!(exit == 0, "exit code {exit}: {output}");
    println!("   its container says: {}\n", output.trim());

    let unsigned = format!("{HOST}/prod/unsigned:v1");
    println!("2. an unsigned image, {unsigned}, is pulled");
    let refusal = stage.cri().pull(&unsigned).await.unwrap_err();
    println!("   {}\n", refusal.message());
    expect_refusal(&refusal, Code::Unknown, "SignatureValidationFailed: ", &["production"])?;

    println!("3. the same image, imported into containerd past the gate, is to run");
    let id = import(&stage, fixtures::prod("unsigned"), "v1")?;
    let pod = stage.pod().await?;
    let refusal = stage.cri().create(&pod, by_id(&id, &unsigned)).await.unwrap_err();
    println!("   {}\n", refusal.message());
    expect_refusal(&refusal, Code::Unknown, "SignatureValidationFailed: ", &["production"])?;

    println!("the audit records of the three:");
    let records = stage.records();
    let wanted =
        [("PullImage", "admitted"), ("PullImage", "refused"), ("CreateContainer", "refused")];
    for (call, verdict) in wanted {
        let record =
            records.iter().find(|record| record["call"] == call && record["verdict"] == verdict);
        let record = record.ok_or_else(|| {
            Failure(format!("no record of a {call} that was {verdict}: {records:#?}"))
        })?;
        println!("{}", serde_json::to_string(&record)?);
    }
    ensure!(refusal.message().contains("[decision "), "no decision in {}", refusal.message());
    came_to(&stage).await
}

/// What came of the container that was made: its id, its start, and its end with its pod.
async fn came_to(stage: &Stage) -> Outcome {
    let of = |word: &str| {
        let mut outcomes = stage.outcomes().into_iter();
        outcomes.rfind(|told| told["outcome"] == word && told["container_id"].is_string())
    };
    eventually("the start is on record", LONG, async || of("started").is_some()).await?;
    let created = of("created").ok_or("no outcome of the create")?;
    let decisions = stage.records();
    let decision = decisions.iter().find(|record| record["id"] == created["decision"]);
    let decision = decision.ok_or_else(|| Failure(format!("no decision of {created:#}")))?;
    ensure!(
        decision["digest"] == created["digest"] && decision["sandbox_id"] == created["sandbox_id"],
        "{created:#} of {decision:#}"
    );
    stage.cri().remove_all_pods().await?;
    let id = &created["container_id"];
    let is_gone = || of("removed").is_some_and(|told| told["container_id"] == *id);
    eventually("its end is on record", LONG, async || is_gone()).await?;
    println!("what came of the first: created, started and removed, as {id}");
    Ok(())
}

/// Imports one tag of a repository with `ctr image import`; the image's id.
pub fn import(stage: &Stage, repository: &Repository, tag: &str) -> Result<String, Failure> {
    let folder = stage.folder().join("import");
    let archive = stage.folder().join("import.tar");
    let digest = &repository.tags[tag];
    let (media_type, manifest) = &repository.manifests[digest];
    let parsed: Value = serde_json::from_slice(manifest)?;
    let name = format!("{}/{}:{tag}", repository.host, repository.path);
    let index = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": media_type, "digest": digest, "size": manifest.len(),
        "annotations": {"io.containerd.image.name": name},
    }]});
    write(&folder.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    write(&folder.join("index.json"), &serde_json::to_vec(&index)?)?;
    let blobs = repository.blobs.iter().map(|(digest, bytes)| (digest, bytes.as_slice()));
    for (digest, bytes) in blobs.chain([(digest, manifest.as_slice())]) {
        write(&folder.join("blobs").join(digest.replace(':', "/")), bytes)?;
    }
    let tar =
        Command::new("tar").arg("-C").arg(&folder).arg("-cf").arg(&archive).arg(".").status()?;
    ensure!(tar.success(), "tar: {tar}");
    stage.containerd.ctr(&["images", "import", &archive.display().to_string()]);
    let id = parsed["config"]["digest"].as_str().ok_or("a manifest without a config")?;
    Ok(id.to_owned())
}

fn write(path: &Path, bytes: &[u8]) -> Outcome {
    fs::create_dir_all(path.parent().ok_or("no folder")?)?;
    Ok(fs::write(path, bytes)?)
}
