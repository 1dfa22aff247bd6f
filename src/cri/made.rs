//! [`MadeContainers`]: which containers this gate made, over restarts, and which were there before
//! it came. What is neither was made around it.
//!
//! A container is known by its id *and* by the time at which containerd made it, which no client
//! can set: one that is made anew under an old id is another. No clock says what is older than the
//! gate: the first time that a namespace is looked at, all that is there is noted, and what is not
//! among that appeared later. The file is written behind the answer. An id that a crash kept from
//! it is missing there, so that its container counts as one that went around the gate: an alarm too
//! many, and never an admission too many. Where it was the disk that kept it from there, a mark
//! beside the file says so: what is not known at the next start cannot be told then.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::Notify;

use crate::containerd::{Listed, NAMESPACE, Proven};
use creations::Creations;

mod creations;
mod file;
mod keeping;
pub(super) mod unadmitted;

pub(super) use creations::{Creation, GoneOf, Making};

/// Containers remembered: what a full node makes in some days. An older one that still runs is
/// forgotten only when there are so many of them.
const MADE_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(16_383);
/// Containers remembered that were there before, of all namespaces: as many as are listed of one.
const PRESENT_MAX: usize = 16_384;
/// Containers that the gate removed, remembered: a kubelet has a few of them under way at once.
const REMOVED_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);
/// How much later than its creation an event may say that a container was made; otherwise it is
/// looked at.
const EVENT_LAG: Duration = Duration::from_millis(500);

/// The containers that this gate made.
#[derive(Debug)]
pub struct MadeContainers {
    made: Mutex<Made>,
    creations: Arc<Creations>,
    /// There is something to write.
    unwritten: Notify,
}

#[derive(Debug)]
struct Made {
    /// When this runtime was first gated, since 1970 UTC.
    began: Duration,
    /// Whether it was gated before, and what the gate made then is not known, or not all of it.
    is_lost: bool,
    /// When each was made.
    containers: LruCache<String, Duration>,
    /// The namespaces whose containers were noted when they were first looked at.
    surveyed: BTreeSet<String>,
    /// What was there then, by namespace and id.
    present: BTreeMap<(String, String), Present>,
    unwritten: Unwritten,
    /// Containers that the gate removed, since they were not what was admitted, and when.
    removed: LruCache<String, Duration>,
}

/// A container that was there when its namespace was first looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Present {
    created: Duration,
    /// Whether it is known to be older than the gate.
    is_older: bool,
}

/// What is not in the file yet.
#[derive(Debug, PartialEq, Eq)]
enum Unwritten {
    /// These containers; there may be none.
    Containers(Vec<(String, Duration)>),
    /// Too much to name: the file is to be written anew.
    All,
}

/// What a container is to the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContainerOrigin {
    /// The gate made it, or decided on its start.
    Gate,
    /// It was there before the gate first gated this runtime.
    Before,
    /// It was made since, and not by the gate.
    Around,
    /// It cannot be told: what was there before was not looked at yet, or what the gate made then
    /// is not known any more.
    Untold,
}

impl MadeContainers {
    /// None; the runtime is gated since this time, after 1970 UTC.
    #[must_use]
    pub fn since(began: Duration) -> Self {
        let made = Made {
            began,
            is_lost: false,
            containers: LruCache::new(MADE_MAX),
            surveyed: BTreeSet::new(),
            present: BTreeMap::new(),
            unwritten: Unwritten::Containers(Vec::new()),
            removed: LruCache::new(REMOVED_MAX),
        };
        Self { made: Mutex::new(made), creations: Arc::default(), unwritten: Notify::new() }
    }

    /// What a container is to the gate.
    pub(super) fn origin(&self, listed: &Listed) -> ContainerOrigin {
        self.origin_of((&listed.namespace, &listed.id), listed.created)
    }

    /// The same of a container of this namespace and id that was made at this time.
    pub(super) fn origin_of(
        &self,
        (namespace, id): (&str, &str),
        created: Duration,
    ) -> ContainerOrigin {
        let made = self.lock();
        if namespace == NAMESPACE && made.containers.peek(id) == Some(&created) {
            return ContainerOrigin::Gate;
        }
        let present = made.present.get(&(namespace.to_owned(), id.to_owned()));
        match present.filter(|present| present.created == created) {
            Some(Present { is_older: true, .. }) => ContainerOrigin::Before,
            Some(Present { is_older: false, .. }) => ContainerOrigin::Untold,
            None if made.surveyed.contains(namespace) => ContainerOrigin::Around,
            None => ContainerOrigin::Untold,
        }
    }

    /// Whether the gate made a container of this id, which was not made anew by somebody else since,
    /// as far as is known.
    pub(super) fn is_own(&self, id: &str) -> bool {
        self.lock().containers.contains(id)
    }

