//! [`LayoutError`]: why a layout could not be written or read at all; [`Skipped`]: why a part of
//! one was passed over.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::errno::Words;
use crate::evidence_store::{StoreError, Unfit};
use crate::image::json::{JsonError, shown};
use crate::image::{Digest, DocumentError};

/// Why a layout was not written or not read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayoutError {
    /// The store failed.
    Store(StoreError),
    /// What is written to refused it.
    Output(io::ErrorKind),
    /// The file or folder could not be read.
    Input {
        /// Which.
        path: PathBuf,
        /// What the system answered.
        kind: io::ErrorKind,
    },
    /// It is neither a file nor a folder.
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// The archive is compressed, with this.
    Compressed(&'static str),
    /// The archive is not one that is read.
    Archive(ArchiveFault),
    /// A file that every layout has is not in it, or is none.
    Missing(&'static str),
    /// A file of the layout is not JSON that can be read in one way.
    Json(&'static str, JsonError),
    /// A field of a file is missing or not what it must be.
    Field(&'static str, &'static str),
    /// More of something than is read or written.
    TooMany {
        /// Of what.
        what: &'static str,
        /// The most.
        limit: u64,
    },
}

/// Why an archive is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveFault {
    /// A header that is none.
    Header,
    /// It ends before its members do.
    Truncated,
    /// A member's name leads out of the archive, or is no text (attack E2).
    Name(String),
    /// Two members of one name.
    Twice(String),
    /// A link, device or sparse file in the place of a file of the layout.
    Kind(String),
    /// A member with extensions under which readers could see another name, size or content.
    Extension,
}

/// Why a manifest in a layout, or a part of it, was not imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skipped {
    /// Its digest is none, or of another algorithm than sha256.
    Algorithm,
    /// This annotation about where it was found is missing or malformed.
    Annotation(&'static str),
    /// Nothing says which repository it is from, and none was given.
    NoRepository,
    /// Nothing says what it is about.
    NoSubject,
    /// It carries nothing that signatures are made of, or this is not in the layout.
    NoEvidence,
    /// It is not in the layout.
    Missing,
    /// It has more bytes than are kept.
    TooLarge,
    /// Its bytes have another digest (attack A7).
    Digest,
    /// Its bytes are more or fewer than the layout says.
    Size,
    /// It is no manifest that can be read in one way.
    Document(DocumentError),
    /// The store has what this place held later.
    Older,
    /// More than are kept of one place.
    TooMany,
    /// The store does not keep it.
    Unfit(Unfit),
    /// The store has too many entries about its subject.
    Crowded,
}

impl From<StoreError> for LayoutError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ArchiveFault> for LayoutError {
    fn from(fault: ArchiveFault) -> Self {
        Self::Archive(fault)
    }
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Output(kind) => write!(f, "the layout could not be written: {}", Words(*kind)),
            Self::Input { path, kind } => {
                write!(f, "{} could not be read: {}", path.display(), Words(*kind))
            }
            Self::NotAFile { path } => {
                write!(f, "{} is neither a file nor a folder", path.display())
            }
            Self::Compressed(with) => {
                write!(
                    f,
                    "the archive is compressed with {with}, expected a plain tar file: decompress \
                     it first"
                )
            }
            Self::Archive(fault) => write!(f, "the archive is not one that is read: {fault}"),
            Self::Missing(name) => write!(f, "there is no file {name}: not an OCI image layout"),
            Self::Json(name, error) => write!(f, "{name}: {error}"),
            Self::Field(name, field) => {
                write!(f, "{name}: field \"{field}\" is missing or not what it must be")
            }
            Self::TooMany { what, limit } => {
                write!(f, "the layout has more than {limit} {what}, which is the most")
            }
        }
    }
}

impl std::error::Error for LayoutError {}

impl fmt::Display for ArchiveFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("a member's header is malformed, or it is no tar file"),
            Self::Truncated => f.write_str("it ends before its members do"),
            Self::Name(name) => write!(f, "member \"{}\" leads out of it", shown(name)),
            Self::Twice(name) => write!(f, "member \"{}\" stands twice", shown(name)),
            Self::Kind(name) => write!(f, "member \"{}\" is not a plain file", shown(name)),
            Self::Extension => {
                f.write_str("a member has extensions that change its name, size or content")
            }
        }
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Algorithm => f.write_str("its digest is not a sha256 digest"),
            Self::Annotation(name) => write!(f, "annotation {name} is missing or malformed"),
            Self::NoRepository => f.write_str("nothing says which repository it is from: name one"),
            Self::NoSubject => f.write_str("nothing says which image it is about"),
            Self::NoEvidence => f.write_str(
                "it carries no signatures or attestations, or they are not in the layout",
            ),
            Self::Missing => f.write_str("it is not in the layout"),
            Self::TooLarge => f.write_str("it is larger than what is kept"),
            Self::Digest => f.write_str("its bytes have another digest"),
            Self::Size => f.write_str("its bytes are more or fewer than the layout says"),
            Self::Document(error) => write!(f, "it is no manifest: {error}"),
            Self::Older => f.write_str("what this node has of that place is newer"),
            Self::TooMany => f.write_str("more than are kept of one place"),
            Self::Unfit(unfit) => unfit.fmt(f),
            Self::Crowded => f.write_str("this node has too many entries about the same image"),
        }
    }
}

/// What was passed over, for messages: a digest, or text that should have been one.
pub(super) fn named(digest: &Digest) -> String {
    digest.to_string()
}
