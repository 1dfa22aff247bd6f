//! [`open_plain`]: files of the log that its writer opens, or makes; [`take_lock`]: the lock by which one
//! process writes them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc;

use super::super::error::{Action, AuditError};
use crate::file_trust;

/// How long is waited between two tries to get the lock.
const LOCK_STEP: Duration = Duration::from_millis(10);

/// Opens a file of ours for appending, or makes it. A symbolic link is not followed, another's file
/// is not used.
pub(in crate::audit) fn open_plain(path: &Path, mode: u32) -> Result<File, AuditError> {
    let mut how = OpenOptions::new();
    how.read(true)
        .append(true)
        .create(true)
        .mode(mode)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = how.open(path).map_err(|error| {
        let another_kind = error.raw_os_error() == Some(libc::ELOOP)
            || error.kind() == io::ErrorKind::IsADirectory;
        if another_kind {
            AuditError::NotAFile { path: path.into() }
        } else {
            AuditError::io(Action::Open, path, &error)
        }
    })?;
    let metadata = file.metadata().map_err(|error| AuditError::io(Action::Open, path, &error))?;
    file_trust::check_open(path, &metadata).map_err(AuditError::Unsafe)?;
    Ok(file)
}

/// Locks a file of its own, since the log's changes with each rotation and the folder can be locked
/// by whoever may read it. None on a full disk.
pub(in crate::audit) fn take_lock(
    path: &Path,
    tries: u32,
    awaits: &AtomicBool,
) -> Result<Option<Flock<File>>, AuditError> {
    let mut file = match open_plain(path, 0o600) {
        Ok(file) => file,
        Err(AuditError::Full { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    for _ in 0..tries {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Some(lock)),
            Err((file, Errno::EWOULDBLOCK | Errno::EINTR)) => file,
            Err((_, errno)) => return Err(AuditError::io(Action::Lock, path, &errno.into())),
        };
        if tries > 1 {
            // Only now: a disk that does not answer hangs before.
            awaits.store(true, Ordering::Release);
            thread::sleep(LOCK_STEP);
        }
    }
    Err(AuditError::InUse { path: path.into() })
}
