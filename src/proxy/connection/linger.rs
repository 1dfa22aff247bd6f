//! [`Lent`]: a client's stream that comes back when the HTTP library lets go of it, and [`linger`],
//! which then waits until the client has gone.
//!
//! A Unix socket that is closed while something in it is unread resets the connection, and with it
//! the goodbye that the client had not read yet: a request that was on its way would be lost
//! instead of being sent again elsewhere.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    net::UnixStream,
    sync::oneshot,
    time::timeout,
};

/// How long a client gets to read the goodbye and to go; one that lives does in less than a
/// millisecond.
const LINGER_MAX: Duration = Duration::from_millis(500);

/// A stream that is given back when this is dropped.
pub(in crate::proxy) struct Lent {
    stream: Option<UnixStream>,
    back: Option<oneshot::Sender<UnixStream>>,
}

impl Lent {
    /// Lends a stream; the other half gets it back.
    pub(in crate::proxy) fn new(stream: UnixStream) -> (Self, oneshot::Receiver<UnixStream>) {
        let (back, given_back) = oneshot::channel();
        (Self { stream: Some(stream), back: Some(back) }, given_back)
    }

    fn stream(self: Pin<&mut Self>) -> io::Result<Pin<&mut UnixStream>> {
        self.get_mut()
            .stream
            .as_mut()
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(stream), Some(back)) = (self.stream.take(), self.back.take()) {
            // Nobody waits for it where the connection was given up: then it is closed here.
            drop(back.send(stream));
        }
    }
}

/// Reads, and throws away, what the client still sends after the goodbye, until it goes.
pub(in crate::proxy) async fn linger(mut stream: UnixStream) {
    let mut thrown_away = [0; 4096];
    let gone = async { while stream.read(&mut thrown_away).await.is_ok_and(|read| read > 0) {} };
    drop(timeout(LINGER_MAX, gone).await);
}

impl AsyncRead for Lent {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Lent {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn a_goodbye_is_read_although_a_request_was_on_its_way() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let (mut lent, given_back) = Lent::new(near);
        lent.write_all(b"goodbye").await.unwrap();
        lent.shutdown().await.unwrap();
        far.write_all(b"a request that crosses it").await.unwrap();
        drop(lent);
        let ending = tokio::spawn(async move { linger(given_back.await.unwrap()).await });
        let mut read = Vec::new();
        far.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"goodbye");
        drop(far);
        ending.await.unwrap();
    }
}
