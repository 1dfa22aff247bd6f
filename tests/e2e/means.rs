//! What the pull scenarios share: asking and telling in one step ([`admitted`], [`refused`]), what
//! the store holds, how many requests it took, and rules that hide or falsify a part of the
//! registry.

use std::fmt;
use std::future::Future;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;
use tonic::{Code, Status};

use crate::ensure;
use crate::fixtures;
use crate::registry::{Answer, Rule, TestRegistry};
use crate::stage::{Failure, HOST, Outcome, Stage, by_id, expect_refusal};

/// How long something may take to come about that takes milliseconds.
const SOON: Duration = Duration::from_secs(60);

/// How long each answer takes where it matters which requests wait for which.
const LATENCY: Duration = Duration::from_millis(50);

/// What a refusal is on record as.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    /// `refused`, `unable` or `unreachable`.
    pub verdict: &'static str,
    /// The reason's code.
    pub code: &'static str,
}

/// Evaluated and refused, for this reason.
pub const fn no(code: &'static str) -> Told {
    Told { verdict: "refused", code }
}

/// Could not be evaluated, for this reason.
pub const fn unable(code: &'static str) -> Told {
    Told { verdict: "unable", code }
}

/// Could not be reached, for this reason.
pub const fn unreachable(code: &'static str) -> Told {
    Told { verdict: "unreachable", code }
}

/// What one pull cost.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Requests of the gate.
    pub gate: usize,
    /// Requests of the runtime.
    pub runtime: usize,
    /// Milliseconds.
    pub ms: f64,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.gate + self.runtime == 0 {
            // Another registry's requests are not seen here.
            return write!(f, "{:.0} ms", self.ms);
        }
        write!(
            f,
            "{} requests of the gate, {} of the runtime, {:.0} ms",
            self.gate, self.runtime, self.ms
        )
    }
}

/// The requests since the log was cleared.
pub fn cost(registry: &TestRegistry, began: Instant) -> Cost {
    Cost {
        gate: asked_by(registry, "sealgate/", ""),
        runtime: asked_by(registry, "containerd/", ""),
        ms: began.elapsed().as_secs_f64() * 1e3,
    }
}

/// How many requests of this client there were to paths with this part.
pub fn asked_by(registry: &TestRegistry, agent: &str, part: &str) -> usize {
    let entries = registry.requests();
    entries
        .iter()
        .filter(|entry| entry.user_agent.contains(agent) && entry.path.contains(part))
        .count()
}

/// An image of the usual host, `prod/<name>:v1` when the name has no tag or digest.
pub fn prod(name: &str) -> String {
    let tag = if name.contains([':', '@']) { "" } else { ":v1" };
    format!("{HOST}/prod/{name}{tag}")
}

/// The digest behind `prod/<name>:<tag>` in the fixtures.
pub fn digest_of(name: &str, tag: &str) -> String {
    fixtures::prod(name).tags[tag].clone()
}

/// Pulls an image that must be admitted, runs it, and expects these words of it; both decisions
/// must be on record. What comes back is the record of the pull.
pub async fn admitted(stage: &Stage, image: &str, words: &str) -> Result<(Value, Cost), Failure> {
    stage.registry.clear_log();
    let began = Instant::now();
    let id = stage.cri().pull(image).await?;
    let cost = cost(&stage.registry, began);
    println!("   {image}: admitted ({cost})");
    let pulled = stage.expect_record("PullImage", "admitted", "satisfied")?;
    ensure!(pulled["reference"] == image, "another record than that of {image}: {pulled:#}");
    ensure!(pulled["image_id"] == id.as_str(), "the record has another id than {id}: {pulled:#}");
    let pod = stage.pod().await?;
    let (exit, output) = stage.cri().run(&pod, by_id(&id, image)).await?;
    ensure!(exit == 0 && output.contains(words), "expected {words:?}, exit code {exit}: {output}");
    println!("   it said: {}", output.trim());
    let created = stage.expect_record("CreateContainer", "admitted", "satisfied")?;
    ensure!(created["reference"] == image, "another record than that of {image}: {created:#}");
    Ok((pulled, cost))
}

/// Pulls an image that must be refused with this verdict and code, with these words in the one line
/// of the message; the runtime must not have been told, and must not have it. What comes back is
/// the record.
pub async fn refused(
    stage: &Stage,
    image: &str,
    told: Told,
    words: &[&str],
) -> Result<Value, Failure> {
    stage.registry.clear_log();
    let began = Instant::now();
    let refusal = refusal_of(image, stage.cri().pull(image).await)?;
    let cost = cost(&stage.registry, began);
    println!("   {} ({cost})", refusal.message());
    let begins = match (told.verdict, told.code) {
        ("unreachable", _) => "RegistryUnavailable: ",
        // The reference itself could not be resolved: nothing was said about signatures.
        (_, "registry-unable") => "",
        _ => "SignatureValidationFailed: ",
    };
    expect_refusal(&refusal, Code::Unknown, begins, words)?;
    let record = stage.expect_record("PullImage", told.verdict, told.code)?;
    ensure!(record["reference"] == image, "another record than that of {image}: {record:#}");
    ensure!(
        cost.runtime == 0,
        "the runtime was told to pull {image}: {:#?}",
        stage.registry.requests()
    );
    ensure_not_stored(stage, image)?;
    Ok(record)
}

