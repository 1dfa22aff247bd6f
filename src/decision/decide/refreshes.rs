//! [`Refreshing`]: the refreshes under way, and [`Refreshes`]: what came of them.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::policy::VerdictKey;

/// Most that are under way or wait: one for every verdict in memory. What is beyond is tried at a
/// later use.
const WAITING_MAX: usize = 1024;

/// Refreshes under way, and what came of them.
#[derive(Debug, Default)]
pub(super) struct Refreshing {
    underway: Mutex<HashSet<VerdictKey>>,
    confirmed: AtomicU64,
    withdrawn: AtomicU64,
    unanswered: AtomicU64,
}

/// What came of refreshes since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refreshes {
    /// Under way or waiting now.
    pub underway: usize,
    /// The registry still shows what admits the image.
    pub confirmed: u64,
    /// The registry has the image and no longer shows what admitted it.
    pub withdrawn: u64,
    /// The registry could not say, or has the image no more: everything stayed as it was.
    pub unanswered: u64,
}

/// What one refresh came to.
pub(super) enum Refreshed {
    Confirmed,
    Withdrawn,
    Unanswered,
}

impl Refreshing {
    pub(super) fn counts(&self) -> Refreshes {
        Refreshes {
            underway: self.underway().len(),
            confirmed: self.confirmed.load(Ordering::Relaxed),
            withdrawn: self.withdrawn.load(Ordering::Relaxed),
            unanswered: self.unanswered.load(Ordering::Relaxed),
        }
    }

    /// Whether this one is to be begun: it is not under way, and not too many are.
    pub(super) fn begins(&self, key: &VerdictKey) -> bool {
        let mut underway = self.underway();
        underway.len() < WAITING_MAX && underway.insert(key.clone())
    }

    /// Gives up the place of one that has ended.
    pub(super) fn ended(&self, key: &VerdictKey) {
        self.underway().remove(key);
    }

    pub(super) fn count(&self, refreshed: &Refreshed) {
        let count = match refreshed {
            Refreshed::Confirmed => &self.confirmed,
            Refreshed::Withdrawn => &self.withdrawn,
            Refreshed::Unanswered => &self.unanswered,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn underway(&self) -> MutexGuard<'_, HashSet<VerdictKey>> {
        self.underway.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
