//! [`DocumentError`]: why a manifest, an index or an image config is refused.

use std::fmt;

use super::digest::DigestError;
use super::json::{JsonError, shown};

/// Why a manifest, an index or an image config is refused. None of these says anything about
/// signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentError {
    /// Not JSON that all readers understand alike, or beyond a limit.
    Json(JsonError),
    /// A key that Go's decoder takes for a known field although it is spelled otherwise (fact P15).
    Misspelt {
        /// The key as it stands.
        written: String,
        /// The field that Go reads it as.
        read_as: &'static str,
    },
    /// A field that must be there is not.
    Missing(&'static str),
    /// A field has another type or range than its specification says.
    Field(&'static str),
    /// A digest that is malformed or not sha256.
    Digest(DigestError),
    /// This list has more entries than this.
    TooManyEntries(&'static str, usize),
    /// Docker's schema 1, whose digest containerd 1.6 and 1.7 do not check (fact P14).
    SchemaOne,
    /// `schemaVersion` is not the number 2.
    SchemaVersion,
    /// Both an image and an index (CVE-2021-41190).
    TwoShapes,
    /// Neither an image nor an index.
    NoShape,
    /// The body calls itself something that its shape is not.
    MediaType(String),
    /// The image config names no layers, so that nothing binds the root filesystem to it.
    NoLayers,
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => error.fmt(f),
            Self::Misspelt { written, read_as } => {
                write!(f, "key \"{}\" would be read as \"{read_as}\" by some", shown(written))
            }
            Self::Missing(name) => write!(f, "field \"{name}\" is missing"),
            Self::Field(name) => write!(f, "field \"{name}\" has the wrong type or value"),
            Self::Digest(error) => write!(f, "a digest is {error}"),
            Self::TooManyEntries(name, most) => {
                write!(f, "\"{name}\" has more than {most} entries")
            }
            Self::SchemaOne => {
                f.write_str("a schema 1 manifest, which is not supported; push the image again")
            }
            Self::SchemaVersion => f.write_str("schemaVersion is not 2"),
            Self::TwoShapes => f.write_str("both an image manifest and an index"),
            Self::NoShape => f.write_str("neither an image manifest nor an index"),
            Self::MediaType(text) => write!(f, "calls itself \"{}\", which it is not", shown(text)),
            Self::NoLayers => f.write_str("the image config names no layers"),
        }
    }
}

impl std::error::Error for DocumentError {}

/// Why an index has no single manifest for a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChooseError {
    /// No entry fits.
    None,
    /// This many entries fit equally well: which one runs would be the runtime's choice.
    Several(usize),
}

impl fmt::Display for ChooseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("the index has no manifest for this node's platform"),
            Self::Several(count) => {
                write!(f, "the index has {count} manifests for this node's platform, expected one")
            }
        }
    }
}

impl std::error::Error for ChooseError {}
