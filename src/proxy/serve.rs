//! [`serve`](serve()): accepts connections, answers each by the table of methods, and drains at shutdown.

use std::{fmt, future::Future, io, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use http::{Request, Response, Uri};
use hyper::{body::Incoming, server::conn::http2::Builder, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::UnixStream,
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::Code;

use super::{
    Answer, Call, Listener, Options, Owned, OwnedMethod, Route, Unread, Upstream,
    body::ReplyBody,
    frame::{self, Budget},
    methods, pass, settings, status, timeout as deadline,
};

/// Pause after a failed accept: out of file descriptors does not get better by asking at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How much of a refused path is recorded, in characters: the longest of containerd's own services has some 80.
const PATH_SHOWN: usize = 128;

/// What the proxy needs to serve.
pub struct Proxy {
    /// Limits and who is answered.
    pub options: Options,
    /// The runtime's socket.
    pub runtime: PathBuf,
    /// What answers the owned methods.
    pub owned: Arc<dyn Owned>,
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were open when the drain ended, and were closed with calls on them.
    pub cut: usize,
}

/// Serves until `shutdown` completes, then accepts no more, tells clients to go away, and waits for open calls until
/// the drain's deadline.
pub async fn serve(listener: Listener, proxy: Proxy, shutdown: impl Future<Output = ()>) -> Drained {
    let mut shutdown = pin!(shutdown);
    let (drain, draining) = watch::channel(false);
    let service = Arc::new(Service::new(proxy));
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = open.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok(stream) if service.admits(&stream, open.len()) => {
                    open.spawn(connection(Arc::clone(&service), stream, draining.clone()));
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    drain.send_replace(true);
    let ended = timeout(service.options.drain(), async { while open.join_next().await.is_some() {} }).await;
    let cut = if ended.is_ok() { 0 } else { open.len() };
    open.shutdown().await;
    Drained { cut }
}

/// What all connections share.
struct Service {
    options: Options,
    runtime: PathBuf,
    owned: Arc<dyn Owned>,
    http: Builder<TokioExecutor>,
    budget: Budget,
}

/// One client's connection: the service and this client's own way to the runtime.
struct Client {
    service: Arc<Service>,
    upstream: Upstream,
}

impl Service {
    fn new(proxy: Proxy) -> Self {
        let Proxy { options, runtime, owned } = proxy;
        let http = settings::server(options.streams);
        let budget = Budget::mib(options.held_mib);
        Self { options, runtime, owned, http, budget }
    }

    /// Whether a connection is served; otherwise it is closed unanswered.
    fn admits(&self, stream: &UnixStream, open: usize) -> bool {
        let refusal = match peer(stream) {
            Ok(uid) if !allowed(uid, &self.options.allowed_uids) => Some(Refused::User(uid)),
            Ok(_) if open >= self.options.connections => Some(Refused::Crowded),
            Ok(_) => None,
            Err(_) => Some(Refused::Unknown),
        };
        if let Some(why) = refusal {
            tracing::warn!(%why, "a connection was refused");
        }
        refusal.is_none()
    }
}

/// Why a connection is closed unanswered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    User(u32),
    Unknown,
    Crowded,
}

fn peer(stream: &UnixStream) -> io::Result<u32> {
    stream.peer_cred().map(|credentials| credentials.uid())
}

/// Whether the process at the other end may ask: its user is on the list, or is the gate's own.
#[must_use]
pub fn admits(stream: &UnixStream, allowed_uids: &[u32]) -> bool {
    peer(stream).is_ok_and(|uid| allowed(uid, allowed_uids))
}

/// Whether processes of this user are answered: the gate's own user always is, since it can do all the gate can.
fn allowed(uid: u32, list: &[u32]) -> bool {
    list.contains(&uid) || uid == nix::unistd::geteuid().as_raw()
}

/// Serves one connection until it ends or was drained.
async fn connection(service: Arc<Service>, stream: UnixStream, mut draining: watch::Receiver<bool>) {
    let client = Arc::new(Client { upstream: Upstream::new(&service.runtime), service });
    let http = client.service.http.clone();
    let answer = service_fn(move |request| {
        let client = Arc::clone(&client);
        async move { client.answer(request).await }
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), answer));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told(&mut draining) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client's connection ended");
    }
}

/// Completes when the drain begins.
async fn told(draining: &mut watch::Receiver<bool>) {
    let _ = draining.wait_for(|drain| *drain).await;
}

impl Client {
    /// The story of one request.
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<ReplyBody>, hyper::Error> {
        match methods::route(request.method(), request.uri()) {
            Route::Pass => pass::forward(&self.upstream, request).await,
            // Boxed, since it is many times larger than the future of a request that passes.
            Route::Own(method) => Ok(Box::pin(self.own(method, request)).await.into_response()),
            Route::Refuse(refusal) => {
                self.note(request.uri(), refusal).await;
                Ok(status::refusal(refusal))
            }
        }
    }

    /// Gives a call of an owned method to what decides on it, once its framing is known to be good.
    async fn own(&self, method: OwnedMethod, request: Request<Incoming>) -> Answer {
        let (parts, body) = request.into_parts();
        let deadline = match deadline::of(&parts.headers) {
            Ok(deadline) => deadline,
            Err(error) => return self.refused(method, Code::Internal, &error).await,
        };
        if let Err(error) = frame::check_headers(&parts.headers) {
            return self.refused(method, error.code(), &error).await;
        }
        let (message, _held) = match frame::one(body, &self.service.budget).await {
            Ok(read) => read,
            Err(error) => return self.refused(method, error.code(), &error).await,
        };
        let upstream = self.upstream.clone();
        self.service.owned.call(Call { method, message, headers: parts.headers, deadline, upstream }).await
    }

    /// Refuses a call of an owned method unread, with a record of it.
    async fn refused(&self, method: OwnedMethod, code: Code, why: &(dyn fmt::Display + Sync)) -> Answer {
        self.service.owned.unread(Unread::Framing { method, why: why.to_string() }).await;
        Answer::status(code, format!("sealgate refuses this {}: {why}", method.name()))
    }

    /// Has it recorded that someone tried a method which would bring content past the gate. Paths that lead nowhere are
    /// not worth a record.
    async fn note(&self, uri: &Uri, refusal: methods::Refusal) {
        match refusal {
            methods::Refusal::Native | methods::Refusal::OldCri | methods::Refusal::BringsContent { .. } => {
                let path = uri.path().chars().take(PATH_SHOWN).collect();
                self.service.owned.unread(Unread::Method { path, why: refusal.to_string() }).await;
            }
            methods::Refusal::NotPost | methods::Refusal::Path => {}
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(uid) => write!(f, "its process runs as user {uid}, which allowed_uids does not name"),
            Self::Unknown => f.write_str("the kernel does not say whose it is"),
            Self::Crowded => f.write_str("as many connections are open as allowed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_e_only_listed_users_and_our_own_are_answered() {
        let own = nix::unistd::geteuid().as_raw();
        let stranger = own + 1;
        assert!(allowed(own, &[]));
        assert!(allowed(stranger, &[0, stranger]));
        assert!(!allowed(stranger, &[]));
        assert!(!allowed(stranger, &[stranger + 1]));
    }
}
