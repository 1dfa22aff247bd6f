//! [`FairShare`]: something of which a node has only so much (seats for decisions, requests in
//! flight, memory for bodies), shared by the hosts that it is used for, so that one host that
//! hangs, drips or floods holds up no other.
//!
//! The rules, for `total` units and a `patience`:
//!
//! * A host has at most a quarter while others wait, and at most `per_host` ever. Hosts that hold
//!   nothing go first, and of those the ones that answered lately.
//! * A host that held something for longer than `patience`, and did not answer in the end, hangs.
//!   For a minute, or until it answers, it has one place: at once while half of everything is left,
//!   or else after others; and a second one only while three quarters are left.
//! * With its first place a host that answered lately leaves nothing, one that nobody has seen yet
//!   an eighth; with further ones an eighth, and a quarter. A host with more than its share leaves
//!   a quarter.
//! * While a host within its share waits in vain, what other hosts have held for longer than
//!   `patience` is recalled, the oldest of those that hold most first ([`Slot::unless_recalled`]).
//! * A host that was given nothing for `patience` goes before those that were.
//!
//! So whatever `n` other hosts do, the first place of a host is free after at most `patience × (3 +
//! n / total)`, and at once unless hosts that never hung fill everything. It knows neither what it
//! shares nor who asks.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::clock::Clock;

pub use queue::Rules;
pub use recall::{Recall, Recalled};

use queue::{Host, QueueStanding, State, Waiter, Word};

mod queue;
mod recall;

#[cfg(test)]
mod tests;

/// A waiter looks this many times in one `patience` whether something is to be recalled for it.
const LOOKS: u32 = 8;

/// The shared thing; a clone is another handle on it.
#[derive(Clone)]
pub struct FairShare(Arc<Shared>);

/// A part of it, given back when it is dropped.
pub struct Slot {
    shared: Arc<Shared>,
    host: Arc<str>,
    id: u64,
    recall: Recall,
}

/// There was no place in time, or too many wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crowded {
    /// The host whose doing it is: the one asked for, when it has its share; else the one that has
    /// held something longest.
    pub by: String,
}

struct Shared {
    rules: Rules,
    clock: Clock,
    state: Mutex<State>,
}

impl FairShare {
    /// All of it is free.
    #[must_use]
    pub fn new(rules: Rules, clock: Clock) -> Self {
        let total = rules.total.max(1);
        let rules = Rules { total, per_host: rules.per_host.clamp(1, total), ..rules };
        Self(Arc::new(Shared { rules, clock, state: Mutex::new(State::new(total)) }))
    }

    /// A part of `amount` units for `host`, waited for until `until` on the clock's steady time.
    /// More than there is means all of it.
    ///
    /// # Errors
    /// [`Crowded`] when there was none in time, or so many wait already that one of this host has
    /// to go.
    pub async fn take(&self, host: &str, amount: usize, until: Instant) -> Result<Slot, Crowded> {
        let (slot, mut word) = self.enter(host, amount);
        loop {
            let said = word.borrow_and_update().clone();
            let left = until.saturating_duration_since(self.0.clock.steady());
            let wait = match said {
                Word::Granted => return Ok(slot),
                Word::Dropped => return Err(Crowded { by: host.to_owned() }),
                Word::First | Word::Queued if left.is_zero() => return Err(self.0.crowded(&slot)),
                Word::First => left.min(self.0.look()),
                Word::Queued => left,
            };
            // The sender is dropped with the slot's entry, which this future holds.
            let _ = tokio::time::timeout(wait, word.changed()).await;
        }
    }

    /// Units that nobody holds.
    #[must_use]
    pub fn free(&self) -> usize {
        self.0.lock().free
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.lock().waiting
    }

    /// Puts a waiter into the queue, and gives what can be given.
    fn enter(&self, host: &str, amount: usize) -> (Slot, watch::Receiver<Word>) {
        let shared = Arc::clone(&self.0);
        let (rules, now) = (shared.rules, shared.clock.steady());
        let mut state = shared.lock();
        let host: Arc<str> = state
            .hosts
            .get_key_value(host)
            .map_or_else(|| host.into(), |(known, _)| Arc::clone(known));
        state.next_id += 1;
        let (id, recall) = (state.next_id, Recall::default());
        let queue = &mut state.hosts.entry(Arc::clone(&host)).or_default().queue;
        let (word, heard) =
            watch::channel(if queue.is_empty() { Word::First } else { Word::Queued });
        queue.push_back(Waiter {
            id,
            amount: amount.clamp(1, rules.total),
            since: now,
            recall: recall.clone(),
            word,
        });
        state.waiting += 1;
        state.grant(&rules, now);
        if state.waiting > rules.queue {
            state.drop_one();
        }
        drop(state);
        (Slot { shared, host, id, recall }, heard)
    }
}

