//! A gRPC client on raw HTTP/2, so that everything can be said and everything is seen.

use std::{convert::Infallible, path::Path};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::Incoming,
    client::conn::http2::{Builder, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::UnixStream, sync::mpsc};

use crate::{soon, standin::frame};

pub type Sent = UnsyncBoxBody<Bytes, Infallible>;

pub const VERSION: &str = "/runtime.v1.RuntimeService/Version";
pub const PULL: &str = "/runtime.v1.ImageService/PullImage";
pub const EVENTS: &str = "/runtime.v1.RuntimeService/GetContainerEvents";

/// The gate took nothing of a call: none of it was sent, or the goodbye says that it came too late
/// (RFC 9113 section 6.8). gRPC's clients then try another connection by themselves.
#[derive(Debug)]
pub struct Untaken;

#[derive(Clone)]
pub struct Client(SendRequest<Sent>);

/// A response read to its end.
#[derive(Debug)]
pub struct Whole {
    pub http: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Whole {
    /// The gRPC status and its text, wherever they stand; -1 for none.
    pub fn status(&self) -> (i32, String) {
        let from = self.trailers.as_ref().unwrap_or(&self.headers);
        let code =
            from.get("grpc-status").map_or(-1, |code| code.to_str().unwrap().parse().unwrap());
        let text = from.get("grpc-message").map_or("", |text| text.to_str().unwrap());
        (code, text.to_owned())
    }

    pub fn code(&self) -> i32 {
        self.status().0
    }
}

impl Client {
    pub async fn connect(socket: &Path) -> Self {
        Self::try_connect(socket).await.unwrap()
    }

    pub async fn try_connect(socket: &Path) -> Result<Self, String> {
        let stream = UnixStream::connect(socket).await.map_err(|error| error.to_string())?;
        let mut builder = Builder::new(TokioExecutor::new());
        builder.max_header_list_size(16 << 20).max_concurrent_reset_streams(100_000);
        builder.initial_stream_window_size(1 << 20).initial_connection_window_size(16 << 20);
        let (sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Sends a request and gives the response when its headers are there.
    pub async fn open(
        &mut self,
        request: Request<Sent>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        soon("a response's headers", self.0.send_request(request)).await
    }

    pub async fn send(&mut self, request: Request<Sent>) -> Whole {
        let response = self.open(request).await.unwrap();
        read(response).await.unwrap()
    }

    /// A unary call.
    pub async fn call(&mut self, path: &str, message: &[u8]) -> Whole {
        self.send(request(path, frame(message))).await
    }
}

impl Client {
    /// A unary call that may come too late for its connection; that it is broken off is a failure.
    pub async fn try_call(&mut self, path: &str, message: &[u8]) -> Result<Whole, Untaken> {
        match soon("a response's headers", self.0.try_send_request(request(path, frame(message))))
            .await
        {
            Ok(response) => Ok(read(response).await.unwrap()),
            Err(mut error) => {
                if error.take_message().is_none() {
                    let error = error.into_error();
                    assert!(is_too_late(&error), "a call was sent and lost: {error:?}");
                }
                Err(Untaken)
            }
        }
    }
}

/// Whether the other side said goodbye without having taken this stream.
fn is_too_late(error: &hyper::Error) -> bool {
    let cause =
        std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| {
        cause.is_go_away() && cause.is_remote() && cause.reason() == Some(h2::Reason::NO_ERROR)
    })
}

pub async fn read(response: Response<Incoming>) -> Result<Whole, hyper::Error> {
    let (parts, body) = response.into_parts();
    let collected = soon("a response's end", body.collect()).await?;
    let trailers = collected.trailers().cloned();
    Ok(Whole {
        http: parts.status,
        headers: parts.headers,
        body: collected.to_bytes().to_vec(),
        trailers,
    })
}

/// A request as a gRPC client makes it, with this body.
pub fn request(path: &str, body: impl Into<Bytes>) -> Request<Sent> {
    with_body(path, Full::new(body.into()).boxed_unsync())
}

/// A request whose body is sent as the channel gives it, and ends when the sender is dropped.
pub fn streaming(path: &str) -> (mpsc::Sender<Bytes>, Request<Sent>) {
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|data| (Ok(Frame::data(data)), receiver))
    });
    (sender, with_body(path, StreamBody::new(frames).boxed_unsync()))
}

fn with_body(path: &str, body: Sent) -> Request<Sent> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = format!("http://localhost{path}").parse().unwrap();
    request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
    request
}
