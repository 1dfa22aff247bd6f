//! [`VerdictCache`]: the verdicts in memory, permits apart from denials.
//!
//! How long each is remembered is for who puts it.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard};

use super::cached_permit::{CachedDenial, CachedPermit};
use crate::cache::{Memory, lock_or_empty};
use crate::policy::VerdictKey;
use crate::registry::AccessKey;

/// Bounded memory of verdicts. A panic while one of them was locked empties it: nothing half
/// written is believed.
pub(in crate::decision) struct VerdictCache {
    /// Permits. They rest on bytes that were verified, so they are everyone's.
    permits: Mutex<Memory<VerdictKey, Arc<CachedPermit>>>,
    /// Denials. They rest on what a registry did not show, so they are those credentials' alone
    /// (fact P17).
    denials: Mutex<Memory<(VerdictKey, AccessKey), CachedDenial>>,
}

impl VerdictCache {
    /// Room for so many of each.
    pub(in crate::decision) fn new(most: NonZeroUsize) -> Self {
        Self { permits: Mutex::new(Memory::new(most)), denials: Mutex::new(Memory::new(most)) }
    }

    pub(in crate::decision) fn permits(
        &self,
    ) -> MutexGuard<'_, Memory<VerdictKey, Arc<CachedPermit>>> {
        lock_or_empty(&self.permits, |memory| {
            memory.clear();
        })
    }

    pub(in crate::decision) fn denials(
        &self,
    ) -> MutexGuard<'_, Memory<(VerdictKey, AccessKey), CachedDenial>> {
        lock_or_empty(&self.denials, |memory| {
            memory.clear();
        })
    }

    pub(in crate::decision) fn len(&self) -> usize {
        let permits = self.permits().len();
        permits + self.denials().len()
    }

    pub(in crate::decision) fn clear(&self) {
        self.permits().clear();
        self.denials().clear();
    }
}
