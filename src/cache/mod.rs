//! [`Memory`]: a bounded memory with an expiry per entry, least recently used out first.
//!
//! Pure: time is an argument, nothing is shared between threads (its owner holds the lock), and it
//! does not know what it keeps or how long that may live.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use lru::LruCache;

/// The lock on something remembered. After a panic of whoever held it nobody knows what it was
/// about to say: it is emptied, and asked for again, never believed.
pub fn lock_or_empty<T>(remembered: &Mutex<T>, empty: impl FnOnce(&mut T)) -> MutexGuard<'_, T> {
    remembered.lock().unwrap_or_else(|poisoned| {
        let mut guard = poisoned.into_inner();
        empty(&mut guard);
        remembered.clear_poison();
        guard
    })
}

/// Entries with an expiry, at most as many as it was made for.
///
/// A hit is one hash and two pointer swaps; it allocates nothing.
#[derive(Debug)]
pub struct Memory<K: Hash + Eq, V> {
    held: LruCache<K, Held<V>>,
    counters: Counters,
}

/// What a memory has answered since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Answers from memory.
    pub hits: u64,
    /// Questions that it had no answer to, expired ones included.
    pub misses: u64,
    /// Live entries that gave way to newer ones because the memory was full.
    pub evicted: u64,
}

#[derive(Debug)]
struct Held<V> {
    value: V,
    expires_at: Instant,
}

impl<K: Hash + Eq, V> Memory<K, V> {
    /// An empty memory for at most `entries` entries. Room is taken as entries come.
    #[must_use]
    pub fn new(entries: NonZeroUsize) -> Self {
        Self { held: LruCache::sparse(entries), counters: Counters::default() }
    }

    /// What is held under `key` and has not expired at `now`; an expired entry is dropped on the
    /// way.
    pub fn get(&mut self, key: &K, now: Instant) -> Option<&V> {
        if self.held.peek(key).is_some_and(|held| held.expires_at <= now) {
            self.held.pop(key);
        }
        let found = self.held.get(key).map(|held| &held.value);
        match found {
            Some(_) => self.counters.hits += 1,
            None => self.counters.misses += 1,
        }
        found
    }

    /// Holds `value` under `key` until `expires_at`, in place of what was there. The entry that was
    /// used longest ago gives way when there is no room.
    pub fn put(&mut self, key: K, value: V, expires_at: Instant) {
        let replaces = self.held.contains(&key);
        let out = self.held.push(key, Held { value, expires_at });
        if out.is_some() && !replaces {
            self.counters.evicted += 1;
        }
    }

    /// Drops what is held under `key`; whether there was something.
    pub fn remove(&mut self, key: &K) -> bool {
        self.held.pop(key).is_some()
    }

