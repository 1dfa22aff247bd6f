//! [`Writer`]: the thread that owns the file. It takes every record that waits, adds them with one write and one
//! flush, and answers them all; what is only counted it writes when its time has come.

use std::mem;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::oneshot;

use super::encode::{self, RECORD_MAX};
use super::error::AuditError;
use super::file::LogFile;
use super::log::{Recorded, State, lock};
use super::options::Options;
use super::record::{Note, Noted, Record, SCHEMA, Tally, Verdict};
use super::repeats::{Allowance, Fate, Kind, Repeats};
use super::stamp::{Ids, Timestamp};
use crate::clock::Clock;

/// Bytes that are written with one flush, about: what a disk takes in a few milliseconds.
const BATCH_BYTES: usize = 1 << 20;

/// Records taken with one flush at most, so that a stream of refusals that are only counted holds up nobody's.
const BATCH_RECORDS: usize = 1024;

/// What the handles ask of the thread.
pub(super) enum Message {
    /// Record this, and say when it is done.
    Append(Box<Record>, Reply),
    /// Write what is left, and end.
    Close(oneshot::Sender<Result<(), AuditError>>),
}

/// Where the answer to one append goes. The asker may be gone.
pub(super) type Reply = oneshot::Sender<Result<Recorded, AuditError>>;

/// The file, and what is not in it yet.
#[derive(Debug)]
pub(super) struct Writer {
    file: LogFile,
    options: Options,
    clock: Clock,
    state: Arc<State>,
    ids: Arc<Mutex<Ids>>,
    repeats: Repeats,
    allowance: Allowance,
    /// Records that stand for repeats and whose time has come.
    due: Vec<Record>,
    /// Refusals that were neither written nor watched.
    counted: Tally,
    /// When the notes about counted and lost decisions may be written next.
    notes_due: Instant,
}

/// One record on its way to the disk.
struct Planned {
    line: Vec<u8>,
    verdict: Verdict,
    time: Timestamp,
    /// What it is the first of; none for an admission.
    kind: Option<Kind>,
    reply: Reply,
}

/// Records of one batch, and those that are answered with it without a line of their own.
#[derive(Default)]
struct Batch {
    planned: Vec<Planned>,
    counted: Vec<(Kind, Reply)>,
    bytes: usize,
}

impl Writer {
    pub(super) fn new(file: LogFile, options: Options, clock: Clock, state: Arc<State>, ids: Arc<Mutex<Ids>>) -> Self {
        let now = clock.steady();
        let repeats = Repeats::new(options.repeat_window(), options.repeat_entries.get());
        let allowance = Allowance::new(options.refusal_bytes_per_hour.get(), now);
        let (due, counted) = (Vec::new(), Tally::default());
        Self { file, options, clock, state, ids, repeats, allowance, due, counted, notes_due: now }
    }

