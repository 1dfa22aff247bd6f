//! The writes: an entry is put, it was used, it is removed.
//!
//! Blobs are written first, then the entry, so that a crash leaves at most blobs that nothing names.
//! Every entry is written by [`Store::rewrite`], under the lock of its folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use nix::fcntl::OFlag;

use super::entry::Entry;
use super::error::{StoreAction, StoreError, Unfit};
use super::files::{self, charge};
use super::lock::{Hold, Lock};
use super::read::{self, EntryFile};
use super::scan::{self, PER_SUBJECT_MAX};
use super::tally::Usage;
use super::{BLOB_MAX, Store};
use crate::evidence::Place;
use crate::image::Digest;

/// Times that room is looked for: once, and once more when another took what was found.
const ROUNDS: u32 = 3;
/// How exactly it is known when an entry was used: the oldest go by days, and a write for each of
/// 110 containers that start would be in their way.
const USE_STEP: SignedDuration = SignedDuration::from_hours(1);

/// The blobs of an entry that are not in the store, with their bytes.
type Missing<'a> = Vec<(&'a Digest, &'a Bytes)>;

impl Store {
    /// Keeps an entry with all its contents, durably; an entry of the same place is replaced, and
    /// its targets and names are kept with the new ones. Contents that the entry does not name are
    /// not kept.
    ///
    /// # Errors
    /// [`StoreError`]; then the entry is as it was before.
    pub fn put(&self, entry: &Entry, contents: &[(Digest, Bytes)]) -> Result<(), StoreError> {
        self.counted(self.put_checked(entry, contents))
    }

    /// Notes that an entry was used, at most once an hour, and that the admission of an image rested
    /// on it. What was put in its place since stays, one that was removed meanwhile does not come
    /// back, and the time at which it was found stays.
    ///
    /// # Errors
    /// [`StoreError`]; then the entry is as it was, and may go sooner.
    pub fn note_use(
        &self,
        entry: &Entry,
        target: &Digest,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let touched = self.touch(&entry.place, now);
        let added = if entry.targets.contains(target) {
            Ok(())
        } else {
            self.add_target(&entry.place, target)
        };
        self.counted(touched.and(added))
    }

    /// Takes out the entry of a place, durably: whether there was one. Its blobs go when the store
    /// is tidied.
    ///
    /// # Errors
    /// [`StoreError`]; then the entry may still be there.
    pub fn remove(&self, place: &Place) -> Result<bool, StoreError> {
        self.counted(self.try_remove(place))
    }

