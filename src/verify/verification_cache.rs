//! [`VerificationCache`]: a bounded memory of what was proven, so that an unchanged signature is
//! not proven again.
//!
//! Successes alone are kept, and of those only what no later moment takes back: not a certificate
//! that was judged at now, nor one of an authority that has revocation lists.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard};

use jiff::Timestamp;
use lru::LruCache;

use super::primitives::budget::Budget;
use super::primitives::demands::{Demands, LogEntry, ProvenTime};
use super::primitives::fault::Fault;
use super::signature::untrusted::{ItemId, Signed, Signer, Untrusted};
use super::trust::{About, Trust, TrustId};
use crate::image::Digest;

/// What was proven of unchanged items under an unchanged trust.
pub struct VerificationCache {
    kept: Mutex<LruCache<Question, Answer>>,
}

/// Everything that an answer depends on, but for the claim, which is asked of the item each time.
#[derive(PartialEq, Eq, Hash)]
struct Question {
    item: ItemId,
    digest: Digest,
    /// Which bytes were at hand.
    artifact: Option<Digest>,
    trust: TrustId,
    demands: Demands,
}

/// Who signed, when, and where it is logged; what was signed is in the item.
#[derive(Clone)]
struct Answer {
    signer: Signer,
    times: Vec<ProvenTime>,
    entries: Vec<LogEntry>,
}

impl VerificationCache {
    /// Two for each of a thousand images, so that a change of policy judges these again within a
    /// second; each takes under 10 KB.
    pub const DEFAULT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2047);

    /// A memory of at most so many proofs.
    #[must_use]
    pub fn new(limit: NonZeroUsize) -> Self {
        Self { kept: Mutex::new(LruCache::new(limit)) }
    }

    /// As [`Untrusted::prove`]. What was proven before costs none of the budget.
    ///
    /// # Errors
    /// As [`Untrusted::prove`].
    #[allow(
        clippy::too_many_arguments,
        reason = "the door with its memory: each is another matter"
    )]
    pub fn prove(
        &self,
        untrusted: &Untrusted,
        about: &About<'_>,
        trust: &Trust<'_>,
        demands: Demands,
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<Signed, Fault> {
        let Some(trust_id) = trust.id() else {
            return untrusted.prove(about, trust, demands, now, budget);
        };
        let question = Question {
            item: untrusted.id(),
            digest: about.digest.clone(),
            artifact: about.artifact.map(Digest::of),
            trust: trust_id,
            demands,
        };
        if let Some(answer) = self.answer(&question, now) {
            untrusted.says(about.claim)?;
            let Answer { signer, times, entries } = answer;
            return Ok(untrusted.signed(about.digest.clone(), signer, (times, entries)));
        }
        let signed = untrusted.prove(about, trust, demands, now, budget)?;
        if trust.lasts(signed.times()) {
            let (times, entries) = (signed.times().to_vec(), signed.entries().to_vec());
            let answer = Answer { signer: signed.signer().clone(), times, entries };
            self.kept().put(question, answer);
        }
        Ok(signed)
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept().len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// After a panic of whoever held it, it is emptied and never believed.
    fn kept(&self) -> MutexGuard<'_, LruCache<Question, Answer>> {
        self.kept.lock().unwrap_or_else(|poisoned| {
            let mut kept = poisoned.into_inner();
            kept.clear();
            self.kept.clear_poison();
            kept
        })
    }

    /// What was proven under an earlier clock must hold under this one: nothing is from the future.
    fn answer(&self, question: &Question, now: Timestamp) -> Option<Answer> {
        self.kept()
            .get(question)
            .filter(|answer| answer.times.iter().all(|proven| proven.time <= now))
            .cloned()
    }
}

impl Default for VerificationCache {
    fn default() -> Self {
        Self::new(Self::DEFAULT)
    }
}

impl fmt::Debug for VerificationCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerificationCache({})", self.len())
    }
}
