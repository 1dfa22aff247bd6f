//! [`MemoryBudget`]: how many bytes that registries sent the gate holds at once. [`Allowance`] is
//! one session's part of it, [`Reservation`] bytes that count until they are dropped.
//!
//! Whoever holds bytes of a registry reserves them first: a document, a manifest, a blob, and what
//! is parsed out of it. [`Reservation::hold`] ties the bytes to what was reserved for them, so that
//! they count for exactly as long as any copy of the [`Bytes`] lives, through judging and to the
//! disk, and no path can forget to give them back.
//!
//! The first [`SMALL`] bytes of a session are its own: an ordinary signature waits for nobody.
//! Beyond them the session takes a turn in the lowest [`Tier`] that has room for everything it
//! holds, and waits for that turn. Nobody deadlocks: a session waits only for a tier above its own,
//! and whoever has a turn in the highest tier never waits. Turns are shared by host
//! ([`FairShare`]): a session that has one for long while other hosts' wait is over
//! ([`Allowance::unless_recalled`]). What no tier has room for is an error at once. What is
//! remembered beyond a decision is copied first ([`Bytes::copy_from_slice`]) and counts there.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::share::{FairShare, Rules, Slot};

/// Bytes that every session may hold without a turn: an index and a manifest of ordinary size (20
/// KiB each) and ten keyless signatures. Sessions are bounded by the decisions under way (64): 16
/// MiB.
pub const SMALL: usize = 256 << 10;

/// How many sessions may hold how much beyond [`SMALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// Most bytes that a session with a turn in this tier holds, all of them counted.
    pub bytes: usize,
    /// Sessions with such a turn at once.
    pub turns: usize,
}

/// The tiers of a gate, the lowest first: three sessions that hold 8 MiB each. That is the largest
/// index that there may be (4 MiB) with as much again for what is parsed out of it, or a manifest
/// of 2 MiB with its annotations and 64 signatures of the largest size. With [`SMALL`] it bounds
/// what is held of signatures: 40 MiB.
///
/// Two more may hold the largest attestation that an operator may allow (`limits.attestation_mib`:
/// 32 MiB, 44 as a bundle) beside that; by default one has 22 MiB. Its turns add `bytes * turns` to
/// what the gate may hold.
pub const TIERS: &[Tier] = &[Tier { bytes: 8 << 20, turns: 3 }, Tier { bytes: 52 << 20, turns: 2 }];

/// How long a turn is left to a session for which others wait: enough for 8 MiB at 1.6 MB/s.
const PATIENCE: Duration = Duration::from_secs(5);
/// Sessions that wait for a turn: more than there are decisions.
const QUEUE: usize = 1024;

/// The bytes of one gate.
#[derive(Debug)]
pub struct MemoryBudget {
    tiers: Vec<Turns>,
}

/// The turns of one tier.
#[derive(Debug)]
struct Turns {
    tier: Tier,
    share: FairShare,
}

/// A session's turn in a tier.
#[derive(Debug)]
struct Turn {
    tier: usize,
    slot: Slot,
}

/// The bytes of one session; clones share them.
#[derive(Debug, Clone)]
pub struct Allowance(Arc<Account>);

#[derive(Debug)]
struct Account {
    budget: Arc<MemoryBudget>,
    state: Mutex<BudgetState>,
    /// One of a session's requests waits for its turn, the others for that one.
    queue: tokio::sync::Mutex<()>,
    /// The session has another turn than before.
    turned: Notify,
}

#[derive(Debug, Default)]
struct BudgetState {
    held: usize,
    turn: Option<Turn>,
    /// Its turn was asked back: the session is over.
    is_recalled: bool,
}

/// Bytes that count until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Reservation {
    account: Arc<Account>,
    bytes: usize,
}

/// Why bytes cannot be held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BudgetError {
    /// The session would hold more than any may: this many bytes.
    TooMuch {
        /// The most that a session may hold.
        limit: usize,
    },
    /// No turn came in time.
    Crowded {
        /// The host whose doing it is.
        by: String,
    },
    /// The session had its turn for long, and others wait.
    Recalled,
}

impl MemoryBudget {
    /// A budget of these tiers, the lowest first.
    #[must_use]
    pub fn new(tiers: &[Tier], clock: Clock) -> Arc<Self> {
        let turns = |tier: &Tier| {
            // Half for one host, although no other wants any: then the first that does has not to
            // wait.
            let per_host = tier.turns.div_ceil(2);
            let rules = Rules { total: tier.turns, per_host, queue: QUEUE, patience: PATIENCE };
            Turns { tier: *tier, share: FairShare::new(rules, clock) }
        };
        Arc::new(Self { tiers: tiers.iter().map(turns).collect() })
    }

    /// The allowance of one session.
    #[must_use]
    pub fn allowance(self: &Arc<Self>) -> Allowance {
        let budget = Arc::clone(self);
        let (queue, turned) = (tokio::sync::Mutex::default(), Notify::new());
        Allowance(Arc::new(Account { budget, state: Mutex::default(), queue, turned }))
    }

    /// The most that one session may hold.
    #[must_use]
    pub fn most(&self) -> usize {
        self.tiers.iter().map(|turns| turns.tier.bytes).max().unwrap_or(SMALL)
    }

    /// The lowest tier, by its number, in which a session may hold this much.
    fn tier_for(&self, bytes: usize) -> Result<usize, BudgetError> {
        let fits = self.tiers.iter().position(|turns| turns.tier.bytes >= bytes);
        fits.ok_or_else(|| BudgetError::TooMuch { limit: self.most() })
    }
}

