//! [`Hello`]: a client's stream as its first bytes go by. It tells when the client has said hello
//! (HTTP/2's connection preface), so that one that never does is closed; and it makes an
//! `:authority` readable that the HTTP library refuses.
//!
//! What a client writes there means nothing on a Unix socket, and servers in Go take anything.
//! gRPC's C library (grpcio) writes the socket's path, percent-encoded, for which HTTP has no
//! place. So in the header blocks of a client whose first one names such an authority, each byte of
//! it that no host may have becomes `-`: as long as before, so that no length and no table of the
//! compression changes. Everything else passes as it came, and after the first header block of any
//! other client nothing is looked at any more.
//!
//! Sources: RFC 9113 sections 3.4, 4.1, 6.2; RFC 7541 sections 5 and 6.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use http::uri::Authority;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

/// Bytes of the connection preface.
const PREFACE: usize = 24;
/// Bytes before each frame's payload.
const HEAD: usize = 9;
/// The type of a frame that begins a header block, and its flags.
const HEADERS: u8 = 1;
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;
/// Longest frame that is held to be looked at: the largest that HTTP/2 lets a client send, since
/// the gate offers no larger.
const FRAME_MAX: usize = 16 << 10;
/// The place of `:authority` in the static table.
const AUTHORITY: usize = 1;

/// A client's stream.
pub(in crate::proxy) struct Hello<T> {
    inner: T,
    said: Arc<Notify>,
    /// Of the preface, what has not come yet.
    unsaid: usize,
    watch: Watch,
    /// What came and cannot be handed on yet: the beginning of a frame.
    held: BytesMut,
    /// What is to be handed on.
    ready: BytesMut,
    /// Bytes that pass before the next frame begins.
    pass: usize,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    /// Up to the first header block.
    First,
    /// Every header block: this client names an authority that the library refuses.
    All,
    /// Nothing any more.
    Nothing,
}

impl<T> Hello<T> {
    /// The stream of a client that has said nothing yet, and what tells when its hello is complete.
    pub(in crate::proxy) fn new(inner: T) -> (Self, Arc<Notify>) {
        let said = Arc::new(Notify::new());
        let hello = Self {
            inner,
            said: Arc::clone(&said),
            unsaid: PREFACE,
            watch: Watch::First,
            held: BytesMut::new(),
            ready: BytesMut::new(),
            pass: PREFACE,
        };
        (hello, said)
    }

    /// Hands on what can be: whole header blocks, everything else as far as it came.
    fn digest(&mut self) {
        while self.watch != Watch::Nothing {
            if self.pass > 0 {
                let now = self.pass.min(self.held.len());
                if now == 0 {
                    return;
                }
                self.ready.unsplit(self.held.split_to(now));
                self.pass -= now;
                continue;
            }
            let Some(&[a, b, c, kind, flags, ..]) = self.held.first_chunk::<HEAD>() else { return };
            let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            if kind != HEADERS || length > FRAME_MAX {
                self.pass = HEAD + length;
                continue;
            }
            if self.held.len() < HEAD + length {
                return;
            }
            let mut frame = self.held.split_to(HEAD + length);
            let changed = block_of(frame.get_mut(HEAD..).unwrap_or_default(), flags)
                .is_some_and(make_readable);
            self.ready.unsplit(frame);
            self.watch = match (self.watch, changed) {
                (Watch::First, false) => Watch::Nothing,
                (Watch::First, true) | (Watch::All, _) => Watch::All,
                (Watch::Nothing, _) => Watch::Nothing,
            };
        }
        self.ready.unsplit(self.held.split());
    }

    fn hand_on(&mut self, into: &mut ReadBuf<'_>) {
        let bytes = self.ready.len().min(into.remaining());
        into.put_slice(self.ready.get(..bytes).unwrap_or_default());
        self.ready.advance(bytes);
        if self.unsaid > 0 {
            self.unsaid = self.unsaid.saturating_sub(bytes);
            if self.unsaid == 0 {
                self.said.notify_one();
            }
        }
    }
}

