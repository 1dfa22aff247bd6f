//! The gate in one process with a test registry: how many requests a decision costs, what is
//! remembered and for how long, who shares a judgement with whom. No runtime is started; the one
//! test that names an image has a stand-in for containerd's store.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

#[path = "../support/fixtures.rs"]
mod fixtures;
#[path = "../support/hostile.rs"]
mod hostile;
#[path = "../support/imagestore.rs"]
mod imagestore;
#[path = "../support/registry.rs"]
mod registry;
#[path = "../support/signing.rs"]
mod signing;
#[path = "../support/skipped.rs"]
mod skipped;

mod attacks;
mod budget;
mod carried;
mod ends;
mod faults;
mod flight;
mod forms;
mod imported;
mod imported_policies;
mod kept;
mod labels;
mod large;
mod many;
mod memory;
mod messages;
mod mirrors;
mod names;
mod neighbours;
mod offline;
mod pinned;
mod places;
mod policy_json;
mod referring;
mod refresh;
mod reload;
mod rig;
mod skopeo;
mod unreachable;
