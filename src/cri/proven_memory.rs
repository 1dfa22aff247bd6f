//! [`ProvenMemory`]: the containers and sandboxes that this process proved, each with the documents
//! and until when ([`ProvenUnder`]) that counts. It proves nothing itself.

use std::num::NonZeroUsize;
use std::sync::Mutex;

use jiff::Timestamp;
use lru::LruCache;

use crate::cache::lock_or_empty;
use crate::policy::PolicySet;

/// Which documents and keys were in force: what was decided under others is decided again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyMark(String, String);

/// Under which documents something was proven, and until when its admission holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenUnder {
    mark: PolicyMark,
    until: Option<Timestamp>,
}

/// What was proven, by its id in the runtime.
#[derive(Debug)]
pub(super) struct ProvenMemory(Mutex<LruCache<String, ProvenUnder>>);

impl PolicyMark {
    /// Of a set.
    #[must_use]
    pub fn of(set: &PolicySet) -> Self {
        Self(set.generation().to_owned(), set.trust_generation().to_owned())
    }
}

impl ProvenUnder {
    /// By permits that end then, or never; it counts until the first has ended.
    #[must_use]
    pub fn of(mark: PolicyMark, ends: impl IntoIterator<Item = Option<Timestamp>>) -> Self {
        Self { mark, until: ends.into_iter().flatten().min() }
    }
}

impl ProvenMemory {
    /// With room for so many; the one that nobody asked about for longest goes first, and is proven
    /// again.
    pub(super) fn new(most: NonZeroUsize) -> Self {
        Self(Mutex::new(LruCache::new(most)))
    }

    pub(super) fn remember(&self, id: &str, under: ProvenUnder) {
        lock_or_empty(&self.0, LruCache::clear).put(id.to_owned(), under);
    }

    pub(super) fn forget(&self, id: &str) {
        lock_or_empty(&self.0, LruCache::clear).pop(id);
    }

    /// Whether it was proven under the documents that are in force, by an admission that has not
    /// ended.
    pub(super) fn holds(
        &self,
        id: &str,
        in_force: &PolicyMark,
        now: impl FnOnce() -> Timestamp,
    ) -> bool {
        let mut proven = lock_or_empty(&self.0, LruCache::clear);
        proven.get(id).is_some_and(|ProvenUnder { mark, until }| {
            mark == in_force && until.is_none_or(|until| now() < until)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_proven_counts_under_its_documents_and_until_its_end() {
        let memory = ProvenMemory::new(NonZeroUsize::MIN);
        let mark = |generation: &str| PolicyMark(generation.to_owned(), "keys".to_owned());
        let at = |second| Timestamp::from_second(second).unwrap();
        let under = |until| ProvenUnder { mark: mark("one"), until };
        memory.remember("a", under(Some(at(100))));
        assert!(memory.holds("a", &mark("one"), || at(99)));
        assert!(!memory.holds("a", &mark("one"), || at(100)), "the exception has ended");
        assert!(!memory.holds("a", &mark("two"), || at(99)), "other documents");
        memory.forget("a");
        assert!(!memory.holds("a", &mark("one"), || at(99)));
        memory.remember("b", under(None));
        assert!(memory.holds("b", &mark("one"), || at(1_000)));
        assert!(!memory.holds("a", &mark("one"), || at(99)), "no more than there is room for");
    }
}
