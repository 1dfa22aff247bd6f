//! [`Checkpoint`]: the line by which the log says, signed, what all lines before it are;
//! [`SignedFacts`]: what it says beside that, signed as well.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::stamp::{DecisionId, Timestamp};
use crate::tlog::{CompactRange, TreeHash, TreeHead, extensions, note};

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

/// What a checkpoint says beside the head of the tree, as extension lines of its note. Checkpoints that
/// were made before there were any say the same unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedFacts {
    /// As of [`Checkpoint::kept_from`].
    pub kept_from: u64,
    /// As of [`Checkpoint::hashes_from`].
    pub hashes_from: u64,
    /// As of [`Checkpoint::time`].
    pub time: Timestamp,
    /// As of [`Checkpoint::cause`].
    pub cause: CheckpointCause,
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
    /// Every cause.
    pub const ALL: [Self; 5] = [Self::Start, Self::Records, Self::Time, Self::File, Self::Stop];

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
    /// What it says, whoever signed it; none when it says nothing, its subtrees are not those of its
    /// root, or what it says beside its note is not what the note says.
    #[must_use]
    pub fn claimed(&self) -> Option<(TreeHead, CompactRange)> {
        let head: TreeHead = note::text_of(&self.note).ok()?.parse().ok()?;
        if self.facts().is_some_and(|facts| facts != self.unsigned()) {
            return None;
        }
        let range = CompactRange::from_parts(head.size, self.range.clone())?;
        (range.root() == head.root).then_some((head, range))
    }

    /// What its note says beside the head; none of one that was made before notes did.
    #[must_use]
    pub fn facts(&self) -> Option<SignedFacts> {
        let text = note::text_of(&self.note).ok()?;
        let value = |name: &str| {
            extensions(text).find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        };
        Some(SignedFacts {
            kept_from: value("kept_from")?.parse().ok()?,
            hashes_from: value("hashes_from")?.parse().ok()?,
            time: value("time")?.parse().ok()?,
            cause: value("cause").and_then(|word| {
                CheckpointCause::ALL.into_iter().find(|cause| cause.word() == word)
            })?,
        })
    }

    /// The same as its line says it: only the next checkpoint is about that.
    #[must_use]
    pub const fn unsigned(&self) -> SignedFacts {
        let Self { kept_from, hashes_from, time, cause, .. } = self;
        SignedFacts { kept_from: *kept_from, hashes_from: *hashes_from, time: *time, cause: *cause }
    }

    /// What names each entry since the checkpoint before.
    #[must_use]
    pub fn named(&self) -> Vec<[u8; SHORT_LEN]> {
        let bytes = STANDARD.decode(&self.entries).unwrap_or_default();
        let (named, _rest) = bytes.as_chunks::<SHORT_LEN>();
        named.to_vec()
    }
}

impl fmt::Display for SignedFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kept_from, hashes_from, time, cause } = self;
        let cause = cause.word();
        write!(f, "kept_from {kept_from}\nhashes_from {hashes_from}\ntime {time}\ncause {cause}\n")
    }
}
