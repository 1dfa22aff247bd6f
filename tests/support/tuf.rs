//! A TUF repository of the tests' own, and the mirror that serves it.

#![allow(dead_code, reason = "shared by several test binaries, each uses a part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test support fails loudly")]
#![allow(unreachable_pub, reason = "pub marks what tests use; a test binary has no outside")]

#[path = "tuf/mirror.rs"]
pub mod mirror;
#[path = "tuf/repository.rs"]
pub mod repository;
