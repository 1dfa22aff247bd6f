//! [`peers`]: the other ends of the connections that a Unix socket has taken, by the kernel's own
//! list (sock_diag(7)): `/proc/net/unix` does not say who is connected to whom.
//!
//! The list is that of this process's network namespace, which is the listener's; where a client is
//! does not matter. Ends are inode numbers, as the links in `/proc/PID/fd` have them.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
    sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

/// Longest silence of the kernel, in seconds; it answers at once.
const SILENCE_SECONDS: i64 = 2;
/// One read of the answer, in bytes: the kernel hands out at most 32 KiB at a time.
const READ_MAX: usize = 64 << 10;
/// Most reads of one answer: a million sockets, of which a node has some thousands.
const READS_MAX: usize = 4096;

/// `SOCK_DIAG_BY_FAMILY`, `NLMSG_ERROR` and `NLMSG_DONE` of linux/sock_diag.h and linux/netlink.h.
const BY_FAMILY: u16 = 20;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const FLAGS: u16 = 0x301;
/// Sockets that are connected or listen (TCP's numbers of states, 1 and 10).
const STATES: u32 = (1 << 1) | (1 << LISTENS);
const LISTENS: u8 = 10;
/// `UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_PEER` of linux/unix_diag.h.
const SHOW: u32 = 7;
/// Attributes of an entry.
const NAME: u16 = 0;
const VFS: u16 = 1;
const PEER: u16 = 2;
/// `nlmsghdr`, `unix_diag_msg` and `rtattr`, in bytes.
const HEADER: usize = 16;
const ENTRY: usize = 16;
const ATTRIBUTE: usize = 4;

/// The socket that is looked for: by its path as it was bound, or by its file.
struct SoughtSocket<'p> {
    path: &'p [u8],
    inode: u32,
    device: u32,
}

/// One socket.
#[derive(Debug, Default, PartialEq, Eq)]
struct SocketEntry<'b> {
    state: u8,
    name: &'b [u8],
    file: Option<(u32, u32)>,
    peer: Option<u32>,
}

/// The inodes of those that are connected to the socket at `path`; none when nobody listens there
/// that can be seen from here.
///
/// # Errors
/// What the system answered: a kernel without `unix_diag`, a path that is not there.
pub(super) fn peers(path: &Path) -> io::Result<Option<Vec<u32>>> {
    let metadata = std::fs::metadata(path)?;
    let wanted = SoughtSocket {
        path: path.as_os_str().as_bytes(),
        inode: low(metadata.ino()),
        device: kernel_device(metadata.dev()),
    };
    let kernel = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )?;
    setsockopt(&kernel, sockopt::ReceiveTimeout, &TimeVal::seconds(SILENCE_SECONDS))?;
    send(kernel.as_raw_fd(), &request(), MsgFlags::empty())?;
    let (mut listens, mut found) = (false, Vec::new());
    let mut buffer = vec![0; READ_MAX];
    for _ in 0..READS_MAX {
        let length = recv(kernel.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        let is_last = read(buffer.get(..length).unwrap_or_default(), &mut |entry| {
            if wanted.is(entry) {
                listens |= entry.state == LISTENS;
                found.extend(entry.peer);
            }
        })?;
        if is_last {
            return Ok(listens.then_some(found));
        }
    }
    Err(io::Error::other("the kernel's list of sockets does not end"))
}

impl SoughtSocket<'_> {
    fn is(&self, entry: &SocketEntry<'_>) -> bool {
        let name = entry.name.strip_suffix(&[0]).unwrap_or(entry.name);
        name == self.path || entry.file == Some((self.inode, self.device))
    }
}

/// `nlmsghdr` and `unix_diag_req`, which asks for all sockets in [`STATES`].
fn request() -> Vec<u8> {
    let mut request = Vec::with_capacity(40);
    request.extend(40_u32.to_ne_bytes());
    request.extend(BY_FAMILY.to_ne_bytes());
    request.extend(FLAGS.to_ne_bytes());
    request.extend([0; 8]);
    // AF_UNIX.
    request.extend([1, 0, 0, 0]);
    request.extend(STATES.to_ne_bytes());
    request.extend([0; 4]);
    request.extend(SHOW.to_ne_bytes());
    request.extend([0; 8]);
    request
}

