//! [`Writer`]: the thread that owns the file. It takes every record that waits, adds them with one
//! write and one flush, and answers them all; what is only counted it writes when its time has
//! come.

use std::mem;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::encode::{self, RECORD_MAX};
use super::error::AuditError;
use super::file::LogFile;
use super::findings::{Findings, PlannedFinding};
use super::options::Options;
use super::outcomes::{self, Outcomes};
use super::queue::{Acknowledgement, Message, QueueSeat, Queued};
use super::record::stamp::{DecisionId, Ids, Timestamp};
use super::record::verdict::Ended;
use super::record::{
    CheckpointCause, HeadCause, Note, Noted, Record, Recorded, SCHEMA, Tally, Writing,
};
use super::repeats::{Allowance, Fate, Kind, Repeats};
use super::state::{State, lock};
use crate::clock::Clock;

/// Bytes that are written with one flush, about: what a disk takes in a few milliseconds.
const BATCH_BYTES: usize = 1 << 20;

/// Records taken with one flush at most, so that a stream of refusals that are only counted holds
/// up nobody's.
const BATCH_RECORDS: usize = 1024;

/// How often is looked, while nothing is written, who else could write the log: four or five calls
/// of the system.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The file, and what is not in it yet.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) file: LogFile,
    pub(super) options: Options,
    pub(super) clock: Clock,
    pub(super) state: Arc<State>,
    pub(super) ids: Arc<Mutex<Ids>>,
    repeats: Repeats<Record>,
    allowance: Allowance,
    pub(super) findings: Findings,
    pub(super) outcomes: Outcomes,
    /// Whether the file was ever open.
    is_open: bool,
    /// Records that stand for repeats and whose time has come.
    due: Vec<Record>,
    /// Refusals that were neither written nor watched.
    pub(super) counted: Tally,
    /// What is to be said of the log itself.
    notes: Vec<(Noted, oneshot::Sender<Result<(), AuditError>>)>,
    /// When the notes about counted and lost decisions may be written next.
    notes_due: Instant,
    /// What stands at the head of each file; none of a log without heads.
    pub(super) writing: Option<Writing>,
}

/// One record on its way to the disk.
struct Planned {
    line: Vec<u8>,
    id: DecisionId,
    ended: Ended,
    time: Timestamp,
    /// What it is the first of; none where those like it are not watched for.
    kind: Option<Kind>,
    /// Whether it gives way on a full disk: an admission does not, nor what takes one back.
    gives_way: bool,
    reply: Acknowledgement,
    _seat: QueueSeat,
}

/// Records of one batch, and those that are answered with it without a line of their own.
#[derive(Default)]
struct Batch {
    planned: Vec<Planned>,
    counted: Vec<(Kind, DecisionId, Acknowledgement)>,
    findings: Vec<PlannedFinding>,
    bytes: usize,
}

impl Writer {
    pub(super) fn new(
        file: LogFile,
        options: Options,
        clock: Clock,
        state: Arc<State>,
        ids: Arc<Mutex<Ids>>,
    ) -> Self {
        let now = clock.steady();
        let repeats = Repeats::new(options.repeat_window(), options.repeat_entries.get());
        let allowance = Allowance::new(options.refusal_bytes_per_hour.get(), now);
        let findings = Findings::new(&options, now);
        let outcomes = Outcomes::new(&options);
        let (due, counted, notes, is_open) = (Vec::new(), Tally::default(), Vec::new(), false);
        Self {
            file,
            options,
            clock,
            state,
            ids,
            repeats,
            allowance,
            findings,
            outcomes,
            is_open,
            due,
            counted,
            notes,
            notes_due: now,
            writing: None,
        }
    }

    /// The same, and this stands at the head of each file.
    pub(super) fn headed(self, writing: Option<Writing>) -> Self {
        Self { writing, ..self }
    }

