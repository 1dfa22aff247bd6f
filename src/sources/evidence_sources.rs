//! [`EvidenceSources`]: memory, disk and registry, as a decision has them at hand.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::cached_evidence::EvidenceCache;
use super::disk_evidence::DiskEvidence;
use super::search::{Forms, Turns};
use crate::clock::Clock;
use crate::evidence_store::Store;
use crate::registry::Registry;

/// Where evidence comes from: memory, disk and the registry.
pub(crate) struct EvidenceSources {
    pub(crate) registry: Arc<Registry>,
    pub(crate) memory: EvidenceCache,
    pub(crate) store: Arc<DiskEvidence>,
    /// In which forms registries admitted.
    pub(crate) forms: Forms,
    /// Turns with huge attestations.
    pub(crate) huge_turns: Arc<Turns>,
}

impl EvidenceSources {
    /// All of them; `memory` says for how many places evidence is remembered, and for how long.
    pub(crate) fn new(
        registry: Registry,
        store: Option<Arc<Store>>,
        memory: (NonZeroUsize, Duration),
        clock: Clock,
    ) -> Self {
        Self {
            registry: Arc::new(registry),
            memory: EvidenceCache::new(memory, clock),
            store: Arc::new(DiskEvidence::new(store)),
            forms: Forms::default(),
            huge_turns: Arc::new(Turns::new(clock)),
        }
    }
}
