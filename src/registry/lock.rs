//! [`lock`]: takes a mutex, whatever became of the thread that held it.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A lock that survives a panic elsewhere: what these guard is memory that may be lost, never half
/// written.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
