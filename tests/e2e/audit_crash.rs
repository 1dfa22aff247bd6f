//! The gate is killed with SIGKILL again and again while clients have a thousand decisions made:
//! every answer that a client got is in the log afterwards, and the log is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::acts::{VALIDATION, eventually};
use crate::containerd::Cri;
use crate::ensure;
use crate::registry::OCI_MANIFEST;
use crate::stage::{Failure, HOST, Outcome, Props, Stage};

/// Decisions that clients get an answer to.
const DECISIONS: usize = 1_000;
/// Names that are there to be asked for, each once: more than are answered, since every kill cuts off
/// those under way.
const NAMES: usize = 2 * DECISIONS;
/// One name in so many is of a signed image; its pull takes containerd some time, a refusal none.
const SIGNED_EACH: usize = 4;
/// Clients side by side: a kill finds each of them elsewhere.
const CLIENTS: usize = 6;
/// After so many answers, and up to [`MORE`] more, the gate is killed.
const ANSWERS: usize = 12;
/// By turns so many more, less one.
const MORE: usize = 23;
/// After each so many kills the file ends within a line, as after a power cut: the kernel writes out
/// what a process left, so that a kill alone tears few lines.
const TORN_EACH: usize = 4;
/// Longest wait for the answers of a round.
const ANSWERED_WITHIN: Duration = Duration::from_secs(120);

/// What a client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    /// The image was pulled.
    Admitted,
    /// It was refused, by the decision of this id.
    Refused(String),
}

/// What clients share.
#[derive(Debug, Default)]
struct Shared {
    names: Vec<String>,
    next: AtomicUsize,
    answered: Mutex<BTreeMap<String, Told>>,
    odd: Mutex<Vec<String>>,
}

impl Shared {
    fn answers(&self) -> usize {
        lock(&self.answered).len()
    }
}

/// The shown scenario.
pub async fn audit_crash() -> Outcome {
    // Small files, so that kills meet rotations too.
    let config = "audit.max_bytes = 262144\naudit.keep_files = 100\n".to_owned();
    let mut stage = Stage::set(Props { config, ..Props::usual()? }).await?;
    let shared = Arc::new(Shared { names: names(&stage)?, ..Shared::default() });
    let (mut kills, mut torn) = (0, 0);
    while shared.answers() < DECISIONS {
        let enough = shared.answers() + ANSWERS + (kills * 7) % MORE;
        let clients: Vec<_> =
            (0..CLIENTS).map(|_| tokio::spawn(ask(stage.cri(), Arc::clone(&shared)))).collect();
        let wanted = enough.min(DECISIONS);
        let so_many = async || shared.answers() >= wanted;
        eventually("clients are answered", ANSWERED_WITHIN, so_many).await?;
        stage.kill_gate()?;
        for client in clients {
            client.await?;
        }
        kills += 1;
        if kills % TORN_EACH == 0 {
            tear(&log_of(&stage))?;
            torn += 1;
        }
        stage.start_gate().await?;
    }
    stage.end_gate()?;
    ensure!(lock(&shared.odd).is_empty(), "other answers: {:#?}", lock(&shared.odd));
    let recovered = all_on_record(&log_of(&stage), &lock(&shared.answered))?;
    ensure!(recovered >= torn, "{torn} lines were torn, {recovered} are on record as taken out");
    whole(&stage)?;
    let answered = lock(&shared.answered);
    let admitted = answered.values().filter(|told| **told == Told::Admitted).count();
    println!(
        "   killed {kills} times: {} decisions were answered, {admitted} admitted and {} refused, all in \
         the log; {recovered} torn lines taken out and on record",
        answered.len(),
        answered.len() - admitted,
    );
    ensure!(admitted >= DECISIONS / 25, "too few were admitted to show anything");
    Ok(())
}

