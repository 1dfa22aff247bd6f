//! [`DiskEvidence`]: the gate's hands on the evidence store. Evidence is put there before a
//! decision on it is answered, and taken from there when memory has none.
//!
//! The disk never holds up the node: every touch has a time limit, after one that did not end
//! nobody waits until it has, and a store that fails changes no verdict: it is counted and said,
//! and the registry is asked.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, Semaphore};

use super::cached_evidence::PlaceEvidence;
use super::disk_entries::{FoundOnDisk, KeptAbout, beside, entries, take_now, to_put};
use super::disk_task::DiskTask;
use super::evidence_query::EvidenceQuery;
use super::kept::Sizes;
use super::pending_writes::{EntryWithBlobs, PendingWrites};
use crate::evidence_store::{Entry, Store, StoreError};
use crate::image::Digest;

/// Longest wait for evidence to be on disk. A write takes milliseconds; a disk that needs longer
/// would hold up every pod.
const PUT_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for evidence from disk, of the time that the registry may be needed for.
const TAKE_LIMIT: Duration = Duration::from_secs(2);
/// A touch waits for its turn so many times as long as the disk may take: a herd of pods is no disk
/// that hangs.
const TURN_PATIENCE: u32 = 5;
/// The same where what is huge is among it: 45 MiB are read and hashed.
const TAKE_HUGE_LIMIT: Duration = Duration::from_secs(10);
/// Longest that housekeeping (counting, evicting) is waited for.
const HOUSE_LIMIT: Duration = Duration::from_secs(60);
/// Touches of the disk at once: more would only queue there, each on a thread of its own.
const WORK_AT_ONCE: usize = 8;

/// The store, when there is one, and how it does.
#[derive(Debug)]
pub(crate) struct DiskEvidence {
    store: OnceLock<Arc<Store>>,
    turns: Arc<Semaphore>,
    /// Touches of the disk that nobody waits for any more and that have not ended.
    stuck: Arc<AtomicUsize>,
    /// Told to those who wait for a turn when a touch becomes one of these.
    hangs: Notify,
    failed_writes: AtomicU64,
    /// What is still to be put on disk.
    pending: PendingWrites,
    trouble: Mutex<Trouble>,
}

/// What went wrong last, of each kind of touch; none when the last one went well.
#[derive(Debug, Default)]
struct Trouble {
    read: Option<String>,
    write: Option<String>,
}

/// A kind of touch: that a disk can be read says nothing of whether it can be written.
#[derive(Debug, Clone, Copy)]
enum Touch {
    Read,
    Write,
}

/// How the store does, for `sealgate status` and for monitors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreHealth {
    /// Whether there is a store at all.
    pub open: bool,
    /// Whether there is one, and the last touch of it went well.
    pub healthy: bool,
    /// Evidence that could not be written since the start.
    pub failed_writes: u64,
    /// What last went wrong.
    pub error: Option<String>,
}

/// Why there is nothing from the store.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Failure {
    /// There is no store.
    Closed,
    /// It did not answer in time, or has not answered another yet.
    Slow,
    /// It failed.
    Store(StoreError),
}

impl DiskEvidence {
    pub(crate) fn new(store: Option<Arc<Store>>) -> Self {
        Self {
            store: store.map_or_else(OnceLock::new, OnceLock::from),
            turns: Arc::new(Semaphore::new(WORK_AT_ONCE)),
            stuck: Arc::default(),
            hangs: Notify::new(),
            failed_writes: AtomicU64::new(0),
            pending: PendingWrites::default(),
            trouble: Mutex::default(),
        }
    }

    /// Puts a store to use that could not be opened before; the first one stays.
    pub(crate) fn open(&self, store: Arc<Store>) {
        if self.store.set(store).is_ok() {
            *self.trouble() = Trouble::default();
        }
    }

    /// Notes why there is no store.
    pub(crate) fn closed(&self, why: String) {
        self.trouble().read = Some(why);
    }

    /// The store, for whoever may block.
    pub(crate) fn store(&self) -> Option<&Arc<Store>> {
        self.store.get()
    }

