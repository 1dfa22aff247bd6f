//! [`Underway`]: the calls in flight, which of them the end of the gate waits for, and when the
//! rest of them end.
//!
//! A gate that is told to stop serves on until nothing is in flight that would be a loss
//! ([`Underway::settled`]); then it is leaving, and what never ends is ended; at last everything is
//! ([`Stage`]). Knows nothing of sockets.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, watch},
    time::{timeout, timeout_at},
};

use crate::clock::Clock;

/// How old a call is that is waited for whatever its method: the ordinary ones take milliseconds,
/// and what is younger ends within the time of parting.
const LONG: Duration = Duration::from_secs(1);

/// How often is looked whether a call has become old.
const LOOK: Duration = Duration::from_millis(50);

/// How far the end of the gate has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// It serves, though it may be waiting for its end.
    Serving,
    /// It says goodbye on every connection; what never ends is ended.
    Leaving,
    /// Everything is ended.
    Over,
}

/// What the end of the gate means for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallEnding {
    /// It is waited for: a client that begins it anew loses work, or finds a name taken.
    Awaited,
    /// It takes milliseconds; waited for only when it does not.
    Short,
    /// It never ends by itself.
    Endless,
}

/// All calls in flight.
#[derive(Debug)]
pub(super) struct Underway {
    clock: Clock,
    stage: watch::Sender<Stage>,
    calls: Mutex<Calls>,
    fewer: Notify,
}

#[derive(Debug, Default)]
struct Calls {
    next: u64,
    open: BTreeMap<u64, (CallEnding, Instant)>,
    /// Calls that were ended before their answer.
    cut: usize,
    /// Endless ones that were ended.
    streams: usize,
}

/// One call in flight; it is over when this is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    underway: Arc<Underway>,
    number: u64,
    ending: CallEnding,
}

/// How many calls were ended by the gate's own end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) cut: usize,
    pub(super) streams: usize,
}

impl Underway {
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        let stage = watch::channel(Stage::Serving).0;
        Arc::new(Self { clock, stage, calls: Mutex::default(), fewer: Notify::new() })
    }

    /// Counts a call that begins.
    pub(super) fn begin(self: &Arc<Self>, ending: CallEnding) -> Ticket {
        let mut calls = self.calls();
        let number = calls.next;
        calls.next += 1;
        calls.open.insert(number, (ending, self.clock.steady()));
        Ticket { underway: Arc::clone(self), number, ending }
    }

    /// Completes at a moment at which no call is in flight that is waited for, at the latest at
    /// `end`.
    pub(super) async fn settled(&self, end: Instant) {
        let settled = async {
            while self.is_awaited() {
                // A call may end, or become old.
                drop(timeout(LOOK, self.fewer.notified()).await);
            }
        };
        if timeout_at(end.into(), settled).await.is_err() {
            tracing::warn!("calls are still in flight after listen.drain_seconds, and are ended");
        }
    }

    /// Whether a call is in flight that is waited for whatever its age.
    pub(super) fn has_begun(&self) -> bool {
        self.calls().open.values().any(|(ending, _)| *ending == CallEnding::Awaited)
    }

    fn is_awaited(&self) -> bool {
        let now = self.clock.steady();
        self.calls().open.values().any(|(ending, since)| match ending {
            CallEnding::Awaited => true,
            CallEnding::Short => now.saturating_duration_since(*since) >= LONG,
            CallEnding::Endless => false,
        })
    }

    pub(super) fn enter(&self, stage: Stage) {
        self.stage.send_replace(stage);
    }

    /// Completes when this stage is reached.
    pub(super) async fn reached(&self, stage: Stage) {
        // The sender lives as long as this, so there is always an answer.
        let _ = self.stage.subscribe().wait_for(|now| *now >= stage).await;
    }

    pub(super) fn ended(&self) -> Ended {
        let calls = self.calls();
        Ended { cut: calls.cut, streams: calls.streams }
    }

    fn calls(&self) -> std::sync::MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Completes when the gate's end ends this call.
    pub(super) fn cut(&self) -> impl Future<Output = ()> + Send + 'static {
        let underway = Arc::clone(&self.underway);
        let stage = match self.ending {
            CallEnding::Endless => Stage::Leaving,
            CallEnding::Awaited | CallEnding::Short => Stage::Over,
        };
        async move { underway.reached(stage).await }
    }

    /// Counts it among those that the gate's end ended.
    pub(super) fn note_cut(&self) {
        let mut calls = self.underway.calls();
        match self.ending {
            CallEnding::Endless => calls.streams += 1,
            CallEnding::Awaited | CallEnding::Short => calls.cut += 1,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.underway.calls().open.remove(&self.number);
        self.underway.fewer.notify_waiters();
    }
}
