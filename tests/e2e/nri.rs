//! The tripwire in the runtime: what is created at containerd's own socket is refused, and what is
//! created through the gate is made, also after either was started again.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::acts::containers;
use crate::containerd::{Flavour, Pod};
use crate::ensure;
use crate::means::until;
use crate::stage::{Failure, HOST, Outcome, Props, Stage, by_id};

/// The first containerd that has NRI, and the first that has it enabled by default.
const HAS_NRI: (u32, u32) = (1, 7);
const ENABLED: (u32, u32) = (2, 0);
/// How long the gate may take to be a plugin of containerd again.
const CONNECT_MAX: Duration = Duration::from_secs(60);

/// A create at either socket, on each containerd.
pub async fn nri() -> Outcome {
    let mut played = 0;
    for flavour in Flavour::all() {
        let version = flavour.version;
        let name = format!("containerd {}.{}", version.0, version.1);
        if version < HAS_NRI {
            println!("   {name}: not applicable, it has no NRI");
            continue;
        }
        let mut stage = Stage::set(Props { flavour, nri: true, ..Props::usual()? }).await?;
        let took = connected(&stage).await?;
        play(&mut stage).await?;
        let enabled = if version < ENABLED { "enabled for this, " } else { "" };
        println!("   {name}: {enabled}refused around the gate; connected after {took:?}");
        played += 1;
    }
    ensure!(played > 0, "no containerd here has NRI");
    Ok(())
}

async fn play(stage: &mut Stage) -> Outcome {
    let signed = format!("{HOST}/prod/signed-v2:v1");
    let id = stage.cri().pull(&signed).await?;
    let pod = stage.pod().await?;
    // Before the first container came through the gate: as while it is installed.
    stage.containerd.cri().create(&pod, by_id(&id, &signed)).await?;
    found(stage, "reported")?;
    both(stage, &pod, (&id, &signed)).await?;

    stage.containerd.restart().await;
    connected(stage).await?;
    changes(stage).await?;
    around_is_refused(stage, &pod, (&id, &signed)).await?;
    both(stage, &pod, (&id, &signed)).await?;

    stage.kill_gate()?;
    stage.start_gate().await?;
    connected(stage).await?;
    both(stage, &pod, (&id, &signed)).await
}

/// Through the gate a container is made and runs; around it none is.
async fn both(stage: &Stage, pod: &Pod, (id, name): (&str, &str)) -> Outcome {
    let (exit, output) = stage.cri().run(pod, by_id(id, name)).await?;
    ensure!(exit == 0, "exit code {exit}: {output}");
    around_is_refused(stage, pod, (id, name)).await
}

async fn around_is_refused(stage: &Stage, pod: &Pod, (id, name): (&str, &str)) -> Outcome {
    let before = containers(stage).await?;
    let refused = stage.containerd.cri().create(pod, by_id(id, name)).await;
    let refused = refused.err().ok_or("a container was created around the gate")?;
    ensure!(
        refused.message().contains("not created through the image gate"),
        "another reason: {refused}"
    );
    ensure!(containers(stage).await? == before, "something is left of it");
    found(stage, "refused")
}

/// The newest finding of the tripwire, which must say that this was done.
fn found(stage: &Stage, done: &str) -> Outcome {
    let findings = stage.findings();
    let newest = findings.iter().rev().find(|finding| finding["finding"] == "nri");
    let newest = newest.ok_or("no finding of the tripwire is on record")?;
    ensure!(newest["detail"]["action"] == done, "expected {done}: {newest:#}");
    ensure!(newest["reason"]["code"] == "not-decided", "another code: {newest:#}");
    let named = ["container_id", "sandbox_id", "image"].map(|field| newest[field].is_string());
    ensure!(named == [true; 3], "it does not name what it is about: {newest:#}");
    Ok(())
}

/// That containerd asked no more, and asks again, is on record, once each.
async fn changes(stage: &Stage) -> Outcome {
    until("both changes are on record", || async {
        let findings = stage.findings();
        let of = |code: &str| {
            findings.iter().filter(|finding| finding["reason"]["code"] == code).count()
        };
        ["tripwire-lost", "tripwire-connected"].map(of) == [1, 1]
    })
    .await
}

/// Waits until containerd asks the gate, and says how long that took.
pub async fn connected(stage: &Stage) -> Result<Duration, Failure> {
    let began = Instant::now();
    loop {
        let output = stage.sealgate(&["status", "--output", "json"])?;
        let status: Value = serde_json::from_slice(&output.stdout)?;
        if status["nri"]["connected"] == true {
            return Ok(began.elapsed());
        }
        ensure!(
            began.elapsed() < CONNECT_MAX,
            "the tripwire is not connected: {}\n{}",
            status["nri"],
            stage.gate_log()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
