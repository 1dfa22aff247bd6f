//! [`EvidenceCache`]: the memory of evidence, place by place: bytes that were fetched, never that
//! something was absent.
//!
//! [`FetchedEvidence`] is one place's evidence and [`PlaceEvidence`] says where a decision has it
//! from. Whether it still counts is decided where it is used.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;

use super::evidence_query::EvidenceQuery;
use crate::cache::{Memory, lock_or_empty};
use crate::clock::Clock;
use crate::evidence::{Evidence, EvidenceSource, Place, Source};

/// Largest evidence from one place that is kept in memory as a matter of course, in bytes. A
/// signature takes 1 to 2 KiB, one with a certificate and log proof under 20 KiB, so this is
/// several.
const KEPT_BYTES_MAX: usize = 64 << 10;
/// Largest that is kept there at all: attestations with a bill of materials. Of these few are kept
/// ([`KEPT_LARGE_MAX`]); more is read again when it is needed.
const KEPT_LARGE_BYTES_MAX: usize = 1 << 20;

/// Places of which large evidence is kept, at most 1 MiB each: 16 MiB at most.
const KEPT_LARGE_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);

/// One place's evidence with the time at which its registry last showed it.
#[derive(Debug)]
pub(crate) struct FetchedEvidence {
    pub(crate) evidence: Arc<Evidence>,
    pub(crate) fetched: Timestamp,
}

/// One place's evidence, and where this decision has it from.
#[derive(Debug, Clone)]
pub(crate) struct PlaceEvidence {
    pub(crate) held: Arc<FetchedEvidence>,
    pub(crate) source: EvidenceSource,
}

/// Bounded memory of evidence. A panic while it was locked empties it.
pub(crate) struct EvidenceCache {
    usual: Mutex<Memory<Place, Arc<FetchedEvidence>>>,
    large: Mutex<Memory<Place, Arc<FetchedEvidence>>>,
    ttl: Duration,
    clock: Clock,
}

impl EvidenceCache {
    /// Room for the evidence of so many places, each for so long.
    pub(super) fn new((most, ttl): (NonZeroUsize, Duration), clock: Clock) -> Self {
        let (usual, large) =
            (Mutex::new(Memory::new(most)), Mutex::new(Memory::new(KEPT_LARGE_MAX)));
        Self { usual, large, ttl, clock }
    }

    fn usual(&self) -> MutexGuard<'_, Memory<Place, Arc<FetchedEvidence>>> {
        lock_or_empty(&self.usual, |memory| {
            memory.clear();
        })
    }

    fn large(&self) -> MutexGuard<'_, Memory<Place, Arc<FetchedEvidence>>> {
        lock_or_empty(&self.large, |memory| {
            memory.clear();
        })
    }

    /// How many places' evidence is remembered.
    pub(crate) fn len(&self) -> usize {
        let usual = self.usual().len();
        usual + self.large().len()
    }

    /// Forgets all of it.
    pub(crate) fn clear(&self) {
        self.usual().clear();
        self.large().clear();
    }

    /// Remembers the evidence that a permit rests on, so that the next policy can be judged without
    /// the network. Evidence that led to nothing is not kept: a registry cannot fill this memory
    /// with what nobody trusts.
    pub(crate) fn keep(&self, pieces: &[PlaceEvidence]) {
        let expires = self.clock.steady() + self.ttl;
        for piece in pieces {
            let Some(place) = piece.place() else { continue };
            let key = place.clone();
            let size = piece.held.evidence.size();
            if size > KEPT_LARGE_BYTES_MAX {
                continue;
            }
            let evidence = Arc::new(piece.held.evidence.copied());
            let held = Arc::new(FetchedEvidence { evidence, fetched: piece.held.fetched });
            let mut memory = if size <= KEPT_BYTES_MAX { self.usual() } else { self.large() };
            memory.put(key, held, expires);
        }
    }

    /// Evidence from memory: bytes that were fetched, never that something was absent.
    pub(crate) fn pieces(&self, query: &EvidenceQuery) -> Vec<PlaceEvidence> {
        let now = self.clock.steady();
        let mut kept: Vec<Arc<FetchedEvidence>> = Vec::new();
        for repository in &query.repositories {
            for digest in &query.digests {
                for source in Source::ALL {
                    let key =
                        Place { repository: repository.clone(), subject: digest.clone(), source };
                    kept.extend(self.usual().get(&key, now).cloned());
                    kept.extend(self.large().get(&key, now).cloned());
                }
            }
        }
        kept.into_iter()
            .map(|held| PlaceEvidence { held, source: EvidenceSource::Memory })
            .collect()
    }

    /// Forgets what memory has of the places that are gone.
    pub(crate) fn forget(&self, query: &EvidenceQuery, is_gone: impl Fn(&Place) -> bool) {
        for repository in &query.repositories {
            for subject in &query.digests {
                for source in Source::ALL {
                    let place =
                        Place { repository: repository.clone(), subject: subject.clone(), source };
                    if is_gone(&place) {
                        self.usual().remove(&place);
                        self.large().remove(&place);
                    }
                }
            }
        }
    }
}

impl PlaceEvidence {
    /// Where it was found; none when nothing was.
    pub(crate) fn place(&self) -> Option<&Place> {
        self.held.evidence.items.first().map(|item| &item.place)
    }

    /// By which of two from one place the one that counts is chosen.
    pub(crate) fn rank(&self) -> (Timestamp, usize) {
        (self.held.fetched, self.held.evidence.items.len())
    }
}
