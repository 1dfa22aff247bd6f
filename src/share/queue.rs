//! [`State`]: who holds what, who waits, and who is next, by the rules of
//! [`FairShare`](super::FairShare).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;
use tokio::sync::watch;

use super::recall::Recall;

/// How long a host that hung is taken to hang, unless it answers: long enough that it does not get
/// half of everything again for each time that it is asked.
pub(super) const HUNG_TIME: Duration = Duration::from_secs(60);
/// How long an answer counts as lately: a node asks its registries for every new pod, some of them
/// rarely.
const ANSWERED_TIME: Duration = Duration::from_secs(3600);
/// Hosts whose answers are remembered, and as many whose hanging is. Apart, so that hosts without
/// number that hang do not push out those that answer. A node asks tens of hosts.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(511);

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

/// What is held and waited for.
pub(super) struct State {
    pub(super) free: usize,
    /// Those that hold something or wait.
    pub(super) hosts: HashMap<Arc<str>, Host>,
    pub(super) waiting: usize,
    pub(super) next_id: u64,
    pub(super) answered: LruCache<Arc<str>, Instant>,
    pub(super) hung: LruCache<Arc<str>, Instant>,
    pub(super) looked: Option<Instant>,
}

#[derive(Default)]
pub(super) struct Host {
    pub(super) held: usize,
    /// In the order in which they were given.
    pub(super) slots: BTreeMap<u64, Held>,
    pub(super) queue: VecDeque<Waiter>,
    /// When something was last given to it: what came to others before goes before what it waits
    /// for.
    pub(super) turn: Option<(u64, Instant)>,
}

pub(super) struct Held {
    pub(super) amount: usize,
    pub(super) since: Instant,
    pub(super) recall: Recall,
    pub(super) is_answered: bool,
}

pub(super) struct Waiter {
    pub(super) id: u64,
    pub(super) amount: usize,
    pub(super) since: Instant,
    pub(super) recall: Recall,
    pub(super) word: watch::Sender<Word>,
}

/// What a waiter is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// Others of its host come before it.
    Queued,
    /// It is the first of its host.
    First,
    Granted,
    /// Its place in the queue went to another host.
    Dropped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueueStanding {
    Answered,
    New,
    Hung,
}

/// A host's claim: the lower rank first, then who holds less, then whose turn is longer ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct HostClaim {
    rank: u8,
    held: usize,
    turn: u64,
    amount: usize,
    /// What must be left free.
    left: usize,
}

/// The last rank of those that others are recalled for.
const WITHIN_SHARE: u8 = 2;

impl State {
    /// All of it is free.
    pub(super) fn new(total: usize) -> Self {
        Self {
            free: total,
            hosts: HashMap::new(),
            waiting: 0,
            next_id: 0,
            answered: LruCache::new(REMEMBERED_MAX),
            hung: LruCache::new(REMEMBERED_MAX),
            looked: None,
        }
    }

