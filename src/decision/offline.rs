//! [`judge_offline`]: what the evidence on this node comes to with no network.
//!
//! Re-evaluation after a change of policy and `sealgate evidence verify` ask the same here. Reading
//! the evidence is theirs, and so is what they make of a verdict that rests on old evidence.

use std::sync::Arc;

use jiff::Timestamp;

use super::evidence_set::EvidenceSet;
use super::freshness::{FreshnessTerms, Staleness};
use super::question::Question;
use crate::evidence::Evidence;
use crate::policy::Verdict;
use crate::verify::VerificationCache;

/// A verdict by evidence of this node alone.
pub(crate) struct OfflineVerdict {
    pub(crate) verdict: Verdict,
    /// What it rests on, or all that was looked at in vain.
    pub(crate) evidence: EvidenceSet,
}

/// The verdict of what counts: of fresh evidence, or else of what is less fresh together with it,
/// as far as `worst`. None where there is nothing that is so fresh.
pub(crate) fn judge_offline(
    question: &Question,
    kept: &EvidenceSet,
    (worst, terms): (Staleness, &FreshnessTerms),
    proofs: &VerificationCache,
) -> Option<OfflineVerdict> {
    let mut last = None;
    for evidence in kept.in_turns(worst, terms) {
        let judged = OfflineVerdict::of(question, evidence, terms.now, proofs);
        let permits = matches!(judged.verdict, Verdict::Permit(_));
        last = Some(judged);
        if permits {
            break;
        }
    }
    last
}

impl OfflineVerdict {
    /// The verdict without any evidence.
    pub(crate) fn of_nothing(
        question: &Question,
        now: Timestamp,
        proofs: &VerificationCache,
    ) -> Self {
        Self::of(question, EvidenceSet::default(), now, proofs)
    }

    fn of(
        question: &Question,
        evidence: EvidenceSet,
        now: Timestamp,
        proofs: &VerificationCache,
    ) -> Self {
        let held = evidence.evidence();
        let held: Vec<&Evidence> = held.iter().map(Arc::as_ref).collect();
        Self { verdict: question.judge(&held, now, proofs), evidence }
    }
}
