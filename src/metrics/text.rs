//! [`Readings`]: what there is to read, and how it is written down.

use std::collections::BTreeMap;

use super::exposition::{count_of, family};
use super::lists::DenyList;
use super::node::Node;

/// Decisions since the start, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Decisions {
    /// Let through with proof.
    pub admitted: u64,
    /// Let through although a policy that only warns is not satisfied.
    pub warned: u64,
    /// Let through although no policy matches.
    pub unmatched: u64,
    /// Let through by policies that accept anything.
    pub unverified: u64,
    /// Let through by an exception.
    pub excepted: u64,
    /// Let through although no registry could be asked.
    pub unchecked: u64,
    /// Refused by the policy.
    pub refused: u64,
    /// Not decided, since something could not be used.
    pub unable: u64,
    /// Not decided, since something did not answer.
    pub unreachable: u64,
    /// Let through in observe mode, although it would have been one of these three.
    pub observed: u64,
}

/// The audit log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Audit {
    /// Whether the last record could be written, and none is overdue.
    pub healthy: bool,
    /// Whether nobody else could write it.
    pub safe: bool,
    /// Records that could not be written since the start.
    pub failed: u64,
    /// Records that the disk did not take in time since the start.
    pub late: u64,
    /// Records that wait for the disk.
    pub waiting: u64,
}

/// Decisions since the start, by where the evidence came from that was decided on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sources {
    /// From memory.
    pub memory: u64,
    /// From disk.
    pub evidence: u64,
    /// From a registry, for the decision.
    pub registry: u64,
    /// None was needed, or none was come to.
    pub none: u64,
}

/// The evidence on disk, and how it is kept fresh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Whether it is open and the last touch of it went well.
    pub healthy: bool,
    /// Entries.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Writes that failed since the start.
    pub failed_writes: u64,
    /// Files found broken since the start.
    pub broken: u64,
    /// Refreshes since the start: the registry still shows what admits the image.
    pub confirmed: u64,
    /// It no longer does.
    pub withdrawn: u64,
    /// It could not say.
    pub unanswered: u64,
}

/// The connections of clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connections {
    /// Open now.
    pub open: u64,
    /// The most that may be open.
    pub limit: u64,
    /// Closed unanswered since the start.
    pub refused: u64,
    /// Closed while idle since the start, for others that came.
    pub displaced: u64,
}

/// Everything that is read, at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Readings {
    /// When each kind of authority or log of a trust root ends: the root's name, the kind's fixed
    /// word, seconds since 1970, infinity for never.
    pub trust: Vec<(String, &'static str, f64)>,
    /// When keys of policies end: the policy's word for it, seconds since 1970.
    pub keys: Vec<(String, f64)>,
    /// Whether the last reload of the policy was not taken.
    pub reload_failed: bool,
    /// Whether the gate is in observe mode.
    pub observes: bool,
    /// The audit log.
    pub audit: Audit,
    /// Decisions since the start.
    pub decisions: Decisions,
    /// The same by the source of the evidence.
    pub sources: Sources,
    /// The evidence on disk.
    pub evidence: Evidence,
    /// The connections of clients.
    pub connections: Connections,
    /// The deny lists that are fetched.
    pub lists: Vec<DenyList>,
    /// What was seen beside decisions.
    pub node: Node,
}