/// The header block of a HEADERS frame, without padding and priority.
fn block_of(payload: &mut [u8], flags: u8) -> Option<&mut [u8]> {
    let (mut start, mut end) = (0, payload.len());
    if flags & PADDED != 0 {
        end = end.checked_sub(usize::from(*payload.first()?))?;
        start += 1;
    }
    if flags & PRIORITY != 0 {
        start += 5;
    }
    payload.get_mut(start..end)
}

/// Goes through a header block and makes the value of `:authority` one that a host may have.
/// Whether it had to.
fn make_readable(block: &mut [u8]) -> bool {
    let mut changed = false;
    let mut at = 0;
    while let Some(field) = field(block, at) {
        at = field.next;
        let Some(value) = field.authority.and_then(|range| block.get_mut(range)) else { continue };
        if !value.is_empty() && Authority::try_from(&*value).is_err() {
            for byte in
                value.iter_mut().filter(|byte| !byte.is_ascii_alphanumeric() && **byte != b'.')
            {
                *byte = b'-';
            }
            changed = true;
        }
    }
    changed
}

/// One representation of a header field.
struct Field {
    /// Where its value stands, when it is an `:authority` that is written out.
    authority: Option<std::ops::Range<usize>>,
    next: usize,
}

/// The representation that begins at `at`; none at the end, and where it cannot be read: the
/// library then says so.
fn field(block: &[u8], at: usize) -> Option<Field> {
    let first = *block.get(at)?;
    let prefix = match first {
        0x80.. => return Some(Field { authority: None, next: integer(block, at, 7)?.1 }),
        0x40.. => 6,
        // The size of the table.
        0x20.. => return Some(Field { authority: None, next: integer(block, at, 5)?.1 }),
        _ => 4,
    };
    let (index, mut next) = integer(block, at, prefix)?;
    let mut named = index == AUTHORITY;
    if index == 0 {
        let name = string(block, next)?;
        named = !name.compressed && block.get(name.range.clone()) == Some(b":authority".as_slice());
        next = name.range.end;
    }
    let value = string(block, next)?;
    let next = value.range.end;
    Some(Field { authority: (named && !value.compressed).then_some(value.range), next })
}

struct Text {
    compressed: bool,
    range: std::ops::Range<usize>,
}

fn string(block: &[u8], at: usize) -> Option<Text> {
    let compressed = block.get(at)? & 0x80 != 0;
    let (length, start) = integer(block, at, 7)?;
    let end = start.checked_add(length).filter(|end| *end <= block.len())?;
    Some(Text { compressed, range: start..end })
}

/// An integer with a prefix of so many bits, and where it ends. Longer ones than a frame are none.
fn integer(block: &[u8], at: usize, prefix: u32) -> Option<(usize, usize)> {
    let most = (1_usize << prefix) - 1;
    let mut value = usize::from(*block.get(at)?) & most;
    let mut next = at + 1;
    if value < most {
        return Some((value, next));
    }
    for shift in [0, 7, 14] {
        let byte = *block.get(next)?;
        next += 1;
        value += usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((value, next));
        }
    }
    None
}

impl<T: AsyncRead + Unpin> AsyncRead for Hello<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if !self.ready.is_empty() {
                self.hand_on(into);
                return Poll::Ready(Ok(()));
            }
            if self.watch == Watch::Nothing {
                return Pin::new(&mut self.inner).poll_read(cx, into);
            }
            let mut room = [0; 4 << 10];
            let mut came = ReadBuf::new(&mut room);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut came))?;
            if came.filled().is_empty() {
                // The end, in the middle of a frame perhaps: what there is of it goes on.
                self.watch = Watch::Nothing;
            }
            self.held.extend_from_slice(came.filled());
            self.digest();
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Hello<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
