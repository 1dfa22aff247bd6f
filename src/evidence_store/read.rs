//! Reading: blobs by digest, entries by place and by subject. What is broken is as if it were not
//! there, and said.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::Timestamp;

use super::entry::{self, Entry};
use super::error::{Broken, StoreAction, StoreError};
use super::files::{self, FileContent};
use super::scan::{self, FileRole, PER_SUBJECT_MAX};
use super::{BLOB_MAX, Store};
use crate::evidence::Place;
use crate::image::Digest;

/// An entry with what is known of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The entry.
    pub entry: Entry,
    /// When it was put or last used, to the hour.
    pub used: Timestamp,
    /// Bytes of its file and of the blobs that it names, as they are on disk; those that others
    /// name too are counted with each.
    pub bytes: u64,
}

/// What an entry's file holds.
pub(super) enum EntryFile {
    Entry(Entry),
    Nothing,
    Broken(Broken),
}

impl Store {
    /// Whether the store's folder is still where it was: one that was removed, or on a disk that
    /// was unmounted, reads as if it had never held anything.
    ///
    /// # Errors
    /// [`StoreError`] when it is not.
    pub fn is_there(&self) -> Result<(), StoreError> {
        let folder = self.folders.entries();
        fs::symlink_metadata(folder)
            .map(drop)
            .map_err(|error| StoreError::io(StoreAction::Open, folder, &error))
    }

    /// The entries about one digest, the newest first.
    ///
    /// # Errors
    /// [`StoreError`] when the disk fails; what is broken is left out.
    pub fn entries_of(&self, subject: &Digest) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        scan::entry_files(&self.folders.about(subject), &mut |path| {
            if entries.len() < PER_SUBJECT_MAX {
                entries.extend(self.entry_at(&path, subject)?);
            }
            Ok(())
        })?;
        entries.sort_by(|one: &Entry, other| {
            let place = |entry: &Entry| (entry.place.repository.to_string(), entry.place.source);
            other.fetched.cmp(&one.fetched).then_with(|| place(one).cmp(&place(other)))
        });
        Ok(entries)
    }

    /// The entry of one place.
    ///
    /// # Errors
    /// As [`Store::entries_of`].
    pub fn entry(&self, place: &Place) -> Result<Option<Entry>, StoreError> {
        self.entry_at(&self.folders.entry(place), &place.subject)
    }

    /// All entries, the most recently used first.
    ///
    /// # Errors
    /// As [`Store::each_entry`].
    pub fn entries(&self) -> Result<Vec<Kept>, StoreError> {
        let mut kept = Vec::new();
        self.each_entry(&mut |one| kept.push(one))?;
        Ok(kept)
    }

    /// Calls `each` with every entry, the most recently used first; one after the other is in
    /// memory.
    ///
    /// # Errors
    /// As [`Store::entries_of`], and where there are more files than are looked at: never a part
    /// without a word.
    pub fn each_entry(&self, each: &mut dyn FnMut(Kept)) -> Result<(), StoreError> {
        let mut files: Vec<(Timestamp, u64, PathBuf, Digest)> = Vec::new();
        scan::subjects(&self.folders, &mut |subject, folder| {
            scan::entry_files(&folder, &mut |path| {
                if let Ok(metadata) = fs::symlink_metadata(&path) {
                    files.push((scan::used(&metadata), metadata.len(), path, subject.clone()));
                }
                Ok(())
            })
        })?;
        files.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.2.cmp(&other.2)));
        for (used, length, path, subject) in files {
            let Some(entry) = self.entry_at(&path, &subject)? else { continue };
            let bytes = entry
                .contents()
                .map(|digest| self.length(digest))
                .fold(length, u64::saturating_add);
            each(Kept { entry, used, bytes });
        }
        Ok(())
    }

    /// Bytes of at most `limit` that hash to a digest; none where there is nothing, or nothing that
    /// does.
    ///
    /// # Errors
    /// As [`Store::entries_of`].
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Option<Bytes>, StoreError> {
        let path = self.folders.blob(digest);
        let broken = match self.blob_at(&path, digest, limit)? {
            Ok(bytes) => return Ok(bytes),
            Err(broken) => broken,
        };
        // That it is too large for who asks does not say that it is broken.
        let is_fault = broken != Broken::TooLarge(limit) || limit >= BLOB_MAX;
        if is_fault {
            self.tally.tell_broken(&path, &broken);
        }
        Ok(None)
    }

    /// The bytes of a blob, none, or why they do not count.
    pub(super) fn blob_at(
        &self,
        path: &Path,
        digest: &Digest,
        limit: u64,
    ) -> Result<Result<Option<Bytes>, Broken>, StoreError> {
        Ok(match files::read(path, limit)? {
            FileContent::Bytes(bytes) if Digest::of(&bytes) == *digest => Ok(Some(bytes.into())),
            FileContent::Bytes(_) => Err(Broken::Digest),
            FileContent::Nothing => Ok(None),
            FileContent::Broken(why) => Err(why),
        })
    }

    /// The entry in a file, which must stand where it belongs.
    pub(super) fn entry_at(
        &self,
        path: &Path,
        subject: &Digest,
    ) -> Result<Option<Entry>, StoreError> {
        match look(path, subject)? {
            EntryFile::Entry(entry) => Ok(Some(entry)),
            EntryFile::Nothing => Ok(None),
            EntryFile::Broken(why) => {
                self.tally.tell_broken(path, &why);
                Ok(None)
            }
        }
    }

    fn length(&self, digest: &Digest) -> u64 {
        fs::symlink_metadata(self.folders.blob(digest)).map_or(0, |metadata| metadata.len())
    }
}

