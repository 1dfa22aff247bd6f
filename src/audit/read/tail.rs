//! [`Tail`]: the file that is being read, line by line, also while it grows.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, BufRead as _, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use super::input::{BUFFER, Input};
use super::unreadable::{LINE_MAX, Unreadable, Why};

/// The file that is being read.
#[derive(Debug)]
pub(super) struct Tail {
    name: PathBuf,
    input: Input,
    /// Where reading began, and how many lines lie before it.
    begin: u64,
    before: OnceCell<u64>,
    /// Lines read so far.
    lines: u64,
    /// Bytes of it read so far, the unfinished line included.
    offset: u64,
    /// The line that is being read, or was read last.
    line: Vec<u8>,
    /// That line is whole.
    is_whole: bool,
    /// The rest of the present line is not wanted.
    skipping: bool,
    /// Nothing is added to it any more.
    pub(super) finished: bool,
}

/// What one attempt to read a line came to.
pub(super) enum Step {
    /// [`Tail::line`] has it.
    Line,
    /// It is too long.
    TooLong,
    /// The end of what is written so far.
    End,
}

impl Tail {
    pub(super) fn new(name: PathBuf, file: File) -> io::Result<Self> {
        Ok(Self::of(name, Input::of_file(file)?))
    }

    /// Begins at this offset, which must be the start of a line of a file that is not packed.
    pub(super) fn at(name: PathBuf, file: File, begin: u64) -> io::Result<Self> {
        let mut tail = Self::new(name, file)?;
        if let Some(file) = tail.input.growing() {
            file.seek(SeekFrom::Start(begin))?;
            (tail.begin, tail.offset) = (begin, begin);
        }
        Ok(tail)
    }

    pub(super) fn of(name: PathBuf, input: Input) -> Self {
        // What is not written by the log any more ends where it ends.
        let finished = input.plain().is_none();
        Self {
            name,
            input,
            begin: 0,
            before: OnceCell::new(),
            lines: 0,
            offset: 0,
            line: Vec::new(),
            is_whole: false,
            skipping: false,
            finished,
        }
    }

    /// The file as a log writes it, by which those that follow it are found.
    pub(super) fn file(&self) -> Option<&File> {
        self.input.plain()
    }

    /// The line that was read last, without its newline.
    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }

    /// The same, for the reader to keep.
    pub(super) fn take_line(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.line)
    }

    /// Whether a line was begun and has no end.
    pub(super) fn is_torn(&self) -> bool {
        !self.is_whole && !self.line.is_empty()
    }

    /// How many bytes of the file were read.
    pub(super) fn place(&mut self) -> u64 {
        self.input.packed_place().unwrap_or(self.offset)
    }

    /// Reads to the end of a line, or of the file.
    pub(super) fn step(&mut self) -> io::Result<Step> {
        if std::mem::take(&mut self.is_whole) {
            self.line.clear();
        }
        loop {
            let room = LINE_MAX.saturating_sub(self.line.len());
            let most = u64::try_from(room).unwrap_or(0);
            let read = self.input.bytes().take(most).read_until(b'\n', &mut self.line)?;
            self.offset += u64::try_from(read).unwrap_or(0);
            if self.line.last() == Some(&b'\n') {
                self.lines += 1;
                self.line.pop();
                if !std::mem::take(&mut self.skipping) {
                    self.is_whole = true;
                    return Ok(Step::Line);
                }
                self.line.clear();
            } else if self.line.len() >= LINE_MAX {
                self.line.clear();
                if !std::mem::replace(&mut self.skipping, true) {
                    return Ok(Step::TooLong);
                }
            } else if read == 0 {
                return Ok(Step::End);
            }
        }
    }

    /// Forgets an unfinished line, to read it again from its start: a writer that failed in it
    /// takes it out and may put another there. And goes back to where the file ends, should someone
    /// have cut it further.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        let Some(file) = self.input.growing() else { return Ok(()) };
        let unfinished = u64::try_from(self.line.len()).unwrap_or(0);
        let start = self.offset.saturating_sub(unfinished);
        self.offset = file.get_ref().metadata()?.len().min(start);
        self.line.clear();
        file.seek(SeekFrom::Start(self.offset)).map(|_| ())
    }

    pub(super) fn skip_to_end(&mut self) -> io::Result<()> {
        let Some(file) = self.input.growing() else { return Ok(()) };
        self.offset = file.seek(SeekFrom::End(0))?;
        (self.begin, self.before, self.lines) = (self.offset, OnceCell::new(), 0);
        (self.is_whole, self.skipping) = (false, false);
        self.line.clear();
        Ok(())
    }

    /// That reading stopped.
    pub(super) fn stopped(&self, error: &io::Error) -> Unreadable {
        self.after(Why::stopped(error, self.input.plain().is_none()))
    }

    /// The line that was read last.
    pub(super) fn last(&self, why: Why) -> Unreadable {
        self.locate(self.lines, why)
    }

    /// The line after those that were read.
    pub(super) fn after(&self, why: Why) -> Unreadable {
        self.locate(self.lines + 1, why)
    }

    fn locate(&self, line: u64, why: Why) -> Unreadable {
        let counted = || {
            let file = self.input.plain();
            file.map_or(0, |file| lines_before(file, self.begin).unwrap_or(0))
        };
        let before = *self.before.get_or_init(counted);
        Unreadable { file: self.name.clone(), line: before + line, why }
    }
}

/// How many lines end before this offset. Only asked where a line of a file that was begun in its
/// middle is no good.
fn lines_before(file: &File, end: u64) -> io::Result<u64> {
    let (mut at, mut lines, mut block) = (0, 0, vec![0; BUFFER]);
    while at < end {
        let most = usize::try_from(end - at).unwrap_or(BUFFER).min(BUFFER);
        let read = file.read_at(block.get_mut(..most).unwrap_or_default(), at)?;
        if read == 0 {
            break;
        }
        let newlines = block.iter().take(read).filter(|byte| **byte == b'\n').count();
        lines += u64::try_from(newlines).unwrap_or(0);
        at += u64::try_from(read).unwrap_or(0);
    }
    Ok(lines)
}
