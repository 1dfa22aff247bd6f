//! What the service manager and the daemon tell each other: readiness, reload, watchdog ([`tell`],
//! [`News`], [`watchdog_interval`]), and the sockets that it hands over ([`Inherited`]).
//!
//! Outside of systemd everything here is a no-op: nothing is told, nothing is inherited. This is
//! the one room that reads the environment, which is how that protocol (sd_notify(3),
//! sd_listen_fds(3)) works.

use std::fmt;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

use crate::errno::Words;
use listenfd::ListenFd;
use sd_notify::NotifyState;

/// The name that `sealgate.socket` gives to the socket that the kubelet connects to.
pub const CRI: &str = "cri";
/// The name that `sealgate-control.socket` gives to the socket of the command line.
pub const CONTROL: &str = "control";
/// The longest status text that is sent, in bytes: one line of `systemctl status`.
const STATUS_MAX: usize = 512;

/// What the daemon has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It serves.
    Ready,
    /// It has begun to read its files again; [`News::Ready`] ends that, whatever came of it.
    Reloading,
    /// It has begun to stop.
    Stopping,
    /// It is alive. To be told at least every [`watchdog_interval`].
    Alive,
    /// One line about how it is. Control characters are replaced, so that a text from outside
    /// cannot tell other news.
    Status(String),
    /// It needs this much longer to start, reload or stop.
    MoreTime(Duration),
}

/// Sockets that the service manager opened before the daemon was started, by the names that the
/// units give them.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<Socket>,
}

/// One inherited socket.
#[derive(Debug)]
pub struct Socket {
    /// Its `FileDescriptorName=`.
    pub name: String,
    /// Where it listens; none for a socket without a path.
    pub path: Option<PathBuf>,
    /// The socket, non-blocking.
    pub listener: UnixListener,
}

/// Why the service manager could not be told, or what it handed over not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SystemdError {
    /// It does not listen where the environment says.
    Tell {
        /// What the system answered.
        kind: io::ErrorKind,
    },
    /// The monotonic clock could not be read for a reload.
    Clock {
        /// What the system answered.
        kind: io::ErrorKind,
    },
    /// What was handed over is no listening Unix stream socket.
    NotASocket {
        /// The name that its unit gives it.
        name: String,
        /// What the system answered.
        kind: io::ErrorKind,
    },
    /// There are not as many names as sockets.
    Names {
        /// Names that came.
        names: usize,
        /// Sockets that came.
        sockets: usize,
    },
    /// Two sockets have one name.
    Twice {
        /// Which.
        name: String,
    },
}

/// Tells the service manager, if there is one.
///
/// # Errors
/// [`SystemdError::Tell`] when it could not be reached; a daemon goes on without it.
pub fn tell(news: &News) -> Result<(), SystemdError> {
    let states = match news {
        News::Ready => vec![NotifyState::Ready],
        News::Reloading => {
            let now = NotifyState::monotonic_usec_now()
                .map_err(|error| SystemdError::Clock { kind: error.kind() })?;
            vec![NotifyState::Reloading, now]
        }
        News::Stopping => vec![NotifyState::Stopping],
        News::Alive => vec![NotifyState::Watchdog],
        News::Status(text) => return send(&[NotifyState::Status(&one_line(text))]),
        News::MoreTime(time) => {
            vec![NotifyState::ExtendTimeoutUsec(
                u32::try_from(time.as_micros()).unwrap_or(u32::MAX),
            )]
        }
    };
    send(&states)
}

fn send(states: &[NotifyState<'_>]) -> Result<(), SystemdError> {
    sd_notify::notify(states).map_err(|error| SystemdError::Tell { kind: error.kind() })
}

/// How often [`News::Alive`] is to be told: half of the time after which the service manager takes
/// the daemon for stuck, as sd_watchdog_enabled(3) advises. None when it does not watch.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2).filter(|interval| !interval.is_zero())
}

