//! [`Answer`]: what the client is told, the runtime's own [`Reply`] or a status of the gate's, made
//! of headers alone ("Trailers-Only").

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use tonic::Code;

use super::body::ReplyBody;
use super::grpc::status::{self, trailers};
use super::methods::Refusal;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// What the client is told.
#[must_use]
#[derive(Debug, Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "made once for each owned call; most are the large one"
)]
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
        let from =
            self.trailers.as_ref().filter(|trailers| trailers.contains_key(status::GRPC_STATUS));
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
            Self::Status { code, message } => response(code, &message),
            Self::Reply(reply) => {
                let mut response = Response::new(ReplyBody::whole(reply.body, reply.trailers));
                *response.headers_mut() = reply.headers;
                response
            }
        }
    }
}

/// An answer without a message.
pub(super) fn response(code: Code, message: &str) -> Response<ReplyBody> {
    let mut headers = trailers(code, message);
    headers.insert(CONTENT_TYPE, GRPC);
    let mut response = Response::new(ReplyBody::whole(Bytes::new(), None));
    *response.headers_mut() = headers;
    response
}

/// The answer to a request that never reaches the runtime. A request that is not gRPC's gets an
/// HTTP status as well: a CONNECT that is answered 200 would be a tunnel.
pub(super) fn refusal(refusal: Refusal) -> Response<ReplyBody> {
    let mut answer = response(Code::Unimplemented, &refusal.to_string());
    if refusal == Refusal::NotPost {
        *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    }
    answer
}
