//! [`prove`]: that a record is in the log; [`consistency`]: that the log grew out of an earlier
//! checkpoint. Both go through the files once or twice and hold a few hundred hashes.

use std::cell::RefCell;
use std::fmt;
use std::io;

use super::files::LogFiles;

use crate::audit::checkpoints::gone::GoneHashes;
use crate::audit::checkpoints::resume::parsed;
use crate::audit::checkpoints::tree::CHECKPOINT_LINE;
use crate::audit::lines::{LineRead, LogLines};
use crate::audit::record::stamp::DecisionId;
use crate::errno;
use crate::tlog::note::NoteVerifier;
use crate::tlog::proof::{self, Gatherer, TlogProof};
use crate::tlog::{CompactRange, TreeHash, TreeHead};

/// A record with the proof that it is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenRecord {
    /// The proof.
    pub proof: TlogProof,
    /// The line of the record, without its newline: what is proven.
    pub line: Vec<u8>,
}

/// Why there is no proof.
#[derive(Debug)]
pub enum ProveError {
    /// A file cannot be read.
    Io(io::Error),
    /// The log has no such record.
    NotFound,
    /// No checkpoint is about the record yet.
    NotCovered,
    /// What would be proven is not what the log has: it was changed.
    Broken,
    /// The hashes that the proof needs are not kept any more.
    Gone,
}

/// Where a record is, and the last checkpoint of the log.
struct Place {
    index: u64,
    line: Vec<u8>,
    head: TreeHead,
    note: String,
}

/// The record of this id with its proof, under the newest checkpoint of this key.
///
/// # Errors
/// [`ProveError`].
pub fn prove(
    files: &LogFiles,
    key: &NoteVerifier,
    id: DecisionId,
) -> Result<ProvenRecord, ProveError> {
    let Place { index, line, head, note } = find(files, key, id)?;
    let parts = proof::inclusion(index, head.size).ok_or(ProveError::NotCovered)?;
    let hashes = gather(files, parts, head.size)?;
    let leaf = TreeHash::of_leaf(&line);
    if !proof::shows_inclusion(leaf, index, head.size, &hashes, head.root) {
        return Err(ProveError::Broken);
    }
    Ok(ProvenRecord { proof: TlogProof { index, hashes, checkpoint: note }, line })
}

/// That a log of the second head grew out of the first.
///
/// # Errors
/// [`ProveError`]; [`ProveError::Broken`] when it did not.
pub fn consistency(
    files: &LogFiles,
    old: &TreeHead,
    new: &TreeHead,
) -> Result<Vec<TreeHash>, ProveError> {
    let parts = proof::consistency(old.size, new.size).ok_or(ProveError::Broken)?;
    let hashes = gather(files, parts, new.size)?;
    let holds = proof::shows_consistency((old.size, old.root), (new.size, new.root), &hashes);
    if holds { Ok(hashes) } else { Err(ProveError::Broken) }
}

/// Goes through the lines of a log from its first checkpoint on, with the entry that each is, as
/// far as `wanted` says.
fn lines_of(
    files: &LogFiles,
    begin: &mut dyn FnMut(&CompactRange) -> Result<(), ProveError>,
    line: &mut dyn FnMut(u64, &[u8]) -> bool,
) -> Result<(), ProveError> {
    let mut next: Option<u64> = None;
    for part in &files.files {
        let mut lines = LogLines::open(&part.path)?;
        if let (Some(first), Some(next)) = (part.first, next)
            && first != next
        {
            return Err(ProveError::Broken);
        }
        while let Some((read, _)) = lines.step()? {
            let text = match read {
                LineRead::Line(text) => text,
                LineRead::TooLong => return Err(ProveError::Broken),
                LineRead::Torn(_) => continue,
            };
            let index = match next {
                Some(index) => index,
                None if !text.starts_with(CHECKPOINT_LINE) => continue,
                None => {
                    let claimed = parsed(text).and_then(|checkpoint| checkpoint.claimed());
                    let (head, range) = claimed.ok_or(ProveError::Broken)?;
                    begin(&range)?;
                    head.size
                }
            };
            if !line(index, text) {
                return Ok(());
            }
            next = Some(index.checked_add(1).ok_or(ProveError::Broken)?);
        }
    }
    Ok(())
}

fn find(files: &LogFiles, key: &NoteVerifier, id: DecisionId) -> Result<Place, ProveError> {
    let needle = format!("\"id\":\"{id}\"");
    let (mut found, mut last) = (None, None);
    lines_of(files, &mut |_| Ok(()), &mut |index, line| {
        // The id stands behind kind and schema.
        let begin = line.get(..line.len().min(96)).unwrap_or_default();
        if begin.windows(needle.len()).any(|part| part == needle.as_bytes()) {
            found = Some((index, line.to_vec()));
        }
        if line.starts_with(CHECKPOINT_LINE)
            && let Some(checkpoint) = parsed(line)
            && let Some((head, _)) = checkpoint.claimed()
            && key.open(&checkpoint.note).is_ok()
        {
            last = Some((head, checkpoint.note));
        }
        true
    })?;
    let (index, line) = found.ok_or(ProveError::NotFound)?;
    let covering = last.filter(|(head, _)| head.size > index);
    let (head, note) = covering.ok_or(ProveError::NotCovered)?;
    Ok(Place { index, line, head, note })
}

/// The roots of these parts of a tree of `size`.
fn gather(
    files: &LogFiles,
    parts: Vec<std::ops::Range<u64>>,
    size: u64,
) -> Result<Vec<TreeHash>, ProveError> {
    let gatherer = RefCell::new(Gatherer::of(parts));
    let mut hashes = files.hashes.as_ref().and_then(|path| GoneHashes::open(path).ok());
    lines_of(
        files,
        &mut |range| {
            let mut gatherer = gatherer.borrow_mut();
            let kept = hashes.take();
            match kept.filter(|kept| kept.end() >= range.size() && kept.first() <= range.size()) {
                Some(kept) => {
                    for (level, _, root) in kept.before().subtrees() {
                        gatherer.subtree(level, root);
                    }
                    let count = range.size().saturating_sub(kept.first());
                    for hash in kept.take(usize::try_from(count).unwrap_or(usize::MAX)) {
                        gatherer.leaf(hash?);
                    }
                }
                None => {
                    for (level, _, root) in range.subtrees() {
                        gatherer.subtree(level, root);
                    }
                }
            }
            Ok(())
        },
        &mut |index, line| {
            let is_wanted = index < size;
            if is_wanted {
                gatherer.borrow_mut().leaf(TreeHash::of_leaf(line));
            }
            is_wanted
        },
    )?;
    let gatherer = gatherer.into_inner();
    if gatherer.seen() < size {
        return Err(ProveError::NotCovered);
    }
    gatherer.finish().map_err(|_| ProveError::Gone)
}

impl From<io::Error> for ProveError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for ProveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the log cannot be read: {}", errno::told(error)),
            Self::NotFound => f.write_str("the log has no such record"),
            Self::NotCovered => {
                f.write_str("no checkpoint is about this yet: the next one will be, try again")
            }
            Self::Broken => f.write_str(
                "the log is not what its checkpoint says: sealgate audit verify names what was \
                 changed",
            ),
            Self::Gone => f.write_str(
                "the log keeps no hashes from that time: ask for a proof with a later checkpoint",
            ),
        }
    }
}

impl std::error::Error for ProveError {}