impl Readings {
    /// The text format of Prometheus, version 0.0.4: HELP, TYPE and samples of each metric
    /// together.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let trust = self
            .trust
            .iter()
            .map(|(root, kind, end)| (vec![("root", root.as_str()), ("kind", *kind)], *end));
        let help = "When the last of this kind in a trust root ends, in seconds since 1970.";
        family(&mut text, "sealgate_trust_expiry_timestamp_seconds", "gauge", help, trust);
        // One key may have several windows, one authority several lists, and a series has one
        // value: the first end.
        let mut ends: BTreeMap<&str, f64> = BTreeMap::new();
        for (key, end) in &self.keys {
            ends.entry(key).and_modify(|first| *first = first.min(*end)).or_insert(*end);
        }
        let keys = ends.into_iter().map(|(key, end)| (vec![("key", key)], end));
        let help =
            "When a key, certificate or revocation list of a policy ends, in seconds since 1970.";
        family(&mut text, "sealgate_key_expiry_timestamp_seconds", "gauge", help, keys);
        let one = |value: bool| [(Vec::new(), f64::from(u8::from(value)))].into_iter();
        let help = "1 when the newest policy files were not taken and older ones are in force.";
        family(&mut text, "sealgate_policy_reload_failed", "gauge", help, one(self.reload_failed));
        let help = "1 when the gate is in observe mode and refuses nothing for what policies or settings say.";
        family(&mut text, "sealgate_observe_mode", "gauge", help, one(self.observes));
        self.audit.write(&mut text);
        let Decisions { admitted, warned, unmatched, unverified, excepted, .. } = self.decisions;
        let Decisions { unchecked, refused, unable, unreachable, observed, .. } = self.decisions;
        let let_through = [
            ("admitted", admitted),
            ("warned", warned),
            ("unmatched", unmatched),
            ("unverified", unverified),
            ("excepted", excepted),
            ("unchecked", unchecked),
        ];
        let not = [("refused", refused), ("unable", unable), ("unreachable", unreachable)];
        let verdicts = let_through.into_iter().chain(not);
        let help = "Decisions since the start.";
        let counts = verdicts.map(|(verdict, count)| (vec![("verdict", verdict)], count_of(count)));
        family(&mut text, "sealgate_decisions_total", "counter", help, counts);
        let help =
            "Calls let through in observe mode since the start that would have been refused.";
        let observed = [(Vec::new(), count_of(observed))].into_iter();
        family(&mut text, "sealgate_observed_total", "counter", help, observed);
        self.sources.write(&mut text);
        self.evidence.write(&mut text);
        self.connections.write(&mut text);
        DenyList::write(&self.lists, &mut text);
        self.node.write(&mut text);
        text
    }
}

impl Audit {
    fn write(&self, text: &mut String) {
        let mut one = |name: &str, kind: &str, help: &str, count: u64| {
            family(text, name, kind, help, [(Vec::new(), count_of(count))].into_iter());
        };
        let help = "1 when the last record of the audit log could be written and none is overdue.";
        one("sealgate_audit_healthy", "gauge", help, u64::from(self.healthy));
        let help = "1 when nobody but root could write the audit log.";
        one("sealgate_audit_safe", "gauge", help, u64::from(self.safe));
        let help = "Records that could not be written since the start.";
        one("sealgate_audit_failed_records_total", "counter", help, self.failed);
        let help = "Records that the disk did not take in time since the start; they are written \
            when it does.";
        one("sealgate_audit_late_records_total", "counter", help, self.late);
        one(
            "sealgate_audit_waiting_records",
            "gauge",
            "Records that wait for the disk.",
            self.waiting,
        );
    }
}

impl Sources {
    fn write(&self, text: &mut String) {
        let Self { memory, evidence, registry, none } = *self;
        let sources =
            [("memory", memory), ("evidence", evidence), ("registry", registry), ("none", none)];
        let help = "Decisions since the start, by where the evidence came from.";
        let counts =
            sources.into_iter().map(|(source, count)| (vec![("source", source)], count_of(count)));
        family(text, "sealgate_decisions_by_source_total", "counter", help, counts);
    }
}

impl Evidence {
    fn write(&self, text: &mut String) {
        let mut one = |name: &str, kind: &str, help: &str, count: u64| {
            family(text, name, kind, help, [(Vec::new(), count_of(count))].into_iter());
        };
        let help = "1 when the evidence store is open and the last touch of it went well.";
        one("sealgate_evidence_healthy", "gauge", help, u64::from(self.healthy));
        one("sealgate_evidence_entries", "gauge", "Entries of the evidence store.", self.entries);
        one(
            "sealgate_evidence_bytes",
            "gauge",
            "Bytes of all files of the evidence store.",
            self.bytes,
        );
        let help = "Evidence that could not be written since the start.";
        one("sealgate_evidence_failed_writes_total", "counter", help, self.failed_writes);
        let help = "Files of the evidence store that were found broken since the start.";
        one("sealgate_evidence_broken_total", "counter", help, self.broken);
        let outcomes = [
            ("confirmed", self.confirmed),
            ("withdrawn", self.withdrawn),
            ("unanswered", self.unanswered),
        ];
        let help = "Registries asked again since the start, by what came of it.";
        let counts = outcomes
            .into_iter()
            .map(|(outcome, count)| (vec![("outcome", outcome)], count_of(count)));
        family(text, "sealgate_evidence_refreshes_total", "counter", help, counts);
    }
}

