//! [`Checkpoint`]: the line by which the log says, signed, what all lines before it are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::stamp::{DecisionId, Timestamp};
use crate::tlog::{CompactRange, TreeHash, TreeHead, note};

/// Bytes that a checkpoint names each entry by.
pub(in crate::audit) const SHORT_LEN: usize = 8;

/// A signed head of the tree over the lines of the log. The line itself is the entry after those
/// that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// [`SCHEMA`](super::SCHEMA).
    pub schema: u32,
    /// Which; from the same sequence as the decisions' ids.
    pub id: DecisionId,
    /// When it was made.
    pub time: Timestamp,
    /// Why then.
    pub cause: CheckpointCause,
    /// The checkpoint: a signed note (C2SP `tlog-checkpoint`).
    pub note: String,
    /// The public key that it is signed with, as the log says (C2SP `vkey`).
    pub key: String,
    /// The roots of the perfect subtrees that the tree is made of, which its root is made of.
    pub range: Vec<TreeHash>,
    /// The first eight bytes of the hash of each entry since the checkpoint before, one after the
    /// other, base64. They tell which line was changed; empty where there were too many.
    pub entries: String,
    /// The first entry that retention has left: those before it were removed by the log itself.
    pub kept_from: u64,
    /// The first entry whose hash is kept.
    pub hashes_from: u64,
}

/// Why a checkpoint was made at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckpointCause {
    /// The log was opened.
    Start,
    /// There were as many entries since the last as there may be.
    Records,
    /// The first entry since the last was as old as it may be.
    Time,
    /// A file begins.
    File,
    /// The log was closed.
    Stop,
}

impl CheckpointCause {
    /// As the line has it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Records => "records",
            Self::Time => "time",
            Self::File => "file",
            Self::Stop => "stop",
        }
    }
}

impl Checkpoint {
    /// What it says, whoever signed it; none when it says nothing, or its subtrees are not those of
    /// its root.
    #[must_use]
    pub fn claimed(&self) -> Option<(TreeHead, CompactRange)> {
        let head: TreeHead = note::text_of(&self.note).ok()?.parse().ok()?;
        let range = CompactRange::from_parts(head.size, self.range.clone())?;
        (range.root() == head.root).then_some((head, range))
    }

    /// What names each entry since the checkpoint before.
    #[must_use]
    pub fn named(&self) -> Vec<[u8; SHORT_LEN]> {
        let bytes = STANDARD.decode(&self.entries).unwrap_or_default();
        let (named, _rest) = bytes.as_chunks::<SHORT_LEN>();
        named.to_vec()
    }
}
