//! [`Case`] and the judge: `judge(subject, documents that matched, evidence)` is a permit or a
//! denial.
//!
//! A pure function: nothing is fetched in it, no clock is read, the same case has the same verdict.
//! Every document that matched must be met; one that only warns is reported and stands in nobody's
//! way.

mod unreachable;

use crate::evidence::Subject;
use crate::verify::Budget;

use super::case::Case;
use super::context::EvaluationContext;
use super::denial_message;
use super::permit::{Class, Denial, Permit, Reason, Verdict, Warning};
use super::policy_result::{Basis, Failure, PolicyResult};
use super::report::{Report, SignedObject};
use crate::policy::document::action::Action;
use crate::policy::set::{PolicySet, Rule, Unmatched, exceptions};

/// A verdict on a part of the evidence, and what of it the rest is to be judged with.
#[derive(Debug)]
pub struct Sifted {
    /// The verdict, as if there were no more.
    pub verdict: Verdict,
    /// For each evidence of the case whether each of its items helps: it counts for a requirement
    /// for which no other like it does, or says most about why a requirement is not met. Without
    /// the others the verdict is the same, whatever is added to it.
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

    /// Judges a part of what there is, with so many signature checks, and says what of it has to be
    /// kept for the judgement of the whole.
    pub fn sift(&self, case: &Case<'_>, checks: u32) -> Sifted {
        let mut context =
            EvaluationContext::new(case, self.plan(case.applicable).asks_for_evidence(), checks);
        let verdict = self.rule_on(case, &mut context);
        let verdict = self.excepted(case, &context, verdict);
        let (checks_left, is_cut) = context.spent();
        Sifted { verdict, helps: context.helps(case.evidence), checks_left, is_cut }
    }

    fn rule_on(&self, case: &Case<'_>, context: &mut EvaluationContext<'_>) -> Verdict {
        if !self.made(case.applicable) {
            return deny(Reason::StaleSet, Class::Unable, &case.subject.name.to_string());
        }
        if let Some(denial) = self.struck_off(case.subject) {
            return Verdict::Denial(denial);
        }
        let rules: Vec<&Rule> = self.matched(case.applicable).collect();
        let own = case.subject.name.repository();
        if own.is_some_and(|own| self.has_too_many_repositories(case.applicable, &own)) {
            context.set_too_many_repositories();
        }
        if !case.applicable.demands() {
            // What only denies says more than that no policy matches, and never less.
            let denies = |rule: &&Rule| context.denied(rule).is_some();
            let refuses = |rule: &Rule| rule.document.action == Action::Enforce;
            match self.unmatched {
                Unmatched::Deny if !rules.iter().copied().filter(denies).any(refuses) => {
                    return deny(Reason::NoPolicy, Class::Refused, &case.subject.name.to_string());
                }
                Unmatched::Admit if !rules.iter().any(denies) => {
                    return permit(
                        case.subject,
                        SignedObject::Target,
                        Report::of(true, Vec::new()),
                        None,
                    );
                }
                Unmatched::Deny | Unmatched::Admit => {}
            }
        }
        // What enforces is judged first, so that what only warns never uses up its signature
        // checks.
        let mut order: Vec<usize> = (0..rules.len()).collect();
        order.sort_by_key(|n| {
            rules.get(*n).is_some_and(|rule| rule.document.action == Action::Warn)
        });
        let judged = order
            .into_iter()
            .filter_map(|n| Some((n, PolicyResult::of(rules.get(n)?, self, context))));
        let mut results: Vec<(usize, PolicyResult)> = judged.collect();
        results.sort_by_key(|(n, _)| *n);
        let results: Vec<PolicyResult> = results.into_iter().map(|(_, result)| result).collect();
        let unreachable_for = unreachable::admitting(&rules, &results, case.applicable, context);
        match conclude(case.subject, &rules, results, context) {
            Verdict::Denial(denial) => Verdict::Denial(Denial { unreachable_for, ..denial }),
            permit @ Verdict::Permit(_) => permit,
        }
    }
}