    /// Opens the file, says how that went, and works until the log is closed or its last handle is
    /// gone. It does not begin where the file cannot be used and that does not pass by itself.
    pub(super) fn run(
        mut self,
        inbox: &Receiver<Message>,
        opened: &SyncSender<Result<(), AuditError>>,
    ) {
        let opening = self.file.open();
        self.state.attempted(&opening);
        self.is_open = opening.is_ok();
        match opening {
            Err(error) if !error.may_pass() => {
                let _opener_may_be_gone = opened.try_send(Err(error));
            }
            Ok(()) | Err(_) => {
                self.file.prepare_sealing();
                self.write_head(HeadCause::Start);
                let _told_by_counters = self.settle(false);
                let _tried_again_when_due = self.file.seal(CheckpointCause::Start);
                self.state.come_round();
                let _opener_may_be_gone = opened.try_send(Ok(()));
            }
        }
        self.work(inbox);
    }

    fn work(mut self, inbox: &Receiver<Message>) {
        loop {
            let first = match self.wait(inbox) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => {
                    let _told_by_counters = self.settle(true);
                    let _nobody_waits = self.file.seal(CheckpointCause::Stop);
                    return;
                }
            };
            let (batch, closing) = self.gather(first, inbox);
            self.commit(batch);
            let settled = self.settle(closing.is_some());
            self.seal(closing.is_some());
            self.look();
            self.state.come_round();
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
        let most = BATCH_BYTES.min(self.file_bytes());
        let mut batch = Batch::default();
        let (mut next, mut taken) = (first, 0);
        while let Some(message) = next {
            taken += 1;
            match message {
                Message::Append(queued) => self.plan(&mut batch, *queued),
                Message::Find(queued) => {
                    batch.bytes += self.plan_finding(*queued, &mut batch.findings);
                }
                Message::Tell(queued) => self.plan_outcome(*queued),
                Message::Head(writing) => {
                    self.writing = Some(*writing);
                    self.write_head(HeadCause::Reload);
                }
                Message::Note(noted, reply) => self.notes.push((noted, reply)),
                Message::Close(reply) => return (batch, Some(reply)),
            }
            let full = batch.bytes.saturating_add(RECORD_MAX) > most || taken >= BATCH_RECORDS;
            next = if full { None } else { inbox.try_recv().ok() };
        }
        (batch, None)
    }

    /// What a file takes, in bytes.
    pub(super) fn file_bytes(&self) -> usize {
        usize::try_from(self.options.max_bytes.get()).unwrap_or(usize::MAX)
    }

    /// The next message, or a timeout when something that was counted is due, or it is time to look
    /// around.
    fn wait(&self, inbox: &Receiver<Message>) -> Result<Message, RecvTimeoutError> {
        let now = self.clock.steady();
        let pending = !self.counted.is_empty()
            || !lock(&self.state.lost).is_empty()
            || !self.file.tales().is_empty();
        let due = self.next_end().chain(pending.then_some(self.notes_due));
        let due = due.chain(self.file.checkpoint_due()).min();
        let patience =
            due.map_or(LOOK_EVERY, |due| due.saturating_duration_since(now).min(LOOK_EVERY));
        inbox.recv_timeout(patience)
    }

    /// When the next windows of repeats end.
    fn next_end(&self) -> impl Iterator<Item = Instant> + use<> {
        let findings = self.findings.repeats.next_end();
        self.repeats.next_end().into_iter().chain(findings).chain(self.outcomes.next())
    }

    /// Looks who else could write the log, and opens it where that was not possible so far.
    fn look(&mut self) {
        if !self.is_open {
            let opening = self.file.try_open();
            self.is_open = opening.is_ok();
            self.state.attempted(&opening);
        }
        self.file.prepare_sealing();
        self.state.looked(self.options.exposed());
    }

