//! [`Gate`]: what the intercepted calls share, wired once; how a pull and the use of a local image
//! are decided on and proven stands in the files beside.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use jiff::Timestamp;
use lru::LruCache;
use tokio::task::JoinHandle;

use super::canary::Canary;
use super::content_cache::ContentCache;
use super::made::MadeContainers;
use super::pending_pulls::PendingPulls;
use super::proven_memory::ProvenMemory;
use super::tag_naming::TagNaming;
use super::{Limits, MemoryOptions, Reevaluated, Refreshes};
use crate::clock::Clock;
use crate::containerd::Runtime;
use crate::decision::Decider;
use crate::evidence_store::Store;
use crate::floor::Floor;
use crate::image::{Digest, Platform, Reference};
use crate::policy::{Applicable, Freshness, PolicySet, Unmatched};
use crate::registry::{Access, Budget, Cause, Registry, RegistryError, Session, Why};
use crate::share::{Crowded, Slot};

/// Containers remembered as proven; a start of one that is forgotten is proven again from
/// containerd's store.
const PROVEN_MAX: usize = 4096;
/// The gate remembers so many proven sandboxes; a kubelet runs 110 pods unless an operator configures
/// more. The gate proves a forgotten one again before it lets a container be made in it.
const SANDBOXES_MAX: usize = 2048;
/// Images of sandboxes remembered as pinned: a node has one, and one more for each upgrade of
/// containerd that its pods have outlived. One that is forgotten is looked at again.
const PINNED_MAX: usize = 64;

/// What the intercepted calls share, wired once.
pub struct Gate {
    pub(super) decider: Arc<Decider>,
    policy: RwLock<Arc<PolicySet>>,
    pub(super) platform: Platform,
    pub(super) runtime: Runtime,
    pub(super) contents: ContentCache,
    /// A pull was proven: what is on the node has changed.
    pub(super) pulled: tokio::sync::Notify,
    pub(super) naming: TagNaming,
    canary: Arc<Canary>,
    /// Containers.
    pub(super) proven: ProvenMemory,
    /// Sandboxes, by their whole ids.
    pub(super) sandboxes: ProvenMemory,
    /// What the runtime has been told to pull.
    pub(super) pending_pulls: PendingPulls,
    /// Held while the image of sandboxes is brought.
    pub(super) sandbox_pull: tokio::sync::Mutex<()>,
    /// The images of sandboxes that this process found or made pinned, by id.
    pub(super) pinned_sandbox_images: Mutex<LruCache<Digest, ()>>,
    pub(super) made: Arc<MadeContainers>,
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
    /// Places of which evidence is remembered.
    pub evidence: usize,
    /// Proven contents.
    pub contents: usize,
    /// Proofs of signatures.
    pub proofs: usize,
}

impl Gate {
    /// From now on the clock is not believed when it says that it is earlier than this: what had
    /// ended by then stays ended, although the clock was set back (attack C4).
    pub fn not_before(&self, known: Timestamp) {
        self.decider.time().floor.raise(known);
    }

    /// The latest time that is known to have been: for whoever records, and for an operator who
    /// knows better.
    #[must_use]
    pub fn floor(&self) -> Floor {
        self.decider.time().floor.clone()
    }