    /// Gives what is free to those that wait, in the order of their claims.
    pub(super) fn grant(&mut self, rules: &Rules, now: Instant) {
        // At most one for each unit that is free.
        while self.free > 0 && self.waiting > 0 {
            let mut given = None;
            for (claim, name) in self.claims(rules, now) {
                if self.has(&claim, rules) {
                    given = Some(name);
                    break;
                }
                // Who may have all that is free waits for more of it; nobody takes it away
                // meanwhile.
                if claim.left == 0 {
                    break;
                }
            }
            let Some(host) = given.as_ref().and_then(|name| self.hosts.get_mut(name)) else {
                return;
            };
            let Some(Waiter { id, amount, recall, word, .. }) = host.queue.pop_front() else {
                return;
            };
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

    fn has(&self, claim: &HostClaim, rules: &Rules) -> bool {
        self.free >= claim.amount.saturating_add(claim.left) || self.free == rules.total
    }

    /// The claims of all hosts that wait and have not as much as they ever may, the first one
    /// first.
    fn claims(&self, rules: &Rules, now: Instant) -> Vec<(HostClaim, Arc<str>)> {
        let claim = |(name, host): (&Arc<str>, &Host)| {
            let first = host.queue.front()?;
            let standing = self.standing(name, host, rules, now);
            Some((host.claim(first, standing, rules, now)?, Arc::clone(name)))
        };
        let mut claims: Vec<(HostClaim, Arc<str>)> = self.hosts.iter().filter_map(claim).collect();
        claims.sort_unstable();
        claims
    }

    pub(super) fn standing(
        &self,
        name: &Arc<str>,
        host: &Host,
        rules: &Rules,
        now: Instant,
    ) -> QueueStanding {
        let is_within = |at: Option<&Instant>, time| {
            at.is_some_and(|at| now.saturating_duration_since(*at) < time)
        };
        let hangs =
            host.slots.values().next().is_some_and(|oldest| oldest.is_long(rules.patience, now));
        if hangs || is_within(self.hung.peek(name), HUNG_TIME) {
            QueueStanding::Hung
        } else if is_within(self.answered.peek(name), ANSWERED_TIME) {
            QueueStanding::Answered
        } else {
            QueueStanding::New
        }
    }

    /// Recalls as much as the first claim within a host's share lacks, of what others hold for too
    /// long.
    pub(super) fn recall(&mut self, rules: &Rules, now: Instant) {
        let claims = self.claims(rules, now);
        let first =
            claims.iter().find(|(claim, _)| claim.rank <= WITHIN_SHARE && !self.has(claim, rules));
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
            held.recall.say();
        }
    }

    /// Takes the newest waiter out of the longest queue.
    pub(super) fn drop_one(&mut self) {
        let longest = self.hosts.values_mut().max_by_key(|host| host.queue.len());
        if let Some(waiter) = longest.and_then(|host| host.queue.pop_back()) {
            self.waiting = self.waiting.saturating_sub(1);
            waiter.word.send_replace(Word::Dropped);
        }
    }
}

impl Host {
    pub(super) fn is_idle(&self) -> bool {
        self.slots.is_empty() && self.queue.is_empty()
    }

    pub(super) fn tell_first(&self) {
        if let Some(first) = self.queue.front() {
            first.word.send_replace(Word::First);
        }
    }

    /// Whether this much more is within the host's share; the first of anything is.
    pub(super) fn fits(&self, amount: usize, rules: &Rules) -> bool {
        self.held == 0
            || self.held.saturating_add(amount) <= (rules.total / 4).max(1).min(rules.per_host)
    }

    /// What the first of its waiters may claim; nothing while the host has as much as it ever may.
    fn claim(
        &self,
        first: &Waiter,
        standing: QueueStanding,
        rules: &Rules,
        now: Instant,
    ) -> Option<HostClaim> {
        let (amount, held) = (first.amount, self.held);
        if held > 0 && held.saturating_add(amount) > rules.per_host {
            return None;
        }
        let (turn, since) = self.turn.unwrap_or((first.id, first.since));
        let (turn, since) = (turn.max(first.id), since.max(first.since));
        let is_old = now.saturating_duration_since(since) >= rules.patience;
        let Rules { total, .. } = *rules;
        let (rank, left) = match (standing, held == 0, self.fits(amount, rules)) {
            (QueueStanding::Hung, true, _) if is_old => (WITHIN_SHARE, total / 8),
            (QueueStanding::Hung, true, _) => (4, total / 2),
            (QueueStanding::Hung, false, _) => (5, total - total / 4),
            (_, _, false) => (3, total.div_ceil(4)),
            (_, true, true) if is_old => (0, 0),
            (QueueStanding::Answered, true, _) => (0, 0),
            (QueueStanding::New, true, _) => (1, total / 8),
            (QueueStanding::Answered, false, _) => (2, total / 8),
            (QueueStanding::New, false, _) => (2, total / 4),
        };
        Some(HostClaim { rank, held, turn, amount, left })
    }
}

impl Held {
    pub(super) fn is_long(&self, patience: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= patience
    }
}
