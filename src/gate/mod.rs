//! The story: what is asked becomes a permit or a refusal, what was done is proven, and both are on disk before the
//! answer.
//!
//! [`Gate`] is the whole of it; [`ask`] holds what comes in, [`Refusal`] what goes out instead of a permit. The wire is
//! the proxy's, the documents are the policy's, the network is the registry's.

mod admission;
pub mod ask;
mod asking;
mod decided;
mod errand;
mod flights;
mod freshness;
pub mod gather;
mod judgement;
mod keeping;
mod local;
mod made;
mod naming;
mod options;
mod owed;
mod pieces;
mod pull;
mod question;
mod record;
mod refresh;
mod refusal;
mod rejudge;
mod shares;
mod timing;
mod upkeep;
mod wish;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use lru::LruCache;

pub use admission::{Admission, Footing};
pub use decided::{BySource, Decided, admitted};
pub use keeping::StoreHealth;
pub use local::LocalPermit;
pub use made::{MadeContainer, MadeVolume};
pub use options::{Limits, MemoryOptions};
pub use pull::PullPermit;
pub use record::{Recorder, Story};
pub use refresh::Refreshes;
pub use refusal::{Ending, Refusal};
pub use rejudge::Rejudged;
pub use timing::Timings;

use crate::cache::{Memory, lock_or_empty};
use crate::clock::Clock;
use crate::containerd::{Content, Runtime};
use crate::evidence::Place;
use crate::evidence_store::Store;
use crate::floor::Floor;
use crate::image::{Digest, Platform, Repository};
use crate::policy::{Applicable, Freshness, PolicySet, Unmatched, VerdictKey};
use crate::registry::{AccessKey, Registry};
use crate::verify::Proofs;
use admission::{Declined, Judged};
use flights::Flights;
use gather::{Forms, Turns};
use keeping::{Held, Keeping};
use naming::Naming;
use refresh::Refreshing;
use rejudge::Rejudging;
use shares::{FLIGHTS_MAX, Shares};

/// Containers remembered as proven; a start of one that is forgotten is proven again from containerd's store.
const PROVEN_MAX: usize = 4096;
/// Pieces of large evidence that are kept, at most 1 MiB each: 16 MiB at most.
const KEPT_LARGE_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);

/// Everything a decision needs, wired once.
pub struct Gate {
    shared: Arc<Shared>,
    policy: RwLock<Arc<PolicySet>>,
    flights: Flights<(VerdictKey, AccessKey), Judged>,
    naming: Naming,
    proven: Mutex<LruCache<String, ()>>,
}

/// The parts that an evaluation in flight keeps alive by itself.
struct Shared {
    clock: Clock,
    /// The gate's beginning, on the steady clock.
    began: Instant,
    platform: Platform,
    limits: Limits,
    memory: MemoryOptions,
    /// What the node's configuration says of how fresh evidence is to be.
    freshness: Freshness,
    registry: Arc<Registry>,
    runtime: Runtime,
    keeping: Arc<Keeping>,
    refreshing: Refreshing,
    rejudging: Rejudging,
    /// When an operator last had everything forgotten.
    flushed: Mutex<Option<jiff::Timestamp>>,
    /// A pull was proven: what is on the node has changed.
    pulled: tokio::sync::Notify,
    /// Permits. They rest on bytes that were verified, so they are everyone's.
    permits: Mutex<Memory<VerdictKey, Arc<Admission>>>,
    /// Denials. They rest on what a registry did not show, so they are those credentials' alone (fact P17).
    denials: Mutex<Memory<(VerdictKey, AccessKey), Declined>>,
    evidence: Mutex<Memory<Place, Arc<Held>>>,
    large_evidence: Mutex<Memory<Place, Arc<Held>>>,
    shares: Shares,
    /// Turns with huge attestations.
    huge_turns: Arc<Turns>,
    /// In which forms registries admitted.
    forms: Forms,
    contents: Mutex<Memory<(Repository, Digest), Arc<Content>>>,
    /// What was proven of unchanged signatures.
    proofs: Proofs,
    /// The clock is not believed when it says that it is earlier.
    floor: Floor,
}

