//! [`AuditError`]: why the log could not be opened, or a decision not be recorded.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::errno::Words;
use crate::file_trust::OwnershipFault;

/// Why a record is not on disk, or why there is no log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditError {
    /// The disk, or the quota, is full.
    Full {
        /// The file that was to grow.
        path: PathBuf,
    },
    /// The system refused something else.
    Io {
        /// What was being done.
        action: Action,
        /// To which file.
        path: PathBuf,
        /// What the system answered.
        kind: io::ErrorKind,
    },
    /// The disk did not take the record in time. It waits, and is written when the disk takes it.
    Late {
        /// How long was waited.
        limit: Duration,
    },
    /// As many records wait as may wait.
    Overloaded {
        /// How many may.
        limit: usize,
    },
    /// The log was closed.
    Closed,
    /// The record cannot be written as JSON.
    Encode {
        /// What the encoder said.
        message: String,
    },
    /// The log's file or a folder above it is not safe from others.
    Unsafe(OwnershipFault),
    /// The path is a symbolic link, a folder, a device, not absolute, or has a second name.
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// Another process writes this log.
    InUse {
        /// The lock that it holds.
        path: PathBuf,
    },
    /// The permission bits would let others write the log, or anyone read it.
    Mode {
        /// As configured.
        mode: u32,
    },
    /// Files of this size could not hold a record.
    TooSmall {
        /// As configured.
        max_bytes: u64,
        /// The least that can be.
        least: u64,
    },
}

/// What the log was doing when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Opening the file.
    Open,
    /// Taking the lock.
    Lock,
    /// Reading.
    Read,
    /// Adding lines.
    Write,
    /// Waiting for the disk.
    Sync,
    /// Removing what was written in part.
    Truncate,
    /// Renaming for a new file.
    Rotate,
    /// Starting the thread that writes.
    Start,
}

impl AuditError {
    pub(super) fn io(action: Action, path: impl Into<PathBuf>, error: &io::Error) -> Self {
        let (path, kind) = (path.into(), error.kind());
        if matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            Self::Full { path }
        } else {
            Self::Io { action, path, kind }
        }
    }

    /// Whether it may pass by itself: the log is opened all the same, and tried again with each
    /// record. What an operator has to put right (a wrong path, a log that others could write) does
    /// not.
    pub(super) const fn may_pass(&self) -> bool {
        match self {
            Self::Full { .. } | Self::Late { .. } | Self::Overloaded { .. } => true,
            Self::Io { kind, .. } => !matches!(
                kind,
                io::ErrorKind::NotFound
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::InvalidInput
                    | io::ErrorKind::InvalidFilename
            ),
            Self::Closed
            | Self::Encode { .. }
            | Self::Unsafe(_)
            | Self::NotAFile { .. }
            | Self::InUse { .. }
            | Self::Mode { .. }
            | Self::TooSmall { .. } => false,
        }
    }

    /// A short code that does not change between versions.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Full { .. } => "audit_full",
            Self::Io { .. } => "audit_io",
            Self::Late { .. } => "audit_late",
            Self::Overloaded { .. } => "audit_overloaded",
            Self::Closed => "audit_closed",
            Self::Encode { .. } => "audit_encode",
            Self::Unsafe(_) | Self::NotAFile { .. } => "audit_unsafe",
            Self::InUse { .. } => "audit_in_use",
            Self::Mode { .. } | Self::TooSmall { .. } => "audit_options",
        }
    }
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { path } => {
                write!(f, "no space left for the audit log {}: free some", path.display())
            }
            Self::Io { action, path, kind } => {
                write!(f, "the audit log could not {action} {}: {}", path.display(), Words(*kind))
            }
            Self::Late { limit } => write!(
                f,
                "the audit log's disk did not take the record within {} ms; it waits and is \
                 written when the disk does",
                limit.as_millis()
            ),
            Self::Overloaded { limit } => {
                write!(f, "too many records wait for the audit log's disk, at most {limit} may")
            }
            Self::Closed => f.write_str("the audit log is closed"),
            Self::Encode { message } => {
                write!(f, "the record could not be written as json: {message}")
            }
            Self::Unsafe(fault) => write!(f, "the audit log is not safe from others: {fault}"),
            Self::NotAFile { path } => write!(
                f,
                "the audit log {} is not an absolute path to a plain file with one name: remove \
                 what is there",
                path.display()
            ),
            Self::InUse { path } => {
                write!(
                    f,
                    "another process holds {}: only one may write an audit log",
                    path.display()
                )
            }
            Self::Mode { mode } => {
                write!(
                    f,
                    "audit.mode is 0o{mode:o}, expected the owner's write bit and none beyond 0o640"
                )
            }
            Self::TooSmall { max_bytes, least } => {
                write!(f, "audit.max_bytes is {max_bytes}, expected at least {least}")
            }
        }
    }
}

impl std::error::Error for AuditError {}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Lock => "lock",
            Self::Read => "read",
            Self::Write => "write to",
            Self::Sync => "flush",
            Self::Truncate => "cut",
            Self::Rotate => "rename",
            Self::Start => "start its thread for",
        })
    }
}
