//! [`lock`]: the lock by which one process writes the files of a log.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// How long is waited between two tries to get the lock.
const LOCK_STEP: Duration = Duration::from_millis(10);

/// Locks this file; none when another process holds it for all these tries. `awaits` says that it is
/// waited for.
///
/// # Errors
/// When the system refuses.
pub(in crate::audit) fn lock(
    mut file: File,
    tries: u32,
    awaits: &AtomicBool,
) -> Result<Option<Flock<File>>, Errno> {
    for _ in 0..tries {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Some(lock)),
            Err((file, Errno::EWOULDBLOCK | Errno::EINTR)) => file,
            Err((_, errno)) => return Err(errno),
        };
        if tries > 1 {
            // Only now: a disk that does not answer hangs before.
            awaits.store(true, Ordering::Release);
            thread::sleep(LOCK_STEP);
        }
    }
    Ok(None)
}
