//! [`BoundedReads`], [`FolderReads`]: reading of files that may hang, as those of a network file system whose server
//! is gone. One that hangs is given up on and left to itself: a thread that waits in the kernel
//! cannot be ended. So there are only so many of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long reading the folders of policies and keys may take: 4096 documents take a second on a
/// slow disk.
const READ_LIMIT: Duration = Duration::from_secs(10);
/// The watch leaves at most so many readings hanging, and operators as many more: a folder that hangs
/// the watch must leave an operator a try.
const HANGING_MAX: usize = 3;

/// The readings of the folders of policies and keys.
#[derive(Debug)]
pub(super) struct FolderReads {
    /// Begun by the gate itself.
    pub(super) own: BoundedReads,
    /// Begun because somebody asked.
    pub(super) told: BoundedReads,
    /// Of the files of deny lists, which are written too: one list after the other.
    pub(super) lists: BoundedReads,
}

/// One of the places of [`BoundedReads`]; free once nobody has it any more.
pub(super) type ReadSeat = Arc<OwnedSemaphorePermit>;

/// Reads, of which only so many hang at once.
#[derive(Debug)]
pub(super) struct BoundedReads {
    seats: Arc<Semaphore>,
    most: usize,
    limit: Duration,
}

/// Why there is no result of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReadFault {
    /// It did not end within this time, and goes on by itself.
    Hangs(Duration),
    /// So many reads still hang; this one was not begun.
    AllHang(usize),
    /// It ended without a result.
    Lost(String),
}

impl Default for FolderReads {
    fn default() -> Self {
        let reads = || BoundedReads::new(HANGING_MAX, READ_LIMIT);
        let lists = BoundedReads::new(1, READ_LIMIT);
        Self { own: reads(), told: reads(), lists }
    }
}

impl BoundedReads {
    /// At most `most` reads at once, and each is waited for as long as `limit`.
    fn new(most: usize, limit: Duration) -> Self {
        Self { seats: Arc::new(Semaphore::new(most)), most, limit }
    }

    /// Reads on a thread that may wait.
    ///
    /// # Errors
    /// [`ReadFault`] when there is no result.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ReadFault> {
        let seat = Arc::clone(&self.seats).try_acquire_owned();
        let seat = seat.map_err(|_| ReadFault::AllHang(self.most))?;
        self.run_at(Arc::new(seat), read).await
    }

    /// A place, once one is free: waits for it as long as for a read.
    ///
    /// # Errors
    /// [`ReadFault::AllHang`] when none gets free.
    pub(super) async fn seat(&self) -> Result<ReadSeat, ReadFault> {
        let free = tokio::time::timeout(self.limit, Arc::clone(&self.seats).acquire_owned()).await;
        let free = free.map_err(|_| ReadFault::AllHang(self.most))?;
        free.map(Arc::new).map_err(|closed| ReadFault::Lost(closed.to_string()))
    }

    /// Reads on a thread that may wait, at this place. The place is taken until the read ends,
    /// however long nobody has waited for it any more.
    ///
    /// # Errors
    /// [`ReadFault`] when there is no result.
    pub(super) async fn run_at<T: Send + 'static>(
        &self,
        seat: ReadSeat,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ReadFault> {
        let reading = tokio::task::spawn_blocking(move || {
            let _seat = seat;
            read()
        });
        match tokio::time::timeout(self.limit, reading).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(lost)) => Err(ReadFault::Lost(lost.to_string())),
            Err(_) => Err(ReadFault::Hangs(self.limit)),
        }
    }
}

impl fmt::Display for ReadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hangs(limit) => write!(
                f,
                "the folders of policies and keys do not answer: reading them did not end within \
                 {} s; is the file system that they are on gone?",
                limit.as_secs()
            ),
            Self::AllHang(most) => write!(
                f,
                "the folders of policies and keys do not answer: {most} reads hang, and no other is \
                 begun until one of them ends; once the folders answer again, restart the gate if \
                 it does not go on by itself"
            ),
            Self::Lost(lost) => {
                write!(f, "reading the policies and keys ended without a result: {lost}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A read that hangs until the sender is dropped.
    fn hanging() -> (mpsc::Sender<()>, impl FnOnce() + Send + 'static) {
        let (release, held) = mpsc::channel::<()>();
        (release, move || _ = held.recv())
    }

    #[tokio::test]
    async fn a_read_that_hangs_is_given_up_on_and_only_so_many_do() {
        let limit = Duration::from_millis(20);
        let reads = BoundedReads::new(2, limit);
        let mut held = Vec::new();
        for _ in 0..2 {
            let (release, read) = hanging();
            held.push(release);
            assert_eq!(reads.run(read).await, Err(ReadFault::Hangs(limit)));
        }
        assert_eq!(reads.run(|| 1).await, Err(ReadFault::AllHang(2)));
        // One of them ends: the next read has its place.
        drop(held.pop());
        let reads = BoundedReads { limit: Duration::from_secs(60), ..reads };
        while reads.seats.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(reads.run(|| 1).await, Ok(1));
    }

    /// A list that is written to a disk which hangs: nobody waits for it any more, and the next one is
    /// not written beside it.
    #[tokio::test]
    async fn a_place_is_taken_until_the_work_ends_though_nobody_waits() {
        let reads = BoundedReads::new(1, Duration::from_secs(60));
        let (release, read) = hanging();
        let seat = reads.seat().await.unwrap();
        let mut waiting = Box::pin(reads.run_at(seat, read));
        let moment = Duration::from_millis(20);
        assert!(tokio::time::timeout(moment, &mut waiting).await.is_err());
        drop(waiting);
        let mut next = Box::pin(reads.seat());
        assert!(tokio::time::timeout(moment, &mut next).await.is_err(), "the work is not over");
        drop(release);
        assert!(next.await.is_ok());
        let short = BoundedReads::new(1, Duration::from_millis(20));
        let held = short.seat().await.unwrap();
        assert!(matches!(short.seat().await, Err(ReadFault::AllHang(1))));
        drop(held);
        assert!(short.seat().await.is_ok());
    }

    #[tokio::test]
    async fn a_read_that_panics_takes_no_place_for_ever() {
        let reads = BoundedReads::new(1, Duration::from_secs(60));
        let lost = reads.run(|| assert!(std::hint::black_box(false), "a panic")).await;
        assert!(matches!(lost, Err(ReadFault::Lost(_))), "{lost:?}");
        assert_eq!(reads.run(|| 2).await, Ok(2));
    }
}
