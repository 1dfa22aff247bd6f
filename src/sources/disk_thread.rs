//! [`DiskThread`]: one thread that touches the disk, one task after the other, and the bounded queue
//! in front of it.
//!
//! A disk that hangs holds up that thread and nobody else: a task is waited for no longer than its
//! limit. After one that took longer nobody waits for the next until it has ended.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

use crate::evidence_store::{Store, StoreError};

/// Tasks that wait in the queue of one thread at most; callers beyond that wait for room in it.
const QUEUE: usize = 64;
/// A task waits for its turn so many times as long as it may take: a herd of pods is no disk that
/// hangs.
const TURN_PATIENCE: u32 = 5;

/// Why nothing came of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DiskFailure {
    /// There is no store.
    Closed,
    /// It did not answer in time, or has not answered another yet.
    Slow,
    /// It failed.
    Store(StoreError),
}

/// What becomes of a task in the queue when another holds the store for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenBusy {
    /// It fails with the one that waited: it would wait as long for the same lock.
    Fail,
    /// It is tried all the same: what it forgets would count again.
    Try,
}

/// The thread, as those who have tasks for it see it. It ends when this is dropped and the queue is
/// empty.
#[derive(Debug)]
pub(super) struct DiskThread {
    queue: mpsc::Sender<DiskTask>,
    progress: Arc<Progress>,
}

/// Something for the thread to do.
struct DiskTask {
    /// Told the task's number when its turn has come. Where nobody is there to be told it is not
    /// begun.
    turn: oneshot::Sender<u64>,
    when_busy: WhenBusy,
    /// Does it and answers: whether somebody else held the store for too long.
    work: Box<dyn FnOnce(&Store) -> bool + Send>,
}

/// How far the thread is. Tasks have the numbers in which they are begun.
#[derive(Debug, Default)]
struct Progress {
    /// The latest that has ended.
    ended: AtomicU64,
    /// The latest that was under way when nobody waited any more.
    left: AtomicU64,
    /// Told to those who wait for a turn when one is left.
    hangs: Notify,
}

impl DiskThread {
    /// Starts a thread of this name for a store. Where the system gives none, every task fails.
    pub(super) fn start(name: &str, store: Arc<Store>) -> Self {
        let (queue, tasks) = mpsc::channel(QUEUE);
        let progress = Arc::<Progress>::default();
        let (seen, name) = (Arc::clone(&progress), name.to_owned());
        let started = thread::Builder::new().name(name).spawn(move || work(&store, tasks, &seen));
        if let Err(error) = started {
            tracing::error!("evidence store: no thread for it: {error}");
        }
        Self { queue, progress }
    }

    /// Whether a task took longer than it may, and has not ended.
    pub(super) fn hangs(&self) -> bool {
        self.progress.hangs()
    }

    /// Has a task done and waits for it, `limit` long once its turn has come. When the caller is
    /// gone before, it is done all the same.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        when_busy: WhenBusy,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, DiskFailure> {
        let (turn, is_begun) = oneshot::channel();
        let (reply, done) = oneshot::channel();
        let work = Box::new(move |store: &Store| {
            let result = work(store);
            let is_busy = matches!(result, Err(StoreError::Busy { .. }));
            let _asker_may_be_gone = reply.send(result);
            is_busy
        });
        let (queue, progress) = (self.queue.clone(), Arc::clone(&self.progress));
        let waits = async move {
            let task = DiskTask { turn, when_busy, work };
            let number = progress.turn(&queue, task, is_begun, limit).await?;
            match timeout(limit, done).await {
                Ok(done) => done.map_err(|_| DiskFailure::Slow)?.map_err(DiskFailure::Store),
                Err(_) => {
                    progress.leave(number);
                    Err(DiskFailure::Slow)
                }
            }
        };
        // By itself, so that a task that hangs is noticed whoever is gone.
        tokio::spawn(waits).await.map_err(|_| DiskFailure::Slow)?
    }
}

impl Progress {
    fn hangs(&self) -> bool {
        self.left.load(Ordering::Acquire) > self.ended.load(Ordering::Acquire)
    }

    /// Nobody waits for a task any more. One that has ended by now does not hang.
    fn leave(&self, number: u64) {
        self.left.fetch_max(number, Ordering::AcqRel);
        if self.hangs() {
            self.hangs.notify_waiters();
        }
    }

    /// Puts a task into the queue and waits until it is begun: its number. The wait is not the
    /// disk's; it ends when the disk hangs.
    async fn turn(
        &self,
        queue: &mpsc::Sender<DiskTask>,
        task: DiskTask,
        mut is_begun: oneshot::Receiver<u64>,
        limit: Duration,
    ) -> Result<u64, DiskFailure> {
        let hangs = self.hangs.notified();
        tokio::pin!(hangs);
        // From here on no word of it is missed.
        hangs.as_mut().enable();
        if self.hangs() {
            return Err(DiskFailure::Slow);
        }
        let turn = async {
            queue.send(task).await.ok()?;
            (&mut is_begun).await.ok()
        };
        let number = tokio::select! {
            biased;
            turn = timeout(limit * TURN_PATIENCE, turn) => turn.ok().flatten(),
            () = hangs => None,
        };
        // It may have been begun just now; if not, it is not begun any more.
        is_begun.close();
        number.or_else(|| is_begun.try_recv().ok()).ok_or(DiskFailure::Slow)
    }
}

