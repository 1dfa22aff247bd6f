//! [`Stops`]: which containers sweeps stopped lately, so that no more are in a minute than an operator
//! wants, and of which it was told that they are spared; [`StopCounts`]: how many in all.
//!
//! Pure: time is an argument. What is stopped is decided in [`stop`](super::stop).

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

/// What the limit on stops is over.
const MINUTE: Duration = Duration::from_secs(60);

/// What came of what sweeps wanted to stop, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StopCounts {
    /// Containers that were stopped.
    pub stopped: u64,
    /// Those that the runtime did not stop.
    pub failed: u64,
    /// Those that were left running, since they are of a static pod, or not the CRI's.
    pub spared: u64,
}

/// Why a container is not stopped that otherwise would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Spared {
    /// It is of a static pod, as those of the control plane are.
    StaticPod,
    /// What its pod is cannot be told.
    PodUnknown,
    /// The CRI does not have it, and so cannot stop it: it was made by `ctr`, or by Docker.
    NotOfCri,
}

/// The stops of sweeps.
#[derive(Debug, Default)]
pub(super) struct Stops {
    /// When those of the last minute were begun, the oldest first: as many as the limit.
    begun: VecDeque<Instant>,
    /// Of which it was told that they are spared.
    spared: HashSet<(String, Spared)>,
    pub(super) counts: StopCounts,
}

impl Spared {
    /// What is said of it.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::StaticPod => {
                "it is of a static pod, which sweep.stop_static_pods protects; correct its manifest \
                 or the policy"
            }
            Self::PodUnknown => {
                "what its pod is cannot be told, and static pods are protected; delete its pod"
            }
            Self::NotOfCri => {
                "it was not made through the CRI, which alone is asked to stop one; stop it with \
                 what made it, as ctr or docker"
            }
        }
    }
}

impl Stops {
    /// How long it is until one more may be stopped, of so many a minute; none where it may be now.
    pub(super) fn wait(&mut self, now: Instant, per_minute: usize) -> Option<Duration> {
        while let Some(oldest) = self.begun.front()
            && now.saturating_duration_since(*oldest) >= MINUTE
        {
            self.begun.pop_front();
        }
        let nth = self.begun.len().checked_sub(per_minute)?;
        let leaves = self.begun.get(nth)?;
        Some(MINUTE.saturating_sub(now.saturating_duration_since(*leaves)))
    }

    /// One is being stopped.
    pub(super) fn begin(&mut self, now: Instant) {
        self.begun.push_back(now);
    }

    /// Notes that this one is spared; whether that is new.
    pub(super) fn spare(&mut self, id: &str, why: Spared) -> bool {
        let is_new = self.spared.insert((id.to_owned(), why));
        self.counts.spared += u64::from(is_new);
        is_new
    }

    /// Forgets those spared that are not among these.
    pub(super) fn keep(&mut self, present: &HashSet<&str>) {
        self.spared.retain(|(id, _)| present.contains(id.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "any moment will do")]
    fn no_more_are_stopped_in_a_minute_than_the_limit() {
        let (mut stops, began) = (Stops::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        for second in [0, 10] {
            assert_eq!(stops.wait(at(second), 2), None);
            stops.begin(at(second));
        }
        assert_eq!(stops.wait(at(11), 2), Some(Duration::from_secs(49)));
        assert_eq!(stops.wait(at(59), 2), Some(Duration::from_secs(1)));
        assert_eq!(stops.wait(at(60), 2), None, "the first is a minute ago");
        stops.begin(at(60));
        assert_eq!(stops.wait(at(60), 2), Some(Duration::from_secs(10)));
        assert_eq!(stops.wait(at(200), 2), None);
    }

    #[test]
    fn that_one_is_spared_is_new_once_until_it_is_gone() {
        let mut stops = Stops::default();
        assert!(stops.spare("a", Spared::StaticPod));
        assert!(!stops.spare("a", Spared::StaticPod));
        stops.keep(&HashSet::from(["a"]));
        assert!(!stops.spare("a", Spared::StaticPod));
        stops.keep(&HashSet::new());
        assert!(stops.spare("a", Spared::StaticPod));
        assert_eq!(stops.counts.spared, 2);
    }
}
