//! [`Flights`]: a memory of answers that end, where what is asked for at the same time is asked
//! once.
//!
//! A question goes on when whoever asked it stops waiting: the next one finds its answer.

use std::future::Future;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use lru::LruCache;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::registry::lock::lock;

/// Answers that are kept at once; a node has a few registries with credentials, each with tens of
/// repositories.
const KEPT_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// The memory.
pub(in crate::registry) struct Flights<K, V> {
    clock: Clock,
    slots: Arc<Mutex<LruCache<K, Slot<V>>>>,
}

enum Slot<V> {
    /// Asked, not yet answered.
    Asked(watch::Receiver<Option<V>>),
    /// Answered, until then.
    Known(V, Instant),
}

impl<K, V> Flights<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(in crate::registry) fn new(clock: Clock) -> Self {
        Self { clock, slots: Arc::new(Mutex::new(LruCache::new(KEPT_MAX))) }
    }

    /// The answer that is known, or that of the question under way, or of a new one, which also
    /// says until when its answer is good. None when there is none at `until`.
    pub(in crate::registry) async fn get<Q>(
        &self,
        key: &K,
        until: Instant,
        question: Q,
    ) -> Option<V>
    where
        Q: Future<Output = (V, Instant)> + Send + 'static,
    {
        let mut answer = {
            let mut slots = lock(&self.slots);
            self.forget_old(&mut slots);
            match slots.get(key) {
                Some(Slot::Known(value, _)) => return Some(value.clone()),
                Some(Slot::Asked(answer)) if answer.has_changed().is_ok() => answer.clone(),
                Some(Slot::Asked(_)) | None => self.ask(&mut slots, key, question),
            }
        };
        let patience = until.saturating_duration_since(self.clock.steady());
        let value =
            tokio::time::timeout(patience, answer.wait_for(Option::is_some)).await.ok()?.ok()?;
        value.clone()
    }

    fn ask<Q>(
        &self,
        slots: &mut LruCache<K, Slot<V>>,
        key: &K,
        question: Q,
    ) -> watch::Receiver<Option<V>>
    where
        Q: Future<Output = (V, Instant)> + Send + 'static,
    {
        let (tell, answer) = watch::channel(None);
        slots.put(key.clone(), Slot::Asked(answer.clone()));
        let (kept, key) = (Arc::clone(&self.slots), key.clone());
        tokio::spawn(async move {
            let (value, until) = question.await;
            lock(&kept).put(key, Slot::Known(value.clone(), until));
            tell.send_replace(Some(value));
        });
        answer
    }

    /// What has ended goes at once: it holds secrets.
    fn forget_old(&self, slots: &mut LruCache<K, Slot<V>>) {
        let now = self.clock.steady();
        let old = |slot: &Slot<V>| matches!(slot, Slot::Known(_, until) if *until <= now);
        let gone: Vec<K> =
            slots.iter().filter(|(_, slot)| old(slot)).map(|(key, _)| key.clone()).collect();
        for key in gone {
            slots.pop(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::{Duration, SystemTime};

    use super::*;

    #[allow(clippy::disallowed_methods, reason = "a test is its own daemon")]
    const CLOCK: Clock = Clock::new(SystemTime::now, Instant::now);

    fn later() -> Instant {
        CLOCK.steady() + Duration::from_secs(60)
    }

    async fn answer(asked: Arc<AtomicU32>, life: Duration) -> (u32, Instant) {
        tokio::task::yield_now().await;
        (asked.fetch_add(1, Ordering::Relaxed), CLOCK.steady() + life)
    }

    #[tokio::test]
    async fn what_is_asked_at_once_is_asked_once_and_kept_for_its_life() {
        let flights: Flights<&str, u32> = Flights::new(CLOCK);
        let asked = Arc::new(AtomicU32::new(0));
        let long = || answer(Arc::clone(&asked), Duration::from_secs(600));
        let both = futures_util::future::join(
            flights.get(&"a", later(), long()),
            flights.get(&"a", later(), long()),
        )
        .await;
        assert_eq!(both, (Some(0), Some(0)));
        assert_eq!(flights.get(&"a", later(), long()).await, Some(0));
        assert_eq!(
            flights.get(&"b", later(), answer(Arc::clone(&asked), Duration::ZERO)).await,
            Some(1)
        );
        assert_eq!(flights.get(&"b", later(), long()).await, Some(2));
    }

    #[tokio::test]
    async fn a_question_outlives_whoever_asked() {
        let flights: Flights<&str, u32> = Flights::new(CLOCK);
        let asked = Arc::new(AtomicU32::new(7));
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let question = {
            let asked = Arc::clone(&asked);
            async move {
                drop(gone.await);
                answer(asked, Duration::from_secs(600)).await
            }
        };
        assert_eq!(flights.get(&"a", CLOCK.steady(), question).await, None);
        go.send(()).unwrap();
        assert_eq!(
            flights.get(&"a", later(), answer(asked, Duration::from_secs(600))).await,
            Some(7)
        );
    }
}
