//! [`Tally`]: what the store knows without looking: about how much there is, what is needed, what
//! was found broken.
//!
//! Nothing here decides what is there: that the disk does, each time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::error::{Broken, StoreError};
use crate::image::Digest;

/// Broken files that are remembered as told: as many lines in the log may they cost, and no more.
const TOLD_MAX: usize = 1024;
/// Images of new entries that are protected until the node has been asked which it has, twice: many
/// times as many as a node pulls between.
const RECENT_MAX: usize = 4096;

/// How much there is, and what went wrong since the start; for status and metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries.
    pub entries: u64,
    /// Files, entries and blobs.
    pub files: u64,
    /// Bytes of these, in whole blocks of 4 KiB. As last counted, with what this process added
    /// since.
    pub bytes: u64,
    /// Files that were found broken, each counted once.
    pub broken: u64,
    /// Writes that failed.
    pub failed: u64,
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) entries: u64,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// What the store knows without looking.
#[derive(Debug, Default)]
pub(super) struct Tally {
    state: Mutex<TallyState>,
    broken: AtomicU64,
    failed: AtomicU64,
}

#[derive(Debug, Default)]
struct TallyState {
    usage: Usage,
    needed: Option<BTreeSet<Digest>>,
    /// Images of entries that were put since the node was last asked which it has, and since the
    /// time before.
    recent: [BTreeSet<Digest>; 2],
    /// Nothing could be evicted, and nothing has changed since.
    is_exhausted: bool,
    told: BTreeSet<PathBuf>,
}

impl Tally {
    pub(super) fn counts(&self) -> Counts {
        let Usage { entries, files, bytes } = self.usage();
        let (broken, failed) =
            (self.broken.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed));
        Counts { entries, files, bytes, broken, failed }
    }

    pub(super) fn usage(&self) -> Usage {
        self.state().usage
    }

    pub(super) fn set_usage(&self, usage: Usage) {
        self.state().usage = usage;
    }

    pub(super) fn added(&self, more: Usage) {
        let usage = &mut self.state().usage;
        usage.entries = usage.entries.saturating_add(more.entries);
        usage.files = usage.files.saturating_add(more.files);
        usage.bytes = usage.bytes.saturating_add(more.bytes);
    }

    /// What the images on the node need.
    pub(super) fn set_needed(&self, needed: BTreeSet<Digest>) {
        let mut state = self.state();
        state.needed = Some(needed);
        let [new, _] = std::mem::take(&mut state.recent);
        state.recent = [BTreeSet::new(), new];
        state.is_exhausted = false;
    }

    /// Protects the images of a new entry until the node was asked twice: the first answer may be
    /// older.
    pub(super) fn protect<'a>(&self, images: impl Iterator<Item = &'a Digest>) {
        let [new, _] = &mut self.state().recent;
        for image in images {
            if new.len() < RECENT_MAX {
                new.insert(image.clone());
            }
        }
    }

    /// Whether a digest may be needed: all may until it is known which are.
    pub(super) fn may_be_needed(&self, digest: &Digest) -> bool {
        let state = self.state();
        state.needed.as_ref().is_none_or(|needed| needed.contains(digest))
            || is_recent(&state, digest)
    }

    /// Whether an entry about this digest was put a short while ago.
    pub(super) fn is_recent(&self, digest: &Digest) -> bool {
        is_recent(&self.state(), digest)
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.state().is_exhausted
    }

    pub(super) fn set_exhausted(&self, is_exhausted: bool) {
        self.state().is_exhausted = is_exhausted;
    }

    /// Counts a broken file, and says so, the first time that it is seen.
    pub(super) fn tell_broken(&self, path: &Path, why: &Broken) {
        let mut state = self.state();
        if state.told.len() >= TOLD_MAX || !state.told.insert(path.to_owned()) {
            return;
        }
        drop(state);
        self.broken.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(path = %path.display(), "a file of the evidence store counts as not there: \
            {why}");
    }

    /// A broken file was replaced or removed: if it breaks again, that is said again.
    pub(super) fn mended(&self, path: &Path) {
        self.state().told.remove(path);
    }

    /// Counts a write that failed.
    pub(super) fn count_failure<T>(&self, result: &Result<T, StoreError>) {
        if matches!(result, Err(error) if !matches!(error, StoreError::Unfit(_))) {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A thread that panicked left nothing half done here.
    fn state(&self) -> MutexGuard<'_, TallyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_recent(state: &TallyState, digest: &Digest) -> bool {
    state.recent.iter().any(|recent| recent.contains(digest))
}
