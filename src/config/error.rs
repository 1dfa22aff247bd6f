//! [`ConfigError`]: what is wrong with the configuration, and where.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::errno::Words;
use crate::file_trust::OwnershipFault;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which file.
    pub file: Arc<Path>,
    /// Which line of it, from 1.
    pub line: usize,
}

/// The first thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// A file or folder could not be read.
    Read {
        /// Which.
        path: PathBuf,
        /// What the system answered.
        kind: io::ErrorKind,
    },
    /// Others could change a file.
    Unsafe(OwnershipFault),
    /// A file is larger than any configuration.
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Bytes that it may have.
        limit: u64,
    },
    /// There are more drop-ins than anyone writes.
    TooMany {
        /// Where.
        folder: PathBuf,
        /// How many there may be.
        limit: usize,
    },
    /// A file is not UTF-8.
    NotText {
        /// Which.
        path: PathBuf,
    },
    /// A file is no TOML.
    Syntax {
        /// Where.
        place: Place,
        /// What the parser said.
        message: String,
    },
    /// There is no such key.
    UnknownKey {
        /// Where.
        place: Place,
        /// The key with its tables, `audit.pth`.
        key: String,
        /// The known key that is spelled most like it, when one is near.
        nearest: Option<String>,
        /// The keys that there are in this table.
        known: Vec<String>,
    },
    /// A key has a value of another type.
    Type {
        /// Where.
        place: Place,
        /// The key with its tables.
        key: String,
        /// What is there.
        got: String,
        /// What should be.
        expected: String,
    },
    /// A key has a value that it cannot have.
    Value {
        /// Where.
        place: Place,
        /// The key with its tables.
        key: String,
        /// What is wrong with it.
        message: String,
    },
    /// A value does not fit with others, or is out of its range.
    Unfit {
        /// Which, and why.
        message: String,
    },
}

/// A path on one line: a file may be called anything.
fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}", shown(&self.file), self.line)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, kind: io::ErrorKind::NotFound } => write!(
                f,
                "there is no configuration {}; `make install` puts one there in which everything \
                 is a comment, and --config names another",
                shown(path)
            ),
            Self::Read { path, kind } => {
                write!(f, "the configuration {}: {}", shown(path), Words(*kind))
            }
            Self::Unsafe(fault) => write!(f, "the configuration is not safe from others: {fault}"),
            Self::TooLarge { path, limit } => {
                write!(f, "{} is larger than {limit} bytes", shown(path))
            }
            Self::TooMany { folder, limit } => {
                write!(f, "{} has more than {limit} files", shown(folder))
            }
            Self::NotText { path } => write!(f, "{} is not utf-8 text", shown(path)),
            Self::Syntax { place, message } => write!(f, "{place}: {message}"),
            Self::UnknownKey { place, key, nearest: Some(nearest), .. } => {
                write!(f, "{place}: there is no key {key}, did you mean {nearest}")
            }
            Self::UnknownKey { place, key, nearest: None, known } => {
                write!(f, "{place}: there is no key {key}, expected one of {}", known.join(", "))
            }
            Self::Type { place, key, got, expected } => {
                write!(f, "{place}: {key} is {got}, expected {expected}")
            }
            Self::Value { place, key, message } => write!(f, "{place}: {key}: {message}"),
            Self::Unfit { message } => write!(f, "the configuration does not fit: {message}"),
        }
    }
}

impl std::error::Error for ConfigError {}
