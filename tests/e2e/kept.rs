//! What scenarios do to evidence on disk, and to the way to the registry: [`files`], [`backdate`],
//! [`offline`].

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::ensure;
use crate::registry::{Answer, Rule};
use crate::stage::{Failure, Outcome, Stage};

/// The folder of a stage's evidence.
pub fn folder(stage: &Stage) -> PathBuf {
    stage.folder().join("evidence")
}

/// Every file below a folder, in the order of their names.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            _ => found.push(entry.path()),
        }
    }
    found.sort();
    found
}

/// The notes of what was found where, without the lock and the contents.
pub fn entries(stage: &Stage) -> Vec<PathBuf> {
    files(&folder(stage).join("entries"))
}

/// The contents: manifests, payloads, bundles.
pub fn blobs(stage: &Stage) -> Vec<PathBuf> {
    files(&folder(stage).join("blobs"))
}

/// Makes all evidence this much older than it is, with the gate away; at least one piece must be
/// there.
pub async fn backdate(stage: &mut Stage, by: Duration) -> Outcome {
    stage.kill_gate()?;
    let entries = entries(stage);
    ensure!(!entries.is_empty(), "there is no evidence on disk");
    for path in entries {
        let mut entry: Value = serde_json::from_slice(&fs::read(&path)?)?;
        let fetched: Timestamp = entry["fetched"].as_str().ok_or("no time")?.parse()?;
        entry["fetched"] = fetched.checked_sub(by)?.to_string().into();
        fs::write(&path, serde_json::to_vec(&entry)?)?;
    }
    stage.start_gate().await
}

/// Starts the gate anew after a kill, so that it knows nothing but what is on disk.
pub async fn anew(stage: &mut Stage) -> Outcome {
    stage.kill_gate()?;
    stage.start_gate().await
}

/// Cuts the way to the registry: every connection is closed without a word.
pub fn offline(stage: &Stage) {
    stage.registry.clear_rules();
    stage.registry.rule(Rule::new("/v2/", Answer::Drop));
}

/// The way is free again, and nothing was asked yet.
pub fn online(stage: &Stage) {
    stage.registry.clear_rules();
    stage.registry.clear_log();
}

/// Runs `sealgate`, which must succeed; what it printed.
pub fn done_by(stage: &Stage, args: &[&str]) -> Result<String, Failure> {
    let output = stage.sealgate(args)?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(
        output.status.success(),
        "sealgate {args:?}: {} {}{}",
        output.status,
        said(&output.stdout),
        said(&output.stderr)
    );
    Ok(said(&output.stdout))
}