    /// Works until the log is closed or its last handle is gone.
    pub(super) fn run(mut self, inbox: &Receiver<Message>) {
        let _told_by_counters = self.settle(false);
        loop {
            let first = match self.wait(inbox) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => {
                    let _told_by_counters = self.settle(true);
                    return;
                }
            };
            let (batch, closing) = self.gather(first, inbox);
            self.commit(batch);
            let settled = self.settle(closing.is_some());
            if let Some(reply) = closing {
                // The lock first: whoever hears that the log is closed may open it again.
                drop(self);
                let _asker_may_be_gone = reply.send(settled);
                return;
            }
        }
    }

    /// Everything that waits, up to a batch's size, and whether the log is to be closed after it.
    fn gather(
        &mut self,
        first: Option<Message>,
        inbox: &Receiver<Message>,
    ) -> (Batch, Option<oneshot::Sender<Result<(), AuditError>>>) {
        let most = BATCH_BYTES.min(usize::try_from(self.options.max_bytes.get()).unwrap_or(BATCH_BYTES));
        let mut batch = Batch::default();
        let (mut next, mut taken) = (first, 0);
        while let Some(message) = next {
            taken += 1;
            match message {
                Message::Append(record, reply) => self.plan(&mut batch, record, reply),
                Message::Close(reply) => return (batch, Some(reply)),
            }
            let full = batch.bytes.saturating_add(RECORD_MAX) > most || taken >= BATCH_RECORDS;
            next = if full { None } else { inbox.try_recv().ok() };
        }
        (batch, None)
    }

    /// The next message, or a timeout when something that was counted is due.
    fn wait(&self, inbox: &Receiver<Message>) -> Result<Message, RecvTimeoutError> {
        let pending = !self.counted.is_empty() || !lock(&self.state.lost).is_empty() || !self.file.torn().is_empty();
        let due = self.repeats.next_end().into_iter().chain(pending.then_some(self.notes_due)).min();
        match due {
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => inbox.recv_timeout(due.saturating_duration_since(self.clock.steady())),
        }
    }

    /// Decides what becomes of one record: a line, or a place in a count.
    fn plan(&mut self, batch: &mut Batch, record: Box<Record>, reply: Reply) {
        let now = self.clock.steady();
        // What takes an admission back follows a record that is written, each its own: without it that one would be
        // false. So it is never counted with others, nor held back.
        let kind = if record.verdict == Verdict::Admitted || record.supersedes.is_some() {
            None
        } else {
            self.due.extend(self.repeats.ended(now));
            match self.repeats.fate(&record) {
                Fate::Write(kind) => Some(kind),
                Fate::Counted(kind) => return batch.counted.push((kind, reply)),
                Fate::TooMany => return self.tally(&record, reply),
            }
        };
        let line = match encode::record(&record) {
            Ok(line) => line,
            Err(error) => {
                self.state.lose(record.verdict, 1, record.time);
                return answer(reply, Err(error));
            }
        };
        if let Some(kind) = &kind {
            if !self.has_room_for_refusal(line.len()) {
                return self.tally(&record, reply);
            }
            self.repeats.watch(kind.clone(), record.id, now);
        }
        batch.bytes += line.len();
        batch.planned.push(Planned { line, verdict: record.verdict, time: record.time, kind, reply });
    }

    /// Counts a refusal that is not written and not watched. It is refused all the same.
    fn tally(&mut self, record: &Record, reply: Reply) {
        if self.counted.is_empty() {
            self.notes_due = self.notes_due.max(self.clock.steady() + self.options.repeat_window());
        }
        self.counted.count(record);
        self.state.counted.fetch_add(1, Ordering::Relaxed);
        answer(reply, Ok(Recorded::new(false)));
    }

    /// Whether a refusal may take this much space: some is kept for admissions.
    fn has_room_for_refusal(&mut self, bytes: usize) -> bool {
        let more = u64::try_from(bytes).unwrap_or(u64::MAX);
        let free = self.file.free().saturating_sub(more) >= self.options.reserve_bytes;
        free && self.allowance.take(bytes, self.clock.steady())
    }

    /// Adds the lines of a batch and answers everyone in it. When the disk is too full for all of them, the admissions
    /// are tried alone.
    fn commit(&mut self, batch: Batch) {
        let lines = |wanted: fn(&Planned) -> bool| {
            let lines: Vec<_> = batch.planned.iter().filter(|planned| wanted(planned)).collect();
            (lines.iter().flat_map(|planned| &planned.line).copied().collect::<Vec<u8>>(), lines.len())
        };
        let (all, count) = lines(|_| true);
        let (admissions, admitted) = lines(|planned| planned.kind.is_none());
        let whole = self.add(&all, count);
        let alone = match &whole {
            Err(AuditError::Full { .. }) if 0 < admitted && admitted < count => self.add(&admissions, admitted),
            Err(_) | Ok(()) => whole.clone(),
        };
        for Planned { verdict, time, kind, reply, .. } in batch.planned {
            let outcome = if kind.is_some() { &whole } else { &alone };
            if outcome.is_err() {
                let counted_with_it = kind.map_or(0, |kind| self.repeats.forget(&kind));
                self.state.lose(verdict, 1 + counted_with_it, time);
            }
            answer(reply, outcome.clone().map(|()| Recorded::new(true)));
        }
        for (kind, reply) in batch.counted {
            let outcome = if self.repeats.watches(&kind) { Ok(()) } else { whole.clone() };
            self.state.counted.fetch_add(u64::from(outcome.is_ok()), Ordering::Relaxed);
            answer(reply, outcome.map(|()| Recorded::new(false)));
        }
    }

    /// Writes what stands for many: repeats whose window has ended, and now and then the notes. `finish` writes all.
    fn settle(&mut self, finish: bool) -> Result<(), AuditError> {
        let now = self.clock.steady();
        self.due.extend(if finish { self.repeats.all() } else { self.repeats.ended(now) });
        let (mut lines, mut standing) = (Vec::new(), Vec::new());
        for record in mem::take(&mut self.due) {
            match encode::record(&record) {
                Ok(line) if self.has_room_for_refusal(line.len()) => {
                    lines.extend(line);
                    standing.push(record);
                }
                Ok(_) | Err(_) => self.counted.count(&record),
            }
        }
        let (mut lost, mut counted, mut notes) = (Tally::default(), Tally::default(), 0);
        if finish || now >= self.notes_due {
            self.notes_due = now + self.options.repeat_window();
            lost = mem::take(&mut *lock(&self.state.lost));
            if finish || self.file.free() >= self.options.reserve_bytes {
                counted = mem::take(&mut self.counted);
            }
            notes = self.write_notes(&mut lines, lost, counted);
        }
        let outcome = self.add(&lines, standing.len() + notes);
        match &outcome {
            Ok(()) if notes > 0 => self.file.torn_are_noted(),
            Ok(()) => {}
            Err(_) => {
                lock(&self.state.lost).merge(lost);
                self.counted.merge(counted);
                standing.iter().for_each(|record| self.state.lose(record.verdict, record.repeats, record.time));
            }
        }
        outcome
    }

    /// Adds a line for each note that there is reason for; how many.
    fn write_notes(&self, lines: &mut Vec<u8>, lost: Tally, counted: Tally) -> usize {
        let torn = self.file.torn().iter().map(|torn| Noted::Recovered {
            fragment: String::from_utf8_lossy(&torn.bytes).into_owned(),
            bytes: torn.length,
        });
        let lost = (!lost.is_empty()).then_some(Noted::Lost(lost));
        let counted = (!counted.is_empty()).then_some(Noted::Counted(counted));
        let mut count = 0;
        for note in torn.chain(lost).chain(counted) {
            let id = lock(&self.ids).next(self.clock.unix());
            if let Ok(line) = encode::note(&Note { schema: SCHEMA, id, time: id.time(), note }) {
                lines.extend(line);
                count += 1;
            }
        }
        count
    }

    /// Adds lines to the file, if there are any, and says how that went to whoever watches.
    fn add(&mut self, lines: &[u8], count: usize) -> Result<(), AuditError> {
        if lines.is_empty() {
            return Ok(());
        }
        let outcome = self.file.append(lines);
        self.state.healthy.store(outcome.is_ok(), Ordering::Release);
        if outcome.is_ok() {
            self.state.written.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        outcome
    }
}

/// Answers one append. Whoever asked may be gone; the record stays.
fn answer(reply: Reply, outcome: Result<Recorded, AuditError>) {
    let _asker_may_be_gone = reply.send(outcome);
}
