//! [`FairShare`]: something of which a node has only so much (seats for decisions, requests in flight, memory for bodies),
//! shared by the hosts that it is used for, so that one host that hangs, drips or floods holds up no other.
//!
//! The rules, for `total` units and a `patience`:
//!
//! * A host has at most a quarter while others wait, and at most `per_host` ever. Hosts that hold nothing go first, and of
//!   those the ones that answered lately.
//! * A host that held something for longer than `patience`, and did not answer in the end, hangs. For a minute, or until it
//!   answers, it has one place: at once while half of everything is left, or else after others; and a second one only while
//!   three quarters are left.
//! * With its first place a host that answered lately leaves nothing, one that nobody has seen yet an eighth; with further
//!   ones an eighth, and a quarter. A host with more than its share leaves a quarter.
//! * While a host within its share waits in vain, what other hosts have held for longer than `patience` is recalled, the
//!   oldest of those that hold most first ([`Slot::unless_recalled`]).
//! * A host that was given nothing for `patience` goes before those that were.
//!
//! So whatever `n` other hosts do, the first place of a host is free after at most `patience × (3 + n / total)`, and at once
//! unless hosts that never hung fill everything. It knows neither what it shares nor who asks.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use tokio::sync::{SetOnce, watch};

use crate::clock::Clock;

#[cfg(test)]
mod tests;

/// How long a host that hung is taken to hang, unless it answers: long enough that it does not get half of everything
/// again for each time that it is asked.
const HUNG_TIME: Duration = Duration::from_secs(60);
/// How long an answer counts as lately: a node asks its registries for every new pod, some of them rarely.
const ANSWERED_TIME: Duration = Duration::from_secs(3600);
/// Hosts whose answers are remembered, and as many whose hanging is. Apart, so that hosts without number that hang do not
/// push out those that answer. A node asks tens of hosts.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(511);
/// A waiter looks this many times in one `patience` whether something is to be recalled for it.
const LOOKS: u32 = 8;

/// How much there is, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Units of it.
    pub total: usize,
    /// Most that one host may hold, although nobody else wants any.
    pub per_host: usize,
    /// Most that may wait; beyond it the host with the longest queue loses its newest waiter.
    pub queue: usize,
    /// What is held for longer than this may be recalled for others.
    pub patience: Duration,
}

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

/// Says when a [`Slot`] is to be given back because others wait; a clone says the same.
#[derive(Debug, Clone, Default)]
pub struct Recall(Arc<SetOnce<()>>);

/// A [`Slot`] was recalled: other hosts waited, and this one had held it for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recalled;

/// There was no place in time, or too many wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crowded {
    /// The host whose doing it is: the one asked for, when it has its share; else the one that has held something longest.
    pub by: String,
}

struct Shared {
    rules: Rules,
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    free: usize,
    /// Those that hold something or wait.
    hosts: HashMap<Arc<str>, Host>,
    waiting: usize,
    next_id: u64,
    answered: LruCache<Arc<str>, Instant>,
    hung: LruCache<Arc<str>, Instant>,
    looked: Option<Instant>,
}

#[derive(Default)]
struct Host {
    held: usize,
    /// In the order in which they were given.
    slots: BTreeMap<u64, Held>,
    queue: VecDeque<Waiter>,
    /// When something was last given to it: what came to others before goes before what it waits for.
    turn: Option<(u64, Instant)>,
}

struct Held {
    amount: usize,
    since: Instant,
    recall: Recall,
    is_answered: bool,
}

struct Waiter {
    id: u64,
    amount: usize,
    since: Instant,
    recall: Recall,
    word: watch::Sender<Word>,
}

/// What a waiter is told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    /// Others of its host come before it.
    Queued,
    /// It is the first of its host.
    First,
    Granted,
    /// Its place in the queue went to another host.
    Dropped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Answered,
    New,
    Hung,
}

/// A host's claim: the lower rank first, then who holds less, then whose turn is longer ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    rank: u8,
    held: usize,
    turn: u64,
    amount: usize,
    /// What must be left free.
    left: usize,
}

/// The last rank of those that others are recalled for.
const WITHIN_SHARE: u8 = 2;

impl FairShare {
    /// All of it is free.
    #[must_use]
    pub fn new(rules: Rules, clock: Clock) -> Self {
        let total = rules.total.max(1);
        let rules = Rules { total, per_host: rules.per_host.clamp(1, total), ..rules };
        let state = State {
            free: total,
            hosts: HashMap::new(),
            waiting: 0,
            next_id: 0,
            answered: LruCache::new(REMEMBERED_MAX),
            hung: LruCache::new(REMEMBERED_MAX),
            looked: None,
        };
        Self(Arc::new(Shared { rules, clock, state: Mutex::new(state) }))
    }