impl Slot {
    /// The host answered: it does not hang. After an answer that took longer than `patience` it is
    /// like one that nobody has seen: the node itself may be what is slow.
    pub fn answered(&self) {
        let now = self.shared.clock.steady();
        let patience = self.shared.rules.patience;
        let mut state = self.shared.lock();
        let held = state.hosts.get_mut(&self.host).and_then(|host| host.slots.get_mut(&self.id));
        let Some(held) = held else { return };
        held.is_answered = true;
        if !held.is_long(patience, now) {
            state.hung.pop(&self.host);
            state.answered.put(Arc::clone(&self.host), now);
        }
    }

    /// What says that it is to be given back.
    #[must_use]
    pub fn recall(&self) -> Recall {
        self.recall.clone()
    }

    /// Does `work` unless the slot is recalled before it is done.
    ///
    /// # Errors
    /// [`Recalled`]; `work` is dropped then.
    pub async fn unless_recalled<F: Future>(&self, work: F) -> Result<F::Output, Recalled> {
        self.recall.unless(work).await
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.shared.leave(&self.host, self.id);
    }
}

impl Shared {
    /// The state, after a panic too: what a slot holds is given back when it is dropped, so nothing
    /// is lost for good.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, name: &Arc<str>, id: u64) {
        let now = self.clock.steady();
        let mut state = self.lock();
        let Some(host) = state.hosts.get_mut(name) else { return };
        if let Some(at) = host.queue.iter().position(|waiter| waiter.id == id) {
            host.queue.remove(at);
            host.tell_first();
            state.waiting = state.waiting.saturating_sub(1);
        } else if let Some(held) = host.slots.remove(&id) {
            host.held = host.held.saturating_sub(held.amount);
            state.free += held.amount;
            if held.is_long(self.rules.patience, now) {
                state.answered.pop(name);
                if !held.is_answered {
                    state.hung.put(Arc::clone(name), now);
                }
            }
        }
        if state.hosts.get(name).is_some_and(Host::is_idle) {
            state.hosts.remove(name);
        }
        state.grant(&self.rules, now);
    }

    /// Gives what can be given by now, and recalls what is to be recalled; after how long that is
    /// to be done again.
    fn look(&self) -> Duration {
        let (now, every) = (self.clock.steady(), self.rules.patience / LOOKS);
        let mut state = self.lock();
        let next = state.looked.map_or(now, |looked| looked + every);
        if now < next {
            return next - now;
        }
        state.looked = Some(now);
        state.grant(&self.rules, now);
        state.recall(&self.rules, now);
        every.max(Duration::from_millis(1))
    }

    /// Whose doing it is that there is no place.
    fn crowded(&self, slot: &Slot) -> Crowded {
        let now = self.clock.steady();
        let state = self.lock();
        let is_own = state.hosts.get(&slot.host).is_some_and(|host| {
            let standing = state.standing(&slot.host, host, &self.rules, now);
            let is_limited =
                host.queue.front().is_some_and(|first| !host.fits(first.amount, &self.rules));
            standing == QueueStanding::Hung || is_limited
        });
        let holds = state
            .hosts
            .iter()
            .filter_map(|(name, host)| Some((host.slots.values().next()?.since, name)));
        match holds.min() {
            Some((_, name)) if !is_own => Crowded { by: name.to_string() },
            Some(_) | None => Crowded { by: slot.host.to_string() },
        }
    }
}

impl fmt::Debug for FairShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        let mut shown = f.debug_struct("FairShare");
        shown
            .field("rules", &self.0.rules)
            .field("free", &state.free)
            .field("waiting", &state.waiting);
        shown.finish_non_exhaustive()
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("host", &self.host)
            .field("recall", &self.recall)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Crowded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} takes too long and keeps every place that it may have; try again", self.by)
    }
}

impl std::error::Error for Crowded {}
