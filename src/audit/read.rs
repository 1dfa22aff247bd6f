//! [`Reader`] goes through the files of a log from the oldest line to the newest and, when asked
//! again, on to what was added since; [`Reader::back_up`] begins near the end instead, [`about`]
//! looks for one decision, [`Logs`] goes through several logs in the order of their times, and
//! [`Filter`] says which lines are wanted.
//!
//! A line is read twice over: as a [`Row`], by the names of its fields, which takes every kind of
//! line that there will ever be; and as a [`Line`] with an [`Entry`](super::Entry) of our own types. Lines that
//! cannot be read are reported in their place, never skipped in silence. No file is held in memory:
//! at most one line of it. Reading needs no lock and disturbs no writer.

mod back;
mod files;
mod filter;
mod find;
mod input;
mod line;
mod logs;
mod row;
mod sieve;
mod tail;
mod text;
mod unreadable;

use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub use back::Before;
pub use filter::Filter;
pub use find::about;
pub use line::{Line, UnknownKinds};
pub use logs::{LogText, Logs, NextOf};
pub use row::{CertificateRow, LogEntryRow, PodRow, ReasonRow, Reports, Row, SignerRow};
pub use text::Text;
pub use unreadable::{Unreadable, Why};

use super::error::{Action, AuditError};
pub(super) use files::names;
use files::{NamedFile, files};
use input::Input;
use sieve::Sieve;
use tail::{Step, Tail};

/// Lines that are passed over before the caller is asked back, to show how far reading is: they take
/// some milliseconds.
const PASSED_ONCE: u32 = 20_000;

/// The lines of a log, oldest first.
///
/// [`next`](Iterator::next) answers `None` at the end of the newest file; asked again later it goes
/// on with what was added meanwhile, through any number of rotations, as far as the files are still
/// there. Lines of kinds that this program has no type for it counts; [`next_text`](Self::next_text)
/// hands out every line.
#[derive(Debug)]
pub struct Reader {
    /// None of a pipe, which no file follows.
    path: Option<PathBuf>,
    ahead: VecDeque<NamedFile>,
    tail: Option<Tail>,
    sieve: Sieve,
    unknown: UnknownKinds,
    left_out: usize,
    /// Bytes of the files that were left behind, and of all when it was opened.
    done: u64,
    total: u64,
}

/// What lies ahead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A line.
    Line(String),
    /// Nothing yet: many lines were passed over that are not wanted. Ask again.
    Passed,
    /// The end of what is written so far.
    End,
}

enum Advance {
    Line(Vec<u8>),
    Passed,
    End,
}

