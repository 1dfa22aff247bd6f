//! [`SweepState`]: which sweeps were asked for, begun and ended, and what the last one found;
//! [`SweepProgress`]: the same for who asks.

use std::collections::HashSet;
use std::sync::Arc;

use super::swept::{SweepReport, SweptKey};

/// Which sweeps were asked for, begun and ended.
#[derive(Debug, Default)]
pub(super) struct SweepState {
    /// How many were asked for since the start.
    pub(super) asked: u64,
    /// How many had been asked for when the last one began.
    pub(super) begun_for: u64,
    /// The same of the last one whose report is there.
    pub(super) ended_for: u64,
    /// How often a report was published since the start.
    pub(super) version: u64,
    /// Those whose registries are still to be asked.
    pub(super) unasked: u64,
    pub(super) report: Arc<SweepReport>,
    /// What was recorded of the last sweep.
    pub(super) told: HashSet<SweptKey>,
}

/// How far a sweep is.
#[derive(Debug, Clone)]
pub struct SweepProgress {
    /// Sweeps that were asked for since the start.
    pub asked: u64,
    /// The last of them that the report answers: everything was listed after it was asked for.
    pub ended_for: u64,
    /// How often a report was published since the start: another number is another report.
    pub version: u64,
    /// Judged so far, of the one under way.
    pub done: u64,
    /// To be judged.
    pub all: u64,
    /// Containers and images of the last one whose registries are still to be asked.
    pub unasked: u64,
    /// What the last one found.
    pub report: Arc<SweepReport>,
}

impl SweepState {
    /// Asks for one; its number.
    pub(super) fn ask(&mut self) -> u64 {
        self.asked += 1;
        self.asked
    }

    /// Whether one was asked for that has not begun.
    pub(super) fn is_wanted(&self) -> bool {
        self.begun_for < self.asked
    }

    /// One begins. What is asked for from here on, it may have passed already.
    pub(super) fn begin(&mut self) {
        self.begun_for = self.asked;
    }

    /// The registry of one was asked.
    pub(super) fn note_asked(&mut self) {
        self.unasked = self.unasked.saturating_sub(1);
    }

    /// The report of the one that began last, of which so many are still to be asked about.
    pub(super) fn publish(&mut self, report: SweepReport, open: usize) {
        self.report = Arc::new(report);
        self.unasked = u64::try_from(open).unwrap_or(u64::MAX);
        self.ended_for = self.begun_for;
        self.version += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_answers_what_was_asked_before_it_began_and_nothing_later() {
        let mut state = SweepState::default();
        state.begin();
        assert!(!state.is_wanted());
        let number = state.ask();
        state.publish(SweepReport::default(), 1);
        state.publish(SweepReport::default(), 0);
        assert!(state.ended_for < number && state.is_wanted(), "it may have passed what is asked");
        assert_eq!(state.version, 2, "each publication is another report");
        state.begin();
        assert!(!state.is_wanted() && state.ended_for < number);
        let next = state.ask();
        state.publish(SweepReport::default(), 0);
        assert!(state.ended_for == number && number < next && state.is_wanted());
    }
}
