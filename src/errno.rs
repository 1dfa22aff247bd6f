//! [`Words`]: what the system answered, in words for people; the standard library's are its own
//! ("entity not found"). [`told`] has those of an error that a program may have made itself.

use std::fmt;
use std::io::{self, ErrorKind};

/// What an error says, in words and without a number: the system's as [`Words`], or by the name
/// that it has in the manual where there are none; one that a program made in its own.
#[must_use]
pub fn told(error: &io::Error) -> String {
    if let Some(inner) = error.get_ref() {
        return match inner.downcast_ref::<io::Error>() {
            Some(inner) => told(inner),
            None => inner.to_string(),
        };
    }
    let kind = error.kind();
    match error.raw_os_error() {
        // The system's own name for it, without the number that the standard library adds.
        Some(_) if !has_words(kind) => {
            format!("the system failed: {}", without_number(&error.to_string()))
        }
        Some(_) | None => Words(kind).to_string(),
    }
}

/// What a library says of an error, without the number of the system's that the standard library
/// adds at the end.
#[must_use]
pub fn without_number(said: &str) -> &str {
    match said.rsplit_once(" (os error ") {
        Some((words, rest)) if rest.ends_with(')') => words,
        Some(_) | None => said,
    }
}

/// Whether there are words of ours for the kind.
fn has_words(kind: ErrorKind) -> bool {
    words(kind).is_some()
}

/// Shows an answer of the system as a clause that can stand behind a colon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words(pub ErrorKind);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match words(self.0) {
            Some(words) => f.write_str(words),
            None => write!(f, "the system failed ({})", self.0),
        }
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the standard library adds kinds; the rest are told by its own words"
)]
fn words(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::NotFound => "it does not exist",
        ErrorKind::PermissionDenied => "permission denied; root may",
        ErrorKind::AlreadyExists => "it exists already",
        ErrorKind::NotADirectory => "what should be a folder is a file",
        ErrorKind::IsADirectory => "it is a folder",
        ErrorKind::ConnectionRefused => "nobody listens there",
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            "the other side closed the connection"
        }
        ErrorKind::NotConnected => "there is no connection",
        ErrorKind::AddrInUse => "somebody listens there already",
        ErrorKind::AddrNotAvailable => "this machine has no such address",
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
            "no way through the network leads there"
        }
        ErrorKind::TimedOut => "it took too long",
        ErrorKind::WouldBlock => "somebody else is using it",
        ErrorKind::InvalidInput => "the system does not accept it",
        ErrorKind::InvalidData => "its content is not what it should be",
        ErrorKind::UnexpectedEof => "it ends too early",
        ErrorKind::WriteZero => "nothing more could be written",
        ErrorKind::StorageFull => "no space is left on the disk",
        ErrorKind::QuotaExceeded => "the disk quota is used up",
        ErrorKind::FileTooLarge => "the file would be too large",
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only",
        ErrorKind::ResourceBusy | ErrorKind::ExecutableFileBusy => "it is in use",
        ErrorKind::OutOfMemory => "no memory is left",
        ErrorKind::Unsupported => "the system cannot do that",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_is_told_in_words() {
        assert_eq!(Words(ErrorKind::NotFound).to_string(), "it does not exist");
        assert_eq!(Words(ErrorKind::Other).to_string(), "the system failed (other error)");
    }

    #[test]
    fn an_error_is_told_without_its_number() {
        let of_system = |number| told(&io::Error::from_raw_os_error(number));
        assert_eq!(of_system(2), "it does not exist");
        assert_eq!(of_system(5), "the system failed: Input/output error");
        assert_eq!(told(&io::Error::other("the frame is cut")), "the frame is cut");
        let inside = io::Error::other(io::Error::from_raw_os_error(13));
        assert_eq!(told(&inside), "permission denied; root may");
    }
}
