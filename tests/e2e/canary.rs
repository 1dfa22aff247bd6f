//! The gate's test of itself: it shows within one period that something else answers on its socket,
//! that everything is admitted, or that the kubelet is told to use another socket; and nobody can
//! use the name that it is made with.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;

use crate::acts::{No, containers, create_refused, past_the_gate, tag};
use crate::ensure;
use crate::kept::done_by;
use crate::kubelet::Kubelet;
use crate::pace::Pace;
use crate::stage::{Failure, HOST, Outcome, Props, Stage, by_id, usual_policy};

/// The time between two tests, in seconds.
const PERIOD: u64 = 3;
/// How long after the beginning of a test its outcome may come: what its pull may take.
const TEST_MAX: Duration = Duration::from_secs(2);
/// How long the gate may take to be well again, or to see that it is not, on a machine that is very
/// busy.
const WELL_MAX: Duration = Duration::from_secs(60);

/// Copies bytes between whoever connects to `from` and the socket at `to`; knows nothing of them.
pub fn forward(from: &Path, to: &Path) -> Result<JoinHandle<()>, Failure> {
    let (listener, to) = (UnixListener::bind(from)?, to.to_owned());
    Ok(tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let to = to.clone();
            tokio::spawn(async move {
                if let Ok(mut runtime) = UnixStream::connect(to).await {
                    drop(tokio::io::copy_bidirectional(&mut client, &mut runtime).await);
                }
            });
        }
    }))
}

/// The stage with a monitor's port.
struct Watched {
    stage: Stage,
    port: u16,
}

