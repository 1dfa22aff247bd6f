//! [`SingleFlight`]: one evaluation in flight per key, its result shared by everyone who asked
//! meanwhile.
//!
//! The evaluation runs as a task of its own: a caller that goes away does not cancel it for the
//! others. Results are not kept; that is the memory's part.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Evaluations in flight, at most one per key and a fixed number in all.
pub(crate) struct SingleFlight<K, V> {
    limit: NonZeroUsize,
    aloft: Aloft<K, V>,
}

/// Why there is no result to share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlightError {
    /// As many evaluations as allowed are already in flight.
    Overloaded {
        /// How many are allowed.
        limit: NonZeroUsize,
    },
    /// The evaluation panicked, or its runtime was shut down, before there was a result.
    Lost,
}

type Aloft<K, V> = Arc<Mutex<HashMap<K, watch::Receiver<Option<V>>>>>;

impl<K, V> SingleFlight<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// No flights yet, and never more than `limit` at once.
    #[must_use]
    pub(crate) fn new(limit: NonZeroUsize) -> Self {
        Self { limit, aloft: Arc::default() }
    }

    /// The result of the evaluation of `key`: of the one in flight, or of `make` when there is
    /// none.
    ///
    /// Dropping the returned future leaves the evaluation running. The key is free again before the
    /// result is handed out, so whoever asks after an answer gets a new evaluation.
    ///
    /// # Errors
    /// [`FlightError::Overloaded`] when a new evaluation would be one too many;
    /// [`FlightError::Lost`], for everyone who waits, when the evaluation ended without a result.
    pub(crate) async fn run<F, Fut>(&self, key: K, make: F) -> Result<V, FlightError>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = V> + Send + 'static,
    {
        let mut result = self.board(key, make)?;
        let landed = result.wait_for(Option::is_some).await.map_err(|_| FlightError::Lost)?;
        landed.clone().ok_or(FlightError::Lost)
    }

    /// Evaluations in flight now.
    pub(crate) fn len(&self) -> usize {
        lock(&self.aloft).len()
    }

    /// Whether nothing is in flight.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Joins the flight of `key`, or starts it.
    fn board<F, Fut>(&self, key: K, make: F) -> Result<watch::Receiver<Option<V>>, FlightError>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = V> + Send + 'static,
    {
        let mut aloft = lock(&self.aloft);
        if let Some(result) = aloft.get(&key) {
            return Ok(result.clone());
        }
        if aloft.len() >= self.limit.get() {
            return Err(FlightError::Overloaded { limit: self.limit });
        }
        let (sender, receiver) = watch::channel(None);
        aloft.insert(key.clone(), receiver.clone());
        let seat = Seat { key, aloft: Arc::clone(&self.aloft) };
        tokio::spawn(async move {
            let value = make().await;
            drop(seat);
            sender.send_replace(Some(value));
        });
        Ok(receiver)
    }
}

/// A key's place among the flights; given up when it is dropped, after a panic too.
struct Seat<K: Hash + Eq, V> {
    key: K,
    aloft: Aloft<K, V>,
}

impl<K: Hash + Eq, V> Drop for Seat<K, V> {
    fn drop(&mut self) {
        lock(&self.aloft).remove(&self.key);
    }
}

/// The map, after a panic too: every change to it is a single insert or remove, so it is never
/// half-made.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K, V> fmt::Debug for SingleFlight<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl fmt::Display for FlightError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overloaded { limit } => {
                write!(f, "already {limit} evaluations in flight, try again")
            }
            Self::Lost => f.write_str("the evaluation ended without a result"),
        }
    }
}

impl std::error::Error for FlightError {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::{Notify, oneshot};

    use super::*;

