//! [`Pieces`]: the evidence of one question, place by place, as memory and disk have it; and the memory of evidence.

use std::sync::Arc;

use jiff::Timestamp;

use super::Shared;
use super::admission::Footing;
use super::freshness::{Standing, Terms};
use super::keeping::{Held, Piece, Wish};
use crate::audit::EvidenceSource;
use crate::evidence::{Evidence, Outcome, Place, Source};

/// Largest evidence from one place that is kept in memory as a matter of course, in bytes. A signature takes 1 to 2 KiB,
/// one with a certificate and log proof under 20 KiB, so this is several.
const KEPT_BYTES_MAX: usize = 64 << 10;
/// Largest that is kept there at all: attestations with a bill of materials. Of these few are kept
/// ([`KEPT_LARGE_MAX`](super::KEPT_LARGE_MAX)); more is read again when it is needed.
const KEPT_LARGE_BYTES_MAX: usize = 1 << 20;

/// Evidence from several places, each once.
#[derive(Debug, Clone, Default)]
pub(super) struct Pieces(Vec<Piece>);

impl Pieces {
    /// Adds what another source has; of one place the newer counts, and of two that are as old the one with more in it:
    /// what was read for documents that ask for less is less. Whether anything is new.
    pub(super) fn add(&mut self, others: Vec<Piece>) -> bool {
        let mut is_new = false;
        for other in others {
            match self.0.iter_mut().find(|piece| piece.place() == other.place()) {
                Some(piece) if piece.rank() >= other.rank() => continue,
                Some(piece) => *piece = other,
                None => self.0.push(other),
            }
            is_new = true;
        }
        is_new
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn all(&self) -> &[Piece] {
        &self.0
    }

    /// Those of places that were seen whole, and those of places of which a part could not be reached, or was not read
    /// since what was read suffices: of these it is not said yet how many were found.
    pub(super) fn by_wholeness(&self) -> (Self, Self) {
        let is_cut = |(_, outcome): &(Place, Outcome)| matches!(outcome, Outcome::Unreachable(_));
        let is_ended = |(_, outcome): &(Place, Outcome)| matches!(outcome, Outcome::Found(_));
        let is_whole = |piece: &&Piece| {
            let evidence = &piece.held.evidence;
            let is_empty = evidence.items.is_empty();
            !evidence.looked.iter().any(is_cut) && (is_empty || evidence.looked.iter().any(is_ended))
        };
        let (whole, cut): (Vec<_>, Vec<_>) = self.0.iter().partition(is_whole);
        (whole.into_iter().cloned().collect(), cut.into_iter().cloned().collect())
    }

    /// What is no worse than this.
    pub(super) fn at_most(&self, worst: Standing, terms: &Terms) -> Self {
        let pieces = self.0.iter().filter(|piece| terms.standing(piece.held.fetched) <= worst);
        Self(pieces.cloned().collect())
    }

    /// What counts by itself, in the order in which it is tried: what is fresh, and what is stale with it. That a stale
    /// piece lies beside makes nothing stale that stands without it.
    pub(super) fn in_turns(&self, terms: &Terms) -> impl Iterator<Item = Self> + use<> {
        let fresh = self.at_most(Standing::Fresh, terms);
        let stale = self.at_most(Standing::Stale, terms);
        let has_stale = stale.0.len() > fresh.0.len();
        let turns = [Some(fresh), has_stale.then_some(stale)];
        turns.into_iter().flatten().filter(|pieces| !pieces.0.is_empty())
    }

    /// The oldest of it; none when there is nothing.
    pub(super) fn footing(&self) -> Option<Footing> {
        let oldest = self.0.iter().min_by_key(|piece| piece.held.fetched)?;
        Some(Footing { source: oldest.source, fetched: oldest.held.fetched })
    }

    pub(super) fn evidence(&self) -> Vec<Arc<Evidence>> {
        self.0.iter().map(|piece| Arc::clone(&piece.held.evidence)).collect()
    }
}

impl FromIterator<Piece> for Pieces {
    fn from_iter<I: IntoIterator<Item = Piece>>(pieces: I) -> Self {
        Self(pieces.into_iter().collect())
    }
}

impl Piece {
    /// Where it was found; none when nothing was.
    pub(super) fn place(&self) -> Option<&Place> {
        self.held.evidence.items.first().map(|item| &item.place)
    }

    /// By which of two from one place the one that counts is chosen.
    fn rank(&self) -> (Timestamp, usize) {
        (self.held.fetched, self.held.evidence.items.len())
    }
}

impl Shared {
    /// Remembers the evidence that a permit rests on, so that the next policy can be judged without the network. Evidence
    /// that led to nothing is not kept: a registry cannot fill this memory with what nobody trusts.
    pub(super) fn keep(&self, pieces: &[Piece]) {
        let expires = self.clock.steady() + self.memory.evidence_ttl();
        for piece in pieces {
            let Some(place) = piece.place() else { continue };
            let key = place.clone();
            let size = piece.held.evidence.size();
            if size > KEPT_LARGE_BYTES_MAX {
                continue;
            }
            let evidence = Arc::new(piece.held.evidence.copied());
            let held = Arc::new(Held { evidence, fetched: piece.held.fetched });
            let mut memory = if size <= KEPT_BYTES_MAX { self.evidence() } else { self.large_evidence() };
            memory.put(key, held, expires);
        }
    }

    /// Evidence from memory: bytes that were fetched, never that something was absent.
    pub(super) fn pieces_in_memory(&self, wish: &Wish) -> Pieces {
        let now = self.clock.steady();
        let mut kept: Vec<Arc<Held>> = Vec::new();
        for repository in &wish.repositories {
            for digest in &wish.digests {
                for source in Source::ALL {
                    let key = Place { repository: repository.clone(), subject: digest.clone(), source };
                    kept.extend(self.evidence().get(&key, now).cloned());
                    kept.extend(self.large_evidence().get(&key, now).cloned());
                }
            }
        }
        kept.into_iter().map(|held| Piece { held, source: EvidenceSource::Memory }).collect()
    }

    /// Forgets what memory has of the places that are gone.
    pub(super) fn forget_pieces(&self, wish: &Wish, is_gone: impl Fn(&Place) -> bool) {
        for repository in &wish.repositories {
            for subject in &wish.digests {
                for source in Source::ALL {
                    let place = Place { repository: repository.clone(), subject: subject.clone(), source };
                    if is_gone(&place) {
                        self.evidence().remove(&place);
                        self.large_evidence().remove(&place);
                    }
                }
            }
        }
    }
}
