//! `sealgate evidence`: the program on a store that is filled from fixtures, and what other tools
//! make of its exports.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails loudly"
)]
#![allow(unreachable_pub, reason = "a test binary has no outside")]

#[path = "../support/fixtures.rs"]
mod fixtures;
#[path = "../support/imagestore.rs"]
mod imagestore;
#[path = "../support/registry.rs"]
mod registry;
#[path = "../support/signing.rs"]
mod signing;

mod carrying;
mod interop;
mod node;
mod on_node;
mod program;
mod verifying;
