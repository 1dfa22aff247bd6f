//! [`Queue`]: records on their way to the thread that writes them, in order, and how many may wait
//! there.
//!
//! A disk that does not answer fills it. What may wait is bounded in number and in bytes, and
//! refusals, which anyone can cause, may take half of it (attack E11).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

use serde_json::Value;
use tokio::sync::oneshot;

use super::error::AuditError;
use super::record::Recorded;
use super::record::{CallOutcome, Finding, Noted, Record, Writing};

/// Bytes of records that may wait, about. A record takes some 4 KiB in memory, so this is four
/// times what 1024 of them need; one with the longest report takes 200 KiB.
const BYTES_MAX: usize = 16 << 20;
/// What a value of JSON takes beside its text.
const NODE: usize = 64;

/// Where the answer to one append goes. The asker may be gone.
pub(super) type Acknowledgement = oneshot::Sender<Result<Recorded, AuditError>>;

/// What the handles ask of the thread.
pub(super) enum Message {
    /// Record this, and say when it is done.
    Append(Box<Queued>),
    /// Record this finding, and say when it is done.
    Find(Box<QueuedFinding>),
    /// Write this behind what is written next; nobody waits for it.
    Tell(Box<QueuedOutcome>),
    /// From now on this is said at the head of what follows.
    Head(Box<Writing>),
    /// Write this about the log itself, and say when it is done.
    Note(Noted, oneshot::Sender<Result<(), AuditError>>),
    /// Write what is left, and end.
    Close(oneshot::Sender<Result<(), AuditError>>),
}

/// A record that waits.
pub(super) struct Queued {
    pub(super) record: Record,
    pub(super) reply: Acknowledgement,
    /// Its place, until it is answered.
    pub(super) seat: QueueSeat,
}

/// A finding that waits.
pub(super) struct QueuedFinding {
    pub(super) finding: Finding,
    pub(super) reply: Acknowledgement,
    /// Its place, until it is answered.
    pub(super) seat: QueueSeat,
}

/// An outcome that waits.
pub(super) struct QueuedOutcome {
    pub(super) outcome: CallOutcome,
    /// Its place, until it is written.
    pub(super) seat: QueueSeat,
}

/// The end of the queue where records go in.
#[derive(Debug)]
pub(super) struct Queue {
    sender: Sender<Message>,
    room: Arc<Room>,
    limit: usize,
}

/// What waits.
#[derive(Debug, Default)]
struct Room {
    records: AtomicUsize,
    refusals: AtomicUsize,
    bytes: AtomicUsize,
}

/// A record's place in the queue, given up when this is dropped.
#[derive(Debug)]
pub(super) struct QueueSeat {
    room: Arc<Room>,
    bytes: usize,
    is_refusal: bool,
}

impl Queue {
    /// A queue in which at most `limit` records wait, and its other end.
    pub(super) fn new(limit: usize) -> (Self, Receiver<Message>) {
        let (sender, receiver) = mpsc::channel();
        (Self { sender, room: Arc::default(), limit }, receiver)
    }

    /// Puts a record in its place; where its answer will come.
    ///
    /// # Errors
    /// [`AuditError::Overloaded`] when as much waits as may, [`AuditError::Closed`] when nobody
    /// writes any more.
    pub(super) fn push(
        &self,
        record: Record,
    ) -> Result<oneshot::Receiver<Result<Recorded, AuditError>>, AuditError> {
        // What takes an admission back belongs to it: without it that record would be false.
        let is_refusal = !record.was_let_through() && record.supersedes.is_none();
        let seat = self.seat(is_refusal, weight(&record))?;
        let (reply, answer) = oneshot::channel();
        let queued = Box::new(Queued { record, reply, seat });
        self.sender.send(Message::Append(queued)).map_err(|_| AuditError::Closed)?;
        Ok(answer)
    }

    /// Puts a finding in its place, which is one of a refusal; where its answer will come.
    ///
    /// # Errors
    /// As of [`push`](Self::push).
    pub(super) fn push_finding(
        &self,
        finding: Finding,
    ) -> Result<oneshot::Receiver<Result<Recorded, AuditError>>, AuditError> {
        let seat = self.seat(true, size_of::<Finding>().saturating_add(finding.text_bytes()))?;
        let (reply, answer) = oneshot::channel();
        let queued = Box::new(QueuedFinding { finding, reply, seat });
        self.sender.send(Message::Find(queued)).map_err(|_| AuditError::Closed)?;
        Ok(answer)
    }

    /// Puts an outcome in its place, which is one of a refusal: a decision goes before it.
    ///
    /// # Errors
    /// As of [`push`](Self::push).
    pub(super) fn push_outcome(&self, outcome: CallOutcome) -> Result<(), AuditError> {
        let bytes = size_of::<CallOutcome>().saturating_add(outcome.text_bytes());
        let seat = self.seat(true, bytes)?;
        let queued = Box::new(QueuedOutcome { outcome, seat });
        self.sender.send(Message::Tell(queued)).map_err(|_| AuditError::Closed)
    }

