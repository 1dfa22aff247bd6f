//! [`LayoutFiles`]: a layout that is read, a tar file or a folder. What comes out hashes to what it was
//! asked by.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use nix::fcntl::OFlag;

use super::archive::Members;
use super::error::{LayoutError, Skipped};
use super::{INDEX_FILE, INDEX_MAX, LAYOUT_FILE};
use crate::evidence_store::files::{self, FileContent};
use crate::evidence_store::{Broken, StoreError};
use crate::image::Digest;

/// Longest `oci-layout`: it has one field.
const LAYOUT_MAX: u64 = 4 << 10;
/// Most bytes of blobs that are read in one import, each counted as often as it is read: several
/// times what a store keeps. It bounds the time.
pub(super) const READ_MAX: u64 = 4 << 30;
/// How compressed files begin, and with what they are compressed.
const COMPRESSED: [(&[u8], &str); 4] = [
    (&[0x1f, 0x8b], "gzip"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
    (b"BZh", "bzip2"),
    (&[0xfd, b'7', b'z'], "xz"),
];

/// A layout that is read.
pub(super) struct LayoutFiles {
    kind: Container,
    read: Cell<u64>,
}

enum Container {
    Archive(Members),
    Folder(PathBuf),
}

impl LayoutFiles {
    /// Opens what is at a path.
    pub(super) fn open(path: &Path) -> Result<Self, LayoutError> {
        let failed =
            |error: io::Error| LayoutError::Input { path: path.to_owned(), kind: error.kind() };
        let metadata = fs::metadata(path).map_err(failed)?;
        let kind = if metadata.is_dir() {
            Container::Folder(path.to_owned())
        } else {
            // Opening a pipe would wait for a writer; with this it does not.
            let mut how = OpenOptions::new();
            let file =
                how.read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).map_err(failed)?;
            if !file.metadata().map_err(failed)?.is_file() {
                return Err(LayoutError::NotAFile { path: path.to_owned() });
            }
            refuse_compressed(&file)?;
            Container::Archive(Members::of(file)?)
        };
        Ok(Self { kind, read: Cell::new(0) })
    }

    /// The bytes of `oci-layout`.
    pub(super) fn layout(&self) -> Result<Bytes, LayoutError> {
        let bytes = match &self.kind {
            Container::Archive(members) => members.layout(LAYOUT_MAX),
            Container::Folder(folder) => {
                plain(&folder.join(LAYOUT_FILE), LAYOUT_MAX)?.ok().flatten()
            }
        };
        bytes.ok_or(LayoutError::Missing(LAYOUT_FILE))
    }

    /// The bytes of `index.json`.
    pub(super) fn index(&self) -> Result<Bytes, LayoutError> {
        let bytes = match &self.kind {
            Container::Archive(members) => members.index(INDEX_MAX),
            Container::Folder(folder) => plain(&folder.join(INDEX_FILE), INDEX_MAX)?.ok().flatten(),
        };
        bytes.ok_or(LayoutError::Missing(INDEX_FILE))
    }

    /// The bytes of a digest, of at most `limit`, hashed; or why they are passed over.
    pub(super) fn blob(
        &self,
        digest: &Digest,
        limit: u64,
    ) -> Result<Result<Bytes, Skipped>, LayoutError> {
        let bytes = match &self.kind {
            Container::Archive(members) => match members.find(digest) {
                None => Err(Skipped::Missing),
                Some(place) if place.size > limit => Err(Skipped::TooLarge),
                Some(place) => self
                    .count(place.size)
                    .map(|()| members.read(place, limit).ok_or(Skipped::Missing))?,
            },
            Container::Folder(folder) => {
                let found = plain(&folder.join("blobs").join("sha256").join(digest.hex()), limit)?;
                let bytes = found.and_then(|bytes| bytes.ok_or(Skipped::Missing));
                self.count(
                    bytes
                        .as_ref()
                        .map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
                )?;
                bytes
            }
        };
        Ok(bytes.and_then(|bytes| {
            if Digest::of(&bytes) == *digest { Ok(bytes) } else { Err(Skipped::Digest) }
        }))
    }

    fn count(&self, more: u64) -> Result<(), LayoutError> {
        let read = self.read.get().saturating_add(more);
        self.read.set(read);
        if read > READ_MAX {
            Err(LayoutError::TooMany { what: "bytes", limit: READ_MAX })
        } else {
            Ok(())
        }
    }
}

/// A plain file of the folder, whoever owns it: what is in it is hashed, or strictly parsed.
fn plain(path: &Path, limit: u64) -> Result<Result<Option<Bytes>, Skipped>, LayoutError> {
    let found = files::read_of_anyone(path, limit).map_err(|error| match error {
        StoreError::File { path, kind, .. } => LayoutError::Input { path, kind },
        StoreError::DiskFull { .. }
        | StoreError::ReadOnly { .. }
        | StoreError::Full { .. }
        | StoreError::Unsafe(_)
        | StoreError::NotAFolder { .. }
        | StoreError::Busy { .. }
        | StoreError::TooMany { .. }
        | StoreError::Unfit(_) => LayoutError::Store(error),
    })?;
    Ok(match found {
        FileContent::Bytes(bytes) => Ok(Some(bytes.into())),
        FileContent::Broken(Broken::TooLarge(_)) => Err(Skipped::TooLarge),
        FileContent::Nothing | FileContent::Broken(_) => Ok(None),
    })
}

fn refuse_compressed(file: &File) -> Result<(), LayoutError> {
    let mut start = [0; 4];
    // A file shorter than this is no archive, which is found out where it is read.
    drop(file.read_exact_at(&mut start, 0));
    match COMPRESSED.iter().find(|(magic, _)| start.starts_with(magic)) {
        Some((_, with)) => Err(LayoutError::Compressed(with)),
        None => Ok(()),
    }
}