/// What a gate is made of.
#[derive(Debug)]
pub struct Parts {
    /// Where time comes from.
    pub clock: Clock,
    /// The platform whose images this node runs.
    pub platform: Platform,
    /// Limits of one decision.
    pub limits: Limits,
    /// Sizes and lifetimes of what is remembered.
    pub memory: MemoryOptions,
    /// The documents in force.
    pub policy: PolicySet,
    /// How fresh evidence is to be where no document asks for less.
    pub freshness: Freshness,
    /// The registry client.
    pub registry: Registry,
    /// The runtime.
    pub runtime: Runtime,
    /// Where evidence is kept; none when nothing is to be, or [`Gate::open_store`] says later.
    pub store: Option<Arc<Store>>,
}

/// How much is remembered, for `sealgate status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    /// Verdicts.
    pub verdicts: usize,
    /// Pieces of evidence.
    pub evidence: usize,
    /// Proven contents.
    pub contents: usize,
    /// Proofs of signatures.
    pub proofs: usize,
}

impl Gate {
    /// From now on the clock is not believed when it says that it is earlier than this: what had ended by then stays
    /// ended, although the clock was set back (attack C4).
    pub fn not_before(&self, known: jiff::Timestamp) {
        self.shared.floor.raise(known);
    }

    /// The latest time that is known to have been: for whoever records, and for an operator who knows better.
    #[must_use]
    pub fn floor(&self) -> Floor {
        self.shared.floor.clone()
    }

    /// The time as of which everything is judged: the clock's, or the latest that is known to have been.
    #[must_use]
    pub fn now(&self) -> jiff::Timestamp {
        self.shared.now()
    }

    /// A gate of these parts, with nothing remembered.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let permits = Memory::new(parts.memory.verdicts());
        let denials = Memory::new(parts.memory.verdicts());
        let evidence = Memory::new(parts.memory.evidence());
        let contents = Memory::new(parts.memory.contents());
        let proofs = parts.memory.proofs();
        let flights = Flights::new(FLIGHTS_MAX);
        let shares = Shares::new(parts.limits.decisions_at_once(), parts.clock);
        let shared = Shared {
            clock: parts.clock,
            began: parts.clock.steady(),
            platform: parts.platform,
            limits: parts.limits,
            memory: parts.memory,
            freshness: parts.freshness,
            registry: Arc::new(parts.registry),
            runtime: parts.runtime,
            keeping: Arc::new(Keeping::new(parts.store.clone())),
            refreshing: Refreshing::new(),
            rejudging: Rejudging::default(),
            flushed: Mutex::default(),
            pulled: tokio::sync::Notify::new(),
            permits: Mutex::new(permits),
            denials: Mutex::new(denials),
            evidence: Mutex::new(evidence),
            large_evidence: Mutex::new(Memory::new(KEPT_LARGE_MAX)),
            shares,
            huge_turns: Arc::new(Turns::new(parts.clock)),
            forms: Forms::default(),
            contents: Mutex::new(contents),
            proofs: Proofs::new(proofs),
            floor: Floor::default(),
        };
        parts.store.iter().for_each(|store| shared.heed_flush(store));
        Self {
            shared: Arc::new(shared),
            policy: RwLock::new(Arc::new(parts.policy)),
            flights,
            naming: Naming::new(),
            proven: Mutex::new(LruCache::new(NonZeroUsize::new(PROVEN_MAX).unwrap_or(NonZeroUsize::MIN))),
        }
    }

    /// The clock of this gate.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.shared.clock
    }

    /// The documents in force now.
    #[must_use]
    pub fn policy(&self) -> Arc<PolicySet> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another set of documents in force, whole. No verdict of the old ones is found any more; what was admitted is
    /// judged again by the new ones, aside and without the network.
    pub fn replace_policy(&self, set: impl Into<Arc<PolicySet>>) {
        let set = set.into();
        let mut in_force = self.policy.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *in_force, Arc::clone(&set));
        drop(in_force);
        self.shared.rejudge_aside(&set);
        question::let_go_aside(before);
    }

    /// How far what was admitted is judged again since the last change of documents.
    #[must_use]
    pub fn rejudged(&self) -> Rejudged {
        self.shared.rejudging.progress()
    }

    /// What came of asking registries again.
    #[must_use]
    pub fn refreshes(&self) -> Refreshes {
        self.shared.refreshing.counts()
    }

    /// The runtime that this gate proves through.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.shared.runtime
    }

    /// The limits of one decision.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Waits for the turn to create a container: while the guard is held, the gate moves no tag.
    pub async fn turn_to_create(&self) -> tokio::sync::RwLockReadGuard<'_, ()> {
        self.naming.turn_to_create().await
    }

    /// Forgets every verdict and all evidence in memory: the next decision asks the registry again. Evidence on disk stays
    /// and decides only where the registry cannot be asked, after a start too. What content was proven to be stays, since content is named by
    /// its hash; so does what was proven of signatures, since it is named by theirs.
    pub fn flush(&self) -> Remembered {
        let before = self.remembered_counts();
        let now = self.now();
        *self.shared.flushed.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        self.shared.keeping.note_flush(now);
        self.shared.rejudging.clear();
        self.shared.permits().clear();
        self.shared.denials().clear();
        self.shared.evidence().clear();
        self.shared.large_evidence().clear();
        before
    }

    /// How much is remembered.
    #[must_use]
    pub fn remembered_counts(&self) -> Remembered {
        Remembered {
            verdicts: self.shared.permits().len() + self.shared.denials().len(),
            evidence: self.shared.evidence().len() + self.shared.large_evidence().len(),
            contents: self.shared.contents().len(),
            proofs: self.shared.proofs.len(),
        }
    }
}

