//! The runtime room against real containerds of the test's own: what it is told, what it can prove.
//!
//! Needs root, containerd and runc; a test that lacks them fails and says so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

#[path = "../support/containerd.rs"]
mod containerd;
#[path = "../support/registry.rs"]
mod registry;
#[path = "../support/tiny.rs"]
mod tiny;

mod documents;
mod house;
mod identify;
mod proof;
mod schema1;
mod standin;
mod volumes;
