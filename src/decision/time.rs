//! [`Time`]: the clocks of decisions; [`Moment`]: what both say at once.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::clock::Clock;
use crate::floor::Floor;

/// The clocks of decisions.
#[derive(Debug)]
pub(crate) struct Time {
    pub(crate) clock: Clock,
    /// The gate's beginning, on the steady clock.
    began: Instant,
    /// The clock is not believed when it says that it is earlier.
    pub(crate) floor: Floor,
}

/// The time by both clocks. The steady one is read first: what passes between the two readings
/// shortens a life.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) steady: Instant,
    pub(crate) now: Timestamp,
}

impl Time {
    /// Of a gate that begins now.
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, began: clock.steady(), floor: Floor::default() }
    }

    /// The time as of which everything is judged: the clock's, or the latest that is known to have
    /// been.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now().max(self.floor.latest())
    }

    pub(crate) fn steady(&self) -> Instant {
        self.clock.steady()
    }

    pub(crate) fn moment(&self) -> Moment {
        let steady = self.steady();
        Moment { steady, now: self.now() }
    }

    /// How long after the gate's beginning this was, by the steady clock.
    pub(crate) fn since_began(&self, steady: Instant) -> Duration {
        steady.saturating_duration_since(self.began)
    }
}
