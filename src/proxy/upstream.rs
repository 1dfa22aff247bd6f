//! [`Upstream`]: the runtime's socket, over one HTTP/2 connection for each client connection, so
//! that what one client leaves unread cannot hold another one's window. The connection is made when
//! it is first needed and made again when it ended; a runtime that is gone is UNAVAILABLE at once
//! (cri-facts H1).

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri,
    header::{CONTENT_LENGTH, CONTENT_TYPE, TE},
    uri::{Authority, PathAndQuery, Scheme},
};
use hyper::{
    body::Incoming,
    client::conn::http2::{Builder, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
use tonic::Code;

use super::{
    answer::{Answer, Reply},
    body::{self, RequestBody},
    connection::{cork::Corked, seldom::Seldom},
    grpc::{
        frame::{self, FrameError},
        status,
        timeout::{self, GRPC_TIMEOUT},
    },
    settings,
};
use crate::errno::Words;

/// The runtime as one client reaches it; clones share the connection.
#[derive(Clone)]
pub struct Upstream(Arc<UpstreamShared>);

struct UpstreamShared {
    socket: PathBuf,
    /// The connection in use. Held for moments only, never across a wait.
    live: Mutex<Option<SendRequest<RequestBody>>>,
    /// Held while a connection is made, so that a crowd of calls makes one.
    dialing: tokio::sync::Mutex<()>,
    /// Of all clients together: a runtime that is gone is said once a minute, not at every call.
    away: Arc<Seldom>,
}

/// Why there is no reply of the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamError {
    /// No connection could be made; nothing was sent.
    Unreachable {
        /// The runtime's socket.
        socket: PathBuf,
        /// What connecting to it gave.
        kind: io::ErrorKind,
    },
    /// The connection ended in the middle of the call: whether the runtime acted is not known.
    Broken {
        /// The runtime's socket.
        socket: PathBuf,
    },
    /// The runtime reset the call; whether it acted is not known.
    Reset,
    /// The deadline of the call passed, and it was cancelled; whether the runtime acted is not
    /// known.
    Deadline,
    /// The message to send is above the limit; nothing was sent.
    TooLarge {
        /// Its bytes.
        length: usize,
    },
    /// The reply is not one message with a status, as gRPC demands.
    Reply(FrameError),
    /// The reply has no gRPC status, or an HTTP status other than 200.
    NotGrpc,
}

/// A failure before any of the reply came, for the pass-through.
pub(super) enum Failure {
    /// To be answered with a status.
    Answer(UpstreamError),
    /// The runtime reset this one stream: the client's is reset for the same reason.
    Reset(hyper::Error),
}

impl Upstream {
    pub(super) fn new(socket: &Path, away: Arc<Seldom>) -> Self {
        Self(Arc::new(UpstreamShared {
            socket: socket.to_owned(),
            live: Mutex::new(None),
            dialing: tokio::sync::Mutex::new(()),
            away,
        }))
    }

    /// Makes one unary call: `path` is `/<service>/<method>`, `headers` are sent as they are,
    /// except those that gRPC sets itself and those that would let the runtime compress its reply.
    /// An error of the runtime is a [`Reply`] with its status, to be passed on unchanged. Dropping
    /// the future cancels the call.
    ///
    /// # Errors
    /// [`UpstreamError`] when there is no whole reply; within `deadline`, where there is one.
    pub async fn unary(
        &self,
        path: &'static str,
        headers: &HeaderMap,
        message: &[u8],
        deadline: Option<Duration>,
    ) -> Result<Reply, UpstreamError> {
        let body =
            frame::join(message).map_err(|_| UpstreamError::TooLarge { length: message.len() })?;
        let mut request = Request::new(RequestBody::Once(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = target(PathAndQuery::from_static(path));
        *request.headers_mut() = unary_headers(headers, deadline);
        let call = async {
            let response = self.send(request).await.map_err(|failure| match failure {
                Failure::Answer(error) => error,
                Failure::Reset(_) => UpstreamError::Reset,
            })?;
            self.reply(response).await
        };
        match deadline {
            None => call.await,
            Some(limit) => {
                tokio::time::timeout(limit, call).await.unwrap_or(Err(UpstreamError::Deadline))
            }
        }
    }

    /// Sends a request and gives the response once its headers are there. A request that found its
    /// connection ended is sent once more over a new one, only where none of it was sent.
    pub(super) async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut sender = self.sender().await?;
        let mut error = match sender.try_send_request(request).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let Some(unsent) = error.take_message() else {
            return Err(self.failure(error.into_error()));
        };
        let mut sender = self.sender().await?;
        sender.try_send_request(unsent).await.map_err(|error| self.failure(error.into_error()))
    }

    fn failure(&self, error: hyper::Error) -> Failure {
        if body::is_reset(&error) { Failure::Reset(error) } else { Failure::Answer(self.broken()) }
    }

    fn broken(&self) -> UpstreamError {
        UpstreamError::Broken { socket: self.0.socket.clone() }
    }

    /// The connection in use, or a new one.
    async fn sender(&self) -> Result<SendRequest<RequestBody>, Failure> {
        if let Some(sender) = self.live() {
            return Ok(sender);
        }
        // A task of its own, so that callers that cancel while it dials do not make the next one
        // dial again.
        let dialed = tokio::spawn(self.clone().dial_once()).await;
        dialed.unwrap_or(Err(io::ErrorKind::Interrupted)).map_err(|kind| {
            Failure::Answer(UpstreamError::Unreachable { socket: self.0.socket.clone(), kind })
        })
    }

    async fn dial_once(self) -> Result<SendRequest<RequestBody>, io::ErrorKind> {
        let _dialing = self.0.dialing.lock().await;
        if let Some(sender) = self.live() {
            return Ok(sender);
        }
        let dialed = self.dial().await;
        self.tell(dialed.as_ref().err());
        let sender = dialed?;
        *self.0.live.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender.clone());
        Ok(sender)
    }

    /// Tells the journal that the runtime is away, once a minute, and that it is back.
    fn tell(&self, failed: Option<&io::ErrorKind>) {
        let socket = self.0.socket.display();
        match failed {
            Some(kind) => {
                if let Some(unsaid) = self.0.away.due() {
                    tracing::warn!(%socket, why = %Words(*kind), unsaid, "the runtime cannot be \
                        reached");
                }
            }
            None => {
                if let Some(unsaid) = self.0.away.over() {
                    tracing::info!(%socket, unsaid, "the runtime is reached again");
                }
            }
        }
    }

    fn live(&self) -> Option<SendRequest<RequestBody>> {
        let live = self.0.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.as_ref().filter(|sender| !sender.is_closed()).cloned()
    }

    async fn dial(&self) -> Result<SendRequest<RequestBody>, io::ErrorKind> {
        let stream = UnixStream::connect(&self.0.socket).await.map_err(|error| error.kind())?;
        let mut builder = Builder::new(TokioExecutor::new());
        settings::client(&mut builder);
        let (sender, connection) = builder
            .handshake(TokioIo::new(Corked::new(stream)))
            .await
            .map_err(|_| io::ErrorKind::ConnectionAborted)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the runtime ended");
            }
        });
        Ok(sender)
    }

    async fn reply(&self, response: Response<Incoming>) -> Result<Reply, UpstreamError> {
        let (parts, body) = response.into_parts();
        if parts.status != StatusCode::OK {
            return Err(UpstreamError::NotGrpc);
        }
        let (body, trailers) = frame::gather(body, |_| Ok(())).await.map_err(|error| {
            if error == FrameError::Broken { self.broken() } else { UpstreamError::Reply(error) }
        })?;
        let code =
            trailers.as_ref().and_then(status::code_of).or_else(|| status::code_of(&parts.headers));
        let code = code.ok_or(UpstreamError::NotGrpc)?;
        let message = match frame::split(&body) {
            Ok(message) => message,
            Err(FrameError::Empty) if code != Code::Ok => Bytes::new(),
            Err(error) => return Err(UpstreamError::Reply(error)),
        };
        Ok(Reply { headers: parts.headers, body, message, trailers, code })
    }
}

