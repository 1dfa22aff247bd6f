//! Judging again after a change of policy or keys: every remembered admission, the newest use
//! first, aside and without the network, so that pods that start meanwhile or afterwards find their
//! verdict in memory.
//!
//! What is not judged again is judged when it is asked for. Nothing here refuses anything: an image
//! that the new documents do not admit by the evidence at hand is left out, and said.

use std::sync::Arc;

use super::decider::Decider;
use super::reevaluation_queue::{Again, Reevaluated};
use crate::decision::cache::CachedPermit;
use crate::decision::evaluate::Evaluator;
use crate::decision::evidence_set::EvidenceSet;
use crate::decision::freshness::{FreshnessTerms, Staleness};
use crate::decision::offline::{OfflineVerdict, judge_offline};
use crate::decision::question::Question;
use crate::decision::time::Moment;
use crate::policy::{Permit, PolicySet, Verdict};
use crate::sources::Sizes;

/// Images named in the journal that the new documents do not admit; of more the number is said.
const NAMED_MAX: usize = 20;

impl Decider {
    /// Has every remembered admission judged again by these documents, aside. What an earlier
    /// change has not come to yet is judged by these too.
    pub(super) fn reevaluate_aside(self: &Arc<Self>, set: &Arc<PolicySet>) {
        let remembered = self.take_admissions();
        if !self.reevaluation.begin(set, remembered, self.memory.verdicts().get()) {
            return;
        }
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(Arc::clone(self).reevaluate_all())),
            // Nobody to do it aside.
            Err(_) => self.reevaluation.give_up(),
        }
    }

    /// All admissions, the most recently used first; none stays, since none can be found under
    /// other documents.
    fn take_admissions(&self) -> Vec<Arc<CachedPermit>> {
        let mut permits = self.verdicts.permits();
        let admissions = permits.values().map(Arc::clone).collect();
        permits.clear();
        admissions
    }

    async fn reevaluate_all(self: Arc<Self>) {
        let mut left_out = Vec::new();
        while let Some((set, chunk)) = self.reevaluation.next() {
            let decider = Arc::clone(&self);
            let moment = self.evaluator.time.moment();
            let judged =
                tokio::task::spawn_blocking(move || decider.reevaluate_chunk(&set, &chunk, moment))
                    .await;
            left_out.extend(
                judged.into_iter().flatten().take(NAMED_MAX.saturating_sub(left_out.len())),
            );
            tokio::task::yield_now().await;
        }
        let Reevaluated { admitted, left_out: without, millis, .. } = self.reevaluation.progress();
        for why in left_out {
            tracing::warn!("after the change of policy: {why}");
        }
        if admitted + without > 0 {
            tracing::info!(
                admitted,
                left_out = without,
                millis,
                "remembered images were judged again"
            );
        }
    }

    /// Judges a few; the reasons of those that are left out.
    fn reevaluate_chunk(
        &self,
        set: &Arc<PolicySet>,
        chunk: &[Arc<CachedPermit>],
        moment: Moment,
    ) -> Vec<String> {
        let began = self.evaluator.time.steady();
        let again: Vec<Again> =
            chunk.iter().map(|admission| self.reevaluate(set, admission, moment)).collect();
        let took = self.evaluator.time.steady().saturating_duration_since(began);
        self.reevaluation.count(set, chunk, (again, took))
    }

    fn reevaluate(&self, set: &Arc<PolicySet>, admission: &CachedPermit, moment: Moment) -> Again {
        let subject = admission.permit().subject().clone();
        let question = Question::offline(set, subject, admission.pod());
        let key = question.key();
        // Under documents that look at other labels of images than those before them nobody would find
        // it: it is judged when it is used.
        if question.lacks_labels() || self.verdicts.permits().contains(&key) {
            return Again::Known;
        }
        let terms = self.evaluator.terms_at(&question, moment.now);
        match self.judge_on_node(&question, &terms) {
            Ok((permit, pieces)) => {
                let at = (terms, self.evaluator.time.since_began(moment.steady));
                let again = Arc::new(CachedPermit::new(permit, &question, pieces.provenance(), at));
                if admission.is_recorded() {
                    again.set_recorded();
                }
                self.remember(&key, &again, moment);
                // Whoever is used meanwhile is newer, and those judged before it were.
                self.verdicts.permits().demote(&key);
                Again::Admitted
            }
            Err(why) => Again::LeftOut(why),
        }
    }

    /// The permit by the evidence of this node that counts by itself, or why there is none.
    pub(super) fn judge_on_node(
        &self,
        question: &Question,
        terms: &FreshnessTerms,
    ) -> Result<(Permit, EvidenceSet), String> {
        let Evaluator { sources, proofs, .. } = self.evaluator.as_ref();
        let repositories = question.repositories();
        if repositories.is_empty() {
            return permitted(OfflineVerdict::of_nothing(question, terms.now, proofs));
        }
        let judge = |kept: &EvidenceSet| {
            let judged = judge_offline(question, kept, (Staleness::Stale, terms), proofs);
            judged.map_or_else(
                || {
                    Err(format!(
                        "{}: no evidence on this node counts by itself",
                        question.subject.name
                    ))
                },
                permitted,
            )
        };
        let query = question.query(&repositories);
        let mut kept = sources.memory.pieces(&query).into_iter().collect::<EvidenceSet>();
        judge(&kept).or_else(|why| {
            // What is huge waits for its turn, when the image is used.
            let stored = sources.store.take_blocking(query.clone(), Sizes::Usual);
            if kept.add(stored.pieces) { judge(&kept) } else { Err(why) }
        })
    }
}

fn permitted(judged: OfflineVerdict) -> Result<(Permit, EvidenceSet), String> {
    match judged.verdict {
        Verdict::Permit(permit) => Ok((permit, judged.evidence)),
        Verdict::Denial(denial) => Err(denial.to_string()),
    }
}
