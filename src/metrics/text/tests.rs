//! The whole text, as a monitor reads it.

use super::*;
use crate::metrics::{Histogram, Refusals, Sources};

/// What `promtool check metrics` is content with.
const EXPECTED: &str = include_str!("expected.prom");

fn decisions() -> Decisions {
    let count = |verdict, call, count| (verdict, call, count);
    let refusals = |observed, count| Refusals {
        observed,
        verdict: "refused",
        code: "unsigned",
        call: "PullImage",
        count,
    };
    Decisions {
        verdicts: vec![
            count("admitted", "PullImage", 5_000_000_000),
            count("refused", "CreateContainer", 0),
        ],
        observed: 3,
        refusals: vec![refusals(false, 2), refusals(true, 3)],
        sources: Sources { memory: 7, evidence: 6, registry: 5, none: 4 },
        durations: vec![Histogram {
            labels: [("call", "PullImage"), ("phase", "total")],
            bounds: &[250, 1_000_000],
            buckets: vec![1, 2, 0],
            sum: 1_500_000,
        }],
        registry_failures: vec![("timeout", 1)],
        evaluations: 2,
        evaluations_limit: 8192,
        reevaluations: 9,
    }
}

#[test]
fn the_text_is_prometheus() {
    let readings = Readings {
        version: "0.1.0",
        policy: Policy {
            trust: vec![
                ("public-good".to_owned(), "log", f64::INFINITY),
                ("acme".to_owned(), "ct-log", 1_900_000_000.0),
            ],
            observes: true,
            taken: 1_800_000_000.0,
            generation: "0123".to_owned(),
            trust_generation: "abcd".to_owned(),
            exceptions: vec![("in-force", 2), ("ended", 0)],
            exception_ends: f64::INFINITY,
            ..Policy::default()
        },
        audit: Audit {
            healthy: true,
            safe: true,
            written: 8,
            counted: 5,
            failed: 2,
            late: 4,
            disturbed: 1,
            waiting: 3,
            waiting_limit: 1024,
            checkpoint: Some((40, 6)),
        },
        decisions: decisions(),
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
        connections: Connections {
            open: 3,
            limit: 64,
            refused: 2,
            displaced: 1,
            kubelet: 1_800_000_000.5,
        },
        lists: Vec::new(),
        node: Node::default(),
    };
    assert_eq!(readings.to_text(), EXPECTED);
}
