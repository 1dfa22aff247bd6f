//! Finding the tree in the files after a start: the newest checkpoint of this node's key, and the
//! lines behind it. What stands before it is not read: that checkpoint says what it was when it was
//! written.
//!
//! What is remembered beside the key says which checkpoint must be there at least. Where it is not, the
//! tree goes on from the remembered one, so that what is missing shows.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::super::lines::{LineRead, LogLines, beside, open_part};
use super::super::record::stamp::DecisionId;
use super::super::record::{Checkpoint, CheckpointCause, Entry};
use super::remembered::{FILES_MAX, RememberedHead};
use super::tree::{CHECKPOINT_LINE, LogTree};
use crate::tlog::note::NoteVerifier;

/// Bytes that are searched at once.
const BLOCK: usize = 256 << 10;
/// Bytes of the longest checkpoint that is looked at: the longest line that is written.
const LINE_MAX: u64 = 64 << 10;
/// Checkpoints of one file that are looked at. A file of 64 MiB has some hundreds; one with more was made
/// to hold up the start.
const LOOKED_AT_MAX: u32 = 1 << 16;

/// What was found.
#[derive(Debug, Default)]
pub(in crate::audit) struct Resumed {
    /// The tree, with every line that is there; of a log that was cut the one that is remembered.
    pub(super) tree: LogTree,
    /// The first entry whose hash was kept.
    pub(super) hashes_from: u64,
    /// The key of the checkpoint that it goes on from, where that is another.
    pub(super) other_key: Option<String>,
    /// Whether there was a checkpoint; otherwise the tree begins here.
    pub(super) found: bool,
    /// How far the checkpoints reach that are there, and how far they did.
    pub(super) cut: Option<(u64, u64)>,
    /// How many lines stand behind the last checkpoint.
    pub(super) behind: u64,
    /// The id of the first of them.
    pub(super) first_behind: Option<DecisionId>,
    /// Whether that checkpoint is the one with which the gate ended the log.
    pub(super) stopped: bool,
}

/// A checkpoint, in which file and where.
type CheckpointPlace = (usize, u64, Checkpoint);

