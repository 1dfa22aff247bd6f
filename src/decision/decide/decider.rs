//! [`Decider`]: an evaluator with what is remembered of its decisions, and what goes on behind
//! them.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::reevaluation_queue::{Reevaluated, ReevaluationQueue};
use super::refreshes::{Refreshes, Refreshing};
use crate::clock::Clock;
use crate::decision::cache::{Decision, VerdictCache};
use crate::decision::evaluate::Evaluator;
use crate::decision::options::{Limits, MemoryOptions};
use crate::decision::shares::FLIGHTS_MAX;
use crate::decision::single_flight::SingleFlight;
use crate::decision::time::Time;
use crate::evidence_store::Store;
use crate::policy::{Freshness, PolicySet, VerdictKey};
use crate::registry::{AccessKey, Registry};
use crate::share::FairShare;
use crate::sources::EvidenceSources;

/// How often a set that is no longer in force is looked at: decisions that began under it may still
/// be under way.
const IN_USE: Duration = Duration::from_millis(50);

/// Who waits for one evaluation together: those who ask the same with the same credentials, and
/// whose registry has answered for the image just now, or has not: what may pass without an answer
/// differs (`onUnreachable`).
type FlightKey = ((VerdictKey, AccessKey), bool);

/// Decides questions; what goes on behind an answer keeps it alive by itself.
pub(crate) struct Decider {
    pub(super) evaluator: Arc<Evaluator>,
    pub(super) memory: MemoryOptions,
    pub(super) verdicts: VerdictCache,
    pub(super) flights: SingleFlight<FlightKey, Decision>,
    pub(super) refreshing: Refreshing,
    pub(super) reevaluation: ReevaluationQueue,
}

/// How much is remembered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemoryCounts {
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
        let evidence = (memory.evidence(), memory.evidence_ttl());
        let sources = EvidenceSources::new(registry, store.clone(), evidence, clock);
        let evaluator = Evaluator::new(clock, (limits, freshness, memory.proofs()), sources);
        store.iter().for_each(|store| evaluator.heed_flush(store));
        Self {
            evaluator: Arc::new(evaluator),
            verdicts: VerdictCache::new(memory.verdicts()),
            flights: SingleFlight::new(FLIGHTS_MAX),
            refreshing: Refreshing::default(),
            reevaluation: ReevaluationQueue::default(),
            memory,
        }
    }

    /// The clocks of decisions.
    pub(crate) fn time(&self) -> &Time {
        &self.evaluator.time
    }

    /// The limits of one decision.
    pub(crate) fn limits(&self) -> &Limits {
        &self.evaluator.limits
    }

    /// Where evidence comes from.
    pub(crate) fn sources(&self) -> &EvidenceSources {
        &self.evaluator.sources
    }

    /// The seats of decisions that ask registries.
    pub(crate) fn seats(&self) -> &FairShare {
        &self.evaluator.shares.seats
    }

    /// Has what was admitted judged again by another set of documents, aside and without the
    /// network; the set that is no longer in force goes away when no decision uses it. Where none
    /// does now, the task in which it goes.
    pub(crate) fn policy_changed(
        self: &Arc<Self>,
        (before, now): (Arc<PolicySet>, &Arc<PolicySet>),
    ) -> Option<JoinHandle<()>> {
        self.reevaluate_aside(now);
        let_go_aside(before)
    }

    /// How far what was admitted is judged again since the last change of documents.
    pub(crate) fn rejudged(&self) -> Reevaluated {
        self.reevaluation.progress()
    }

    /// How many evaluations are under way or wait for their turn, and how many may be.
    pub(crate) fn evaluations(&self) -> (usize, usize) {
        (self.flights.len(), FLIGHTS_MAX.get())
    }

    /// What came of asking registries again.
    pub(crate) fn refreshes(&self) -> Refreshes {
        self.refreshing.counts()
    }

    /// Forgets every verdict and all evidence in memory. Evidence on disk stays and decides only
    /// where the registry cannot be asked, after a start too. What was proven of signatures stays,
    /// since it is named by their hash.
    pub(crate) fn flush(&self) {
        self.evaluator.note_flush();
        self.reevaluation.clear();
        self.verdicts.clear();
        self.evaluator.sources.memory.clear();
    }

    /// How much is remembered.
    pub(crate) fn counts(&self) -> MemoryCounts {
        MemoryCounts {
            verdicts: self.verdicts.len(),
            evidence: self.evaluator.sources.memory.len(),
            proofs: self.evaluator.proofs.len(),
        }
    }

    /// Puts a store to use that could not be opened before.
    pub(crate) fn open_store(&self, store: Arc<Store>) {
        self.evaluator.heed_flush(&store);
        self.evaluator.sources.store.open(store);
    }
}

/// Lets a set go away from the thread that carries the node's calls, once no decision that began
/// under it is under way: with the patterns of some thousand documents it is in many pieces. Where
/// no decision uses it any more, the task in which it goes.
fn let_go_aside(set: Arc<PolicySet>) -> Option<JoinHandle<()>> {
    let runtime = tokio::runtime::Handle::try_current().ok()?;
    if Arc::strong_count(&set) == 1 {
        return Some(runtime.spawn_blocking(move || drop(set)));
    }
    runtime.spawn(async move {
        while Arc::strong_count(&set) > 1 {
            tokio::time::sleep(IN_USE).await;
        }
        drop(tokio::task::spawn_blocking(move || drop(set)).await);
    });
    None
}
