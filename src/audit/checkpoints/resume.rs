//! Finding the tree in the files after a start: the newest checkpoint of this node's key, and the
//! lines behind it. What stands before it is not read: that checkpoint says what it was when it was
//! written.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::super::record::{Checkpoint, Entry};
use super::tree::{CHECKPOINT_LINE, LogTree};
use crate::tlog::note::NoteVerifier;

/// Bytes that are searched at once.
const BLOCK: usize = 256 << 10;
/// Bytes of the longest checkpoint that is looked at: the longest line that is written.
const LINE_MAX: u64 = 64 << 10;

/// What was found.
#[derive(Debug)]
pub(in crate::audit) struct Resumed {
    /// The tree, with every line that is there.
    pub(super) tree: LogTree,
    /// The first entry whose hash was kept.
    pub(super) hashes_from: u64,
    /// The key of the checkpoint that it goes on from, where that is another.
    pub(in crate::audit) other_key: Option<String>,
    /// Whether there was a checkpoint; otherwise the tree begins here.
    pub(in crate::audit) found: bool,
}

/// The tree after the last line of these files, the newest first.
///
/// # Errors
/// When one cannot be read.
pub(super) fn resume(newest_first: &[&Path], key: &NoteVerifier) -> io::Result<Resumed> {
    let mut other: Option<(usize, u64, Checkpoint)> = None;
    let mut own = None;
    'files: for (number, path) in newest_first.iter().enumerate() {
        let Ok(file) = File::open(path) else { continue };
        let mut end = file.metadata()?.len();
        while let Some(offset) = last_checkpoint(&file, end)? {
            end = offset;
            let Some(checkpoint) = checkpoint_at(&file, offset)? else { continue };
            if checkpoint.claimed().is_none() {
                continue;
            }
            if key.open(&checkpoint.note).is_ok() {
                own = Some((number, offset, checkpoint));
                break 'files;
            }
            other.get_or_insert((number, offset, checkpoint));
        }
    }
    let is_own = own.is_some();
    let Some((number, offset, checkpoint)) = own.or(other) else {
        let tree = LogTree::default();
        return Ok(Resumed { tree, hashes_from: 0, other_key: None, found: false });
    };
    let mut tree = LogTree::at(&checkpoint).unwrap_or_default();
    for (place, path) in newest_first.iter().enumerate().take(number + 1).rev() {
        let from = if place == number { offset } else { 0 };
        add_lines(&mut tree, path, from)?;
    }
    let other_key = (!is_own).then_some(checkpoint.key);
    Ok(Resumed { tree, hashes_from: checkpoint.hashes_from, other_key, found: true })
}

/// Where the last line before `end` begins that is a checkpoint.
fn last_checkpoint(file: &File, end: u64) -> io::Result<Option<u64>> {
    let more = u64::try_from(CHECKPOINT_LINE.len()).unwrap_or(0);
    let mut block = Vec::new();
    let mut end = end;
    while end > 0 {
        let begin = end.saturating_sub(u64::try_from(BLOCK).unwrap_or(0));
        // Beyond the end by less than a needle, so that one across two blocks is found, and from
        // the newline before on.
        let from = begin.saturating_sub(1);
        let length = usize::try_from(end - from + more - 1).unwrap_or(BLOCK);
        block.resize(length, 0);
        let mut filled = 0;
        while filled < block.len() {
            let room = block.get_mut(filled..).unwrap_or_default();
            let read = file.read_at(room, from + u64::try_from(filled).unwrap_or(0))?;
            if read == 0 {
                break;
            }
            filled += read;
        }
        let found = block.get(..filled).unwrap_or_default();
        let is_start =
            |at: usize| from == 0 && at == 0 || at > 0 && found.get(at - 1) == Some(&b'\n');
        let places = found.windows(CHECKPOINT_LINE.len()).enumerate().rev();
        let hits = places.filter(|(at, window)| *window == CHECKPOINT_LINE && is_start(*at));
        let before = |at: u64| at < end;
        if let Some(offset) = hits
            .map_while(|(at, _)| u64::try_from(at).ok())
            .map(|at| from + at)
            .find(|offset| before(*offset))
        {
            return Ok(Some(offset));
        }
        end = begin;
    }
    Ok(None)
}

fn checkpoint_at(file: &File, offset: u64) -> io::Result<Option<Checkpoint>> {
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(offset))?;
    let mut line = Vec::new();
    reader.take(LINE_MAX).read_until(b'\n', &mut line)?;
    Ok(parsed(&line))
}

/// The checkpoint that this file begins with.
pub(super) fn first_checkpoint(path: &Path) -> io::Result<Option<Checkpoint>> {
    checkpoint_at(&File::open(path)?, 0)
}

/// The checkpoint in this line.
pub(in crate::audit) fn parsed(line: &[u8]) -> Option<Checkpoint> {
    match serde_json::from_slice(line) {
        Ok(Entry::Checkpoint(checkpoint)) => Some(*checkpoint),
        Ok(
            Entry::Decision(_)
            | Entry::Note(_)
            | Entry::Finding(_)
            | Entry::Outcome(_)
            | Entry::Head(_),
        )
        | Err(_) => None,
    }
}

fn add_lines(tree: &mut LogTree, path: &Path, from: u64) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(BLOCK, File::open(path)?);
    reader.seek(SeekFrom::Start(from))?;
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        // Without an end it is no line yet.
        if line.pop() == Some(b'\n') {
            tree.add(&line);
        }
        line.clear();
    }
    Ok(())
}
