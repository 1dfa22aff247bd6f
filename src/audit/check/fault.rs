//! [`LogFault`]: what is wrong with a log, and [`Found`]: where.

use std::fmt;
use std::path::{Path, PathBuf};

/// What of a log is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFault {
    /// A line says something else than was written there.
    Changed,
    /// Lines are not there that were.
    Missing {
        /// How many.
        count: u64,
    },
    /// A line is there that the log did not write.
    Added,
    /// A line stands there a second time.
    Doubled,
    /// A line stands elsewhere than where it was written.
    Reordered,
    /// The key signed something else for as many entries: the log was written twice.
    Forked,
    /// Lines stand between the end that the gate wrote and its next start.
    BehindStop {
        /// How many.
        lines: u64,
    },
    /// The log ends before what the gate remembers beside its key.
    CutOff {
        /// How many entries are missing.
        entries: u64,
    },
    /// Lines are not those that were written, and it cannot be told which.
    Unlike {
        /// How many lines are between the two checkpoints that hold.
        lines: u64,
    },
    /// A checkpoint's signature does not hold, or it contradicts itself.
    CheckpointInvalid,
    /// A checkpoint of another log.
    ForeignCheckpoint {
        /// Which.
        origin: String,
    },
    /// The log goes on under another key, or is signed by another than was asked for.
    OtherKey {
        /// The key, as the log says.
        key: String,
    },
    /// The log begins a second time: what was before is not what it goes on from.
    BegunAnew,
    /// Lines stand before the first checkpoint of the log that no other is about.
    Headless {
        /// How many.
        lines: u64,
    },
    /// The name of a file says that it is older than one before which it was written.
    Exchanged {
        /// The file that was written after it.
        with: PathBuf,
    },
    /// Two files hold the same part of the log.
    FileDoubled {
        /// The other.
        with: PathBuf,
    },
    /// The log's newest file is not there.
    NoCurrentFile,
    /// A line has no end and others were written after it.
    Torn {
        /// How many bytes it has.
        bytes: u64,
    },
    /// A line is longer than any that is written.
    TooLong,
    /// The hashes of removed records are not those of what the log goes on from.
    HashesChanged,
    /// The hashes of removed records are not there, or not all.
    HashesMissing,
    /// No checkpoint is there, although hashes of removed records are.
    NoCheckpoint,
}

/// Something that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What.
    pub fault: LogFault,
    /// In which file.
    pub file: PathBuf,
    /// Which line of it, from 1; of what is missing the line before which it was. 0 for the file.
    pub line: u64,
    /// Which entry of the log that is, from 0, where it is known.
    pub entry: Option<u64>,
    /// The first checkpoint that shows it, by its size.
    pub shown_at: Option<u64>,
}

/// Something that is wrong with a whole file.
pub(super) fn of_file(fault: LogFault, file: &Path) -> Found {
    Found { fault, file: file.to_owned(), line: 0, entry: None, shown_at: None }
}

impl LogFault {
    /// A word for programs, which does not change between versions.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Missing { .. } => "missing",
            Self::Added => "added",
            Self::Doubled => "doubled",
            Self::Reordered => "reordered",
            Self::Forked => "forked",
            Self::BehindStop { .. } => "behind-stop",
            Self::CutOff { .. } => "cut-off",
            Self::Unlike { .. } => "unlike",
            Self::CheckpointInvalid => "checkpoint-invalid",
            Self::ForeignCheckpoint { .. } => "foreign-checkpoint",
            Self::OtherKey { .. } => "other-key",
            Self::BegunAnew => "begun-anew",
            Self::Headless { .. } => "headless",
            Self::Exchanged { .. } => "exchanged",
            Self::FileDoubled { .. } => "file-doubled",
            Self::NoCurrentFile => "no-current-file",
            Self::Torn { .. } => "torn",
            Self::TooLong => "too-long",
            Self::HashesChanged => "hashes-changed",
            Self::HashesMissing => "hashes-missing",
            Self::NoCheckpoint => "no-checkpoint",
        }
    }
}

impl fmt::Display for LogFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed => f.write_str("was changed"),
            Self::Missing { count: 1 } => f.write_str("1 line is missing before it"),
            Self::Missing { count } => write!(f, "{count} lines are missing before it"),
            Self::Added => f.write_str("was added by somebody else"),
            Self::Doubled => f.write_str("stands there a second time"),
            Self::Reordered => f.write_str("was moved"),
            Self::Forked => f.write_str("the key signed two different logs of this many entries"),
            Self::BehindStop { lines } => write!(
                f,
                "{lines} lines before it were added after the gate had stopped, by somebody else or \
                 by a gate without the key"
            ),
            Self::CutOff { entries } => {
                write!(f, "ends {entries} entries before what the gate last signed")
            }
            Self::Unlike { lines } => {
                write!(
                    f,
                    "the {lines} lines before this checkpoint are not those that were written"
                )
            }
            Self::CheckpointInvalid => f.write_str("the checkpoint's signature does not hold"),
            Self::ForeignCheckpoint { origin } => {
                write!(f, "is a checkpoint of another log, {origin}")
            }
            Self::OtherKey { key } => write!(f, "signed by another key, {key}"),
            Self::BegunAnew => f.write_str("the log begins anew here"),
            Self::Headless { lines } => write!(
                f,
                "the file does not begin with a checkpoint; of {lines} lines it cannot be told \
                 whether they are as written"
            ),
            Self::Exchanged { with } => {
                write!(f, "was written after {}, its name says before", with.display())
            }
            Self::FileDoubled { with } => {
                write!(f, "holds the same part of the log as {}", with.display())
            }
            Self::NoCurrentFile => f.write_str("is not there, older files are"),
            Self::Torn { bytes } => {
                write!(f, "has no end after {bytes} bytes, although the log went on")
            }
            Self::TooLong => f.write_str("is longer than any line that is written"),
            Self::HashesChanged => {
                f.write_str("the hashes of removed records are not those that the log goes on from")
            }
            Self::HashesMissing => f.write_str("hashes of removed records are missing"),
            Self::NoCheckpoint => f.write_str("the log has no checkpoint any more"),
        }
    }
}
