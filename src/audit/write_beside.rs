//! How [`Writer`] records what is neither a decision nor a finding: the outcomes of calls, behind the
//! decisions that wait and in nobody's way, the heads that say who writes, and the checkpoints.

use std::sync::atomic::Ordering;

use super::encode;
use super::error::AuditError;
use super::outcomes::{PlannedOutcome, lines};
use super::queue::QueuedOutcome;
use super::record::stamp::Timestamp;
use super::record::{CheckpointCause, FileHead, HeadCause};
use super::repeats::Fate;
use super::state::lock;
use super::writer::Writer;

impl Writer {
    /// Decides what becomes of one outcome: a line, or a place in a count.
    pub(super) fn plan_outcome(&mut self, queued: QueuedOutcome) {
        let QueuedOutcome { outcome, seat } = queued;
        let now = self.clock.steady();
        let kind = if outcome.outcome.is_change() {
            None
        } else {
            self.settle_outcomes(false);
            match self.outcomes.repeats.fate(&outcome) {
                Fate::Write(kind) => Some(kind),
                Fate::Counted(_) => {
                    self.state.counted.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                // It belongs to a decision that has a line.
                Fate::TooMany => None,
            }
        };
        let Ok(line) = encode::outcome(&outcome) else {
            return self.state.lose_outcomes(1, outcome.time);
        };
        if !self.has_room_for_outcome(line.len()) {
            return self.tally_outcomes(1, outcome.time);
        }
        if let Some(kind) = kind.clone() {
            self.outcomes.repeats.watch(kind, outcome.id, now);
        }
        self.outcomes.wait(PlannedOutcome { line, time: outcome.time, kind, seat }, now);
    }

    /// Says what became of outcomes whose lines were added.
    pub(super) fn outcomes_added(
        &mut self,
        planned: Vec<PlannedOutcome>,
        added: &Result<(), AuditError>,
    ) {
        if added.is_ok() {
            return;
        }
        for PlannedOutcome { time, kind, .. } in planned {
            let counted_with_it = kind.map_or(0, |kind| self.outcomes.repeats.forget(&kind));
            self.state.lose_outcomes(1 + counted_with_it, time);
        }
    }

    /// Writes the outcomes that stand for repeats and whose time has come; to `finish`, all that there
    /// is.
    pub(super) fn settle_outcomes(&mut self, finish: bool) {
        let now = self.clock.steady();
        let repeats = &mut self.outcomes.repeats;
        let due = if finish { repeats.all() } else { repeats.ended(now) };
        loop {
            let waiting = self.outcomes.take((finish, now), self.file_bytes());
            if waiting.is_empty() {
                break;
            }
            let added = self.add(&lines(&waiting).collect::<Vec<u8>>(), waiting.len());
            self.outcomes_added(waiting, &added);
        }
        let (mut out, mut standing) = (Vec::new(), Vec::new());
        for outcome in due {
            match encode::outcome(&outcome) {
                Ok(line) if self.has_room_for_outcome(line.len()) => {
                    out.extend(line);
                    standing.push((outcome.repeats, outcome.time));
                }
                Ok(_) | Err(_) => self.tally_outcomes(outcome.repeats, outcome.time),
            }
        }
        if self.add(&out, standing.len()).is_err() {
            standing.into_iter().for_each(|(many, time)| self.state.lose_outcomes(many, time));
        }
    }

    /// An outcome leaves to decisions what is kept for them.
    fn has_room_for_outcome(&self, bytes: usize) -> bool {
        let more = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.file.free().saturating_sub(more) >= self.options.reserve_bytes
    }

    fn tally_outcomes(&mut self, many: u64, time: Timestamp) {
        self.await_notes();
        self.counted.add_outcomes(many, time);
        self.state.counted.fetch_add(many, Ordering::Relaxed);
    }

    /// The line that says who writes what follows it, where lines have one.
    pub(super) fn head(&self, cause: HeadCause) -> Option<Vec<u8>> {
        let writing = self.writing.clone()?;
        let id = lock(&self.ids).next(self.clock.unix());
        encode::head(&FileHead::new(id, cause, writing)).ok()
    }

    pub(super) fn write_head(&mut self, cause: HeadCause) {
        if let Some(line) = self.head(cause) {
            let _said_by_health = self.put(&line, 1);
        }
    }

    /// Adds a checkpoint when one is due, and at the end.
    pub(super) fn seal(&mut self, finish: bool) {
        let is_due = |due| due <= self.clock.steady();
        if finish {
            let _told_by_the_next_start = self.file.seal(CheckpointCause::Stop);
        } else if self.file.checkpoint_due().is_some_and(is_due) {
            let _tried_again_when_due = self.file.seal(CheckpointCause::Time);
        }
    }
}