    /// Drops every entry for which `keep` says no, in one pass.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        self.held.retain(|key, held| keep(key, &held.value));
    }

    /// Whether something is held under `key`, without using it: expired or not.
    #[must_use]
    pub fn contains(&self, key: &K) -> bool {
        self.held.contains(key)
    }

    /// What is held, the most recently used first, without using it.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.held.iter().map(|(_, held)| &held.value)
    }

    /// Makes what is held under `key` the one that was used longest ago.
    pub fn demote(&mut self, key: &K) {
        self.held.demote(key);
    }

    /// Drops everything; how many entries that were.
    pub fn clear(&mut self) -> usize {
        let had = self.held.len();
        self.held.clear();
        had
    }

    /// Entries held, those included that have expired and were not asked for since.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// What it has answered so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test needs some first instant to count from")]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Attack A2: what a thread held when it panicked is forgotten, all of it, and the lock serves
    /// on.
    #[test]
    fn attack_a2_what_a_panic_left_behind_is_not_believed() {
        let memory = Mutex::new(vec!["admitted"]);
        let lost = std::panic::catch_unwind(|| {
            let mut held = memory.lock().unwrap();
            held.push("half a verdict");
            panic!("lost");
        });
        assert!(lost.is_err() && memory.is_poisoned());
        assert!(lock_or_empty(&memory, Vec::clear).is_empty());
        lock_or_empty(&memory, Vec::clear).push("another");
        assert_eq!(*lock_or_empty(&memory, Vec::clear), ["another"]);
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn memory(entries: usize) -> (Memory<String, u32>, Instant) {
        (Memory::new(NonZeroUsize::new(entries).unwrap()), Instant::now())
    }

    #[test]
    fn answers_until_the_moment_of_expiry() {
        let (mut memory, start) = memory(4);
        memory.put("a".into(), 1, start + SECOND);
        assert_eq!(memory.get(&"a".into(), start), Some(&1));
        assert_eq!(memory.get(&"a".into(), start + SECOND - Duration::from_nanos(1)), Some(&1));
        assert_eq!(memory.get(&"a".into(), start + SECOND), None);
        assert_eq!(memory.len(), 0, "an expired entry is dropped when it is asked for");
        assert_eq!(memory.counters(), Counters { hits: 2, misses: 1, evicted: 0 });
    }

    #[test]
    fn what_was_used_longest_ago_gives_way() {
        let (mut memory, start) = memory(2);
        let later = start + SECOND;
        memory.put("a".into(), 1, later);
        memory.put("b".into(), 2, later);
        assert_eq!(memory.get(&"a".into(), start), Some(&1));
        memory.put("c".into(), 3, later);
        assert_eq!(memory.get(&"b".into(), start), None);
        assert_eq!(memory.get(&"a".into(), start), Some(&1));
        assert_eq!(memory.counters().evicted, 1);
        assert_eq!(memory.len(), 2);
    }

    #[test]
    fn a_newer_value_replaces_value_and_expiry() {
        let (mut memory, start) = memory(1);
        memory.put("a".into(), 1, start + SECOND);
        memory.put("a".into(), 2, start + 3 * SECOND);
        assert_eq!(memory.get(&"a".into(), start + 2 * SECOND), Some(&2));
        memory.put("a".into(), 3, start + SECOND);
        assert_eq!(
            memory.get(&"a".into(), start + 2 * SECOND),
            None,
            "a shorter life replaces a longer one"
        );
        assert_eq!(memory.counters().evicted, 0);
    }

    #[test]
    fn removing_retaining_and_clearing() {
        let (mut memory, start) = memory(8);
        for (key, value) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
            memory.put(key.into(), value, start + SECOND);
        }
        assert!(memory.remove(&"a".into()));
        assert!(!memory.remove(&"a".into()));
        memory.retain(|_, value| value % 2 == 0);
        assert_eq!(memory.len(), 2);
        assert_eq!(memory.clear(), 2);
        assert!(memory.is_empty());
        assert_eq!(memory.get(&"b".into(), start), None);
    }

    #[test]
    fn values_come_in_the_order_of_their_use() {
        let (mut memory, start) = memory(3);
        for (key, value) in [("a", 1), ("b", 2), ("c", 3)] {
            memory.put(key.into(), value, start + SECOND);
        }
        assert_eq!(memory.get(&"a".into(), start), Some(&1));
        assert_eq!(memory.values().copied().collect::<Vec<_>>(), [1, 3, 2]);
        memory.demote(&"a".into());
        assert_eq!(memory.values().copied().collect::<Vec<_>>(), [3, 2, 1]);
        memory.put("d".into(), 4, start + SECOND);
        assert!(!memory.contains(&"a".into()) && memory.contains(&"b".into()));
    }

    proptest::proptest! {
        /// Against a plain list: never more than its capacity, never an expired value, never a
        /// value under another key.
        #[test]
        fn behaves_like_a_list_with_dates(steps in proptest::collection::vec((0u8..12, 0u64..20, proptest::bool::ANY), 1..200)) {
            let start = Instant::now();
            let mut memory = Memory::new(NonZeroUsize::new(4).unwrap());
            let mut model: Vec<(u8, (u64, u64))> = Vec::new();
            for (tick, (key, life, write)) in steps.into_iter().enumerate() {
                let tick = u64::try_from(tick).unwrap();
                let now = start + SECOND * u32::try_from(tick).unwrap();
                if write {
                    let value = (u64::from(key), tick + life);
                    memory.put(key, value, start + SECOND * u32::try_from(tick + life).unwrap());
                    model.retain(|(k, _)| *k != key);
                    model.push((key, value));
                    if model.len() > 4 { model.remove(0); }
                } else {
                    let known = model.iter().position(|(k, _)| *k == key).map(|at| model.remove(at));
                    let alive = known.filter(|(_, (_, until))| *until > tick);
                    proptest::prop_assert_eq!(memory.get(&key, now), alive.as_ref().map(|(_, value)| value));
                    model.extend(alive);
                }
                proptest::prop_assert!(memory.len() <= 4);
            }
        }
    }
}
