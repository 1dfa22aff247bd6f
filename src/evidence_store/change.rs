//! Small changes of one entry: it was used, it was seen again, it is withdrawn.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};
use nix::fcntl::OFlag;

use super::Store;
use super::entry::Entry;
use super::error::{Action, StoreError};
use super::files;
use super::lock::{Hold, Lock};
use super::read::{self, Read};
use super::scan;
use crate::evidence::Place;
use crate::image::Digest;

/// How exactly it is known when an entry was used: the oldest go by days, and a write for each of
/// 110 containers that start would be in their way.
const USE_STEP: SignedDuration = SignedDuration::from_hours(1);

impl Store {
    /// Notes that an entry was used, at most once an hour; one that is not there is left alone.
    /// What fails is counted: nothing depends on it but the order in which evidence goes.
    pub fn touch(&self, entry: &Entry, now: Timestamp) {
        let result = self.try_touch(&entry.place, now);
        self.tally.count_failure(&result);
    }

    fn try_touch(&self, place: &Place, now: Timestamp) -> Result<(), StoreError> {
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
                Err(StoreError::io(Action::Write, &path, &error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Notes that a place still shows what its entry has: whether there is such an entry. The time
    /// never goes back.
    ///
    /// # Errors
    /// [`StoreError`]; then the entry is as it was.
    pub fn confirm(&self, place: &Place, fetched: Timestamp) -> Result<bool, StoreError> {
        let result = self.change(place, |path, mut entry| {
            if entry.fetched < fetched {
                entry.fetched = fetched;
                files::write(path, &entry.to_json())?;
            }
            Ok(())
        });
        self.tally.count_failure(&result);
        result
    }

    /// Notes that an image's admission rested on an entry: whether there is such an entry. One that
    /// was removed meanwhile does not come back, and the time at which it was found stays.
    ///
    /// # Errors
    /// [`StoreError`]; then the entry is as it was.
    pub fn add_target(&self, place: &Place, target: &Digest) -> Result<bool, StoreError> {
        let result = self.change(place, |path, entry| {
            if entry.targets.contains(target) {
                return Ok(());
            }
            let targets = BTreeSet::from([target.clone()]);
            let added = Entry { targets, names: Vec::new(), ..entry.clone() };
            let merged = added.merged(Some(&entry), &|digest| self.tally.may_be_needed(digest));
            files::write(path, &merged.to_json())
        });
        self.tally.count_failure(&result);
        result
    }

    /// Takes out the entry of a place, durably: whether there was one. Its blobs go when the store
    /// is tidied.
    ///
    /// # Errors
    /// [`StoreError`]; then the entry may still be there.
    pub fn remove(&self, place: &Place) -> Result<bool, StoreError> {
        let result = self.try_remove(place);
        self.tally.count_failure(&result);
        result
    }

    fn try_remove(&self, place: &Place) -> Result<bool, StoreError> {
        let (path, folder) = (self.folders.entry(place), self.folders.about(&place.subject));
        if !is_there(&folder)? {
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

    fn change(
        &self,
        place: &Place,
        act: impl FnOnce(&Path, Entry) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        let (path, folder) = (self.folders.entry(place), self.folders.about(&place.subject));
        if !is_there(&folder)? {
            return Ok(false);
        }
        let _store = Lock::store(self.folders.lock(), Hold::Shared)?;
        let _folder = Lock::folder(&folder)?;
        match read::look(&path, &place.subject)? {
            Read::Entry(entry) => act(&path, entry)?,
            Read::Nothing => return Ok(false),
            Read::Broken(why) => {
                self.tally.tell_broken(&path, &why);
                return Ok(false);
            }
        }
        files::sync_folder(&folder)?;
        Ok(true)
    }
}

fn is_there(folder: &Path) -> Result<bool, StoreError> {
    match fs::symlink_metadata(folder) {
        Ok(metadata) => Ok(metadata.is_dir()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io(Action::Open, folder, &error)),
    }
}
