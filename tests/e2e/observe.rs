//! Observe mode: a node on which everything is wrong, what the gate says of it, and the switch.

use std::fs;

use sealgate::proto::cri::{ImageSpec, PullImageRequest};
use serde_json::Value;

use crate::acts::{import, past_the_gate, push};
use crate::containerd::Pod;
use crate::ensure;
use crate::means::{prod, status, until};
use crate::stage::{Failure, HOST, Outcome, Props, Stage, by_id, usual_policy};
use crate::tiny::Tiny;

/// What is wrong with each image that is pulled, by the code of its reason.
fn wrong_pulls() -> [(String, &'static str); 3] {
    [
        (prod("unsigned"), "unsigned"),
        (prod("signed-other"), "no-signature-counts"),
        (format!("{HOST}/lab/tool:1"), "no-policy"),
    ]
}

pub async fn observe() -> Outcome {
    let config = "policy.mode = \"observe\"".to_owned();
    let stage = Stage::set(Props { config, ..Props::usual()? }).await?;
    push(&stage, "lab/tool", Some("1"), &Tiny::saying("lab"));
    let imported = format!("{HOST}/prod/imported:1");
    import(&stage, &Tiny::saying("imported").archive(&[&imported]))?;
    // No policy is about the image of sandboxes any more.
    let policy = usual_policy();
    let (production, _) = policy.split_once("---").ok_or("the usual policy has two documents")?;
    reload(&stage, || stage.write_policy_as_is(production)).await?;
    says_observe(&stage)?;

    let pod = stage.pod().await?;
    let left = everything_runs(&stage, &pod, &imported).await?;
    let listed = report(&stage, &imported)?;
    ensure!(
        stage.records().iter().all(|record| {
            let let_through = record["verdict"] == "admitted";
            let_through != (record["observed"] == true)
        }),
        "a record that lies: {:#?}",
        stage.records()
    );

    let config = fs::read_to_string(stage.config())?.replace("\"observe\"", "\"enforce\"");
    reload(&stage, || Ok(fs::write(stage.config(), config)?)).await?;
    exactly_those_are_refused(&stage, &pod, &imported, &left).await?;
    println!("   {listed} reasons were listed, and exactly those are refused");
    Ok(())
}

/// Changes something and has the gate take it.
async fn reload(stage: &Stage, change: impl FnOnce() -> Outcome) -> Outcome {
    let (_, before) = status(stage)?;
    change()?;
    stage.signal("HUP")?;
    until("a reload", || async {
        status(stage)
            .is_ok_and(|(_, now)| now["policy"]["generation"] != before["policy"]["generation"])
    })
    .await
}

/// The gate says that it only observes, before anything else.
fn says_observe(stage: &Stage) -> Outcome {
    let (_, now) = status(stage)?;
    ensure!(now["policy"]["observe"] == true, "{now:#}");
    let text = stage.sealgate(&["status"])?;
    let text = String::from_utf8_lossy(&text.stdout);
    ensure!(text.starts_with("OBSERVE mode"), "{text}");
    ensure!(stage.gate_log().contains("OBSERVE mode"), "the journal does not say it");
    Ok(())
}

/// The pull of a signed image into a snapshotter that nobody allowed.
fn steered() -> PullImageRequest {
    let annotations = [("containerd.io/snapshot/remote/x".to_owned(), "y".to_owned())];
    let image = prod("signed-v3");
    let spec = ImageSpec { image, annotations: annotations.into(), ..ImageSpec::default() };
    PullImageRequest { image: Some(spec), ..PullImageRequest::default() }
}

/// Pulls and runs all that is wrong, and what is right; a container of an unsigned image that is
/// made and not started is left.
async fn everything_runs(stage: &Stage, pod: &Pod, imported: &str) -> Result<String, Failure> {
    let cri = stage.cri();
    for (image, code) in wrong_pulls() {
        let id = cri.pull(&image).await?;
        let pulled = stage.expect_record("PullImage", "refused", code)?;
        ensure!(pulled["observed"] == true, "{pulled:#}");
        let (exit, output) = cri.run(pod, by_id(&id, &image)).await?;
        ensure!(exit == 0, "{image}: exit code {exit}: {output}");
        println!("   {image} would be refused as {code}, and ran: {}", output.trim());
    }
    let listed = cri.image(imported).await?.ok_or("the import is not there")?;
    let (exit, _) = cri.run(pod, by_id(&listed.id, imported)).await?;
    ensure!(exit == 0, "{imported}: exit code {exit}");
    cri.images.clone().pull_image(steered()).await?;
    stage.expect_record("PullImage", "refused", "not-allowed")?;

    let id = cri.pull(&prod("signed-v2")).await?;
    let (exit, _) = cri.run(pod, by_id(&id, &prod("signed-v2"))).await?;
    ensure!(exit == 0, "exit code {exit}");
    let admitted = stage.expect_record("CreateContainer", "admitted", "satisfied")?;
    ensure!(admitted["observed"].is_null(), "{admitted:#}");

    let unsigned = prod("unsigned");
    let id = past_the_gate(stage, &unsigned).await?;
    Ok(cri.create(pod, by_id(&id, &unsigned)).await?)
}

/// Reads the report: each image with its reason and its next step, and nothing else.
fn report(stage: &Stage, imported: &str) -> Result<usize, Failure> {
    let output = stage.sealgate(&["--output", "json", "policy", "observed"])?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    let summary: Value = serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())?;
    let groups = summary["would_break"].as_array().ok_or("no list")?;
    let mut wanted: Vec<(String, &str)> = wrong_pulls().into();
    wanted.push((imported.to_owned(), "no-origin"));
    wanted.push((prod("signed-v3"), "not-allowed"));
    for (image, code) in &wanted {
        let group = groups.iter().find(|group| group["image"] == *image && group["code"] == *code);
        let group = group.ok_or_else(|| format!("no {code} of {image}: {summary:#}"))?;
        ensure!(group["next_step"].as_str().is_some_and(|step| !step.is_empty()), "{group:#}");
    }
    let sandbox = |group: &&Value| group["methods"][0] == "RunPodSandbox";
    let sandboxes = groups.iter().filter(sandbox).count();
    ensure!(sandboxes == 1, "the image of sandboxes is listed {sandboxes} times: {summary:#}");
    ensure!(groups.len() == wanted.len() + sandboxes, "more than is wrong: {summary:#}");
    let text = stage.sealgate(&["policy", "observed"])?;
    println!("{}", String::from_utf8_lossy(&text.stdout));
    Ok(groups.len())
}