    fn counted<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        self.tally.count_failure(&result);
        result
    }

    fn put_checked(&self, entry: &Entry, contents: &[(Digest, Bytes)]) -> Result<(), StoreError> {
        entry.check()?;
        let given = hashed(contents)?;
        self.folders.make()?;
        for _ in 0..ROUNDS {
            let lock = Lock::store(self.folders.lock(), Hold::Shared)?;
            let missing = self.missing(entry, &given)?;
            let more = self.more(entry, &missing);
            if self.has_room(more) {
                self.write_blobs(&missing)?;
                self.write_entry(entry)?;
                self.tally.added(more);
                drop(lock);
                return Ok(());
            }
            drop(lock);
            self.make_room(more, &entry.place.subject)?;
        }
        Err(self.full(self.more(entry, &Vec::new())))
    }

    /// What of the entry's contents is not in the store, or broken there.
    fn missing<'a>(
        &self,
        entry: &'a Entry,
        given: &BTreeMap<&'a Digest, &'a Bytes>,
    ) -> Result<Missing<'a>, StoreError> {
        let mut missing: BTreeMap<&Digest, &Bytes> = BTreeMap::new();
        for digest in entry.contents() {
            if matches!(self.blob_at(&self.folders.blob(digest), digest, BLOB_MAX)?, Ok(Some(_))) {
                continue;
            }
            let bytes = given.get(digest).ok_or_else(|| Unfit::Missing(digest.clone()))?;
            missing.insert(digest, bytes);
        }
        Ok(missing.into_iter().collect())
    }

    /// What this entry adds.
    fn more(&self, entry: &Entry, missing: &Missing<'_>) -> Usage {
        let is_new = fs::symlink_metadata(self.folders.entry(&entry.place)).is_err();
        let own = if is_new {
            charge(u64::try_from(entry.to_json().len()).unwrap_or(u64::MAX))
        } else {
            0
        };
        let blobs =
            missing.iter().map(|(_, bytes)| charge(u64::try_from(bytes.len()).unwrap_or(u64::MAX)));
        let files =
            u64::try_from(missing.len()).unwrap_or(u64::MAX).saturating_add(u64::from(is_new));
        Usage { entries: u64::from(is_new), files, bytes: blobs.fold(own, u64::saturating_add) }
    }

    fn write_blobs(&self, missing: &Missing<'_>) -> Result<(), StoreError> {
        for (digest, bytes) in missing {
            let path = self.folders.blob(digest);
            files::write(&path, bytes)?;
            self.tally.mended(&path);
        }
        // Also when all were there: who wrote them may have been stopped before the disk knew.
        files::sync_folder(self.folders.blobs())
    }

    fn write_entry(&self, entry: &Entry) -> Result<(), StoreError> {
        let folder = self.folders.make_about(&entry.place.subject)?;
        self.rewrite(&entry.place, |earlier| {
            if earlier.is_none() && fs::symlink_metadata(self.folders.entry(&entry.place)).is_err()
            {
                has_room_for_one(&folder)?;
            }
            let merged = self.merged(entry, earlier.as_ref());
            self.tally.protect(std::iter::once(&merged.place.subject).chain(&entry.targets));
            Ok(Some(merged))
        })
    }

    fn add_target(&self, place: &Place, target: &Digest) -> Result<(), StoreError> {
        if !is_folder(&self.folders.about(&place.subject))? {
            return Ok(());
        }
        let _store = Lock::store(self.folders.lock(), Hold::Shared)?;
        self.rewrite(place, |there| {
            let Some(there) = there.filter(|there| !there.targets.contains(target)) else {
                return Ok(None);
            };
            let targets = BTreeSet::from([target.clone()]);
            let added = Entry { targets, names: Vec::new(), ..there.clone() };
            Ok(Some(self.merged(&added, Some(&there))))
        })
    }

    fn merged(&self, entry: &Entry, earlier: Option<&Entry>) -> Entry {
        entry.merged(earlier, &|digest| self.tally.may_be_needed(digest))
    }

    /// Writes, durably, what `change` makes of the entry of a place, if anything. What is broken is
    /// as if it were not there.
    fn rewrite(
        &self,
        place: &Place,
        change: impl FnOnce(Option<Entry>) -> Result<Option<Entry>, StoreError>,
    ) -> Result<(), StoreError> {
        let (path, folder) = (self.folders.entry(place), self.folders.about(&place.subject));
        let _lock = Lock::folder(&folder)?;
        let there = match read::look(&path, &place.subject)? {
            EntryFile::Entry(entry) => Some(entry),
            EntryFile::Nothing | EntryFile::Broken(_) => None,
        };
        if let Some(entry) = change(there)? {
            files::write(&path, &entry.to_json())?;
            files::sync_folder(&folder)?;
            self.tally.mended(&path);
        }
        Ok(())
    }

    fn touch(&self, place: &Place, now: Timestamp) -> Result<(), StoreError> {
        let path = self.folders.entry(place);
        let Ok(metadata) = fs::symlink_metadata(&path) else { return Ok(()) };
        // One from the future, of a clock that was wrong, is set right.
        if !metadata.is_file() || now.duration_since(scan::used(&metadata)).abs() < USE_STEP {
            return Ok(());
        }
        let mut how = OpenOptions::new();
        how.write(true).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
        let touched = how.open(&path).and_then(|file| file.set_modified(SystemTime::from(now)));
        match touched {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io(StoreAction::Write, &path, &error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn try_remove(&self, place: &Place) -> Result<bool, StoreError> {
        let (path, folder) = (self.folders.entry(place), self.folders.about(&place.subject));
        if !is_folder(&folder)? {
            return Ok(false);
        }
        let _store = Lock::store(self.folders.lock(), Hold::Shared)?;
        let _folder = Lock::folder(&folder)?;
        let was_there = files::remove(&path)?;
        files::sync_folder(&folder)?;
        self.tally.mended(&path);
        self.tally.set_exhausted(false);
        Ok(was_there)
    }
}

/// Refuses one more entry about a digest than are looked at.
fn has_room_for_one(folder: &Path) -> Result<(), StoreError> {
    let mut count = 0_usize;
    scan::entry_files(folder, &mut |_| {
        count = count.saturating_add(1);
        Ok(())
    })?;
    if count < PER_SUBJECT_MAX {
        return Ok(());
    }
    Err(StoreError::TooMany { path: folder.to_owned(), limit: PER_SUBJECT_MAX })
}

fn is_folder(path: &Path) -> Result<bool, StoreError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(metadata.is_dir()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io(StoreAction::Open, path, &error)),
    }
}

/// Checks that bytes are what they were given as (attack A7).
fn hashed(contents: &[(Digest, Bytes)]) -> Result<BTreeMap<&Digest, &Bytes>, Unfit> {
    let mut given = BTreeMap::new();
    for (claimed, bytes) in contents {
        if u64::try_from(bytes.len()).is_ok_and(|length| length > BLOB_MAX) {
            return Err(Unfit::TooLarge { digest: claimed.clone(), limit: BLOB_MAX });
        }
        let actual = Digest::of(bytes);
        if actual != *claimed {
            return Err(Unfit::Mismatch { claimed: claimed.clone(), actual });
        }
        given.insert(claimed, bytes);
    }
    Ok(given)
}
