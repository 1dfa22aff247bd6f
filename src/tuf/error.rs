//! [`UpdateError`]: why a trust root was not refreshed, in words that a tired person can act on;
//! [`FetchError`]: what the mirror did; [`StateFault`]: what is wrong on disk.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::errno::Words;
use crate::file_trust::OwnershipFault;

/// Why an update did not happen. The root in place stays what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateError {
    /// The mirror's URL cannot be used.
    Mirror {
        /// The URL.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The proxy's URL cannot be used.
    Proxy {
        /// The URL.
        url: String,
    },
    /// No HTTP client could be made.
    Client(String),
    /// The TUF root to begin with is none, or is not signed by its own keys.
    Root(String),
    /// Another update of this root is under way.
    Busy {
        /// The root's name.
        name: String,
    },
    /// What is kept on disk cannot be used.
    State(StateFault),
    /// A request failed.
    Fetch(FetchError),
    /// A file that must be there is not.
    Missing(String),
    /// The chain of roots goes on after as many as one update follows. Those are kept.
    Behind {
        /// The version that was come to.
        root_version: u64,
    },
    /// It took too long.
    Deadline {
        /// The limit.
        seconds: u64,
    },
    /// Metadata has expired: the mirror is frozen or abandoned, or this node's clock is wrong.
    Expired {
        /// Which.
        role: String,
        /// When.
        at: Timestamp,
    },
    /// Metadata is older than what was seen before.
    Rollback {
        /// Which.
        role: String,
        /// The version that was seen.
        seen: u64,
        /// The version that came.
        got: u64,
    },
    /// Metadata is not signed by as many keys as it must be.
    Signatures {
        /// Which.
        role: String,
        /// Good signatures.
        found: usize,
        /// How many it must have.
        threshold: usize,
    },
    /// A file is not the one that signed metadata names.
    Mismatch(String),
    /// Metadata is none, or is signed in a way that cannot be checked.
    Malformed(String),
    /// The repository has no trusted root.
    NoTarget,
    /// What was fetched is good metadata and not a trusted root that can be used.
    Unusable(String),
}

/// What the mirror did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchError {
    /// No answer.
    Unreachable {
        /// What was asked for.
        url: String,
        /// What happened.
        why: String,
    },
    /// The answer broke off.
    BrokenOff {
        /// What was asked for.
        url: String,
        /// What happened.
        why: String,
    },
    /// An error of the server.
    Status {
        /// What was asked for.
        url: String,
        /// Its code.
        status: u16,
    },
    /// A redirect; none is followed.
    Redirect {
        /// What was asked for.
        url: String,
        /// Where it leads, as the server wrote it.
        to: String,
    },
    /// More bytes than the file may have.
    TooLarge {
        /// What was asked for.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// Metadata names a file outside of the mirror.
    Outside {
        /// The name.
        path: String,
    },
}

/// What is wrong on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateFault {
    /// A file or folder cannot be read or written.
    Io {
        /// Which.
        path: PathBuf,
        /// What the system answered.
        kind: io::ErrorKind,
    },
    /// Others could change it.
    Unsafe(OwnershipFault),
    /// A kept file is no metadata.
    Damaged {
        /// Which.
        path: PathBuf,
    },
}

impl UpdateError {
    /// What the library found.
    pub(super) fn from_tuf(error: sigstore_tuf::Error) -> Self {
        use sigstore_tuf::Error as Tuf;
        let words = chain(&error);
        match error {
            Tuf::Expired { role, expires } => Self::Expired { role, at: expires },
            Tuf::Rollback { role, trusted, new } => {
                Self::Rollback { role, seen: trusted, got: new }
            }
            Tuf::BadRootVersion { trusted, new } => {
                Self::Rollback { role: "root".to_owned(), seen: trusted, got: new }
            }
            Tuf::ThresholdNotMet { role, found, threshold } => {
                Self::Signatures { role, found, threshold }
            }
            Tuf::IntegrityMismatch(what) => Self::Mismatch(what),
            Tuf::TargetNotFound(_) => Self::NoTarget,
            Tuf::Transport { message, source } => {
                let fetch = source.as_ref().and_then(|source| source.downcast_ref::<FetchError>());
                fetch.map_or(Self::Missing(message), |fetch| Self::Fetch(fetch.clone()))
            }
            Tuf::Json(_)
            | Tuf::Malformed(_)
            | Tuf::NonIntegerNumber
            | Tuf::UnusableKey { .. }
            | Tuf::UnsupportedScheme { .. }
            | Tuf::UnknownRole(_)
            | Tuf::DuplicateSignature { .. }
            | Tuf::EqualVersion { .. }
            | Tuf::Crypto(_)
            | Tuf::NotRefreshed
            | Tuf::Io { .. }
            | _ => Self::Malformed(words),
        }
    }
}

