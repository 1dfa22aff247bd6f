//! Putting an entry: blobs first, then the entry, so that a crash leaves at most blobs that nothing
//! names.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;

use super::entry::Entry;
use super::error::{Action, StoreError, Unfit};
use super::files::{self, charge};
use super::lock::{Hold, Lock};
use super::read::{self, Read};
use super::scan::{self, PER_SUBJECT_MAX};
use super::tally::Usage;
use super::{BLOB_MAX, Store};
use crate::image::Digest;

/// Times that room is looked for: once, and once more when another took what was found.
const ROUNDS: u32 = 3;

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
        let result = self.put_checked(entry, contents);
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
            clear(&path)?;
            files::write(&path, bytes)?;
            self.tally.mended(&path);
        }
        // Also when all were there: who wrote them may have been stopped before the disk knew.
        files::sync_folder(self.folders.blobs())
    }

    fn write_entry(&self, entry: &Entry) -> Result<(), StoreError> {
        let folder = self.folders.make_about(&entry.place.subject)?;
        let _lock = Lock::folder(&folder)?;
        let path = self.folders.entry(&entry.place);
        let earlier = match read::look(&path, &entry.place.subject)? {
            Read::Entry(earlier) => Some(earlier),
            Read::Nothing => {
                let mut count = 0_usize;
                scan::entry_files(&folder, &mut |_| {
                    count = count.saturating_add(1);
                    Ok(())
                })?;
                if count >= PER_SUBJECT_MAX {
                    return Err(StoreError::TooMany { path: folder, limit: PER_SUBJECT_MAX });
                }
                None
            }
            Read::Broken(_) => {
                clear(&path)?;
                None
            }
        };
        let merged = entry.merged(earlier.as_ref(), &|digest| self.tally.may_be_needed(digest));
        self.tally.protect(std::iter::once(&merged.place.subject).chain(&entry.targets));
        files::write(&path, &merged.to_json())?;
        files::sync_folder(&folder)?;
        self.tally.mended(&path);
        Ok(())
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

/// Takes an empty folder out of a file's place: no file can be renamed over it. One that is not
/// empty stays, and the rename says so.
fn clear(path: &Path) -> Result<(), StoreError> {
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        fs::remove_dir(path).map_err(|error| StoreError::io(Action::Remove, path, &error))?;
    }
    Ok(())
}
