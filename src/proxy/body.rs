//! The two bodies of the proxy, [`ReplyBody`] towards the client and [`RequestBody`] towards the
//! runtime. Streams pass frame by frame without a box; neither says its length, so that no header
//! is added on the way.

use std::{
    error::Error as _,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tonic::Code;

use super::{connection::seats::Sitting, grpc::status, underway::Ticket};

/// What the client is sent.
pub(super) struct ReplyBody(BodyKind);

enum BodyKind {
    /// The runtime's body as it comes.
    Stream { body: Incoming, flight: Option<Flight> },
    /// What is left of an answer that is known whole.
    Whole { data: Bytes, trailers: Option<HeaderMap> },
}

impl ReplyBody {
    pub(super) const fn stream(body: Incoming) -> Self {
        Self(BodyKind::Stream { body, flight: None })
    }

    /// The body of a call that counts as in flight until it has ended, and that the gate's end
    /// ends.
    pub(super) fn until(self, ticket: Ticket, sitting: Sitting) -> Self {
        match self.0 {
            BodyKind::Stream { body, flight: _ } => Self(BodyKind::Stream {
                body,
                flight: Some(Flight { ticket, _sitting: sitting, cut: None }),
            }),
            whole @ BodyKind::Whole { .. } => Self(whole),
        }
    }

    pub(super) const fn whole(data: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self(BodyKind::Whole { data, trailers })
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.0 {
            BodyKind::Stream { body, flight } => {
                let frame = Pin::new(body).poll_frame(cx);
                let trailers = match &frame {
                    Poll::Ready(Some(Err(error))) if !is_reset(error) => broken(),
                    Poll::Pending if flight.as_mut().is_some_and(|flight| flight.is_cut(cx)) => {
                        stopping()
                    }
                    Poll::Ready(_) | Poll::Pending => return frame,
                };
                self.0 = BodyKind::Whole { data: Bytes::new(), trailers: None };
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            BodyKind::Whole { data, trailers } => {
                let frame = if data.is_empty() {
                    trailers.take().map(Frame::trailers)
                } else {
                    Some(Frame::data(std::mem::take(data)))
                };
                Poll::Ready(frame.map(Ok))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            BodyKind::Stream { body, .. } => body.is_end_stream(),
            BodyKind::Whole { data, trailers } => data.is_empty() && trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// A call whose answer is on its way.
struct Flight {
    ticket: Ticket,
    _sitting: Sitting,
    /// What completes when the gate's end ends it; made when the body is first waited for.
    cut: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Flight {
    fn is_cut(&mut self, cx: &mut Context<'_>) -> bool {
        let cut = self.cut.get_or_insert_with(|| Box::pin(self.ticket.cut()));
        let over = cut.as_mut().poll(cx).is_ready();
        if over {
            self.ticket.note_cut();
        }
        over
    }
}

/// The trailers of a call that the gate's own end ends.
fn stopping() -> HeaderMap {
    status::trailers(Code::Unavailable, status::STOPPING)
}

/// The trailers of a call whose connection to the runtime ended.
fn broken() -> HeaderMap {
    status::trailers(
        Code::Unavailable,
        "sealgate: the connection to the runtime ended in the middle of the call",
    )
}

/// What the runtime is sent.
pub(super) enum RequestBody {
    /// The client's body as it comes.
    Stream(Incoming),
    /// One framed message of the gate's; empty once it was sent.
    Once(Bytes),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::Stream(body) => Pin::new(body).poll_frame(cx),
            Self::Once(data) if data.is_empty() => Poll::Ready(None),
            Self::Once(data) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(data))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Stream(body) => body.is_end_stream(),
            Self::Once(data) => data.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// Whether the peer or the protocol ended this one stream, as opposed to the whole connection. Such
/// an error travels on with its reason; a broken connection becomes UNAVAILABLE.
pub(super) fn is_reset(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(h2::Error::is_reset)
}
