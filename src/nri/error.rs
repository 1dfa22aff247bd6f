//! [`SessionError`]: why the runtime does not ask.

use std::fmt;
use std::io::ErrorKind;

/// Why a session ended, or did not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionError {
    /// Nobody listens: NRI is off, or the runtime is away.
    Connect(ErrorKind),
    /// The connection ended.
    Broke(ErrorKind),
    /// A message or frame is larger than one may be.
    TooLarge {
        /// Its bytes.
        got: usize,
        /// The most there may be.
        limit: usize,
    },
    /// A number that the protocol does not have.
    Malformed {
        /// Of what.
        what: &'static str,
        /// Which.
        got: u32,
    },
    /// A message that cannot be decoded.
    Undecodable,
    /// The runtime did not take the plugin.
    Rejected(String),
    /// The runtime did not configure the plugin in time.
    NotConfigured,
    /// The runtime goes down.
    Shutdown,
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(ErrorKind::NotFound | ErrorKind::ConnectionRefused) => f.write_str(
                "nothing listens on the NRI socket; the runtime is down, has no NRI (containerd \
                 before 1.7) or has it disabled (by default before 2.0)",
            ),
            Self::Connect(kind) => write!(f, "the NRI socket cannot be connected to ({kind})"),
            Self::Broke(kind) => write!(f, "the runtime ended the NRI connection ({kind})"),
            Self::TooLarge { got, limit } => {
                write!(f, "an NRI message of {got} bytes, of which at most {limit} are taken")
            }
            Self::Malformed { what, got } => write!(f, "NRI has no {what} {got}"),
            Self::Undecodable => f.write_str("an NRI message cannot be decoded"),
            Self::Rejected(why) => write!(f, "the runtime did not take the NRI plugin: {why:?}"),
            Self::NotConfigured => f.write_str("the runtime did not configure the NRI plugin"),
            Self::Shutdown => f.write_str("the runtime is going down"),
        }
    }
}
