//! [`Seldom`]: says something once a minute at most, and how often it went unsaid: what a client or
//! a runtime that is gone causes at every call must not fill the journal.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::clock::Clock;

/// The least time between two lines about the same.
const APART: Duration = Duration::from_secs(60);

/// When something was said last.
#[derive(Debug)]
pub(in crate::proxy) struct Seldom {
    clock: Clock,
    state: Mutex<LastSaid>,
}

#[derive(Debug, Default)]
struct LastSaid {
    said: Option<Instant>,
    unsaid: u64,
}

impl Seldom {
    pub(in crate::proxy) fn new(clock: Clock) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// Whether it is to be said now; then how often it was not, since it was said last.
    pub(in crate::proxy) fn due(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.steady();
        if state.said.is_some_and(|said| now.saturating_duration_since(said) < APART) {
            state.unsaid += 1;
            return None;
        }
        state.said = Some(now);
        Some(std::mem::take(&mut state.unsaid))
    }

    /// Ends it: the next time is said at once. How often it went unsaid, when it was said at all.
    pub(in crate::proxy) fn over(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.said.take().map(|_| std::mem::take(&mut state.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The clock of the timers, which the test sets forward.
    const PAUSED: Clock =
        Clock::new(|| std::time::UNIX_EPOCH, || tokio::time::Instant::now().into_std());

    #[tokio::test(start_paused = true)]
    async fn once_a_minute_with_the_count_of_what_went_unsaid() {
        let seldom = Seldom::new(PAUSED);
        assert_eq!(seldom.due(), Some(0));
        for _ in 0..100 {
            assert_eq!(seldom.due(), None);
        }
        tokio::time::advance(APART).await;
        assert_eq!(seldom.due(), Some(100));
        assert_eq!(seldom.due(), None);
        assert_eq!(seldom.over(), Some(1));
        assert_eq!(seldom.over(), None);
        assert_eq!(seldom.due(), Some(0));
    }
}
