//! The distribution API, over all hosts that serve a repository: resolve, manifests, referrers, blobs.
//!
//! [`session::Session`] is one decision's use of it.

pub(super) mod answer;
pub(super) mod authenticate;
pub(super) mod body;
pub(super) mod exchange;
pub(super) mod host_fallback;
pub(super) mod listing;
pub(super) mod referrers;
pub(super) mod registry;
pub(super) mod resolve;
pub(super) mod route;
pub(super) mod secrets;
pub(super) mod session;
pub(super) mod survey;
pub(super) mod try_hosts;
