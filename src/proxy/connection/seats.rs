//! [`Connections`]: who holds how many connections, so that one process or user that leaks them
//! locks out nobody.
//!
//! Of all connections one process may hold a quarter, and one user other than the gate's own a
//! half. Where a share or all are taken, that one of them which has been without a call for longest
//! is closed, gracefully, for the one that comes: a client that is told to go connects again when
//! it has something to ask. Where all have calls on them, the one that comes is closed; so is one
//! whose process has driven out several that are not gone yet, since nobody is waited for here.
//! Knows nothing of HTTP.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::{Notify, watch};

use super::seldom::Seldom;
use crate::clock::Clock;

/// The least that a process or user may hold: with few connections in all, a quarter would be none.
const SHARE_MIN: usize = 4;

/// How many that are on their way out one process may have driven out: their places are taken
/// already.
const LEAVING_MAX: usize = 4;

/// All connections, and what became of those that found no place.
#[derive(Debug)]
pub struct Connections {
    limit: usize,
    table: Mutex<Table>,
    told: Seldom,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// Counts ends of calls, so that of two idle connections the one that was used first is known.
    tick: u64,
    open: BTreeMap<u64, OpenConnection>,
    /// Those that were told to go, by the process that took their place.
    leaving: BTreeMap<u64, i32>,
    refused: u64,
    displaced: u64,
    /// When a kubelet called last.
    kubelet: Option<Instant>,
}

#[derive(Debug)]
struct OpenConnection {
    peer: Peer,
    calls: usize,
    used: u64,
    told: Arc<watch::Sender<Told>>,
    gone: Arc<Notify>,
}

/// Who is at the other end, as the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) struct Peer {
    /// The process that connected; 0 for one that cannot be seen from here, which all count as one.
    pub(in crate::proxy) process: i32,
    pub(in crate::proxy) user: u32,
}

/// What a connection is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::proxy) enum Told {
    /// Nothing.
    Stay,
    /// To say goodbye, and to end.
    Leave,
    /// To end at once.
    End,
}

/// A place for one connection; it is free again when this is dropped.
#[derive(Debug)]
pub(in crate::proxy) struct Seat {
    connections: Arc<Connections>,
    number: u64,
    told: watch::Receiver<Told>,
    gone: Arc<Notify>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum Full {
    /// The process has its share, with calls on all of it.
    Process { process: i32, share: usize },
    /// The user has its share, with calls on all of it.
    User { user: u32, share: usize },
    /// All are taken, and every one has a call on it.
    All { limit: usize },
    /// The process took several places whose connections are not gone yet.
    Hasty { process: i32 },
}

/// A connection without a call on it whose place another took: it is to be told so.
pub(in crate::proxy) struct Idle {
    told: Arc<watch::Sender<Told>>,
    gone: Arc<Notify>,
}

/// How many there are, for operators and monitors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectionCounts {
    /// Open now.
    pub open: usize,
    /// The most that may be open.
    pub limit: usize,
    /// Closed unanswered since the start, since there was no place for them.
    pub refused: u64,
    /// Closed since the start for one that came, since all places were taken and they were idle.
    pub displaced: u64,
    /// The process that holds the most of them, and how many.
    pub most: Option<(i32, usize)>,
}

impl Connections {
    /// At most `limit` at once.
    #[must_use]
    pub fn new(limit: usize, clock: Clock) -> Arc<Self> {
        Arc::new(Self { limit, table: Mutex::default(), told: Seldom::new(clock) })
    }

    /// Notes that a kubelet called now: a process asked for the runtime's status, which the kubelet
    /// does every five seconds and no tool repeats.
    pub(in crate::proxy) fn note_kubelet(&self, now: Instant) {
        self.table().kubelet = Some(now);
    }

    /// When a kubelet called last; none when none has.
    #[must_use]
    pub fn kubelet_called(&self) -> Option<Instant> {
        self.table().kubelet
    }

    /// How many there are.
    #[must_use]
    pub fn counts(&self) -> ConnectionCounts {
        let table = self.table();
        let mut of: BTreeMap<i32, usize> = BTreeMap::new();
        for held in table.open.values() {
            *of.entry(held.peer.process).or_default() += 1;
        }
        ConnectionCounts {
            open: table.open.len(),
            limit: self.limit,
            refused: table.refused,
            displaced: table.displaced,
            most: of.into_iter().max_by_key(|(_, count)| *count),
        }
    }

