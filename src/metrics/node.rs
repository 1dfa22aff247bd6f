//! [`Node`]: what was seen on the node beside decisions.

use super::exposition::{count_of, family};

/// What was seen on the node since the start, by fixed words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Findings by kind.
    pub findings: Vec<(&'static str, u64)>,
    /// Whether the runtime asks the gate before it makes a container.
    pub nri_connected: bool,
    /// For each reason that keeps the gate from being known to enforce, whether it is one now.
    pub not_enforcing: Vec<(&'static str, bool)>,
    /// What the last sweep found: of what kind, how it stands, and how many.
    pub swept: Vec<(&'static str, &'static str, u64)>,
    /// What came of what sweeps wanted to stop, and how often.
    pub stops: Vec<(&'static str, u64)>,
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
        let faults =
            || self.not_enforcing.iter().map(|(reason, holds)| (*reason, u8::from(*holds)));
        let enforcing = faults().len() > 0 && faults().all(|(_, holds)| holds == 0);
        let help = "1 when the gate's probe of itself shows that it enforces, and nothing speaks \
            against it.";
        let enforcing = [(Vec::new(), f64::from(u8::from(enforcing)))].into_iter();
        family(text, "sealgate_enforcing", "gauge", help, enforcing);
        let help = "1 for each reason why sealgate_enforcing is 0.";
        let faults = faults().map(|(reason, holds)| (vec![("reason", reason)], f64::from(holds)));
        family(text, "sealgate_not_enforcing", "gauge", help, faults);
        let help =
            "Containers, sandboxes and images on the node at the last sweep, by how they stand.";
        let swept = self.swept.iter().map(|(kind, standing, count)| {
            (vec![("kind", *kind), ("standing", *standing)], count_of(*count))
        });
        family(text, "sealgate_swept", "gauge", help, swept);
        let help = "Containers that sweeps stopped, could not stop, or spared, since the start.";
        let stops = self
            .stops
            .iter()
            .map(|(outcome, count)| (vec![("outcome", *outcome)], count_of(*count)));
        family(text, "sealgate_sweep_stops_total", "counter", help, stops);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_counted_by_kind() {
        let mut text = String::new();
        let findings = vec![("drift", 2), ("sweep", 0)];
        let swept = vec![("image", "admitted", 3)];
        let stops = vec![("stopped", 4)];
        Node { findings, nri_connected: true, swept, stops, ..Node::default() }.write(&mut text);
        assert!(text.contains("sealgate_sweep_stops_total{outcome=\"stopped\"} 4\n"), "{text}");
        assert!(text.contains("# TYPE sealgate_findings_total counter\n"), "{text}");
        assert!(text.contains("sealgate_findings_total{kind=\"drift\"} 2\n"), "{text}");
        assert!(text.contains("\nsealgate_nri_connected 1\n"), "{text}");
        assert!(text.contains("sealgate_findings_total{kind=\"sweep\"} 0\n"), "{text}");
        let swept = "sealgate_swept{kind=\"image\",standing=\"admitted\"} 3\n";
        assert!(text.contains(swept), "{text}");
    }

    #[test]
    fn the_gate_enforces_where_no_reason_speaks_against_it() {
        let text = |not_enforcing: &[(&'static str, bool)]| {
            let mut text = String::new();
            Node { not_enforcing: not_enforcing.to_vec(), ..Node::default() }.write(&mut text);
            text
        };
        let well = text(&[("socket", false), ("judge", false)]);
        assert!(well.contains("\nsealgate_enforcing 1\n"), "{well}");
        assert!(well.contains("sealgate_not_enforcing{reason=\"socket\"} 0\n"), "{well}");
        let ill = text(&[("socket", true), ("judge", false)]);
        assert!(ill.contains("\nsealgate_enforcing 0\n"), "{ill}");
        assert!(ill.contains("sealgate_not_enforcing{reason=\"socket\"} 1\n"), "{ill}");
        // What was not looked at speaks for nothing.
        assert!(text(&[]).contains("\nsealgate_enforcing 0\n"));
    }
}
