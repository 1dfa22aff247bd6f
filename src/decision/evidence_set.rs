//! [`EvidenceSet`]: the evidence of one question, place by place, as memory, disk and registry have
//! it.

use std::sync::Arc;

use super::freshness::{FreshnessTerms, Staleness};
use crate::evidence::{Evidence, EvidenceProvenance, Outcome, Place};
use crate::sources::PlaceEvidence;

/// Evidence from several places, each once.
#[derive(Debug, Clone, Default)]
pub(crate) struct EvidenceSet(Vec<PlaceEvidence>);

impl EvidenceSet {
    /// Adds what another source has; of one place the newer counts, and of two that are as old the
    /// one with more in it: what was read for documents that ask for less is less. Whether anything
    /// is new.
    pub(crate) fn add(&mut self, others: Vec<PlaceEvidence>) -> bool {
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

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn all(&self) -> &[PlaceEvidence] {
        &self.0
    }

    /// Those of places that were seen whole, and those of places of which a part could not be
    /// reached, or was not read since what was read suffices: of these it is not said yet how many
    /// were found.
    pub(crate) fn by_wholeness(&self) -> (Self, Self) {
        let is_cut = |(_, outcome): &(Place, Outcome)| matches!(outcome, Outcome::Unreachable(_));
        let is_ended = |(_, outcome): &(Place, Outcome)| matches!(outcome, Outcome::Found(_));
        let is_whole = |piece: &&PlaceEvidence| {
            let evidence = &piece.held.evidence;
            let is_empty = evidence.items.is_empty();
            !evidence.looked.iter().any(is_cut)
                && (is_empty || evidence.looked.iter().any(is_ended))
        };
        let (whole, cut): (Vec<_>, Vec<_>) = self.0.iter().partition(is_whole);
        (whole.into_iter().cloned().collect(), cut.into_iter().cloned().collect())
    }

    /// What is no worse than this.
    pub(crate) fn at_most(&self, worst: Staleness, terms: &FreshnessTerms) -> Self {
        let pieces = self.0.iter().filter(|piece| terms.standing(piece.held.fetched) <= worst);
        Self(pieces.cloned().collect())
    }

    /// What counts, in the order in which it is tried: what is fresh, what is less fresh together
    /// with it, and so on as far as `worst`. That a stale piece lies beside makes nothing stale
    /// that stands without it.
    pub(crate) fn in_turns(&self, worst: Staleness, terms: &FreshnessTerms) -> Vec<Self> {
        let mut turns: Vec<Self> = Vec::new();
        for staleness in Staleness::ALL.into_iter().filter(|staleness| *staleness <= worst) {
            let pieces = self.at_most(staleness, terms);
            if pieces.0.len() > turns.last().map_or(0, |before| before.0.len()) {
                turns.push(pieces);
            }
        }
        turns
    }

    /// The worst of it; none when there is nothing.
    pub(crate) fn staleness(&self, terms: &FreshnessTerms) -> Option<Staleness> {
        self.0.iter().map(|piece| terms.standing(piece.held.fetched)).max()
    }

    /// The oldest of it; none when there is nothing.
    pub(crate) fn provenance(&self) -> Option<EvidenceProvenance> {
        let oldest = self.0.iter().min_by_key(|piece| piece.held.fetched)?;
        Some(EvidenceProvenance { source: oldest.source, fetched: oldest.held.fetched })
    }

    pub(crate) fn evidence(&self) -> Vec<Arc<Evidence>> {
        self.0.iter().map(|piece| Arc::clone(&piece.held.evidence)).collect()
    }
}

impl FromIterator<PlaceEvidence> for EvidenceSet {
    fn from_iter<I: IntoIterator<Item = PlaceEvidence>>(pieces: I) -> Self {
        Self(pieces.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::{SignedDuration, Timestamp};

    use super::*;
    use crate::evidence::EvidenceSource;
    use crate::policy::Freshness;
    use crate::sources::FetchedEvidence;

    const HOUR: Duration = Duration::from_secs(3600);

    fn hours_ago(hours: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap() - SignedDuration::from_hours(hours)
    }

    /// How many pieces are tried in each turn, of some that are so many hours old.
    fn turns(ages: &[i64], worst: Staleness, flushed: Option<i64>) -> Vec<usize> {
        let piece = |hours: &i64| PlaceEvidence {
            held: Arc::new(FetchedEvidence {
                evidence: Arc::default(),
                fetched: hours_ago(*hours),
            }),
            source: EvidenceSource::Evidence,
        };
        let freshness = Freshness { refresh_after: Some(24 * HOUR), max_offline: Some(72 * HOUR) };
        let flushed = flushed.map(hours_ago);
        let terms = FreshnessTerms { freshness, flushed, now: hours_ago(0) };
        let kept: EvidenceSet = ages.iter().map(piece).collect();
        kept.in_turns(worst, &terms).iter().map(|turn| turn.all().len()).collect()
    }

    #[test]
    fn what_is_less_fresh_is_tried_with_what_is_fresher() {
        use Staleness::{Doubtful, Overdue, Stale};
        assert_eq!(turns(&[80, 30, 1, 2], Overdue, None), [2, 3, 4]);
        assert_eq!(turns(&[80, 30, 1, 2], Stale, None), [2, 3]);
        assert_eq!(turns(&[30, 80], Stale, None), [1]);
        assert_eq!(turns(&[80], Doubtful, None), [0; 0]);
        assert_eq!(turns(&[], Overdue, None), [0; 0]);
        // What is from before a flush does not count by itself.
        assert_eq!(turns(&[1, 3, 30], Stale, Some(2)), [1]);
        assert_eq!(turns(&[1, 3, 30], Doubtful, Some(2)), [1, 3]);
    }
}