    /// A place, and whose it was when it was taken from one that was idle.
    ///
    /// # Errors
    /// [`Full`] when there is none.
    pub(in crate::proxy) fn take(
        self: &Arc<Self>,
        peer: Peer,
        own_user: u32,
    ) -> Result<(Seat, Option<Idle>), Full> {
        let mut table = self.table();
        let of_process = |held: &&OpenConnection| held.peer.process == peer.process;
        let of_user = |held: &&OpenConnection| held.peer.user == peer.user;
        let (process, user) = (self.share(4), self.share(2));
        let full = if table.open.values().filter(of_process).count() >= process {
            Some((
                Full::Process { process: peer.process, share: process },
                longest_idle(&table, of_process),
            ))
        } else if peer.user != own_user && table.open.values().filter(of_user).count() >= user {
            Some((Full::User { user: peer.user, share: user }, longest_idle(&table, of_user)))
        } else if table.open.len() >= self.limit {
            Some((Full::All { limit: self.limit }, longest_idle(&table, |_| true)))
        } else {
            None
        };
        let idle = match full {
            None => None,
            Some((why, idle)) => {
                let idle = idle.ok_or(why)?;
                if table.leaving.values().filter(|process| **process == peer.process).count()
                    >= LEAVING_MAX
                {
                    return Err(Full::Hasty { process: peer.process });
                }
                table.displaced += 1;
                table.leaving.insert(idle, peer.process);
                table.open.remove(&idle).map(|held| Idle { told: held.told, gone: held.gone })
            }
        };
        let (told, gone) = (Arc::new(watch::channel(Told::Stay).0), Arc::new(Notify::new()));
        let number = table.next;
        table.next += 1;
        table.tick += 1;
        let used = table.tick;
        let receiver = told.subscribe();
        table
            .open
            .insert(number, OpenConnection { peer, calls: 0, used, told, gone: Arc::clone(&gone) });
        Ok((Seat { connections: Arc::clone(self), number, told: receiver, gone }, idle))
    }

    /// Counts a connection that found no place, and says so once in a while.
    pub(in crate::proxy) fn note_refused(&self, why: &dyn fmt::Display) {
        self.table().refused += 1;
        if let Some(before) = self.told.due() {
            let counts = self.counts();
            let (process, most) = counts.most.unwrap_or_default();
            tracing::warn!(
                %why, open = counts.open, limit = counts.limit, unsaid = before, process, holds = most,
                "a connection was refused"
            );
        }
    }

