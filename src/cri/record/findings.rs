//! [`FindingCounts`]: how many findings of each kind were made.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::audit::FindingKind;

/// How many findings of each kind, in the order of [`FindingKind::ALL`].
pub type FindingsByKind = [(FindingKind, u64); FindingKind::ALL.len()];

/// Counts findings by kind.
#[derive(Debug, Default)]
pub(super) struct FindingCounts([AtomicU64; FindingKind::ALL.len()]);

impl FindingCounts {
    pub(super) fn count(&self, found: FindingKind) {
        let counters = FindingKind::ALL.iter().zip(&self.0);
        for (_, counter) in counters.filter(|(kind, _)| **kind == found) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn by_kind(&self) -> FindingsByKind {
        let mut counts = FindingKind::ALL.map(|found| (found, 0));
        for ((_, count), counter) in counts.iter_mut().zip(&self.0) {
            *count = counter.load(Ordering::Relaxed);
        }
        counts
    }
}
