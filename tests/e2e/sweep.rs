//! Every container and image of a full node, judged again: what the gate let in, what went around
//! it and what cannot be told, fast and in little memory.

use std::fs;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use serde_json::Value;

use crate::containerd::Pod;
use crate::ensure;
use crate::making::{Form, made};
use crate::means::{prod, until};
use crate::outage::take_away;
use crate::pace::Pace;
use crate::registry::Settings;
use crate::signing::Signer;
use crate::stage::{Failure, Outcome, Props, Stage, by_id, usual_policy};

/// Containers that the gate makes.
const CONTAINERS: usize = 500;
/// Images that it pulls, which share their lower layer.
const IMAGES: usize = 200;
/// Sandboxes of the containers.
const PODS: usize = 10;
/// Calls at once.
const CALLS: usize = 8;
/// Longest sweep from evidence.
const SWEEP_MAX: Duration = Duration::from_secs(10);
/// Most memory that the gate may have held, KiB.
const MEMORY_MAX: u64 = 40 << 10;

pub async fn sweep() -> Outcome {
    let signer = Signer::p256();
    let policy = usual_policy().replace("build.pub", "own.pub");
    let keys = vec![("own.pub".to_owned(), signer.pem())];
    let registry = Settings::conforming();
    let mut stage = Stage::set(Props { policy, keys, registry, ..Props::usual()? }).await?;
    let pods = fill(&stage, &signer).await?;
    let around = go_around(&stage, &pods).await?;
    // A gate that remembers nothing, and a registry that is gone: the evidence on disk must do.
    stage.use_release().await?;
    take_away(&mut stage);

    let (pace, began) = (Pace::now()?, Instant::now());
    let output = stage.sealgate(&["running", "--output", "json"])?;
    let took = began.elapsed();
    let found: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stderr)))?;
    ensure!(output.status.code() == Some(1), "{}", output.status);
    check(&found, &around)?;
    let peak = peak(&stage)?;
    println!(
        "   {CONTAINERS} containers and {IMAGES} images from evidence in {:.1} s ({} ms of \
         judging), {} MiB at most",
        took.as_secs_f64(),
        found["millis"],
        peak >> 10
    );
    let judging =
        found["millis"].as_u64().map(Duration::from_millis).ok_or("no time of judging")?;
    pace.hold("judging", judging, SWEEP_MAX)?;
    ensure!(peak <= MEMORY_MAX, "{peak} KiB");

    let table = stage.sealgate(&["running", "--last"])?;
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    println!("{}", table.lines().take(12).map(|line| format!("   | {line}\n")).collect::<String>());
    ensure!(around.iter().all(|id| table.contains(id.get(..12).unwrap_or(id))), "{table}");
    let told = |id: &String| {
        let is_it = |finding: &&Value| {
            finding["finding"] == "sweep"
                && finding["container_id"] == id.as_str()
                && finding["reason"]["code"] == "went-around"
        };
        stage.findings().iter().filter(is_it).count()
    };
    until("each is on record", || async { around.iter().all(|id| told(id) >= 1) }).await?;
    // Then the sweep asks the registries, with the calls of the node in between.
    until("the registries were asked", || async { unasked(&stage).is_ok_and(|left| left == 0) })
        .await?;
    ensure!(around.iter().all(|id| told(id) == 1), "recorded once: {:#?}", stage.findings());
    Ok(())
}

/// How many the last sweep still asks the registries about.
pub fn unasked(stage: &Stage) -> Result<u64, Failure> {
    let output = stage.sealgate(&["running", "--last", "--output", "json"])?;
    let last: Value = serde_json::from_slice(&output.stdout)?;
    last["unasked"].as_u64().ok_or_else(|| "no figure of what is left".into())
}

/// Images and containers through the gate; the pods.
async fn fill(stage: &Stage, signer: &Signer) -> Result<Vec<Pod>, Failure> {
    let names: Vec<String> = (0..IMAGES).map(|number| format!("sweep-{number}")).collect();
    for name in &names {
        made(stage, name, Form::Bundle, &[signer]);
    }
    let pulls = stream::iter(names).map(|name| {
        let (cri, name) = (stage.cri(), prod(&name));
        async move { cri.pull(&name).await.map(|id| (name, id)) }
    });
    let known: Result<Vec<_>, _> =
        pulls.buffer_unordered(CALLS).collect::<Vec<_>>().await.into_iter().collect();
    let known = known?;
    let mut pods = Vec::new();
    for _ in 0..PODS {
        pods.push(stage.pod().await?);
    }
    let targets = known.iter().cycle().zip(pods.iter().cycle()).take(CONTAINERS);
    let creates = stream::iter(targets).map(|((name, id), pod)| {
        let cri = stage.cri();
        async move { cri.create(pod, by_id(id, name)).await }
    });
    let created: Result<Vec<_>, _> =
        creates.buffer_unordered(CALLS).collect::<Vec<_>>().await.into_iter().collect();
    created?;
    Ok(pods)
}

/// Three containers around the gate: two with `ctr`, one through the CRI; their ids.
async fn go_around(stage: &Stage, pods: &[Pod]) -> Result<Vec<String>, Failure> {
    let unsigned = prod("unsigned");
    let direct = stage.containerd.cri();
    let id = direct.pull(&unsigned).await?;
    let pod = pods.first().ok_or("no pod")?;
    let mut around = vec![direct.create(pod, by_id(&id, &unsigned)).await?];
    for name in ["around-one-of-two", "around-two-of-two"] {
        let snapshotter = stage.containerd.snapshotter();
        stage.containerd.ctr(&[
            "containers",
            "create",
            "--snapshotter",
            snapshotter,
            &unsigned,
            name,
        ]);
        around.push(name.to_owned());
    }
    Ok(around)
}

fn check(found: &Value, around: &[String]) -> Outcome {
    let rows = found["rows"].as_array().ok_or("no rows")?;
    let ids = |kind: &str, standing: &str| -> Vec<&str> {
        let of = rows.iter().filter(|row| row["kind"] == kind && row["standing"] == standing);
        of.filter_map(|row| row["id"].as_str()).collect()
    };
    let mut went: Vec<&str> = ids("container", "went-around");
    let mut wanted: Vec<&str> = around.iter().map(String::as_str).collect();
    went.sort_unstable();
    wanted.sort_unstable();
    ensure!(went == wanted, "went around: {went:?}, and not {wanted:?}");
    let admitted = ids("container", "admitted").len();
    ensure!(admitted == CONTAINERS, "{admitted} containers admitted: {}", others(rows));
    let images = ids("image", "admitted").len();
    // And the sandboxes' own image.
    ensure!(images == IMAGES + 1, "{images} images admitted: {}", others(rows));
    let untold = ids("image", "cannot-be-told").len();
    ensure!(
        untold == 1,
        "{untold} images of which nothing is told, and not the unsigned one alone"
    );
    let signed = rows
        .iter()
        .filter(|row| row["signers"].as_array().is_some_and(|signers| !signers.is_empty()));
    ensure!(signed.count() == CONTAINERS + IMAGES, "signers are not named");
    Ok(())
}

fn others(rows: &[Value]) -> String {
    let odd: Vec<String> = rows
        .iter()
        .filter(|row| row["standing"] != "admitted")
        .take(8)
        .map(|row| format!("{row}"))
        .collect();
    odd.join("\n")
}

/// The most memory that the gate held, KiB.
fn peak(stage: &Stage) -> Result<u64, Failure> {
    let pid = stage.gate_pid().ok_or("no gate")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let number = line.trim().trim_end_matches(" kB").parse::<u64>();
    Ok(number.map_err(|error| error.to_string())?)
}
