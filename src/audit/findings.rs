//! [`Findings`]: what the writer remembers of findings; [`PlannedFinding`]: one on its way to the
//! disk.

use std::collections::BTreeMap;
use std::time::Instant;

use super::options::Options;
use super::queue::{Acknowledgement, QueueSeat};
use super::record::stamp::{DecisionId, Timestamp};
use super::record::{Finding, FindingKind};
use super::repeats::{AlikeFindings, Allowance, Fate, Repeats};

/// Bytes of findings of one kind an hour: some five hundred. What is beyond is counted. Each kind has
/// its own, so that what one pod can cause at will leaves room for an alert of another kind.
const FINDING_BYTES_PER_HOUR: u64 = 256 << 10;

/// What is remembered of findings.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) repeats: Repeats<Finding>,
    allowances: BTreeMap<FindingKind, Allowance>,
}

/// One finding on its way to the disk.
pub(super) struct PlannedFinding {
    pub(super) line: Vec<u8>,
    pub(super) id: DecisionId,
    pub(super) time: Timestamp,
    /// None for a change, which is like no other finding.
    pub(super) kind: Option<AlikeFindings>,
    pub(super) reply: Acknowledgement,
    /// Held until it is answered.
    #[allow(dead_code, reason = "it holds a seat, and is not read")]
    pub(super) seat: QueueSeat,
}

impl Findings {
    /// Nothing seen yet.
    pub(super) fn new(options: &Options, now: Instant) -> Self {
        Self {
            repeats: Repeats::new(options.repeat_window(), options.repeat_entries.get()),
            allowances: FindingKind::ALL
                .into_iter()
                .map(|kind| (kind, Allowance::new(FINDING_BYTES_PER_HOUR, now)))
                .collect(),
        }
    }

    /// What becomes of this finding: a change is always written.
    pub(super) fn fate(&mut self, finding: &Finding) -> Fate<Option<AlikeFindings>> {
        if finding.finding.is_change() {
            return Fate::Write(None);
        }
        match self.repeats.fate(finding) {
            Fate::Write(kind) => Fate::Write(Some(kind)),
            Fate::Counted(kind) => Fate::Counted(Some(kind)),
            Fate::TooMany => Fate::TooMany,
        }
    }

    /// Takes so many bytes of what findings of this kind may have; false when that is spent.
    pub(super) fn take(&mut self, kind: FindingKind, bytes: usize, now: Instant) -> bool {
        self.allowances.get_mut(&kind).is_some_and(|allowance| allowance.take(bytes, now))
    }
}
