//! [`DiskEvidence`]: the gate's hands on the evidence store. Evidence is put there before a
//! decision on it is answered, and taken from there when memory has none.
//!
//! One thread writes, and there are two writes: [`DiskEvidence::merge`] for what a registry shows,
//! and [`DiskEvidence::retire`] for what it no longer shows. Others read, read what is huge, and
//! evict, so that neither a flush to disk nor what is huge nor an eviction is in the way of
//! evidence that is there, and no eviction in the way of a decision that is to be kept.
//!
//! The disk never holds up the node: every task has a time limit, and a store that fails changes no
//! verdict. The failure is counted and said, what could not be written is kept for later, and the
//! registry is asked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::cached_evidence::PlaceEvidence;
use super::disk_entries::{FoundOnDisk, KeptAbout, Merge, entries, retire, take_now, to_put};
use super::disk_thread::{DiskFailure, DiskThread, WhenBusy};
use super::evidence_query::EvidenceQuery;
use super::kept::Sizes;
use super::pending_forgets::{Forget, PendingForgets};
use super::pending_writes::{EntryWithBlobs, PendingWrites};
use crate::evidence_store::{Entry, Store, StoreError};
use crate::image::Digest;

/// Longest wait for evidence to be on disk. A write takes milliseconds; a disk that needs longer
/// would hold up every pod.
const PUT_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for evidence from disk, of the time that the registry may be needed for.
const TAKE_LIMIT: Duration = Duration::from_secs(2);
/// The same where what is huge is among it: 45 MiB are read and hashed.
const TAKE_HUGE_LIMIT: Duration = Duration::from_secs(10);
/// Longest that housekeeping (counting, evicting) is waited for.
const HOUSE_LIMIT: Duration = Duration::from_secs(60);

/// The store, when there is one, and how it does.
#[derive(Debug, Default)]
pub(crate) struct DiskEvidence {
    disk: OnceLock<Disk>,
    failed_writes: AtomicU64,
    /// What is still to be put on disk.
    pending: PendingWrites,
    /// What is still to be forgotten there.
    forgets: Arc<PendingForgets>,
    trouble: Mutex<Trouble>,
}

/// A store that is open, and the threads that touch it.
#[derive(Debug)]
struct Disk {
    store: Arc<Store>,
    reader: DiskThread,
    huge_reader: DiskThread,
    writer: DiskThread,
    tidier: DiskThread,
}

/// What went wrong last, of each kind of task; none when the last one went well.
#[derive(Debug, Default)]
struct Trouble {
    read: Option<String>,
    write: Option<String>,
}

/// A kind of task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    /// Of what is huge as well: seconds of it would be in the way of all the rest.
    ReadHuge,
    /// Keeps something.
    Write,
    /// Removes what must not count any more, or notes that it must not.
    Forget,
    /// Counts and evicts.
    Tidy,
}

/// How the store does, for `sealgate status` and for monitors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreHealth {
    /// Whether there is a store at all.
    pub open: bool,
    /// Whether there is one, and the last task of each kind went well.
    pub healthy: bool,
    /// Evidence that could not be written since the start.
    pub failed_writes: u64,
    /// What last went wrong.
    pub error: Option<String>,
}

impl Disk {
    fn of(store: Arc<Store>) -> Self {
        let thread = |name| DiskThread::start(name, Arc::clone(&store));
        Self {
            reader: thread("evidence-read"),
            huge_reader: thread("evidence-huge"),
            writer: thread("evidence-write"),
            tidier: thread("evidence-tidy"),
            store,
        }
    }

    fn hangs(&self) -> bool {
        [&self.reader, &self.huge_reader, &self.writer, &self.tidier].iter().any(|it| it.hangs())
    }

    /// Who does tasks of a kind. What is to be forgotten goes the way of what is kept, so that
    /// neither overtakes the other.
    const fn thread(&self, access: Access) -> &DiskThread {
        match access {
            Access::Read => &self.reader,
            Access::ReadHuge => &self.huge_reader,
            Access::Write | Access::Forget => &self.writer,
            Access::Tidy => &self.tidier,
        }
    }
}

impl DiskEvidence {
    pub(crate) fn new(store: Option<Arc<Store>>) -> Self {
        let disk = store.map(Disk::of).map_or_else(OnceLock::new, OnceLock::from);
        Self { disk, ..Self::default() }
    }

    /// Puts a store to use that could not be opened before; the first one stays.
    pub(crate) fn open(&self, store: Arc<Store>) {
        if self.disk.set(Disk::of(store)).is_ok() {
            *self.trouble() = Trouble::default();
        }
    }

    /// Notes why there is no store.
    pub(crate) fn closed(&self, why: String) {
        self.trouble().read = Some(why);
    }

    /// The store, for whoever may block.
    pub(crate) fn store(&self) -> Option<&Arc<Store>> {
        self.disk.get().map(|disk| &disk.store)
    }