    /// Somebody else has made a container of this id: it is not the gate's any more.
    pub(super) fn disown(&self, id: &str) {
        let mut made = self.lock();
        if made.containers.pop(id).is_some() {
            made.unwritten = Unwritten::All;
            drop(made);
            self.unwritten.notify_one();
        }
    }

    /// Whether an event of this time is surely of a container that the gate made.
    pub(super) fn explains(&self, id: &str, at: Duration, is_creation: bool) -> bool {
        let known = self.lock().containers.peek(id).copied();
        known.is_some_and(|created| {
            created <= at && (!is_creation || at.saturating_sub(created) <= EVENT_LAG)
        })
    }

    /// Whether what was there before is known of this namespace.
    pub(super) fn is_surveyed(&self, namespace: &str) -> bool {
        self.lock().surveyed.contains(namespace)
    }

    /// Notes what was in a namespace when it was first looked at: id and time of making of each
    /// container. One of the CRI's that is younger than the gate, by the clock, may be of either
    /// side of its coming.
    pub(super) fn note_present(&self, namespace: &str, found: Vec<(String, Duration)>) {
        let mut made = self.lock();
        if made.surveyed.contains(namespace) {
            return;
        }
        if made.present.len().saturating_add(found.len()) > PRESENT_MAX {
            tracing::error!(
                namespace,
                "it has more containers than are remembered; which of them \
                are older than the gate cannot be told"
            );
            return;
        }
        let (is_lost, began) = (made.is_lost, made.began);
        for (id, created) in found {
            let is_older = !is_lost && (namespace != NAMESPACE || created <= began);
            let key = (namespace.to_owned(), id);
            // What was noted before something was lost stands.
            if made.present.get(&key).is_none_or(|known| known.created != created) {
                made.present.insert(key, Present { created, is_older });
            }
        }
        made.surveyed.insert(namespace.to_owned());
        made.unwritten = Unwritten::All;
        drop(made);
        self.unwritten.notify_one();
    }

    /// Notes that a container was made, and proven to be what was admitted.
    pub(super) fn note(&self, proven: &Proven) {
        self.note_id(proven.container(), proven.created());
    }

    fn note_id(&self, id: &str, created: Duration) {
        let mut made = self.lock();
        if made.containers.put(id.to_owned(), created) == Some(created) {
            return;
        }
        match &mut made.unwritten {
            Unwritten::Containers(these) if these.len() < MADE_MAX.get() => {
                these.push((id.to_owned(), created));
            }
            unwritten @ (Unwritten::Containers(_) | Unwritten::All) => {
                *unwritten = Unwritten::All;
            }
        }
        drop(made);
        self.unwritten.notify_one();
    }

    /// Notes that the gate removes, at this time, a container that is not what was admitted.
    pub(super) fn note_removed(&self, id: &str, at: Duration) {
        self.lock().removed.put(id.to_owned(), at);
    }

    /// The gate has given up removing what has this id.
    pub(super) fn note_not_removed(&self, id: &str) {
        self.lock().removed.pop(id);
    }

    /// Whether the gate removed it after it was made at this time.
    pub(super) fn was_removed(&self, id: &str, created: Duration) -> bool {
        self.lock().removed.peek(id).is_some_and(|at| created <= *at)
    }

    /// Whether the gate removes, or removed, what has this id, whenever it was made: for sandboxes,
    /// whose ids the runtime draws, so that a clock that was set back spares none.
    pub(super) fn is_condemned(&self, id: &str) -> bool {
        self.lock().removed.contains(id)
    }

    /// Notes that a container was made that nothing was proven of, since the gate only observes.
    pub(super) fn note_listed(&self, listed: &Listed) {
        self.note_id(&listed.id, listed.created);
    }

    /// Notes that a sandbox was made, and proven to be of the image that was admitted.
    pub(super) fn note_sandbox(&self, id: &str, created: Duration) {
        self.note_id(id, created);
    }

    /// The calls that make something now.
    pub(super) fn creations(&self) -> &Arc<Creations> {
        &self.creations
    }

    /// Those of a namespace that are known now.
    pub(super) fn known(&self, namespace: &str) -> BTreeSet<String> {
        let made = self.lock();
        let present = made.present.keys().filter(|(of, _)| of == namespace).map(|(_, id)| id);
        let own = made.containers.iter().map(|(id, _)| id).filter(|_| namespace == NAMESPACE);
        present.chain(own).cloned().collect()
    }

    /// Forgets these, which were [`known`](Self::known) and are no longer there.
    pub(super) fn forget<'a>(&self, namespace: &str, gone: impl Iterator<Item = &'a String>) {
        let mut made = self.lock();
        for id in gone {
            if namespace == NAMESPACE {
                made.containers.pop(id);
            }
            made.present.remove(&(namespace.to_owned(), id.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
