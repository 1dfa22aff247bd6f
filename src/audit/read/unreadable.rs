//! [`Unreadable`]: a line that could not be read, where it stands and [`Why`].

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::super::encode::RECORD_MAX;
use super::super::record::SCHEMA;
use crate::errno::Words;

/// The longest line that is read: twice what is ever written. Of what is unpacked this bounds the
/// memory, whatever the size of the file.
pub(super) const LINE_MAX: usize = 2 * RECORD_MAX;

/// A line that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// In which file, as it was called when it was opened.
    pub file: PathBuf,
    /// Which line of it, from 1.
    pub line: u64,
    /// Why.
    pub why: Why,
}

/// Why a line could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It is no JSON object of the documented schema; what the parser said.
    Malformed(String),
    /// It has another schema version than this program knows.
    Schema(u64),
    /// It is longer than any that is written.
    TooLong,
    /// The file goes on with another and this line has no end.
    Torn,
    /// The system refused to read on.
    Io(io::ErrorKind),
    /// What is packed cannot be unpacked further: the file is cut or damaged.
    Packed(String),
}

impl Why {
    /// Why reading stopped: by the system's word, or an unpacker's.
    pub(super) fn stopped(error: &io::Error, is_packed: bool) -> Self {
        let damaged = [io::ErrorKind::InvalidInput, io::ErrorKind::InvalidData];
        let kind = error.kind();
        if is_packed && kind == io::ErrorKind::UnexpectedEof {
            Self::Packed("it ends early".to_owned())
        } else if is_packed && damaged.contains(&kind) {
            Self::Packed(error.to_string())
        } else {
            Self::Io(kind)
        }
    }

    /// Whether nothing behind it in the file is read.
    #[must_use]
    pub const fn ends_the_file(&self) -> bool {
        match self {
            Self::Io(_) | Self::Packed(_) => true,
            Self::Malformed(_) | Self::Schema(_) | Self::TooLong | Self::Torn => false,
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, why } = self;
        write!(f, "{}, line {line}, {why}", file.display())
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "is no record: {why}"),
            Self::Schema(version) => {
                write!(
                    f,
                    "has schema {version}, this program reads {SCHEMA}: use the one that wrote it"
                )
            }
            Self::TooLong => write!(f, "is longer than {LINE_MAX} bytes"),
            Self::Torn => f.write_str("has no end"),
            Self::Io(kind) => write!(f, "cannot be read: {}", Words(*kind)),
            Self::Packed(why) => {
                write!(f, "cannot be unpacked, nor what follows it in the file: {why}")
            }
        }
    }
}
