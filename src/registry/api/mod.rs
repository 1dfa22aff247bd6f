//! The distribution API, over all hosts that serve a repository: resolve, manifests, referrers,
//! blobs.
//!
//! [`session::Session`] is one decision's use of it.

pub(super) mod answer;
pub(super) mod host_fallback;
pub(super) mod listing;
pub(super) mod question;
pub(super) mod referrers;
pub(super) mod resolve;
pub(super) mod survey;
pub(super) mod try_hosts;
