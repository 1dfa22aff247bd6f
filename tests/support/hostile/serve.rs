//! Listeners and connections: what comes is looked through for secrets, and answered with the truth
//! or with the fault.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::act::{Act, End, Script, play};
use super::faults::{Kind, Moment, answer, error};
use super::table::Step;
use super::tls::{self, Tls};
use super::world::Good;
use super::{BASIC, HEADER, PASSWORD, Shared, TOKEN, http2};

/// Longest head and body that are read, bytes: a token of 60 KiB comes back in a head.
const REQUEST_MAX: usize = 256 << 10;

/// What a TLS handshake is taken for where none is spoken.
const HANDSHAKE: &str = "a TLS handshake";

/// What a listener is to the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The registry of the reference, and its token service: it may know the credentials.
    Registry,
    /// A mirror; it may know nothing.
    Mirror,
    /// Where blobs are redirected to; it may know nothing.
    Target,
    /// Where a registry may send a gate, with nothing.
    Elsewhere,
    /// Where a registry may not send a gate at all.
    Unnamed,
}

/// One request.
#[derive(Default)]
struct Request {
    method: String,
    path: String,
    query: String,
    head: String,
    all: String,
}

/// Starts to listen; must be called within the runtime.
pub(crate) fn listen(role: Role, listener: std::net::TcpListener, shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    let address = listener.local_addr().expect("an address");
    listener.set_nonblocking(true).expect("nonblocking");
    let is_absent = matches!(shared.fault.kind, Kind::Refused)
        && role == shared.step.role()
        && shared.step.is_first();
    let listener = TcpListener::from_std(listener).expect("a listener");
    tokio::spawn(async move {
        let (leave, mut left) = tokio::sync::mpsc::unbounded_channel::<()>();
        loop {
            if is_absent {
                break;
            }
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = left.recv() => break,
            };
            let Ok((stream, _)) = accepted else { continue };
            let (shared, leave) = (Arc::clone(&shared), leave.clone());
            tokio::spawn(async move {
                if serve(role, stream, &shared).await == End::Leave {
                    shared.gone.store(true, Ordering::Relaxed);
                    let _ = leave.send(());
                }
            });
        }
        // The port stays taken, so that no later listener gets it, and nobody listens.
        drop(listener);
        let held = TcpSocket::new_v4().expect("a socket");
        held.set_reuseaddr(true).expect("an option");
        let _ = held.bind(address);
        std::future::pending::<()>().await;
    });
}

async fn serve(role: Role, stream: TcpStream, shared: &Arc<Shared>) -> End {
    if role == Role::Unnamed {
        shared.trapped.fetch_add(1, Ordering::Relaxed);
        shared.leaked("an address that nobody named", "a connection");
    }
    stream.set_nodelay(true).ok();
    match tls::of(role, shared.fault, shared.step) {
        None | Some(Tls::NotSpoken) => converse(role, stream, shared).await,
        Some(kind) => {
            let Ok(mut stream) = tls::acceptor(kind).accept(stream).await else {
                return End::Close;
            };
            if let Tls::Http2(kind) = kind {
                shared.asked.fetch_add(1, Ordering::Relaxed);
                return play(&mut stream, http2::script(kind)).await;
            }
            converse(role, stream, shared).await
        }
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    role: Role,
    mut stream: S,
    shared: &Arc<Shared>,
) -> End {
    let mut rest = Vec::new();
    while let Some(request) = read(&mut stream, &mut rest).await {
        if request.method == HANDSHAKE {
            play(&mut stream, error(400, "UNSUPPORTED")).await;
            return End::Close;
        }
        if shared.gone.load(Ordering::Relaxed) {
            return End::Close;
        }
        look_through(role, &request, shared);
        let mut script = script(role, &request, shared);
        if request.method == "HEAD" {
            // Only the head of an answer, whatever it is.
            script = script.into_iter().take(1).chain([Act::Keep]).collect();
        }
        match play(&mut stream, script).await {
            End::Keep => {}
            end => {
                stream.shutdown().await.ok();
                return end;
            }
        }
    }
    End::Close
}

/// One request; none when the connection is over or what comes is none.
async fn read<S: AsyncRead + Unpin>(stream: &mut S, rest: &mut Vec<u8>) -> Option<Request> {
    let end = loop {
        if let Some(at) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, rest).await?;
        if rest.first() == Some(&0x16) {
            return Some(Request { method: HANDSHAKE.to_owned(), ..Request::default() });
        }
    };
    let head = String::from_utf8_lossy(&rest[..end]).into_owned();
    let length = header(&head, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    while rest.len() < end + length {
        more(stream, rest).await?;
    }
    let all = String::from_utf8_lossy(&rest[..end + length]).into_owned();
    rest.drain(..end + length);
    let mut words = head.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Some(Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        all,
        head: head.clone(),
    })
}

async fn more<S: AsyncRead + Unpin>(stream: &mut S, rest: &mut Vec<u8>) -> Option<()> {
    let mut chunk = [0; 4096];
    let count = stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
    rest.extend_from_slice(&chunk[..count]);
    (rest.len() < REQUEST_MAX).then_some(())
}