/// The tree after the last line of these files, the newest first.
///
/// # Errors
/// When one cannot be read.
pub(super) fn resume(
    newest_first: &[&Path],
    key: &NoteVerifier,
    remembered: Option<&RememberedHead>,
) -> io::Result<Resumed> {
    let kept = remembered.map(|head| &head.checkpoint);
    let least = kept.and_then(size_of);
    let (own, other) = newest(newest_first, key, kept)?;
    // A key that was replaced: what it signed before counts as what the old one did.
    let is_by_other = kept.is_some_and(|kept| key.open(&kept.note).is_err());
    let reaches = |place: &CheckpointPlace| size_of(&place.2) >= least;
    let own = if is_by_other && !own.as_ref().is_some_and(reaches) { other.clone() } else { own };
    let base = match kept {
        Some(_) => own.filter(reaches),
        None => own.or(other),
    };
    let Some((number, offset, checkpoint)) = base else {
        let Some(kept) = kept else { return Ok(Resumed::default()) };
        let (own, _) = newest(newest_first, key, None)?;
        let from = own.and_then(|(_, _, checkpoint)| size_of(&checkpoint)).unwrap_or(0);
        return Ok(Resumed {
            tree: LogTree::at(kept).unwrap_or_default(),
            hashes_from: kept.hashes_from,
            found: true,
            cut: Some((from, least.unwrap_or(0))),
            ..Resumed::default()
        });
    };
    let mut found = Resumed {
        tree: LogTree::at(&checkpoint).unwrap_or_default(),
        hashes_from: checkpoint.hashes_from,
        other_key: key.open(&checkpoint.note).is_err().then(|| checkpoint.key.clone()),
        found: true,
        stopped: checkpoint.facts().is_some_and(|facts| facts.cause == CheckpointCause::Stop),
        ..Resumed::default()
    };
    for (place, path) in newest_first.iter().enumerate().take(number + 1).rev() {
        match open_part(path) {
            Ok(file) if place == number => add_lines(&mut found, file, offset)?,
            Ok(file) => add_lines(&mut found, file, 0)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    // The first is the checkpoint itself.
    found.behind = found.behind.saturating_sub(1);
    Ok(found)
}

fn size_of(checkpoint: &Checkpoint) -> Option<u64> {
    checkpoint.claimed().map(|(head, _)| head.size)
}

/// The largest checkpoint of this key, and the largest by which another key signs for itself. What
/// reaches as far as the one that is remembered ends the search: it was not there before.
fn newest(
    newest_first: &[&Path],
    key: &NoteVerifier,
    kept: Option<&Checkpoint>,
) -> io::Result<(Option<CheckpointPlace>, Option<CheckpointPlace>)> {
    let least = kept.and_then(size_of);
    let (mut own, mut other): (Option<CheckpointPlace>, Option<CheckpointPlace>) = (None, None);
    for (number, path) in newest_first.iter().enumerate() {
        let Ok(file) = open_part(path) else { continue };
        let (mut places, mut looked_at) = (Backwards::new(&file)?, 0);
        while let Some(offset) = places.next()?.filter(|_| looked_at < LOOKED_AT_MAX) {
            looked_at += 1;
            let Some(checkpoint) = checkpoint_at(&file, offset)? else { continue };
            let Some(size) = size_of(&checkpoint) else { continue };
            // Of two that are as large the earlier one: the later was put there again.
            let is_more = |than: &Option<CheckpointPlace>| {
                than.as_ref().and_then(|than| size_of(&than.2)).is_none_or(|than| size >= than)
            };
            if is_more(&own) && key.open(&checkpoint.note).is_ok() {
                own = Some((number, offset, checkpoint));
                if least.is_some_and(|least| size >= least) {
                    return Ok((own, other));
                }
            } else if is_more(&other) && is_by_itself(&checkpoint, kept) {
                other = Some((number, offset, checkpoint));
            }
        }
    }
    Ok((own, other))
}

/// Whether the key that a checkpoint names signed it, and is the one that is remembered, if one is.
fn is_by_itself(checkpoint: &Checkpoint, kept: Option<&Checkpoint>) -> bool {
    let by = checkpoint.key.parse::<NoteVerifier>().ok();
    by.is_some_and(|by| by.open(&checkpoint.note).is_ok())
        && kept.is_none_or(|kept| kept.key == checkpoint.key)
}

/// Where lines begin that are checkpoints, the last first.
struct Backwards<'f> {
    file: &'f File,
    /// What is before this was not looked at.
    end: u64,
    /// Bytes from `from` on, of which what is before `to` is still to be looked at.
    block: Vec<u8>,
    from: u64,
    to: Option<usize>,
}

impl<'f> Backwards<'f> {
    fn new(file: &'f File) -> io::Result<Self> {
        let end = file.metadata()?.len();
        Ok(Self { file, end, block: Vec::new(), from: 0, to: None })
    }

    fn next(&mut self) -> io::Result<Option<u64>> {
        loop {
            while let Some(to) = self.to {
                // A line begins behind a newline, and at the beginning of the file.
                let before = self.block.get(..to).unwrap_or_default();
                let newline = before.iter().rposition(|byte| *byte == b'\n');
                self.to = newline;
                let at = newline.map_or(0, |newline| newline + 1);
                let offset = self.from + u64::try_from(at).unwrap_or(0);
                let rest = self.block.get(at..).unwrap_or_default();
                let is_start = newline.is_some() || self.from == 0;
                if is_start && offset < self.end && rest.starts_with(CHECKPOINT_LINE) {
                    self.end = offset;
                    return Ok(Some(offset));
                }
            }
            if self.end == 0 || self.from == 0 && !self.block.is_empty() {
                return Ok(None);
            }
            self.load()?;
        }
    }

    /// The block before what was looked at: beyond its end by less than a needle, so that one across
    /// two blocks is found, and from the newline before on.
    fn load(&mut self) -> io::Result<()> {
        self.end = if self.block.is_empty() { self.end } else { self.end.min(self.from + 1) };
        let more = u64::try_from(CHECKPOINT_LINE.len()).unwrap_or(0);
        let begin = self.end.saturating_sub(u64::try_from(BLOCK).unwrap_or(0));
        self.from = begin.saturating_sub(1);
        self.block.resize(usize::try_from(self.end - self.from + more).unwrap_or(BLOCK), 0);
        let mut filled = 0;
        while filled < self.block.len() {
            let room = self.block.get_mut(filled..).unwrap_or_default();
            let read = self.file.read_at(room, self.from + u64::try_from(filled).unwrap_or(0))?;
            if read == 0 {
                break;
            }
            filled += read;
        }
        self.block.truncate(filled);
        self.to = Some(filled);
        Ok(())
    }
}

fn checkpoint_at(file: &File, offset: u64) -> io::Result<Option<Checkpoint>> {
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(offset))?;
    let mut line = Vec::new();
    reader.take(LINE_MAX).read_until(b'\n', &mut line)?;
    Ok(parsed(&line))
}

/// The first entry in this file; none where it begins with no checkpoint of this key.
pub(super) fn first_of(path: &Path, key: &NoteVerifier) -> Option<u64> {
    let checkpoint = checkpoint_at(&open_part(path).ok()?, 0).ok()??;
    key.open(&checkpoint.note).ok()?;
    size_of(&checkpoint)
}

/// The first entries of the files of a log, the oldest first: what is remembered of them, and what
/// files say that began since. Of a log of which nothing is remembered, what all of them say.
pub(super) fn beginnings(log: &Path, key: &NoteVerifier, known: Option<&[u64]>) -> Vec<u64> {
    let number = |number: usize| beside(log, &number.to_string());
    let older = (1..=FILES_MAX).map(number).take(if known.is_some() { 1 } else { FILES_MAX });
    let names = std::iter::once(log.to_owned()).chain(older.take_while(|name| name.exists()));
    let mut said: Vec<u64> = names.map_while(|name| first_of(&name, key)).collect();
    said.reverse();
    let mut all = known.unwrap_or_default().to_vec();
    for first in said {
        if all.last().is_none_or(|last| *last < first) {
            all.push(first);
        }
    }
    all
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

fn add_lines(found: &mut Resumed, mut file: File, from: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(from))?;
    let mut lines = LogLines::of(file);
    while let Some((read, _)) = lines.step()? {
        let line = match read {
            LineRead::Line(line) => line,
            // No gate wrote it, and none holds it in memory: checking names it.
            LineRead::TooLong => b"",
            // Without an end it is no line yet.
            LineRead::Torn(_) => continue,
        };
        found.tree.add(line);
        found.behind += 1;
        if found.behind == 2 {
            found.first_behind = serde_json::from_slice(line).ok().map(|entry: Entry| entry.id());
        }
    }
    Ok(())
}
