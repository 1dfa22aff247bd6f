//! [`Raw`]: a client of one HTTP/2 connection that sends exactly the bytes it is told to, and
//! [`Tap`], which copies and keeps what passes between the gate and the runtime.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::stage::Failure;

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// One connection; a copy of it is the same connection.
#[derive(Clone)]
pub struct Raw(SendRequest<Full<Bytes>>);

/// A whole answer.
#[derive(Debug)]
pub struct Whole {
    /// The gRPC status; -1 for none.
    pub code: i32,
    /// Its text.
    pub text: String,
}

/// What became of a call.
#[derive(Debug)]
pub enum Asked {
    /// It was answered.
    Answered(Whole),
    /// The gate took nothing of it: it had said goodbye before it was sent, or says so of what it
    /// did not take.
    Untaken,
    /// It was sent, and there is no answer.
    Lost(String),
}

/// A message with its gRPC prefix.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a message that fits");
    [&[0][..], &length.to_be_bytes(), message].concat()
}

impl Raw {
    /// Connects.
    pub async fn connect(socket: &Path) -> Result<Self, Failure> {
        let stream = UnixStream::connect(socket).await?;
        let mut builder = Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(1 << 20).initial_connection_window_size(16 << 20);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// Whether the other side has said goodbye, or is gone.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Sends one message to a path, and tells what was not sent from what was lost. Waits as long
    /// as it takes.
    pub async fn ask(&mut self, path: &str, message: &[u8]) -> Asked {
        let request =
            Request::builder().method(Method::POST).uri(format!("http://localhost{path}"));
        let request = request.header("content-type", "application/grpc").header("te", "trailers");
        let Ok(request) = request.body(Full::new(Bytes::from(frame(message)))) else {
            return Asked::Untaken;
        };
        if self.0.ready().await.is_err() {
            return Asked::Untaken;
        }
        match self.0.try_send_request(request).await {
            Err(mut error) => match error.take_message() {
                Some(_) => Asked::Untaken,
                None => too_late_or_lost(&error.into_error()),
            },
            Ok(response) => {
                let (head, body) = response.into_parts();
                match body.collect().await {
                    Ok(body) => Asked::Answered(whole(
                        &head.headers,
                        &body.trailers().cloned().unwrap_or_default(),
                    )),
                    Err(error) => Asked::Lost(error.to_string()),
                }
            }
        }
    }

    /// Sends one message to a path.
    pub async fn call(&mut self, path: &str, message: &[u8]) -> Result<Whole, Failure> {
        self.send(path, &[], frame(message)).await
    }

    /// Sends a body to a path, with more headers.
    pub async fn send(
        &mut self,
        path: &str,
        more: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Whole, Failure> {
        let mut request =
            Request::builder().method(Method::POST).uri(format!("http://localhost{path}"));
        for (name, value) in
            [("content-type", "application/grpc"), ("te", "trailers")].iter().chain(more)
        {
            request = request.header(*name, *value);
        }
        self.0.ready().await?;
        let request = request.body(Full::new(Bytes::from(body)))?;
        let answered = async {
            let (head, body) = self.0.send_request(request).await?.into_parts();
            let body = body.collect().await?;
            let trailers = body.trailers().cloned().unwrap_or_default();
            Ok(whole(&head.headers, &trailers))
        };
        tokio::time::timeout(ANSWER_MAX, answered).await?
    }
}

/// A goodbye that does not count this stream says that nothing of it was taken (RFC 9113 section
/// 6.8).
fn too_late_or_lost(error: &hyper::Error) -> Asked {
    let cause =
        std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    match cause {
        Some(cause)
            if cause.is_go_away()
                && cause.is_remote()
                && cause.reason() == Some(h2::Reason::NO_ERROR) =>
        {
            Asked::Untaken
        }
        _ => Asked::Lost(error.to_string()),
    }
}

fn whole(head: &HeaderMap, trailers: &HeaderMap) -> Whole {
    let said =
        |name| trailers.get(name).or_else(|| head.get(name)).and_then(|value| value.to_str().ok());
    let code = said("grpc-status").and_then(|code| code.parse().ok()).unwrap_or(-1);
    Whole { code, text: said("grpc-message").unwrap_or_default().to_owned() }
}

/// A socket in front of another, which keeps what clients sent.
pub struct Tap {
    socket: PathBuf,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Tap {
    /// Listens on `socket` for what is to reach `target`.
    pub fn between(socket: PathBuf, target: PathBuf) -> Result<Self, Failure> {
        let listener = UnixListener::bind(&socket)?;
        let sent = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&sent);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if let Ok(server) = UnixStream::connect(&target).await {
                    tokio::spawn(copy(client, server, Arc::clone(&kept)));
                }
            }
        });
        Ok(Self { socket, sent })
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// How often these bytes were sent to the target.
    pub fn count(&self, bytes: &[u8]) -> usize {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.windows(bytes.len()).filter(|window| *window == bytes).count()
    }
}

async fn copy(client: UnixStream, server: UnixStream, kept: Arc<Mutex<Vec<u8>>>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
        kept.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..read]);
        if to_server.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    drop(to_server);
    drop(back.await);
}
