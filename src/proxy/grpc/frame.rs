//! gRPC's length-prefixed messages, for the methods that the gate decides on: [`one`] gives the
//! single message of a request or a typed refusal. What is refused here was never forwarded (attack
//! D2).
//!
//! A message is one byte that says whether it is compressed, four bytes of length, and the bytes
//! (gRPC over HTTP/2, "Length-Prefixed-Message").

use std::{fmt, sync::Arc};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, header::CONTENT_TYPE};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Code;

/// Largest message in bytes, both ways: the kubelet's and containerd's own limit (cri-facts H3).
pub const MESSAGE_LIMIT: usize = 16 * 1024 * 1024;

/// Bytes before each message.
const PREFIX: usize = 5;

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// Why a body is not exactly one message that can be decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// The content type is not `application/grpc` or `application/grpc+proto`, once.
    ContentType,
    /// The message is compressed, or `grpc-encoding` names something else than `identity`.
    Compressed,
    /// The body holds no message.
    Empty,
    /// The body goes on after its first message.
    Several,
    /// The body ends within a message.
    Truncated,
    /// The message is longer than [`MESSAGE_LIMIT`].
    TooLarge {
        /// Bytes that its prefix, or the body so far, says.
        length: usize,
    },
    /// Trailers after a request.
    Trailers,
    /// The requests that are held together are too many bytes.
    Crowded,
    /// The body could not be read to its end.
    Broken,
}

impl FrameError {
    /// The gRPC code for a client whose request has this fault.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Compressed => Code::Unimplemented,
            Self::TooLarge { .. } | Self::Crowded => Code::ResourceExhausted,
            Self::ContentType
            | Self::Empty
            | Self::Several
            | Self::Truncated
            | Self::Trailers
            | Self::Broken => Code::Internal,
        }
    }
}

/// Bytes that may be held in requests of owned methods, over all connections.
#[derive(Debug, Clone)]
pub(in crate::proxy) struct FrameBudget(Arc<Semaphore>);

impl FrameBudget {
    /// The budget counts in KiB, since a semaphore's permits are few on small machines.
    pub(in crate::proxy) fn mib(mib: usize) -> Self {
        Self(Arc::new(Semaphore::new(mib.saturating_mul(1024).min(Semaphore::MAX_PERMITS))))
    }

    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, FrameError> {
        let kib = u32::try_from(bytes.div_ceil(1024)).map_err(|_| FrameError::Crowded)?;
        Arc::clone(&self.0).try_acquire_many_owned(kib).map_err(|_| FrameError::Crowded)
    }
}

/// Checks what the headers say about the message.
pub(in crate::proxy) fn check_headers(headers: &HeaderMap) -> Result<(), FrameError> {
    let mut types = headers.get_all(CONTENT_TYPE).iter().map(http::HeaderValue::as_bytes);
    let proto = matches!(types.next(), Some(b"application/grpc" | b"application/grpc+proto"));
    if !proto || types.next().is_some() {
        return Err(FrameError::ContentType);
    }
    let plain = headers.get_all(GRPC_ENCODING).iter().all(|encoding| encoding == "identity");
    if plain { Ok(()) } else { Err(FrameError::Compressed) }
}

/// Reads a request's body and gives its one message, with the permit for the bytes it holds.
pub(in crate::proxy) async fn one<B: Body<Data = Bytes> + Unpin>(
    body: B,
    budget: &FrameBudget,
) -> Result<(Bytes, OwnedSemaphorePermit), FrameError> {
    let mut held = budget.take(0)?;
    let (whole, trailers) =
        gather(body, |bytes| budget.take(bytes).map(|more| held.merge(more))).await?;
    if trailers.is_some() {
        return Err(FrameError::Trailers);
    }
    Ok((split(&whole)?, held))
}

