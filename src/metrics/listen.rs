//! [`Address`]: where a monitor may ask, and no further than this node; [`Listener`]: there.

use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

/// Permission bits of the socket: its folder says who reaches it, and what it answers is no secret.
const MODE: u32 = 0o666;

/// Where numbers are served.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// A port of the loopback interface.
    Loopback(SocketAddr),
}

impl TryFrom<String> for Address {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.starts_with('/') {
            return Ok(Self::Unix(PathBuf::from(text)));
        }
        let address: SocketAddr =
            text.parse().map_err(|_| "expected an address with a port, or an absolute path")?;
        if address.ip().is_loopback() {
            Ok(Self::Loopback(address))
        } else {
            Err("expected a loopback address: 127.0.0.1 or [::1]")
        }
    }
}

/// A stream of either kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Listens.
#[derive(Debug)]
pub enum Listener {
    /// On a Unix socket.
    Unix(UnixListener),
    /// On a port.
    Tcp(TcpListener),
}

impl Listener {
    /// Listens there. A socket that an earlier process left is replaced, any other file is not.
    ///
    /// # Errors
    /// What the system answers.
    pub fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Unix(path) => unix(path).map(Self::Unix),
            Address::Loopback(address) => {
                let listener = std::net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Self::Tcp)
            }
        }
    }

    /// The port that was bound; none for a Unix socket.
    ///
    /// # Errors
    /// What the system answers.
    pub fn address(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Unix(_) => Err(io::Error::from(io::ErrorKind::AddrNotAvailable)),
            Self::Tcp(listener) => listener.local_addr(),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
            Self::Tcp(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

fn unix(path: &Path) -> io::Result<UnixListener> {
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) {
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_node_can_ask() {
        let address = |text: &str| Address::try_from(text.to_owned());
        assert_eq!(address("/run/x/metrics.sock"), Ok(Address::Unix("/run/x/metrics.sock".into())));
        for good in ["127.0.0.1:9469", "[::1]:9469", "127.9.9.9:1"] {
            assert!(matches!(address(good), Ok(Address::Loopback(_))), "{good}");
        }
        for bad in [
            "0.0.0.0:9469",
            "[::]:9469",
            "10.0.0.1:9469",
            "localhost:9469",
            ":9469",
            "9469",
            "x.sock",
            "",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
