//! Who is answered: the process at the other end of a connection, whether it may ask, and why not
//! ([`Refused`]).

use std::{fmt, io};

use tokio::net::UnixStream;

use super::connection::seats::{Full, Peer};

/// Why a connection is closed unanswered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Its user is not on the list.
    User(u32),
    /// The kernel does not say whose it is.
    Unknown,
    /// There is no place for it.
    Full(Full),
}

/// The process at the other end, as the kernel knows it.
pub(super) fn peer(stream: &UnixStream) -> io::Result<Peer> {
    let credentials = stream.peer_cred()?;
    Ok(Peer { process: credentials.pid().unwrap_or(0), user: credentials.uid() })
}

/// Whether the process at the other end may ask: its user is on the list, or is the gate's own.
#[must_use]
pub fn admits(stream: &UnixStream, allowed_uids: &[u32]) -> bool {
    peer(stream).is_ok_and(|peer| allowed(peer.user, allowed_uids))
}

/// Whether processes of this user are answered: the gate's own user always is, since it can do all
/// the gate can.
pub(super) fn allowed(uid: u32, list: &[u32]) -> bool {
    list.contains(&uid) || uid == nix::unistd::geteuid().as_raw()
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(uid) => {
                write!(f, "its process runs as user {uid}, which allowed_uids does not name")
            }
            Self::Unknown => f.write_str("the kernel does not say whose it is"),
            Self::Full(why) => why.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_e_only_listed_users_and_our_own_are_answered() {
        let own = nix::unistd::geteuid().as_raw();
        let stranger = own + 1;
        assert!(allowed(own, &[]));
        assert!(allowed(stranger, &[0, stranger]));
        assert!(!allowed(stranger, &[]));
        assert!(!allowed(stranger, &[stranger + 1]));
    }
}
