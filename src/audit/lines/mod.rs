//! Lines of files, as bytes, whoever wrote them: [`LogLines`] goes through them, [`start_of_last_line`]
//! finds the one without an end, and [`open_part`] opens a file to read.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::libc;

pub(in crate::audit) mod lock;

/// How far back at a time the last newline is looked for.
const STEP: u64 = 64 << 10;
/// Bytes of a line at most: twice what is ever written. What is longer is no line of a log.
const LINE_MAX: u64 = 128 << 10;
/// Bytes that are read at once.
const BUFFER: usize = 1 << 20;

/// The lines of a file.
#[derive(Debug)]
pub(in crate::audit) struct LogLines {
    file: BufReader<File>,
    line: Vec<u8>,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::audit) enum LineRead<'l> {
    /// A line, without its newline.
    Line(&'l [u8]),
    /// One that is too long; it is skipped.
    TooLong,
    /// The last one, which has no end: so many bytes.
    Torn(usize),
}

impl LogLines {
    /// Opens the file.
    pub(in crate::audit) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::of(open_part(path)?))
    }

    /// The lines of this file, from where it stands on.
    pub(in crate::audit) fn of(file: File) -> Self {
        Self { file: BufReader::with_capacity(BUFFER, file), line: Vec::new() }
    }

    /// The next line, and how many bytes of the file it takes.
    pub(in crate::audit) fn step(&mut self) -> io::Result<Option<(LineRead<'_>, u64)>> {
        self.line.clear();
        let mut bytes = self.fill()?;
        if bytes == 0 {
            return Ok(None);
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
            return Ok(Some((LineRead::Line(&self.line), bytes)));
        }
        if bytes < LINE_MAX {
            return Ok(Some((LineRead::Torn(self.line.len()), bytes)));
        }
        while self.line.last() != Some(&b'\n') {
            self.line.clear();
            match self.fill()? {
                0 => break,
                more => bytes += more,
            }
        }
        Ok(Some((LineRead::TooLong, bytes)))
    }

    fn fill(&mut self) -> io::Result<u64> {
        let read = (&mut self.file).take(LINE_MAX).read_until(b'\n', &mut self.line)?;
        Ok(u64::try_from(read).unwrap_or(u64::MAX))
    }
}

/// Opens a file of a log to read: no link is followed, and nothing that is no file is waited for, as a
/// pipe that somebody put there.
///
/// # Errors
/// The system's; `InvalidInput` for what is no file.
pub(in crate::audit) fn open_part(path: &Path) -> io::Result<File> {
    let mut how = OpenOptions::new();
    how.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = how.open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// The path with `.suffix` added to its file name.
pub(in crate::audit) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// Where the bytes after the last newline begin; the length when there are none.
pub(in crate::audit) fn start_of_last_line(file: &mut File, length: u64) -> io::Result<u64> {
    let mut end = length;
    while end > 0 {
        let begin = end.saturating_sub(STEP);
        let mut step = Vec::new();
        file.seek(SeekFrom::Start(begin))?;
        file.take(end - begin).read_to_end(&mut step)?;
        if let Some(newline) = step.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + u64::try_from(newline).unwrap_or(0) + 1);
        }
        end = begin;
    }
    Ok(0)
}

/// What tells files apart, whatever they are called.
pub(in crate::audit) fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
