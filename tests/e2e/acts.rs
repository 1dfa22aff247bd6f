//! Steps that several scenarios take: bringing images past the gate, asking for containers, and
//! what must be true after a refusal ([`No`], [`create_refused`], [`start_refused`]).

use std::fs;
use std::time::{Duration, Instant};

use sealgate::image::Digest;
use sealgate::proto::cri::{Container, ContainerState, ListContainersRequest};
use serde_json::Value;
use tonic::{Code, Status};

use crate::containerd::{Cri, Launch, Pod};
use crate::ensure;
use crate::stage::{Failure, Outcome, Stage, expect_refusal};
use crate::tiny::{MANIFEST, Tiny};

/// With what a refusal of an image begins (fact P10).
pub const VALIDATION: &str = "SignatureValidationFailed: ";

/// How a call must be refused: on the wire, and on record.
#[derive(Debug, Clone, Copy)]
pub struct No {
    /// The gRPC code.
    pub code: Code,
    /// With what the message begins.
    pub begins: &'static str,
    /// The record's verdict.
    pub verdict: &'static str,
    /// The record's reason code.
    pub reason: &'static str,
}

impl No {
    /// Evaluated and refused, for this reason.
    pub const fn refused(reason: &'static str) -> Self {
        Self { code: Code::Unknown, begins: VALIDATION, verdict: "refused", reason }
    }
}

/// Pulls at the runtime's own socket, where nobody decides; the image's id.
pub async fn past_the_gate(stage: &Stage, image: &str) -> Result<String, Status> {
    stage.containerd.cri().pull(image).await
}

/// Puts an image into the registry; its digest.
pub fn push(stage: &Stage, path: &str, tag: Option<&str>, image: &Tiny) -> String {
    for blob in image.layers.iter().chain([&image.config]) {
        stage.registry.put_blob(path, blob);
    }
    stage.registry.put_manifest(path, tag, &image.manifest, MANIFEST)
}

/// `ctr image import` of an archive's bytes.
pub fn import(stage: &Stage, archive: &[u8]) -> Outcome {
    let path = stage.folder().join("import.tar");
    fs::write(&path, archive)?;
    stage.containerd.ctr(&["images", "import", &path.display().to_string()]);
    Ok(())
}

/// `ctr image tag`: one more name for what a name means.
pub fn tag(stage: &Stage, from: &str, to: &str) {
    stage.containerd.ctr(&["images", "tag", "--force", from, to]);
}

/// The ids of all containers that containerd's CRI has, sorted, pods left out.
pub async fn containers(stage: &Stage) -> Result<Vec<String>, Status> {
    let mut runtime = stage.containerd.cri().runtime;
    let answer = runtime.list_containers(ListContainersRequest::default()).await?;
    let mut ids: Vec<_> =
        answer.into_inner().containers.into_iter().map(|container| container.id).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// How many containers run, by the runtime's own word.
pub async fn running(cri: &Cri) -> Result<usize, Status> {
    let answer = cri.runtime.clone().list_containers(ListContainersRequest::default()).await?;
    let runs = |one: &&Container| one.state() == ContainerState::ContainerRunning;
    Ok(answer.get_ref().containers.iter().filter(runs).count())
}

/// Asks for a container that must be refused: on the wire and on record as `no` says, and nothing
/// may be left of it. Returns the message.
pub async fn create_refused(
    stage: &Stage,
    pod: &Pod,
    launch: Launch,
    no: No,
) -> Result<String, Failure> {
    let before = (containers(stage).await?, stage.records().len());
    let asked = format!("{} ({})", launch.image, launch.user_specified_image);
    let refusal = match stage.cri().create(pod, launch).await {
        Ok(id) => {
            return Err(Failure(format!(
                "{asked} was to be refused as {} and became container {id}",
                no.reason
            )));
        }
        Err(refusal) => refusal,
    };
    println!("   {}: {}", no.reason, refusal.message());
    let began = before.1;
    on_record(stage, &refusal, no, began, &["CreateContainer", "ImageVolume"])?;
    let after = containers(stage).await?;
    ensure!(
        before.0 == after,
        "{asked} was refused, and there are other containers: {:?}, {after:?}",
        before.0
    );
    Ok(refusal.message().to_owned())
}

/// Starts a container that must be refused, as [`create_refused`]; it must not run afterwards.
pub async fn start_refused(stage: &Stage, container: &str, no: No) -> Outcome {
    let began = stage.records().len();
    let refusal = match stage.cri().start(container).await {
        Ok(()) => {
            return Err(Failure(format!(
                "{container} was to be refused as {} and was started",
                no.reason
            )));
        }
        Err(refusal) => refusal,
    };
    println!("   {}: {}", no.reason, refusal.message());
    on_record(stage, &refusal, no, began, &["StartContainer"])?;
    never_ran(stage, container).await
}

/// Whether a container, which is there under this id or one that begins so, was never started.
pub async fn never_ran(stage: &Stage, container: &str) -> Outcome {
    let status = stage.containerd.cri().container(container).await?;
    ensure!(status.started_at == 0, "{container} was refused and has run: {status:?}");
    Ok(())
}

fn on_record(stage: &Stage, refusal: &Status, no: No, began: usize, calls: &[&str]) -> Outcome {
    expect_refusal(refusal, no.code, no.begins, &[])?;
    let records = stage.records();
    let new = records.get(began..).unwrap_or_default();
    let fits = |record: &&Value| {
        let call = record["call"].as_str().unwrap_or_default();
        calls.contains(&call)
            && record["verdict"] == no.verdict
            && record["reason"]["code"] == no.reason
    };
    ensure!(
        new.iter().any(|record| fits(&record)),
        "no new record {} / {}: {new:#?}",
        no.verdict,
        no.reason
    );
    Ok(())
}

/// The manifest digest of a fixture's tag.
pub fn digest_of(stage: &Stage, path: &str, tag: &str) -> Result<Digest, Failure> {
    let digest =
        stage.registry.tagged(path, tag).ok_or_else(|| Failure(format!("no {path}:{tag}")))?;
    Ok(Digest::parse(&digest)?)
}

/// Waits until something holds; fails after this long.
pub async fn eventually(
    what: &str,
    limit: Duration,
    mut holds: impl AsyncFnMut() -> bool,
) -> Outcome {
    let deadline = Instant::now() + limit;
    while !holds().await {
        ensure!(Instant::now() < deadline, "still waiting after {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
