//! Upkeep of the evidence store: what the images on this node need is kept, what nobody used for
//! long goes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::Gate;
use crate::evidence_store::{Counts, Store};
use crate::image::Digest;
use crate::sources::StoreHealth;

/// How often it is looked which images are on the node, when none is pulled.
const EVERY: Duration = Duration::from_secs(300);
/// Least time between two looks: a node that starts pulls a hundred images in a minute.
const AT_MOST_EVERY: Duration = Duration::from_secs(30);

impl Gate {
    /// Puts a store to use that could not be opened before.
    pub fn open_store(&self, store: Arc<Store>) {
        self.decider.open_store(store);
    }

    /// Notes why there is no store, for `sealgate status`.
    pub fn without_store(&self, why: String) {
        self.decider.sources().store.closed(why);
    }

    /// How the evidence store does.
    #[must_use]
    pub fn store_health(&self) -> StoreHealth {
        self.decider.sources().store.health()
    }

    /// What the evidence store holds; none without one.
    #[must_use]
    pub fn store_counts(&self) -> Option<Counts> {
        self.decider.sources().store.store().map(|store| store.counts())
    }

    /// Keeps the store within its bounds, for ever. Nothing goes before the runtime has said which
    /// images there are.
    pub async fn keep_store(&self) {
        loop {
            self.tidy_store().await;
            tokio::time::sleep(AT_MOST_EVERY).await;
            // Until the next pull, and not for long without one.
            drop(
                tokio::time::timeout(EVERY.saturating_sub(AT_MOST_EVERY), self.pulled.notified())
                    .await,
            );
        }
    }

    /// Puts what the disk did not take before, asks the runtime which images there are, and evicts
    /// what they do not need and the store's bounds do not allow.
    pub async fn tidy_store(&self) {
        if self.decider.sources().store.store().is_none() {
            return;
        }
        self.decider.sources().store.flush_pending().await;
        self.decider.sources().store.look_after().await;
        let present: BTreeSet<Digest> = match self.runtime.present().await {
            Ok(present) => present,
            Err(error) => {
                return tracing::debug!(%error, "the runtime did not say which images there are");
            }
        };
        let now = self.now();
        let tidy = move |store: &Store| {
            store.set_needed(present.clone());
            store.evict(&|digest| present.contains(digest), now)
        };
        if let Some(evicted) = self.decider.sources().store.run_housekeeping(tidy).await
            && evicted.entries > 0
        {
            tracing::info!(
                entries = evicted.entries,
                bytes = evicted.bytes,
                "evidence was evicted"
            );
        }
    }
}
