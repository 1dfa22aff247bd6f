//! [`Log`]: the handle through which decisions are recorded; [`Recorded`]: the proof that one was.
//!
//! The work is done by a thread of its own (`writer`), which takes every record that waits, writes them at once, and
//! answers when the disk has them.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::error::{Action, AuditError};
use super::file::LogFile;
use super::options::Options;
use super::record::{Record, Tally, Verdict};
use super::stamp::{DecisionId, Ids, Timestamp};
use super::writer::{Message, Writer};
use crate::clock::Clock;

/// Where the random part of the ids comes from.
const RANDOM: &str = "/dev/urandom";
/// How long closing waits between attempts to get into a full queue.
const CLOSE_POLL: Duration = Duration::from_millis(1);

/// The audit log, open for writing. Clones write to the same file.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
}

/// A decision is on record. Only [`Log::append`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a decision may be acted on only when it is recorded"]
pub struct Recorded {
    durable: bool,
}

/// What the log has done since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Lines that are on disk.
    pub written: u64,
    /// Refusals that were counted instead of written.
    pub counted: u64,
    /// Records that could not be written.
    pub failed: u64,
    /// Those of them whose verdict was *admitted*.
    pub failed_admitted: u64,
    /// Times the disk was waited for.
    pub flushes: u64,
    /// Times a new file was begun because the old one was full.
    pub rotations: u64,
    /// Times the file was found gone, replaced or cut by someone else.
    pub disturbed: u64,
    /// Lines found torn, taken out and written as a note.
    pub recovered: u64,
}

struct Shared {
    sender: SyncSender<Message>,
    limit: usize,
    clock: Clock,
    ids: Arc<Mutex<Ids>>,
    state: Arc<State>,
}

/// What the handles and the thread both see.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) healthy: AtomicBool,
    pub(super) closing: AtomicBool,
    pub(super) written: AtomicU64,
    pub(super) counted: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) failed_admitted: AtomicU64,
    pub(super) flushes: AtomicU64,
    pub(super) rotations: AtomicU64,
    pub(super) disturbed: AtomicU64,
    pub(super) recovered: AtomicU64,
    /// Decisions that could not be recorded and that no note tells of yet.
    pub(super) lost: Mutex<Tally>,
}

impl Log {
    /// Opens the log and starts the thread that writes it. A line that a crash left torn is taken out and written as a
    /// note. A full disk is no reason to fail here: the log opens, and is not [`healthy`](Self::healthy).
    ///
    /// # Errors
    /// [`AuditError`] when the options are not valid, the file or its folder is not safe from others (attack E4),
    /// another process writes the same log, or the file cannot be opened for another reason than a full disk.
    pub fn open(options: Options, clock: Clock) -> Result<Self, AuditError> {
        options.check()?;
        let ids = Arc::new(Mutex::new(Ids::new(random()?)));
        let state = Arc::new(State::default());
        let file = LogFile::open(&options, Arc::clone(&state))?;
        let (limit, path) = (options.queue_records.get(), options.path.clone());
        let (sender, receiver) = mpsc::sync_channel(limit);
        let writer = Writer::new(file, options, clock, Arc::clone(&state), Arc::clone(&ids));
        thread::Builder::new()
            .name("audit".into())
            .spawn(move || writer.run(&receiver))
            .map_err(|error| AuditError::io(Action::Start, path, &error))?;
        Ok(Self { shared: Arc::new(Shared { sender, limit, clock, ids, state }) })
    }

    /// The id of a new decision, greater than every id given out before.
    #[must_use]
    pub fn next_id(&self) -> DecisionId {
        lock(&self.shared.ids).next(self.shared.clock.unix())
    }

    /// Records a decision, and resolves when it is on disk: written, and flushed. A refusal like one that was
    /// written less than a window ago is counted with it instead, and so is one for which no space is left.
    ///
    /// Dropping the future does not take the record back.
    ///
    /// # Errors
    /// [`AuditError::Full`] and [`AuditError::Io`] when the disk did not take it; it is not in the file then, and the
    /// next append tries again. [`AuditError::Overloaded`] when too many records wait, [`AuditError::Closed`] after
    /// [`close`](Self::close). All are counted.
    pub async fn append(&self, record: Record) -> Result<Recorded, AuditError> {
        let (verdict, time) = (record.verdict, record.time);
        let (reply, answer) = oneshot::channel();
        let refused = if self.shared.state.closing.load(Ordering::Acquire) {
            AuditError::Closed
        } else {
            match self.shared.sender.try_send(Message::Append(Box::new(record), reply)) {
                Ok(()) => return answer.await.unwrap_or(Err(AuditError::Closed)),
                Err(TrySendError::Full(_)) => AuditError::Overloaded { limit: self.shared.limit },
                Err(TrySendError::Disconnected(_)) => AuditError::Closed,
            }
        };
        self.shared.state.lose(verdict, 1, time);
        Err(refused)
    }

    /// Whether the last attempt to write succeeded; before the first, whether the file could be opened.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.shared.state.healthy.load(Ordering::Acquire)
    }

    /// What the log has done since it was opened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let state = &self.shared.state;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            written: read(&state.written),
            counted: read(&state.counted),
            failed: read(&state.failed),
            failed_admitted: read(&state.failed_admitted),
            flushes: read(&state.flushes),
            rotations: read(&state.rotations),
            disturbed: read(&state.disturbed),
            recovered: read(&state.recovered),
        }
    }

    /// Writes what is still only counted, and ends the thread. Later appends answer [`AuditError::Closed`].
    ///
    /// Must be called within a tokio runtime with a timer; a disk that hangs makes this wait, so give it a deadline.
    ///
    /// # Errors
    /// [`AuditError`] when the last lines could not be written, [`AuditError::Closed`] when it was closed before.
    pub async fn close(&self) -> Result<(), AuditError> {
        if self.shared.state.closing.swap(true, Ordering::AcqRel) {
            return Err(AuditError::Closed);
        }
        let (reply, answer) = oneshot::channel();
        let mut message = Message::Close(reply);
        loop {
            match self.shared.sender.try_send(message) {
                Ok(()) => return answer.await.unwrap_or(Err(AuditError::Closed)),
                Err(TrySendError::Disconnected(_)) => return Err(AuditError::Closed),
                Err(TrySendError::Full(back)) => message = back,
            }
            tokio::time::sleep(CLOSE_POLL).await;
        }
    }
}

impl Recorded {
    pub(super) const fn new(durable: bool) -> Self {
        Self { durable }
    }

    /// Whether the decision has a line of its own on disk; otherwise it is a refusal that was counted with others.
    #[must_use]
    pub const fn durable(self) -> bool {
        self.durable
    }
}

impl State {
    /// Counts `many` decisions that could not be recorded.
    pub(super) fn lose(&self, verdict: Verdict, many: u64, time: Timestamp) {
        self.failed.fetch_add(many, Ordering::Relaxed);
        if verdict == Verdict::Admitted {
            self.failed_admitted.fetch_add(many, Ordering::Relaxed);
        }
        lock(&self.lost).add(verdict, many, time);
    }
}

/// The value behind a lock, after a panic too: nothing that is locked here is ever left half-changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn random() -> Result<u32, AuditError> {
    let mut bytes = [0; 4];
    File::open(RANDOM)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| AuditError::io(Action::Read, RANDOM, &error))?;
    Ok(u32::from_ne_bytes(bytes))
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("counters", &self.counters()).finish_non_exhaustive()
    }
}