fn header(head: &str, name: &str) -> Option<String> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines
        .into_iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().to_owned())
}

/// Nobody but the registry may be sent anything that was given for it.
fn look_through(role: Role, request: &Request, shared: &Shared) {
    if request.path.starts_with("/forbidden") {
        shared.leaked("an address that may not be asked", "a request");
    }
    if role == Role::Registry
        || header(&request.head, "user-agent").is_some_and(|agent| agent.contains("containerd"))
    {
        return;
    }
    let all = request.all.to_ascii_lowercase();
    for secret in [PASSWORD, BASIC, TOKEN, HEADER, "authorization:"] {
        if all.contains(&secret.to_ascii_lowercase()) {
            shared.leaked(&format!("{role:?}"), secret);
        }
    }
}

fn script(role: Role, request: &Request, shared: &Shared) -> Script {
    let is_gate =
        header(&request.head, "user-agent").is_some_and(|agent| agent.contains("sealgate/"));
    let own = (shared.step.role() == role && is_gate).then_some(shared.step);
    if role == Role::Registry {
        if request.path == "/token" {
            return token(request, shared, own);
        }
        let granted = header(&request.head, "authorization").unwrap_or_default();
        let page = if request.query.contains("page=2") { "?page=2" } else { "" };
        let good = shared.world.get(&format!("{}{page}", request.path));
        if let (Kind::Challenge(_), Some(good)) =
            (&shared.fault.kind, good.filter(|good| good.step == own && own.is_some()))
        {
            return faulty(request, shared, good);
        }
        if !granted.starts_with(&format!("Bearer {TOKEN}")) {
            return challenge(shared);
        }
    }
    if role == Role::Mirror && shared.step == Step::Ups {
        return error(404, "NAME_UNKNOWN");
    }
    let page = if request.query.contains("page=2") { "?page=2" } else { "" };
    let mut good = shared.world.get(&format!("{}{page}", request.path)).cloned();
    // What a fault leads to on the same host is the same fault again; what it leads to elsewhere is
    // the truth.
    if request.path.starts_with("/again")
        || request.query.contains("again")
        || role == Role::Elsewhere
    {
        good = shared.world.values().find(|good| good.step == Some(shared.step)).cloned();
    }
    let is_step = own.is_some()
        && (role == Role::Mirror || good.as_ref().is_some_and(|good| good.step == own));
    let Some(good) = good.or_else(|| is_step.then(not_there)) else {
        return if request.path.contains("/referrers/") {
            no_endpoint()
        } else {
            error(404, "MANIFEST_UNKNOWN")
        };
    };
    if is_step { faulty(request, shared, &good) } else { answer(&good) }
}

fn faulty(request: &Request, shared: &Shared, good: &Good) -> Script {
    let asked = shared.asked.fetch_add(1, Ordering::Relaxed) + 1;
    match shared.fault.kind {
        Kind::Wire(make) | Kind::WireOverTls(make) | Kind::Challenge(make) => {
            let role = shared.step.role();
            let address = match role {
                Role::Mirror => shared.places.mirror.expect("a mirror"),
                Role::Target => shared.places.target,
                Role::Registry | Role::Elsewhere | Role::Unnamed => shared.places.registry,
            };
            let origin = format!("{}://{address}", tls::scheme(role, shared.fault, shared.step));
            make(&Moment { good, asked, places: &shared.places, origin, path: &request.path })
        }
        Kind::Refused => vec![Act::Leave],
        Kind::Document(_) | Kind::Tls(_) => answer(good),
    }
}

/// The token service: for whoever has the password.
fn token(request: &Request, shared: &Shared, own: Option<Step>) -> Script {
    let body = format!(r#"{{"token":"{TOKEN}","expires_in":300}}"#);
    let body = match shared.fault.kind {
        Kind::Document(change) if own == Some(Step::Tok) => change(&body),
        _ => body,
    };
    let headers = vec![("Content-Type", "application/json".to_owned())];
    let good = Good { step: Some(Step::Tok), status: 200, headers, body: body.into() };
    if own == Some(Step::Tok) {
        return faulty(request, shared, &good);
    }
    let known = header(&request.head, "authorization")
        .is_some_and(|value| value == format!("Basic {BASIC}"));
    if known { answer(&good) } else { error(401, "UNAUTHORIZED") }
}

fn challenge(shared: &Shared) -> Script {
    let origin = format!(
        "{}://{}",
        tls::scheme(Role::Registry, shared.fault, shared.step),
        shared.places.registry
    );
    let challenge = format!(r#"Bearer realm="{origin}/token",service="hostile""#);
    let headers = vec![("WWW-Authenticate", challenge)];
    answer(&Good { step: None, status: 401, headers, body: "{}".into() })
}

fn no_endpoint() -> Script {
    let headers = vec![("Content-Type", "text/plain".to_owned())];
    answer(&Good { step: None, status: 404, headers, body: "404 page not found\n".into() })
}

fn not_there() -> Good {
    let headers = vec![("Content-Type", "application/json".to_owned())];
    let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"said by a hostile registry"}]}"#;
    Good { step: None, status: 404, headers, body: body.into() }
}
