//! [`Case`] and the judge: `judge(subject, documents that matched, evidence)` is a permit or a denial.
//!
//! A pure function: nothing is fetched in it, no clock is read, the same case has the same verdict. Every document
//! that matched must be met; one that only warns is reported and stands in nobody's way.

use crate::evidence::{Evidence, Subject};
use crate::verify::{Budget, Proofs};

use super::context::Bench;
use super::denial_message;
use super::permit::{Class, Denial, Permit, Reason, Verdict};
use super::policy_result::{Failure, Footing, Ruling};
use super::report::{Action, Report, Rest};
use crate::policy::scope::applicable::Applicable;
use crate::policy::set::{PolicySet, Rule, Unmatched};

/// What is judged.
#[derive(Debug, Clone, Copy)]
pub struct Case<'c> {
    /// What is about to run.
    pub subject: &'c Subject,
    /// The documents that matched, from this very set.
    pub applicable: &'c Applicable,
    /// What was gathered, about the target and about the child.
    pub evidence: &'c [&'c Evidence],
    /// When it is judged.
    pub now: jiff::Timestamp,
    /// What was proven before.
    pub proofs: &'c Proofs,
}

/// A verdict on a part of the evidence, and what of it the rest is to be judged with.
#[derive(Debug)]
pub struct Sifted {
    /// The verdict, as if there were no more.
    pub verdict: Verdict,
    /// For each evidence of the case whether each of its items helps: it counts for a requirement for which no other like
    /// it does, or says most about why a requirement is not met. Without the others the verdict is the same, whatever is
    /// added to it.
    pub helps: Vec<Vec<bool>>,
    /// How many signature checks are left.
    pub checks_left: u32,
    /// Whether some signature was not looked at.
    pub is_cut: bool,
}

impl PolicySet {
    /// Judges one case.
    pub fn judge(&self, case: &Case<'_>) -> Verdict {
        self.sift(case, Budget::DEFAULT).verdict
    }

    /// Judges a part of what there is, with so many signature checks, and says what of it has to be kept for the judgement
    /// of the whole.
    pub fn sift(&self, case: &Case<'_>, checks: u32) -> Sifted {
        let mut bench = Bench::new(case, self.plan(case.applicable).asks_for_evidence(), checks);
        let verdict = self.rule_on(case, &mut bench);
        let (checks_left, is_cut) = bench.spent();
        Sifted { verdict, helps: bench.helps(case.evidence), checks_left, is_cut }
    }

    fn rule_on(&self, case: &Case<'_>, bench: &mut Bench<'_>) -> Verdict {
        if !self.made(case.applicable) {
            return deny(Reason::StaleSet, Class::Unable, &case.subject.name.to_string());
        }
        let rules: Vec<&Rule> = self.matched(case.applicable).collect();
        let own = case.subject.name.repository();
        if own.is_some_and(|own| self.has_too_many_repositories(case.applicable, &own)) {
            bench.set_too_many_repositories();
        }
        if case.applicable.is_empty() {
            // What only denies says more than that no policy matches, and never less.
            let denies = |rule: &&Rule| bench.denied(rule).is_some();
            let refuses = |rule: &Rule| rule.document.action == Action::Enforce;
            match self.unmatched {
                Unmatched::Deny if !rules.iter().copied().filter(denies).any(refuses) => {
                    return deny(Reason::NoPolicy, Class::Refused, &case.subject.name.to_string());
                }
                Unmatched::Admit if !rules.iter().any(denies) => {
                    return permit(case.subject, Rest::Target, Report { unmatched: true, documents: vec![] }, None);
                }
                Unmatched::Deny | Unmatched::Admit => {}
            }
        }
        // What enforces is judged first, so that what only warns never uses up its signature checks.
        let mut order: Vec<usize> = (0..rules.len()).collect();
        order.sort_by_key(|n| rules.get(*n).is_some_and(|rule| rule.document.action == Action::Warn));
        let judged = order.into_iter().filter_map(|n| Some((n, Ruling::of(rules.get(n)?, self, bench))));
        let mut rulings: Vec<(usize, Ruling)> = judged.collect();
        rulings.sort_by_key(|(n, _)| *n);
        let rulings = rulings.into_iter().map(|(_, ruling)| ruling).collect();
        conclude(case.subject, &rules, rulings, bench)
    }
}

/// One verdict from what each document says.
fn conclude(subject: &Subject, rules: &[&Rule], rulings: Vec<Ruling>, bench: &Bench<'_>) -> Verdict {
    let mut all = Footing { target: true, child: true };
    let mut worst: Option<(&Rule, Box<Failure>)> = None;
    let mut documents = Vec::new();
    let until = rulings.iter().filter_map(|ruling| ruling.until).min();
    for (rule, ruling) in rules.iter().zip(rulings) {
        match ruling.outcome {
            // What only warns has no say in which of the two is pulled.
            Ok(_) | Err(_) if ruling.report.action == Action::Warn => {}
            Ok(on) => all = Footing { target: all.target && on.target, child: all.child && on.child },
            Err(failure) => {
                let before = worst.as_ref().map(|(_, other)| severity(other.class));
                if before.is_none_or(|before| severity(failure.class) < before) {
                    worst = Some((rule, failure));
                }
            }
        }
        documents.push(ruling.report);
    }
    // Admitted although no document demands anything: by what is said of images that none matches.
    let unmatched = worst.is_none() && rules.iter().all(|rule| rule.document.only_denies);
    let report = Report { unmatched, documents }.bounded();
    // The child alone only where it carries everything: it is what will be judged when it is to run. Where both are
    // needed the target is pulled, which leads to both.
    let rest = if !all.target && all.child { Rest::Child } else { Rest::Target };
    let Some((rule, failure)) = worst else { return permit(subject, rest, report, until) };
    let leaf = failure.leaf.and_then(|number| rule.document.require.leaves.get(number));
    Verdict::Denial(Denial {
        class: failure.class,
        policy: Some(rule.document.name.clone()),
        requirement: leaf.map(|leaf| leaf.name.clone()),
        line: denial_message::refusal(rule, &failure, subject, bench),
        reason: failure.reason,
        report,
    })
}

/// What is certain comes before what is not known: no later answer can change it.
fn severity(class: Class) -> u8 {
    match class {
        Class::Refused => 0,
        Class::Unreachable => 1,
        Class::Unable => 2,
    }
}

fn permit(subject: &Subject, rest: Rest, report: Report, until: Option<jiff::Timestamp>) -> Verdict {
    let pinned = match (rest, &subject.child) {
        (Rest::Child, Some(child)) => child,
        (Rest::Child | Rest::Target, _) => &subject.target,
    };
    Verdict::Permit(Permit::new(subject.clone(), pinned.clone(), report, until))
}

/// A denial that is no document's.
fn deny(reason: Reason, class: Class, name: &str) -> Verdict {
    let line = format!("{name}: {reason}");
    let report = Report { unmatched: true, documents: Vec::new() };
    Verdict::Denial(Denial { reason, class, policy: None, requirement: None, line, report })
}
