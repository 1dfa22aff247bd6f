//! The proxy against a stand-in runtime: what passes, what is refused, and how it lives and ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]
#![allow(
    clippy::as_conversions,
    clippy::print_stderr,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

mod client;
mod decide;
mod ending;
mod gate;
mod host_paths;
mod image_ref;
mod life;
mod methods;
mod outcomes;
mod owned;
mod pass;
mod refuse;
mod sandbox;
mod sandbox_kept;
mod shares;
#[path = "../support/skipped.rs"]
mod skipped;
#[path = "../support/standin.rs"]
mod standin;
#[path = "../support/tiny.rs"]
mod tiny;
mod unread;

use std::time::Duration;

/// Polls until the condition holds; fails after a time that no healthy machine needs.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never came true: {what}");
}

/// A future that must end within a generous bound, so that a hang is a failure with a name.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .unwrap_or_else(|_| panic!("hangs: {what}"))
}
