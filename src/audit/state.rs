//! [`State`]: what the handles of a log and the thread that writes it both see: counters, whether
//! records reach the disk, and why not.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::error::AuditError;
use super::record::Tally;
use super::record::stamp::Timestamp;
use super::record::verdict::Ended;
use crate::tlog::TreeHead;

/// What the log has done since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Lines that are on disk.
    pub written: u64,
    /// Decisions that were counted with others instead of written.
    pub counted: u64,
    /// Records that the disk did not take in time. Each waits, and is written or fails later.
    pub late: u64,
    /// Records that could not be written.
    pub failed: u64,
    /// Those of them that let an image run.
    pub failed_admitted: u64,
    /// Times the disk was waited for.
    pub flushes: u64,
    /// Times a new file was begun because the old one was full.
    pub rotations: u64,
    /// Times the file was found gone, replaced or cut by someone else.
    pub disturbed: u64,
    /// Lines found torn, taken out and written as a note.
    pub recovered: u64,
}

/// How the log does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether the last attempt to write succeeded and none is overdue; before the first, whether
    /// the file could be opened.
    pub healthy: bool,
    /// Why not.
    pub error: Option<String>,
    /// Who else could write the log or its folder, found out after it was opened.
    pub exposed: Option<String>,
    /// Records that wait for the disk.
    pub waiting: usize,
}

/// What the handles and the thread both see.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) closing: AtomicBool,
    pub(super) written: AtomicU64,
    pub(super) counted: AtomicU64,
    pub(super) flushes: AtomicU64,
    pub(super) rotations: AtomicU64,
    pub(super) disturbed: AtomicU64,
    pub(super) recovered: AtomicU64,
    /// The thread waits for the lock of a process that is about to end.
    pub(super) awaits_lock: AtomicBool,
    /// Decisions that could not be recorded and that no note tells of yet.
    pub(super) lost: Mutex<Tally>,
    healthy: AtomicBool,
    late: AtomicU64,
    failed: AtomicU64,
    failed_admitted: AtomicU64,
    /// How often the thread has come round: answered what it had taken.
    rounds: AtomicU64,
    /// One more than the round in which an answer was first overdue; none when this is 0 or that
    /// round has ended.
    overdue_in: AtomicU64,
    /// Records were refused since too many waited, and nothing was said of it yet.
    overflowed: AtomicBool,
    trouble: Mutex<DiskTrouble>,
    seal: Mutex<Seal>,
}

/// The last checkpoint of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seal {
    /// How many entries it is about; none before the first since the start.
    pub entries: Option<u64>,
    /// When it was made.
    pub at: Option<Instant>,
    /// Why the log gets no checkpoints.
    pub fault: Option<String>,
    /// What of the log was missing or added when the gate started, or why the next start could not
    /// tell.
    pub doubt: Option<String>,
}

#[derive(Debug, Default)]
struct DiskTrouble {
    error: Option<AuditError>,
    exposed: Option<String>,
}

impl State {
    /// Counts `many` decisions that could not be recorded.
    pub(super) fn lose(&self, ended: Ended, many: u64, time: Timestamp) {
        self.count_failed(many);
        if ended.lets_through() {
            self.failed_admitted.fetch_add(many, Ordering::Relaxed);
        }
        lock(&self.lost).add(ended, many, time);
    }

    /// Counts `many` records that could not be written.
    pub(super) fn count_failed(&self, many: u64) {
        self.failed.fetch_add(many, Ordering::Relaxed);
    }

    /// Counts findings that could not be recorded.
    pub(super) fn lose_findings(&self, many: u64, time: Timestamp) {
        let mut lost = Tally::default();
        lost.add_findings(many, time);
        self.count_failed(many);
        lock(&self.lost).merge(lost);
    }

    /// Counts outcomes that could not be recorded.
    pub(super) fn lose_outcomes(&self, many: u64, time: Timestamp) {
        let mut lost = Tally::default();
        lost.add_outcomes(many, time);
        self.count_failed(many);
        lock(&self.lost).merge(lost);
    }

    /// The round that the thread is in. To be read before looking for an answer that may have come.
    pub(super) fn round(&self) -> u64 {
        self.rounds.load(Ordering::Acquire)
    }

