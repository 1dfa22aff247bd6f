//! [`RuntimeError`]: containerd did not answer, or not what was asked. [`ProofError`]: what it has
//! is not what was to be proven.

use std::fmt;

use tonic::{Code, Status};

use crate::errno;
use crate::image::{Digest, DocumentError};

/// Longest text of the runtime's that is repeated in a message of ours.
const TEXT_MAX: usize = 400;

/// Why a call of the runtime gave nothing. Never says that something is absent: that is `None`
/// where it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuntimeError {
    /// Nobody listens on the socket, or the connection broke: containerd is down or restarting.
    Unavailable {
        /// The call that failed.
        call: &'static str,
        /// What the transport says.
        reason: String,
    },
    /// No answer within the limit of a call.
    TimedOut {
        /// The call that failed.
        call: &'static str,
    },
    /// An answer, and it is an error.
    Refused {
        /// The call that failed.
        call: &'static str,
        /// The gRPC code.
        code: Code,
        /// containerd's own words, untrusted.
        untrusted_message: String,
    },
    /// An answer that does not say what it must.
    Malformed {
        /// The call that failed.
        call: &'static str,
        /// What is missing or wrong.
        what: &'static str,
    },
    /// The name was written, and the CRI does not show it in time.
    NameNotSeen {
        /// The name.
        name: String,
        /// The image that it shall mean.
        id: Digest,
        /// The image that the CRI says it means.
        got: Option<Digest>,
    },
}

/// Why something could not be proven. [`ProofError::Runtime`] means that it could not be evaluated;
/// with every other the runtime answered, and what it has is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProofError {
    /// The runtime did not answer.
    Runtime(RuntimeError),
    /// The content is not in the runtime's store.
    ContentMissing(Digest),
    /// The bytes stored under a digest have another one.
    ContentDiffers {
        /// The digest they are stored under.
        expected: Digest,
        /// The digest they have.
        got: Digest,
    },
    /// Content larger than such a document may be.
    ContentTooLarge {
        /// Its digest.
        digest: Digest,
        /// The limit, in bytes.
        limit: usize,
    },
    /// Content that does not parse as what it must be.
    Document {
        /// Its digest.
        digest: Digest,
        /// Why not.
        error: DocumentError,
    },
    /// No manifest under the target has the config that is the image's id: the record lies (fact
    /// C5).
    NotThisImage {
        /// What the record points at.
        target: Digest,
        /// The id that it should lead to.
        id: Digest,
    },
    /// The index has more documents under it than are looked at.
    TooManyDocuments {
        /// The index.
        target: Digest,
        /// The limit, in documents.
        limit: usize,
    },
    /// There is no such container.
    ContainerMissing(String),
    /// The container's root filesystem is not a snapshot.
    NoSnapshot(String),
    /// The snapshot that the container names does not exist.
    SnapshotMissing {
        /// The snapshotter.
        snapshotter: String,
        /// The key.
        key: String,
    },
    /// The snapshotter is not one that checks layers.
    SnapshotterNotAllowed(String),
    /// The runtime is not one that runs the snapshot.
    RuntimeNotAllowed(String),
    /// The runtime noted that the container was made from another image.
    ImageDiffers {
        /// The id of the image that was admitted.
        expected: Digest,
        /// The one that was noted.
        got: Digest,
    },
    /// The container bears no note of what it was made from: it was not made through the CRI.
    NoNotes(String),
    /// The snapshot was made on top of another image's layers.
    ParentDiffers {
        /// The ChainID of the image that was admitted.
        expected: Digest,
        /// The parent that the snapshot has.
        got: String,
    },
    /// The container is in another sandbox than the one that it was decided for.
    SandboxDiffers {
        /// The id of that one.
        expected: String,
        /// The one that it is in.
        got: String,
    },
    /// An image volume that was admitted is not among the container's mounts, or not as an image
    /// volume.
    VolumeMissing(String),
    /// The container mounts an image volume that was not admitted.
    VolumeUnexpected(String),
}

impl From<RuntimeError> for ProofError {
    fn from(error: RuntimeError) -> Self {
        Self::Runtime(error)
    }
}

