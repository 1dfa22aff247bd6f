//! [`large`]: work on large input away from the thread that carries the node's calls.
//!
//! To parse or hash a document of 4 MiB takes tens of milliseconds, in which that thread would
//! answer nobody, and several times its length in memory. So what is longer than [`INLINE_MAX`] is
//! worked on elsewhere, `AT_ONCE` at a time. What is shorter is not worth the way.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Input up to this length, in bytes, is worked on where it is: that takes less than a millisecond.
pub const INLINE_MAX: usize = 64 << 10;
/// Large inputs that are worked on at once. A tree of JSON takes some eight times its text: one of
/// 4 MiB is what there is memory for. Each is done in some ten milliseconds, and
/// [`budget`](crate::budget) bounds how many decisions have one.
const AT_ONCE: usize = 1;

/// Evidence above this, in bytes, is judged with other such evidence one after the other: what is
/// parsed out of it takes twice its length and more. It is what a session holds without a turn.
const EVIDENCE_LARGE: usize = crate::budget::SMALL;

static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);
static JUDGED_LARGE: Semaphore = Semaphore::const_new(AT_ONCE);

/// Does `work` on input of this length, elsewhere when it is large. Whoever stops waiting stops
/// nothing that has begun.
///
/// # Panics
/// When `work` does, wherever it was done.
pub async fn large<T: Send + 'static>(
    length: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    if length <= INLINE_MAX {
        return work();
    }
    // The semaphore is never closed.
    let turn = TURNS.acquire().await.ok();
    let done = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(turn);
        done
    });
    finished(done).await
}

/// Waits until no other large evidence is judged, where evidence of this length is large; the small
/// do not wait. The turn ends when what is returned is dropped.
pub async fn turn_to_judge(length: usize) -> Option<SemaphorePermit<'static>> {
    if length > EVIDENCE_LARGE { JUDGED_LARGE.acquire().await.ok() } else { None }
}

/// The outcome of a task on another thread; a panic there is one here.
///
/// # Panics
/// When the task did.
pub async fn finished<T>(task: tokio::task::JoinHandle<T>) -> T {
    match task.await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shut down: nobody is there to be told.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread::{self, ThreadId};

    use super::*;

    async fn thread_for(length: usize) -> ThreadId {
        large(length, || thread::current().id()).await
    }

    /// Attack D1: a large document holds up no other call.
    #[tokio::test]
    async fn attack_d1_the_large_is_done_elsewhere_and_one_at_a_time() {
        let here = thread::current().id();
        assert_eq!(thread_for(INLINE_MAX).await, here);
        assert_ne!(thread_for(INLINE_MAX + 1).await, here);
        let running = Arc::new(AtomicUsize::new(0));
        let all: Vec<_> = (0..8)
            .map(|_| {
                let running = Arc::clone(&running);
                tokio::spawn(large(INLINE_MAX + 1, move || {
                    let others = running.fetch_add(1, Ordering::SeqCst);
                    thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                    others
                }))
            })
            .collect();
        for one in all {
            assert_eq!(one.await.unwrap(), 0);
        }
    }

    /// A panic elsewhere is one of the decision that waits for it, and the turn is free again.
    #[tokio::test]
    async fn a_panic_comes_back_and_the_turn_with_it() {
        for length in [0, INLINE_MAX + 1] {
            let lost = tokio::spawn(large(length, || -> usize { panic!("broken") })).await;
            assert!(lost.unwrap_err().is_panic());
        }
        assert_eq!(large(INLINE_MAX + 1, || 7).await, 7);
    }
}
