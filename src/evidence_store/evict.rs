//! Making room: what was not used for long, then what was used longest ago, then what nothing
//! names.
//!
//! Never an entry about an image that is needed or may be. Alone, under the lock: nothing is added
//! meanwhile. Entries go before their blobs, so that a crash leaves at most blobs that nothing
//! names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};

use super::Store;
use super::error::{Broken, StoreError};
use super::files::{self, charge};
use super::lock::{Hold, Lock};
use super::read::{self, EntryFile};
use super::scan::{self, FILES_MAX, FileRole};
use super::tally::Usage;
use crate::image::Digest;

/// Room that is made beyond what is wanted, as a part of all: so that a full store is not looked
/// through for each entry.
const SLACK: u64 = 16;

/// What was evicted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Entries.
    pub entries: u64,
    /// Blobs that no entry names any more.
    pub blobs: u64,
    /// Broken entries and files of interrupted writes.
    pub remains: u64,
    /// Bytes of all these.
    pub bytes: u64,
}

/// An entry's file.
struct EvictionCandidate {
    path: PathBuf,
    subject: Digest,
    used: Timestamp,
    charge: u64,
    is_needed: bool,
}

/// A blob's file.
struct Blob {
    charge: u64,
    named_by: u32,
}

/// Everything in the store, without what the entries say.
#[derive(Default)]
struct Survey {
    entries: Vec<EvictionCandidate>,
    blobs: BTreeMap<Digest, Blob>,
    /// Broken entries and files of interrupted writes.
    remains: Vec<(PathBuf, u64)>,
    /// There are entries that cannot be read now, and may name any blob.
    is_opaque: bool,
}

/// Whether it is done, or found out what would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EvictionMode {
    Remove,
    Pretend,
}

impl Store {
    /// Evicts what was not used for `max_unused_days`, then the least recently used until there are
    /// at most `max_bytes`, never what is about an image that is `needed`; then blobs that nothing
    /// names, and remains of interrupted writes.
    ///
    /// # Errors
    /// [`StoreError`]; then some may be gone and some not.
    pub fn evict(
        &self,
        needed: &dyn Fn(&Digest) -> bool,
        now: Timestamp,
    ) -> Result<Evicted, StoreError> {
        self.evict_in(EvictionMode::Remove, needed, now)
    }

    /// What [`Store::evict`] would evict now; nothing is removed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn evictable(
        &self,
        needed: &dyn Fn(&Digest) -> bool,
        now: Timestamp,
    ) -> Result<Evicted, StoreError> {
        self.evict_in(EvictionMode::Pretend, needed, now)
    }

    fn evict_in(
        &self,
        mode: EvictionMode,
        needed: &dyn Fn(&Digest) -> bool,
        now: Timestamp,
    ) -> Result<Evicted, StoreError> {
        let oldest = match self.options.max_unused_days {
            0 => None,
            days => {
                now.checked_sub(SignedDuration::from_hours(24_i64.saturating_mul(days.into()))).ok()
            }
        };
        let keep = |digest: &Digest| needed(digest) || self.tally.is_recent(digest);
        let result = self.evict_until(mode, (self.options.max_bytes, oldest), &keep);
        self.tally.count_failure(&result);
        result
    }

    /// Makes room for an entry about `subject`, from what is known to be needed by nothing.
    pub(super) fn make_room(&self, more: Usage, subject: &Digest) -> Result<(), StoreError> {
        // Another process may have added or removed.
        self.tally.set_usage(scan::measure(&self.folders)?);
        if self.has_room(more) {
            return Ok(());
        }
        let max_bytes = self.options.max_bytes;
        if more.bytes > max_bytes || self.tally.is_exhausted() {
            return Err(self.full(more));
        }
        let keep = |digest: &Digest| digest == subject || self.tally.may_be_needed(digest);
        let goal = max_bytes.saturating_sub(more.bytes).saturating_sub(max_bytes / SLACK);
        self.evict_until(EvictionMode::Remove, (goal, None), &keep)?;
        if self.has_room(more) {
            return Ok(());
        }
        self.tally.set_exhausted(true);
        Err(self.full(more))
    }

    /// Whether this much more may be there.
    pub(super) fn has_room(&self, more: Usage) -> bool {
        let usage = self.tally.usage();
        let files = u64::try_from(FILES_MAX / 2).unwrap_or(u64::MAX);
        usage.bytes.saturating_add(more.bytes) <= self.options.max_bytes
            && usage.files.saturating_add(more.files) <= files
    }

    pub(super) fn full(&self, more: Usage) -> StoreError {
        let (bytes, max_bytes) = (self.tally.usage().bytes, self.options.max_bytes);
        StoreError::Full { more: more.bytes, bytes, max_bytes }
    }

    fn evict_until(
        &self,
        mode: EvictionMode,
        (goal, oldest): (u64, Option<Timestamp>),
        keep: &dyn Fn(&Digest) -> bool,
    ) -> Result<Evicted, StoreError> {
        let _lock = Lock::store(self.folders.lock(), Hold::Alone)?;
        let mut survey = self.survey(keep)?;
        let mut evicted = Evicted::default();
        for (path, charge) in std::mem::take(&mut survey.remains) {
            if self.remove_file(mode, &path)? {
                evicted.remains = evicted.remains.saturating_add(1);
                evicted.bytes = evicted.bytes.saturating_add(charge);
            }
        }
        survey.entries.sort_by(|one, other| {
            one.used.cmp(&other.used).then_with(|| one.path.cmp(&other.path))
        });
        let mut bytes = survey.bytes();
        for candidate in std::mem::take(&mut survey.entries) {
            let is_old = oldest.is_some_and(|oldest| candidate.used < oldest);
            if candidate.is_needed || (bytes <= goal && !is_old) {
                continue;
            }
            let freed = survey.remove(mode, &candidate)?;
            bytes = bytes.saturating_sub(freed);
            evicted.entries = evicted.entries.saturating_add(1);
            evicted.bytes = evicted.bytes.saturating_add(candidate.charge);
        }
        self.sweep(mode, &survey, &mut evicted)?;
        if mode == EvictionMode::Pretend {
            return Ok(evicted);
        }
        self.tally.set_exhausted(false);
        self.tally.set_usage(scan::measure(&self.folders)?);
        Ok(evicted)
    }

    /// Removes the blobs that nothing names, and folders that are empty.
    fn sweep(
        &self,
        mode: EvictionMode,
        survey: &Survey,
        evicted: &mut Evicted,
    ) -> Result<(), StoreError> {
        scan::subjects(&self.folders, &mut |_, folder| {
            if mode == EvictionMode::Remove {
                // One with something in it stays.
                drop(fs::remove_dir(folder));
            }
            Ok(())
        })?;
        if survey.is_opaque {
            return Ok(());
        }
        for (digest, blob) in survey.blobs.iter().filter(|(_, blob)| blob.named_by == 0) {
            let path = self.folders.blob(digest);
            if self.remove_file(mode, &path)? {
                evicted.blobs = evicted.blobs.saturating_add(1);
                evicted.bytes = evicted.bytes.saturating_add(blob.charge);
            }
        }
        Ok(())
    }

    /// Whether there was such a file.
    fn remove_file(&self, mode: EvictionMode, path: &Path) -> Result<bool, StoreError> {
        if mode == EvictionMode::Pretend {
            return Ok(true);
        }
        let was_there = files::remove(path)?;
        if was_there {
            self.tally.mended(path);
        }
        Ok(was_there)
    }

    fn survey(&self, keep: &dyn Fn(&Digest) -> bool) -> Result<Survey, StoreError> {
        let mut survey = Survey::default();
        scan::each_file(&self.folders, FILES_MAX, &mut |role, path| {
            let charge = charge_of(&path);
            match role {
                FileRole::Blob(digest) => {
                    survey.blobs.insert(digest, Blob { charge, named_by: 0 });
                }
                FileRole::Entry(subject) => survey.add(self, &path, &subject, keep),
                FileRole::Temporary => survey.remains.push((path, charge)),
                FileRole::StrayBlob => {}
            }
            Ok(())
        })?;
        Ok(survey)
    }
}