/// Reads a body to its end, at most one message long, and asks `admit` before each part is kept.
pub(in crate::proxy) async fn gather<B: Body<Data = Bytes> + Unpin>(
    mut body: B,
    mut admit: impl FnMut(usize) -> Result<(), FrameError>,
) -> Result<(Bytes, Option<HeaderMap>), FrameError> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| FrameError::Broken)?;
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                trailers = frame.into_trailers().ok();
                continue;
            }
        };
        admit(data.len())?;
        if first.is_empty() {
            first = data;
            declared(&first)?;
        } else {
            if rest.is_empty() {
                rest.put_slice(&first);
            }
            rest.put_slice(&data);
            declared(&rest)?;
        }
        let length = first.len().max(rest.len());
        if length > MESSAGE_LIMIT + PREFIX {
            return Err(FrameError::TooLarge { length });
        }
    }
    Ok((if rest.is_empty() { first } else { rest.freeze() }, trailers))
}

/// The length that the prefix says, once it is there; so that a message that is too large is
/// refused before it comes.
fn declared(body: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(&[flag, a, b, c, d]) = body.first_chunk::<PREFIX>() else { return Ok(None) };
    if flag != 0 {
        return Err(FrameError::Compressed);
    }
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if length > MESSAGE_LIMIT { Err(FrameError::TooLarge { length }) } else { Ok(Some(length)) }
}

/// The one message of a whole body.
pub(in crate::proxy) fn split(body: &Bytes) -> Result<Bytes, FrameError> {
    if body.is_empty() {
        return Err(FrameError::Empty);
    }
    let length = declared(body)?.ok_or(FrameError::Truncated)?;
    match (body.len() - PREFIX).cmp(&length) {
        std::cmp::Ordering::Less => Err(FrameError::Truncated),
        std::cmp::Ordering::Equal => Ok(body.slice(PREFIX..)),
        std::cmp::Ordering::Greater => Err(FrameError::Several),
    }
}

/// A message with its prefix.
pub(in crate::proxy) fn join(message: &[u8]) -> Result<Bytes, FrameError> {
    let length = u32::try_from(message.len()).ok().filter(|_| message.len() <= MESSAGE_LIMIT);
    let length = length.ok_or(FrameError::TooLarge { length: message.len() })?;
    let mut body = BytesMut::with_capacity(PREFIX + message.len());
    body.put_u8(0);
    body.put_u32(length);
    body.put_slice(message);
    Ok(body.freeze())
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContentType => {
                f.write_str("the content type is not application/grpc or application/grpc+proto")
            }
            Self::Compressed => {
                f.write_str("the message is compressed, which is not taken; send it uncompressed")
            }
            Self::Empty => f.write_str("the body holds no message where exactly one is expected"),
            Self::Several => f.write_str("the body goes on after its one message"),
            Self::Truncated => f.write_str("the body ends within its message"),
            Self::TooLarge { length } => {
                write!(f, "the message of {length} bytes is above the {MESSAGE_LIMIT} allowed")
            }
            Self::Trailers => f.write_str("the request carries trailers, which gRPC does not have"),
            Self::Crowded => f.write_str("too many large requests at once; try again"),
            Self::Broken => f.write_str("the body broke off"),
        }
    }
}

