//! [`Readings`]: what there is to read, and how it is written down.

use super::audit::Audit;
use super::decisions::Decisions;
use super::exposition::{count_of, family};
use super::lists::DenyList;
use super::node::Node;
use super::policy::Policy;

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
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Connections {
    /// Open now.
    pub open: u64,
    /// The most that may be open.
    pub limit: u64,
    /// Closed unanswered since the start.
    pub refused: u64,
    /// Closed while idle since the start, for others that came.
    pub displaced: u64,
    /// When a kubelet called last, in seconds since 1970; 0 for not since the start.
    pub kubelet: f64,
}

/// Everything that is read, at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Readings {
    /// The version of the program.
    pub version: &'static str,
    /// The policies, keys and trust roots in force.
    pub policy: Policy,
    /// The audit log.
    pub audit: Audit,
    /// Decisions since the start.
    pub decisions: Decisions,
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
        let version = std::iter::once((vec![("version", self.version)], 1.0));
        family(&mut text, "sealgate_build_info", "gauge", "The version of the gate.", version);
        self.policy.write(&mut text);
        self.audit.write(&mut text);
        self.decisions.write(&mut text);
        self.evidence.write(&mut text);
        self.connections.write(&mut text);
        DenyList::write(&self.lists, &mut text);
        self.node.write(&mut text);
        text
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
        let help = "When a kubelet last called, in seconds since 1970; 0 for not since the start.";
        let kubelet = std::iter::once((Vec::new(), self.kubelet));
        let name = "sealgate_kubelet_last_call_timestamp_seconds";
        family(text, name, "gauge", help, kubelet);
    }
}

#[cfg(test)]
mod tests;
