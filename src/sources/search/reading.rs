//! [`Reading`]: what one decision reads of a repository, large blobs within bounds of their own.
//!
//! Signatures are small and there may be many; attestations with bills of materials are large and
//! there are few. The small never wait for the large, and the large of one decision never use up
//! what the small need.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::OnceCell;

use crate::clock::Clock;
use crate::evidence::Outcome;
use crate::image::{Descriptor, Repository};
use crate::registry::{Class, RegistryError, Session};
use crate::share::{FairShare, Recalled, Rules, Slot};

/// Largest manifest around a bundle: one has a layer and a few annotations, under 2 KiB. Of the
/// largest that images may have two would use up what one decision may read.
pub const MAX_MANIFEST_BYTES: u64 = 32 << 10;
/// Largest manifest of a `.sig` or `.att` tag, which has every signature there is as a layer: one
/// by a key takes 300 bytes in it, a keyless one with chain, log entry and timestamp 11 KiB. So
/// this is 180 of the largest, or 7000 by a key.
pub const MAX_LAYERS_MANIFEST_BYTES: u64 = 2 << 20;
/// Largest index under the fallback tag: an entry takes 300 to 700 bytes, so 1500 at least.
pub const MAX_FALLBACK_INDEX_BYTES: u64 = 1 << 20;

/// How the word about something begins that a registry lists and does not give.
pub(super) const NOT_GIVEN: &str = "listed, but not given";

/// What is larger than this is large: three times a keyless bundle with everything in it.
pub(crate) const LARGE: u64 = 64 << 10;
/// What is larger than this is huge: bills of materials as whole images have them. Few of these are
/// held at a time.
pub const HUGE: u64 = 4 << 20;
/// Most bytes that the large blobs of one decision have together, the huge apart: one of the
/// largest and some beside it.
pub(crate) const LARGE_BYTES_MAX: u64 = 6 << 20;
/// Most decisions that hold a huge blob at once. With its JSON one takes four to six times what its
/// predicate has.
const HUGE_READERS_MAX: usize = 2;
/// How long a huge blob may come before others that wait may take its turn: what a link of 20
/// Mbit/s brings in it is the largest by default.
const HUGE_PATIENCE: Duration = Duration::from_secs(10);
/// Most decisions that wait for such a turn: as many as there may be.
const HUGE_QUEUE: usize = 64;

/// The whole gate's turns with huge evidence.
#[derive(Debug)]
pub struct Turns {
    /// Shared by the hosts that it is read from; what is kept on this node is nobody's.
    huge: FairShare,
}

/// How much one decision reads, as the configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most signatures of one place.
    pub signatures: usize,
    /// Largest bundle or envelope with an attestation, in bytes.
    pub attestation: u64,
}

/// One decision's reading.
#[derive(Debug)]
pub struct Reading {
    session: Session,
    bounds: Bounds,
    deadline: Instant,
    turns: Arc<Turns>,
    huge_turn: OnceCell<Option<Slot>>,
    large: Arc<AtomicU64>,
    huge: Arc<AtomicU64>,
}

/// The room that one large blob takes of a decision's.
#[derive(Debug)]
pub struct Room {
    size: u64,
    used: Arc<AtomicU64>,
}

impl Turns {
    /// The turns of one gate.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let (total, per_host) = (HUGE_READERS_MAX, HUGE_READERS_MAX);
        let rules = Rules { total, per_host, queue: HUGE_QUEUE, patience: HUGE_PATIENCE };
        Self { huge: FairShare::new(rules, clock) }
    }

    /// The turn of a decision that reads huge evidence of this node; none when it does not come in
    /// time.
    pub async fn kept(&self, until: Instant) -> Option<Slot> {
        self.huge.take("", 1, until).await.ok()
    }
}

impl Bounds {
    /// The bounds for so many signatures, and for predicates of so many MiB: a bundle has these in
    /// base64, and what is beside them.
    #[must_use]
    pub fn new(signatures: usize, predicate_mib: u64) -> Self {
        let bytes = predicate_mib.saturating_mul(1 << 20);
        Self { signatures, attestation: bytes.saturating_add(bytes / 3).saturating_add(512 << 10) }
    }
}

