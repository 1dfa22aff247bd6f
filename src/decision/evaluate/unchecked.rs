//! Judging what could not be checked: the last question, when no evidence on this node admits an
//! image and its registry was asked and did not answer.
//!
//! What comes of it is kept nowhere: it is no evidence, and its permit ends at once.

use std::sync::Arc;

use super::evaluator::Evaluator;
use crate::decision::evidence_set::EvidenceSet;
use crate::decision::freshness::{FreshnessTerms, Staleness};
use crate::decision::question::Question;
use crate::evidence::Evidence;
use crate::policy::Permit;
use crate::sources::{EvidenceQuery, Sizes};

impl Evaluator {
    /// The permit of documents that admit what no registry could be asked about
    /// (`onUnreachable: insecureAdmit`); none where one of them does not, or where anything is known
    /// against the image. `kept` is what was had of this node, `sizes` how large that may be, and
    /// `asked` what the registry showed before it fell silent.
    pub(super) async fn judge_unchecked(
        self: &Arc<Self>,
        question: &Arc<Question>,
        (query, sizes): (EvidenceQuery, Sizes),
        (mut kept, asked): (EvidenceSet, &EvidenceSet),
        terms: &FreshnessTerms,
    ) -> Option<Permit> {
        if !question.set.admits_unreachable(&question.applicable) {
            return None;
        }
        // A disk that cannot be read may hold what admits the image, or what speaks against it. That
        // it could not be read before is forgotten as soon as it can, so it is read again.
        let store = &self.sources.store;
        if !store.is_readable() {
            return None;
        }
        let taken = store.try_take(query, sizes).await.filter(|taken| !taken.left_out)?;
        kept.add(taken.pieces);
        // A folder that is gone reads as an empty one.
        store.look_after().await;
        if !store.is_readable() {
            return None;
        }
        let together = |kept: EvidenceSet| -> Vec<Arc<Evidence>> {
            kept.evidence().into_iter().chain(asked.evidence()).collect()
        };
        let usable = kept.at_most(Staleness::Doubtful, terms);
        let is_old = usable.all().len() < kept.all().len();
        let permit = self.judge_unchecked_by(question, together(usable)).await?;
        // What is proven is kept before it admits, and that is done elsewhere.
        permit.report().unchecked.as_ref()?;
        // What is too old to admit the image is not too old to speak against it.
        if is_old {
            let by_all = self.judge_unchecked_by(question, together(kept)).await;
            return by_all.and(Some(permit));
        }
        Some(permit)
    }
}
