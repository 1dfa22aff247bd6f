//! [`LogReport`]: what came of checking a log.

use super::fault::Found;
use crate::audit::record::stamp::Timestamp;
use crate::tlog::TreeHead;
use crate::tlog::note::NoteVerifier;

/// What is wrong at most in one report; the rest is counted. A log that somebody replaced has
/// something wrong in each line.
pub(super) const FOUND_MAX: usize = 1000;

/// What came of checking a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogReport {
    /// Lines that were read, checkpoints included.
    pub lines: u64,
    /// Lines that are as a checkpoint says.
    pub covered: u64,
    /// Lines from before the first checkpoint: written by a version without, or without a key.
    pub before: u64,
    /// Records behind the last checkpoint.
    pub behind: u64,
    /// When the last checkpoint was made.
    pub last_time: Option<Timestamp>,
    /// Whether that time is signed; otherwise only the next checkpoint is about it.
    pub time_is_signed: bool,
    /// Since when a record waits for a checkpoint that is overdue.
    pub overdue: Option<Timestamp>,
    /// Checkpoints that hold.
    pub checkpoints: u64,
    /// The first entry whose line is there.
    pub first: Option<u64>,
    /// The last checkpoint that holds.
    pub last: Option<TreeHead>,
    /// The same, as the log has it.
    pub note: Option<String>,
    /// The key that it was checked with.
    pub key: Option<NoteVerifier>,
    /// Whether that key came from elsewhere than the log.
    pub key_is_known: bool,
    /// Lines with a newer schema than this program knows; the first of them is in `found_newer`.
    pub newer: u64,
    /// Where the first of them is: file and line.
    pub found_newer: Option<(std::path::PathBuf, u64)>,
    /// Bytes behind the last newline of the newest file.
    pub unfinished: u64,
    /// Records that only the last checkpoint says retention removed.
    pub unsettled: u64,
    /// What is wrong, in the order of the files.
    pub found: Vec<Found>,
    /// How much more is.
    pub omitted: u64,
    /// How the log stands to the checkpoint that was given.
    pub against: Option<Against>,
}

/// How a log stands to a checkpoint from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// The log goes on from it.
    Continues,
    /// It is about something else than the log has there.
    Differs,
    /// It is about more than the log has: the end was cut off.
    CutOff,
    /// What it is about is gone, and the hashes of that too.
    Unknown,
}

impl LogReport {
    /// Whether nothing is wrong with what checkpoints are about.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let against = matches!(self.against, None | Some(Against::Continues | Against::Unknown));
        self.found.is_empty() && self.omitted == 0 && against
    }

    /// Whether anything could be told.
    #[must_use]
    pub fn is_told(&self) -> bool {
        let is_compared = self.against != Some(Against::Unknown);
        self.checkpoints > 0 && self.newer == 0 && self.overdue.is_none() && is_compared
    }

    pub(super) fn add(&mut self, found: Found) {
        if self.found.len() < FOUND_MAX {
            self.found.push(found);
        } else {
            self.omitted += 1;
        }
    }
}
