//! [`Decisions`]: how many there were, by fixed words, how long they took, and what registries did
//! not give.

use super::exposition::{Histogram, count_of, family, one};

/// Decisions since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decisions {
    /// By verdict and call, without those that were only observed.
    pub verdicts: Vec<(&'static str, &'static str, u64)>,
    /// Calls let through in observe mode, although they would have been refused.
    pub observed: u64,
    /// What was refused, by reason.
    pub refusals: Vec<Refusals>,
    /// By where the evidence came from.
    pub sources: Sources,
    /// How long they took, by call and phase.
    pub durations: Vec<Histogram>,
    /// What hosts of registries did not give, by cause.
    pub registry_failures: Vec<(&'static str, u64)>,
    /// Evaluations that are under way or wait for their turn.
    pub evaluations: u64,
    /// How many may be.
    pub evaluations_limit: u64,
    /// Admissions that are still to be judged again after a change of policies or keys.
    pub reevaluations: u64,
}

/// Calls of one kind that were refused for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusals {
    /// Whether they were let through all the same, in observe mode.
    pub observed: bool,
    /// Refused, unable or unreachable.
    pub verdict: &'static str,
    /// The reason's code.
    pub code: &'static str,
    /// The call.
    pub call: &'static str,
    /// How many.
    pub count: u64,
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

impl Decisions {
    pub(super) fn write(&self, text: &mut String) {
        let counts = self.verdicts.iter();
        let counts = counts.map(|(verdict, call, count)| {
            (vec![("verdict", *verdict), ("call", *call)], count_of(*count))
        });
        let help = "Decisions since the start, by verdict and call.";
        family(text, "sealgate_decisions_total", "counter", help, counts);
        let help = "Calls refused since the start, by verdict, reason code and call.";
        self.write_refusals(text, false, "sealgate_refusals_total", help);
        let help =
            "Calls let through in observe mode since the start that would have been refused.";
        one(text, "sealgate_observed_total", "counter", help, count_of(self.observed));
        let help = "The same by verdict, reason code and call.";
        self.write_refusals(text, true, "sealgate_observed_refusals_total", help);
        self.sources.write(text);
        let help = "How long decisions took since the start, by call and phase.";
        Histogram::write(&self.durations, text, "sealgate_decision_duration_seconds", help);
        let failures = self.registry_failures.iter();
        let failures = failures.map(|(cause, count)| (vec![("cause", *cause)], count_of(*count)));
        let help = "How often a host of a registry did not give what it was asked for, by cause.";
        family(text, "sealgate_registry_failures_total", "counter", help, failures);
        let help = "Evaluations that are under way or wait for their turn.";
        one(text, "sealgate_evaluations", "gauge", help, count_of(self.evaluations));
        let help = "The most evaluations that may be under way or wait.";
        one(text, "sealgate_evaluations_limit", "gauge", help, count_of(self.evaluations_limit));
        let help = "Admissions that are to be judged again after a change of policies or keys.";
        one(text, "sealgate_reevaluations_waiting", "gauge", help, count_of(self.reevaluations));
    }

    fn write_refusals(&self, text: &mut String, observed: bool, name: &str, help: &str) {
        let refusals = self.refusals.iter().filter(|refusals| refusals.observed == observed);
        let refusals = refusals.map(|Refusals { verdict, code, call, count, .. }| {
            (vec![("verdict", *verdict), ("code", *code), ("call", *call)], count_of(*count))
        });
        family(text, name, "counter", help, refusals);
    }
}

impl Sources {
    fn write(self, text: &mut String) {
        let Self { memory, evidence, registry, none } = self;
        let sources =
            [("memory", memory), ("evidence", evidence), ("registry", registry), ("none", none)];
        let help = "Decisions since the start, by where the evidence came from.";
        let counts =
            sources.into_iter().map(|(source, count)| (vec![("source", source)], count_of(count)));
        family(text, "sealgate_decisions_by_source_total", "counter", help, counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_only_observed_is_no_refusal() {
        let refusals = |observed| Refusals {
            observed,
            verdict: "refused",
            code: "unsigned",
            call: "PullImage",
            count: 1 + u64::from(observed),
        };
        let mut text = String::new();
        let refusals = vec![refusals(false), refusals(true)];
        Decisions { refusals, ..Decisions::default() }.write(&mut text);
        let labels = "{verdict=\"refused\",code=\"unsigned\",call=\"PullImage\"}";
        assert!(text.contains(&format!("\nsealgate_refusals_total{labels} 1\n")), "{text}");
        assert!(
            text.contains(&format!("\nsealgate_observed_refusals_total{labels} 2\n")),
            "{text}"
        );
    }
}
