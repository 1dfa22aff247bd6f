//! [`TextFault`]: why the texts of a generation are not kept.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::errno::Words;
use crate::file_trust::OwnershipFault;

/// Why the texts of a generation are not kept. Decisions go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextFault {
    /// The system refused to write or read something.
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system answered.
        kind: io::ErrorKind,
    },
    /// The folder is a link, or no folder.
    NotAFolder {
        /// Which.
        path: PathBuf,
    },
    /// Others could change what is in the folder.
    Unsafe(OwnershipFault),
    /// The folder would grow beyond its bound.
    TooMuch {
        /// The folder.
        path: PathBuf,
        /// How many bytes it may have.
        limit: u64,
    },
    /// A digest or a generation is no name that a file may have.
    Name {
        /// As it came, cut.
        name: String,
    },
    /// The list of a generation cannot be read or written as JSON.
    Malformed {
        /// What the parser said.
        message: String,
    },
    /// The disk did not take them in time; they are written when it does.
    Late {
        /// How long was waited.
        limit: Duration,
    },
    /// The thread that writes has not come back from earlier ones, or could not be started.
    Busy,
}

impl TextFault {
    pub(super) fn io(path: &Path, error: &io::Error) -> Self {
        Self::Io { path: path.into(), kind: error.kind() }
    }
}

impl fmt::Display for TextFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, kind } => write!(f, "{}: {}", path.display(), Words(*kind)),
            Self::NotAFolder { path } => {
                write!(f, "{} is a link or no folder: remove it", path.display())
            }
            Self::Unsafe(fault) => write!(f, "{fault}"),
            Self::TooMuch { path, limit } => {
                write!(f, "{} would have more than {limit} bytes", path.display())
            }
            Self::Name { name } => write!(f, "{name:?} is no digest or generation"),
            Self::Malformed { message } => write!(f, "the list of a generation: {message}"),
            Self::Late { limit } => {
                write!(f, "the disk did not take them within {} s", limit.as_secs())
            }
            Self::Busy => f.write_str("the disk has not taken earlier ones"),
        }
    }
}

impl std::error::Error for TextFault {}
