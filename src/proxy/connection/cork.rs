//! [`Corked`]: a stream that holds small writes back for one turn of the scheduler, so that what
//! belongs together leaves together. hyper's client flushes a request's headers before it hands on
//! the body, which costs a system call and wakes the runtime twice for each call. Large writes are
//! neither held nor copied.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes held back; a unary request of the CRI rarely has more.
const HELD_LIMIT: usize = 8 * 1024;

pub(in crate::proxy) struct Corked<T> {
    inner: T,
    held: Vec<u8>,
    /// How many of the held bytes are written already.
    written: usize,
    /// Whether the held bytes have waited their turn.
    waited: bool,
}

impl<T: AsyncWrite + Unpin> Corked<T> {
    pub(in crate::proxy) const fn new(inner: T) -> Self {
        Self { inner, held: Vec::new(), written: 0, waited: false }
    }

    fn fits(&self, bytes: usize) -> bool {
        self.held.len().saturating_add(bytes) <= HELD_LIMIT
    }

    /// Writes all that is held.
    fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.held.get(self.written..).filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        self.held.clear();
        self.written = 0;
        self.waited = false;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Corked<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.fits(data.len()) {
            self.held.extend_from_slice(data);
            return Poll::Ready(Ok(data.len()));
        }
        ready!(self.poll_release(cx))?;
        Pin::new(&mut self.inner).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let total = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        if self.fits(total) {
            parts.iter().for_each(|part| self.held.extend_from_slice(part));
            return Poll::Ready(Ok(total));
        }
        ready!(self.poll_release(cx))?;
        Pin::new(&mut self.inner).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() && !self.waited {
            self.waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.poll_release(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_release(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Corked<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, into)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn small_writes_leave_together_and_in_order() {
        let (near, mut far) = duplex(64 * 1024);
        let mut corked = Corked::new(near);
        corked.write_all(b"one ").await.unwrap();
        let early =
            poll_fn(|cx| Poll::Ready(Pin::new(&mut corked).poll_flush(cx).is_pending())).await;
        assert!(early, "the first flush waits");
        corked.write_all(b"two").await.unwrap();
        corked.flush().await.unwrap();
        let mut back = [0; 64];
        assert_eq!(far.read(&mut back).await.unwrap(), 7);
        assert_eq!(&back[..7], b"one two");
    }

    #[tokio::test]
    async fn every_byte_arrives_in_order_whatever_the_sizes() {
        // A pipe of 100 bytes, so that writes are cut short all the time.
        let (near, mut far) = duplex(100);
        let mut corked = Corked::new(near);
        let sizes =
            [1, 10, HELD_LIMIT, 5, HELD_LIMIT + 1, 3 * HELD_LIMIT, 0, 7, HELD_LIMIT - 7, 1, 1];
        let sent: Vec<u8> = (0..251_u8).cycle().take(sizes.iter().sum()).collect();
        let expected = sent.clone();
        let reading = tokio::spawn(async move {
            let mut back = Vec::new();
            far.read_to_end(&mut back).await.unwrap();
            back
        });
        let mut rest = sent.as_slice();
        for (turn, size) in sizes.into_iter().enumerate() {
            let (now, later) = rest.split_at(size);
            rest = later;
            if turn % 2 == 0 {
                corked.write_all(now).await.unwrap();
            } else {
                let (mut a, mut b) = now.split_at(size / 2);
                while !a.is_empty() || !b.is_empty() {
                    let written =
                        corked.write_vectored(&[IoSlice::new(a), IoSlice::new(b)]).await.unwrap();
                    let from_a = written.min(a.len());
                    a = &a[from_a..];
                    b = &b[written - from_a..];
                }
            }
            if turn % 3 == 0 {
                corked.flush().await.unwrap();
            }
        }
        corked.shutdown().await.unwrap();
        drop(corked);
        assert!(reading.await.unwrap() == expected);
    }
}