    /// A part of all, for one process or user.
    fn share(&self, part: usize) -> usize {
        (self.limit / part).max(SHARE_MIN).min(self.limit)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of some of the connections, the one that has been without a call for longest.
fn longest_idle(table: &Table, of: impl Fn(&&OpenConnection) -> bool) -> Option<u64> {
    let idle = table.open.iter().filter(|(_, held)| held.calls == 0 && of(held));
    idle.min_by_key(|(_, held)| held.used).map(|(number, _)| *number)
}

impl Idle {
    /// Tells it, and completes when it is gone.
    pub(in crate::proxy) async fn told(&self, what: Told) {
        let gone = self.gone.notified();
        if self.told.send(what).is_ok() {
            gone.await;
        }
    }
}

impl Seat {
    /// Counts a call that begins on this connection.
    pub(in crate::proxy) fn begin(self: &Arc<Self>) -> Sitting {
        if let Some(held) = self.connections.table().open.get_mut(&self.number) {
            held.calls += 1;
        }
        Sitting(Arc::clone(self))
    }

    /// Whether no call is on it.
    pub(in crate::proxy) fn is_idle(&self) -> bool {
        self.connections.table().open.get(&self.number).is_none_or(|held| held.calls == 0)
    }

    /// Completes when the connection is to do at least this.
    pub(in crate::proxy) async fn told(&self, what: Told) {
        let mut told = self.told.clone();
        if told.wait_for(|now| *now >= what).await.is_err() {
            // Only the table can tell, and it holds the connection no longer.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.connections.table();
        table.open.remove(&self.number);
        table.leaving.remove(&self.number);
        drop(table);
        self.gone.notify_waiters();
    }
}

/// A call on a connection; over when this is dropped.
#[derive(Debug)]
pub(in crate::proxy) struct Sitting(Arc<Seat>);

impl Drop for Sitting {
    fn drop(&mut self) {
        let mut table = self.0.connections.table();
        table.tick += 1;
        let used = table.tick;
        if let Some(held) = table.open.get_mut(&self.0.number) {
            held.calls = held.calls.saturating_sub(1);
            held.used = used;
        }
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { process, share } => {
                write!(
                    f,
                    "process {process} holds {share} connections with calls on them, its share of \
                     listen.connections"
                )
            }
            Self::User { user, share } => {
                write!(
                    f,
                    "user {user} holds {share} connections with calls on them, its share of \
                     listen.connections"
                )
            }
            Self::Hasty { process } => {
                write!(
                    f,
                    "process {process} connects again before connections that it drove out are gone"
                )
            }
            Self::All { limit } => {
                write!(
                    f,
                    "all {limit} connections are open with calls on them; see listen.connections"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 0;

    fn seat(
        connections: &Arc<Connections>,
        process: i32,
        user: u32,
    ) -> Result<(Seat, Option<Idle>), Full> {
        connections.take(Peer { process, user }, OWN)
    }

    fn taken(connections: &Arc<Connections>, process: i32, user: u32) -> Arc<Seat> {
        let (seat, idle) = seat(connections, process, user).ok().unwrap();
        assert!(idle.is_none());
        Arc::new(seat)
    }

    fn refused(connections: &Arc<Connections>, process: i32, user: u32) -> Option<Full> {
        seat(connections, process, user).err()
    }

    #[tokio::test]
    async fn attack_d1_one_process_has_a_quarter_and_another_user_half() {
        let connections = Connections::new(16, crate::daemon::CLOCK);
        let leaked: Vec<_> = (0..4).map(|_| taken(&connections, 7, OWN)).collect();
        let calls: Vec<_> = leaked.iter().map(Seat::begin).collect();
        assert_eq!(refused(&connections, 7, OWN), Some(Full::Process { process: 7, share: 4 }));
        let others: Vec<_> = (0..8).map(|n| taken(&connections, 100 + n / 4, 1000)).collect();
        let more: Vec<_> = others.iter().map(Seat::begin).collect();
        assert_eq!(refused(&connections, 200, 1000), Some(Full::User { user: 1000, share: 8 }));
        let kubelet = taken(&connections, 1, OWN);
        let ConnectionCounts { open, limit, most, .. } = connections.counts();
        assert_eq!((open, limit, most), (13, 16, Some((101, 4))));
        drop((calls, leaked, more, others, kubelet));
        assert_eq!(connections.counts().open, 0);
    }

    #[tokio::test]
    async fn attack_d1_when_all_are_taken_the_longest_idle_one_goes() {
        let connections = Connections::new(8, crate::daemon::CLOCK);
        let seats: Vec<_> = (0..8).map(|process| taken(&connections, process, OWN)).collect();
        // The first two were used, the third holds a call: the fourth has been idle for longest.
        drop((seats[0].begin(), seats[1].begin()));
        let call = seats[2].begin();
        let (newcomer, idle) = seat(&connections, 99, OWN).ok().unwrap();
        assert_eq!(connections.counts().open, 8, "the newcomer has its place at once");
        tokio::select! {
            () = idle.as_ref().unwrap().told(Told::Leave) => panic!("it has not gone"),
            () = seats[3].told(Told::Leave) => {}
        }
        let told: Vec<_> = seats.iter().map(|seat| *seat.told.borrow() != Told::Stay).collect();
        assert_eq!(told, [false, false, false, true, false, false, false, false]);
        drop((call, newcomer));
    }

    #[tokio::test]
    async fn attack_d1_who_has_a_share_gives_of_its_own_and_not_without_end() {
        let connections = Connections::new(16, crate::daemon::CLOCK);
        let other = taken(&connections, 1, OWN);
        let leaked: Vec<_> = (0..4).map(|_| taken(&connections, 7, OWN)).collect();
        let mut newcomers = Vec::new();
        for leaving in &leaked[..LEAVING_MAX] {
            let (newcomer, idle) = seat(&connections, 7, OWN).ok().unwrap();
            tokio::select! {
                () = idle.as_ref().unwrap().told(Told::End) => panic!("it has not gone"),
                () = leaving.told(Told::End) => {}
                () = other.told(Told::Leave) => panic!("another process's place"),
            }
            newcomers.push(newcomer);
        }
        // None of those that were driven out has gone: there may be no more of them.
        assert_eq!(refused(&connections, 7, OWN), Some(Full::Hasty { process: 7 }));
        assert_eq!(connections.counts().open, 5);
        drop(leaked);
        assert!(seat(&connections, 7, OWN).is_ok());
    }

    #[tokio::test]
    async fn when_all_have_calls_nobody_goes() {
        let connections = Connections::new(4, crate::daemon::CLOCK);
        let seats: Vec<_> = (0..4).map(|process| taken(&connections, process, OWN)).collect();
        let calls: Vec<_> = seats.iter().map(Seat::begin).collect();
        assert_eq!(refused(&connections, 99, OWN), Some(Full::All { limit: 4 }));
        drop(calls);
        assert!(seat(&connections, 99, OWN).is_ok_and(|(_, idle)| idle.is_some()));
    }
}
