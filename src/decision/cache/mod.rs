//! What was decided, remembered: permits with the evidence that they rest on, and denials.
//!
//! `decide/` fills it and asks it; how old evidence may be is said by
//! [`FreshnessTerms`](super::freshness::FreshnessTerms).

mod cached_permit;
mod verdict_cache;

pub use cached_permit::CachedPermit;
pub(crate) use cached_permit::{CachedDenial, Decision, REFRESH_AGAIN};
pub(in crate::decision) use verdict_cache::VerdictCache;