/// Reads the messages of one piece of the answer; whether it was the last.
fn read(mut bytes: &[u8], on: &mut impl FnMut(&SocketEntry<'_>)) -> io::Result<bool> {
    let malformed = || io::Error::other("the kernel's list of sockets is not understood");
    while !bytes.is_empty() {
        let length = usize::try_from(u32_at(bytes, 0).ok_or_else(malformed)?).unwrap_or(usize::MAX);
        let kind = u16_at(bytes, 4).ok_or_else(malformed)?;
        let body = bytes.get(HEADER..length).ok_or_else(malformed)?;
        match kind {
            DONE => return Ok(true),
            ERROR => {
                let errno = body.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                return Err(io::Error::from_raw_os_error(errno.saturating_neg()));
            }
            BY_FAMILY => on(&entry(body).ok_or_else(malformed)?),
            _ => {}
        }
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
    }
    Ok(false)
}

fn entry(body: &[u8]) -> Option<SocketEntry<'_>> {
    let mut entry = SocketEntry { state: *body.get(2)?, ..SocketEntry::default() };
    let mut rest = body.get(ENTRY..)?;
    while !rest.is_empty() {
        let length = usize::from(u16_at(rest, 0)?);
        let value = rest.get(ATTRIBUTE..length)?;
        match u16_at(rest, 2)? {
            NAME => entry.name = value,
            VFS => entry.file = Some((u32_at(value, 0)?, u32_at(value, 4)?)),
            PEER => entry.peer = Some(u32_at(value, 0)?),
            _ => {}
        }
        rest = rest.get(aligned(length)..).unwrap_or_default();
    }
    Some(entry)
}

/// Messages and attributes begin at multiples of four bytes.
fn aligned(length: usize) -> usize {
    length.div_ceil(4).saturating_mul(4)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|value| u16::from_ne_bytes(*value))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|value| u32::from_ne_bytes(*value))
}

/// The low half, which is what the kernel's list has of an inode.
fn low(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).unwrap_or(0)
}

/// A device as the kernel has it inside, 12 bits of major and 20 of minor number.
fn kernel_device(device: u64) -> u32 {
    low((nix::sys::stat::major(device) << 20) | nix::sys::stat::minor(device))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    fn inode(of: &impl AsFd) -> u32 {
        low(nix::sys::stat::fstat(of.as_fd()).unwrap().st_ino)
    }

    #[test]
    fn the_clients_of_a_socket_are_told_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other, link) =
            (dir.path().join("s"), dir.path().join("other"), dir.path().join("link"));
        let listener = UnixListener::bind(&path).unwrap();
        let another = UnixListener::bind(&other).unwrap();
        let clients = [UnixStream::connect(&path).unwrap(), UnixStream::connect(&path).unwrap()];
        let stranger = UnixStream::connect(&other).unwrap();
        let _taken = [listener.accept().unwrap(), listener.accept().unwrap()];
        let _also = another.accept().unwrap();
        let mut expected: Vec<u32> = clients.iter().map(inode).collect();
        expected.sort_unstable();
        // By another path to it as well.
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for path in [&path, &link] {
            let mut found = peers(path).unwrap().unwrap();
            found.sort_unstable();
            assert_eq!(found, expected);
            assert!(!found.contains(&inode(&stranger)));
        }
        drop(clients);
        drop(listener);
        assert_eq!(peers(&path).unwrap(), None, "nobody listens");
        assert!(peers(&dir.path().join("gone")).is_err());
    }

    #[test]
    fn an_answer_that_is_cut_or_refused_is_an_error() {
        let mut none = |_: &SocketEntry<'_>| {};
        let message = |kind: u16, body: &[u8]| {
            let length = u32::try_from(HEADER + body.len()).unwrap();
            [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10], body].concat()
        };
        assert!(read(&message(DONE, &[0; 4]), &mut none).unwrap());
        let refused = read(&message(ERROR, &(-2_i32).to_ne_bytes()), &mut none).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::NotFound);
        assert!(read(&[1, 0], &mut none).is_err());
        assert!(read(&message(BY_FAMILY, &[0; 3]), &mut none).is_err());
        // A message, and an attribute, that claim more than there is, or nothing at all.
        for length in [200_u32, 3, 0] {
            let mut cut = message(BY_FAMILY, &[0; ENTRY]);
            cut[..4].copy_from_slice(&length.to_ne_bytes());
            assert!(read(&cut, &mut none).is_err(), "{length}");
        }
        for length in [9_u16, 3, 0] {
            let attribute = [&length.to_ne_bytes()[..], &PEER.to_ne_bytes(), &[7, 0, 0, 0]];
            let body = [&[0; ENTRY][..], &attribute.concat()].concat();
            assert!(read(&message(BY_FAMILY, &body), &mut none).is_err(), "{length}");
        }
    }
}
