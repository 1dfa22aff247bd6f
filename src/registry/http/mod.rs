//! Requests to one host: connections, TLS, proxies, redirects, the limits of bodies, and how
//! patient the gate is.
//!
//! Which host is asked, and for what, the rooms beside it decide.

pub(super) mod address;
pub(super) mod client;
pub(super) mod failure;
pub(super) mod host_request;
pub(super) mod patience;
pub(super) mod proxies;
pub(super) mod reply;
pub(super) mod single_flight;
pub(super) mod tls;
