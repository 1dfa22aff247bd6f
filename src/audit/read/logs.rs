//! [`Logs`]: the lines of several logs, as of several nodes, in the order of their times.

use std::rc::Rc;

use super::super::record::stamp::Timestamp;
use super::row::Row;
use super::sieve::Head;
use super::unreadable::Unreadable;
use super::{Next, Reader};

/// How a line is called that says which node writes what follows.
const HEAD: &[u8] = b"head";

/// Several logs that are read as one: the next line is always the one of the earliest time among the
/// next of each. Within one log lines stay as they stand, whatever its clock did.
#[derive(Debug)]
pub struct Logs {
    logs: Vec<OneLog>,
}

/// A line of one of several logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogText {
    /// The line as it stands in its file.
    pub text: String,
    /// The node that wrote it, where the log said so before.
    pub node: Option<Rc<str>>,
    /// Of which log, by its place among those that were given.
    pub log: usize,
}

/// What lies ahead of several logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextOf {
    /// A line.
    Line(LogText),
    /// One that is none, or where a file cannot be read further.
    Unreadable(Unreadable),
    /// Nothing yet: many lines were passed over. Ask again.
    Passed,
    /// The end of what is written so far.
    End,
}

#[derive(Debug)]
struct OneLog {
    reader: Reader,
    node: Option<Rc<str>>,
    next: Option<Result<LogText, Unreadable>>,
    /// The time of that line; of one that has none that of the one before it.
    time: Timestamp,
}

impl Logs {
    /// Reads these as one.
    #[must_use]
    pub fn new(readers: Vec<Reader>) -> Self {
        let log = |reader| OneLog { reader, node: None, next: None, time: Timestamp::default() };
        Self { logs: readers.into_iter().map(log).collect() }
    }

    /// The next line of all; [`NextOf::End`] at the end of each. Asked again later it goes on.
    pub fn next_text(&mut self) -> NextOf {
        let is_one = self.logs.len() == 1;
        for (number, log) in self.logs.iter_mut().enumerate() {
            if log.fill(number, is_one) {
                return NextOf::Passed;
            }
        }
        let waiting = self.logs.iter_mut().filter(|log| log.next.is_some());
        match waiting.min_by_key(|log| log.time).and_then(|log| log.next.take()) {
            Some(Ok(line)) => NextOf::Line(line),
            Some(Err(unreadable)) => NextOf::Unreadable(unreadable),
            None => NextOf::End,
        }
    }

    /// The reader of one of them, by its place among those that were given.
    #[must_use]
    pub fn reader(&self, log: usize) -> Option<&Reader> {
        self.logs.get(log).map(|log| &log.reader)
    }

    /// How many older files there are that are not read, since there are too many.
    #[must_use]
    pub fn files_left_out(&self) -> usize {
        self.logs.iter().map(|log| log.reader.files_left_out()).sum()
    }

    /// How many bytes of the files were read, and how many there were.
    pub fn progress(&mut self) -> (u64, u64) {
        self.logs.iter_mut().fold((0, 0), |(done, total), log| {
            let (read, all) = log.reader.progress();
            (done.saturating_add(read), total.saturating_add(all))
        })
    }
}

impl OneLog {
    /// Reads on, where nothing is waiting. The time of a line matters where there are others.
    /// Whether nothing came of it yet.
    fn fill(&mut self, number: usize, is_one: bool) -> bool {
        if self.next.is_some() {
            return false;
        }
        let read = match self.reader.next_text() {
            Ok(Next::Line(text)) => Ok(text),
            Ok(Next::Passed) => return true,
            Ok(Next::End) => return false,
            Err(unreadable) => Err(unreadable),
        };
        self.next = Some(read.map(|text| {
            let head = Head::of(text.as_bytes());
            if head.is_some_and(|head| head.kind == HEAD)
                && let Some(node) =
                    Row::parse(&text).ok().and_then(|row| Some(row.node.some()?.into()))
            {
                self.node = Some(node);
            }
            if !is_one {
                let time = head.map(|head| head.time);
                let of_row = || Row::parse(&text).ok().and_then(|row| row.when());
                self.time = time.or_else(of_row).unwrap_or(self.time);
            }
            LogText { text, node: self.node.clone(), log: number }
        }));
        false
    }
}