impl Watched {
    /// The gauge, and the reasons that stand.
    async fn gauge(&self) -> Result<(bool, Vec<String>), Failure> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        let is = |line: &str| text.lines().any(|own| own == line);
        ensure!(is("sealgate_enforcing 0") != is("sealgate_enforcing 1"), "no gauge in {text}");
        let reasons = text.lines().filter_map(|line| {
            let reason = line.strip_prefix("sealgate_not_enforcing{reason=\"")?;
            reason.strip_suffix("\"} 1").map(str::to_owned)
        });
        Ok((is("sealgate_enforcing 1"), reasons.collect()))
    }

    /// Waits until the gauge is 1.
    async fn well(&self) -> Outcome {
        let began = Instant::now();
        loop {
            let (enforces, reasons) = self.gauge().await?;
            if enforces {
                // So that the change is on record before the next one.
                let canary = self.stage.sealgate(&["canary"])?;
                ensure!(canary.status.code() == Some(0), "sealgate canary: {canary:?}");
                return Ok(());
            }
            ensure!(began.elapsed() < WELL_MAX, "not well: {reasons:?}\n{}", self.stage.gate_log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the gauge is 0 for this reason, which must be within one period, and nothing else
    /// may be the matter.
    async fn ill(&self, what: &str, reason: &str) -> Outcome {
        let (pace, began) = (Pace::now()?, Instant::now());
        loop {
            let (enforces, reasons) = self.gauge().await?;
            if !enforces {
                ensure!(reasons == [reason], "{what}: expected {reason}, got {reasons:?}");
                let took = began.elapsed();
                println!("   {what}: 0 after {} ms ({reason})", took.as_millis());
                pace.hold(what, took, Duration::from_secs(PERIOD) + TEST_MAX)?;
                return self.said(reason);
            }
            ensure!(began.elapsed() < WELL_MAX, "{what}: still 1 after {WELL_MAX:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What `sealgate status` begins with, and the exit code of `sealgate canary`.
    fn said(&self, reason: &str) -> Outcome {
        let status = self.stage.sealgate(&["status"])?;
        let words = String::from_utf8_lossy(&status.stdout).into_owned();
        let mut lines = words.lines();
        let first = lines.next().unwrap_or_default();
        ensure!(first.contains("NOT KNOWN TO ENFORCE"), "{words}");
        ensure!(lines.next().is_some_and(|line| line.contains(reason)), "{words}");
        let canary = self.stage.sealgate(&["canary"])?;
        ensure!(canary.status.code() == Some(1), "sealgate canary: {}", canary.status);
        Ok(())
    }

    fn findings(&self) -> Result<Vec<Value>, Failure> {
        let text = fs::read_to_string(self.stage.folder().join("audit/audit.jsonl"))?;
        let entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(entries.filter(|entry| entry["finding"] == "canary").collect())
    }
}

/// Every way in which the gauge becomes 0, and back.
pub async fn canary() -> Outcome {
    let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
    let config = format!("canary.every_seconds = {PERIOD}\nmetrics.listen = \"127.0.0.1:{port}\"");
    let watched = Watched { stage: Stage::set(Props { config, ..Props::usual()? }).await?, port };
    let kubelet = Kubelet::start(&watched.stage)?;
    watched.well().await?;
    println!("   well: 1, sealgate canary exits with 0 (the kubelet is a stand-in)");

    replaced(&watched).await?;
    everything(&watched).await?;
    let other = watched.stage.containerd.socket();
    kubelet.configure(&other, "")?;
    watched.ill("the kubelet's endpoint is turned back", "kubelet-elsewhere").await?;
    kubelet.configure(&watched.stage.socket(), "")?;
    watched.well().await?;

    let codes: Vec<String> = watched
        .findings()?
        .iter()
        .map(|finding| finding["reason"]["code"].as_str().unwrap_or_default().to_owned())
        .collect();
    let expected = [
        "socket",
        "enforcing",
        "admits-everything",
        "enforcing",
        "admits-everything",
        "enforcing",
        "kubelet-elsewhere",
        "enforcing",
    ];
    ensure!(codes == expected, "the findings on record: {codes:?}");
    let records = watched.stage.records();
    let tested =
        records.iter().find(|record| record.to_string().contains("sealgate.invalid/canary"));
    ensure!(tested.is_none(), "a test left a record of a decision: {tested:?}");
    println!("   each change is a finding on record, and no test is a decision");
    reserved(&watched.stage).await
}

/// A plain forwarder in the place of the kubelet's socket.
async fn replaced(watched: &Watched) -> Outcome {
    let (own, aside) = (watched.stage.socket(), watched.stage.folder().join("cri.aside"));
    fs::rename(&own, &aside)?;
    let forwarder = forward(&own, &watched.stage.containerd.socket())?;
    watched.ill("a forwarder replaces the socket", "socket").await?;
    forwarder.abort();
    fs::rename(&aside, &own)?;
    watched.well().await
}

/// No policy under `insecure-admit`, and policies that accept anything.
async fn everything(watched: &Watched) -> Outcome {
    let stage = &watched.stage;
    let (config, before) = (stage.config(), fs::read_to_string(stage.config())?);
    fs::write(&config, format!("{before}\npolicy.unmatched = \"insecure-admit\"\n"))?;
    fs::remove_file(stage.folder().join("policies/policy.yaml"))?;
    let policies = stage.folder().join("policies").display().to_string();
    done_by(stage, &["reload", "--allow-empty", &policies])?;
    watched.ill("no policy under insecure-admit", "admits-everything").await?;
    // Not even then.
    let refused = stage.cri().pull("canary.sealgate.invalid/x:1").await;
    ensure!(refused.is_err(), "the reserved image was pulled under insecure-admit");
    fs::write(&config, &before)?;
    stage.write_policy(&usual_policy())?;
    stage.signal("HUP")?;
    watched.well().await?;
    // Without the policy of the sandbox image that the stage adds.
    let all = format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: all}}\nspec:\n  \
         images: [\"{HOST}/**\"]\n  require: {{insecureAcceptAnything: true}}\n"
    );
    fs::write(stage.folder().join("policies/policy.yaml"), all)?;
    stage.signal("HUP")?;
    watched.ill("every policy accepts anything", "admits-everything").await?;
    stage.write_policy(&usual_policy())?;
    stage.signal("HUP")?;
    watched.well().await
}

/// A pod that names the reserved image, in every way in which one can be named.
async fn reserved(stage: &Stage) -> Outcome {
    let no = No::refused("reserved-name");
    for image in [
        "canary.sealgate.invalid/canary:1",
        "CANARY.sealgate.invalid/canary:1",
        "canary.sealgate.invalid:443/a/b",
        &format!("canary.sealgate.invalid/canary@sha256:{}", "a".repeat(64)),
    ] {
        let refused = stage.cri().pull(image).await.err();
        let refused = refused.ok_or_else(|| Failure(format!("{image} was pulled")))?;
        crate::stage::expect_refusal(&refused, no.code, no.begins, &["refused whatever policies"])?;
        stage.expect_record("PullImage", no.verdict, no.reason)?;
    }
    // Content under that name, brought past the gate.
    let signed = format!("{HOST}/prod/signed-v2:v1");
    let id = past_the_gate(stage, &signed).await?;
    tag(stage, &signed, "canary.sealgate.invalid/canary:1");
    let before = containers(stage).await?;
    let pod = stage.pod().await?;
    for named in ["canary.sealgate.invalid/canary:1", "Canary.Sealgate.Invalid:443/canary:1"] {
        create_refused(stage, &pod, by_id(&id, named), no).await?;
    }
    create_refused(stage, &pod, by_id(&id, ""), no).await?;
    ensure!(containers(stage).await? == before, "a container was made");
    println!("   a pod that names the reserved image is refused, by pull, name and id");
    Ok(())
}
