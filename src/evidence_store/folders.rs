//! [`Folders`]: where what is kept, below the store's folder.
//!
//! `blobs/sha256/<hex>` has the bytes of a digest, `entries/<subject's hex>/<hash of the
//! place>.json` an entry, `lock` is locked, `flushed` has a time. Every name is made of a validated
//! digest or is one of these words (attack E2).

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::entry::file_name;
use super::error::{StoreAction, StoreError};
use super::files::sync_folder;
use crate::evidence::Place;
use crate::file_trust::{self, Above};
use crate::image::Digest;

/// Permission bits of the store's folders: what images a node runs is nobody else's business.
const MODE: u32 = 0o700;
/// Permission bits of folders above it that are not there.
const MODE_ABOVE: u32 = 0o755;

/// The paths of one store.
#[derive(Debug, Clone)]
pub(super) struct Folders {
    root: PathBuf,
    algorithms: PathBuf,
    blobs: PathBuf,
    entries: PathBuf,
    lock: PathBuf,
    flushed: PathBuf,
}

impl Folders {
    pub(super) fn below(root: &Path) -> Self {
        let algorithms = root.join("blobs");
        let (blobs, entries) = (algorithms.join("sha256"), root.join("entries"));
        let (lock, flushed) = (root.join("lock"), root.join("flushed"));
        Self { root: root.to_owned(), algorithms, blobs, entries, lock, flushed }
    }

    /// The store's folder.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of blobs.
    pub(super) fn blobs(&self) -> &Path {
        &self.blobs
    }

    /// The folder of folders of entries.
    pub(super) fn entries(&self) -> &Path {
        &self.entries
    }

    /// The file that is locked.
    pub(super) fn lock(&self) -> &Path {
        &self.lock
    }

    /// The file that says when everything was last to be forgotten.
    pub(super) fn flushed(&self) -> &Path {
        &self.flushed
    }

    /// The file of a blob.
    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.hex())
    }

    /// The folder of the entries about one digest.
    pub(super) fn about(&self, subject: &Digest) -> PathBuf {
        self.entries.join(subject.hex())
    }

    /// The file of an entry.
    pub(super) fn entry(&self, place: &Place) -> PathBuf {
        self.about(&place.subject).join(file_name(place))
    }

    /// Makes what is not there, and checks that nobody else may change what is.
    pub(super) fn make(&self) -> Result<(), StoreError> {
        if let Some(above) = self.root.parent().filter(|above| !above.as_os_str().is_empty()) {
            let made = DirBuilder::new().recursive(true).mode(MODE_ABOVE).create(above);
            made.map_err(|error| StoreError::io(StoreAction::Make, above, &error))?;
        }
        let mut is_new = make(&self.root, |path| fs::metadata(path))?;
        file_trust::check(&self.root, Above::NobodyElse).map_err(StoreError::Unsafe)?;
        for folder in [&self.algorithms, &self.blobs, &self.entries] {
            is_new |= self.make_inside(folder)?;
        }
        if is_new {
            sync_folder(&self.algorithms)?;
            sync_folder(&self.root)?;
            self.root
                .parent()
                .filter(|above| !above.as_os_str().is_empty())
                .map_or(Ok(()), sync_folder)?;
        }
        Ok(())
    }

    /// Makes the folder of the entries about one digest, durably.
    pub(super) fn make_about(&self, subject: &Digest) -> Result<PathBuf, StoreError> {
        let folder = self.about(subject);
        self.make_inside(&folder)?;
        // Also when it was there: who made it may have been stopped before the disk knew.
        sync_folder(&self.entries)?;
        Ok(folder)
    }

    fn make_inside(&self, folder: &Path) -> Result<bool, StoreError> {
        let is_new = make(folder, |path| fs::symlink_metadata(path))?;
        let metadata = fs::symlink_metadata(folder)
            .map_err(|error| StoreError::io(StoreAction::Open, folder, &error))?;
        file_trust::check_open(folder, &metadata).map_err(StoreError::Unsafe)?;
        Ok(is_new)
    }
}

/// Makes one folder unless it is there: whether it was made.
fn make(folder: &Path, look: impl Fn(&Path) -> io::Result<Metadata>) -> Result<bool, StoreError> {
    match look(folder) {
        Ok(metadata) if metadata.is_dir() => return Ok(false),
        Ok(_) => return Err(StoreError::NotAFolder { path: folder.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(StoreError::io(StoreAction::Open, folder, &error)),
    }
    match DirBuilder::new().mode(MODE).create(folder) {
        Ok(()) => Ok(true),
        // Another process was faster; whether it is a folder is seen when it is used.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(true),
        Err(error) => Err(StoreError::io(StoreAction::Make, folder, &error)),
    }
}