    pub(crate) fn health(&self) -> StoreHealth {
        let open = self.store.get().is_some();
        let trouble = self.trouble();
        let error = trouble.write.as_ref().or(trouble.read.as_ref()).cloned();
        let healthy = open && error.is_none() && self.stuck.load(Ordering::Relaxed) == 0;
        StoreHealth {
            open,
            healthy,
            failed_writes: self.failed_writes.load(Ordering::Relaxed),
            error,
        }
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the store has for a question; nothing when it cannot be asked.
    pub(crate) async fn take(&self, query: EvidenceQuery, sizes: Sizes) -> FoundOnDisk {
        let limit = if sizes == Sizes::All { TAKE_HUGE_LIMIT } else { TAKE_LIMIT };
        let taken = self.work(limit, move |store| take_now(store, &query, sizes)).await;
        self.report_health(Touch::Read, taken).unwrap_or_default()
    }

    /// Whether the store has an entry of one of these digests from one of these repositories, and
    /// with it any evidence; nothing is said of a store that fails.
    pub(crate) async fn has(&self, query: EvidenceQuery) -> Option<bool> {
        if self.store.get().is_none() {
            return Some(false);
        }
        let any = move |store: &Store| {
            Ok(entries(store, &query)?.iter().any(|entry| !entry.manifests.is_empty()))
        };
        self.report_health(Touch::Read, self.work(TAKE_LIMIT, any).await)
    }

    /// Keeps what an admission rests on; returns when it is on disk, or when that cannot be waited
    /// for. What the disk does not take now it is given later.
    pub(crate) async fn put(&self, pieces: &[PlaceEvidence], about: KeptAbout<'_>) {
        let entries = to_put(pieces, about);
        self.pending
            .cancel(|pending| entries.iter().any(|(entry, _)| entry.place == pending.place));
        // Each by itself: that one place has more than is kept of any does not keep the others out.
        self.put_or_queue(entries, |store, (entry, contents)| store.put(entry, contents)).await;
    }

    /// Keeps what an admission rests on of places of which a part could not be reached: beside what
    /// the store has of them, which may hold that part. That is no newer for it.
    pub(crate) async fn put_beside(&self, pieces: &[PlaceEvidence], about: KeptAbout<'_>) {
        let put =
            |store: &Store, (entry, contents): &EntryWithBlobs| match store.entry(&entry.place)? {
                Some(there) => match store.put(&beside(entry, there), contents) {
                    // What was there is broken: then it is replaced.
                    Err(StoreError::Unfit(_)) => store.put(entry, contents),
                    done => done,
                },
                None => store.put(entry, contents),
            };
        self.put_or_queue(to_put(pieces, about), put).await;
    }

    /// Gives the disk what it did not take before, unless it has something newer by now.
    pub(crate) async fn flush_pending(&self) {
        self.put_or_queue(self.pending.take(), |store, (entry, contents)| {
            let newer = store.entry(&entry.place)?.filter(|there| there.fetched >= entry.fetched);
            if newer.is_some() { Ok(()) } else { store.put(entry, contents) }
        })
        .await;
    }

    async fn put_or_queue(
        &self,
        entries: Vec<EntryWithBlobs>,
        put: fn(&Store, &EntryWithBlobs) -> Result<(), StoreError>,
    ) {
        if entries.is_empty() {
            return;
        }
        if self.store.get().is_none() {
            return self.pending.add(entries);
        }
        let given = entries.clone();
        let all = move |store: &Store| {
            given.iter().map(|whole| put(store, whole)).fold(Ok(()), Result::and)
        };
        let done = self.work(PUT_LIMIT, all).await;
        if let Err(failure) = &done {
            self.failed_writes.fetch_add(1, Ordering::Relaxed);
            // What the store takes never, it is not given again.
            if !matches!(failure, Failure::Store(StoreError::Unfit(_) | StoreError::TooMany { .. }))
            {
                self.pending.add(entries);
            }
        }
        self.report_health(Touch::Write, done);
    }

    /// Puts what places show now where the store has something older of them, and drops what it has
    /// of the others from before `began`; what is newer than that stays.
    pub(crate) async fn replace(
        &self,
        query: EvidenceQuery,
        pieces: &[PlaceEvidence],
        about: KeptAbout<'_>,
        began: Timestamp,
    ) {
        let shown = to_put(pieces, about);
        self.pending.cancel(|entry| query.concerns(entry) && entry.fetched < began);
        let replace = move |store: &Store| {
            let mut done = Ok(());
            for old in entries(store, &query)?.into_iter().filter(|entry| entry.fetched < began) {
                let one = match shown.iter().find(|(entry, _)| entry.place == old.place) {
                    Some((entry, contents)) => store.put(entry, contents),
                    None => store.remove(&old.place).map(drop),
                };
                done = done.and(one);
            }
            done
        };
        self.report_health(Touch::Write, self.work(PUT_LIMIT, replace).await);
    }

    /// Notes, aside, that entries were used, and for which image: while it is on the node they
    /// stay.
    pub(crate) fn used(self: &Arc<Self>, query: EvidenceQuery, target: &Digest, now: Timestamp) {
        let (keeping, target) = (Arc::clone(self), target.clone());
        let note = move |store: &Store| {
            for entry in entries(store, &query)? {
                store.touch(&entry, now);
                if !entry.targets.contains(&target) {
                    store.add_target(&entry.place, &target)?;
                }
            }
            Ok(())
        };
        tokio::spawn(async move {
            keeping.report_health(Touch::Write, keeping.work(PUT_LIMIT, note).await)
        });
    }

    /// Has the store drop what these places held, since their registry no longer shows it.
    pub(crate) async fn drop_places(
        &self,
        query: EvidenceQuery,
        is_gone: impl Fn(&Entry) -> bool + Send + 'static,
    ) {
        self.pending.cancel(|entry| query.concerns(entry) && is_gone(entry));
        let remove = move |store: &Store| {
            let gone: Vec<Entry> =
                entries(store, &query)?.into_iter().filter(|entry| is_gone(entry)).collect();
            gone.iter().try_for_each(|entry| store.remove(&entry.place).map(drop))
        };
        self.report_health(Touch::Write, self.work(PUT_LIMIT, remove).await);
    }

    /// Notes, aside, that everything is to be forgotten, for the gate that comes after this one.
    pub(crate) fn note_flush(self: &Arc<Self>, at: Timestamp) {
        let keeping = Arc::clone(self);
        let note = move |store: &Store| store.note_flush(at);
        // Without a runtime nobody is there to ask for it either.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(async move {
                keeping.report_health(Touch::Write, keeping.work(HOUSE_LIMIT, note).await)
            }));
        }
    }

    /// Something for the store to do that nobody waits long for.
    pub(crate) async fn run_housekeeping<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<T> {
        self.report_health(Touch::Read, self.work(HOUSE_LIMIT, work).await)
    }

    /// Says of a failure once what it is, and of the end of it.
    fn report_health<T>(&self, touch: Touch, done: Result<T, Failure>) -> Option<T> {
        let (value, why) = match done {
            Ok(value) => (Some(value), None),
            Err(Failure::Closed) => return None,
            Err(Failure::Slow) => (None, Some("the disk did not answer in time".to_owned())),
            Err(Failure::Store(error)) => (None, Some(error.to_string())),
        };
        let mut trouble = self.trouble();
        let last = match touch {
            Touch::Read => &mut trouble.read,
            Touch::Write => &mut trouble.write,
        };
        match (&why, last.is_some()) {
            (Some(why), _) if last.as_ref() != Some(why) => {
                tracing::warn!(
                    "evidence store: {why}; the gate goes on from memory and from the registry"
                );
            }
            (None, true) => tracing::info!("evidence store: well again"),
            (Some(_) | None, _) => {}
        }
        *last = why;
        value
    }

    /// Does `work` on a thread that may block, for as long as is waited. The wait for a turn is not
    /// the disk's; it ends when the disk hangs.
    async fn work<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Failure> {
        let store = Arc::clone(self.store.get().ok_or(Failure::Closed)?);
        if self.stuck.load(Ordering::Relaxed) > 0 {
            return Err(Failure::Slow);
        }
        let turn = Arc::clone(&self.turns).acquire_owned();
        let turn = tokio::select! {
            biased;
            turn = tokio::time::timeout(limit * TURN_PATIENCE, turn) => turn.map_err(|_| Failure::Slow)?,
            () = self.hangs.notified() => return Err(Failure::Slow),
        };
        let turn = turn.map_err(|_| Failure::Slow)?;
        let (errand, inside) = DiskTask::begin(&self.stuck);
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&store);
            drop(inside);
            drop(turn);
            done
        });
        match tokio::time::timeout(limit, done).await {
            Ok(done) => done.map_err(|_| Failure::Slow)?.map_err(Failure::Store),
            Err(_) => {
                errand.left();
                self.hangs.notify_waiters();
                Err(Failure::Slow)
            }
        }
    }
}

#[cfg(test)]
mod tests;
