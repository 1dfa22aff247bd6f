//! One file of the store: [`write()`] it durably, [`read()`] it with bounds.
//!
//! Durably: a temporary file in the same folder, flushed, renamed; the folder is flushed by the
//! caller, once for all files that it adds. Whoever reads, and whatever breaks off, finds the old
//! file, the new one or none.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::error::{Broken, StoreAction, StoreError};
use crate::file_trust;

/// How the names of files that are being written begin; no digest and no entry is called so.
const TEMPORARY: &str = ".new-";
/// Names that are tried for a temporary file: a process of the same number may have left some
/// behind.
const NAMES_TRIED: u32 = 64;
/// What a file takes on disk is counted in blocks of this size, so that very many small files are
/// bounded as well.
const BLOCK: u64 = 4096;

/// What was found under a path.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::evidence_store) enum FileContent {
    /// Its bytes.
    Bytes(Vec<u8>),
    /// Nothing.
    Nothing,
    /// Something that counts as nothing.
    Broken(Broken),
}

/// The points of a write at which a crash makes a difference; tests stop at each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::evidence_store) enum WriteStep {
    /// The temporary file is there, and empty.
    Created,
    /// It has its bytes, the disk may not.
    Written,
    /// The disk has them.
    Flushed,
    /// It has its name, the disk may not know.
    Named,
    /// The disk knows all names in the folder.
    Listed,
    /// The file is gone, the disk may not know.
    Removed,
}

/// Puts `bytes` in the place of a file; the folder is yet to be flushed ([`sync_folder`]).
pub(in crate::evidence_store) fn write(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(path);
    clear(path)?;
    let (beside, file) = temporary(folder)?;
    let written = fill(file, &beside, bytes).and_then(|()| {
        fs::rename(&beside, path)
            .map_err(|error| StoreError::io(StoreAction::Rename, path, &error))?;
        step(WriteStep::Named);
        Ok(())
    });
    if written.is_err() {
        // What cannot be removed is found at the next start.
        drop(fs::remove_file(&beside));
    }
    written
}

/// A new file in a folder under a name that nothing else has, nobody else may read.
pub(in crate::evidence_store) fn temporary(folder: &Path) -> Result<(PathBuf, File), StoreError> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut how = OpenOptions::new();
    how.write(true).read(true).create_new(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    let mut path = folder.to_owned();
    for _ in 0..NAMES_TRIED {
        path = folder.join(format!(
            "{TEMPORARY}{}-{}",
            process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        ));
        match how.open(&path) {
            Ok(file) => {
                step(WriteStep::Created);
                return Ok((path, file));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(StoreError::io(StoreAction::Write, &path, &error)),
        }
    }
    Err(StoreError::File { action: StoreAction::Write, path, kind: io::ErrorKind::AlreadyExists })
}

/// Whether a file of this name is one that was being written.
pub(in crate::evidence_store) fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY)
}

/// Reads a plain file of at most `limit` bytes. A link is not followed, what others may write is
/// not used.
pub(in crate::evidence_store) fn read(path: &Path, limit: u64) -> Result<FileContent, StoreError> {
    read_if(path, limit, &|metadata| file_trust::check_open(path, metadata).map_err(Broken::Unsafe))
}

/// Reads a plain file of at most `limit` bytes, whoever owns it.
pub(in crate::evidence_store) fn read_of_anyone(
    path: &Path,
    limit: u64,
) -> Result<FileContent, StoreError> {
    read_if(path, limit, &|_| Ok(()))
}

fn read_if(
    path: &Path,
    limit: u64,
    check: &dyn Fn(&Metadata) -> Result<(), Broken>,
) -> Result<FileContent, StoreError> {
    let mut how = OpenOptions::new();
    // Opening a pipe would wait for a writer; with this it does not, and regular files do not mind.
    how.read(true).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    let file = match how.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(FileContent::Nothing),
        // A link (`O_NOFOLLOW`), a socket or a device without a driver, a file where a folder
        // should be.
        Err(error) if is_other_kind(&error) => return Ok(FileContent::Broken(Broken::NotAFile)),
        Err(error) => return Err(StoreError::io(StoreAction::Open, path, &error)),
    };
    let failed = |error: io::Error| StoreError::io(StoreAction::Read, path, &error);
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Ok(FileContent::Broken(Broken::NotAFile));
    }
    if let Err(why) = check(&metadata) {
        return Ok(FileContent::Broken(why));
    }
    if metadata.len() > limit {
        return Ok(FileContent::Broken(Broken::TooLarge(limit)));
    }
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Ok(if length > limit {
        FileContent::Broken(Broken::TooLarge(limit))
    } else {
        FileContent::Bytes(bytes)
    })
}

/// Removes a file: whether there was one. The folder is yet to be flushed.
pub(in crate::evidence_store) fn remove(path: &Path) -> Result<bool, StoreError> {
    match fs::remove_file(path) {
        Ok(()) => {
            step(WriteStep::Removed);
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io(StoreAction::Remove, path, &error)),
    }
}

/// Has the disk know what is in a folder.
pub(in crate::evidence_store) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| StoreError::io(StoreAction::Sync, folder, &error))?;
    step(WriteStep::Listed);
    Ok(())
}

/// What a file of this length counts for.
pub(in crate::evidence_store) const fn charge(length: u64) -> u64 {
    let blocks = length.div_ceil(BLOCK);
    if blocks == 0 { BLOCK } else { blocks.saturating_mul(BLOCK) }
}

fn fill(mut file: File, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    file.write_all(bytes).map_err(|error| StoreError::io(StoreAction::Write, path, &error))?;
    step(WriteStep::Written);
    file.sync_all().map_err(|error| StoreError::io(StoreAction::Sync, path, &error))?;
    step(WriteStep::Flushed);
    Ok(())
}

/// Takes an empty folder out of a file's place: no file can be renamed over it. One that is not
/// empty stays, and the rename says so.
fn clear(path: &Path) -> Result<(), StoreError> {
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        fs::remove_dir(path).map_err(|error| StoreError::io(StoreAction::Remove, path, &error))?;
    }
    Ok(())
}

fn is_other_kind(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ELOOP | Errno::ENXIO | Errno::ENODEV | Errno::ENOTDIR))
}

#[cfg(not(test))]
const fn step(_: WriteStep) {}

#[cfg(test)]
pub(in crate::evidence_store) use steps::step;

/// Stops a test's thread at a step, as a crash would: nothing after it is done, nothing is tidied
/// up.
#[cfg(test)]
pub(in crate::evidence_store) mod steps {
    use std::cell::{Cell, RefCell};

    use super::WriteStep;

    thread_local! {
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
        static TAKEN: RefCell<Vec<WriteStep>> = const { RefCell::new(Vec::new()) };
    }

    /// Runs `act` and stops it after `steps` steps: whether it was stopped.
    pub(in crate::evidence_store) fn stopped_after(steps: usize, act: impl FnOnce()) -> bool {
        LEFT.set(Some(steps));
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        LEFT.set(None);
        ended.is_err_and(|panic| panic.is::<WriteStep>() || std::panic::resume_unwind(panic))
    }

    /// The steps that `act` takes.
    pub(in crate::evidence_store) fn of(act: impl FnOnce()) -> Vec<WriteStep> {
        TAKEN.take();
        act();
        TAKEN.take()
    }

    pub(in crate::evidence_store) fn step(step: WriteStep) {
        TAKEN.with_borrow_mut(|taken| taken.push(step));
        match LEFT.get() {
            Some(0) => std::panic::resume_unwind(Box::new(step)),
            Some(left) => LEFT.set(Some(left - 1)),
            None => {}
        }
    }
}
