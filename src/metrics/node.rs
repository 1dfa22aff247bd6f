//! [`Node`]: what was seen on the node beside decisions.

use super::text::{count_of, family};

/// What was seen on the node since the start, by fixed words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Findings by kind.
    pub findings: Vec<(&'static str, u64)>,
    /// Whether the runtime asks the gate before it makes a container.
    pub nri_connected: bool,
}

impl Node {
    pub(super) fn write(&self, text: &mut String) {
        let help = "Whether the container runtime asks the gate before it makes a container (NRI).";
        let connected = std::iter::once((Vec::new(), count_of(u64::from(self.nri_connected))));
        family(text, "sealgate_nri_connected", "gauge", help, connected);
        let help = "What was seen beside decisions since the start, by kind.";
        let findings =
            self.findings.iter().map(|(kind, count)| (vec![("kind", *kind)], count_of(*count)));
        family(text, "sealgate_findings_total", "counter", help, findings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_counted_by_kind() {
        let mut text = String::new();
        Node { findings: vec![("drift", 2), ("sweep", 0)], nri_connected: true }.write(&mut text);
        assert!(text.contains("# TYPE sealgate_findings_total counter\n"), "{text}");
        assert!(text.contains("sealgate_findings_total{kind=\"drift\"} 2\n"), "{text}");
        assert!(text.contains("\nsealgate_nri_connected 1\n"), "{text}");
        assert!(text.ends_with("sealgate_findings_total{kind=\"sweep\"} 0\n"), "{text}");
    }
}