/// An error and what is behind it, on one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut behind = error.source();
    while let Some(cause) = behind {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        behind = cause.source();
    }
    words
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mirror { url, problem } => {
                write!(f, "the mirror's URL {} {problem}", url.escape_default())
            }
            Self::Proxy { url } => {
                write!(
                    f,
                    "trust.proxy is {}, expected http://host:port or https://host:port",
                    url.escape_default()
                )
            }
            Self::Client(why) => {
                write!(f, "no HTTP client could be made ({why}); is ca-certificates installed?")
            }
            Self::Root(why) => {
                write!(f, "the TUF root to begin with cannot be used: {}", why.escape_default())
            }
            Self::Busy { name } => {
                write!(f, "another update of {name} is under way; try again when it is done")
            }
            Self::State(fault) => write!(f, "{fault}"),
            Self::Fetch(error) => write!(f, "{error}"),
            Self::Missing(what) => {
                write!(
                    f,
                    "the mirror is no whole TUF repository ({}); is its URL right?",
                    what.escape_default()
                )
            }
            Self::Behind { root_version } => {
                write!(
                    f,
                    "this node is far behind; it has come to root version {root_version}, run it \
                     again to go on"
                )
            }
            Self::Deadline { seconds } => {
                write!(f, "the mirror did not deliver within {seconds} s (trust.update_seconds)")
            }
            Self::Expired { .. }
            | Self::Rollback { .. }
            | Self::Signatures { .. }
            | Self::Mismatch(_)
            | Self::Malformed(_)
            | Self::NoTarget
            | Self::Unusable(_) => self.fmt_metadata(f),
        }
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "a part of one match; Display lists every variant"
)]
impl UpdateError {
    /// What is wrong with the metadata and files of the mirror.
    fn fmt_metadata(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { role, at } => write!(
                f,
                "the mirror's {} metadata expired at {at}: it is out of date, or this node's clock \
                 is wrong",
                role.escape_default()
            ),
            Self::Rollback { role, seen, got } => write!(
                f,
                "the mirror offers version {got} of {}, but version {seen} was seen before: it is \
                 out of date, or someone turns it back",
                role.escape_default()
            ),
            Self::Signatures { role, found, threshold } => write!(
                f,
                "the mirror's {} metadata has {found} good signatures, expected {threshold}: is \
                 this the TUF root of this mirror?",
                role.escape_default()
            ),
            Self::Mismatch(what) => {
                write!(
                    f,
                    "the mirror's files do not fit together: {}; try again later",
                    what.escape_default()
                )
            }
            Self::Malformed(what) => {
                write!(f, "the mirror's metadata cannot be used: {}", what.escape_default())
            }
            Self::NoTarget => write!(f, "the mirror has no {}", super::target::TARGET),
            Self::Unusable(why) => {
                write!(
                    f,
                    "the mirror's {} cannot be used: {}",
                    super::target::TARGET,
                    why.escape_default()
                )
            }
            _ => Ok(()),
        }
    }
}

impl Error for UpdateError {}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { url, why } => {
                write!(f, "{} could not be reached: {}", url.escape_default(), why.escape_default())
            }
            Self::BrokenOff { url, why } => {
                write!(f, "{} broke off: {}", url.escape_default(), why.escape_default())
            }
            Self::Status { url, status } => {
                write!(f, "{} answered with status {status}", url.escape_default())
            }
            Self::Redirect { url, to } => write!(
                f,
                "{} leads on to {}, and redirects are not followed; if that is the mirror, \
                 configure it",
                url.escape_default(),
                to.escape_default()
            ),
            Self::TooLarge { url, limit } => {
                write!(f, "{} is larger than {limit} bytes", url.escape_default())
            }
            Self::Outside { path } => {
                write!(
                    f,
                    "the mirror's metadata names a file outside of it: {}",
                    path.escape_default()
                )
            }
        }
    }
}

impl Error for FetchError {}

impl fmt::Display for StateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, kind: io::ErrorKind::PermissionDenied } => {
                write!(f, "{}: permission denied; are you root?", path.display())
            }
            Self::Io { path, kind } => write!(f, "{}: {}", path.display(), Words(*kind)),
            Self::Unsafe(fault) => {
                write!(f, "the folder of fetched roots is not safe from others: {fault}")
            }
            Self::Damaged { path } => write!(
                f,
                "{} is damaged; remove it to begin anew (versions seen before are then forgotten)",
                path.display()
            ),
        }
    }
}

impl Error for StateFault {}