/// Whether the set refuses an image because no document matches it.
fn denies_unmatched(set: &PolicySet, applicable: &Applicable) -> bool {
    applicable.is_empty() && set.unmatched() == Unmatched::Deny
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("remembered", &self.remembered_counts()).finish_non_exhaustive()
    }
}

impl Shared {
    /// The time as of which everything is judged.
    fn now(&self) -> jiff::Timestamp {
        self.clock.now().max(self.floor.latest())
    }

    fn flushed(&self) -> Option<jiff::Timestamp> {
        *self.flushed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over when everything was last to be forgotten, before this gate was there. One that is yet to come is from a
    /// clock that was wrong, and was now at the latest (attack C4).
    fn heed_flush(&self, store: &Store) {
        let noted = store.flushed().map(|noted| noted.min(self.now()));
        let mut flushed = self.flushed.lock().unwrap_or_else(PoisonError::into_inner);
        *flushed = noted.max(*flushed);
    }

    fn permits(&self) -> MutexGuard<'_, Memory<VerdictKey, Arc<Admission>>> {
        lock_or_empty(&self.permits, |memory| {
            memory.clear();
        })
    }

    fn denials(&self) -> MutexGuard<'_, Memory<(VerdictKey, AccessKey), Declined>> {
        lock_or_empty(&self.denials, |memory| {
            memory.clear();
        })
    }

    fn evidence(&self) -> MutexGuard<'_, Memory<Place, Arc<Held>>> {
        lock_or_empty(&self.evidence, |memory| {
            memory.clear();
        })
    }

    fn large_evidence(&self) -> MutexGuard<'_, Memory<Place, Arc<Held>>> {
        lock_or_empty(&self.large_evidence, |memory| {
            memory.clear();
        })
    }

    fn contents(&self) -> MutexGuard<'_, Memory<(Repository, Digest), Arc<Content>>> {
        lock_or_empty(&self.contents, |memory| {
            memory.clear();
        })
    }

    /// Remembers which content an id is, as proven when it stood under `repository`.
    fn remember_content(&self, repository: &Repository, content: &Content) {
        let expires = self.clock.steady() + self.memory.admitted_ttl();
        self.contents().put((repository.clone(), content.id().clone()), Arc::new(content.without_documents()), expires);
    }

    fn known_content(&self, repository: &Repository, id: &Digest) -> Option<Arc<Content>> {
        self.contents().get(&(repository.clone(), id.clone()), self.clock.steady()).cloned()
    }
}
