//! [`Evaluator`]: what one evaluation takes, wired once: the clocks, the limits, where evidence
//! comes from, and what decisions share.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::clock::Clock;
use crate::decision::freshness::FreshnessTerms;
use crate::decision::options::Limits;
use crate::decision::question::Question;
use crate::decision::shares::Shares;
use crate::decision::time::Time;
use crate::evidence_store::Store;
use crate::policy::Freshness;
use crate::sources::EvidenceSources;
use crate::verify::VerificationCache;

/// Evaluates questions; an evaluation in flight keeps it alive by itself.
pub(in crate::decision) struct Evaluator {
    pub(in crate::decision) time: Time,
    pub(in crate::decision) limits: Limits,
    /// How fresh evidence must be where no document asks for fresher.
    freshness: Freshness,
    pub(in crate::decision) sources: EvidenceSources,
    pub(in crate::decision) shares: Shares,
    /// What was proven of unchanged signatures.
    pub(in crate::decision) proofs: VerificationCache,
    /// When an operator last had everything forgotten.
    flushed: Mutex<Option<Timestamp>>,
}

impl Evaluator {
    /// Of these sources; so many proofs of signatures are remembered.
    pub(in crate::decision) fn new(
        clock: Clock,
        (limits, freshness, proofs): (Limits, Freshness, NonZeroUsize),
        sources: EvidenceSources,
    ) -> Self {
        Self {
            time: Time::new(clock),
            shares: Shares::new(limits.decisions_at_once(), clock),
            proofs: VerificationCache::new(proofs),
            flushed: Mutex::default(),
            limits,
            freshness,
            sources,
        }
    }

    /// How old evidence may be for this question.
    pub(in crate::decision) fn terms_at(
        &self,
        question: &Question,
        now: Timestamp,
    ) -> FreshnessTerms {
        let freshness = question.set.freshness(&question.applicable).least(self.freshness);
        FreshnessTerms { freshness, flushed: self.flushed(), now }
    }

    /// Notes that everything from before now is to be asked for again, on disk too.
    pub(in crate::decision) fn note_flush(&self) {
        let now = self.time.now();
        *self.flushed.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        self.sources.store.note_flush(now);
    }

    /// When an operator last had everything forgotten.
    pub(in crate::decision) fn flushed(&self) -> Option<Timestamp> {
        *self.flushed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over when everything was last to be forgotten, before this gate was there. One that is
    /// yet to come is from a clock that was wrong, and was now at the latest (attack C4).
    pub(in crate::decision) fn heed_flush(&self, store: &Store) {
        let noted = store.flushed().map(|noted| noted.min(self.time.now()));
        let mut flushed = self.flushed.lock().unwrap_or_else(PoisonError::into_inner);
        *flushed = noted.max(*flushed);
    }
}
