//! How fresh evidence is: [`FreshnessTerms`] say how old it may be, [`Staleness`] what its age
//! makes of it.
//!
//! The time at which evidence was fetched is the calendar's, since it outlives the process. A
//! calendar that was set wrong in between makes an age that is not known, never one that is small
//! (attack C4).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::policy::Freshness;

/// How far ahead of the clock evidence may be without a doubt: clocks are corrected by less all the
/// time, and evidence may come from another node.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// What its age makes of evidence, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Staleness {
    /// It counts.
    Fresh,
    /// It counts, and the registry is asked again in the background.
    Stale,
    /// The registry is asked first; when that cannot be, it counts: from before a flush, or of no
    /// known age.
    Doubtful,
    /// The registry is asked first, and nothing else will do: older than the operator lets evidence
    /// be.
    Overdue,
}

/// How old evidence may be for one decision.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FreshnessTerms {
    /// What the documents that match and the node's configuration say together.
    pub(crate) freshness: Freshness,
    /// When an operator last said that the registry is to be asked.
    pub(crate) flushed: Option<Timestamp>,
    /// The time as of which ages are told.
    pub(crate) now: Timestamp,
}

impl Staleness {
    /// All of it, the best first.
    pub(crate) const ALL: [Self; 4] = [Self::Fresh, Self::Stale, Self::Doubtful, Self::Overdue];
}

impl FreshnessTerms {
    /// What evidence of this time is worth.
    pub(crate) fn standing(&self, fetched: Timestamp) -> Staleness {
        let age = self.now.duration_since(fetched);
        let is_unknown = age < -AHEAD;
        let Freshness { refresh_after, max_offline } = self.freshness;
        if max_offline.is_some_and(|most| is_unknown || age > signed(most)) {
            Staleness::Overdue
        } else if is_unknown || self.flushed.is_some_and(|flushed| fetched < flushed) {
            Staleness::Doubtful
        } else if refresh_after.is_some_and(|after| age >= signed(after)) {
            Staleness::Stale
        } else {
            Staleness::Fresh
        }
    }

    /// Until when it counts by itself; none without end.
    pub(crate) fn end(&self, fetched: Timestamp) -> Option<Timestamp> {
        let most = self.freshness.max_offline?;
        Some(fetched.saturating_add(signed(most)).unwrap_or(Timestamp::MAX))
    }

    /// How long until the registry is to be asked again; none for never.
    pub(crate) fn due_in(&self, fetched: Timestamp) -> Option<Duration> {
        let left = signed(self.freshness.refresh_after?) - self.age(fetched);
        Some(Duration::try_from(left).unwrap_or(Duration::ZERO))
    }

    /// How old it is; nothing for what is from the future.
    fn age(&self, fetched: Timestamp) -> SignedDuration {
        self.now.duration_since(fetched).max(SignedDuration::ZERO)
    }
}

/// An age in words, in its two largest units.
pub(crate) fn in_words(age: SignedDuration) -> String {
    let seconds = age.as_secs().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    if days > 0 {
        format!("{days} d {hours} h")
    } else if hours > 0 {
        format!("{hours} h {minutes} min")
    } else {
        format!("{minutes} min {} s", seconds % 60)
    }
}

/// As a duration that may be subtracted; one beyond what can be told is the longest that can.
fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn terms(refresh_after: Option<Duration>, max_offline: Option<Duration>) -> FreshnessTerms {
        FreshnessTerms {
            freshness: Freshness { refresh_after, max_offline },
            flushed: None,
            now: now(),
        }
    }

    fn hours_ago(hours: i64) -> Timestamp {
        now() - SignedDuration::from_hours(hours)
    }

    #[test]
    fn evidence_ages() {
        let terms = terms(Some(24 * HOUR), Some(72 * HOUR));
        let standings = [0, 23, 24, 72, 73].map(|hours| terms.standing(hours_ago(hours)));
        use Staleness::{Fresh, Overdue, Stale};
        assert_eq!(standings, [Fresh, Fresh, Stale, Stale, Overdue]);
        assert_eq!(terms.end(hours_ago(1)), Some(now() + SignedDuration::from_hours(71)));
        assert_eq!(terms.due_in(hours_ago(23)), Some(HOUR));
        assert_eq!(terms.due_in(hours_ago(50)), Some(Duration::ZERO));
    }

    #[test]
    fn without_terms_it_counts_for_ever() {
        let terms = terms(None, None);
        assert_eq!(terms.standing(Timestamp::UNIX_EPOCH), Staleness::Fresh);
        assert_eq!((terms.end(now()), terms.due_in(now())), (None, None));
    }

    /// What an operator flushed is asked for again, and falls back to what there is.
    #[test]
    fn what_was_fetched_before_a_flush_is_in_doubt() {
        let flushed =
            FreshnessTerms { flushed: Some(hours_ago(2)), ..terms(Some(24 * HOUR), None) };
        assert_eq!(flushed.standing(hours_ago(3)), Staleness::Doubtful);
        assert_eq!(flushed.standing(hours_ago(1)), Staleness::Fresh);
        let bounded = FreshnessTerms { flushed: Some(hours_ago(2)), ..terms(None, Some(HOUR)) };
        assert_eq!(bounded.standing(hours_ago(3)), Staleness::Overdue);
    }

    /// Attack C4: the clock was ahead when it was fetched, or is behind now. Nobody knows how old
    /// it is.
    #[test]
    fn attack_c4_evidence_from_the_future_has_no_known_age() {
        assert_eq!(terms(None, None).standing(hours_ago(-1)), Staleness::Doubtful);
        assert_eq!(terms(Some(HOUR), Some(HOUR)).standing(hours_ago(-1)), Staleness::Overdue);
        let almost = now() + SignedDuration::from_secs(60);
        assert_eq!(
            terms(Some(HOUR), Some(HOUR)).standing(almost),
            Staleness::Fresh,
            "clocks differ a little"
        );
        assert_eq!(terms(Some(HOUR), None).due_in(hours_ago(-1)), Some(HOUR));
    }

    #[test]
    fn ages_are_told_in_words() {
        let told =
            [59, 3_600, 90_000, -5].map(|seconds| in_words(SignedDuration::from_secs(seconds)));
        assert_eq!(told, ["0 min 59 s", "1 h 0 min", "1 d 1 h", "0 min 0 s"]);
    }
}
