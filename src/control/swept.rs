//! [`SweptPage`]: how far a sweep is, and a part of what the last one found, as one answer.

use serde::{Deserialize, Serialize};

use crate::cri::{SweepProgress, Swept};

/// Rows of a sweep in one answer: with the longest texts they are well below what is read of an answer.
const SWEPT_ROWS_MAX: usize = 50;

/// How far a sweep is, and a part of what the last one found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweptPage {
    /// Sweeps that were asked for since the start.
    pub asked: u64,
    /// The last of them that the rows answer.
    pub ended_for: u64,
    /// How often a report was published since the start: pages of one number are of one report.
    pub version: u64,
    /// Judged so far, of the one under way.
    pub done: u64,
    /// To be judged.
    pub all: u64,
    /// Containers and images whose registries are still to be asked.
    pub unasked: u64,
    /// Milliseconds that the last one took.
    pub millis: u64,
    /// What could not be listed.
    pub faults: Vec<String>,
    /// How many rows there are in all.
    pub rows_in_all: usize,
    /// Some of them.
    pub rows: Vec<Swept>,
}

impl SweptPage {
    /// The rows from this one on, as many as fit into an answer.
    #[must_use]
    pub fn of(progress: &SweepProgress, from: usize) -> Self {
        let report = &progress.report;
        Self {
            asked: progress.asked,
            ended_for: progress.ended_for,
            version: progress.version,
            done: progress.done,
            all: progress.all,
            unasked: progress.unasked,
            millis: report.millis,
            faults: report.faults.clone(),
            rows_in_all: report.rows.len(),
            rows: report.rows.iter().skip(from).take(SWEPT_ROWS_MAX).cloned().collect(),
        }
    }
}
