//! [`Clock`]: the seam through which time reaches the rooms. Only `daemon.rs` and tests make one;
//! nothing else reads the system's clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Two functions that tell the time: the calendar's and a steady one for durations.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: fn() -> SystemTime,
    steady: fn() -> Instant,
}

impl Clock {
    /// A clock made of the two functions.
    #[must_use]
    pub const fn new(wall: fn() -> SystemTime, steady: fn() -> Instant) -> Self {
        Self { wall, steady }
    }

    /// Calendar time since 1970-01-01 UTC; zero for a clock set before that.
    #[must_use]
    pub fn unix(&self) -> Duration {
        (self.wall)().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// The same, as a point in time.
    #[must_use]
    pub fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::try_from((self.wall)()).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }

    /// A point on the steady clock, for measuring durations and expiry.
    #[must_use]
    pub fn steady(&self) -> Instant {
        (self.steady)()
    }
}