/// What an entry's file holds.
pub(super) fn look(path: &Path, subject: &Digest) -> Result<EntryFile, StoreError> {
    Ok(match files::read(path, entry::FILE_MAX)? {
        FileContent::Nothing => EntryFile::Nothing,
        FileContent::Broken(why) => EntryFile::Broken(why),
        FileContent::Bytes(bytes) => match Entry::parse(&bytes) {
            Ok(entry) if is_at_home(&entry, path, subject) => EntryFile::Entry(entry),
            Ok(_) => EntryFile::Broken(Broken::Misplaced),
            Err(why) => EntryFile::Broken(why),
        },
    })
}

fn is_at_home(entry: &Entry, path: &Path, subject: &Digest) -> bool {
    let named =
        path.file_name().is_some_and(|name| name == entry::file_name(&entry.place).as_str());
    named && entry.place.subject == *subject
}

impl Store {
    /// Looks at every file: calls `each` with its path, and why it counts as not there, if it does.
    /// What is found broken is counted as it is when it is used, and left where it is. Files that
    /// are being written are not looked at.
    ///
    /// # Errors
    /// [`StoreError`] when the disk fails; then not every file was looked at.
    pub fn check(&self, each: &mut dyn FnMut(&Path, Option<&Broken>)) -> Result<(), StoreError> {
        scan::each_file(&self.folders, 2 * PER_SUBJECT_MAX, &mut |role, path| {
            let broken = match role {
                FileRole::Temporary => return Ok(()),
                // What no digest is the name of is nobody's.
                FileRole::StrayBlob => {
                    each(&path, Some(&Broken::Misplaced));
                    return Ok(());
                }
                FileRole::Blob(digest) => self.blob_at(&path, &digest, BLOB_MAX)?.err(),
                FileRole::Entry(subject) => match look(&path, &subject)? {
                    EntryFile::Broken(why) => Some(why),
                    EntryFile::Entry(_) | EntryFile::Nothing => None,
                },
            };
            if let Some(why) = &broken {
                self.tally.tell_broken(&path, why);
            }
            each(&path, broken.as_ref());
            Ok(())
        })
    }
}
