//! [`Log`]: the handle through which decisions are recorded.
//!
//! The work is done by a thread of its own (`writer`), which opens the file, takes every record
//! that waits, writes them at once, and answers when the disk has them. A disk that does not answer
//! holds up that thread and nobody else.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot::{self, error::TryRecvError};

use super::checkpoints::Sealing;
use super::error::{Action, AuditError};
use super::file::LogFile;
use super::options::Options;
use super::queue::{Message, Queue};
use super::record::Recorded;
use super::record::stamp::{DecisionId, Ids};
use super::record::{CallOutcome, Finding, Noted, Record, Writing};
use super::state::{Counters, Health, Seal, State, lock};
use super::writer::Writer;
use crate::clock::Clock;

/// Where the random part of the ids comes from.
const RANDOM: &str = "/dev/urandom";
/// How long closing waits for what is left to be written. A service manager gives the whole end
/// half a minute.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// The audit log, open for writing. Clones write to the same file.
#[derive(Clone)]
pub struct Log {
    shared: Arc<SharedLog>,
}

struct SharedLog {
    queue: Queue,
    patience: Duration,
    clock: Clock,
    ids: Arc<Mutex<Ids>>,
    state: Arc<State>,
    /// What stands at the head of what is written; none of a log without heads.
    writing: Mutex<Option<Writing>>,
}

impl Log {
    /// Opens the log and starts the thread that writes it. A line that a crash left torn is taken
    /// out and written as a note. Where another process holds the lock it is waited for, up to ten
    /// seconds: one that was killed is about to let go.
    ///
    /// A disk that is full, can only be read or does not answer is no reason to fail here: the log
    /// opens, is not [healthy](Self::health), and tries again with each record.
    ///
    /// # Errors
    /// [`AuditError`] when the options are not valid, the file or its folder is not safe from
    /// others (attack E4), another process goes on writing the same log, or the file cannot be
    /// opened for a reason that does not pass.
    pub fn open(options: Options, clock: Clock) -> Result<Self, AuditError> {
        Self::open_with(options, clock, None, false)
    }

    /// The same, and every file begins with who writes it.
    ///
    /// # Errors
    /// As of [`open`](Self::open).
    pub fn open_as(options: Options, clock: Clock, writing: Writing) -> Result<Self, AuditError> {
        Self::open_with(options, clock, Some(writing), false)
    }

    /// The same, with checkpoints: the log is sealed with the key that [`Options`] name, which is
    /// made where there is none. A key that cannot be had is no reason to fail either.
    ///
    /// # Errors
    /// As of [`open`](Self::open).
    pub fn open_sealed(
        options: Options,
        clock: Clock,
        writing: Option<Writing>,
    ) -> Result<Self, AuditError> {
        let is_sealed = !options.checkpoint_key.as_os_str().is_empty();
        Self::open_with(options, clock, writing, is_sealed)
    }

    fn open_with(
        options: Options,
        clock: Clock,
        writing: Option<Writing>,
        is_sealed: bool,
    ) -> Result<Self, AuditError> {
        options.check()?;
        let ids = Arc::new(Mutex::new(Ids::new(random()?)));
        let state = Arc::new(State::default());
        let sealing = is_sealed.then(|| Sealing::new(options.sealing(), clock, Arc::clone(&ids)));
        let file = LogFile::new(&options, Arc::clone(&state), clock, sealing)?;
        let (patience, path) = (options.patience(), options.path.clone());
        let (queue, inbox) = Queue::new(options.queue_records.get());
        let writer = Writer::new(file, options, clock, Arc::clone(&state), Arc::clone(&ids));
        let writer = writer.headed(writing.clone());
        let (opened, opening) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("audit".into())
            .spawn(move || writer.run(&inbox, &opened))
            .map_err(|error| AuditError::io(Action::Start, path, &error))?;
        let writing = Mutex::new(writing);
        let shared = SharedLog { queue, patience, clock, ids, state, writing };
        let log = Self { shared: Arc::new(shared) };
        log.wait_until_open(&opening)?;
        Ok(log)
    }

