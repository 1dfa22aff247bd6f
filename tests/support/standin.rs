//! [`Standin`]: a runtime that stands in for containerd, on raw HTTP/2 so that any path can be
//! answered and every byte is seen. It records what reached it; it verifies nothing.
//!
//! Answers by the last part of the path:
//!
//! | name | answer |
//! |---|---|
//! | `GetContainerEvents` | one message at once, then nothing, for ever |
//! | `Stream` | what comes is sent back as it comes, with trailers |
//! | `Many` | as many small messages as the request's first four bytes say, big-endian |
//! | `Gather` | one message with the count of body bytes, big-endian, after the client ended its stream |
//! | `Fail` | NOT_FOUND with a message of 60 KiB and details, in trailers after the headers |
//! | `FailAtOnce` | the same, in the headers alone |
//! | `Missing` | UNIMPLEMENTED |
//! | `Hang` | never |
//! | `Reset` | the stream is reset with REFUSED_STREAM |
//! | `Large` | one message of as many bytes as the request's first four bytes say, big-endian |
//! | anything else | the request's body back |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "for tests"
)]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::{
    collections::HashMap,
    future::pending,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::UnixListener, task::JoinHandle};

/// A gRPC server on a Unix socket; stops as if killed when dropped, and leaves its socket file
/// behind.
pub struct Standin {
    path: PathBuf,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// The path with its query.
    pub path: String,
    /// Scheme and authority, as `http://localhost`.
    pub origin: String,
    /// The headers.
    pub headers: HeaderMap,
    /// As much of the body as came, gRPC prefixes included.
    pub body: Vec<u8>,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
}

/// What answers a path for a scenario: the message of the request in, the message of the reply or a
/// status out.
pub type Script = Arc<dyn Fn(&[u8]) -> Result<Vec<u8>, (i32, String)> + Send + Sync>;

#[derive(Default)]
struct State {
    received: Mutex<Vec<Received>>,
    scripts: Mutex<HashMap<String, Script>>,
    delay: Mutex<Duration>,
    canceled: AtomicUsize,
    connections: AtomicUsize,
    retired: tokio::sync::Notify,
    quiet: bool,
}

impl Standin {
    /// Starts on the path; a socket file that is there is replaced.
    pub fn start(path: &Path) -> Self {
        Self::with(path, State::default())
    }

    /// As [`start`](Self::start), without recording anything: for measuring.
    pub fn quiet(path: &Path) -> Self {
        Self::with(path, State { quiet: true, ..State::default() })
    }

    fn with(path: &Path, state: State) -> Self {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).expect("bind the stand-in's socket");
        let state = Arc::new(state);
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { path: path.to_owned(), state, accepting }
    }

    /// Its socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every request that reached it so far, in order of arrival.
    pub fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }

    /// The paths of [`received`](Self::received).
    pub fn paths(&self) -> Vec<String> {
        self.received().into_iter().map(|request| request.path).collect()
    }

    /// How many calls ended before their answer was finished.
    pub fn canceled(&self) -> usize {
        self.state.canceled.load(Ordering::SeqCst)
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Every answer waits this long from now on.
    pub fn delay(&self, delay: Duration) {
        *self.state.delay.lock().unwrap() = delay;
    }

    /// Unary calls of this path are answered by the script, before any other rule.
    pub fn script(&self, path: &str, script: Script) {
        self.state.scripts.lock().unwrap().insert(path.to_owned(), script);
    }

    /// Tells every client to go away, lets their calls finish, and goes on accepting, as a server
    /// does whose connections have an age limit.
    pub fn retire(&self) {
        self.state.retired.notify_waiters();
    }

    /// Ends all connections at once, as a kill does; the socket file stays.
    pub async fn kill(mut self) {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Accepts until aborted; the connections are this task's children and end with it.
async fn accept(listener: UnixListener, state: Arc<State>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let number = state.connections.fetch_add(1, Ordering::SeqCst);
        let (state, shared) = (Arc::clone(&state), Arc::clone(&state));
        let service = service_fn(move |request| answer(Arc::clone(&shared), number, request));
        connections.spawn(async move {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .max_header_list_size(16 << 20)
                .max_concurrent_streams(None)
                .max_pending_accept_reset_streams(1 << 20);
            builder.initial_stream_window_size(1 << 20).initial_connection_window_size(16 << 20);
            builder.max_local_error_reset_streams(1 << 20).auto_date_header(false);
            let mut connection =
                std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
            tokio::select! {
                _ = connection.as_mut() => {}
                () = state.retired.notified() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
        });
    }
}

async fn answer(
    state: Arc<State>,
    connection: usize,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, h2::Error> {
    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    let index = state.arrived(&path, &request, connection);
    let mut body = Recorder { body: request.into_body(), state: Arc::clone(&state), index };
    let mut unfinished = Unfinished { state: Arc::clone(&state), done: false };
    let script = state.scripts.lock().unwrap().get(&path).cloned();
    let delay = *state.delay.lock().unwrap();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if script.is_none() {
        match name.as_str() {
            "Stream" => return Ok(grpc(ReplyBody::Echo { body, unfinished, ended: false })),
            "FailAtOnce" => return Ok(unfinished.finish(at_once(long_error()))),
            "Missing" => return Ok(unfinished.finish(at_once(status(12, "no such method")))),
            "Hang" => pending().await,
            "Reset" => {
                unfinished.done = true;
                return Err(h2::Reason::REFUSED_STREAM.into());
            }
            _ => {}
        }
    }
    let whole = body.gather().await;
    let message = whole.get(5..).unwrap_or_default();
    if let Some(script) = script {
        return Ok(match script(message) {
            Ok(reply) => grpc(ReplyBody::frames([frame(&reply)], ok(), unfinished)),
            Err((code, text)) => unfinished.finish(at_once(status(code, &text))),
        });
    }
    let said = || message.first_chunk().map_or(0, |four| u32::from_be_bytes(*four) as usize);
    Ok(grpc(match name.as_str() {
        "GetContainerEvents" => ReplyBody::Endless { first: Some(frame(b"an event")), unfinished },
        "Many" => ReplyBody::frames((0..said()).map(|_| frame(b"item")), ok(), unfinished),
        "Gather" => {
            ReplyBody::frames([frame(&(whole.len() as u64).to_be_bytes())], ok(), unfinished)
        }
        "Fail" => ReplyBody::frames([], long_error(), unfinished),
        "Large" => ReplyBody::frames([frame(&vec![b'x'; said()])], ok(), unfinished),
        _ => ReplyBody::frames([whole], ok(), unfinished),
    }))
}

/// A message with its gRPC prefix.
pub fn frame(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len() + 5);
    out.put_u8(0);
    out.put_u32(u32::try_from(message.len()).expect("a message below 4 GiB"));
    out.put_slice(message);
    out.freeze()
}

/// The trailers or headers of a status.
pub fn status(code: i32, text: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(code));
    trailers.insert("grpc-message", HeaderValue::try_from(text).expect("a plain text"));
    trailers
}

/// The error of `Fail`: longer than an HTTP/2 frame and than the default limit of header lists.
pub fn long_error() -> HeaderMap {
    let mut trailers = status(5, &"not found, and here is why ".repeat(2300));
    trailers.insert(
        "grpc-status-details-bin",
        HeaderValue::try_from("CAUSE".repeat(4000)).expect("plain"),
    );
    trailers
}

fn ok() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers
}