    /// A part of `amount` units for `host`, waited for until `until` on the clock's steady time. More than there is means
    /// all of it.
    ///
    /// # Errors
    /// [`Crowded`] when there was none in time, or so many wait already that one of this host has to go.
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
        let host: Arc<str> =
            state.hosts.get_key_value(host).map_or_else(|| host.into(), |(known, _)| Arc::clone(known));
        state.next_id += 1;
        let (id, recall) = (state.next_id, Recall::default());
        let queue = &mut state.hosts.entry(Arc::clone(&host)).or_default().queue;
        let (word, heard) = watch::channel(if queue.is_empty() { Word::First } else { Word::Queued });
        queue.push_back(Waiter { id, amount: amount.clamp(1, rules.total), since: now, recall: recall.clone(), word });
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
    /// The host answered: it does not hang. After an answer that took longer than `patience` it is like one that nobody has
    /// seen: the node itself may be what is slow.
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

impl Recall {
    /// Ends when the slot is to be given back; never, when it is not.
    pub async fn wait(&self) {
        self.0.wait().await;
    }

    /// Whether the slot is to be given back.
    #[must_use]
    pub fn is_said(&self) -> bool {
        self.0.initialized()
    }

    /// Does `work` unless the slot is recalled before it is done.
    ///
    /// # Errors
    /// [`Recalled`]; `work` is dropped then.
    pub async fn unless<F: Future>(&self, work: F) -> Result<F::Output, Recalled> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.wait() => Err(Recalled),
        }
    }
}

impl Shared {
    /// The state, after a panic too: what a slot holds is given back when it is dropped, so nothing is lost for good.
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

    /// Gives what can be given by now, and recalls what is to be recalled; after how long that is to be done again.
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
            let is_limited = host.queue.front().is_some_and(|first| !host.fits(first.amount, &self.rules));
            standing == Standing::Hung || is_limited
        });
        let holds = state.hosts.iter().filter_map(|(name, host)| Some((host.slots.values().next()?.since, name)));
        match holds.min() {
            Some((_, name)) if !is_own => Crowded { by: name.to_string() },
            Some(_) | None => Crowded { by: slot.host.to_string() },
        }
    }
}

impl State {
    /// Gives what is free to those that wait, in the order of their claims.
    fn grant(&mut self, rules: &Rules, now: Instant) {
        // At most one for each unit that is free.
        while self.free > 0 && self.waiting > 0 {
            let mut given = None;
            for (claim, name) in self.claims(rules, now) {
                if self.has(&claim, rules) {
                    given = Some(name);
                    break;
                }
                // Who may have all that is free waits for more of it; nobody takes it away meanwhile.
                if claim.left == 0 {
                    break;
                }
            }
            let Some(host) = given.as_ref().and_then(|name| self.hosts.get_mut(name)) else { return };
            let Some(Waiter { id, amount, recall, word, .. }) = host.queue.pop_front() else { return };
            self.next_id += 1;
            host.turn = Some((self.next_id, now));
            host.held += amount;
            host.slots.insert(id, Held { amount, since: now, recall, is_answered: false });
            host.tell_first();
            self.free = self.free.saturating_sub(amount);
            self.waiting = self.waiting.saturating_sub(1);
            word.send_replace(Word::Granted);
        }
    }

    fn has(&self, claim: &Claim, rules: &Rules) -> bool {
        self.free >= claim.amount.saturating_add(claim.left) || self.free == rules.total
    }

    /// The claims of all hosts that wait and have not as much as they ever may, the first one first.
    fn claims(&self, rules: &Rules, now: Instant) -> Vec<(Claim, Arc<str>)> {
        let claim = |(name, host): (&Arc<str>, &Host)| {
            let first = host.queue.front()?;
            let standing = self.standing(name, host, rules, now);
            Some((host.claim(first, standing, rules, now)?, Arc::clone(name)))
        };
        let mut claims: Vec<(Claim, Arc<str>)> = self.hosts.iter().filter_map(claim).collect();
        claims.sort_unstable();
        claims
    }