    /// Waits for what the thread says of the file, and no longer than for a record when it says
    /// nothing.
    fn wait_until_open(
        &self,
        opening: &Receiver<Result<(), AuditError>>,
    ) -> Result<(), AuditError> {
        let state = &self.shared.state;
        loop {
            let round = state.round();
            match opening.recv_timeout(self.shared.patience) {
                Ok(outcome) => return outcome,
                Err(RecvTimeoutError::Disconnected) => return Err(AuditError::Closed),
                // That wait has an end of its own.
                Err(RecvTimeoutError::Timeout) if state.awaits_lock.load(Ordering::Acquire) => {}
                Err(RecvTimeoutError::Timeout) => {
                    state.is_late(round, &AuditError::Late { limit: self.shared.patience });
                    return Ok(());
                }
            }
        }
    }

    /// The id of a new decision, greater than every id given out before.
    #[must_use]
    pub fn next_id(&self) -> DecisionId {
        lock(&self.shared.ids).next(self.shared.clock.unix())
    }

    /// Records a decision, and resolves when it is on disk: written, and flushed. One like a
    /// decision that was written less than a window ago is counted with it instead, and so is a
    /// refusal for which no space is left.
    ///
    /// Dropping the future does not take the record back.
    ///
    /// # Errors
    /// [`AuditError::Late`] when the disk did not take it in time: it waits, and is written in its
    /// turn. When an answer is overdue already this comes at once: nobody waits twice for one disk.
    /// Otherwise it is not in the file: [`AuditError::Full`] and [`AuditError::Io`] when the disk
    /// refused it, and the next append tries again; [`AuditError::Overloaded`] when too many
    /// records wait, [`AuditError::Closed`] after [`close`](Self::close). All are counted.
    pub async fn append(&self, record: Record) -> Result<Recorded, AuditError> {
        self.wait_for(self.push(record)?).await
    }

    /// Records a finding: at once on its way, resolved when it is on disk, or counted with those
    /// like it.
    ///
    /// # Errors
    /// As of [`append`](Self::append), now or in the future that it answers.
    pub fn find(
        &self,
        finding: Finding,
    ) -> Result<impl Future<Output = Result<Recorded, AuditError>> + use<>, AuditError> {
        let (state, time) = (&self.shared.state, finding.time);
        let pushed = match state.closing.load(Ordering::Acquire) {
            true => Err(AuditError::Closed),
            false => self.shared.queue.push_finding(finding),
        };
        let answer = pushed.inspect_err(|_| state.lose_findings(1, time))?;
        let log = self.clone();
        Ok(async move { log.wait_for(answer).await })
    }

    /// Records what came of a call, behind the decisions that wait: it is on disk with the next of
    /// them, or soon after. A crash before that loses it, and nothing waits for it.
    ///
    /// # Errors
    /// [`AuditError::Overloaded`] when too much waits, [`AuditError::Closed`] after
    /// [`close`](Self::close). Both are counted.
    pub fn tell(&self, outcome: CallOutcome) -> Result<(), AuditError> {
        let (state, time) = (&self.shared.state, outcome.time);
        let pushed = match state.closing.load(Ordering::Acquire) {
            true => Err(AuditError::Closed),
            false => self.shared.queue.push_outcome(outcome),
        };
        pushed.inspect_err(|_| state.lose_outcomes(1, time))
    }

    async fn wait_for(
        &self,
        mut answer: oneshot::Receiver<Result<Recorded, AuditError>>,
    ) -> Result<Recorded, AuditError> {
        let state = &self.shared.state;
        let late = AuditError::Late { limit: self.shared.patience };
        if state.is_overdue() {
            state.count_late();
            return Err(late);
        }
        if let Ok(outcome) = tokio::time::timeout(self.shared.patience, &mut answer).await {
            return outcome.unwrap_or(Err(AuditError::Closed));
        }
        // The round first: an answer that is not there now comes before that round ends.
        let round = state.round();
        match answer.try_recv() {
            Ok(outcome) => outcome,
            Err(TryRecvError::Closed) => Err(AuditError::Closed),
            Err(TryRecvError::Empty) => {
                state.is_late(round, &late);
                Err(late)
            }
        }
    }

