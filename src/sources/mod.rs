//! Where evidence comes from: memory, the node's disk, and the registry.
//!
//! [`Search`] looks in the places where cosign and others leave evidence. What admitted is
//! remembered in memory and kept on disk ([`to_keep`]), and read again from there ([`kept`]) with
//! the same eyes as from a registry. Nothing is judged here; what comes back is untrusted bytes.

mod cached_evidence;
mod disk_entries;
mod disk_evidence;
mod disk_thread;
mod evidence_query;
mod evidence_sources;
mod kept;
mod pending_forgets;
mod pending_writes;
mod search;

pub(crate) use cached_evidence::{FetchedEvidence, PlaceEvidence};
pub(crate) use disk_entries::{KeptAbout, Merge};
pub use disk_evidence::StoreHealth;
pub(crate) use evidence_query::EvidenceQuery;
pub(crate) use evidence_sources::EvidenceSources;
pub use kept::{Keep, Sizes, kept, kept_of, to_keep};
pub use search::{
    Backlog, Bounds, FetchedItem, Forms, HUGE, Hint, MAX_FALLBACK_INDEX_BYTES,
    MAX_LAYERS_MANIFEST_BYTES, MAX_MANIFEST_BYTES, PlaceFindings, PlaceQuery, Reading, Room,
    Search, Sought, Turns, go_on, look,
};
