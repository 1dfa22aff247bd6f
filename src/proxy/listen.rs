//! [`Listener`]: the Unix socket of the gate, made with its mode and owner before anybody can
//! connect, or inherited from the service manager. A socket file that is left behind is removed
//! only where nobody answers on it; the gate leaves its own behind when it ends, for the next start
//! to take over.

use std::{
    fmt, fs, io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{
            fs::{FileTypeExt as _, PermissionsExt as _},
            net::{UnixListener as StdListener, UnixStream as StdStream},
        },
    },
    path::{Path, PathBuf},
};

use nix::{
    sys::socket::{self, AddressFamily, Backlog, Shutdown, SockFlag, SockType, UnixAddr},
    unistd::{self, Gid, Group, Uid, User},
};
use tokio::net::{UnixListener, UnixStream};

use super::Options;
use crate::errno::Words;

/// Most connections that are taken from the queue of a socket that is shut: what the kernel lets
/// wait there (net.core.somaxconn).
const QUEUE_MAX: usize = 4096;

/// A listening Unix socket.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    whose: Whose,
}

/// Who made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// This process; it ends with it.
    Own,
    /// The service manager, who keeps it and its queue for the next process.
    Inherited,
}

/// Why there is no listening socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenError {
    /// Something else than a socket is at the path.
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// Another process answers on the socket.
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// No such user or group.
    NoSuchOwner {
        /// The name as configured.
        name: String,
    },
    /// Permission bits above 0o777.
    Mode {
        /// The mode as configured.
        mode: u32,
    },
    /// A system call failed.
    System {
        /// What it was for.
        step: &'static str,
        /// The path.
        path: PathBuf,
        /// What it gave.
        kind: io::ErrorKind,
    },
}

impl Listener {
    /// Makes the socket that the options describe.
    ///
    /// # Errors
    /// [`ListenError`]; a socket that somebody answers on and a file that is no socket are left as
    /// they are.
    pub fn bind(options: &Options) -> Result<Self, ListenError> {
        let path = options.socket.as_path();
        let owner = options.owner.as_deref().map(user).transpose()?;
        let group = options.group.as_deref().map(group).transpose()?;
        if options.mode > 0o777 {
            return Err(ListenError::Mode { mode: options.mode });
        }
        clear(path)?;
        let socket = bind(path).map_err(|error| failed("bind", path, &error.into()))?;
        // Nobody can connect before listen(2), so there is no moment at which the socket is open to
        // the wrong ones.
        let permissions = fs::Permissions::from_mode(options.mode);
        fs::set_permissions(path, permissions)
            .map_err(|error| failed("set the mode of", path, &error))?;
        unistd::chown(path, owner, group)
            .map_err(|error| failed("set the owner of", path, &error.into()))?;
        socket::listen(&socket, Backlog::MAXCONN)
            .map_err(|error| failed("listen on", path, &error.into()))?;
        Self::of(StdListener::from(socket), Whose::Own)
            .map_err(|error| failed("listen on", path, &error))
    }

    /// Takes over a socket that is listening already, as the service manager hands it.
    ///
    /// # Errors
    /// When the runtime cannot watch it.
    pub fn inherited(listener: StdListener) -> io::Result<Self> {
        Self::of(listener, Whose::Inherited)
    }

    fn of(listener: StdListener, whose: Whose) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { socket: UnixListener::from_std(listener)?, whose })
    }

    /// Waits for the next connection; who it is, is the caller's to ask
    /// ([`admits`](super::admits)).
    ///
    /// # Errors
    /// What accept(2) gives; out of file descriptors passes.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        self.socket.accept().await.map(|(stream, _)| stream)
    }

    /// Accepts no more. An inherited socket is left to whom it belongs to, with everybody who waits
    /// in its queue. An own one is shut, so that nobody connects to it who would not be answered,
    /// and who was in its queue is given back.
    #[must_use]
    pub fn close(self) -> Vec<UnixStream> {
        if self.whose == Whose::Inherited
            || socket::shutdown(self.socket.as_raw_fd(), Shutdown::Read).is_err()
        {
            return Vec::new();
        }
        // Not through the runtime: it takes a socket that is shut for ready for ever.
        let Ok(shut) = self.socket.into_std() else { return Vec::new() };
        let next = || {
            let (stream, _) = shut.accept().ok()?;
            stream.set_nonblocking(true).ok()?;
            UnixStream::from_std(stream).ok()
        };
        std::iter::from_fn(next).take(QUEUE_MAX).collect()
    }
}

fn bind(path: &Path) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    socket::bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(socket)
}

/// Removes a socket on which nobody answers.
fn clear(path: &Path) -> Result<(), ListenError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at", path, &error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(ListenError::NotASocket { path: path.to_owned() });
    }
    match StdStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| failed("remove", path, &error))
        }
        Ok(_) => Err(ListenError::InUse { path: path.to_owned() }),
        Err(error) => Err(failed("try", path, &error)),
    }
}

fn user(name: &str) -> Result<Uid, ListenError> {
    let by_number = name.parse().ok().map(Uid::from_raw);
    let by_name = || User::from_name(name).ok().flatten().map(|user| user.uid);
    by_number.or_else(by_name).ok_or_else(|| ListenError::NoSuchOwner { name: name.to_owned() })
}

fn group(name: &str) -> Result<Gid, ListenError> {
    let by_number = name.parse().ok().map(Gid::from_raw);
    let by_name = || Group::from_name(name).ok().flatten().map(|group| group.gid);
    by_number.or_else(by_name).ok_or_else(|| ListenError::NoSuchOwner { name: name.to_owned() })
}

fn failed(step: &'static str, path: &Path, error: &io::Error) -> ListenError {
    ListenError::System { step, path: path.to_owned(), kind: error.kind() }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotASocket { path } => {
                write!(f, "{} is not a socket; move it away or choose another path", path.display())
            }
            Self::InUse { path } => {
                write!(f, "another process answers on {}; stop it first", path.display())
            }
            Self::NoSuchOwner { name } => write!(f, "no user or group {name:?} on this node"),
            Self::Mode { mode } => write!(f, "the socket's mode {mode:o} is above 777"),
            Self::System { step, path, kind } => {
                write!(f, "cannot {step} {}: {}", path.display(), Words(*kind))
            }
        }
    }
}

impl std::error::Error for ListenError {}
