//! The main job: signed images run, unsigned ones do not, whichever way they came.

use std::time::Instant;

use tonic::Code;

use crate::ensure;
use crate::stage::{HOST, Outcome, Stage, by_id, expect_refusal};

pub async fn signed_by_tag() -> Outcome {
    let stage = Stage::usual().await?;
    let image = format!("{HOST}/prod/signed-v2:v1");
    let began = Instant::now();
    let (exit, output) = stage.pull_and_run(&image).await?;
    println!(
        "   {image} ran in {:.0} ms and said: {}",
        began.elapsed().as_secs_f64() * 1e3,
        output.trim()
    );
    ensure!(exit == 0, "exit code {exit}: {output}");
    stage.expect_record("PullImage", "admitted", "satisfied")?;
    let created = stage.expect_record("CreateContainer", "admitted", "satisfied")?;
    ensure!(created["cached"] == true, "the create asked again: {created:#}");
    println!(
        "   {} requests of the registry, {} records",
        stage.registry.requests().len(),
        stage.records().len()
    );
    Ok(())
}

pub async fn unsigned() -> Outcome {
    let stage = Stage::usual().await?;
    let refusal = stage.cri().pull(&format!("{HOST}/prod/unsigned:v1")).await.unwrap_err();
    println!("   {}", refusal.message());
    expect_refusal(
        &refusal,
        Code::Unknown,
        "SignatureValidationFailed: ",
        &["production", "build"],
    )?;
    stage.expect_record("PullImage", "refused", "unsigned")?;
    let there = stage.containerd.ctr(&["images", "ls", "-q"]);
    ensure!(!there.contains("unsigned"), "the refused image is in the store: {there}");
    Ok(())
}

pub async fn imported() -> Outcome {
    let stage = Stage::usual().await?;
    let image = format!("{HOST}/prod/unsigned:v1");
    let id = stage.containerd.cri().pull(&image).await?;
    println!("   {image} was brought past the gate: {id}");
    let pod = stage.pod().await?;
    let refusal = stage.cri().create(&pod, by_id(&id, &image)).await.unwrap_err();
    println!("   {}", refusal.message());
    expect_refusal(&refusal, Code::Unknown, "SignatureValidationFailed: ", &["production"])?;
    stage.expect_record("CreateContainer", "refused", "unsigned")?;
    Ok(())
}
