//! [`ContentCache`]: which content an image id is, as it was proven under a repository.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::cache::{Memory, lock_or_empty};
use crate::clock::Clock;
use crate::containerd::Content;
use crate::image::{Digest, Repository};
use crate::policy::PolicySet;

/// Bounded memory of proven contents. A panic while it was locked empties it.
pub(super) struct ContentCache {
    contents: Mutex<Memory<(Repository, Digest), Arc<Content>>>,
    ttl: Duration,
    clock: Clock,
}

impl ContentCache {
    /// Room for so many contents, each for so long.
    pub(super) fn new((most, ttl): (NonZeroUsize, Duration), clock: Clock) -> Self {
        Self { contents: Mutex::new(Memory::new(most)), ttl, clock }
    }

    /// Remembers which content an id is, as proven when it stood under `repository`, with as much of
    /// its labels as these documents look at; not of a checkpoint, of which more is to be proven each
    /// time.
    pub(super) fn remember(&self, repository: &Repository, content: &Content, set: &PolicySet) {
        if content.is_checkpoint() {
            return;
        }
        let expires = self.clock.steady() + self.ttl;
        let key = (repository.clone(), content.id().clone());
        let labels = set.seen_of_image(content.labels());
        self.contents().put(key, Arc::new(content.for_memory(labels)), expires);
    }

    pub(super) fn known(&self, repository: &Repository, id: &Digest) -> Option<Arc<Content>> {
        self.contents().get(&(repository.clone(), id.clone()), self.clock.steady()).cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.contents().len()
    }

    fn contents(&self) -> MutexGuard<'_, Memory<(Repository, Digest), Arc<Content>>> {
        lock_or_empty(&self.contents, |memory| {
            memory.clear();
        })
    }
}