/// The target of a request to the runtime: one scheme and authority for all, since a Unix socket
/// has neither and what the client wrote there has no meaning for it.
pub(super) fn target(path: PathAndQuery) -> Uri {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(Authority::from_static("localhost"));
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).unwrap_or_default()
}

fn unary_headers(caller: &HeaderMap, deadline: Option<Duration>) -> HeaderMap {
    let mut headers = caller.clone();
    headers.remove(CONTENT_LENGTH);
    headers.remove("grpc-encoding");
    headers.remove("grpc-accept-encoding");
    headers.remove(GRPC_TIMEOUT);
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    if let Some(deadline) = deadline {
        headers.insert(GRPC_TIMEOUT, timeout::value(deadline));
    }
    headers
}

impl UpstreamError {
    /// The gRPC code that tells a client what happened.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } | Self::Reset => Code::Unavailable,
            Self::Deadline => Code::DeadlineExceeded,
            Self::TooLarge { .. } => Code::ResourceExhausted,
            Self::Reply(_) | Self::NotGrpc => Code::Internal,
        }
    }

    /// Whether the runtime may have had the call, so that it may have acted.
    #[must_use]
    pub const fn was_sent(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TooLarge { .. } => false,
            Self::Broken { .. } | Self::Reset | Self::Deadline | Self::Reply(_) | Self::NotGrpc => {
                true
            }
        }
    }
}

impl From<UpstreamError> for Answer {
    fn from(error: UpstreamError) -> Self {
        Self::status(error.code(), format!("sealgate: {error}"))
    }
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { socket, kind } => {
                let why = Words(*kind);
                write!(
                    f,
                    "the runtime's socket {} cannot be reached: {why}; is the runtime up?",
                    socket.display()
                )
            }
            Self::Broken { socket } => {
                write!(
                    f,
                    "the connection to the runtime's socket {} ended in the middle of the call",
                    socket.display()
                )
            }
            Self::Reset => f.write_str("the runtime reset the call"),
            Self::Deadline => f.write_str("the runtime did not answer within the time of the call"),
            Self::TooLarge { length } => {
                write!(
                    f,
                    "the message of {length} bytes is above the {} allowed",
                    frame::MESSAGE_LIMIT
                )
            }
            Self::Reply(error) => write!(f, "the runtime's reply cannot be read: {error}"),
            Self::NotGrpc => f.write_str("the runtime's reply has no gRPC status"),
        }
    }
}

impl std::error::Error for UpstreamError {}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upstream").field(&self.0.socket).finish()
    }
}