impl Reading {
    /// Reads in this session, which ends at `deadline`; `turns` is the whole gate's.
    #[must_use]
    pub fn new(session: Session, deadline: Instant, turns: Arc<Turns>, bounds: Bounds) -> Self {
        let (large, huge) = (Arc::default(), Arc::default());
        Self { session, bounds, deadline, turns, huge_turn: OnceCell::new(), large, huge }
    }

    pub(crate) fn bounds(&self) -> Bounds {
        self.bounds
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// The blob of a layer of at most `limit` bytes, from the host with number `at` first; what
    /// comes hashes to the layer's digest. With it the room that it takes, where it is large: it is
    /// given back when that is dropped.
    pub(crate) async fn layer(
        &self,
        repository: &Repository,
        layer: &Descriptor,
        limit: u64,
        at: usize,
    ) -> Result<(Bytes, Option<Arc<Room>>), Outcome> {
        let (digest, size) = (&layer.digest, layer.size);
        if size > limit {
            let why =
                if limit == self.bounds.attestation { " (limits.attestation_mib)" } else { "" };
            return Err(Outcome::Unable(format!(
                "{digest} has {size} bytes, more than the {limit} that are read{why}"
            )));
        }
        let room = if size > LARGE {
            Some(Arc::new(self.make_room(repository, layer).await?))
        } else {
            None
        };
        let blob = self.session.blob_at(repository, (digest, size), limit, at);
        let blob = match self.huge_turn.get().and_then(Option::as_ref).filter(|_| size > HUGE) {
            None => blob.await,
            Some(slot) => match slot.unless_recalled(blob).await {
                Ok(blob) => {
                    slot.answered();
                    blob
                }
                Err(Recalled) => {
                    let why = format!(
                        "{digest} came so slowly that others, which waited, were let go first; try \
                         again"
                    );
                    return Err(Outcome::Unable(why));
                }
            },
        };
        blob.map(|bytes| (bytes, room)).map_err(|error| withheld(&error))
    }

    /// Counts a large blob, and waits for this decision's turn where it is huge, before it is asked
    /// for. The turn is kept until the decision is made: what helps is held as long. How much is
    /// held of all others the session bounds.
    async fn make_room(
        &self,
        repository: &Repository,
        layer: &Descriptor,
    ) -> Result<Room, Outcome> {
        let size = layer.size;
        let is_huge = size > HUGE;
        let (used, most) = if is_huge {
            (&self.huge, self.bounds.attestation)
        } else {
            (&self.large, LARGE_BYTES_MAX)
        };
        let more = |used: u64| used.checked_add(size).filter(|sum| *sum <= most);
        if used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            let digest = &layer.digest;
            return Err(Outcome::Unable(format!(
                "{digest} has {size} bytes: with it the large attestations that are needed \
                 together would have more than {most}"
            )));
        }
        let room = Room { size, used: Arc::clone(used) };
        if !is_huge || self.huge_turn(repository).await {
            return Ok(room);
        }
        Err(Outcome::Unable("too many large attestations are read at once; try again".to_owned()))
    }

    /// The bytes of a manifest with what was parsed out of it, which lives as long and is no
    /// longer: both count.
    pub(crate) async fn hold_parsed(
        &self,
        repository: &Repository,
        bytes: Bytes,
    ) -> Result<Bytes, Outcome> {
        let held = self
            .session
            .hold(repository.host(), bytes.len())
            .await
            .map_err(|error| withheld(&error))?;
        Ok(held.hold_beside(bytes))
    }

    async fn huge_turn(&self, repository: &Repository) -> bool {
        let wait =
            || async { self.turns.huge.take(repository.host(), 1, self.deadline).await.ok() };
        self.huge_turn.get_or_init(wait).await.is_some()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.used.fetch_sub(self.size, Ordering::Relaxed);
    }
}

/// What is listed and then not there is not absent: the registry contradicts itself, and nothing is
/// known.
pub(super) fn withheld(error: &RegistryError) -> Outcome {
    match error.class() {
        Class::Absent => Outcome::Unable(format!("{NOT_GIVEN}: {error}")),
        Class::Unreachable => Outcome::Unreachable(error.to_string()),
        Class::Unable => Outcome::Unable(error.to_string()),
    }
}
