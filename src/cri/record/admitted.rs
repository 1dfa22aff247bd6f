//! [`Admitted`]: which decisions a container or a sandbox rests on, so that its start and its end name
//! them. It decides nothing.

use std::num::NonZeroUsize;
use std::sync::Mutex;

use lru::LruCache;

use crate::audit::CallOutcome;
use crate::cache::lock_or_empty;

/// Containers and sandboxes whose decisions are remembered, at about 1 KiB each: those that this
/// process proved and that may be started or removed. Of one that is forgotten the outcome names no
/// decision; its creation does.
const ADMITTED_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);
/// What containers and sandboxes rest on, by their ids in the runtime.
#[derive(Debug)]
pub(super) struct Admitted(Mutex<LruCache<String, CallOutcome>>);

impl Default for Admitted {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(ADMITTED_MAX)))
    }
}

impl Admitted {
    pub(super) fn remember(&self, id: &str, outcome: CallOutcome) {
        lock_or_empty(&self.0, LruCache::clear).put(id.to_owned(), outcome);
    }

    pub(super) fn get(&self, id: &str) -> Option<CallOutcome> {
        lock_or_empty(&self.0, LruCache::clear).get(id).cloned()
    }

    pub(super) fn take(&self, id: &str) -> Option<CallOutcome> {
        lock_or_empty(&self.0, LruCache::clear).pop(id)
    }
}
