//! Opaque forwarding: a request goes to the runtime and its response comes back with bodies,
//! headers, trailers, streams, cancellation and deadlines as they are. Nothing is decoded, nothing
//! is kept.

use http::{Request, Response, uri::PathAndQuery};
use hyper::body::Incoming;

use super::{
    answer::Answer,
    body::{ReplyBody, RequestBody},
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
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().cloned();
    parts.uri = upstream::target(path.unwrap_or(PathAndQuery::from_static("/")));
    match upstream.send(Request::from_parts(parts, RequestBody::Stream(body))).await {
        Ok(response) => Ok(response.map(ReplyBody::stream)),
        Err(Failure::Answer(error)) => Ok(Answer::from(error).into_response()),
        Err(Failure::Reset(error)) => Err(error),
    }
}
