//! [`ControlError`]: why the running gate could not be asked.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::errno;

/// Why the gate could not be asked.
#[derive(Debug)]
pub enum ControlError {
    /// Nobody listens, or this user may not connect.
    Connect {
        /// Where.
        socket: PathBuf,
        /// What the system answered.
        error: io::Error,
    },
    /// The conversation broke off.
    Talk(io::Error),
    /// It took longer than this.
    Slow(Duration),
    /// The connection ended without an answer.
    Unanswered,
    /// The answer is none.
    Malformed,
}

impl std::fmt::Display for ControlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect { socket, error } => {
                let what = if error.kind() == io::ErrorKind::PermissionDenied {
                    "run this as root"
                } else {
                    "is sealgate.service running? (systemctl status sealgate)"
                };
                let (socket, why) = (socket.display(), errno::told(error));
                write!(f, "the gate does not answer on {socket}: {why}; {what}")
            }
            Self::Talk(error) => write!(f, "the gate broke off: {}", errno::told(error)),
            Self::Slow(limit) => write!(f, "the gate did not answer within {} s", limit.as_secs()),
            Self::Unanswered => {
                f.write_str("the gate gave no answer; it may be busy or stopping: see its journal")
            }
            Self::Malformed => {
                f.write_str("the gate's answer cannot be read; is it of the same version?")
            }
        }
    }
}

impl std::error::Error for ControlError {}