/// Names of the signed and of the unsigned image, so that every decision has a reference of its own.
fn names(stage: &Stage) -> Result<Vec<String>, Failure> {
    let manifest = |path: &str| {
        let digest = stage.registry.tagged(path, "v1").ok_or("no tag")?;
        stage.registry.stored(path, &digest).ok_or("no manifest")
    };
    let (signed, unsigned) = (manifest("prod/signed-v2")?, manifest("prod/unsigned")?);
    let name = |number: usize| {
        let (path, bytes) = match number % SIGNED_EACH {
            0 => ("prod/signed-v2", &signed),
            _ => ("prod/unsigned", &unsigned),
        };
        let tag = format!("n{number}");
        stage.registry.put_manifest(path, Some(&tag), bytes, OCI_MANIFEST);
        format!("{HOST}/{path}:{tag}")
    };
    Ok((0..NAMES).map(name).collect())
}

/// Pulls one name after the other until the gate is gone, or enough is answered.
async fn ask(cri: Cri, shared: Arc<Shared>) {
    while shared.answers() < DECISIONS {
        let Some(name) = shared.names.get(shared.next.fetch_add(1, Ordering::Relaxed)) else {
            return;
        };
        let told = match cri.pull(name).await {
            Ok(_) => Told::Admitted,
            Err(refusal) => match decision_of(refusal.message()) {
                Some(id) if refusal.message().starts_with(VALIDATION) => Told::Refused(id),
                // Whatever names a decision is the gate's own answer.
                Some(_) => return lock(&shared.odd).push(refusal.to_string()),
                None => return,
            },
        };
        lock(&shared.answered).insert(name.clone(), told);
    }
}

/// The decision that a refusal names.
fn decision_of(message: &str) -> Option<String> {
    let (_, rest) = message.rsplit_once("[decision ")?;
    Some(rest.strip_suffix(']')?.to_owned())
}

fn log_of(stage: &Stage) -> PathBuf {
    stage.folder().join("audit/audit.jsonl")
}

/// The first half of the last line once more, without an end.
fn tear(log: &Path) -> Outcome {
    let text = fs::read(log)?;
    let mut lines = text.rsplit(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let last = lines.next().ok_or("the log is empty")?;
    let half = &last[..last.len() / 2];
    Ok(fs::File::options().append(true).open(log)?.write_all(half)?)
}

/// Every answer is on record, in any of the files; how many lines were taken out of them.
fn all_on_record(log: &Path, answered: &BTreeMap<String, Told>) -> Result<usize, Failure> {
    let older = (1..).map(|number| PathBuf::from(format!("{}.{number}", log.display())));
    let files: Vec<PathBuf> = older.take_while(|path| path.exists()).collect();
    ensure!(!files.is_empty(), "no file was full");
    let (mut ids, mut admitted, mut refused, mut recovered) =
        (BTreeSet::new(), BTreeSet::new(), BTreeMap::new(), 0);
    for path in files.iter().map(PathBuf::as_path).chain([log]) {
        for line in fs::read_to_string(path)?.lines() {
            let entry: Value = serde_json::from_str(line)?;
            let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
            ensure!(ids.insert(text("id")), "{} stands there twice", text("id"));
            match (text("kind").as_str(), text("verdict").as_str()) {
                ("decision", "admitted") => drop(admitted.insert(text("reference"))),
                ("decision", "refused") => drop(refused.insert(text("id"), text("reference"))),
                ("note", _) => recovered += usize::from(entry["note"].get("recovered").is_some()),
                _ => {}
            }
        }
    }
    for (name, told) in answered {
        let is_there = match told {
            Told::Admitted => admitted.contains(name),
            Told::Refused(id) => refused.get(id) == Some(name),
        };
        ensure!(is_there, "{name} was answered ({told:?}) and is not on record");
    }
    Ok(recovered)
}

/// `sealgate audit verify` finds nothing wrong, and everything covered by a checkpoint.
fn whole(stage: &Stage) -> Outcome {
    let ran = stage.sealgate(&["--output", "json", "audit", "verify"])?;
    let said = String::from_utf8_lossy(&ran.stdout);
    ensure!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    let answer: Value = serde_json::from_str(&said)?;
    ensure!(answer["findings"].as_array().is_some_and(Vec::is_empty), "{answer:#}");
    println!("   audit verify: {} lines, nothing wrong", answer["lines"]);
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
