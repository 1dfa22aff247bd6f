//! [`Connections`]: who holds how many connections, so that one process or user that leaks them locks out nobody.
//!
//! Of all connections one process may hold a quarter, and one user other than the gate's own a half. Where a share or all
//! are taken, that one of them which has been without a call for longest is closed, gracefully, for the one that comes: a
//! client that is told to go connects again when it has something to ask. Where all have calls on them, the one that comes
//! is closed. Knows nothing of HTTP.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, watch};

use super::seldom::Seldom;

/// The least that a process or user may hold: with few connections in all, a quarter would be none.
const SHARE_MIN: usize = 4;

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
    open: BTreeMap<u64, Held>,
    refused: u64,
    displaced: u64,
}

#[derive(Debug)]
struct Held {
    peer: Peer,
    calls: usize,
    used: u64,
    told: Arc<watch::Sender<Told>>,
    gone: Arc<Notify>,
}

/// Who is at the other end, as the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    /// The process that connected; 0 for one that cannot be seen from here, which all count as one.
    pub(super) process: i32,
    pub(super) user: u32,
}

/// What a connection is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    /// Nothing.
    Stay,
    /// To say goodbye, and to end.
    Leave,
    /// To end at once.
    End,
}

/// A place for one connection; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    connections: Arc<Connections>,
    number: u64,
    told: watch::Receiver<Told>,
    gone: Arc<Notify>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The process has its share, with calls on all of it.
    Process { process: i32, share: usize },
    /// The user has its share, with calls on all of it.
    User { user: u32, share: usize },
    /// All are taken, and every one has a call on it.
    All { limit: usize },
}