impl Allowance {
    /// Reserves this many bytes of what `host`, the registry that the session asks, sends; waits
    /// until `until` for a turn where they are too many to be held without one.
    ///
    /// # Errors
    /// [`BudgetError`].
    pub async fn reserve(
        &self,
        host: &str,
        bytes: usize,
        until: Instant,
    ) -> Result<Reservation, BudgetError> {
        if let Some(done) = self.try_reserve(bytes)? {
            return Ok(done);
        }
        let _queue = self.0.queue.lock().await;
        loop {
            match self.try_reserve(bytes) {
                Ok(None) => {}
                done => {
                    // The turn that came may be one that nothing needs any more.
                    self.0.give_back(0);
                    return done?
                        .ok_or_else(|| BudgetError::TooMuch { limit: self.0.budget.most() });
                }
            }
            // What is held meanwhile may have changed when the turn comes: then the next one is
            // waited for.
            let tier = self.0.budget.tier_for(self.held().saturating_add(bytes))?;
            let limit = self.0.budget.most();
            let turns = self.0.budget.tiers.get(tier).ok_or(BudgetError::TooMuch { limit })?;
            let slot = turns.share.take(host, 1, until).await;
            let slot = slot.map_err(|crowded| BudgetError::Crowded { by: crowded.by })?;
            lock(&self.0.state).turn = Some(Turn { tier, slot });
            self.0.turned.notify_one();
        }
    }

    /// Reserves this many bytes if that needs no wait; none when it does.
    ///
    /// # Errors
    /// [`BudgetError::TooMuch`] when the session would hold more than any may.
    pub fn try_reserve(&self, bytes: usize) -> Result<Option<Reservation>, BudgetError> {
        let mut state = lock(&self.0.state);
        if state.is_recalled {
            return Err(BudgetError::Recalled);
        }
        let sum = state.held.saturating_add(bytes);
        let needed = if sum > SMALL { Some(self.0.budget.tier_for(sum)?) } else { None };
        if needed.is_some_and(|needed| state.turn.as_ref().is_none_or(|turn| turn.tier < needed)) {
            return Ok(None);
        }
        state.held = sum;
        Ok(Some(Reservation { account: Arc::clone(&self.0), bytes }))
    }

    /// Does `work` unless the session's turn is asked back before it is done. Then the session is
    /// over: whoever has it lets go of what it holds.
    ///
    /// # Errors
    /// [`BudgetError::Recalled`]; `work` is dropped then.
    pub async fn unless_recalled<F: Future>(&self, work: F) -> Result<F::Output, BudgetError> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.recalled() => Err(BudgetError::Recalled),
        }
    }

    async fn recalled(&self) {
        loop {
            let recall = {
                let state = lock(&self.0.state);
                if state.is_recalled {
                    return;
                }
                state.turn.as_ref().map(|turn| turn.slot.recall())
            };
            let recall = async {
                match recall {
                    Some(recall) => recall.wait().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = recall => lock(&self.0.state).is_recalled = true,
                () = self.0.turned.notified() => {}
            }
        }
    }

    /// Bytes that are held now.
    #[must_use]
    pub fn held(&self) -> usize {
        lock(&self.0.state).held
    }
}

impl Reservation {
    /// How many bytes are reserved.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives back what is beyond this many bytes.
    pub fn shrink(&mut self, bytes: usize) {
        let surplus = self.bytes.saturating_sub(bytes);
        self.bytes = self.bytes.min(bytes);
        self.account.give_back(surplus);
    }

    /// Adds another reservation of the same session to this one.
    pub fn join(&mut self, mut other: Self) {
        self.bytes = self.bytes.saturating_add(std::mem::take(&mut other.bytes));
    }

    /// Bytes that count as long as any copy of them lives; what was reserved beyond their length is
    /// given back.
    #[must_use]
    pub fn hold(mut self, bytes: Vec<u8>) -> Bytes {
        // What the buffer has beyond its length is held too.
        let bytes = bytes.into_boxed_slice();
        self.shrink(bytes.len());
        Bytes::from_owner(Owned { bytes, _reservation: self })
    }

    /// The same bytes, with this reservation tied to them: for what was parsed out of them and
    /// lives as long.
    #[must_use]
    pub fn hold_beside(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Owned { bytes, _reservation: self })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.account.give_back(self.bytes);
    }
}

/// Bytes, and what was reserved for them.
struct Owned<B> {
    bytes: B,
    _reservation: Reservation,
}

impl<B: AsRef<[u8]>> AsRef<[u8]> for Owned<B> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

impl Account {
    /// Whoever holds no more than every session may gives its turn to the next.
    fn give_back(&self, bytes: usize) {
        let ended = {
            let mut state = lock(&self.state);
            state.held = state.held.saturating_sub(bytes);
            if state.held <= SMALL { state.turn.take() } else { None }
        };
        if let Some(turn) = ended {
            turn.slot.answered();
            self.turned.notify_one();
        }
    }
}

impl fmt::Display for BudgetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMuch { limit } => {
                write!(f, "a decision may hold {limit} bytes at once, and this is more")
            }
            Self::Crowded { by } => {
                write!(f, "decisions about images of {by} hold the memory for large answers")
            }
            Self::Recalled => {
                f.write_str("others waited for the memory that the decision held for long")
            }
        }
    }
}

impl std::error::Error for BudgetError {}

/// A lock that survives a panic elsewhere: every change under it is whole in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