    fn standing(&self, name: &Arc<str>, host: &Host, rules: &Rules, now: Instant) -> Standing {
        let is_within = |at: Option<&Instant>, time| at.is_some_and(|at| now.saturating_duration_since(*at) < time);
        let hangs = host.slots.values().next().is_some_and(|oldest| oldest.is_long(rules.patience, now));
        if hangs || is_within(self.hung.peek(name), HUNG_TIME) {
            Standing::Hung
        } else if is_within(self.answered.peek(name), ANSWERED_TIME) {
            Standing::Answered
        } else {
            Standing::New
        }
    }

    /// Recalls as much as the first claim within a host's share lacks, of what others hold for too long.
    fn recall(&mut self, rules: &Rules, now: Instant) {
        let claims = self.claims(rules, now);
        let first = claims.iter().find(|(claim, _)| claim.rank <= WITHIN_SHARE && !self.has(claim, rules));
        let Some((claim, for_whom)) = first else { return };
        let mut long = Vec::new();
        let mut coming = self.free;
        for (name, host) in self.hosts.iter().filter(|(name, _)| *name != for_whom) {
            for held in host.slots.values().filter(|held| held.is_long(rules.patience, now)) {
                match held.recall.is_said() {
                    true => coming = coming.saturating_add(held.amount),
                    false => long.push((std::cmp::Reverse(host.held), held.since, name, held)),
                }
            }
        }
        long.sort_unstable_by_key(|(most, since, name, _)| (*most, *since, Arc::clone(name)));
        for (_, _, _, held) in long {
            if coming >= claim.amount.saturating_add(claim.left) {
                return;
            }
            coming = coming.saturating_add(held.amount);
            // Said once: who holds it is told already otherwise.
            let _ = held.recall.0.set(());
        }
    }

    /// Takes the newest waiter out of the longest queue.
    fn drop_one(&mut self) {
        let longest = self.hosts.values_mut().max_by_key(|host| host.queue.len());
        if let Some(waiter) = longest.and_then(|host| host.queue.pop_back()) {
            self.waiting = self.waiting.saturating_sub(1);
            waiter.word.send_replace(Word::Dropped);
        }
    }
}

impl Host {
    fn is_idle(&self) -> bool {
        self.slots.is_empty() && self.queue.is_empty()
    }

    fn tell_first(&self) {
        if let Some(first) = self.queue.front() {
            first.word.send_replace(Word::First);
        }
    }

    /// Whether this much more is within the host's share; the first of anything is.
    fn fits(&self, amount: usize, rules: &Rules) -> bool {
        self.held == 0 || self.held.saturating_add(amount) <= (rules.total / 4).max(1).min(rules.per_host)
    }

    /// What the first of its waiters may claim; nothing while the host has as much as it ever may.
    fn claim(&self, first: &Waiter, standing: Standing, rules: &Rules, now: Instant) -> Option<Claim> {
        let (amount, held) = (first.amount, self.held);
        if held > 0 && held.saturating_add(amount) > rules.per_host {
            return None;
        }
        let (turn, since) = self.turn.unwrap_or((first.id, first.since));
        let (turn, since) = (turn.max(first.id), since.max(first.since));
        let is_old = now.saturating_duration_since(since) >= rules.patience;
        let Rules { total, .. } = *rules;
        let (rank, left) = match (standing, held == 0, self.fits(amount, rules)) {
            (Standing::Hung, true, _) if is_old => (WITHIN_SHARE, total / 8),
            (Standing::Hung, true, _) => (4, total / 2),
            (Standing::Hung, false, _) => (5, total - total / 4),
            (_, _, false) => (3, total.div_ceil(4)),
            (_, true, true) if is_old => (0, 0),
            (Standing::Answered, true, _) => (0, 0),
            (Standing::New, true, _) => (1, total / 8),
            (Standing::Answered, false, _) => (2, total / 8),
            (Standing::New, false, _) => (2, total / 4),
        };
        Some(Claim { rank, held, turn, amount, left })
    }
}

impl Held {
    fn is_long(&self, patience: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= patience
    }
}

impl fmt::Debug for FairShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        let mut shown = f.debug_struct("FairShare");
        shown.field("rules", &self.0.rules).field("free", &state.free).field("waiting", &state.waiting);
        shown.finish_non_exhaustive()
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("host", &self.host).field("recall", &self.recall).finish_non_exhaustive()
    }
}

impl fmt::Display for Crowded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} takes too long and keeps every place that it may have; try again", self.by)
    }
}

impl std::error::Error for Crowded {}

impl fmt::Display for Recalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it took long, and other hosts waited")
    }
}

impl std::error::Error for Recalled {}
