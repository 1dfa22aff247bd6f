//! [`Findings`]: what the writer remembers of findings; [`PlannedFinding`]: one on its way to the
//! disk.

use std::time::Instant;

use super::options::Options;
use super::queue::{Acknowledgement, QueueSeat};
use super::record::Finding;
use super::record::stamp::Timestamp;
use super::repeats::{AlikeFindings, Allowance, Repeats};

/// Bytes of findings an hour: some two thousand. What is beyond is counted.
const FINDING_BYTES_PER_HOUR: u64 = 1 << 20;

/// What is remembered of findings.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) repeats: Repeats<Finding>,
    pub(super) allowance: Allowance,
}

/// One finding on its way to the disk.
pub(super) struct PlannedFinding {
    pub(super) line: Vec<u8>,
    pub(super) time: Timestamp,
    pub(super) kind: AlikeFindings,
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
            allowance: Allowance::new(FINDING_BYTES_PER_HOUR, now),
        }
    }
}