    /// The thread has answered everything that it had taken.
    pub(super) fn come_round(&self) {
        let was_overdue = self.is_overdue();
        self.rounds.fetch_add(1, Ordering::AcqRel);
        if was_overdue {
            tracing::warn!("the audit log's disk answers again; what waited is being written");
        }
        self.overflowed.store(false, Ordering::Relaxed);
    }

    /// An answer did not come in time, and had not when the thread was in `round`. Said once until
    /// it has come round.
    pub(super) fn is_late(&self, round: u64, error: &AuditError) {
        self.late.fetch_add(1, Ordering::Relaxed);
        if self.overdue_in.swap(round + 1, Ordering::AcqRel) != round + 1 {
            tracing::error!(
                "THE AUDIT LOG'S DISK DOES NOT ANSWER, audit.on_failure decides what starts, \
                 records wait for it: {error}"
            );
        }
    }

    /// Whether an answer is overdue, so that nobody else needs to wait for the same disk.
    pub(super) fn is_overdue(&self) -> bool {
        self.overdue_in.load(Ordering::Acquire) == self.round() + 1
    }

    /// One more record that is not waited for, since the disk is known not to answer.
    pub(super) fn count_late(&self) {
        self.late.fetch_add(1, Ordering::Relaxed);
    }

    /// No more records may wait; said once until the disk answers.
    pub(super) fn overflow(&self, error: &AuditError) {
        if !self.overflowed.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "the audit log's queue is full, decisions are counted and their records lost: \
                 {error}"
            );
        }
    }

    /// How an attempt to write ended. A change is said, once.
    pub(super) fn attempted(&self, outcome: &Result<(), AuditError>) {
        let was_well = self.healthy.swap(outcome.is_ok(), Ordering::AcqRel);
        let before =
            std::mem::replace(&mut lock(&self.trouble).error, outcome.as_ref().err().cloned());
        match outcome {
            Ok(()) if before.is_some() => tracing::warn!("the audit log takes records again"),
            Err(error) if was_well || before.is_none() => {
                tracing::error!(
                    "THE AUDIT LOG CANNOT BE WRITTEN, audit.on_failure decides what starts: {error}"
                );
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Who else could write the log; none when nobody can. A change is said, once.
    pub(super) fn looked(&self, exposed: Option<String>) {
        let before = std::mem::replace(&mut lock(&self.trouble).exposed, exposed.clone());
        match exposed {
            Some(fault) if before.as_ref() != Some(&fault) => {
                tracing::error!(
                    "THE AUDIT LOG IS NOT SAFE FROM OTHERS, what it says may be changed: {fault}"
                );
            }
            None if before.is_some() => tracing::warn!("the audit log is safe from others again"),
            Some(_) | None => {}
        }
    }

    /// A checkpoint is on disk.
    pub(super) fn sealed(&self, head: &TreeHead, at: Instant) {
        let mut seal = lock(&self.seal);
        (seal.entries, seal.at) = (Some(head.size), Some(at));
    }

    /// Why there are no checkpoints, none where there are; and what is wrong with what they are about.
    pub(super) fn unsealed(&self, fault: Option<&str>, doubt: Option<String>) {
        let mut seal = lock(&self.seal);
        (seal.fault, seal.doubt) = (fault.map(str::to_owned), doubt);
    }

    /// The last checkpoint.
    pub(super) fn seal(&self) -> Seal {
        lock(&self.seal).clone()
    }

    /// Whether the last write succeeded and no answer is overdue.
    pub(super) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Acquire) && !self.is_overdue()
    }

    /// How the log does, with so many records waiting.
    pub(super) fn health(&self, waiting: usize) -> Health {
        let trouble = lock(&self.trouble);
        let overdue = self.is_overdue().then(|| "its disk does not answer".to_owned());
        let error = trouble.error.as_ref().map(ToString::to_string).or(overdue);
        Health { healthy: self.is_healthy(), error, exposed: trouble.exposed.clone(), waiting }
    }

    /// The counters, at this moment.
    pub(super) fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            written: read(&self.written),
            counted: read(&self.counted),
            late: read(&self.late),
            failed: read(&self.failed),
            failed_admitted: read(&self.failed_admitted),
            flushes: read(&self.flushes),
            rotations: read(&self.rotations),
            disturbed: read(&self.disturbed),
            recovered: read(&self.recovered),
        }
    }
}

/// The value behind a lock, after a panic too: nothing that is locked here is ever left
/// half-changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