fn work(store: &Store, mut tasks: mpsc::Receiver<DiskTask>, progress: &Progress) {
    let mut number = 0;
    // Those that came through a time in which the store was held, at most as many as the queue has.
    let mut passed = VecDeque::new();
    while let Some(task) = passed.pop_front().or_else(|| tasks.blocking_recv()) {
        let DiskTask { turn, work, .. } = task;
        number += 1;
        if turn.send(number).is_err() {
            continue;
        }
        // What panicked answers nobody, and who waits for it hears that.
        let is_busy = panic::catch_unwind(AssertUnwindSafe(|| work(store))).unwrap_or(false);
        progress.ended.store(number, Ordering::Release);
        if is_busy {
            while passed.len() < QUEUE
                && let Ok(task) = tasks.try_recv()
            {
                passed.extend((task.when_busy == WhenBusy::Try).then_some(task));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as blocking;
    use std::sync::{Mutex, PoisonError};

    use super::*;
    use crate::evidence_store::Options;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(20);

    fn thread() -> (tempfile::TempDir, Arc<DiskThread>) {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { path: folder.path().join("evidence"), ..Options::default() };
        let store = Arc::new(Store::open(options).unwrap());
        (folder, Arc::new(DiskThread::start("test", store)))
    }

    type Work = Box<dyn FnOnce(&Store) -> Result<(), StoreError> + Send>;

    /// A task that is under way until the other end is dropped, and says that it is.
    fn held() -> (blocking::Sender<()>, blocking::Receiver<()>, Work) {
        let (free, held) = blocking::channel::<()>();
        let (begin, begun) = blocking::channel::<()>();
        let work = move |_: &Store| {
            begin.send(()).unwrap();
            let _ended = held.recv();
            Ok(())
        };
        (free, begun, Box::new(work))
    }

    async fn until(is_so: impl Fn() -> bool) {
        let wait = async {
            while !is_so() {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, wait).await.unwrap();
    }

    /// Attack D1: a disk that hangs holds up one decision for a while, and no other until it
    /// answers again.
    #[tokio::test]
    async fn attack_d1_a_disk_that_hangs_is_not_waited_for_twice() {
        let (_folder, thread) = thread();
        let (free, _begun, hangs) = held();
        assert_eq!(thread.run(SHORT, WhenBusy::Fail, hangs).await, Err(DiskFailure::Slow));
        assert!(thread.hangs());
        // Although it would be done at once, were it begun.
        assert_eq!(thread.run(LONG, WhenBusy::Fail, |_| Ok(())).await, Err(DiskFailure::Slow));
        drop(free);
        until(|| !thread.hangs()).await;
        assert_eq!(thread.run(LONG, WhenBusy::Fail, |_| Ok(())).await, Ok(()), "it answers again");
    }

    /// Attack D1: who waits for a turn hears that the disk hangs, and what it asked for is not done
    /// later, when somebody may have decided otherwise.
    #[tokio::test]
    async fn attack_d1_those_in_the_queue_hear_of_a_disk_that_hangs() {
        let (_folder, thread) = thread();
        let (free, begun, hangs) = held();
        let hanging = Arc::clone(&thread);
        let hanging =
            tokio::spawn(async move { hanging.run(SHORT * 10, WhenBusy::Fail, hangs).await });
        until(|| begun.try_recv().is_ok()).await;
        let done = Arc::new(AtomicU64::new(0));
        let waiting: Vec<_> = (0..2 * QUEUE)
            .map(|_| {
                let (thread, done) = (Arc::clone(&thread), Arc::clone(&done));
                let counts = move |_: &Store| {
                    done.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                };
                tokio::spawn(async move { thread.run(LONG, WhenBusy::Fail, counts).await })
            })
            .collect();
        for one in waiting {
            assert_eq!(timeout(LONG, one).await.unwrap().unwrap(), Err(DiskFailure::Slow));
        }
        assert_eq!(hanging.await.unwrap(), Err(DiskFailure::Slow));
        drop(free);
        until(|| !thread.hangs()).await;
        assert_eq!(thread.run(LONG, WhenBusy::Fail, |_| Ok(())).await, Ok(()));
        assert_eq!(done.load(Ordering::SeqCst), 0);
    }

    /// Attack D1: very many tasks at once, of which some wait for their turn in vain. Nothing that
    /// was never begun counts as a disk that hangs.
    #[tokio::test]
    async fn attack_d1_a_turn_that_never_came_is_not_a_disk_that_hangs() {
        let (_folder, thread) = thread();
        let (free, begun, waits) = held();
        let busy = Arc::clone(&thread);
        let busy = tokio::spawn(async move { busy.run(LONG, WhenBusy::Fail, waits).await });
        until(|| begun.try_recv().is_ok()).await;
        assert_eq!(thread.run(SHORT, WhenBusy::Fail, |_| Ok(())).await, Err(DiskFailure::Slow));
        assert!(!thread.hangs());
        drop(free);
        assert_eq!(busy.await.unwrap(), Ok(()));
        assert_eq!(thread.run(LONG, WhenBusy::Fail, |_| Ok(())).await, Ok(()));
    }

    /// Attack D1: a caller that is gone hides no disk that hangs.
    #[tokio::test]
    async fn attack_d1_a_disk_that_hangs_is_noticed_when_the_caller_is_gone() {
        let (_folder, thread) = thread();
        let (free, begun, hangs) = held();
        let caller = Arc::clone(&thread);
        let caller =
            tokio::spawn(async move { caller.run(SHORT * 10, WhenBusy::Fail, hangs).await });
        until(|| begun.try_recv().is_ok()).await;
        caller.abort();
        until(|| thread.hangs()).await;
        drop(free);
        until(|| !thread.hangs()).await;
    }

    /// Attack G: another process holds the store. Each of those that wait would wait as long as the
    /// first, one after the other.
    #[tokio::test]
    async fn attack_g_a_store_that_is_held_is_waited_for_once() {
        let (_folder, thread) = thread();
        let (free, begun, first) = held();
        let order = Arc::new(Mutex::new(Vec::new()));
        let busy = move |store: &Store| {
            first(store)?;
            Err::<(), _>(StoreError::Busy { path: "lock".into() })
        };
        let one = Arc::clone(&thread);
        let one = tokio::spawn(async move { one.run(LONG, WhenBusy::Fail, busy).await });
        until(|| begun.try_recv().is_ok()).await;
        let waiting: Vec<_> = (0..4)
            .map(|number| {
                let (thread, order) = (Arc::clone(&thread), Arc::clone(&order));
                let notes = move |_: &Store| {
                    order.lock().unwrap_or_else(PoisonError::into_inner).push(number);
                    Ok(())
                };
                tokio::spawn(async move { thread.run(LONG, WhenBusy::Fail, notes).await })
            })
            .collect();
        until(|| thread.queue.capacity() == QUEUE - 4).await;
        drop(free);
        assert!(matches!(one.await.unwrap(), Err(DiskFailure::Store(StoreError::Busy { .. }))));
        for one in waiting {
            assert_eq!(one.await.unwrap(), Err(DiskFailure::Slow));
        }
        assert!(order.lock().unwrap().is_empty());
        assert_eq!(thread.run(LONG, WhenBusy::Fail, |_| Ok(())).await, Ok(()));
    }

    /// Attack G: who holds the store while a signature is withdrawn or everything is forgotten does
    /// not keep it from being forgotten, and nothing overtakes it.
    #[tokio::test]
    async fn attack_g_what_must_be_forgotten_outlasts_a_store_that_is_held() {
        let (_folder, thread) = thread();
        let (free, begun, first) = held();
        let busy = move |store: &Store| {
            first(store)?;
            Err::<(), _>(StoreError::Busy { path: "lock".into() })
        };
        let one = Arc::clone(&thread);
        let one = tokio::spawn(async move { one.run(LONG, WhenBusy::Fail, busy).await });
        until(|| begun.try_recv().is_ok()).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let ask = |name: &'static str, when_busy| {
            let (thread, order) = (Arc::clone(&thread), Arc::clone(&order));
            let notes = move |_: &Store| {
                order.lock().unwrap_or_else(PoisonError::into_inner).push(name);
                match name {
                    // The store is still held, or again.
                    "first" => Err(StoreError::Busy { path: "lock".into() }),
                    _ => Ok(()),
                }
            };
            tokio::spawn(async move { thread.run(LONG, when_busy, notes).await })
        };
        let mut asked = Vec::new();
        for (waiting, (name, when_busy)) in [
            ("first", WhenBusy::Try),
            ("merge", WhenBusy::Fail),
            ("second", WhenBusy::Try),
            ("third", WhenBusy::Try),
        ]
        .into_iter()
        .enumerate()
        {
            asked.push(ask(name, when_busy));
            until(|| thread.queue.capacity() == QUEUE - 1 - waiting).await;
        }
        drop(free);
        assert!(matches!(one.await.unwrap(), Err(DiskFailure::Store(StoreError::Busy { .. }))));
        let mut answers = Vec::new();
        for one in asked {
            answers.push(one.await.unwrap());
        }
        assert!(matches!(answers[0], Err(DiskFailure::Store(StoreError::Busy { .. }))));
        assert_eq!(answers[1..], [Err(DiskFailure::Slow), Ok(()), Ok(())]);
        assert_eq!(*order.lock().unwrap(), ["first", "second", "third"]);
    }

    #[tokio::test]
    async fn a_task_that_panics_ends_alone() {
        let (_folder, thread) = thread();
        let panics = |_: &Store| -> Result<(), StoreError> { panic!("on purpose") };
        assert_eq!(thread.run(LONG, WhenBusy::Fail, panics).await, Err(DiskFailure::Slow));
        assert_eq!(thread.run(LONG, WhenBusy::Fail, |_| Ok(())).await, Ok(()));
    }
}
