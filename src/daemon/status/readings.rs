//! What the running gate says of itself to monitors ([`Daemon::readings`]). It decides nothing, and
//! waits for nothing.

use jiff::Timestamp;

use crate::audit::Counters;
use crate::control::{AuditStatus, ConnectionStatus, EvidenceStatus, RefreshStatus};
use crate::cri::{BOUNDS, BySource, Decided, StopCounts};
use crate::daemon::{CLOCK, Daemon, now};
use crate::metrics::{self, Decisions, Histogram, Readings, Refusals, Sources};
use crate::policy::ExceptionEnds;

impl Daemon {
    /// What a monitor reads.
    pub(in crate::daemon) fn readings(&self) -> Readings {
        Readings {
            version: env!("CARGO_PKG_VERSION"),
            policy: self.policy_readings(),
            audit: self.audit_readings(),
            decisions: self.decision_readings(),
            evidence: self.evidence_readings(),
            connections: self.connection_readings(),
            lists: self.list_readings(),
            node: self.node_readings(),
        }
    }

    fn policy_readings(&self) -> metrics::Policy {
        let set = self.gate.policy();
        let ExceptionEnds { in_force, ends_soon, ended, too_long, first } =
            set.exception_ends(self.gate.now());
        let exceptions = [
            ("in-force", in_force),
            ("ends-soon", ends_soon),
            ("ended", ended),
            ("too-long", too_long),
        ];
        let state = self.policy_state();
        let watch = &state.noted.watch;
        let ends = watch.ends(now()).into_iter();
        metrics::Policy {
            trust: ends.map(|(root, kind, end)| (root.to_owned(), kind.word(), end)).collect(),
            keys: watch.keys.iter().map(|(key, end)| (key.clone(), seconds(*end))).collect(),
            reload_failed: state.reload_error.is_some(),
            taken: seconds(state.taken_at),
            failed: state.failed_at.map(seconds).unwrap_or_default(),
            generation: set.generation().to_owned(),
            trust_generation: set.trust_generation().to_owned(),
            observes: set.observes(),
            exceptions: exceptions.map(|(standing, many)| (standing, count(many))).to_vec(),
            exception_ends: first.map_or(f64::INFINITY, seconds),
        }
    }

    fn decision_readings(&self) -> Decisions {
        let counts = self.recorder.decision_counts();
        let decided = self.recorder.decided();
        let verdicts = counts.verdicts.iter();
        let refusals = counts.refusals.iter().map(|refusal| Refusals {
            observed: refusal.observed,
            verdict: refusal.verdict.word(),
            code: refusal.code,
            call: refusal.call.word(),
            count: refusal.count,
        });
        let durations = counts.durations.iter().map(|took| Histogram {
            labels: [("call", took.call.word()), ("phase", took.phase)],
            bounds: &BOUNDS,
            buckets: took.buckets.to_vec(),
            sum: took.sum,
        });
        let failures = self.gate.registry_failures().into_iter();
        let (evaluations, evaluations_limit) = self.gate.evaluations();
        Decisions {
            verdicts: verdicts.map(|of| (of.verdict.word(), of.call.word(), of.count)).collect(),
            observed: decided.observed,
            refusals: refusals.collect(),
            sources: sources(decided, self.recorder.by_source()),
            durations: durations.collect(),
            registry_failures: failures.map(|(cause, many)| (cause.word(), many)).collect(),
            evaluations: count(evaluations),
            evaluations_limit: count(evaluations_limit),
            reevaluations: count(self.gate.rejudged().left),
        }
    }

    fn node_readings(&self) -> metrics::Node {
        let findings = self.recorder.findings();
        let findings = findings.map(|(kind, count)| (kind.word(), count)).to_vec();
        let swept = self.sweeper.progress().report.counts().into_iter();
        let swept = swept.map(|(kind, standing, count)| (kind.word(), standing.word(), count));
        let not_enforcing = self.not_enforcing();
        let nri_connected = self.tripwire.health().connected;
        let StopCounts { stopped, failed, spared } = self.sweeper.stop_counts();
        let stops = vec![("stopped", stopped), ("failed", failed), ("spared", spared)];
        metrics::Node { findings, nri_connected, not_enforcing, swept: swept.collect(), stops }
    }

    fn audit_readings(&self) -> metrics::Audit {
        let status = self.audit_status();
        let checkpoint = status.sealed.zip(status.seal_age_seconds);
        let AuditStatus { healthy, exposed, written, failed, late, waiting, .. } = status;
        let Counters { counted, disturbed, .. } = self.recorder.log().counters();
        metrics::Audit {
            healthy,
            safe: exposed.is_none(),
            written,
            counted,
            failed,
            late,
            disturbed,
            waiting: count(waiting),
            waiting_limit: count(self.settings.audit.queue_records.get()),
            checkpoint,
        }
    }

    fn connection_readings(&self) -> metrics::Connections {
        let ConnectionStatus { open, limit, refused, displaced, most: _ } =
            self.connections.counts().into();
        let (open, limit) = (count(open), count(limit));
        metrics::Connections { open, limit, refused, displaced, kubelet: self.kubelet_called() }
    }

    /// When a kubelet called last by the node's clock, in seconds since 1970; 0 for not since the
    /// start.
    fn kubelet_called(&self) -> f64 {
        let Some(called) = self.connections.kubelet_called() else { return 0.0 };
        let ago = CLOCK.steady().saturating_duration_since(called);
        seconds(now()) - ago.as_secs_f64()
    }

    fn evidence_readings(&self) -> metrics::Evidence {
        let EvidenceStatus { healthy, entries, bytes, broken, failed_writes, refreshes, .. } =
            self.evidence_status();
        let RefreshStatus { confirmed, withdrawn, unanswered, .. } = refreshes;
        metrics::Evidence {
            healthy,
            entries,
            bytes,
            failed_writes,
            broken,
            confirmed,
            withdrawn,
            unanswered,
        }
    }
}

fn seconds(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}

fn count(many: usize) -> u64 {
    u64::try_from(many).unwrap_or(u64::MAX)
}

/// Decisions by where their evidence came from.
fn sources(decided: Decided, by_source: BySource) -> Sources {
    let all = decided.total();
    let BySource { memory, evidence, registry } = by_source;
    Sources { memory, evidence, registry, none: all.saturating_sub(memory + evidence + registry) }
}
