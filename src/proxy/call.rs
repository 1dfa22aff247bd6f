//! The seam between the generic proxy and the methods that decide: [`Owned`] is called with a [`Call`] and gives an
//! [`Answer`]. Nothing here looks into a message.

use std::{future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Response};
use tonic::Code;

use super::{OwnedMethod, Upstream, body::ReplyBody, status};

/// What answers the owned methods.
pub trait Owned: Send + Sync + 'static {
    /// Answers one call. Called for owned methods only, after framing was checked. The future is dropped when the
    /// client cancels or its connection ends: what must be finished then belongs in a task of its own.
    fn call(&self, call: Call) -> Pin<Box<dyn Future<Output = Answer> + Send>>;

    /// Hears of a request that was refused without being read, before the client is answered.
    fn unread(&self, unread: Unread) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// A request that was refused without being read, for the record of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// A call of an owned method that is not one plain message.
    Framing {
        /// The method.
        method: OwnedMethod,
        /// What is wrong with it.
        why: String,
    },
    /// A method that brings content past the gate, or belongs to a service that does.
    Method {
        /// Its path, as it came, cut to what a real one can be long.
        path: String,
        /// Why it is refused.
        why: String,
    },
}

/// One call of an owned method: a single uncompressed message of at most [`MESSAGE_LIMIT`](super::MESSAGE_LIMIT) bytes.
#[derive(Debug)]
pub struct Call {
    /// The method.
    pub method: OwnedMethod,
    /// The one message, without its gRPC prefix; not decoded yet.
    pub message: Bytes,
    /// The request's headers as they came.
    pub headers: HeaderMap,
    /// How long the caller waits, from `grpc-timeout`, counted from the arrival of the headers.
    pub deadline: Option<Duration>,
    /// The runtime, over this client's own connection to it; cheap to clone and good for longer than the call.
    pub upstream: Upstream,
}

/// What the client is told.
#[must_use]
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "made once for each owned call; most are the large one")]
pub enum Answer {
    /// The runtime's reply, unchanged, success or error.
    Reply(Reply),
    /// A status of the gate's own.
    Status {
        /// The gRPC code; never `Ok`, which would be an answer without a message.
        code: Code,
        /// The text, any characters; it is percent-encoded on the wire.
        message: String,
    },
}

/// A whole unary reply of the runtime, as it came: headers, body, trailers.
#[derive(Debug, Clone)]
pub struct Reply {
    pub(super) headers: HeaderMap,
    /// The body with its gRPC prefix, empty for an error.
    pub(super) body: Bytes,
    pub(super) message: Bytes,
    pub(super) trailers: Option<HeaderMap>,
    pub(super) code: Code,
}

impl Reply {
    /// The runtime's status; only with `Ok` is there a message.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The message without its gRPC prefix, empty for an error.
    #[must_use]
    pub const fn message(&self) -> &Bytes {
        &self.message
    }

    /// The status text, decoded; the runtime's words.
    #[must_use]
    pub fn status_text(&self) -> String {
        let from = self.trailers.as_ref().filter(|trailers| trailers.contains_key(status::GRPC_STATUS));
        status::text_of(from.unwrap_or(&self.headers))
    }

    /// The response headers.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The trailers; none when the status came in the headers.
    #[must_use]
    pub const fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }
}

impl Answer {
    /// A status of the gate's own.
    pub fn status(code: Code, message: impl Into<String>) -> Self {
        Self::Status { code, message: message.into() }
    }

    pub(super) fn into_response(self) -> Response<ReplyBody> {
        match self {
            Self::Status { code, message } => status::response(code, &message),
            Self::Reply(reply) => {
                let mut response = Response::new(ReplyBody::whole(reply.body, reply.trailers));
                *response.headers_mut() = reply.headers;
                response
            }
        }
    }
}
