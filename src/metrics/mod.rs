//! Numbers for a monitor: [`serve`] answers `GET /metrics` with [`Readings`] in Prometheus' text
//! format (version 0.0.4).
//!
//! Off unless `[metrics] listen` says where; loopback or a Unix socket, nothing else. Labels are
//! words of the configuration or fixed ones: nothing that a registry, an image or a client wrote
//! becomes one, and how many series there can be is bounded (attack E3).

mod audit;
mod decisions;
mod exposition;
mod listen;
mod lists;
mod node;
mod policy;
mod text;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;

pub use audit::Audit;
pub use decisions::{Decisions, Refusals, Sources};
pub use exposition::Histogram;
pub use listen::{Address, Listener};
pub use lists::DenyList;
pub use node::Node;
pub use policy::Policy;
pub use text::{Connections, Evidence, Readings};

/// Connections answered at once; a monitor opens one.
const CONNECTIONS_MAX: usize = 8;
/// How long one connection may last: one question, one answer.
const TALK_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of a request's head, hyper's least; a monitor's has some hundred.
const HEAD_MAX: usize = 8 << 10;
/// Pause after a failed accept: out of file descriptors does not get better by asking at once.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// What the answer is.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Where numbers are served, the `[metrics]` table of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// A loopback address with its port, `127.0.0.1:9469`, or the path of a Unix socket. Whoever
    /// may connect reads: on loopback every process of this node, and so it is with the socket
    /// (mode 0666), within its folder's permissions. Default: none, nothing is served.
    pub listen: Option<Address>,
}

/// Answers on `listener` for ever with what `read` says at that moment.
pub async fn serve<R>(listener: Listener, read: R)
where
    R: Fn() -> Readings + Send + Sync + 'static,
{
    let read = Arc::new(read);
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&free).acquire_owned().await else { return };
        match listener.accept().await {
            Ok(stream) => {
                let read = Arc::clone(&read);
                tokio::spawn(async move {
                    let answer = service_fn(|request| {
                        let response = respond(&request, &*read);
                        async move { Ok::<_, Infallible>(response) }
                    });
                    let mut builder = http1::Builder::new();
                    builder.keep_alive(false).max_buf_size(HEAD_MAX).header_read_timeout(None);
                    let talk = builder.serve_connection(TokioIo::new(stream), answer);
                    if !matches!(tokio::time::timeout(TALK_LIMIT, talk).await, Ok(Ok(()))) {
                        tracing::debug!("a monitor's connection broke off");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::error!(%error, "the metrics socket failed; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn respond(request: &Request<Incoming>, read: &dyn Fn() -> Readings) -> Response<Full<Bytes>> {
    let status = match (request.uri().path(), request.method()) {
        ("/metrics", &Method::GET | &Method::HEAD) => StatusCode::OK,
        ("/metrics", _) => StatusCode::METHOD_NOT_ALLOWED,
        (_, _) => StatusCode::NOT_FOUND,
    };
    let body = if status == StatusCode::OK { read().to_text() } else { String::new() };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(TEXT));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpStream, UnixStream};

    use super::*;

    fn readings() -> Readings {
        Readings { audit: Audit { healthy: true, ..Audit::default() }, ..Readings::default() }
    }

    async fn ask(address: std::net::SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_monitor_is_answered_over_http() {
        let listener = Listener::bind(&Address::Loopback("127.0.0.1:0".parse().unwrap())).unwrap();
        let address = listener.address().unwrap();
        let serving = tokio::spawn(serve(listener, readings));
        let answer = ask(address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains(TEXT), "{answer}");
        assert!(answer.contains("\nsealgate_audit_healthy 1\n"), "{answer}");
        let answer =
            ask(address, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
        let answer = ask(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        serving.abort();
    }

    /// Attack D1: a request without end, and one head that is too long.
    #[tokio::test]
    async fn attack_d1_a_monitor_that_talks_too_much_is_cut_off() {
        let listener = Listener::bind(&Address::Loopback("127.0.0.1:0".parse().unwrap())).unwrap();
        let address = listener.address().unwrap();
        let serving = tokio::spawn(serve(listener, readings));
        let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(2 * HEAD_MAX));
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The other side may close before all of it is written.
        drop(stream.write_all(long.as_bytes()).await);
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        assert!(!String::from_utf8_lossy(&answer).contains(" 200 "), "{answer:?}");
        assert!(ask(address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.contains(" 200 "));
        serving.abort();
    }

    #[tokio::test]
    async fn a_unix_socket_of_before_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let serving =
            tokio::spawn(serve(Listener::bind(&Address::Unix(path.clone())).unwrap(), readings));
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("sealgate_audit_healthy 1\n"), "{answer}");
        serving.abort();
        std::fs::write(dir.path().join("file"), "mine").unwrap();
        assert!(
            Listener::bind(&Address::Unix(dir.path().join("file"))).is_err(),
            "a file is not replaced"
        );
    }
}
