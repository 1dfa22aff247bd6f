//! [`Words`]: what the system answered, in words for people; the standard library's are its own
//! ("entity not found").

use std::fmt;
use std::io::ErrorKind;

/// Shows an answer of the system as a clause that can stand behind a colon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words(pub ErrorKind);

impl fmt::Display for Words {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "the standard library adds kinds; the rest are told by its own words"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.0 {
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
            other => return write!(f, "the system failed ({other})"),
        };
        f.write_str(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_is_told_in_words() {
        assert_eq!(Words(ErrorKind::NotFound).to_string(), "it does not exist");
        assert_eq!(Words(ErrorKind::Other).to_string(), "the system failed (other error)");
    }
}
