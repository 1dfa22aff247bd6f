//! [`ListFault`]: why a list, fetched or kept, is not taken; [`FolderFault`]: why its files cannot
//! be used.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::errno::Words;
use crate::file_trust::OwnershipFault;

/// Longest text about a list, in bytes: somebody else writes most of it, and it stands in the
/// journal, the audit log and the answer to `sealgate status`, for each of the lists.
const WORDS_MAX: usize = 1024;
/// Most characters that are shown of one text of a manifest: a media type has forty.
const SHOWN_MAX: usize = 100;

/// A text about a list, cut where it is longer than one may be.
#[must_use]
pub fn bounded_words(mut words: String) -> String {
    const CUT: &str = "...";
    if words.len() > WORDS_MAX {
        let mut end = WORDS_MAX - CUT.len();
        while !words.is_char_boundary(end) {
            end -= 1;
        }
        words.truncate(end);
        words.push_str(CUT);
    }
    words
}

/// The beginning of what somebody else wrote, fit for one line.
pub(super) fn shown(untrusted: &str) -> String {
    let mut shown: String =
        untrusted.chars().take(SHOWN_MAX).flat_map(char::escape_default).collect();
    if untrusted.chars().nth(SHOWN_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

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
    /// It is not there, and another file says that it was.
    Gone {
        /// Which.
        path: PathBuf,
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
        f.write_str(&bounded_words(self.words()))
    }
}

impl ListFault {
    fn words(&self) -> String {
        match self {
            Self::NotSigned(why) => {
                format!("it is not signed by whom the configuration names: {why}")
            }
            Self::Artifact(why) => format!("it is no deny list: {why}"),
            Self::Document(why) => why.clone(),
            Self::Name { got } => format!("it calls itself {}: another list", shown(got)),
            Self::Kind(kind) => {
                format!("it denies {kind}, which its kinds in policy.deny_lists do not have")
            }
            Self::StrikesOffAll { entry, what } => format!("{entry} {what}"),
            Self::Rollback { got, remembered } => format!(
                "it is version {got}, and version {remembered} was taken before: an older list does \
                 not take the place of a newer one"
            ),
            Self::Equivocation { version } => format!(
                "another list of version {version} was taken before: its signer has signed two"
            ),
            Self::Files(fault) => fault.to_string(),
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
            Self::Gone { path } => {
                write!(f, "{} is gone, and with it which version was taken last", shown(path))
            }
        }
    }
}

impl std::error::Error for ListFault {}

impl std::error::Error for FolderFault {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack E3: texts that somebody else wrote, without end.
    #[test]
    fn attack_e3_what_is_told_of_a_list_is_bounded() {
        let long = "\u{1b}é".repeat(1 << 20);
        for fault in [
            ListFault::NotSigned(long.clone()),
            ListFault::Artifact(long.clone()),
            ListFault::Document(long.clone()),
            ListFault::Name { got: long.clone() },
            ListFault::StrikesOffAll { entry: long.clone(), what: "is every image" },
        ] {
            let told = fault.to_string();
            assert!(told.len() <= WORDS_MAX, "{} bytes", told.len());
            assert!(told.ends_with("...") || told.ends_with("list"), "{told}");
        }
        assert_eq!(bounded_words("short".to_owned()), "short");
        assert_eq!(shown("a/b+yaml"), "a/b+yaml");
        assert_eq!(shown(&"x".repeat(101)), format!("{}...", "x".repeat(100)));
        assert!(shown(&long).is_ascii());
    }
}