/// A connection without a call on it that may be closed for another.
pub(super) struct Idle {
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
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, table: Mutex::default(), told: Seldom::new() })
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

    /// A place, or who may be closed to make one.
    ///
    /// # Errors
    /// [`Full`] when there is neither.
    pub(super) fn take(self: &Arc<Self>, peer: Peer, own_user: u32) -> Result<Result<Seat, Idle>, Full> {
        let mut table = self.table();
        let of_process = |held: &&Held| held.peer.process == peer.process;
        let of_user = |held: &&Held| held.peer.user == peer.user;
        let (process, user) = (self.share(4), self.share(2));
        let full = if table.open.values().filter(of_process).count() >= process {
            Some((Full::Process { process: peer.process, share: process }, longest_idle(&table, of_process)))
        } else if peer.user != own_user && table.open.values().filter(of_user).count() >= user {
            Some((Full::User { user: peer.user, share: user }, longest_idle(&table, of_user)))
        } else if table.open.len() >= self.limit {
            Some((Full::All { limit: self.limit }, longest_idle(&table, |_| true)))
        } else {
            None
        };
        if let Some((why, idle)) = full {
            return idle.map(Err).ok_or(why);
        }
        let (told, gone) = (Arc::new(watch::channel(Told::Stay).0), Arc::new(Notify::new()));
        let number = table.next;
        table.next += 1;
        table.tick += 1;
        let used = table.tick;
        let receiver = told.subscribe();
        table.open.insert(number, Held { peer, calls: 0, used, told, gone: Arc::clone(&gone) });
        Ok(Ok(Seat { connections: Arc::clone(self), number, told: receiver, gone }))
    }

    /// Counts a connection that found no place, and says so once in a while.
    pub(super) fn note_refused(&self, why: &dyn fmt::Display) {
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

    pub(super) fn note_displaced(&self) {
        self.table().displaced += 1;
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
fn longest_idle(table: &Table, of: impl Fn(&&Held) -> bool) -> Option<Idle> {
    let idle = table.open.values().filter(of).filter(|held| held.calls == 0).min_by_key(|held| held.used)?;
    Some(Idle { told: Arc::clone(&idle.told), gone: Arc::clone(&idle.gone) })
}

impl Idle {
    /// Tells it, and completes when it is gone.
    pub(super) async fn told(&self, what: Told) {
        let gone = self.gone.notified();
        if self.told.send(what).is_ok() {
            gone.await;
        }
    }
}

impl Seat {
    /// Counts a call that begins on this connection.
    pub(super) fn begin(self: &Arc<Self>) -> Sitting {
        if let Some(held) = self.connections.table().open.get_mut(&self.number) {
            held.calls += 1;
        }
        Sitting(Arc::clone(self))
    }

    /// Whether no call is on it.
    pub(super) fn is_idle(&self) -> bool {
        self.connections.table().open.get(&self.number).is_none_or(|held| held.calls == 0)
    }

    /// Completes when the connection is to do at least this.
    pub(super) async fn told(&self, what: Told) {
        let mut told = self.told.clone();
        if told.wait_for(|now| *now >= what).await.is_err() {
            // Only the table can tell, and it holds the connection no longer.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connections.table().open.remove(&self.number);
        self.gone.notify_waiters();
    }
}

/// A call on a connection; over when this is dropped.
#[derive(Debug)]
pub(super) struct Sitting(Arc<Seat>);

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
                    "process {process} holds {share} connections with calls on them, its share of listen.connections"
                )
            }
            Self::User { user, share } => {
                write!(f, "user {user} holds {share} connections with calls on them, its share of listen.connections")
            }
            Self::All { limit } => {
                write!(f, "all {limit} connections are open with calls on them; see listen.connections")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 0;

    fn seat(connections: &Arc<Connections>, process: i32, user: u32) -> Result<Result<Seat, Idle>, Full> {
        connections.take(Peer { process, user }, OWN)
    }

    fn taken(connections: &Arc<Connections>, process: i32, user: u32) -> Arc<Seat> {
        Arc::new(seat(connections, process, user).ok().and_then(Result::ok).unwrap())
    }

    #[tokio::test]
    async fn attack_d1_one_process_has_a_quarter_and_another_user_half() {
        let connections = Connections::new(16);
        let leaked: Vec<_> = (0..4).map(|_| taken(&connections, 7, OWN)).collect();
        let calls: Vec<_> = leaked.iter().map(Seat::begin).collect();
        assert_eq!(seat(&connections, 7, OWN).err(), Some(Full::Process { process: 7, share: 4 }));
        let others: Vec<_> = (0..8).map(|n| taken(&connections, 100 + n / 4, 1000)).collect();
        let more: Vec<_> = others.iter().map(Seat::begin).collect();
        assert_eq!(seat(&connections, 200, 1000).err(), Some(Full::User { user: 1000, share: 8 }));
        let kubelet = taken(&connections, 1, OWN);
        let ConnectionCounts { open, limit, most, .. } = connections.counts();
        assert_eq!((open, limit, most), (13, 16, Some((101, 4))));
        drop((calls, leaked, more, others, kubelet));
        assert_eq!(connections.counts().open, 0);
    }

    #[tokio::test]
    async fn attack_d1_when_all_are_taken_the_longest_idle_one_goes() {
        let connections = Connections::new(8);
        let seats: Vec<_> = (0..8).map(|process| taken(&connections, process, OWN)).collect();
        // The first two were used, the third holds a call: the fourth has been idle for longest.
        drop((seats[0].begin(), seats[1].begin()));
        let call = seats[2].begin();
        let idle = seat(&connections, 99, OWN).ok().and_then(Result::err).unwrap();
        tokio::select! {
            () = idle.told(Told::Leave) => panic!("nobody has gone"),
            () = seats[3].told(Told::Leave) => {}
        }
        let told: Vec<_> = seats.iter().map(|seat| *seat.told.borrow() != Told::Stay).collect();
        assert_eq!(told, [false, false, false, true, false, false, false, false]);
        drop(call);
        // A process that has its share gives one of its own.
        let own = seat(&Connections::new(1), 1, OWN);
        assert!(matches!(own, Ok(Ok(_))));
    }

    #[tokio::test]
    async fn who_has_a_share_gives_of_its_own() {
        let connections = Connections::new(16);
        let other = taken(&connections, 1, OWN);
        let leaked: Vec<_> = (0..4).map(|_| taken(&connections, 7, OWN)).collect();
        let idle = seat(&connections, 7, OWN).ok().and_then(Result::err).unwrap();
        tokio::select! {
            () = idle.told(Told::End) => panic!("nobody has gone"),
            () = leaked[0].told(Told::End) => {}
            () = other.told(Told::Leave) => panic!("another process's place"),
        }
    }

    #[tokio::test]
    async fn when_all_have_calls_nobody_goes() {
        let connections = Connections::new(4);
        let seats: Vec<_> = (0..4).map(|process| taken(&connections, process, OWN)).collect();
        let calls: Vec<_> = seats.iter().map(Seat::begin).collect();
        assert_eq!(seat(&connections, 99, OWN).err(), Some(Full::All { limit: 4 }));
        drop(calls);
        assert!(matches!(seat(&connections, 99, OWN), Ok(Err(_))));
    }
}
