//! Opaque forwarding: a request goes to the runtime and its response comes back with bodies,
//! headers, trailers, streams, cancellation and deadlines as they are. Nothing is decoded, nothing
//! is kept; of a call that is checked first, its one message ([`checked`]).

use std::sync::Arc;

use http::{Request, Response, request::Parts, uri::PathAndQuery};
use hyper::body::Incoming;

use super::{
    answer::Answer,
    body::{ReplyBody, RequestBody},
    grpc::frame::{self, FrameBudget},
    interceptor::{CheckedCall, Interceptor, RejectedUnread},
    methods::MethodRow,
    upstream::{self, Failure, Upstream},
};

/// Forwards one request.
///
/// # Errors
/// The runtime's reset of this stream, which hyper passes on with its reason.
pub(super) async fn forward(
    upstream: &Upstream,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, hyper::Error> {
    let (parts, body) = request.into_parts();
    send(upstream, parts, RequestBody::Stream(body)).await
}

/// Forwards one request once `owned` has looked at its message, or gives the answer of that.
///
/// # Errors
/// As [`forward`].
pub(super) async fn checked(
    upstream: &Upstream,
    (owned, budget): (&Arc<dyn Interceptor>, &FrameBudget),
    method: &'static MethodRow,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let read = match frame::check_headers(&parts.headers) {
        Ok(()) => frame::one(body, budget).await,
        Err(error) => Err(error),
    };
    let read = read.and_then(|(message, held)| Ok((frame::join(&message)?, message, held)));
    let (framed, message, _held) = match read {
        Ok(read) => read,
        Err(error) => {
            let why = format!("sealgate refuses this {}: {error}", method.name);
            let unread = RejectedUnread::Method { path: method.path(), why: why.clone() };
            owned.unread(unread).await;
            return Ok(Answer::status(error.code(), why).into_response());
        }
    };
    match owned.check(CheckedCall { method, message }).await {
        Some(answer) => Ok(answer.into_response()),
        None => send(upstream, parts, RequestBody::Once(framed)).await,
    }
}

async fn send(
    upstream: &Upstream,
    mut parts: Parts,
    body: RequestBody,
) -> Result<Response<ReplyBody>, hyper::Error> {
    let path = parts.uri.path_and_query().cloned();
    parts.uri = upstream::target(path.unwrap_or(PathAndQuery::from_static("/")));
    match upstream.send(Request::from_parts(parts, body)).await {
        Ok(response) => Ok(response.map(ReplyBody::stream)),
        Err(Failure::Answer(error)) => Ok(Answer::from(error).into_response()),
        Err(Failure::Reset(error)) => Err(error),
    }
}
