//! What is admitted although its registry could not be reached (`onUnreachable: insecureAdmit`).
//!
//! The judge alone never admits it: [`PolicySet::judge`] denies. The evaluator, once it has
//! looked at the evidence on the node and asked the registry, asks
//! [`PolicySet::judge_unreachable`] last. What
//! comes of it is a permit that ends at once, and is evidence of nothing.

use crate::policy::document::action::Action;
use crate::policy::evaluate::case::Case;
use crate::policy::evaluate::context::EvaluationContext;
use crate::policy::evaluate::permit::{Class, Permit, Verdict};
use crate::policy::evaluate::policy_result::PolicyResult;
use crate::policy::evaluate::report::{Report, Unchecked};
use crate::policy::requirement::Leaf;
use crate::policy::set::applicable::Applicable;
use crate::policy::set::{PolicySet, Rule};

impl PolicySet {
    /// The same verdict as [`judge`](Self::judge), or a permit where nothing stands between but
    /// that a place could not be reached, and every document that is not met lets the image through
    /// then. It holds for the call that asks, and ends as soon as it is made.
    ///
    /// To be asked last: when no evidence on the node admits the image, and the registry was asked
    /// and did not answer. The evidence of the case is to be all there is.
    pub fn judge_unreachable(&self, case: &Case<'_>) -> Verdict {
        let denial = match self.judge(case) {
            Verdict::Denial(denial)
                if denial.class == Class::Unreachable && denial.is_admitted_unchecked() =>
            {
                denial
            }
            verdict @ (Verdict::Permit(_) | Verdict::Denial(_)) => return verdict,
        };
        // An exception that counted would have admitted it: this one has ended, and somebody knew
        // then that the image has no proof.
        if !case.applicable.exceptions().is_empty() {
            return Verdict::Denial(denial);
        }
        let refusal = denial.to_string();
        let unchecked = Unchecked { policies: denial.unreachable_for, refusal };
        let report = Report { unchecked: Some(unchecked), ..denial.report };
        let (subject, pinned) = (case.subject.clone(), case.subject.target.clone());
        Verdict::Permit(Permit::new(subject, pinned, report, Some(case.now)))
    }

    /// Whether any of the documents that matched admits what it cannot check.
    #[must_use]
    pub fn admits_unreachable(&self, applicable: &Applicable) -> bool {
        self.matched(applicable).any(|rule| admits(rule, applicable))
    }
}

/// The names of the documents that are not met, where all of them admit what they cannot check and
/// nothing is known against the image; none otherwise.
pub(super) fn admitting(
    rules: &[&Rule],
    results: &[PolicyResult],
    applicable: &Applicable,
    context: &EvaluationContext<'_>,
) -> Vec<String> {
    let mut names = Vec::new();
    for (rule, result) in rules.iter().zip(results) {
        // What only warns refuses nothing. What accepts anything may still deny digests of its own.
        if rule.document.action == Action::Warn {
            continue;
        }
        match &result.outcome {
            Ok(_) => {}
            Err(failure)
                if failure.class == Class::Unreachable
                    && result.is_clean
                    && admits(rule, applicable) =>
            {
                names.push(rule.document.name.clone());
            }
            Err(_) => return Vec::new(),
        }
    }
    if context.is_only_unreachable() { names } else { Vec::new() }
}

/// Whether the document admits what it cannot check. Whether it is about a pod whose namespace is
/// not known is not known, where it names namespaces: what it demands counts, what it lets through
/// does not (attack E8).
fn admits(rule: &Rule, applicable: &Applicable) -> bool {
    let document = &rule.document;
    let is_about = document.namespaces.is_empty() || applicable.is_of_known_namespace();
    let asks = document.require.leaves.iter().any(Leaf::asks_for_signature);
    document.admits_unreachable() && is_about && asks
}