impl Reader {
    /// Opens the log at `path` with its older files, those that were packed (`.gz`) among them.
    ///
    /// # Errors
    /// [`AuditError::Io`] when there is no such file, or one of them cannot be opened.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        let failed = |error: io::Error| AuditError::io(Action::Read, path, &error);
        let files::LogFiles { files: ahead, left_out } = files(path, None).map_err(failed)?;
        if ahead.is_empty() {
            return Err(failed(io::ErrorKind::NotFound.into()));
        }
        let sizes = ahead.iter().filter_map(|(_, file)| file.metadata().ok());
        let total = sizes.map(|is| is.len()).sum();
        let (tail, sieve, unknown) = (None, Sieve::default(), UnknownKinds::default());
        Ok(Self { path: Some(path.into()), ahead, tail, sieve, unknown, left_out, done: 0, total })
    }

    /// Reads a pipe; `name` is what it is called in what is said of its lines.
    ///
    /// # Errors
    /// [`AuditError::Io`] when it cannot be read.
    pub fn of_pipe(name: &str, pipe: impl Read + 'static) -> Result<Self, AuditError> {
        let failed = |error: io::Error| AuditError::io(Action::Read, name, &error);
        let input = Input::of_pipe(pipe).map_err(failed)?;
        let tail = Some(Tail::of(name.into(), input));
        let (sieve, unknown) = (Sieve::default(), UnknownKinds::default());
        let (path, ahead, left_out) = (None, VecDeque::new(), 0);
        Ok(Self { path, ahead, tail, sieve, unknown, left_out, done: 0, total: 0 })
    }

    /// Leaves out lines that the log wrote and that this filter surely does not want, unread. What
    /// is left may still not be wanted: ask [`Filter::wants`].
    #[must_use]
    pub fn sifting(mut self, filter: &Filter) -> Self {
        self.sieve = Sieve::of(filter);
        self
    }

    /// Lines of kinds that there is no type for, which [`next`](Iterator::next) passed over.
    #[must_use]
    pub const fn unknown(&self) -> &UnknownKinds {
        &self.unknown
    }

    /// How many older files there are that are not read, since there are too many.
    #[must_use]
    pub const fn files_left_out(&self) -> usize {
        self.left_out
    }

    /// How many bytes of the files were read, and how many there were when it was opened; none of a
    /// pipe.
    pub fn progress(&mut self) -> (u64, u64) {
        let read = self.tail.as_mut().filter(|_| self.path.is_some()).map_or(0, Tail::place);
        (self.done.saturating_add(read), self.total)
    }

    /// Goes to the end of the newest file: only what is added from now on will be read.
    ///
    /// # Errors
    /// [`AuditError::Io`] when the file cannot be read.
    pub fn skip_to_end(&mut self) -> Result<(), AuditError> {
        let path = self.path.clone().unwrap_or_default();
        let failed = |error: io::Error| AuditError::io(Action::Read, path, &error);
        let mut go = || {
            if let Some((name, file)) = self.ahead.pop_back() {
                self.ahead.clear();
                self.tail = Some(Tail::new(name, file)?);
            }
            self.tail.as_mut().map_or(Ok(()), Tail::skip_to_end)
        };
        go().map_err(failed)
    }

    /// The next line as it stands in its file, of whatever kind.
    ///
    /// # Errors
    /// [`Unreadable`] for a line that is no text, or where the file cannot be read further.
    pub fn next_text(&mut self) -> Result<Next, Unreadable> {
        Ok(match self.advance()? {
            Advance::Line(bytes) => {
                let text = String::from_utf8(bytes).map_err(|error| error.utf8_error().to_string());
                Next::Line(text.map_err(|why| self.unreadable(Why::Malformed(why)))?)
            }
            Advance::Passed => Next::Passed,
            Advance::End => Next::End,
        })
    }

    /// That the line which was read last is none of a log.
    #[must_use]
    pub fn unreadable(&self, why: Why) -> Unreadable {
        let nowhere = || {
            let file = self.path.clone().unwrap_or_default();
            Unreadable { file, line: 0, why: why.clone() }
        };
        self.tail.as_ref().map_or_else(nowhere, |tail| tail.last(why.clone()))
    }

    /// The next line, or the next file's first.
    fn advance(&mut self) -> Result<Advance, Unreadable> {
        let mut passed = 0;
        loop {
            let Some(tail) = &mut self.tail else {
                let Some((name, file)) = self.ahead.pop_front() else { return Ok(Advance::End) };
                let failed = |error: io::Error| Unreadable {
                    file: name.clone(),
                    line: 0,
                    why: Why::Io(error.kind()),
                };
                self.tail = Some(Tail::new(name.clone(), file).map_err(failed)?);
                continue;
            };
            match tail.step() {
                Ok(Step::Line) if self.sieve.may_pass(tail.line()) => {
                    return Ok(Advance::Line(tail.take_line()));
                }
                Ok(Step::Line) => {
                    passed += 1;
                    if passed == PASSED_ONCE {
                        return Ok(Advance::Passed);
                    }
                }
                Ok(Step::TooLong) => return Err(tail.after(Why::TooLong)),
                Ok(Step::End) if tail.finished || !self.ahead.is_empty() => {
                    let torn = tail.is_torn().then(|| tail.after(Why::Torn));
                    self.leave();
                    torn.map_or(Ok(()), Err)?;
                }
                Ok(Step::End) => {
                    let known = tail.file().zip(self.path.as_deref());
                    let successors = known.map(|(file, path)| files(path, Some(file)));
                    let successors = successors.unwrap_or_else(|| Ok(files::LogFiles::default()));
                    let successors = successors.map_err(|error| tail.stopped(&error))?.files;
                    if successors.is_empty() {
                        tail.wait().map_err(|error| tail.stopped(&error))?;
                        return Ok(Advance::End);
                    }
                    // A last line may have come between its end being seen and its name being given
                    // to another: read on, and only then leave it.
                    tail.finished = true;
                    self.ahead = successors;
                }
                Err(error) => {
                    // What follows in this file is out of reach; the others are not.
                    let stopped = tail.stopped(&error);
                    self.leave();
                    return Err(stopped);
                }
            }
        }
    }

    fn leave(&mut self) {
        self.done = self.done.saturating_add(self.tail.as_mut().map_or(0, Tail::place));
        self.tail = None;
    }
}

impl Iterator for Reader {
    type Item = Result<Line, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let bytes = match self.advance() {
                Ok(Advance::Line(bytes)) => bytes,
                Ok(Advance::Passed) => continue,
                Ok(Advance::End) => return None,
                Err(unreadable) => return Some(Err(unreadable)),
            };
            match line::parse(bytes, &mut self.unknown) {
                Ok(Some(line)) => return Some(Ok(line)),
                Ok(None) => {}
                Err(why) => return Some(Err(self.unreadable(why))),
            }
        }
    }
}

/// The files of the log at `path`, oldest first, open; those that somebody packed are left out.
///
/// # Errors
/// What the system says of one.
pub(crate) fn opened(path: &Path) -> io::Result<Vec<NamedFile>> {
    let is_packed = |name: &Path| name.extension().is_some_and(|ending| ending == "gz");
    let found = files(path, None)?.files;
    Ok(found.into_iter().filter(|(name, _)| !is_packed(name)).collect())
}
