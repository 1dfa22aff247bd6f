//! Looking through the store's folders, with bounds: [`each_file`] is the walk that counting,
//! tidying, checking and evicting share.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::error::{StoreAction, StoreError};
use super::files::{charge, is_temporary};
use super::folders::Folders;
use super::tally::Usage;
use crate::image::Digest;

/// Most files in all, and in one folder of blobs: 1 GiB of the smallest. What is there beyond was
/// not put by this product; a scan ends there.
pub(super) const FILES_MAX: usize = 1 << 18;
/// Most entries about one digest: four for each of some dozen repositories that have the same
/// image.
pub const PER_SUBJECT_MAX: usize = 64;

/// What a file is by where it stands and what it is called; what is in it is another matter.
pub(super) enum FileRole {
    /// The bytes of a digest.
    Blob(Digest),
    /// Nobody's, among the blobs.
    StrayBlob,
    /// An entry about a digest, or what stands among these.
    Entry(Digest),
    /// One that was being written.
    Temporary,
}

/// Calls `each` with every file of the store: the blobs, then the entries about one digest after the
/// other, of which there are at most `per_subject`.
pub(super) fn each_file(
    folders: &Folders,
    per_subject: usize,
    each: &mut dyn FnMut(FileRole, PathBuf) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    visit(folders.blobs(), FILES_MAX, &mut |name, path| {
        let role = if is_temporary(name) {
            FileRole::Temporary
        } else {
            digest_of(name).map_or(FileRole::StrayBlob, FileRole::Blob)
        };
        each(role, path)
    })?;
    subjects(folders, &mut |subject, folder| {
        visit(&folder, per_subject, &mut |name, path| {
            let is_temporary = is_temporary(name);
            let role =
                if is_temporary { FileRole::Temporary } else { FileRole::Entry(subject.clone()) };
            each(role, path)
        })
    })
}

/// Calls `each` with every name in a folder and its path; names that are no UTF-8 are left out,
/// none of ours is.
fn visit(
    folder: &Path,
    limit: usize,
    each: &mut dyn FnMut(&str, PathBuf) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let failed = |error: io::Error| StoreError::io(StoreAction::Read, folder, &error);
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        // A file where a folder should be has nothing in it.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(());
        }
        Err(error) => return Err(failed(error)),
    };
    for (count, file) in listed.enumerate() {
        if count >= limit {
            return Err(StoreError::TooMany { path: folder.to_owned(), limit });
        }
        let file = file.map_err(failed)?;
        if let Some(name) = file.file_name().to_str() {
            each(name, file.path())?;
        }
    }
    Ok(())
}

/// Calls `each` with every digest that there are entries about, and their folder.
pub(super) fn subjects(
    folders: &Folders,
    each: &mut dyn FnMut(Digest, PathBuf) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    visit(folders.entries(), FILES_MAX, &mut |name, path| match digest_of(name) {
        Some(subject) => each(subject, path),
        None => Ok(()),
    })
}

/// Calls `each` with the path of every entry's file in one folder.
pub(super) fn entry_files(
    folder: &Path,
    each: &mut dyn FnMut(PathBuf) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    visit(folder, FILES_MAX, &mut |name, path| if is_entry(name) { each(path) } else { Ok(()) })
}

/// How much there is.
pub(super) fn measure(folders: &Folders) -> Result<Usage, StoreError> {
    let mut usage = Usage::default();
    each_file(folders, FILES_MAX, &mut |role, path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_one = matches!(role, FileRole::Entry(_)) && is_entry(name);
        usage.entries = usage.entries.saturating_add(u64::from(is_one));
        // What is gone since it was listed takes no space.
        if let Ok(metadata) = fs::symlink_metadata(&path) {
            usage.files = usage.files.saturating_add(1);
            usage.bytes = usage.bytes.saturating_add(charge(metadata.len()));
        }
        Ok(())
    })?;
    Ok(usage)
}

/// The digest that a blob or a folder of entries is named after.
pub(super) fn digest_of(name: &str) -> Option<Digest> {
    Digest::parse(&format!("sha256:{name}")).ok()
}

/// When a file was last put or used.
pub(super) fn used(metadata: &Metadata) -> Timestamp {
    metadata
        .modified()
        .ok()
        .and_then(|time| Timestamp::try_from(time).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

fn is_entry(name: &str) -> bool {
    name.strip_suffix(".json").is_some_and(|hex| digest_of(hex).is_some())
}