    pub(crate) fn health(&self) -> StoreHealth {
        let disk = self.disk.get();
        let trouble = self.trouble();
        let error = trouble.write.as_ref().or(trouble.read.as_ref()).cloned();
        let healthy = error.is_none() && disk.is_some_and(|disk| !disk.hangs());
        let failed_writes = self.failed_writes.load(Ordering::Relaxed);
        StoreHealth { open: disk.is_some(), healthy, failed_writes, error }
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the store has for a question; nothing when it cannot be asked.
    pub(crate) async fn take(&self, query: EvidenceQuery, sizes: Sizes) -> FoundOnDisk {
        self.try_take(query, sizes).await.unwrap_or_default()
    }

    /// The same; none when the store cannot be asked, which is not that there is nothing in it. A
    /// node without a store has nothing.
    pub(crate) async fn try_take(&self, query: EvidenceQuery, sizes: Sizes) -> Option<FoundOnDisk> {
        if self.disk.get().is_none() {
            return self.is_readable().then(FoundOnDisk::default);
        }
        let (access, limit) = match sizes {
            Sizes::All => (Access::ReadHuge, TAKE_HUGE_LIMIT),
            Sizes::Usual => (Access::Read, TAKE_LIMIT),
        };
        let forgets = Arc::clone(&self.forgets);
        let counts = move |entry: &Entry| !forgets.owe(entry);
        let take = move |store: &Store| take_now(store, &query, sizes, &counts);
        self.ask(access, limit, take).await
    }

    /// The same, from a thread that may block.
    pub(crate) fn take_blocking(&self, query: EvidenceQuery, sizes: Sizes) -> FoundOnDisk {
        // Without a runtime nobody waits for a disk.
        tokio::runtime::Handle::try_current()
            .map(|runtime| runtime.block_on(self.take(query, sizes)))
            .unwrap_or_default()
    }

    /// Whether the store has an entry of one of these digests from one of these repositories, and
    /// with it any evidence; nothing is said of a store that fails.
    pub(crate) async fn has(&self, query: EvidenceQuery) -> Option<bool> {
        if self.disk.get().is_none() {
            return Some(false);
        }
        let forgets = Arc::clone(&self.forgets);
        let any = move |store: &Store| {
            let counts = |entry: &Entry| !entry.manifests.is_empty() && !forgets.owe(entry);
            Ok(entries(store, &query)?.iter().any(counts))
        };
        self.ask(Access::Read, TAKE_LIMIT, any).await
    }

    /// Whether the store could be read when that was last tried, or there is none. Where it could
    /// not, nothing is known of what is in it.
    pub(crate) fn is_readable(&self) -> bool {
        self.trouble().read.is_none()
    }

    /// Whether the store's folder is still there; it is said when it is not.
    pub(crate) async fn look_after(&self) {
        let _told = self.ask(Access::Read, TAKE_LIMIT, Store::is_there).await;
    }

    /// Keeps what an admission rests on; returns when it is on disk, or when that cannot be waited
    /// for. What the disk does not take now it is given later.
    pub(crate) async fn merge(&self, how: Merge, pieces: &[PlaceEvidence], about: KeptAbout<'_>) {
        let entries = to_put(pieces, about);
        if how == Merge::Whole {
            let is_there =
                |pending: &Entry| entries.iter().any(|(entry, _)| entry.place == pending.place);
            self.pending.cancel(is_there);
        }
        self.merge_or_keep(how, entries).await;
    }

    /// Has the disk forget what it did not before, and gives it what it did not take before, unless
    /// it has something newer by now.
    pub(crate) async fn flush_pending(&self) {
        if let Some(at) = self.forgets.owed_flush() {
            self.put_flush_note(at).await;
        }
        for forget in self.forgets.owed() {
            let given = Arc::clone(&forget);
            let again = move |store: &Store| {
                retire(store, given.query(), &[], &|entry| given.was_gone(entry))
            };
            // A disk that does not do this one does not do the next.
            if !self.forget(&forget, again).await {
                break;
            }
        }
        self.merge_or_keep(Merge::Late, self.pending.take()).await;
    }

    async fn merge_or_keep(&self, how: Merge, mut entries: Vec<EntryWithBlobs>) {
        // What was fetched before it was withdrawn comes too late.
        entries.retain(|(entry, _)| !self.forgets.concern(entry));
        if entries.is_empty() {
            return;
        }
        if self.disk.get().is_none() {
            return self.pending.add(entries);
        }
        let given = entries.clone();
        // Each by itself: that one place has more than is kept of any does not keep the others out.
        let forgets = Arc::clone(&self.forgets);
        let all = move |store: &Store| {
            given
                .iter()
                .filter(|(entry, _)| !forgets.concern(entry))
                .map(|whole| how.put(store, whole))
                .fold(Ok(()), Result::and)
        };
        let done = self.run(Access::Write, PUT_LIMIT, all).await;
        if let Err(failure) = &done {
            self.failed_writes.fetch_add(1, Ordering::Relaxed);
            // What the store takes never, it is not given again.
            let never = StoreError::is_final;
            if !matches!(failure, DiskFailure::Store(error) if never(error)) {
                self.pending.add(entries);
            }
        }
        self.report_health(Access::Write, done);
    }

    /// Has the store forget what it has for a question and `is_gone` says as of `asked` is no longer
    /// so, but for what places show now: that takes its place. Until the disk has done it nothing
    /// of that from `asked` or before is believed.
    pub(crate) async fn retire(
        &self,
        (query, asked): (EvidenceQuery, Timestamp),
        (pieces, about): (&[PlaceEvidence], KeptAbout<'_>),
        is_gone: impl Fn(&Entry) -> bool + Send + Sync + 'static,
    ) {
        let shown = to_put(pieces, about);
        let forget = Arc::new(Forget::new(query, asked, is_gone));
        self.forgets.add(&forget);
        self.pending.cancel(|entry| forget.query().concerns(entry) && forget.is_gone(entry));
        let (given, whole) = (Arc::clone(&forget), shown.clone());
        let now = move |store: &Store| {
            retire(store, given.query(), &whole, &|entry| given.is_gone(entry))
        };
        if !self.forget(&forget, now).await {
            // What places show now is newer than what is to be forgotten, and is put there later.
            self.pending.add(shown);
        }
    }

    /// Has the disk forget something; whether it did.
    async fn forget(
        &self,
        forget: &Arc<Forget>,
        retire: impl FnOnce(&Store) -> Result<(), StoreError> + Send + 'static,
    ) -> bool {
        let is_done = self.ask(Access::Forget, PUT_LIMIT, retire).await.is_some();
        if is_done {
            self.forgets.done(forget);
        }
        is_done
    }

    /// Notes, aside, that entries were used, and for which image: while it is on the node they
    /// stay.
    pub(crate) fn used(self: &Arc<Self>, query: EvidenceQuery, target: &Digest, now: Timestamp) {
        let target = target.clone();
        self.ask_aside(Access::Write, PUT_LIMIT, move |store| {
            let used = entries(store, &query)?;
            used.iter().try_for_each(|entry| store.note_use(entry, &target, now))
        });
    }

    /// Notes, aside, that everything is to be forgotten, for the gate that comes after this one.
    pub(crate) fn note_flush(self: &Arc<Self>, at: Timestamp) {
        self.forgets.add_flush(at);
        let disk = Arc::clone(self);
        // Without a runtime nobody is there to ask for it either.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(async move { disk.put_flush_note(at).await }));
        }
    }

    async fn put_flush_note(&self, at: Timestamp) {
        let note = move |store: &Store| store.note_flush(at);
        if self.ask(Access::Forget, HOUSE_LIMIT, note).await.is_some() {
            self.forgets.flush_done(at);
        }
    }

    /// Counts and evicts, which no decision waits for.
    pub(crate) async fn run_housekeeping<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<T> {
        self.ask(Access::Tidy, HOUSE_LIMIT, work).await
    }

    /// Has a task done, and says how the disk is.
    async fn ask<T: Send + 'static>(
        &self,
        access: Access,
        limit: Duration,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<T> {
        let done = self.run(access, limit, work).await;
        self.report_health(access, done)
    }

    fn ask_aside(
        self: &Arc<Self>,
        access: Access,
        limit: Duration,
        work: impl FnOnce(&Store) -> Result<(), StoreError> + Send + 'static,
    ) {
        let disk = Arc::clone(self);
        // Without a runtime nobody is there to ask for it either.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(async move { disk.ask(access, limit, work).await }));
        }
    }