    /// The time as of which everything is judged: the clock's, or the latest that is known to have
    /// been.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.decider.time().now()
    }

    /// A gate of these parts, with nothing remembered.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let contents =
            ContentCache::new((parts.memory.contents(), parts.memory.admitted_ttl()), parts.clock);
        let options = (parts.limits, parts.memory, parts.freshness);
        Self {
            decider: Arc::new(Decider::new(parts.clock, options, parts.registry, parts.store)),
            policy: RwLock::new(Arc::new(parts.policy)),
            platform: parts.platform,
            runtime: parts.runtime,
            contents,
            pulled: tokio::sync::Notify::new(),
            naming: TagNaming::new(),
            canary: Arc::default(),
            made: Arc::new(MadeContainers::since(parts.clock.unix())),
            proven: ProvenMemory::new(room(PROVEN_MAX)),
            sandboxes: ProvenMemory::new(room(SANDBOXES_MAX)),
            pending_pulls: PendingPulls::default(),
            sandbox_pull: tokio::sync::Mutex::new(()),
            pinned_sandbox_images: Mutex::new(LruCache::new(room(PINNED_MAX))),
        }
    }

    /// The pull by which the gate tests itself.
    #[must_use]
    pub fn canary(&self) -> &Arc<Canary> {
        &self.canary
    }

    /// Which containers this gate made.
    #[must_use]
    pub fn made(&self) -> &Arc<MadeContainers> {
        &self.made
    }

    /// The clock of this gate.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.decider.time().clock
    }

    /// The documents in force now.
    #[must_use]
    pub fn policy(&self) -> Arc<PolicySet> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another set of documents in force, whole. No verdict of the old ones is found any more;
    /// what was admitted is judged again by the new ones, aside and without the network.
    ///
    /// The old ones go away on another thread when no decision uses them. Where none does now, this
    /// returns the task in which they go; nobody has to wait for it.
    pub fn replace_policy(&self, set: impl Into<Arc<PolicySet>>) -> Option<JoinHandle<()>> {
        let set = set.into();
        let mut in_force = self.policy.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *in_force, Arc::clone(&set));
        drop(in_force);
        self.decider.policy_changed((before, &set))
    }

    /// How far what was admitted is judged again since the last change of documents.
    #[must_use]
    pub fn rejudged(&self) -> Reevaluated {
        self.decider.rejudged()
    }

    /// How often hosts of registries did not give what they were asked for since the start, by cause.
    #[must_use]
    pub fn registry_failures(&self) -> Vec<(Cause, u64)> {
        self.decider.sources().registry.failures()
    }

    /// How many evaluations are under way or wait for their turn, and how many may be.
    #[must_use]
    pub fn evaluations(&self) -> (usize, usize) {
        self.decider.evaluations()
    }

    /// What came of asking registries again.
    #[must_use]
    pub fn refreshes(&self) -> Refreshes {
        self.decider.refreshes()
    }

    /// The runtime that this gate proves through.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The limits of one decision.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        self.decider.limits()
    }

    /// Waits for the turn to create a container: while the guard is held, the gate moves no tag.
    pub async fn turn_to_create(&self) -> tokio::sync::RwLockReadGuard<'_, ()> {
        self.naming.turn_to_create().await
    }

    /// Forgets every verdict and all evidence in memory: the next decision asks the registry again.
    /// Evidence on disk stays and decides only where the registry cannot be asked, after a start
    /// too. What content was proven to be stays, since content is named by its hash; so does what
    /// was proven of signatures, since it is named by theirs.
    pub fn flush(&self) -> Remembered {
        let before = self.remembered_counts();
        self.decider.flush();
        before
    }

    /// How much is remembered.
    #[must_use]
    pub fn remembered_counts(&self) -> Remembered {
        let counts = self.decider.counts();
        Remembered {
            verdicts: counts.verdicts,
            evidence: counts.evidence,
            contents: self.contents.len(),
            proofs: counts.proofs,
        }
    }

    /// A turn at the registry of a reference, and a session with it for as long as a decision may
    /// take.
    pub(super) async fn turn_to_ask(
        &self,
        reference: &Reference,
        access: &Access,
        deadline: Instant,
    ) -> Result<(Slot, Session), RegistryError> {
        let limit =
            deadline.min(self.decider.time().clock.steady() + self.decider.limits().decision());
        let seat = self.decider.seats().take(reference.repository().host(), 1, limit).await;
        let seat = seat.map_err(|Crowded { by }| {
            let host = reference.runtime_repository().host().to_owned();
            RegistryError::Unreachable { host, why: Why::Crowded { by } }
        })?;
        let registry = &self.decider.sources().registry;
        let session = registry.session(access, limit).ending_at(seat.recall());
        Ok((seat, session))
    }
}

/// Silence until the end of the decision names whose it was: who reads it looks at that host.
pub(super) fn named(
    error: RegistryError,
    session: &Session,
    reference: &Reference,
) -> RegistryError {
    if error == RegistryError::BudgetSpent(Budget::Time) {
        let host = session
            .asked_last()
            .unwrap_or_else(|| reference.runtime_repository().host().to_owned());
        return RegistryError::Unreachable { host, why: Why::Timeout };
    }
    error
}

fn room(most: usize) -> NonZeroUsize {
    NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN)
}

/// Whether the set refuses an image because no document that counts now matches it.
pub(super) fn denies_unmatched(set: &PolicySet, applicable: &Applicable, now: Timestamp) -> bool {
    set.unmatched() == Unmatched::Deny && set.is_unmatched(applicable, now)
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate")
            .field("remembered", &self.remembered_counts())
            .finish_non_exhaustive()
    }
}
