//! [`serve`](serve()): accepts connections, answers each by the table of methods, and ends without
//! losing a call.
//!
//! The end, when the gate is told to stop: it goes on accepting and serving until no pull, create
//! or other long call is in flight; then it accepts no more, ends what never ends, says goodbye on
//! every connection (GOAWAY, of which HTTP/2 knows a form that loses no request that is on its
//! way), and waits a little for what is left. Who connects meanwhile waits in the socket's queue
//! for the next process.

use std::{fmt, future::Future, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use http::{Request, Response, Uri};
use hyper::{body::Incoming, server::conn::http2::Builder, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::UnixStream,
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::Code;

use crate::clock::Clock;

use super::{
    admission::{Refused, allowed, peer},
    answer::{self, Answer},
    body::ReplyBody,
    connection::{
        hello::Hello,
        linger::{Lent, linger},
        seats::{Connections, Idle, Seat, Told},
        seldom::Seldom,
    },
    grpc::{
        frame::{self, FrameBudget},
        status, timeout as deadline,
    },
    interceptor::{Call, Interceptor, RejectedUnread},
    listen::Listener,
    methods::{self, OwnedMethod, Route},
    options::{Options, UnknownMethods},
    pass, settings,
    underway::{CallEnding, Ended, Stage, Ticket, Underway},
    unknown::UnknownNames,
    upstream::Upstream,
};

/// Pause after a failed accept: out of file descriptors does not get better by asking at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a client may take to say hello; it is on this node and does so at once.
const HELLO_MAX: Duration = Duration::from_secs(10);

/// How long short calls get once no connection is accepted any more: less than the 5 s that a
/// kubelet gives a connection, together with the start of the next process.
const PARTING: Duration = Duration::from_secs(3);

/// When is looked whether a pull began at the very moment of the goodbye: clients have read that by
/// then.
const SECOND_LOOK: Duration = Duration::from_millis(200);

/// How long the last answers get to reach their clients.
const FLUSHING: Duration = Duration::from_millis(500);

/// How long a connection without a call gets to answer a goodbye; a client that lives does in less
/// than a millisecond.
const QUIET: Duration = Duration::from_millis(500);

/// How long an idle connection gets to go when its place was taken.
const GIVE_UP: Duration = Duration::from_secs(1);

/// The stream of events, which ends when its client or the runtime does (cri-facts H4).
const ENDLESS: &str = "GetContainerEvents";

/// How much of a refused path is recorded, in characters: the longest of containerd's own services
/// has some 80.
const PATH_SHOWN: usize = 128;

/// What the proxy needs to serve.
pub struct Proxy {
    /// Limits and who is answered.
    pub options: Options,
    /// The runtime's socket.
    pub runtime: PathBuf,
    /// What answers the owned methods.
    pub owned: Arc<dyn Interceptor>,
    /// The places of the connections.
    pub connections: Arc<Connections>,
    /// Where time comes from.
    pub clock: Clock,
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Calls that were ended with UNAVAILABLE before their answer.
    pub cut: usize,
    /// Streams that never end and were ended so.
    pub streams: usize,
}

/// Serves until `shutdown` completes and what is in flight has ended, for as long as the options
/// say.
pub async fn serve(
    listener: Listener,
    proxy: Proxy,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    let service = Arc::new(Service::new(proxy));
    let mut open = JoinSet::new();
    accept(&listener, &service, &mut open, shutdown).await;
    let end = service.clock.steady() + service.options.drain();
    loop {
        accept(&listener, &service, &mut open, service.underway.settled(end)).await;
        service.underway.enter(Stage::Leaving);
        // A pull may have begun on a connection that had not read the goodbye yet: it gets its
        // time, and who connects is served meanwhile.
        if all_gone(&mut open, SECOND_LOOK).await
            || !service.underway.has_begun()
            || service.clock.steady() >= end
        {
            break;
        }
        service.underway.enter(Stage::Serving);
    }
    // A socket that the next process does not inherit is shut, and who is in its queue is served.
    for stream in listener.close() {
        service.welcome(stream, &mut open);
    }
    if !all_gone(&mut open, PARTING).await {
        service.underway.enter(Stage::Over);
        all_gone(&mut open, FLUSHING).await;
    }
    open.shutdown().await;
    let Ended { cut, streams } = service.underway.ended();
    Drained { cut, streams }
}

/// Waits for all connections to end, no longer than `most`; whether they have.
async fn all_gone(open: &mut JoinSet<()>, most: Duration) -> bool {
    timeout(most, async { while open.join_next().await.is_some() {} }).await.is_ok()
}

/// Accepts until `until` completes.
async fn accept(
    listener: &Listener,
    service: &Arc<Service>,
    open: &mut JoinSet<()>,
    until: impl Future<Output = ()>,
) {
    let mut until = pin!(until);
    loop {
        tokio::select! {
            () = &mut until => return,
            Some(_) = open.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok(stream) => service.welcome(stream, open),
                Err(error) => {
                    tracing::error!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

/// What all connections share.
struct Service {
    options: Options,
    runtime: PathBuf,
    owned: Arc<dyn Interceptor>,
    http: Builder<TokioExecutor>,
    budget: FrameBudget,
    connections: Arc<Connections>,
    clock: Clock,
    underway: Arc<Underway>,
    /// When it was last said that the runtime cannot be reached.
    away: Arc<Seldom>,
    /// The unknown methods that passed.
    unknown: UnknownNames,
}

/// One client's connection: the service, its place, and this client's own way to the runtime.
struct Client {
    service: Arc<Service>,
    seat: Arc<Seat>,
    upstream: Upstream,
}

impl Service {
    fn new(proxy: Proxy) -> Self {
        let Proxy { options, runtime, owned, connections, clock } = proxy;
        let http = settings::server(options.streams);
        let budget = FrameBudget::mib(options.held_mib);
        let (underway, away) = (Underway::new(clock), Arc::new(Seldom::new(clock)));
        let unknown = UnknownNames::default();
        Self { options, runtime, owned, http, budget, connections, clock, underway, away, unknown }
    }

    /// The route of a request once the options have had their say.
    fn told(&self, route: Route) -> Route {
        match (route, self.options.unknown_methods) {
            (Route::Unknown, UnknownMethods::Refuse) => {
                Route::Refuse(methods::Refusal::UnknownMethod)
            }
            (route, _) => route,
        }
    }

    /// Tells once of each method that passes although nobody here knows what it does.
    fn note_unknown(&self, path: &str) {
        if self.unknown.is_new(path) {
            self.owned.passed_unknown(path);
        }
    }

    /// Serves a connection that has a right to it and finds a place; any other is closed
    /// unanswered. Waits for nobody: who comes next may be another's.
    fn welcome(self: &Arc<Self>, stream: UnixStream, open: &mut JoinSet<()>) {
        match self.admit(&stream) {
            Ok((seat, idle)) => {
                if let Some(idle) = idle {
                    open.spawn(give_up(idle));
                }
                open.spawn(connection(Arc::clone(self), stream, Arc::new(seat)));
            }
            Err(why) => self.connections.note_refused(&why),
        }
    }

    fn admit(&self, stream: &UnixStream) -> Result<(Seat, Option<Idle>), Refused> {
        let peer = peer(stream).map_err(|_| Refused::Unknown)?;
        if !allowed(peer.user, &self.options.allowed_uids) {
            return Err(Refused::User(peer.user));
        }
        self.connections.take(peer, nix::unistd::geteuid().as_raw()).map_err(Refused::Full)
    }
}

/// Has an idle connection closed whose place was taken: with a goodbye, and by force when it does
/// not go.
async fn give_up(idle: Idle) {
    if timeout(GIVE_UP, idle.told(Told::Leave)).await.is_err() {
        idle.told(Told::End).await;
    }
}

/// Serves one connection until it ends, says nothing, gives its place up, or was told that the gate
/// ends.
async fn connection(service: Arc<Service>, stream: UnixStream, seat: Arc<Seat>) {
    let upstream = Upstream::new(&service.runtime, Arc::clone(&service.away));
    let client =
        Arc::new(Client { upstream, seat: Arc::clone(&seat), service: Arc::clone(&service) });
    let http = service.http.clone();
    let answer = service_fn(move |request| {
        let client = Arc::clone(&client);
        async move { client.answer(request).await }
    });
    let (stream, given_back) = Lent::new(stream);
    let (stream, said) = Hello::new(stream);
    // In a box, so that its end can be before the end of this.
    let mut connection = Box::pin(http.serve_connection(TokioIo::new(stream), answer));
    let silent = async {
        if timeout(HELLO_MAX, said.notified()).await.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = silent => return tracing::debug!("a client said nothing"),
        () = seat.told(Told::End) => return,
        () = leaving(&service, &seat) => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = seat.told(Told::End) => return,
                () = quiet(&seat) => return,
            }
        }
    };
    drop(connection);
    if let Err(error) = ended {
        return tracing::debug!(%error, "a client's connection ended");
    }
    if let Ok(stream) = given_back.await {
        linger(stream).await;
    }
}

/// Completes when the connection is to say goodbye.
async fn leaving(service: &Service, seat: &Seat) {
    tokio::select! {
        () = service.underway.reached(Stage::Leaving) => {}
        () = seat.told(Told::Leave) => {}
    }
}

/// Completes when nothing was on the connection for a while although it was told to go.
async fn quiet(seat: &Seat) {
    let mut idle = false;
    loop {
        sleep(QUIET).await;
        if idle && seat.is_idle() {
            return;
        }
        idle = seat.is_idle();
    }
}

impl Client {
    /// The story of one request.
    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<ReplyBody>, hyper::Error> {
        let sitting = self.seat.begin();
        let route = self.service.told(methods::route(request.method(), request.uri()));
        match route {
            Route::Pass(_) | Route::Unknown => {
                if methods::is_kubelets(route) {
                    self.service.connections.note_kubelet(self.service.clock.steady());
                }
                if route == Route::Unknown {
                    self.service.note_unknown(request.uri().path());
                }
                let ticket = self.service.underway.begin(ending(route));
                tokio::select! {
                    answer = pass::forward(&self.upstream, request) => Ok(answer?.map(|body| body.until(ticket, sitting))),
                    () = ticket.cut() => Ok(ended(&ticket)),
                }
            }
            Route::Check(method) => {
                let ticket = self.service.underway.begin(ending(route));
                let checking = (&self.service.owned, &self.service.budget);
                tokio::select! {
                    answer = pass::checked(&self.upstream, checking, method, request) => {
                        Ok(answer?.map(|body| body.until(ticket, sitting)))
                    }
                    () = ticket.cut() => Ok(ended(&ticket)),
                }
            }
            Route::Own(method) => {
                let ticket = self.service.underway.begin(ending(route));
                tokio::select! {
                    // Boxed, since it is many times larger than the future of a request that
                    // passes.
                    answer = Box::pin(self.own(method, request)) => Ok(answer.into_response()),
                    () = ticket.cut() => Ok(ended(&ticket)),
                }
            }
            Route::Refuse(refusal) => {
                self.note(request.uri(), refusal).await;
                Ok(answer::refusal(refusal))
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
        self.service
            .owned
            .call(Call { method, message, headers: parts.headers, deadline, upstream })
            .await
    }

    /// Refuses a call of an owned method unread, with a record of it.
    async fn refused(
        &self,
        method: OwnedMethod,
        code: Code,
        why: &(dyn fmt::Display + Sync),
    ) -> Answer {
        self.service.owned.unread(RejectedUnread::Framing { method, why: why.to_string() }).await;
        Answer::status(code, format!("sealgate refuses this {}: {why}", method.name()))
    }

    /// Has it recorded that someone tried a method which could bring content past the gate. Paths
    /// that lead nowhere are not worth a record.
    async fn note(&self, uri: &Uri, refusal: methods::Refusal) {
        match refusal {
            methods::Refusal::Native
            | methods::Refusal::OldCri
            | methods::Refusal::UnknownMethod
            | methods::Refusal::BringsContent { .. } => {
                let path = uri.path().chars().take(PATH_SHOWN).collect();
                self.service
                    .owned
                    .unread(RejectedUnread::Method { path, why: refusal.to_string() })
                    .await;
            }
            methods::Refusal::NotPost | methods::Refusal::Path => {}
        }
    }
}

/// What the end of the gate means for a call.
fn ending(route: Route) -> CallEnding {
    match route {
        Route::Pass(method) if method.name == ENDLESS => CallEnding::Endless,
        Route::Own(_) => CallEnding::Awaited,
        Route::Pass(_) | Route::Check(_) | Route::Unknown | Route::Refuse(_) => CallEnding::Short,
    }
}

/// The answer to a call that the end of the gate ends.
fn ended(ticket: &Ticket) -> Response<ReplyBody> {
    ticket.note_cut();
    answer::response(Code::Unavailable, status::STOPPING)
}
