//! [`LogLines`]: the lines of the log from a place on, in batches, and the place behind each batch.
//!
//! Only lines that have their end are read, so that one which is being written waits. Lines are not
//! understood here: what a newer program or somebody else wrote is sent as well.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::cursor::ExportCursor;
use crate::audit::read;

/// Most lines of a batch: collectors take thousands, and one that refuses some has to be asked again
/// for fewer.
const LINES_MAX: usize = 512;
/// Most bytes that are read for one; collectors take 4 MiB and more.
const BYTES_MAX: usize = 1 << 20;
/// As much of a line without an end as is sent.
const SHOWN: usize = 4 << 10;

/// A line, without its newline. Bytes that are no UTF-8 are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// What it says.
    pub text: String,
}

/// The lines of a log that come next.
#[derive(Debug)]
pub struct LogLines {
    path: PathBuf,
    cursor: Option<ExportCursor>,
}

/// Something about the files that should not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unforeseen {
    /// The file that was being sent is gone: what was left of it was removed before it was sent.
    Gone,
    /// What was sent of the file is not what it holds now. It is sent from its beginning.
    Changed(PathBuf),
    /// A line of a mebibyte or more, which no gate writes: its beginning is sent.
    TooLong(PathBuf),
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Batch {
    pub(super) lines: Vec<LogLine>,
    pub(super) unforeseen: Vec<Unforeseen>,
    /// The place behind them; none where nothing was read.
    pub(super) cursor: Option<ExportCursor>,
}

impl LogLines {
    /// Of the log at this path, from a place on; from its oldest line where there is none.
    #[must_use]
    pub fn new(path: &Path, cursor: Option<ExportCursor>) -> Self {
        Self { path: path.to_owned(), cursor }
    }

    /// Says that a batch was sent.
    pub(super) fn advance(&mut self, cursor: ExportCursor) {
        self.cursor = Some(cursor);
    }

    /// The lines that come next; none while there are no more. The same again until they were sent.
    ///
    /// # Errors
    /// What the system says of a file.
    pub(super) fn next_batch(&mut self) -> io::Result<Batch> {
        let files = match read::opened(&self.path) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Batch::default()),
            Err(error) => return Err(error),
        };
        let mut batch = Batch::default();
        let (begin, mut offset) = self.resume(&files, &mut batch)?;
        let last = files.len().saturating_sub(1);
        for (number, (name, file)) in files.iter().enumerate().skip(begin) {
            let is_last = number == last;
            let piece = read_at(file, offset)?;
            let taken = lines_of(&piece, is_last, &mut batch.lines);
            if taken.is_too_long {
                batch.unforeseen.push(Unforeseen::TooLong(name.clone()));
            }
            if taken.bytes > 0 {
                batch.cursor = Some(cursor(file, offset, &piece, taken)?);
                return Ok(batch);
            }
            offset = 0;
        }
        Ok(batch)
    }

    /// The file to go on with, by number, and the place in it.
    fn resume(&mut self, files: &[(PathBuf, File)], batch: &mut Batch) -> io::Result<(usize, u64)> {
        let Some(cursor) = self.cursor.clone() else { return Ok((0, 0)) };
        for (number, (name, file)) in files.iter().enumerate() {
            let metadata = file.metadata()?;
            if (metadata.dev(), metadata.ino()) != (cursor.device, cursor.inode) {
                continue;
            }
            // The log takes back what it wrote when the disk did not have it, and puts something else
            // there.
            if is_line(file, &cursor)? {
                return Ok((number, cursor.offset));
            }
            batch.unforeseen.push(Unforeseen::Changed(name.clone()));
            // It is told once.
            self.cursor = Some(ExportCursor { offset: 0, line_bytes: 0, ..cursor });
            return Ok((number, 0));
        }
        if !files.is_empty() {
            batch.unforeseen.push(Unforeseen::Gone);
            self.cursor = None;
        }
        Ok((0, 0))
    }
}

/// What was taken of a piece of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PieceTaken {
    bytes: usize,
    last_line: usize,
    is_too_long: bool,
}

/// Takes the lines of a piece that have their end; of a file to which nothing is added any more the
/// rest as well.
fn lines_of(piece: &[u8], is_last: bool, lines: &mut Vec<LogLine>) -> PieceTaken {
    let mut taken = PieceTaken { bytes: 0, last_line: 0, is_too_long: false };
    let whole = piece.split_inclusive(|byte| *byte == b'\n').take(LINES_MAX);
    for line in whole {
        if !line.ends_with(b"\n") {
            break;
        }
        lines.push(LogLine { text: text(line) });
        taken.bytes = taken.bytes.saturating_add(line.len());
        taken.last_line = line.len();
    }
    let is_full = piece.len() == BYTES_MAX;
    if taken.bytes == 0 && !piece.is_empty() && (is_full || !is_last) {
        let shown = piece.get(..SHOWN).unwrap_or(piece);
        lines.push(LogLine { text: text(shown) });
        taken = PieceTaken { bytes: piece.len(), last_line: piece.len(), is_too_long: is_full };
    }
    taken
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)).into_owned()
}

fn read_at(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; BYTES_MAX];
    let mut filled = 0;
    while let Some(rest) = piece.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let at = offset.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
        match file.read_at(rest, at) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    piece.truncate(filled);
    Ok(piece)
}

fn cursor(file: &File, offset: u64, piece: &[u8], taken: PieceTaken) -> io::Result<ExportCursor> {
    let metadata = file.metadata()?;
    let long = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    let sent = piece.get(..taken.bytes).unwrap_or(piece);
    let line = sent.get(taken.bytes.saturating_sub(taken.last_line)..).unwrap_or_default();
    Ok(ExportCursor {
        device: metadata.dev(),
        inode: metadata.ino(),
        offset: offset.saturating_add(long(taken.bytes)),
        line_bytes: long(taken.last_line),
        line_sha256: hex::encode(Sha256::digest(line)),
    })
}

/// Whether the line before a place is the one that was sent.
fn is_line(file: &File, cursor: &ExportCursor) -> io::Result<bool> {
    if cursor.offset == 0 {
        return Ok(true);
    }
    let Ok(length) = usize::try_from(cursor.line_bytes) else { return Ok(false) };
    let Some(begin) = cursor.offset.checked_sub(cursor.line_bytes) else { return Ok(false) };
    if length > BYTES_MAX {
        return Ok(false);
    }
    let mut line = vec![0; length];
    match file.read_exact_at(&mut line, begin) {
        Ok(()) => Ok(hex::encode(Sha256::digest(&line)) == cursor.line_sha256),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