    fn push(
        &self,
        record: Record,
    ) -> Result<oneshot::Receiver<Result<Recorded, AuditError>>, AuditError> {
        let (ended, time) = (record.ended(), record.time);
        let state = &self.shared.state;
        let pushed = match state.closing.load(Ordering::Acquire) {
            true => Err(AuditError::Closed),
            false => self.shared.queue.push(record),
        };
        pushed.inspect_err(|error| {
            state.lose(ended, 1, time);
            if matches!(error, AuditError::Overloaded { .. }) {
                state.overflow(error);
            }
        })
    }

    /// Writes something about the log itself, and resolves when it is on disk.
    ///
    /// # Errors
    /// As of [`append`](Self::append); of a note that is late it is not known whether it will be
    /// there.
    pub async fn note(&self, noted: Noted) -> Result<(), AuditError> {
        if self.shared.state.closing.load(Ordering::Acquire) {
            return Err(AuditError::Closed);
        }
        let answer = self.shared.queue.ask(|reply| Message::Note(noted, reply))?;
        let late = AuditError::Late { limit: self.shared.patience };
        tokio::time::timeout(self.shared.patience, answer)
            .await
            .map_or(Err(late), |said| said.unwrap_or(Err(AuditError::Closed)))
    }

    /// Writes something about the log itself, and waits for nothing.
    pub fn jot(&self, noted: Noted) {
        let asked = self.shared.queue.ask(|reply| Message::Note(noted, reply));
        drop(asked.inspect_err(|error| tracing::error!(%error, "a note could not be recorded")));
    }

    /// Other policies or keys are in force: the next line of the log says so, where it has heads. Waits
    /// for nothing.
    pub fn put_in_force(&self, policy_generation: &str, trust_generation: &str) {
        let mut writing = lock(&self.shared.writing);
        let Some(now) = writing.as_mut() else { return };
        let before = now.clone();
        policy_generation.clone_into(&mut now.policy_generation);
        trust_generation.clone_into(&mut now.trust_generation);
        if *now != before {
            // A log that is closed writes nothing any more.
            let _nothing_follows = self.shared.queue.push_head(now.clone());
        }
    }

    /// From now on ids begin at what the clock says, although some that were given out are later:
    /// that clock was ahead.
    pub fn restart_ids(&self) {
        lock(&self.shared.ids).restart();
    }

    /// Whether records reach the disk, and why not.
    #[must_use]
    pub fn health(&self) -> Health {
        self.shared.state.health(self.shared.queue.waiting())
    }

    /// Whether the last attempt to write succeeded and no record is overdue; before the first,
    /// whether the file could be opened.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.shared.state.is_healthy()
    }

    /// The last checkpoint since the start.
    #[must_use]
    pub fn seal(&self) -> Seal {
        self.shared.state.seal()
    }

    /// What the log has done since it was opened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.state.counters()
    }

    /// Writes what is still only counted, and ends the thread. Later appends answer
    /// [`AuditError::Closed`]. A disk that does not answer is given five seconds.
    ///
    /// Must be called within a tokio runtime with a timer.
    ///
    /// # Errors
    /// [`AuditError`] when the last lines could not be written, [`AuditError::Closed`] when it was
    /// closed before.
    pub async fn close(&self) -> Result<(), AuditError> {
        if self.shared.state.closing.swap(true, Ordering::AcqRel) {
            return Err(AuditError::Closed);
        }
        let answer = self.shared.queue.ask(Message::Close)?;
        match tokio::time::timeout(CLOSE_PATIENCE, answer).await {
            Ok(closed) => closed.unwrap_or(Err(AuditError::Closed)),
            Err(_) => Err(AuditError::Late { limit: CLOSE_PATIENCE }),
        }
    }
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
