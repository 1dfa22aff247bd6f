//! Containers that nobody asked the gate about: an alert soon after they appear, in every namespace
//! that is watched, also after containerd or the gate was away; and none for what the gate made.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sealgate::proxy::wire::{self, FieldStep};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::containerd::{Flavour, Pod};
use crate::ensure;
use crate::means::{prod, until};
use crate::pace::Pace;
use crate::raw::Raw;
use crate::stage::{Failure, Outcome, Props, Stage, by_id};

/// From `ctr` to the alert at most.
const WITHIN: Duration = Duration::from_secs(1);
/// Longest wait for an alert: some tens of milliseconds, on a machine that is very busy.
const ALERT_MAX: Duration = Duration::from_secs(60);
/// Containers made through the gate at once.
const HERD: usize = 20;

pub async fn drift() -> Outcome {
    for flavour in Flavour::all() {
        let version = flavour.version;
        let config = "unadmitted.update = \"refuse\"".to_owned();
        let mut stage = Stage::set(Props { flavour, config, ..Props::usual()? }).await?;
        let image = prod("unsigned");
        stage.containerd.cri().pull(&image).await?;
        let pod = through_the_gate(&stage).await?;

        let pace = Pace::now()?;
        let took = made_around(&stage, "k8s.io", &image, "around-1").await?;
        println!(
            "   containerd {}.{}: from ctr to the alert {:.0} ms",
            version.0,
            version.1,
            took.as_secs_f64() * 1e3
        );
        pace.hold("an alert", took, WITHIN)?;
        bring_to_default(&stage, &image)?;
        let took = made_around(&stage, "default", &image, "around-2").await?;
        println!("   in the namespace default {:.0} ms", took.as_secs_f64() * 1e3);
        pace.hold("an alert in the namespace default", took, WITHIN)?;
        let took = beside_refused_calls(&stage, &pod, &image).await?;
        println!("   among refused calls for the same pod {:.0} ms", took.as_secs_f64() * 1e3);
        pace.hold("an alert among refused calls", took, WITHIN)?;
        gone_at_once(&stage, &image).await?;
        calls_about_unadmitted(&stage, &pod).await?;
        let alerts = stage.gate_log().matches("ALERT: a container was made").count();
        ensure!(alerts == 4, "{alerts} alerts in the journal:\n{}", stage.gate_log());

        stage.containerd.restart().await;
        let took = made_around(&stage, "k8s.io", &image, "around-3").await?;
        println!("   after a restart of containerd {:.0} ms", took.as_secs_f64() * 1e3);

        stage.kill_gate()?;
        make(&stage, "k8s.io", &image, "around-4");
        stage.start_gate().await?;
        alert_of(&stage, "around-4").await?;
        let drift = drift_findings(&stage);
        // A gate that starts tells again of what is still there.
        let told: BTreeSet<&str> = drift.iter().map(id_of).collect();
        ensure!(told.len() == 6, "{drift:#?}");
        println!("   made while the gate was away: found, and nothing of what the gate made");
    }
    Ok(())
}

/// Pods and containers through the gate, many at once: none of them is drift.
async fn through_the_gate(stage: &Stage) -> Result<Pod, Failure> {
    let image = prod("signed-v2");
    let cri = stage.cri();
    let id = cri.pull(&image).await?;
    let pod = stage.pod().await?;
    let made = join_all((0..HERD).map(|_| cri.run(&pod, by_id(&id, &image)))).await;
    for ran in made {
        let (exit, _) = ran?;
        ensure!(exit == 0, "a container of the herd ended with {exit}");
    }
    let drift = drift_findings(stage);
    ensure!(drift.is_empty(), "what the gate made is drift: {drift:#?}");
    Ok(pod)
}

/// Makes a container of a pod at containerd's own socket while the gate refuses calls for the same
/// pod: these account for nothing.
async fn beside_refused_calls(stage: &Stage, pod: &Pod, image: &str) -> Result<Duration, Failure> {
    let direct = stage.containerd.cri();
    let id = direct.pull(image).await?;
    let cri = stage.cri();
    let refusing = async {
        loop {
            let refused = join_all((0..HERD).map(|_| cri.create(pod, by_id(&id, image)))).await;
            if let Some(made) = refused.into_iter().find_map(Result::ok) {
                return Err(Failure(format!("an unsigned image became {made}")));
            }
        }
    };
    let around = async {
        let began = Instant::now();
        let made = direct.create(pod, by_id(&id, image)).await?;
        let finding = alert_of(stage, &made).await?;
        let took = began.elapsed();
        let is_alert = finding["alert"] == true && finding["reason"]["code"] == "no-decision";
        ensure!(is_alert, "{finding:#}");
        Ok::<_, Failure>(took)
    };
    tokio::select! {
        failed = refusing => failed,
        took = around => took,
    }
}

/// Makes a container and removes it at once: an alert all the same.
async fn gone_at_once(stage: &Stage, image: &str) -> Outcome {
    make(stage, "k8s.io", image, "around-and-gone");
    stage.containerd.ctr(&["containers", "delete", "around-and-gone"]);
    let finding = alert_of(stage, "around-and-gone").await?;
    let is_alert = finding["alert"] == true && finding["reason"]["code"] == "no-decision";
    ensure!(is_alert, "{finding:#}");
    Ok(())
}