    /// Says what stands at the head of what follows.
    pub(super) fn push_head(&self, writing: Writing) -> Result<(), AuditError> {
        self.sender.send(Message::Head(Box::new(writing))).map_err(|_| AuditError::Closed)
    }

    /// Asks the thread for something else.
    pub(super) fn ask(
        &self,
        message: impl FnOnce(oneshot::Sender<Result<(), AuditError>>) -> Message,
    ) -> Result<oneshot::Receiver<Result<(), AuditError>>, AuditError> {
        let (reply, answer) = oneshot::channel();
        self.sender.send(message(reply)).map_err(|_| AuditError::Closed)?;
        Ok(answer)
    }

    /// How many records wait.
    pub(super) fn waiting(&self) -> usize {
        self.room.records.load(Ordering::Relaxed)
    }

    fn seat(&self, is_refusal: bool, bytes: usize) -> Result<QueueSeat, AuditError> {
        let seat = QueueSeat { room: Arc::clone(&self.room), bytes, is_refusal };
        let records = seat.room.records.fetch_add(1, Ordering::Relaxed);
        let refusals = seat.room.refusals.fetch_add(usize::from(is_refusal), Ordering::Relaxed);
        let bytes = seat.room.bytes.fetch_add(seat.bytes, Ordering::Relaxed);
        let (most, most_bytes) = if is_refusal {
            (self.limit.div_ceil(2), BYTES_MAX / 2)
        } else {
            (self.limit, BYTES_MAX)
        };
        let fits = records < self.limit
            && (!is_refusal || refusals < most)
            && bytes.saturating_add(seat.bytes) <= most_bytes;
        // Dropping the seat takes back what was added above.
        fits.then_some(seat).ok_or(AuditError::Overloaded { limit: self.limit })
    }
}

impl Drop for QueueSeat {
    fn drop(&mut self) {
        self.room.records.fetch_sub(1, Ordering::Relaxed);
        self.room.refusals.fetch_sub(usize::from(self.is_refusal), Ordering::Relaxed);
        self.room.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What a record takes in memory, about: its texts and its report.
fn weight(record: &Record) -> usize {
    let texts = [
        Some(&record.reference),
        record.image.as_ref(),
        record.container.as_ref(),
        record.container_id.as_ref(),
        record.pod.namespace.as_ref(),
        record.pod.name.as_ref(),
        record.pod.uid.as_ref(),
        Some(&record.reason.message),
    ];
    let texts: usize = texts.into_iter().flatten().map(String::len).sum();
    size_of::<Record>().saturating_add(texts).saturating_add(weight_of(&record.policies))
}

/// The depth of a report is fixed by its types.
fn weight_of(value: &Value) -> usize {
    let inner: usize = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(weight_of).sum(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| name.len() + weight_of(value)).sum()
        }
    };
    inner.saturating_add(NODE)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::record::stamp::Ids;
    use super::super::record::verdict::Verdict;
    use super::super::record::{Call, Reason};
    use super::*;

    fn record(verdict: Verdict) -> Record {
        let id = Ids::new(1).next(Duration::from_secs(1));
        Record::new(id, Call::PullImage, verdict, Reason::new("code", "text"))
    }

    #[test]
    fn attack_e11_refusals_that_wait_leave_half_of_the_room() {
        let (queue, inbox) = Queue::new(8);
        let waits = |verdict| queue.push(record(verdict)).map(drop);
        let full = Err(AuditError::Overloaded { limit: 8 });
        (0..4).for_each(|_| waits(Verdict::Refused).unwrap());
        for verdict in [Verdict::Refused, Verdict::Unable, Verdict::Unreachable] {
            assert_eq!(waits(verdict), full);
        }
        (0..3).for_each(|_| waits(Verdict::Admitted).unwrap());
        let back =
            Record { supersedes: Some(record(Verdict::Admitted).id), ..record(Verdict::Refused) };
        assert!(queue.push(back).is_ok(), "what takes an admission back goes with the admissions");
        assert_eq!(waits(Verdict::Admitted), full);
        assert_eq!(queue.waiting(), 8);
        drop(inbox.recv().unwrap());
        assert_eq!(queue.waiting(), 7);
        waits(Verdict::Refused).unwrap();
        drop(inbox);
        assert_eq!(
            waits(Verdict::Admitted),
            Err(AuditError::Closed),
            "what waited went with the other end"
        );
    }

    #[test]
    fn attack_d1_what_waits_is_bounded_in_bytes() {
        let (queue, inbox) = Queue::new(100_000);
        let large =
            |verdict| Record { policies: Value::String("x".repeat(1 << 20)), ..record(verdict) };
        let fit = |verdict| (0..100).take_while(|_| queue.push(large(verdict)).is_ok()).count();
        assert_eq!(fit(Verdict::Refused), 7);
        assert_eq!(fit(Verdict::Warned), 8);
        while inbox.try_recv().is_ok() {}
        assert_eq!(queue.waiting(), 0);
        assert_eq!(fit(Verdict::Admitted), 15);
    }
}
