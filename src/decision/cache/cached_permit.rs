//! [`CachedPermit`]: a permit in memory, with the evidence that it rests on and how long it may
//! stand on it; [`CachedDenial`]: the other answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use crate::decision::freshness::FreshnessTerms;
use crate::decision::question::Question;
use crate::evidence::{EvidenceProvenance, Pod};
use crate::policy::{Denial, Permit};

/// How long after one refresh was begun the next may be, when the first came to nothing: a registry
/// that is down is asked four times an hour for each image that is used.
pub(crate) const REFRESH_AGAIN: Duration = Duration::from_secs(900);
/// How long a permit is remembered that rests on evidence in doubt, since the registry could not be
/// asked: it is asked again soon, and not by each of the pods that start in between.
const DOUBTFUL_LIFE: Duration = Duration::from_secs(60);
/// Stands for never.
const NEVER: u64 = u64::MAX;

/// A permit in memory.
#[derive(Debug)]
pub struct CachedPermit {
    permit: Permit,
    /// The pod that it was asked for, as far as documents went by it, so that it can be judged again
    /// under others.
    pod: Pod,
    /// The oldest of the evidence that it rests on; none where none was needed.
    provenance: Option<EvidenceProvenance>,
    /// It rests on evidence that the registry was to confirm and could not.
    is_doubtful: bool,
    /// Until when it holds: the permit's own end, or the end of what its evidence is good for
    /// without the registry.
    end: Option<Timestamp>,
    /// When the registry is to be asked again, in milliseconds of the steady clock since the gate's
    /// beginning.
    refresh_at: AtomicU64,
    recorded: AtomicBool,
}

/// A denial, with the evidence that was looked at in vain: the registry's where it could say, or
/// else what is on this node.
#[derive(Debug, Clone)]
pub(crate) struct CachedDenial {
    pub(crate) denial: Arc<Denial>,
    pub(crate) looked: Option<EvidenceProvenance>,
}

/// What a judgement came to.
pub(crate) type Decision = Result<Arc<CachedPermit>, CachedDenial>;

impl CachedPermit {
    /// What may be done.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// The oldest of the evidence that it rests on; none where none was needed.
    #[must_use]
    pub fn provenance(&self) -> Option<EvidenceProvenance> {
        self.provenance
    }

    /// Whether a record of this admission is on disk: such an image still starts when the log
    /// cannot be written.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.recorded.load(Ordering::Relaxed)
    }

    /// Notes that a record of this admission is on disk.
    pub(crate) fn set_recorded(&self) {
        self.recorded.store(true, Ordering::Relaxed);
    }

    /// An admission of `question` on this provenance; `steady` is now, since the gate's beginning.
    pub(crate) fn new(
        permit: Permit,
        question: &Question,
        provenance: Option<EvidenceProvenance>,
        at: (FreshnessTerms, Duration),
    ) -> Self {
        let (terms, steady) = at;
        let evidence_end = provenance.and_then(|provenance| terms.end(provenance.fetched));
        let end = permit.valid_until().into_iter().chain(evidence_end).min();
        let due = provenance.and_then(|provenance| terms.due_in(provenance.fetched));
        let refresh_at = due.map_or(NEVER, |due| millis(steady.saturating_add(due)));
        Self {
            permit,
            pod: question.pod.clone(),
            provenance,
            is_doubtful: false,
            end,
            refresh_at: AtomicU64::new(refresh_at),
            recorded: AtomicBool::new(false),
        }
    }

    /// The same, of evidence that the registry was to confirm and could not. It does not live long
    /// enough to be refreshed, nor is it bounded by an end that cannot be told.
    pub(crate) fn doubtful(
        permit: Permit,
        question: &Question,
        provenance: Option<EvidenceProvenance>,
    ) -> Self {
        let end = permit.valid_until();
        Self {
            permit,
            pod: question.pod.clone(),
            provenance,
            is_doubtful: true,
            end,
            refresh_at: AtomicU64::new(NEVER),
            recorded: AtomicBool::new(false),
        }
    }

    /// Whether it rests on evidence from before a flush, that nobody has asked the registry about
    /// since.
    pub(crate) fn is_from_before(&self, flushed: Option<Timestamp>) -> bool {
        let fetched =
            self.provenance.map(|provenance| provenance.fetched).filter(|_| !self.is_doubtful);
        fetched.is_some_and(|fetched| flushed.is_some_and(|flushed| fetched < flushed))
    }

    /// Whether it still holds by the calendar.
    pub(crate) fn holds(&self, now: impl FnOnce() -> Timestamp) -> bool {
        self.end.is_none_or(|end| now() < end)
    }

    /// How long it is remembered, of at most `longest`; none when it has ended already.
    pub(crate) fn life(&self, now: Timestamp, longest: Duration) -> Option<Duration> {
        let longest = if self.is_doubtful { longest.min(DOUBTFUL_LIFE) } else { longest };
        let Some(end) = self.end else { return Some(longest) };
        let left = Duration::try_from(end.duration_since(now)).ok()?;
        (!left.is_zero()).then(|| left.min(longest))
    }

    /// Whether the registry is to be asked again, and by whoever asks here first.
    pub(crate) fn takes_refresh(&self, steady: Duration) -> bool {
        let (now, due) = (millis(steady), self.refresh_at.load(Ordering::Relaxed));
        let next = millis(steady.saturating_add(REFRESH_AGAIN));
        now >= due
            && self
                .refresh_at
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// The pod that it was asked for, as far as the documents went by it that it was judged under.
    /// What others go by besides is not known of it.
    pub(crate) fn pod(&self) -> &Pod {
        &self.pod
    }
}

impl CachedDenial {
    pub(crate) fn of(denial: Denial, looked: Option<EvidenceProvenance>) -> Self {
        Self { denial: Arc::new(denial), looked }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER - 1)
}
