//! How [`Writer`] records findings: like refusals, and in space of their own, so that neither hides
//! the other.

use std::sync::atomic::Ordering;

use super::encode;
use super::error::AuditError;
use super::findings::PlannedFinding;
use super::queue::QueuedFinding;
use super::record::Recorded;
use super::record::stamp::Timestamp;
use super::record::{Finding, FindingKind};
use super::repeats::Fate;
use super::writer::{Writer, answer};

impl Writer {
    /// Decides what becomes of one finding: a line, or a place in a count.
    pub(super) fn plan_finding(
        &mut self,
        queued: QueuedFinding,
        planned: &mut Vec<PlannedFinding>,
    ) -> usize {
        let QueuedFinding { finding, reply, seat } = queued;
        let now = self.clock.steady();
        self.settle_findings(false);
        let kind = match self.findings.fate(&finding) {
            Fate::Write(kind) => kind,
            Fate::Counted(_) => {
                self.state.counted.fetch_add(1, Ordering::Relaxed);
                answer(reply, Ok(Recorded::new(false, finding.id)));
                return 0;
            }
            Fate::TooMany => {
                self.tally_findings(1, finding.time);
                answer(reply, Ok(Recorded::new(false, finding.id)));
                return 0;
            }
        };
        let line = match encode::finding(&finding) {
            Ok(line) => line,
            Err(error) => {
                self.state.lose_findings(1, finding.time);
                answer(reply, Err(error));
                return 0;
            }
        };
        if !self.has_room_for_finding(finding.finding, line.len()) {
            self.tally_findings(1, finding.time);
            answer(reply, Ok(Recorded::new(false, finding.id)));
            return 0;
        }
        if !finding.alert {
            tell(&finding);
        }
        if let Some(kind) = kind.clone() {
            self.findings.repeats.watch(kind, finding.id, now);
        }
        let bytes = line.len();
        planned.push(PlannedFinding {
            line,
            id: finding.id,
            time: finding.time,
            kind,
            reply,
            seat,
        });
        bytes
    }

    /// Adds the lines of findings and answers who waits for them.
    pub(super) fn commit_findings(&mut self, planned: Vec<PlannedFinding>) {
        let lines: Vec<u8> = planned.iter().flat_map(|planned| &planned.line).copied().collect();
        let outcome = self.add(&lines, planned.len());
        for PlannedFinding { id, time, kind, reply, .. } in planned {
            if outcome.is_err() {
                let counted_with_it = kind.map_or(0, |kind| self.findings.repeats.forget(&kind));
                self.state.lose_findings(1 + counted_with_it, time);
            }
            answer(reply, outcome.clone().map(|()| Recorded::new(true, id)));
        }
    }

    /// Writes the findings that stand for repeats and whose time has come; all, to `finish`.
    pub(super) fn settle_findings(&mut self, finish: bool) {
        let now = self.clock.steady();
        let repeats = &mut self.findings.repeats;
        let due = if finish { repeats.all() } else { repeats.ended(now) };
        let (mut lines, mut standing) = (Vec::new(), Vec::new());
        for finding in due {
            match encode::finding(&finding) {
                Ok(line) if self.has_room_for_finding(finding.finding, line.len()) => {
                    lines.extend(line);
                    standing.push(finding);
                }
                Ok(_) | Err(_) => self.tally_findings(finding.repeats, finding.time),
            }
        }
        let outcome: Result<(), AuditError> = self.add(&lines, standing.len());
        if outcome.is_err() {
            for finding in standing {
                self.state.lose_findings(finding.repeats, finding.time);
            }
        }
    }

    fn has_room_for_finding(&mut self, kind: FindingKind, bytes: usize) -> bool {
        let more = u64::try_from(bytes).unwrap_or(u64::MAX);
        let free = self.file.free().saturating_sub(more) >= self.options.reserve_bytes;
        free && self.findings.take(kind, bytes, self.clock.steady())
    }

    fn tally_findings(&mut self, many: u64, time: Timestamp) {
        self.await_notes();
        self.counted.add_findings(many, time);
        self.state.counted.fetch_add(many, Ordering::Relaxed);
    }
}

/// Tells the journal of a finding that is the first of its kind.
fn tell(finding: &Finding) {
    let Finding { id, finding: kind, reason, container_id, image, .. } = finding;
    tracing::warn!(finding = %id, kind = kind.word(), code = %reason.code, container_id, image, "{}", reason.message);
}