fn grpc(body: ReplyBody) -> Response<ReplyBody> {
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response.headers_mut().insert("x-from-runtime", HeaderValue::from_static("yes"));
    response
}

fn at_once(headers: HeaderMap) -> Response<ReplyBody> {
    let mut response = grpc(ReplyBody::Nothing);
    response.headers_mut().extend(headers);
    response
}

impl State {
    fn arrived(&self, path: &str, request: &Request<Incoming>, connection: usize) -> usize {
        if self.quiet {
            return 0;
        }
        let mut received = self.received.lock().unwrap();
        let headers = request.headers().clone();
        let part = |part: Option<&str>| part.unwrap_or_default().to_owned();
        let uri = request.uri();
        let origin = format!(
            "{}://{}",
            part(uri.scheme_str()),
            part(uri.authority().map(|authority| authority.as_str()))
        );
        received.push(Received {
            path: path.to_owned(),
            origin,
            headers,
            body: Vec::new(),
            connection,
        });
        received.len() - 1
    }
}

/// Counts a call that ended before its answer did.
struct Unfinished {
    state: Arc<State>,
    done: bool,
}

impl Unfinished {
    fn finish<T>(mut self, with: T) -> T {
        self.done = true;
        with
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.done {
            self.state.canceled.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// A request's body that is recorded as it is read.
struct Recorder {
    body: Incoming,
    state: Arc<State>,
    index: usize,
}

impl Recorder {
    fn note(&self, data: &[u8]) {
        if !self.state.quiet {
            self.state.received.lock().unwrap()[self.index].body.extend_from_slice(data);
        }
    }

    async fn gather(&mut self) -> Bytes {
        let mut all = BytesMut::new();
        let mut first = Bytes::new();
        while let Some(Ok(frame)) = self.body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            self.note(&data);
            if first.is_empty() {
                first = data;
            } else {
                if all.is_empty() {
                    all.put_slice(&first);
                }
                all.put_slice(&data);
            }
        }
        if all.is_empty() { first } else { all.freeze() }
    }
}

enum ReplyBody {
    Nothing,
    Frames {
        frames: std::vec::IntoIter<Bytes>,
        trailers: Option<HeaderMap>,
        unfinished: Unfinished,
    },
    Echo {
        body: Recorder,
        unfinished: Unfinished,
        ended: bool,
    },
    Endless {
        first: Option<Bytes>,
        unfinished: Unfinished,
    },
}

impl ReplyBody {
    fn frames(
        frames: impl IntoIterator<Item = Bytes>,
        trailers: HeaderMap,
        unfinished: Unfinished,
    ) -> Self {
        let frames = frames.into_iter().collect::<Vec<_>>().into_iter();
        Self::Frames { frames, trailers: Some(trailers), unfinished }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::Nothing => Poll::Ready(None),
            Self::Frames { frames, trailers, unfinished } => Poll::Ready(match frames.next() {
                Some(frame) => Some(Ok(Frame::data(frame))),
                None => {
                    unfinished.done = true;
                    trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))
                }
            }),
            Self::Echo { ended: true, .. } => Poll::Ready(None),
            Self::Echo { body, unfinished, ended } => match Pin::new(&mut body.body).poll_frame(cx)
            {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Some(data) = frame.data_ref() {
                        body.note(data);
                    }
                    Poll::Ready(Some(Ok(frame)))
                }
                Poll::Ready(None) => {
                    unfinished.done = true;
                    *ended = true;
                    Poll::Ready(Some(Ok(Frame::trailers(ok()))))
                }
                Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
                Poll::Pending => Poll::Pending,
            },
            Self::Endless { first, unfinished } => {
                let _ = &unfinished.done;
                first
                    .take()
                    .map_or(Poll::Pending, |first| Poll::Ready(Some(Ok(Frame::data(first)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}
