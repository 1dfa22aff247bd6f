//! [`ListFault`]: why a list, fetched or kept, is not taken; [`FolderFault`]: why its files cannot
//! be used.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::errno::Words;
use crate::file_trust::OwnershipFault;

/// Why a list is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListFault {
    /// No signature by whom the configuration names.
    NotSigned(String),
    /// It is no artifact of the form that lists have.
    Artifact(String),
    /// The document is faulty.
    Document(String),
    /// It is another list.
    Name {
        /// What it calls itself.
        got: String,
    },
    /// It has entries of a kind that the configuration does not let it have.
    Kind(&'static str),
    /// It would strike off every image or every signer.
    StrikesOffAll {
        /// The entry.
        entry: String,
        /// What it would do.
        what: &'static str,
    },
    /// It is older than one that was taken.
    Rollback {
        /// Its version.
        got: u64,
        /// The highest that was taken.
        remembered: u64,
    },
    /// It has the version of one that was taken, and is another.
    Equivocation {
        /// The version.
        version: u64,
    },
    /// Its files on this node cannot be used.
    Files(FolderFault),
}

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FolderFault {
    /// The system refused.
    Io {
        /// Which.
        path: PathBuf,
        /// What it answered.
        kind: io::ErrorKind,
    },
    /// Others could change it (attack E4).
    Unsafe(OwnershipFault),
    /// It does not hold what it should.
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl ListFault {
    /// A fixed word, for records and programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotSigned(_) => "not-signed",
            Self::Artifact(_) => "no-list",
            Self::Document(_) => "faulty",
            Self::Name { .. } => "other-list",
            Self::Kind(_) => "kind-not-allowed",
            Self::StrikesOffAll { .. } => "strikes-off-all",
            Self::Rollback { .. } => "rollback",
            Self::Equivocation { .. } => "equivocation",
            Self::Files(_) => "files",
        }
    }
}

impl From<FolderFault> for ListFault {
    fn from(fault: FolderFault) -> Self {
        Self::Files(fault)
    }
}

impl fmt::Display for ListFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSigned(why) => {
                write!(f, "it is not signed by whom the configuration names: {why}")
            }
            Self::Artifact(why) => write!(f, "it is no deny list: {why}"),
            Self::Document(why) => f.write_str(why),
            Self::Name { got } => {
                write!(f, "it calls itself {}: another list", got.escape_default())
            }
            Self::Kind(kind) => {
                write!(f, "it denies {kind}, which its kinds in policy.deny_lists do not have")
            }
            Self::StrikesOffAll { entry, what } => write!(f, "{entry} {what}"),
            Self::Rollback { got, remembered } => write!(
                f,
                "it is version {got}, and version {remembered} was taken before: an older list does \
                 not take the place of a newer one"
            ),
            Self::Equivocation { version } => write!(
                f,
                "another list of version {version} was taken before: its signer has signed two"
            ),
            Self::Files(fault) => write!(f, "{fault}"),
        }
    }
}

impl fmt::Display for FolderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |path: &Path| path.to_string_lossy().escape_default().to_string();
        match self {
            Self::Io { path, kind } => write!(f, "{}: {}", shown(path), Words(*kind)),
            Self::Unsafe(fault) => write!(f, "not safe from others: {fault}"),
            Self::Malformed { path, why } => write!(f, "{}: {why}", shown(path)),
        }
    }
}

impl std::error::Error for ListFault {}

impl std::error::Error for FolderFault {}
