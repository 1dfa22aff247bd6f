//! [`ControlError`]: why the running gate could not be asked.

use std::io;
use std::time::Duration;

/// Why the gate could not be asked.
#[derive(Debug)]
pub enum ControlError {
    /// Nobody listens, or this user may not connect.
    Connect(io::Error),
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
            Self::Connect(error) => {
                write!(
                    f,
                    "the gate does not answer ({error}); is sealgate.service running, and are you \
                     root?"
                )
            }
            Self::Talk(error) => write!(f, "the gate broke off ({error})"),
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