impl Survey {
    /// Adds an entry's file. One that the disk does not give now, or that a later version wrote, is
    /// not judged by this one: it stays, and so do all blobs.
    fn add(
        &mut self,
        store: &Store,
        path: &Path,
        subject: &Digest,
        keep: &dyn Fn(&Digest) -> bool,
    ) {
        let charge = charge_of(path);
        match read::look(path, subject) {
            Ok(EntryFile::Entry(entry)) => {
                for digest in entry.contents() {
                    if let Some(blob) = self.blobs.get_mut(digest) {
                        blob.named_by = blob.named_by.saturating_add(1);
                    }
                }
                let used = fs::symlink_metadata(path)
                    .map_or(Timestamp::UNIX_EPOCH, |metadata| scan::used(&metadata));
                let (path, subject) = (path.to_owned(), subject.clone());
                self.entries.push(EvictionCandidate {
                    path,
                    subject,
                    used,
                    charge,
                    is_needed: entry.concerns(keep),
                });
            }
            Ok(EntryFile::Nothing) => {}
            Ok(EntryFile::Broken(Broken::Version(_))) | Err(_) => self.is_opaque = true,
            Ok(EntryFile::Broken(why)) => {
                store.tally.tell_broken(path, &why);
                self.remains.push((path.to_owned(), charge));
            }
        }
    }

    /// Bytes of the entries, and of the blobs that they name.
    fn bytes(&self) -> u64 {
        let blobs = self
            .blobs
            .values()
            .filter(|blob| self.is_opaque || blob.named_by > 0)
            .map(|blob| blob.charge);
        self.entries.iter().map(|entry| entry.charge).chain(blobs).fold(0, u64::saturating_add)
    }

    /// Removes an entry: the bytes that go with it.
    fn remove(
        &mut self,
        mode: EvictionMode,
        candidate: &EvictionCandidate,
    ) -> Result<u64, StoreError> {
        let mut freed = candidate.charge;
        // Read again: all entries at once would be much to hold.
        if let EntryFile::Entry(entry) = read::look(&candidate.path, &candidate.subject)? {
            for digest in entry.contents() {
                if let Some(blob) = self.blobs.get_mut(digest) {
                    blob.named_by = blob.named_by.saturating_sub(1);
                    if blob.named_by == 0 && !self.is_opaque {
                        freed = freed.saturating_add(blob.charge);
                    }
                }
            }
        }
        if mode == EvictionMode::Remove {
            files::remove(&candidate.path)?;
        }
        Ok(freed)
    }
}

fn charge_of(path: &Path) -> u64 {
    fs::symlink_metadata(path).map_or(0, |metadata| charge(metadata.len()))
}
