//! [`StoreError`]: why the store could not do what it was asked to; [`Unfit`]: why it would not;
//! [`Broken`]: why something in it counts as not there.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::errno::Words;
use crate::file_trust::OwnershipFault;
use crate::image::Digest;
use crate::image::json::JsonError;

/// Why the store could not be opened, or did not keep or give something. None of these says
/// anything about an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// A file or folder could not be read or written.
    File {
        /// What was being done.
        action: StoreAction,
        /// To which.
        path: PathBuf,
        /// What the system answered.
        kind: io::ErrorKind,
    },
    /// The disk, or the quota, is full.
    DiskFull {
        /// What was to be written.
        path: PathBuf,
    },
    /// The file system can only be read.
    ReadOnly {
        /// What was to be written.
        path: PathBuf,
    },
    /// The store has as much as it may, and all of it is or may be needed.
    Full {
        /// Bytes that were to be added.
        more: u64,
        /// Bytes that are there.
        bytes: u64,
        /// Bytes that may be there.
        max_bytes: u64,
    },
    /// The store's folder, or one above or in it, is not safe from others (attack E4).
    Unsafe(OwnershipFault),
    /// A link, a file or something else stands where a folder of the store should.
    NotAFolder {
        /// Which.
        path: PathBuf,
    },
    /// Another process, or another part of this one, holds the store for longer than is waited.
    Busy {
        /// The lock.
        path: PathBuf,
    },
    /// More files than are looked at.
    TooMany {
        /// Where.
        path: PathBuf,
        /// How many are.
        limit: usize,
    },
    /// It was given what it does not keep.
    Unfit(Unfit),
}

/// Why an entry is not kept as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// Bytes that have another digest than they were given with (attack A7).
    Mismatch {
        /// The digest that was claimed.
        claimed: Digest,
        /// The digest of the bytes.
        actual: Digest,
    },
    /// A blob with more bytes than are kept of one.
    TooLarge {
        /// Which.
        digest: Digest,
        /// The most.
        limit: u64,
    },
    /// The entry names a blob that came with it neither now nor before.
    Missing(Digest),
    /// The entry has no manifests: that nothing was found is not kept.
    Empty,
    /// More of these than an entry has.
    TooMany {
        /// Which list.
        list: &'static str,
        /// The most.
        limit: usize,
    },
}

/// What the store was doing when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreAction {
    /// Making a folder.
    Make,
    /// Opening.
    Open,
    /// Taking a lock.
    Lock,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Waiting for the disk.
    Sync,
    /// Giving a written file its name.
    Rename,
    /// Removing.
    Remove,
}

/// Why a file of the store is as if it were not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// A link, a folder, a device.
    NotAFile,
    /// Longer than this many bytes.
    TooLarge(u64),
    /// Its bytes have another digest than its name says.
    Digest,
    /// Not JSON that can be read in one way.
    Json(JsonError),
    /// A field is missing, unknown, or not what it must be.
    Field(&'static str),
    /// Of a form that this version does not know.
    Version(u64),
    /// About another place than its name says.
    Misplaced,
    /// Others own it or may write it (attack E4).
    Unsafe(OwnershipFault),
}

impl StoreError {
    pub(super) fn io(action: StoreAction, path: &Path, error: &io::Error) -> Self {
        let (path, kind) = (path.to_owned(), error.kind());
        if matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            Self::DiskFull { path }
        } else if kind == io::ErrorKind::ReadOnlyFilesystem {
            Self::ReadOnly { path }
        } else {
            Self::File { action, path, kind }
        }
    }

    /// Whether the store would say the same if it were given the same again.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Unfit(_) | Self::TooMany { .. })
    }

    /// A short code that does not change between versions.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "evidence_io",
            Self::DiskFull { .. } => "evidence_disk_full",
            Self::ReadOnly { .. } => "evidence_read_only",
            Self::Full { .. } => "evidence_full",
            Self::Unsafe(_) | Self::NotAFolder { .. } => "evidence_unsafe",
            Self::Busy { .. } => "evidence_busy",
            Self::TooMany { .. } => "evidence_too_many",
            Self::Unfit(_) => "evidence_unfit",
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { action, path, kind } => {
                write!(
                    f,
                    "the evidence store could not {action} {}: {}",
                    path.display(),
                    Words(*kind)
                )
            }
            Self::DiskFull { path } => {
                write!(f, "no space left for {} of the evidence store: free some", path.display())
            }
            Self::ReadOnly { path } => {
                write!(
                    f,
                    "the evidence store cannot write {}: the file system is read-only",
                    path.display()
                )
            }
            Self::Full { more, bytes, max_bytes } => write!(
                f,
                "the evidence store has {bytes} bytes that images may need, {more} more would pass \
                 the {max_bytes} of evidence.max_bytes: raise it, or prune"
            ),
            Self::Unsafe(fault) => write!(f, "the evidence store is not safe from others: {fault}"),
            Self::NotAFolder { path } => {
                write!(
                    f,
                    "{} is no folder of the evidence store: remove what is there",
                    path.display()
                )
            }
            Self::Busy { path } => {
                write!(f, "{} is held by another process for too long: try again", path.display())
            }
            Self::TooMany { path, limit } => {
                write!(
                    f,
                    "{} has more than {limit} files, more than are looked at: prune or remove it",
                    path.display()
                )
            }
            Self::Unfit(unfit) => write!(f, "the evidence store does not keep this: {unfit}"),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<Unfit> for StoreError {
    fn from(unfit: Unfit) -> Self {
        Self::Unfit(unfit)
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mismatch { claimed, actual } => {
                write!(f, "bytes given as {claimed} are {actual}")
            }
            Self::TooLarge { digest, limit } => write!(f, "{digest} has more than {limit} bytes"),
            Self::Missing(digest) => write!(f, "{digest} is named and was not given"),
            Self::Empty => f.write_str("an entry without manifests"),
            Self::TooMany { list, limit } => write!(f, "an entry with more than {limit} {list}"),
        }
    }
}

impl fmt::Display for StoreAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Make => "make",
            Self::Open => "open",
            Self::Lock => "lock",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "flush",
            Self::Rename => "name",
            Self::Remove => "remove",
        })
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAFile => f.write_str("not a plain file"),
            Self::TooLarge(limit) => write!(f, "longer than {limit} bytes"),
            Self::Digest => f.write_str("its bytes have another digest than its name says"),
            Self::Json(error) => error.fmt(f),
            Self::Field(name) => {
                write!(f, "field \"{name}\" is missing, unknown or not what it must be")
            }
            Self::Version(version) => {
                write!(f, "of version {version}, which this version does not know")
            }
            Self::Misplaced => f.write_str("about another place than its name says"),
            Self::Unsafe(fault) => fault.fmt(f),
        }
    }
}