    /// A disk that hangs in one thread is not touched by the others: they would hang as well.
    async fn run<T: Send + 'static>(
        &self,
        access: Access,
        limit: Duration,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, DiskFailure> {
        let disk = self.disk.get().ok_or(DiskFailure::Closed)?;
        if disk.hangs() {
            return Err(DiskFailure::Slow);
        }
        let when_busy = if access == Access::Forget { WhenBusy::Try } else { WhenBusy::Fail };
        disk.thread(access).run(limit, when_busy, work).await
    }

    /// Says of a failure once what it is, and of the end of it. That a disk can be read, or that
    /// nothing had to be evicted, says nothing of whether it can be written.
    fn report_health<T>(&self, access: Access, done: Result<T, DiskFailure>) -> Option<T> {
        let (value, why) = match done {
            Ok(value) => (Some(value), None),
            Err(DiskFailure::Closed) => return None,
            Err(DiskFailure::Slow) => (None, Some("the disk did not answer in time".to_owned())),
            Err(DiskFailure::Store(error)) => (None, Some(error.to_string())),
        };
        let mut trouble = self.trouble();
        let last = match access {
            Access::Read | Access::ReadHuge | Access::Tidy => &mut trouble.read,
            Access::Write | Access::Forget => &mut trouble.write,
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
}

#[cfg(test)]
mod tests;