impl Connections {
    fn write(&self, text: &mut String) {
        let mut one = |name: &str, kind: &str, help: &str, count: u64| {
            family(text, name, kind, help, [(Vec::new(), count_of(count))].into_iter());
        };
        one("sealgate_connections", "gauge", "Connections of clients that are open.", self.open);
        let help = "The most connections of clients that may be open.";
        one("sealgate_connections_limit", "gauge", help, self.limit);
        let help = "Connections that were closed unanswered since the start.";
        one("sealgate_connections_refused_total", "counter", help, self.refused);
        let help = "Idle connections that were closed since the start for others that came.";
        one("sealgate_connections_displaced_total", "counter", help, self.displaced);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: &str = "\
# HELP sealgate_trust_expiry_timestamp_seconds When the last of this kind in a trust root ends, in \
seconds since 1970.
# TYPE sealgate_trust_expiry_timestamp_seconds gauge
sealgate_trust_expiry_timestamp_seconds{root=\"public-good\",kind=\"log\"} +Inf
sealgate_trust_expiry_timestamp_seconds{root=\"acme\",kind=\"ct-log\"} 1900000000
# HELP sealgate_policy_reload_failed 1 when the newest policy files were not taken and older ones \
are in force.
# TYPE sealgate_policy_reload_failed gauge
sealgate_policy_reload_failed 0
# HELP sealgate_observe_mode 1 when the gate is in observe mode and refuses nothing for what \
policies or settings say.
# TYPE sealgate_observe_mode gauge
sealgate_observe_mode 1
# HELP sealgate_audit_healthy 1 when the last record of the audit log could be written and none is \
overdue.
# TYPE sealgate_audit_healthy gauge
sealgate_audit_healthy 1
# HELP sealgate_audit_safe 1 when nobody but root could write the audit log.
# TYPE sealgate_audit_safe gauge
sealgate_audit_safe 1
# HELP sealgate_audit_failed_records_total Records that could not be written since the start.
# TYPE sealgate_audit_failed_records_total counter
sealgate_audit_failed_records_total 2
# HELP sealgate_audit_late_records_total Records that the disk did not take in time since the \
start; they are written when it does.
# TYPE sealgate_audit_late_records_total counter
sealgate_audit_late_records_total 4
# HELP sealgate_audit_waiting_records Records that wait for the disk.
# TYPE sealgate_audit_waiting_records gauge
sealgate_audit_waiting_records 3
# HELP sealgate_decisions_total Decisions since the start.
# TYPE sealgate_decisions_total counter
sealgate_decisions_total{verdict=\"admitted\"} 5000000000
sealgate_decisions_total{verdict=\"warned\"} 8
sealgate_decisions_total{verdict=\"unmatched\"} 0
sealgate_decisions_total{verdict=\"unverified\"} 9
sealgate_decisions_total{verdict=\"excepted\"} 6
sealgate_decisions_total{verdict=\"unchecked\"} 5
sealgate_decisions_total{verdict=\"refused\"} 2
sealgate_decisions_total{verdict=\"unable\"} 0
sealgate_decisions_total{verdict=\"unreachable\"} 1
# HELP sealgate_observed_total Calls let through in observe mode since the start that would have \
been refused.
# TYPE sealgate_observed_total counter
sealgate_observed_total 3
# HELP sealgate_decisions_by_source_total Decisions since the start, by where the evidence came \
from.
# TYPE sealgate_decisions_by_source_total counter
sealgate_decisions_by_source_total{source=\"memory\"} 7
sealgate_decisions_by_source_total{source=\"evidence\"} 6
sealgate_decisions_by_source_total{source=\"registry\"} 5
sealgate_decisions_by_source_total{source=\"none\"} 4
# HELP sealgate_evidence_healthy 1 when the evidence store is open and the last touch of it went \
well.
# TYPE sealgate_evidence_healthy gauge
sealgate_evidence_healthy 1
# HELP sealgate_evidence_entries Entries of the evidence store.
# TYPE sealgate_evidence_entries gauge
sealgate_evidence_entries 12
# HELP sealgate_evidence_bytes Bytes of all files of the evidence store.
# TYPE sealgate_evidence_bytes gauge
sealgate_evidence_bytes 34567
# HELP sealgate_evidence_failed_writes_total Evidence that could not be written since the start.
# TYPE sealgate_evidence_failed_writes_total counter
sealgate_evidence_failed_writes_total 1
# HELP sealgate_evidence_broken_total Files of the evidence store that were found broken since the \
start.
# TYPE sealgate_evidence_broken_total counter
sealgate_evidence_broken_total 2
# HELP sealgate_evidence_refreshes_total Registries asked again since the start, by what came of it.
# TYPE sealgate_evidence_refreshes_total counter
sealgate_evidence_refreshes_total{outcome=\"confirmed\"} 3
sealgate_evidence_refreshes_total{outcome=\"withdrawn\"} 0
sealgate_evidence_refreshes_total{outcome=\"unanswered\"} 4
# HELP sealgate_connections Connections of clients that are open.
# TYPE sealgate_connections gauge
sealgate_connections 3
# HELP sealgate_connections_limit The most connections of clients that may be open.
# TYPE sealgate_connections_limit gauge
sealgate_connections_limit 64
# HELP sealgate_connections_refused_total Connections that were closed unanswered since the start.
# TYPE sealgate_connections_refused_total counter
sealgate_connections_refused_total 2
# HELP sealgate_connections_displaced_total Idle connections that were closed since the start for \
others that came.
# TYPE sealgate_connections_displaced_total counter
sealgate_connections_displaced_total 1
# HELP sealgate_nri_connected Whether the container runtime asks the gate before it makes a container \
(NRI).
# TYPE sealgate_nri_connected gauge
sealgate_nri_connected 0
# HELP sealgate_enforcing 1 when the gate's probe of itself shows that it enforces, and nothing speaks \
against it.
# TYPE sealgate_enforcing gauge
sealgate_enforcing 0
";

    #[test]
    fn the_text_is_prometheus() {
        let readings = Readings {
            trust: vec![
                ("public-good".to_owned(), "log", f64::INFINITY),
                ("acme".to_owned(), "ct-log", 1_900_000_000.0),
            ],
            keys: Vec::new(),
            reload_failed: false,
            observes: true,
            audit: Audit { healthy: true, safe: true, failed: 2, late: 4, waiting: 3 },
            decisions: Decisions {
                admitted: 5_000_000_000,
                warned: 8,
                unmatched: 0,
                unverified: 9,
                excepted: 6,
                unchecked: 5,
                refused: 2,
                unable: 0,
                unreachable: 1,
                observed: 3,
            },
            sources: Sources { memory: 7, evidence: 6, registry: 5, none: 4 },
            evidence: Evidence {
                healthy: true,
                entries: 12,
                bytes: 34_567,
                failed_writes: 1,
                broken: 2,
                confirmed: 3,
                withdrawn: 0,
                unanswered: 4,
            },
            connections: Connections { open: 3, limit: 64, refused: 2, displaced: 1 },
            lists: Vec::new(),
            node: Node::default(),
        };
        assert_eq!(readings.to_text(), EXPECTED);
    }

    #[test]
    fn attack_e3_a_label_cannot_begin_a_line() {
        let keys = vec![("a\"\n\\b\x1b[2J\nsealgate_audit_healthy 0".to_owned(), 1.0)];
        let text = Readings { keys, ..Readings::default() }.to_text();
        assert_eq!(
            text.lines().filter(|line| line.starts_with("sealgate_audit_healthy")).count(),
            1
        );
        assert!(
            text.contains("{key=\"a\\\"\\n\\\\b[2J\\nsealgate_audit_healthy 0\"} 1\n"),
            "{text}"
        );
    }

    /// A series stands once: a monitor may refuse the whole answer otherwise, and then nothing
    /// warns of what ends.
    #[test]
    fn a_key_with_two_windows_is_one_series() {
        let keys = vec![
            ("key a.pub of policy x".to_owned(), 20.0),
            ("key a.pub of policy x".to_owned(), 10.0),
        ];
        let text = Readings { keys, ..Readings::default() }.to_text();
        let samples: Vec<&str> =
            text.lines().filter(|line| line.starts_with("sealgate_key_expiry")).collect();
        assert_eq!(
            samples,
            ["sealgate_key_expiry_timestamp_seconds{key=\"key a.pub of policy x\"} 10"]
        );
    }
}