/// The status of a pull that must not have succeeded.
pub fn refusal_of(image: &str, pulled: Result<String, Status>) -> Result<Status, Failure> {
    match pulled {
        Ok(id) => Err(Failure(format!("{image} was pulled as {id}"))),
        Err(status) => Ok(status),
    }
}

/// No record of the image's repository may be in the runtime's store.
pub fn ensure_not_stored(stage: &Stage, image: &str) -> Outcome {
    let repository = image.split('@').next().unwrap_or(image);
    let repository = repository.rsplit_once(':').map_or(repository, |(name, _)| name);
    let there = stage.containerd.ctr(&["images", "ls", "-q"]);
    let found = there.lines().find(|name| {
        name.starts_with(&format!("{repository}:")) || name.contains(&format!("{repository}@"))
    });
    ensure!(found.is_none(), "{found:?} is in the store");
    Ok(())
}

/// The digest that a name in the runtime's store points at.
pub fn target_of(stage: &Stage, name: &str) -> Option<String> {
    let table = stage.containerd.ctr(&["images", "ls", &format!("name=={name}")]);
    let row = table.lines().skip(1).find(|row| row.starts_with(name))?;
    row.split_whitespace().find(|word| word.starts_with("sha256:")).map(str::to_owned)
}

/// Answers 404 to every path that contains `part`.
pub fn hide(registry: &TestRegistry, part: &str) {
    registry.rule(Rule::new(part, Answer::Status(404, "MANIFEST_UNKNOWN")));
}

/// Leaves a path to the truth, whatever rules come after.
pub fn keep(registry: &TestRegistry, part: &str) {
    registry.rule(Rule::new(part, Answer::Late(Duration::ZERO)));
}

/// Copies what a tag of a fixture points at to another repository of the registry, under a tag
/// there, without its signatures; its digest comes back.
pub fn copy(registry: &TestRegistry, from: &str, tag: &str, to: &str, as_tag: &str) -> String {
    let source = fixtures::prod(from);
    for bytes in source.blobs.values() {
        registry.put_blob(to, bytes);
    }
    let (media_type, bytes) = &source.manifests[&source.tags[tag]];
    let document: Value = serde_json::from_slice(bytes).expect("JSON");
    for child in document["manifests"].as_array().into_iter().flatten() {
        let (media_type, bytes) = &source.manifests[child["digest"].as_str().expect("a digest")];
        registry.put_manifest(to, None, bytes, media_type);
    }
    registry.put_manifest(to, Some(as_tag), bytes, media_type)
}

/// Waits until something holds.
pub async fn until<F, Fut>(what: &str, mut holds: F) -> Outcome
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let deadline = Instant::now() + SOON;
    while !holds().await {
        ensure!(Instant::now() < deadline, "{what} did not come about in {SOON:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Decides about an image with nothing remembered, in a process of its own, while every answer
/// takes its time, so that what waits for what is seen: at most so many requests, and so many in
/// series.
pub fn cold(stage: &Stage, image: &str, requests: usize, series: usize) -> Outcome {
    stage.registry.clear_rules();
    stage.registry.rule(Rule::new("/v2/", Answer::Late(LATENCY)));
    stage.registry.clear_log();
    let began = Instant::now();
    let Output { status, stdout, stderr } = stage.sealgate(&["verify", image])?;
    let said =
        || [&stdout, &stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
    ensure!(status.code() == Some(0), "sealgate verify ended with {status}: {}", said());
    let (asked, chain) = (stage.registry.requests().len(), stage.registry.series());
    let ms = began.elapsed().as_secs_f64() * 1e3;
    println!(
        "   {image}, cold: {asked} requests, {chain} in series, {ms:.0} ms at {LATENCY:?} each"
    );
    stage.registry.clear_rules();
    ensure!(
        asked <= requests && chain <= series,
        "more than {requests} requests, or {series} in series"
    );
    Ok(())
}

/// `sealgate status --output json`: its exit code and its words.
pub fn status(stage: &Stage) -> Result<(Option<i32>, Value), Failure> {
    let Output { status, stdout, stderr } = stage.sealgate(&["--output", "json", "status"])?;
    let words = serde_json::from_slice(&stdout);
    let words = words.map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&stderr)))?;
    Ok((status.code(), words))
}
