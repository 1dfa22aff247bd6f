//! [`Lock`]: who may change the store now. Many may add at once; who removes blobs is alone.
//!
//! The locks are the kernel's (`flock`): they end with the process that holds them, however it
//! ends, and they hold between the gate and the command line. Reading takes none: what is gone
//! meanwhile is as if it never was there.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

use super::error::{StoreAction, StoreError};

/// How long is waited between two tries.
const STEP: Duration = Duration::from_millis(20);
/// Tries: three seconds, several times what the removal of a full store's evidence takes. A
/// decision waits here, so not longer: without the lock it goes on and keeps nothing.
const TRIES: u32 = 150;

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Beside others that hold it so: for adding.
    Shared,
    /// Alone: for removing.
    Alone,
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _flock: Flock<File>,
}

impl Lock {
    /// Waits for the lock of the whole store, a file of its own.
    pub(super) fn store(path: &Path, hold: Hold) -> Result<Self, StoreError> {
        wait(path, || Self::try_store(path, hold))
    }

    /// The lock of the whole store, unless somebody has it.
    pub(super) fn try_store(path: &Path, hold: Hold) -> Result<Option<Self>, StoreError> {
        let mut how = OpenOptions::new();
        how.read(true).write(true).create(true).truncate(false).mode(0o600);
        how.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
        let file =
            how.open(path).map_err(|error| StoreError::io(StoreAction::Lock, path, &error))?;
        let Some(lock) = take(file, hold, path)? else { return Ok(None) };
        // Somebody may have removed the file between the two: then others lock another one.
        let (ours, named) = (lock._flock.metadata(), path.symlink_metadata());
        let same = ours.is_ok_and(|ours| {
            named.is_ok_and(|named| (ours.dev(), ours.ino()) == (named.dev(), named.ino()))
        });
        Ok(same.then_some(lock))
    }

    /// Waits for the lock of one folder, alone.
    pub(super) fn folder(path: &Path) -> Result<Self, StoreError> {
        wait(path, || {
            let file = File::open(path)
                .map_err(|error| StoreError::io(StoreAction::Lock, path, &error))?;
            take(file, Hold::Alone, path)
        })
    }
}

fn wait(
    path: &Path,
    mut take: impl FnMut() -> Result<Option<Lock>, StoreError>,
) -> Result<Lock, StoreError> {
    for _ in 1..TRIES {
        if let Some(lock) = take()? {
            return Ok(lock);
        }
        thread::sleep(STEP);
    }
    take()?.ok_or_else(|| StoreError::Busy { path: path.to_owned() })
}

fn take(file: File, hold: Hold, path: &Path) -> Result<Option<Lock>, StoreError> {
    let how = match hold {
        Hold::Shared => FlockArg::LockSharedNonblock,
        Hold::Alone => FlockArg::LockExclusiveNonblock,
    };
    match Flock::lock(file, how) {
        Ok(flock) => Ok(Some(Lock { _flock: flock })),
        Err((_, Errno::EWOULDBLOCK | Errno::EINTR)) => Ok(None),
        Err((_, errno)) => Err(StoreError::io(StoreAction::Lock, path, &errno.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_add_at_once_and_who_removes_is_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let one = Lock::store(&path, Hold::Shared).unwrap();
        let two = Lock::store(&path, Hold::Shared).unwrap();
        assert!(Lock::try_store(&path, Hold::Alone).unwrap().is_none());
        drop(one);
        assert!(Lock::try_store(&path, Hold::Alone).unwrap().is_none());
        drop(two);
        let alone = Lock::try_store(&path, Hold::Alone).unwrap();
        assert!(alone.is_some());
        assert!(Lock::try_store(&path, Hold::Shared).unwrap().is_none());
    }

    #[test]
    fn attack_g_a_lock_that_is_held_for_ever_is_given_up_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let _held = Lock::store(&path, Hold::Alone).unwrap();
        assert_eq!(Lock::store(&path, Hold::Shared).unwrap_err(), StoreError::Busy { path });
    }

    #[test]
    fn attack_e4_a_link_in_the_place_of_the_lock_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, victim) = (dir.path().join("lock"), dir.path().join("victim"));
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert!(matches!(
            Lock::store(&path, Hold::Shared),
            Err(StoreError::File { action: StoreAction::Lock, .. })
        ));
        assert!(!victim.exists());
    }
}
