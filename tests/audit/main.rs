//! The audit log on real files: what is acknowledged is there, whatever happens to the process, the
//! disk or the files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]
#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test says what it leaves out, and a child what it did"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test makes its own clock and talks to its child through the environment"
)]

mod asking;
mod attacks;
mod crash;
mod disk;
mod export;
mod files;
mod findings;
#[path = "../support/frozen.rs"]
mod frozen;
mod hang;
mod heads;
mod outcomes;
mod reading;
mod schema;
mod sealing;
#[path = "../support/skipped.rs"]
mod skipped;
mod tampering;
mod texts;
#[path = "../policy/validator.rs"]
mod validator;
mod while_down;

use std::collections::BTreeSet;
use std::fs;
use std::num::{NonZeroU32, NonZeroU64};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use sealgate::audit::read::{Line, Reader};
use sealgate::audit::{
    Call, DecisionId, Entry, Log, Note, Noted, Options, Reason, Record, Verdict,
};
use sealgate::clock::Clock;

/// The system's clocks.
pub(crate) fn clock() -> Clock {
    Clock::new(SystemTime::now, Instant::now)
}

/// A folder that is safe from others.
pub(crate) fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// A log in this folder that keeps no space back, and is patient: on a busy machine a disk may take
/// seconds.
pub(crate) fn options(folder: &Path) -> Options {
    let append_ms = NonZeroU64::new(600_000).unwrap();
    Options { path: folder.join("audit.jsonl"), reserve_bytes: 0, append_ms, ..Options::default() }
}

/// The same with small files.
pub(crate) fn small(folder: &Path, keep: u32) -> Options {
    let keep_files = NonZeroU32::new(keep).unwrap();
    Options { max_bytes: NonZeroU64::new(64 << 10).unwrap(), keep_files, ..options(folder) }
}

/// An admission of an image of this name.
pub(crate) fn admission(log: &Log, reference: &str) -> Record {
    decision(log, Verdict::Admitted, reference)
}

/// A refusal of an image of this name.
pub(crate) fn refusal(log: &Log, reference: &str) -> Record {
    decision(log, Verdict::Refused, reference)
}

fn decision(log: &Log, verdict: Verdict, reference: &str) -> Record {
    let reason = Reason::new(
        if verdict == Verdict::Admitted { "permit" } else { "no_signature" },
        "in a test",
    );
    let mut record = Record::new(log.next_id(), Call::CreateContainer, verdict, reason);
    reference.clone_into(&mut record.reference);
    // Each is of another container, so that no two are counted together.
    record.container = Some(format!("of {}", record.id)).filter(|_| verdict.is_admission());
    record
}

/// Every line of the log, each of which must be readable.
pub(crate) fn lines(path: &Path) -> Vec<Line> {
    Reader::open(path).unwrap().map(|line| line.unwrap()).collect()
}

/// The decisions among them.
pub(crate) fn records(path: &Path) -> Vec<Record> {
    let decisions = lines(path).into_iter().filter_map(|line| match line.entry {
        Entry::Decision(record) => Some(*record),
        Entry::Note(_)
        | Entry::Finding(_)
        | Entry::Outcome(_)
        | Entry::Head(_)
        | Entry::Checkpoint(_) => None,
    });
    decisions.collect()
}

/// Their ids.
pub(crate) fn ids(path: &Path) -> BTreeSet<DecisionId> {
    records(path).iter().map(|record| record.id).collect()
}

/// The notes among the lines.
pub(crate) fn notes(path: &Path) -> Vec<Noted> {
    let notes = lines(path).into_iter().filter_map(|line| match line.entry {
        Entry::Note(Note { note, .. }) => Some(note),
        Entry::Decision(_)
        | Entry::Finding(_)
        | Entry::Outcome(_)
        | Entry::Head(_)
        | Entry::Checkpoint(_) => None,
    });
    notes.collect()
}

/// The log's file with a suffix.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}.{suffix}", path.display()))
}
