//! [`Reading`]: what one decision reads of a repository, large blobs within bounds of their own.
//!
//! Signatures are small and there may be many; attestations with bills of materials are large and there are few. The
//! small never wait for the large, and the large of one decision never use up what the small need.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::withheld;
use crate::evidence::Outcome;
use crate::image::{Descriptor, Repository};
use crate::registry::Session;

/// What is larger than this is large: three times a keyless bundle with everything in it.
pub(super) const LARGE: u64 = 64 << 10;
/// Most bytes that the large blobs of one decision have together: one of the largest and some beside it. What is left of
/// the session's bytes is for the small.
pub(super) const LARGE_BYTES_MAX: u64 = 6 << 20;

/// One decision's reading.
#[derive(Debug)]
pub struct Reading {
    session: Session,
    large: AtomicU64,
}

impl Reading {
    /// Reads in this session.
    #[must_use]
    pub fn new(session: Session) -> Self {
        Self { session, large: AtomicU64::new(0) }
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
            self.count(layer)?;
        }
        let blob = self.session.blob_at(repository, (&layer.digest, layer.size), limit, at).await;
        blob.map_err(|error| withheld(&error))
    }

    /// Counts a large blob, before it is asked for. How much of it all is held at once is the session's to bound.
    fn count(&self, layer: &Descriptor) -> Result<(), Outcome> {
        let size = layer.size;
        let more = |used: u64| used.checked_add(size).filter(|sum| *sum <= LARGE_BYTES_MAX);
        let counted = self.large.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        counted.map(drop).map_err(|_| {
            let digest = &layer.digest;
            Outcome::Unable(format!(
                "{digest} has {size} bytes: with it the large attestations would have more than {LARGE_BYTES_MAX}"
            ))
        })
    }

    /// The bytes of a manifest with what was parsed out of it, which lives as long and is no longer: both count.
    pub(super) async fn hold_parsed(&self, repository: &Repository, bytes: Bytes) -> Result<Bytes, Outcome> {
        let held = self.session.hold(repository.host(), bytes.len()).await.map_err(|error| withheld(&error))?;
        Ok(held.hold_beside(bytes))
    }
}