impl From<(&'static str, Status)> for RuntimeError {
    fn from((call, status): (&'static str, Status)) -> Self {
        let text = shorten(status.message());
        // A status that containerd sent has no source; one with a source was made by the transport
        // on this side.
        let transport = std::error::Error::source(&status).is_some();
        let code = status.code();
        if transport || code == Code::Unavailable {
            Self::Unavailable { call, reason: text }
        } else if code == Code::DeadlineExceeded {
            Self::TimedOut { call }
        } else {
            Self::Refused { call, code, untrusted_message: text }
        }
    }
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable { call, reason } => {
                write!(
                    f,
                    "containerd cannot be reached for {call}: {}; check that it runs and \
                     which socket is configured",
                    errno::without_number(reason)
                )
            }
            Self::TimedOut { call } => write!(f, "containerd did not answer {call} in time"),
            Self::Refused { call, code, untrusted_message } => {
                write!(f, "containerd answered {call} with {code:?}: {untrusted_message}")
            }
            Self::Malformed { call, what } => write!(f, "containerd's answer to {call} has {what}"),
            Self::NameNotSeen { name, id, got: Some(got) } => {
                write!(
                    f,
                    "containerd was told that {name} is image {id}, and still shows {got} under it"
                )
            }
            Self::NameNotSeen { name, id, got: None } => {
                write!(
                    f,
                    "containerd was told that {name} is image {id}, and shows nothing under it"
                )
            }
        }
    }
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runtime(error) => error.fmt(f),
            Self::ContentMissing(digest) => {
                write!(f, "containerd has no content {digest}; pull the image again")
            }
            Self::ContentDiffers { expected, got } => {
                write!(
                    f,
                    "containerd's content {expected} hashes to {got}; its store is damaged or was \
                     tampered with"
                )
            }
            Self::ContentTooLarge { digest, limit } => {
                write!(f, "content {digest} is larger than {limit} bytes")
            }
            Self::Document { digest, error } => {
                write!(f, "content {digest} is not what it should be: {error}")
            }
            Self::NotThisImage { target, id } => {
                write!(
                    f,
                    "content {target} does not lead to image {id}: the name that joins them in \
                     containerd is false"
                )
            }
            Self::TooManyDocuments { target, limit } => {
                write!(f, "index {target} has more than {limit} documents under it")
            }
            Self::ContainerMissing(_)
            | Self::NoSnapshot(_)
            | Self::SnapshotMissing { .. }
            | Self::SnapshotterNotAllowed(_)
            | Self::RuntimeNotAllowed(_)
            | Self::ImageDiffers { .. }
            | Self::NoNotes(_)
            | Self::ParentDiffers { .. }
            | Self::SandboxDiffers { .. }
            | Self::VolumeMissing(_)
            | Self::VolumeUnexpected(_) => self.fmt_container(f),
        }
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "a part of one match; Display lists every variant"
)]
impl ProofError {
    /// What is wrong with the container that was made.
    fn fmt_container(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContainerMissing(id) => write!(f, "containerd has no container {id:?}"),
            Self::NoSnapshot(id) => {
                write!(f, "the root filesystem of container {id:?} is not a snapshot")
            }
            Self::SnapshotMissing { snapshotter, key } => {
                write!(f, "containerd has no snapshot {key:?} in snapshotter {snapshotter:?}")
            }
            Self::SnapshotterNotAllowed(name) => write!(
                f,
                "snapshotter {name:?} is not among those known to compare layers with the image; \
                 allow it by name if it does"
            ),
            Self::RuntimeNotAllowed(name) => write!(
                f,
                "runtime {name:?} is not among those known to run containerd's snapshot; allow it \
                 by name if it does"
            ),
            Self::ImageDiffers { expected, got } => {
                write!(
                    f,
                    "containerd noted image {got} for the container, the admitted image is \
                     {expected}"
                )
            }
            Self::NoNotes(id) => {
                write!(f, "containerd has no note of what container {id:?} was made from")
            }
            Self::ParentDiffers { expected, got } => {
                write!(f, "the snapshot was made from {got:?}, the admitted image is {expected}")
            }
            Self::SandboxDiffers { expected, got } => {
                write!(f, "the container is in sandbox {got:?}, expected {expected:?}")
            }
            Self::VolumeMissing(path) => {
                write!(f, "the container has no image volume at {path:?}, one was admitted")
            }
            Self::VolumeUnexpected(path) => {
                write!(f, "the container has an image volume at {path:?} that nobody admitted")
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for RuntimeError {}

impl std::error::Error for ProofError {}

/// Turns the runtime's NOT_FOUND into `None`.
pub(super) fn found<T>(answer: Result<T, RuntimeError>) -> Result<Option<T>, RuntimeError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(RuntimeError::Refused { code: Code::NotFound, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The runtime's words, safe to print: no control characters, bounded.
fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(TEXT_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(TEXT_MAX).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut() {
        let status = Status::unknown("é".repeat(TEXT_MAX + 1));
        let RuntimeError::Refused { untrusted_message, .. } =
            RuntimeError::from(("Version", status))
        else {
            panic!()
        };
        assert_eq!(untrusted_message.chars().count(), TEXT_MAX + 1);
        assert!(untrusted_message.ends_with('…'));
    }

    #[test]
    fn only_not_found_is_absence() {
        let answer =
            |code| found::<()>(Err(RuntimeError::from(("Version", Status::new(code, "")))));
        assert_eq!(answer(Code::NotFound), Ok(None));
        for code in
            [Code::Unavailable, Code::Unimplemented, Code::PermissionDenied, Code::DeadlineExceeded]
        {
            assert!(answer(code).is_err(), "{code:?}");
        }
    }
}