impl PolicySet {
    /// The same verdict, or the permit of an exception that counts now. What is denied stays
    /// denied, and a set that did not say what matched lets nothing through.
    fn excepted(
        &self,
        case: &Case<'_>,
        context: &EvaluationContext<'_>,
        verdict: Verdict,
    ) -> Verdict {
        let denial = match verdict {
            Verdict::Denial(denial) if self.made(case.applicable) => denial,
            Verdict::Permit(_) | Verdict::Denial(_) => return verdict,
        };
        let exceptions = case.applicable.exceptions();
        let Some(exception) = self.exceptions.in_force(exceptions, case.now) else {
            return Verdict::Denial(denial);
        };
        let mut denying = self.matched_of(case.applicable, &self.kinds.denying);
        let is_denied = denying
            .any(|rule| rule.document.action == Action::Enforce && context.denied(rule).is_some());
        if is_denied || self.struck_off(case.subject).is_some() {
            return Verdict::Denial(denial);
        }
        let used = exceptions::used(exception, denial.to_string());
        let documents = denial.report.documents;
        let report = Report { exception: Some(used), ..Report::of(false, documents) };
        permit(case.subject, SignedObject::Target, report, Some(exception.expires))
    }
}

/// One verdict from what each document says.
fn conclude(
    subject: &Subject,
    rules: &[&Rule],
    results: Vec<PolicyResult>,
    context: &EvaluationContext<'_>,
) -> Verdict {
    let mut all = Basis { target: true, child: true };
    let mut worst: Option<(&Rule, Box<Failure>)> = None;
    let (mut documents, mut warned) = (Vec::new(), Vec::new());
    let until = results.iter().filter_map(|result| result.until).min();
    for (rule, result) in rules.iter().zip(results) {
        match result.outcome {
            // What only warns has no say in which of the two is pulled.
            Ok(_) if result.report.action == Action::Warn => {}
            Err(failure) if result.report.action == Action::Warn => warned.push(Warning {
                policy: rule.document.name.clone(),
                message: denial_message::refusal(rule, &failure, subject, context),
                reason: failure.reason,
            }),
            Ok(on) => all = Basis { target: all.target && on.target, child: all.child && on.child },
            Err(failure) => {
                let before = worst.as_ref().map(|(_, other)| severity(other.class));
                if before.is_none_or(|before| severity(failure.class) < before) {
                    worst = Some((rule, failure));
                }
            }
        }
        documents.push(result.report);
    }
    // Admitted although no document demands anything: by what is said of images that none matches.
    let unmatched = worst.is_none() && rules.iter().all(|rule| rule.document.only_denies);
    let report = Report::of(unmatched, documents).bounded();
    // The child alone only where it carries everything: it is what will be judged when it is to
    // run. Where both are needed the target is pulled, which leads to both.
    let object = if !all.target && all.child {
        SignedObject::PlatformManifest
    } else {
        SignedObject::Target
    };
    let Some((rule, failure)) = worst else {
        return match permit(subject, object, report, until) {
            Verdict::Permit(permit) => Verdict::Permit(permit.warned_by(warned)),
            denial @ Verdict::Denial(_) => denial,
        };
    };
    let leaf = failure.leaf.and_then(|number| rule.document.require.leaves.get(number));
    Verdict::Denial(Denial {
        class: failure.class,
        policy: Some(rule.document.name.clone()),
        requirement: leaf.map(|leaf| leaf.name.clone()),
        message: denial_message::refusal(rule, &failure, subject, context),
        reason: failure.reason,
        unreachable_for: Vec::new(),
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

fn permit(
    subject: &Subject,
    object: SignedObject,
    report: Report,
    until: Option<jiff::Timestamp>,
) -> Verdict {
    let pinned = match (object, &subject.child) {
        (SignedObject::PlatformManifest, Some(child)) => child,
        (SignedObject::PlatformManifest | SignedObject::Target, _) => &subject.target,
    };
    Verdict::Permit(Permit::new(subject.clone(), pinned.clone(), report, until))
}

/// A denial that is no document's.
fn deny(reason: Reason, class: Class, name: &str) -> Verdict {
    let message = format!("{name}: {reason}");
    let report = Report::of(true, Vec::new());
    Verdict::Denial(Denial {
        reason,
        class,
        policy: None,
        requirement: None,
        message,
        unreachable_for: Vec::new(),
        report,
    })
}
