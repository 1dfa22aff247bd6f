//! [`Tally`]: how many decisions of each kind there were.

use serde::{Deserialize, Serialize};

use super::stamp::Timestamp;
use super::verdict::{Ended, Verdict};

/// How many decisions of each kind, and when the first of them was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// When the first of them was taken.
    pub since: Timestamp,
    /// Let through, with proof or without.
    pub admitted: u64,
    /// Refused.
    pub refused: u64,
    /// Unable to evaluate.
    pub unable: u64,
    /// Out of reach.
    pub unreachable: u64,
    /// Let through in observe mode, although it would have been one of the three above.
    #[serde(default)]
    pub observed: u64,
    /// Findings, which are no decisions.
    #[serde(default)]
    pub findings: u64,
    /// Outcomes of calls, which are no decisions either.
    #[serde(default)]
    pub outcomes: u64,
}

impl Tally {
    /// Counts `many` more decisions like one taken at `time`.
    pub(in crate::audit) fn add(&mut self, ended: Ended, many: u64, time: Timestamp) {
        if ended.observed {
            return self.add_observed(many, time);
        }
        self.begin(many, time);
        let count = match ended.verdict {
            Verdict::Admitted
            | Verdict::Warned
            | Verdict::Unmatched
            | Verdict::Unverified
            | Verdict::Excepted
            | Verdict::Unchecked => &mut self.admitted,
            Verdict::Refused => &mut self.refused,
            Verdict::Unable => &mut self.unable,
            Verdict::Unreachable => &mut self.unreachable,
        };
        *count = count.saturating_add(many);
    }

    /// Counts `many` more calls that were forwarded in observe mode, like one at `time`.
    fn add_observed(&mut self, many: u64, time: Timestamp) {
        self.begin(many, time);
        self.observed = self.observed.saturating_add(many);
    }

    /// Counts `many` more findings like one made at `time`.
    pub(in crate::audit) fn add_findings(&mut self, many: u64, time: Timestamp) {
        self.begin(many, time);
        self.findings = self.findings.saturating_add(many);
    }

    /// Counts `many` more outcomes of calls like one at `time`.
    pub(in crate::audit) fn add_outcomes(&mut self, many: u64, time: Timestamp) {
        self.begin(many, time);
        self.outcomes = self.outcomes.saturating_add(many);
    }

    fn begin(&mut self, many: u64, time: Timestamp) {
        if many > 0 && (self.is_empty() || time < self.since) {
            self.since = time;
        }
    }

    /// Adds what another one counted.
    pub(in crate::audit) fn merge(&mut self, other: Self) {
        for (verdict, many) in [
            (Verdict::Admitted, other.admitted),
            (Verdict::Refused, other.refused),
            (Verdict::Unable, other.unable),
            (Verdict::Unreachable, other.unreachable),
        ] {
            self.add(Ended { verdict, observed: false }, many, other.since);
        }
        self.add_observed(other.observed, other.since);
        self.add_findings(other.findings, other.since);
        self.add_outcomes(other.outcomes, other.since);
    }

    /// Whether nothing was counted.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.total() == 0
    }

    /// How many in all.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.admitted
            .saturating_add(self.refused)
            .saturating_add(self.unable)
            .saturating_add(self.unreachable)
            .saturating_add(self.observed)
            .saturating_add(self.findings)
            .saturating_add(self.outcomes)
    }
}