    fn flights(limit: usize) -> Arc<SingleFlight<&'static str, usize>> {
        Arc::new(SingleFlight::new(NonZeroUsize::new(limit).unwrap()))
    }

    /// Lets every other task run until it waits.
    async fn settle() {
        for _ in 0..32 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn callers_of_one_key_share_one_evaluation() {
        let (flights, runs, gate) =
            (flights(4), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let ask = || {
            let (flights, runs, gate) =
                (Arc::clone(&flights), Arc::clone(&runs), Arc::clone(&gate));
            tokio::spawn(async move {
                let make = move || async move {
                    gate.notified().await;
                    runs.fetch_add(1, Ordering::SeqCst) + 41
                };
                flights.run("image", make).await
            })
        };
        let callers: Vec<_> = (0..50).map(|_| ask()).collect();
        settle().await;
        assert_eq!(flights.len(), 1);
        gate.notify_waiters();
        for caller in callers {
            assert_eq!(caller.await.unwrap(), Ok(41));
        }
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert!(flights.is_empty());
        assert_eq!(flights.run("image", || async { 7 }).await, Ok(7), "the key is free again");
    }

    #[tokio::test]
    async fn different_keys_do_not_wait_for_each_other() {
        let flights = flights(2);
        let waiting = Arc::clone(&flights);
        let (release, released) = oneshot::channel::<()>();
        let slow = tokio::spawn(async move {
            waiting.run("slow", || async { released.await.map_or(0, |()| 1) }).await
        });
        settle().await;
        assert_eq!(flights.run("quick", || async { 2 }).await, Ok(2));
        release.send(()).unwrap();
        assert_eq!(slow.await.unwrap(), Ok(1));
    }

    #[tokio::test]
    async fn a_cancelled_caller_does_not_cancel_the_evaluation() {
        let flights = flights(2);
        let (release, released) = oneshot::channel::<()>();
        let first = Arc::clone(&flights);
        let leader = tokio::spawn(async move {
            first.run("image", || async { released.await.map_or(0, |()| 9) }).await
        });
        settle().await;
        let second = Arc::clone(&flights);
        let follower = tokio::spawn(async move { second.run("image", || async { 0 }).await });
        settle().await;
        leader.abort();
        assert!(leader.await.unwrap_err().is_cancelled());
        assert_eq!(flights.len(), 1, "still in flight");
        release.send(()).unwrap();
        assert_eq!(follower.await.unwrap(), Ok(9));
    }

    #[tokio::test]
    async fn a_panic_is_told_to_everyone_and_frees_the_key() {
        let flights = flights(2);
        let gate = Arc::new(Notify::new());
        let ask = || {
            let (flights, gate) = (Arc::clone(&flights), Arc::clone(&gate));
            tokio::spawn(async move {
                let make = move || async move {
                    gate.notified().await;
                    panic!("in a test")
                };
                flights.run("image", make).await
            })
        };
        let callers = [ask(), ask(), ask()];
        settle().await;
        gate.notify_waiters();
        for caller in callers {
            assert_eq!(caller.await.unwrap(), Err(FlightError::Lost));
        }
        assert!(flights.is_empty());
        let early = flights
            .run("image", || -> std::future::Ready<usize> { panic!("before the future") })
            .await;
        assert_eq!(early, Err(FlightError::Lost));
        assert_eq!(flights.run("image", || async { 3 }).await, Ok(3));
    }

    #[tokio::test]
    async fn one_flight_too_many_is_refused_and_joining_is_not() {
        let flights = flights(1);
        let (release, released) = oneshot::channel::<()>();
        let first = Arc::clone(&flights);
        let leader = tokio::spawn(async move {
            first.run("a", || async { released.await.map_or(0, |()| 1) }).await
        });
        settle().await;
        let limit = NonZeroUsize::new(1).unwrap();
        assert_eq!(flights.run("b", || async { 2 }).await, Err(FlightError::Overloaded { limit }));
        let second = Arc::clone(&flights);
        let follower = tokio::spawn(async move { second.run("a", || async { 5 }).await });
        settle().await;
        release.send(()).unwrap();
        assert_eq!(leader.await.unwrap(), Ok(1));
        assert_eq!(follower.await.unwrap(), Ok(1));
        assert_eq!(flights.run("b", || async { 2 }).await, Ok(2));
    }
}
