//! The distribution API, over all hosts that serve a repository: resolve, manifests, referrers, blobs.
//!
//! [`session::Session`] is one decision's use of it.

pub(super) mod host_fallback;
pub(super) mod listing;
pub(super) mod referrers;
pub(super) mod round;
pub(super) mod session;