/// Calls about the container that was made beside the refused calls are told of, once for each
/// method, and refused where the configuration says so; calls about the gate's own are not.
async fn calls_about_unadmitted(stage: &Stage, pod: &Pod) -> Outcome {
    let drift = drift_findings(stage);
    let around = drift.iter().map(id_of).find(|id| !id.starts_with("around-"));
    let around = around.ok_or("no container was made in the pod")?;
    let image = prod("signed-v2");
    let id = stage.cri().pull(&image).await?;
    let own = stage.cri().create(pod, by_id(&id, &image)).await?;
    let beginning = around.get(..20).unwrap_or(around);
    for (about, method, is_refused) in [
        (own.as_str(), "ExecSync", false),
        (own.as_str(), "UpdateContainerResources", false),
        (around, "ExecSync", false),
        (around, "ExecSync", false),
        (beginning, "ExecSync", false),
        (around, "UpdateContainerResources", true),
        (beginning, "UpdateContainerResources", true),
        (pod.id.as_str(), "PortForward", false),
    ] {
        let message = wire::put(b"", &[FieldStep::only(1)], about.as_bytes())?;
        let path = format!("/runtime.v1.RuntimeService/{method}");
        let answer = Raw::connect(&stage.socket()).await?.call(&path, &message).await?;
        let refused = answer.code == 7 && answer.text.contains("did not admit");
        ensure!(refused == is_refused, "{method} of {about}: {answer:?}");
    }
    let told = || {
        let found = stage.findings().into_iter().filter(|found| found["finding"] == "unadmitted");
        found.collect::<Vec<_>>()
    };
    until("two findings about calls", || async { told().len() >= 2 }).await?;
    let told = told();
    let tells = |method: &str, action: &str| {
        let is_it = |found: &&Value| {
            found["method"] == method
                && id_of(found) == around
                && found["reason"]["code"] == "made-around"
                && found["detail"]["action"] == action
        };
        told.iter().filter(is_it).count() == 1
    };
    let is_right = tells("ExecSync", "reported") && tells("UpdateContainerResources", "refused");
    ensure!(is_right && told.len() == 2, "{told:#?}");
    Ok(())
}

/// Makes a container with `ctr`; how long it took from there to the alert.
async fn made_around(
    stage: &Stage,
    namespace: &str,
    image: &str,
    id: &str,
) -> Result<Duration, Failure> {
    let began = Instant::now();
    make(stage, namespace, image, id);
    let finding = alert_of(stage, id).await?;
    let took = began.elapsed();
    let digest = finding["digest"].as_str().unwrap_or_default();
    ensure!(
        finding["alert"] == true
            && finding["reason"]["code"] == "no-decision"
            && finding["image"] == image
            && digest.starts_with("sha256:")
            && finding["detail"]["namespace"] == namespace
            && finding["detail"]["runtime"] == "io.containerd.runc.v2"
            && finding["detail"]["labels"].as_str().unwrap_or_default().contains("purpose=test"),
        "{finding:#}"
    );
    Ok(took)
}

fn make(stage: &Stage, namespace: &str, image: &str, id: &str) {
    stage.containerd.ctr(&[
        "--namespace",
        namespace,
        "containers",
        "create",
        "--snapshotter",
        stage.containerd.snapshotter(),
        "--label",
        "purpose=test",
        image,
        id,
    ]);
}

/// Brings an image into the namespace of `ctr`, unpacked.
fn bring_to_default(stage: &Stage, image: &str) -> Outcome {
    let archive = stage.folder().join("image.tar").display().to_string();
    stage.containerd.ctr(&["images", "export", &archive, image]);
    stage.containerd.ctr(&[
        "--namespace",
        "default",
        "images",
        "import",
        "--snapshotter",
        stage.containerd.snapshotter(),
        &archive,
    ]);
    Ok(())
}

/// The finding of this container, once it is on record: read line by line as the gate writes the log.
async fn alert_of(stage: &Stage, id: &str) -> Result<Value, Failure> {
    let mut follower = Command::new("tail")
        .args(["-n", "+1", "-F"])
        .arg(stage.folder().join("audit/audit.jsonl"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let output = follower.stdout.take().ok_or("tail has no output")?;
    let mut lines = BufReader::new(output).lines();
    let found = async {
        while let Some(line) = lines.next_line().await? {
            let of_it = line.contains(id).then(|| serde_json::from_str::<Value>(&line));
            if let Some(Ok(entry)) = of_it
                && entry["finding"] == "drift"
                && id_of(&entry) == id
            {
                return Ok(entry);
            }
        }
        Err(Failure("tail ended".to_owned()))
    };
    let none =
        || Failure(format!("no finding of {id}: {:#?}\n{}", stage.findings(), stage.gate_log()));
    tokio::time::timeout(ALERT_MAX, found).await.map_err(|_| none())?
}

fn drift_findings(stage: &Stage) -> Vec<Value> {
    let findings = stage.findings().into_iter();
    findings.filter(|finding| finding["finding"] == "drift").collect()
}

fn id_of(finding: &Value) -> &str {
    finding["container_id"].as_str().unwrap_or_default()
}
