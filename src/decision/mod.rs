//! A question becomes a permit or a denial: from the verdicts in memory, from evidence on this
//! node, or from the registry.
//!
//! [`Decider`] is the room: one evaluation in flight for each question, the order of sources, how
//! fresh evidence must be, refreshes behind an answer, and re-evaluation after a change of policy.
//! What the CRI's messages mean is decided in `cri`, where signatures lie in `sources`, and what
//! they are worth in `policy`.

pub(crate) mod cached_permit;
pub(crate) mod evaluation;
pub(crate) mod evidence_set;
pub(crate) mod freshness;
pub(crate) mod options;
pub(crate) mod question;
pub(crate) mod reevaluation;
pub(crate) mod refresh;
pub(crate) mod refusal;
pub(crate) mod registry_evidence;
pub(crate) mod shares;
pub(crate) mod single_flight;
pub(crate) mod timing;
pub(crate) mod verdict_cache;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use self::cached_permit::Decision;
use self::options::{Limits, MemoryOptions};
use self::reevaluation::Reevaluation;
use self::refresh::Refreshing;
use self::shares::{FLIGHTS_MAX, Shares};
use self::single_flight::SingleFlight;
use self::verdict_cache::VerdictCache;
use crate::clock::Clock;
use crate::evidence_store::Store;
use crate::floor::Floor;
use crate::policy::{Freshness, PolicySet, VerdictKey};
use crate::registry::{AccessKey, Registry};
use crate::sources::EvidenceSources;
use crate::verify::VerificationCache;

/// Decides questions; what an evaluation in flight keeps alive by itself.
pub(crate) struct Decider {
    pub(crate) time: Time,
    pub(crate) limits: Limits,
    memory: MemoryOptions,
    /// How fresh evidence must be where no document asks for fresher.
    freshness: Freshness,
    pub(crate) sources: EvidenceSources,
    pub(crate) shares: Shares,
    verdicts: VerdictCache,
    /// What was proven of unchanged signatures.
    proofs: VerificationCache,
    flights: SingleFlight<(VerdictKey, AccessKey), Decision>,
    refreshing: Refreshing,
    reevaluation: Reevaluation,
    /// When an operator last had everything forgotten.
    flushed: Mutex<Option<jiff::Timestamp>>,
}

/// The clocks of decisions.
#[derive(Debug)]
pub(crate) struct Time {
    pub(crate) clock: Clock,
    /// The gate's beginning, on the steady clock.
    began: Instant,
    /// The clock is not believed when it says that it is earlier.
    pub(crate) floor: Floor,
}

impl Time {
    fn new(clock: Clock) -> Self {
        Self { clock, began: clock.steady(), floor: Floor::default() }
    }

    /// The time as of which everything is judged: the clock's, or the latest that is known to have
    /// been.
    pub(crate) fn now(&self) -> jiff::Timestamp {
        self.clock.now().max(self.floor.latest())
    }

    pub(crate) fn steady(&self) -> Instant {
        self.clock.steady()
    }
}

/// How much is remembered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) verdicts: usize,
    pub(crate) evidence: usize,
    pub(crate) proofs: usize,
}

impl Decider {
    pub(crate) fn new(
        clock: Clock,
        (limits, memory, freshness): (Limits, MemoryOptions, Freshness),
        registry: Registry,
        store: Option<Arc<Store>>,
    ) -> Self {
        let decider = Self {
            time: Time::new(clock),
            sources: EvidenceSources::new(
                registry,
                store.clone(),
                (memory.evidence(), memory.evidence_ttl()),
                clock,
            ),
            shares: Shares::new(limits.decisions_at_once(), clock),
            verdicts: VerdictCache::new(memory.verdicts()),
            proofs: VerificationCache::new(memory.proofs()),
            flights: SingleFlight::new(FLIGHTS_MAX),
            refreshing: Refreshing::new(),
            reevaluation: Reevaluation::default(),
            flushed: Mutex::default(),
            limits,
            memory,
            freshness,
        };
        store.iter().for_each(|store| decider.heed_flush(store));
        decider
    }

    /// Has what was admitted judged again by another set of documents, aside and without the
    /// network; the set that is no longer in force goes away when no decision uses it.
    pub(crate) fn policy_changed(
        self: &Arc<Self>,
        (before, now): (Arc<PolicySet>, &Arc<PolicySet>),
    ) {
        self.reevaluate_aside(now);
        question::let_go_aside(before);
    }

    /// How far what was admitted is judged again since the last change of documents.
    pub(crate) fn rejudged(&self) -> reevaluation::Reevaluated {
        self.reevaluation.progress()
    }

    /// What came of asking registries again.
    pub(crate) fn refreshes(&self) -> refresh::Refreshes {
        self.refreshing.counts()
    }

    /// Forgets every verdict and all evidence in memory. Evidence on disk stays and decides only
    /// where the registry cannot be asked, after a start too. What was proven of signatures stays,
    /// since it is named by their hash.
    pub(crate) fn flush(&self) {
        let now = self.time.now();
        *self.flushed.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        self.sources.store.note_flush(now);
        self.reevaluation.clear();
        self.verdicts.clear();
        self.sources.memory.clear();
    }

    /// How much is remembered.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            verdicts: self.verdicts.len(),
            evidence: self.sources.memory.len(),
            proofs: self.proofs.len(),
        }
    }

    /// Puts a store to use that could not be opened before.
    pub(crate) fn open_store(&self, store: Arc<Store>) {
        self.heed_flush(&store);
        self.sources.store.open(store);
    }

    fn flushed(&self) -> Option<jiff::Timestamp> {
        *self.flushed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over when everything was last to be forgotten, before this gate was there. One that is
    /// yet to come is from a clock that was wrong, and was now at the latest (attack C4).
    fn heed_flush(&self, store: &Store) {
        let noted = store.flushed().map(|noted| noted.min(self.time.now()));
        let mut flushed = self.flushed.lock().unwrap_or_else(PoisonError::into_inner);
        *flushed = noted.max(*flushed);
    }
}
