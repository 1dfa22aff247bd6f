//! Reading from the end: [`Reader::back_up`] goes back over as many lines as are wanted, and the
//! reader goes on from there.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::super::error::{Action, AuditError};
use super::Reader;
use super::filter::Filter;
use super::input::{BUFFER, is_packed};
use super::row::Row;
use super::sieve::{Head, Sieve};
use super::tail::Tail;
use super::unreadable::LINE_MAX;

/// Bytes over which lines before the wanted ones are counted: it takes some ten milliseconds.
const COUNT_MAX: usize = 16 << 20;

/// What lies before the lines that were gone back over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Before {
    /// How many more of the kind were counted.
    pub lines: u64,
    /// Further back nobody looked.
    pub there_may_be_more: bool,
}

/// A line, met from the end of its file.
struct Met {
    offset: u64,
    /// Its bytes without the newline; none of a line that is too long.
    bytes: Option<Vec<u8>>,
    has_end: bool,
}

/// The lines of a file from the last to the first.
struct Backwards<'f> {
    file: &'f File,
    /// Where in the file the buffer begins. It ends with the end of the line that is met next.
    start: u64,
    buffer: Vec<u8>,
    /// Bytes at the end of the buffer that hold no newline but the last.
    searched: usize,
    is_too_long: bool,
}

impl Reader {
    /// Goes to where the last `count` lines begin that this filter wants or that cannot be read, and
    /// counts those before them. For a reader that was just opened. Files that are packed are not
    /// gone back over.
    ///
    /// # Errors
    /// [`AuditError::Io`] when a file cannot be read.
    pub fn back_up(&mut self, count: usize, filter: &Filter) -> Result<Before, AuditError> {
        let path = self.path.clone().unwrap_or_default();
        self.go_back(count, filter).map_err(|error| AuditError::io(Action::Read, path, &error))
    }

    fn go_back(&mut self, count: usize, filter: &Filter) -> io::Result<Before> {
        let sieve = Sieve::of(filter);
        let is_all = *filter == Filter::default();
        let (mut found, mut begin) = (0, None);
        let (mut before, mut counted) = (Before::default(), 0);
        let newest = self.ahead.len().saturating_sub(1);
        'files: for (number, (_, file)) in self.ahead.iter().enumerate().rev() {
            if is_packed(file)? {
                before.there_may_be_more = true;
                break;
            }
            let mut lines = Backwards::of(file)?;
            while let Some(met) = lines.step()? {
                // Of the newest file it is still being written.
                let is_unfinished = !met.has_end && number == newest;
                let size = met.bytes.as_ref().map_or(LINE_MAX, Vec::len);
                if !is_unfinished && is_wanted(met.bytes, met.has_end, (&sieve, is_all), filter) {
                    if found == count {
                        before.lines += 1;
                    } else {
                        found += 1;
                        begin = Some((number, met.offset));
                    }
                }
                counted += if found == count { size } else { 0 };
                if counted > COUNT_MAX {
                    before.there_may_be_more = true;
                    break 'files;
                }
            }
        }
        let Some((number, offset)) = begin else {
            // Nothing of what is there is wanted: on from the end.
            if let Some((name, file)) = self.ahead.pop_back() {
                self.ahead.clear();
                self.tail = Some(Tail::new(name, file)?);
                self.tail.as_mut().map_or(Ok(()), Tail::skip_to_end)?;
            }
            return Ok(before);
        };
        self.ahead.drain(..number);
        if let Some((name, file)) = self.ahead.pop_front() {
            self.tail = Some(Tail::at(name, file, offset)?);
        }
        Ok(before)
    }
}

fn is_wanted(
    bytes: Option<Vec<u8>>,
    has_end: bool,
    (sieve, is_all): (&Sieve, bool),
    filter: &Filter,
) -> bool {
    let Some(bytes) = bytes.filter(|_| has_end) else { return true };
    if is_all && Head::of(&bytes).is_some_and(|head| head.kind == b"decision") {
        return true;
    }
    sieve.may_pass(&bytes)
        && str::from_utf8(&bytes)
            .map_or(true, |text| Row::parse(text).map_or(true, |row| filter.wants(&row)))
}

impl<'f> Backwards<'f> {
    fn of(file: &'f File) -> io::Result<Self> {
        let start = file.metadata()?.len();
        Ok(Self { file, start, buffer: Vec::new(), searched: 0, is_too_long: false })
    }

    /// The line before the one that was met last.
    fn step(&mut self) -> io::Result<Option<Met>> {
        loop {
            let unsearched = self.buffer.len().saturating_sub(self.searched.max(1));
            let newline = self.buffer.iter().take(unsearched).rposition(|byte| *byte == b'\n');
            if let Some(newline) = newline {
                let line = self.buffer.split_off(newline + 1);
                return Ok(Some(self.met(line, newline + 1)));
            }
            self.searched = self.buffer.len();
            if self.start == 0 {
                let line = std::mem::take(&mut self.buffer);
                let is_end = line.is_empty();
                return Ok((!is_end).then(|| self.met(line, 0)));
            }
            if self.buffer.len() > LINE_MAX {
                // What is left of it is where it ends.
                self.is_too_long = true;
                self.buffer.drain(..self.buffer.len() - 1);
                self.searched = 1;
            }
            self.read_before()?;
        }
    }

    fn met(&mut self, mut line: Vec<u8>, at: usize) -> Met {
        let has_end = line.pop_if(|byte| *byte == b'\n').is_some();
        let is_too_long = std::mem::take(&mut self.is_too_long) || line.len() >= LINE_MAX;
        self.searched = 0;
        let offset = self.start + u64::try_from(at).unwrap_or(0);
        Met { offset, bytes: (!is_too_long).then_some(line), has_end }
    }

    fn read_before(&mut self) -> io::Result<()> {
        let size = usize::try_from(self.start).unwrap_or(BUFFER).min(BUFFER);
        let mut block = vec![0; size];
        self.start -= u64::try_from(size).unwrap_or(0);
        self.file.read_exact_at(&mut block, self.start)?;
        block.append(&mut self.buffer);
        self.buffer = block;
        Ok(())
    }
}