/// The same again under `enforce`: what was listed is refused for the reason that was listed, and
/// what is right runs.
async fn exactly_those_are_refused(
    stage: &Stage,
    pod: &Pod,
    imported: &str,
    left: &str,
) -> Outcome {
    let cri = stage.cri();
    for (image, code) in wrong_pulls() {
        ensure!(cri.pull(&image).await.is_err(), "{image} was pulled");
        let pulled = stage.expect_record("PullImage", "refused", code)?;
        ensure!(pulled["observed"].is_null(), "{pulled:#}");
        let listed = cri.image(&image).await?.ok_or("the image is gone")?;
        ensure!(cri.create(pod, by_id(&listed.id, &image)).await.is_err(), "{image} was made");
        let made = stage.expect_record("CreateContainer", "refused", code)?;
        ensure!(made["observed"].is_null(), "{made:#}");
    }
    let listed = cri.image(imported).await?.ok_or("the import is gone")?;
    ensure!(cri.create(pod, by_id(&listed.id, imported)).await.is_err(), "{imported} was made");
    ensure!(cri.images.clone().pull_image(steered()).await.is_err(), "a steered pull");
    stage.expect_record("PullImage", "refused", "not-allowed")?;
    // Nothing that was observed counts as admitted.
    ensure!(cri.start(left).await.is_err(), "a container of observe mode was started");
    stage.expect_record("StartContainer", "refused", "unsigned")?;
    ensure!(cri.run_pod("prod-eu").await.is_err(), "a sandbox that no policy is about");
    let listed = cri.image(&prod("signed-v2")).await?.ok_or("the image is gone")?;
    let made = cri.create(pod, by_id(&listed.id, &prod("signed-v2"))).await;
    ensure!(made.is_err(), "a container in a sandbox that no policy is about");
    stage.expect_record("CreateContainer", "refused", "sandbox-not-proven")?;
    reload(stage, || stage.write_policy(&usual_policy())).await?;
    let (exit, _) = cri.run(pod, by_id(&listed.id, &prod("signed-v2"))).await?;
    ensure!(exit == 0, "what is right does not run: exit code {exit}");
    Ok(())
}