impl std::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http::HeaderValue;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};

    use super::*;

    fn read(parts: &[&[u8]]) -> Result<Bytes, FrameError> {
        let frames: Vec<_> = parts
            .iter()
            .map(|part| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(part))))
            .collect();
        block(one(StreamBody::new(stream::iter(frames)), &FrameBudget::mib(64)))
            .map(|(message, _)| message)
    }

    fn block<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn one_message_is_read_however_it_is_cut() {
        let body = join(b"hello").unwrap();
        for cut in 0..=body.len() {
            let (a, b) = body.split_at(cut);
            assert_eq!(read(&[a, b]), Ok(Bytes::from_static(b"hello")), "cut at {cut}");
        }
        let single: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(read(&single), Ok(Bytes::from_static(b"hello")));
        assert_eq!(read(&[&[0, 0, 0, 0, 0]]), Ok(Bytes::new()));
    }

    #[test]
    fn attack_d2_bodies_that_are_not_one_plain_message_are_refused() {
        assert_eq!(read(&[]), Err(FrameError::Empty));
        assert_eq!(read(&[&[]]), Err(FrameError::Empty));
        assert_eq!(read(&[&[0, 0, 0]]), Err(FrameError::Truncated));
        assert_eq!(read(&[&[0, 0, 0, 0, 2, 9]]), Err(FrameError::Truncated));
        assert_eq!(read(&[&[0, 0, 0, 0, 1, 9, 0]]), Err(FrameError::Several));
        assert_eq!(read(&[&[0, 0, 0, 0, 1, 9, 0, 0, 0, 0, 0]]), Err(FrameError::Several));
        assert_eq!(read(&[&[0, 0, 0, 0, 0], &[0, 0, 0, 0, 0]]), Err(FrameError::Several));
        for flag in [1, 2, 0x80, 0xff] {
            assert_eq!(read(&[&[flag, 0, 0, 0, 1, 9]]), Err(FrameError::Compressed), "{flag}");
        }
    }

    #[test]
    fn attack_d2_trailers_after_a_request_are_refused() {
        let frames = [Frame::data(join(b"hello").unwrap()), Frame::trailers(HeaderMap::new())]
            .map(Ok::<_, Infallible>);
        let read = block(one(StreamBody::new(stream::iter(frames)), &FrameBudget::mib(1)));
        assert_eq!(read.map(drop), Err(FrameError::Trailers));
    }

    #[test]
    fn attack_d2_a_message_too_large_is_refused_by_its_prefix() {
        assert_eq!(
            read(&[&[0, 1, 0, 0, 1]]),
            Err(FrameError::TooLarge { length: MESSAGE_LIMIT + 1 })
        );
        assert_eq!(
            read(&[&[0, 0xff], &[0xff, 0xff, 0xff]]),
            Err(FrameError::TooLarge { length: 0xffff_ffff })
        );
        assert_eq!(
            join(&vec![0; MESSAGE_LIMIT + 1]),
            Err(FrameError::TooLarge { length: MESSAGE_LIMIT + 1 })
        );
    }

    #[test]
    fn attack_d2_an_endless_body_is_refused_at_the_limit() {
        let part = vec![0_u8; 1024 * 1024];
        let parts: Vec<&[u8]> = (0..17).map(|_| part.as_slice()).collect();
        assert!(matches!(read(&parts), Err(FrameError::TooLarge { .. })));
    }

    #[test]
    fn the_largest_message_is_read() {
        let body = join(&vec![7; MESSAGE_LIMIT]).unwrap();
        let parts: Vec<&[u8]> = body.chunks(1024 * 1024).collect();
        assert_eq!(read(&parts).map(|message| message.len()), Ok(MESSAGE_LIMIT));
    }

    #[test]
    fn attack_d1_held_requests_share_one_budget() {
        let budget = FrameBudget::mib(1);
        let body = || Full::new(join(&[0; 700 * 1024]).unwrap());
        let first = block(one(body(), &budget));
        assert!(first.is_ok());
        assert_eq!(block(one(body(), &budget)).map(drop), Err(FrameError::Crowded));
        drop(first);
        assert!(block(one(body(), &budget)).is_ok());
    }

    #[test]
    fn attack_d2_headers_that_say_something_else_than_plain_protobuf_are_refused() {
        let headers = |list: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in list {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            check_headers(&headers)
        };
        assert_eq!(headers(&[("content-type", "application/grpc")]), Ok(()));
        assert_eq!(
            headers(&[("content-type", "application/grpc+proto"), ("grpc-encoding", "identity")]),
            Ok(())
        );
        for content_type in
            ["application/grpc+json", "application/json", "application/grpc-web", "text/plain", ""]
        {
            assert_eq!(
                headers(&[("content-type", content_type)]),
                Err(FrameError::ContentType),
                "{content_type}"
            );
        }
        assert_eq!(headers(&[]), Err(FrameError::ContentType));
        let twice =
            [("content-type", "application/grpc"), ("content-type", "application/grpc+json")];
        assert_eq!(headers(&twice), Err(FrameError::ContentType));
        for encoding in ["gzip", "IDENTITY", "identity,gzip", ""] {
            let list = [("content-type", "application/grpc"), ("grpc-encoding", encoding)];
            assert_eq!(headers(&list), Err(FrameError::Compressed), "{encoding}");
        }
        let twice = [
            ("content-type", "application/grpc"),
            ("grpc-encoding", "identity"),
            ("grpc-encoding", "gzip"),
        ];
        assert_eq!(headers(&twice), Err(FrameError::Compressed));
    }
}
