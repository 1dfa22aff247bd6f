//! [`LogTree`]: the tree over the lines of the log, as much of it as the writer needs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::record::{Checkpoint, SHORT_LEN};
use crate::tlog::{CompactRange, TreeHash};

/// Entries that a checkpoint names at most: they take 44 KiB of its line, which may have 64. One
/// batch is at most a thousand, and a checkpoint follows it.
const NAMED_MAX: usize = 4096;

/// How a line begins that is a checkpoint.
pub(in crate::audit) const CHECKPOINT_LINE: &[u8] = b"{\"kind\":\"checkpoint\"";

/// The tree, and what came since its last checkpoint.
#[derive(Debug, Clone, Default)]
pub(in crate::audit) struct LogTree {
    pub(super) range: CompactRange,
    /// What names each entry since the last checkpoint.
    since: Vec<[u8; SHORT_LEN]>,
    /// How many there were, beyond what can be named too.
    count: u64,
    /// Those of them that are no checkpoint.
    records: u64,
    pub(super) kept_from: u64,
}

impl LogTree {
    /// The tree that this checkpoint is about; its line is still to be added. None when the line is
    /// not sound.
    pub(super) fn at(checkpoint: &Checkpoint) -> Option<Self> {
        let (_, range) = checkpoint.claimed()?;
        // What it claims is what its note says, or it was made before notes did.
        Some(Self { range, kept_from: checkpoint.kept_from, ..Self::default() })
    }

    /// Adds a line, without its newline.
    pub(super) fn add(&mut self, line: &[u8]) {
        let hash = TreeHash::of_leaf(line);
        self.range.push(hash);
        if self.since.len() < NAMED_MAX {
            self.since.push(hash.short());
        }
        self.count += 1;
        self.records += u64::from(!line.starts_with(CHECKPOINT_LINE));
    }

    /// Adds lines, each with its newline.
    pub(super) fn add_all(&mut self, lines: &[u8]) {
        let whole = lines.strip_suffix(b"\n").unwrap_or(lines);
        if !whole.is_empty() {
            whole.split(|byte| *byte == b'\n').for_each(|line| self.add(line));
        }
    }

    /// How many records no checkpoint is about yet.
    pub(super) const fn uncovered(&self) -> u64 {
        self.records
    }

    /// What names the entries since the last checkpoint, as a checkpoint has it, and begins anew.
    pub(super) fn take_named(&mut self) -> String {
        let named = std::mem::take(&mut self.since);
        let is_whole = u64::try_from(named.len()).is_ok_and(|named| named == self.count);
        (self.count, self.records) = (0, 0);
        if is_whole { STANDARD.encode(named.as_flattened()) } else { String::new() }
    }
}