impl Inherited {
    /// Takes the sockets over. To be called once, before any thread is started: it removes
    /// variables from the environment, so that no child takes the sockets for its own.
    ///
    /// # Errors
    /// [`SystemdError`] when what was handed over does not fit what the units say. A daemon must
    /// not go on then: it would open a second socket while the first is the one that clients know.
    pub fn take() -> Result<Self, SystemdError> {
        #[allow(
            clippy::disallowed_methods,
            reason = "sd_listen_fds(3) hands the names over in the environment"
        )]
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        Self::named(ListenFd::from_env(), &names)
    }

    /// Where the socket of this name listens; none where none was handed over, or it has no path.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<&std::path::Path> {
        self.sockets.iter().find(|socket| socket.name == name)?.path.as_deref()
    }

    fn named(mut handed: ListenFd, names: &str) -> Result<Self, SystemdError> {
        let names: Vec<&str> = names.split(':').filter(|name| !name.is_empty()).collect();
        if handed.len() == 0 {
            return Ok(Self::default());
        }
        if names.len() != handed.len() {
            return Err(SystemdError::Names { names: names.len(), sockets: handed.len() });
        }
        let mut sockets: Vec<Socket> = Vec::new();
        for (place, name) in names.into_iter().enumerate() {
            let wrong = |error: io::Error| SystemdError::NotASocket {
                name: name.to_owned(),
                kind: error.kind(),
            };
            let listener = handed.take_unix_listener(place).map_err(wrong)?;
            let listener = listener.ok_or_else(|| wrong(io::ErrorKind::NotFound.into()))?;
            listener.set_nonblocking(true).map_err(wrong)?;
            let path = listener.local_addr().map_err(wrong)?.as_pathname().map(PathBuf::from);
            if sockets.iter().any(|known| known.name == name) {
                return Err(SystemdError::Twice { name: name.to_owned() });
            }
            sockets.push(Socket { name: name.to_owned(), path, listener });
        }
        Ok(Self { sockets })
    }

    /// The socket of this name, once.
    pub fn socket(&mut self, name: &str) -> Option<Socket> {
        let place = self.sockets.iter().position(|socket| socket.name == name)?;
        Some(self.sockets.swap_remove(place))
    }

    /// The names of the sockets that were not asked for: a unit that hands over more than the
    /// daemon knows.
    pub fn left(&self) -> impl Iterator<Item = &str> {
        self.sockets.iter().map(|socket| socket.name.as_str())
    }
}

/// The text without anything that could end its line, and not too long.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if line.len() + c.len_utf8() > STATUS_MAX {
            break;
        }
        line.push(c);
    }
    line
}

impl fmt::Display for SystemdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tell { kind } => {
                write!(f, "could not tell the service manager: {}", Words(*kind))
            }
            Self::Clock { kind } => {
                write!(f, "could not read the monotonic clock: {}", Words(*kind))
            }
            Self::NotASocket { name, kind } => {
                let why = Words(*kind);
                write!(
                    f,
                    "the inherited descriptor {name} is no listening unix stream socket: {why}"
                )
            }
            Self::Names { names, sockets } => write!(
                f,
                "{sockets} sockets were inherited with {names} names: set FileDescriptorName= in \
                 every socket unit"
            ),
            Self::Twice { name } => {
                write!(
                    f,
                    "two inherited sockets are called {name}: give each its own FileDescriptorName="
                )
            }
        }
    }
}

impl std::error::Error for SystemdError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_e3_a_status_cannot_tell_other_news() {
        assert_eq!(one_line("refused a\nREADY=1\r\u{85}b"), "refused a READY=1  b");
        assert_eq!(one_line(&"é".repeat(1000)).len(), STATUS_MAX);
    }

    #[test]
    fn nothing_is_inherited_without_a_service_manager() {
        let mut inherited = Inherited::named(ListenFd::empty(), "cri:control").unwrap();
        assert!(inherited.socket(CRI).is_none());
        assert_eq!(inherited.left().count(), 0);
    }
}
