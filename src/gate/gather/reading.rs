//! [`Reading`]: what one decision reads of a repository, large blobs within bounds of their own.
//!
//! Signatures are small and there may be many; attestations with bills of materials are large and there are few. The
//! small never wait for the large, and the large of one decision never use up what the small need.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::withheld;
use crate::evidence::Outcome;
use crate::image::{Descriptor, Repository};
use crate::registry::Session;

/// What is larger than this is large: three times a keyless bundle with everything in it.
pub(super) const LARGE: u64 = 64 << 10;
/// Most bytes that the large blobs of one decision have together: one of the largest and some beside it. What is left of
/// the session's bytes is for the small.
pub(super) const LARGE_BYTES_MAX: u64 = 6 << 20;
/// Most decisions that read large blobs at once; others wait for their turn, within their own time. With
/// [`LARGE_BYTES_MAX`] it bounds what large evidence takes of the node's memory: 48 MiB.
const READERS_MAX: usize = 8;

/// One decision's reading.
#[derive(Debug)]
pub struct Reading {
    session: Session,
    deadline: Instant,
    turns: Arc<Semaphore>,
    turn: OnceCell<Option<OwnedSemaphorePermit>>,
    large: AtomicU64,
}

impl Reading {
    /// Reads in this session, which ends at `deadline`; `turns` is the whole gate's, made by [`Reading::turns`].
    #[must_use]
    pub fn new(session: Session, deadline: Instant, turns: Arc<Semaphore>) -> Self {
        Self { session, deadline, turns, turn: OnceCell::new(), large: AtomicU64::new(0) }
    }

    /// The turns of one gate.
    #[must_use]
    pub fn turns() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(READERS_MAX))
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// The blob of a layer of at most `limit` bytes, from the host with number `at` first; what comes hashes to the layer's
    /// digest.
    pub(super) async fn layer(
        &self,
        repository: &Repository,
        layer: &Descriptor,
        limit: u64,
        at: usize,
    ) -> Result<Bytes, Outcome> {
        if layer.size > LARGE && layer.size <= limit {
            self.make_room(layer).await?;
        }
        let blob = self.session.blob_at(repository, (&layer.digest, layer.size), limit, at).await;
        blob.map_err(|error| withheld(&error))
    }

    /// Waits for this decision's turn with large blobs, and counts this one. The turn is kept until the decision is
    /// made: what was read is held as long.
    async fn make_room(&self, layer: &Descriptor) -> Result<(), Outcome> {
        let size = layer.size;
        let more = |used: u64| used.checked_add(size).filter(|sum| *sum <= LARGE_BYTES_MAX);
        if self.large.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            let digest = &layer.digest;
            return Err(Outcome::Unable(format!(
                "{digest} has {size} bytes: with it the large attestations would have more than {LARGE_BYTES_MAX}"
            )));
        }
        let wait = || async {
            let turn = Arc::clone(&self.turns).acquire_owned();
            tokio::time::timeout_at(self.deadline.into(), turn).await.ok()?.ok()
        };
        match self.turn.get_or_init(wait).await {
            Some(_) => Ok(()),
            None => Err(Outcome::Unable("too many large attestations are read at once; try again".to_owned())),
        }
    }
}