    /// Decides what becomes of one record: a line, or a place in a count.
    fn plan(&mut self, batch: &mut Batch, queued: Queued) {
        let Queued { record, reply, seat } = queued;
        let now = self.clock.steady();
        // What takes an admission back follows a record that is written, each its own: without it
        // that one would be false. So it is never counted with others, nor held back.
        let gives_way = !record.was_let_through() && record.supersedes.is_none();
        let kind = if record.supersedes.is_some() {
            None
        } else {
            self.due.extend(self.repeats.ended(now));
            match self.repeats.fate(&record) {
                Fate::Write(kind) => Some(kind),
                Fate::Counted(kind) => return batch.counted.push((kind, record.id, reply)),
                Fate::TooMany if gives_way => return self.tally(&record, reply),
                Fate::TooMany => None,
            }
        };
        let line = match encode::record(&record) {
            Ok(line) => line,
            Err(error) => {
                self.state.lose(record.ended(), 1, record.time);
                return answer(reply, Err(error));
            }
        };
        if gives_way && !self.has_room_for_refusal(line.len()) {
            return self.tally(&record, reply);
        }
        if let Some(kind) = &kind {
            self.repeats.watch(kind.clone(), record.id, now);
        }
        batch.bytes += line.len();
        let (id, ended, time) = (record.id, record.ended(), record.time);
        batch.planned.push(Planned { line, id, ended, time, kind, gives_way, reply, _seat: seat });
    }

    /// Counts a refusal that is not written and not watched. It is refused all the same.
    fn tally(&mut self, record: &Record, reply: Acknowledgement) {
        self.await_notes();
        self.counted.count(record);
        self.state.counted.fetch_add(1, Ordering::Relaxed);
        answer(reply, Ok(Recorded::new(false, record.id)));
    }

    /// Something will be counted: a note tells of it at the end of a window.
    pub(super) fn await_notes(&mut self) {
        if self.counted.is_empty() {
            self.notes_due = self.notes_due.max(self.clock.steady() + self.options.repeat_window());
        }
    }

    /// Whether a refusal may take this much space: some is kept for admissions.
    fn has_room_for_refusal(&mut self, bytes: usize) -> bool {
        let more = u64::try_from(bytes).unwrap_or(u64::MAX);
        let free = self.file.free().saturating_sub(more) >= self.options.reserve_bytes;
        free && self.allowance.take(bytes, self.clock.steady())
    }

    /// Adds the lines of a batch and answers everyone in it. When the disk is too full for all of
    /// them, the admissions are tried alone.
    fn commit(&mut self, batch: Batch) {
        let lines = |wanted: fn(&Planned) -> bool| {
            let lines: Vec<_> = batch.planned.iter().filter(|planned| wanted(planned)).collect();
            (
                lines.iter().flat_map(|planned| &planned.line).copied().collect::<Vec<u8>>(),
                lines.len(),
            )
        };
        let (mut all, count) = lines(|_| true);
        let (admissions, admitted) = lines(|planned| !planned.gives_way);
        let room = self.file_bytes().saturating_sub(all.len());
        let told = self.outcomes.take((count > 0, self.clock.steady()), room);
        all.extend(outcomes::lines(&told));
        let more = count + told.len();
        let whole = self.add(&all, more);
        self.outcomes_added(told, &whole);
        let alone = match &whole {
            Err(AuditError::Full { .. }) if 0 < admitted && admitted < more => {
                self.add(&admissions, admitted)
            }
            Err(_) | Ok(()) => whole.clone(),
        };
        for Planned { id, ended, time, kind, gives_way, reply, .. } in batch.planned {
            let outcome = if gives_way { &whole } else { &alone };
            if outcome.is_err() {
                let counted_with_it = kind.map_or(0, |kind| self.repeats.forget(&kind));
                self.state.lose(ended, 1 + counted_with_it, time);
            }
            answer(reply, outcome.clone().map(|()| Recorded::new(true, id)));
        }
        for (kind, id, reply) in batch.counted {
            let first = self.repeats.first_of(&kind);
            let outcome = if first.is_some() { Ok(()) } else { whole.clone() };
            self.state.counted.fetch_add(u64::from(outcome.is_ok()), Ordering::Relaxed);
            answer(reply, outcome.map(|()| Recorded::new(false, first.unwrap_or(id))));
        }
        self.commit_findings(batch.findings);
    }

