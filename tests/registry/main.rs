//! The registry client against registries of the tests' own and docker's.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]
#![allow(unreachable_pub, reason = "a test binary has no outside")]

#[path = "../support/containerd.rs"]
mod containerd;
#[path = "../support/registry.rs"]
mod support;

mod absence;
mod access;
mod credentials;
mod differential;
mod docker;
mod double;
#[path = "../support/fixtures.rs"]
mod fixtures;
mod host_fallback;
mod limits;
mod lists;
mod local;
mod mirrors;
mod pages;
mod plain_blobs;
mod planted;
mod proxies;
mod reading;
mod referrers;
mod retries;
mod rig;
#[path = "../support/signing.rs"]
mod signing;
#[path = "../support/skipped.rs"]
mod skipped;
mod tls;
mod tokens;