    /// Writes what stands for many: repeats whose window has ended, and now and then the notes.
    /// `finish` writes all.
    fn settle(&mut self, finish: bool) -> Result<(), AuditError> {
        self.settle_findings(finish);
        self.settle_outcomes(finish);
        let now = self.clock.steady();
        self.due.extend(if finish { self.repeats.all() } else { self.repeats.ended(now) });
        let (mut lines, mut standing) = (Vec::new(), Vec::new());
        for record in mem::take(&mut self.due) {
            match encode::record(&record) {
                Ok(line) if record.was_let_through() || self.has_room_for_refusal(line.len()) => {
                    lines.extend(line);
                    standing.push(record);
                }
                Ok(_) | Err(_) => self.counted.count(&record),
            }
        }
        let (asked, replies): (Vec<_>, Vec<_>) = mem::take(&mut self.notes).into_iter().unzip();
        let mut noted = self.write_notes(&mut lines, asked.into_iter());
        let (mut lost, mut counted, mut tells) = (Tally::default(), Tally::default(), false);
        if finish || now >= self.notes_due {
            self.notes_due = now + self.options.repeat_window();
            lost = mem::take(&mut *lock(&self.state.lost));
            if finish || self.file.free() >= self.options.reserve_bytes {
                counted = mem::take(&mut self.counted);
            }
            noted += self.write_notes(&mut lines, self.tales(lost, counted).into_iter());
            tells = true;
        }
        let outcome = self.add(&lines, standing.len() + noted);
        match &outcome {
            Ok(()) if tells => self.file.tales_are_noted(),
            Ok(()) => {}
            Err(_) => {
                lock(&self.state.lost).merge(lost);
                self.counted.merge(counted);
                standing.iter().for_each(|record| {
                    self.state.lose(record.ended(), record.repeats, record.time)
                });
            }
        }
        for reply in replies {
            let _asker_may_be_gone = reply.send(outcome.clone());
        }
        outcome
    }

    /// What there is reason to note.
    fn tales(&self, lost: Tally, counted: Tally) -> Vec<Noted> {
        let lost = (!lost.is_empty()).then_some(Noted::Lost(lost));
        let counted = (!counted.is_empty()).then_some(Noted::Counted(counted));
        self.file.tales().into_iter().chain(lost).chain(counted).collect()
    }

    /// Adds a line for each note; how many.
    fn write_notes(&self, lines: &mut Vec<u8>, notes: impl Iterator<Item = Noted>) -> usize {
        let mut count = 0;
        for note in notes {
            let id = lock(&self.ids).next(self.clock.unix());
            if let Ok(line) = encode::note(&Note { schema: SCHEMA, id, time: id.time(), note }) {
                lines.extend(line);
                count += 1;
            }
        }
        count
    }

    /// Adds lines to the file, if there are any, and says how that went to whoever watches.
    pub(super) fn add(&mut self, lines: &[u8], count: usize) -> Result<(), AuditError> {
        if lines.is_empty() {
            return Ok(());
        }
        let head = if self.writing.is_some() && self.file.begins(lines.len()) {
            self.head(HeadCause::File)
        } else {
            None
        };
        let headed = head.as_ref().map(|head| [head.as_slice(), lines].concat());
        self.put(headed.as_deref().unwrap_or(lines), count + usize::from(head.is_some()))
    }

    pub(super) fn put(&mut self, lines: &[u8], count: usize) -> Result<(), AuditError> {
        let outcome = self.file.append(lines);
        self.state.attempted(&outcome);
        if outcome.is_ok() {
            self.is_open = true;
            self.state
                .written
                .fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        outcome
    }
}

/// Answers one append. Whoever asked may be gone; the record stays.
pub(super) fn answer(reply: Acknowledgement, outcome: Result<Recorded, AuditError>) {
    let _asker_may_be_gone = reply.send(outcome);
}
