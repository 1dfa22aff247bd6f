//! Wiring: from settings to a running gate, and its life from ready to drained. The only reader of
//! the clocks.
//!
//! [`run`] is the story. What is decided is the gate's, what is served the proxy's.

mod bounded_reads;
mod canary;
mod canary_memory;
mod guarded;
mod kept_texts;
mod known_time;
mod noted;
mod reload;
mod sandbox_seen;
mod signals;
mod status;
mod time;
mod tripwire;
mod watch;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::config::{self, Settings};
use crate::containerd::Runtime;
use crate::cri::{Calls, Gate, Parts, Recorder, Sweeper};
use crate::deny_fetch::Lists;
use crate::evidence_store::{self, Store};
use crate::image::Platform;
use crate::loader::FolderState;
use crate::metrics;
use crate::nri::Tripwire;
use crate::policy::{Freshness, PolicySet};
use crate::proxy::{self, Connections, Listener, Proxy};
use crate::registry::{Environment, Registry};
use crate::systemd::{self, Inherited, News, Socket};
use crate::{audit, loader};
use bounded_reads::FolderReads;
use known_time::{clock_warning, settle_time};
use noted::PolicyState;
use signals::Signals;

pub use known_time::known_time;
pub use noted::Noted;
pub use time::time_zone;

/// The system's clocks.
#[allow(clippy::disallowed_methods, reason = "the one place where the clocks are read")]
pub const CLOCK: Clock = Clock::new(std::time::SystemTime::now, Instant::now);

/// The words of the environment that count: those that say how the outside is reached.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the one place where the environment is read")]
pub fn environment() -> Environment {
    Environment::read(|name| std::env::var(name).ok())
}

/// How long the start waits for the evidence store: a disk that does not answer must not keep the
/// gate from its socket.
const STORE_PATIENCE: Duration = Duration::from_secs(10);
/// How often a store that could not be opened is tried again.
const STORE_AGAIN: Duration = Duration::from_secs(60);

/// Beyond the time to drain: saying goodbye, and closing the log.
const END_RESERVE: Duration = Duration::from_secs(10);

/// Why the gate could not start or go on.
#[derive(Debug)]
pub enum DaemonError {
    /// The policies are faulty.
    Policy(loader::LoadError),
    /// The part that failed, and what it said.
    Part {
        /// Which part.
        what: &'static str,
        /// What it said.
        why: String,
    },
}

impl fmt::Display for DaemonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(faults) => write!(f, "the policy: {faults}"),
            Self::Part { what, why } => write!(f, "{what}: {why}"),
        }
    }
}

impl std::error::Error for DaemonError {}

fn part<E: fmt::Display>(what: &'static str) -> impl FnOnce(E) -> DaemonError {
    move |error| DaemonError::Part { what, why: error.to_string() }
}

/// What the parts of the running gate share.
struct Daemon {
    gate: Arc<Gate>,
    connections: Arc<Connections>,
    recorder: Arc<Recorder>,
    sweeper: Arc<Sweeper>,
    config: PathBuf,
    settings: Settings,
    since: Instant,
    policy: Mutex<PolicyState>,
    /// One reload after the other.
    reloading: tokio::sync::Mutex<()>,
    reads: FolderReads,
    /// Why the latest time on record is not kept; none when it is.
    floor_error: Mutex<Option<String>>,
    texts: Arc<kept_texts::KeptTexts>,
    tripwire: Arc<Tripwire>,
    sandbox_image: sandbox_seen::SandboxImage,
    canary: canary_memory::Canary,
    /// The deny lists that are fetched.
    lists: Lists,
}

/// Runs the gate until it is told to stop.
///
/// One thread carries all calls: measured, that is faster than several
/// (docs/design/decisions/one-thread.md).
///
/// # Errors
/// [`DaemonError`] when it cannot start, or its socket breaks.
pub fn run(settings: &Settings, config: &Path) -> Result<(), DaemonError> {
    start_log(&settings.log);
    if nix::sys::prctl::get_dumpable() != Ok(false) {
        tracing::warn!("the memory could not be hidden: a core would hold credentials");
    }
    // Before any thread: what it takes from the environment is removed there.
    let inherited = Inherited::take().map_err(part("the sockets of systemd"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(part("the asynchronous runtime"))?;
    let outcome = runtime.block_on(serve(settings, config, inherited));
    // Evaluations that nobody waits for any more must not hold up the end.
    runtime.shutdown_background();
    outcome
}

/// Makes this process one that leaves no core and that no other process of the same user may read:
/// its memory holds credentials (attack E6). For every command, before it reads anything. Programs
/// that it starts are as dumpable as ever, and have none of its memory.
pub fn hide_memory() {
    // The daemon says so when it is not hidden; a command of a moment goes on.
    let _ = nix::sys::prctl::set_dumpable(false);
}

/// Tells systemd and the journal that the gate drains before it ends.
fn say_stopping(settings: &Settings) {
    tell(&News::Stopping);
    tell(&News::MoreTime(settings.listen.drain() + END_RESERVE));
    let status = "stopping once no pull or create is in flight; serving until then";
    tell(&News::Status(status.to_owned()));
    let most_seconds = settings.listen.drain_seconds;
    tracing::info!(most_seconds, "told to stop; serving until nothing is in flight");
}

async fn serve(
    settings: &Settings,
    config: &Path,
    mut inherited: Inherited,
) -> Result<(), DaemonError> {
    // First: told to stop while it starts, it ends as it would later.
    let Signals { hangup, mut stop } = Signals::listen().map_err(part("the signals"))?;
    let socket = inherited.path(systemd::CRI).unwrap_or(&settings.listen.socket).to_owned();
    let daemon = Arc::new(build(settings, config, socket)?);
    let opening = tokio::spawn(open_store(Arc::clone(&daemon.gate), settings.evidence.clone()));
    let cri = listener("the CRI socket", &settings.listen, inherited.socket(systemd::CRI))?;
    let own = control_options(settings);
    let control = listener("the control socket", &own, inherited.socket(systemd::CONTROL))?;
    warn_of_unknown_sockets(&inherited);
    let (drain, told_to_drain) = oneshot::channel::<()>();
    let calls = intercepted(&daemon)?;
    let proxy = Proxy {
        options: settings.listen.clone(),
        runtime: settings.runtime.socket.clone(),
        owned: Arc::new(calls),
        connections: Arc::clone(&daemon.connections),
        clock: CLOCK,
    };
    let serving = proxy::serve(cri, proxy, async { drop(told_to_drain.await) });
    tokio::spawn(Arc::clone(&daemon).answer_operators(control));
    serve_metrics(&daemon)?;
    start_keeping(&daemon);
    keep_store(&daemon.gate, opening).await;
    // Once the evidence is there: it may be all that there is.
    tokio::spawn(Arc::clone(&daemon).keep_sandbox_image());
    tell(&News::Status(format!("gating {}", settings.listen.socket.display())));
    tell(&News::Ready);
    tracing::info!(socket = %settings.listen.socket.display(), "ready");
    // Not before: a gate that still starts is none that fails its test.
    tokio::spawn(Arc::clone(&daemon).keep_testing());
    tokio::spawn(Arc::clone(&daemon).reload_when_told(hangup));
    let mut serving = std::pin::pin!(serving);
    let drained = tokio::select! {
        drained = &mut serving => drained,
        () = stop.told() => {
            say_stopping(settings);
            drop(drain);
            serving.await
        }
    };
    tracing::info!(cut = drained.cut, streams = drained.streams, "stopped");
    daemon.end_time().await;
    let cut = u64::try_from(drained.cut).unwrap_or(u64::MAX);
    daemon.recorder.log().jot(audit::Noted::Stopped { cut });
    daemon.recorder.close().await;
    Ok(())
}

fn warn_of_unknown_sockets(inherited: &Inherited) {
    for name in inherited.left() {
        tracing::warn!(
            name,
            "systemd handed over a socket that the gate does not know; it is not served"
        );
    }
}

/// Starts what the gate does beside answering calls.
fn start_keeping(daemon: &Arc<Daemon>) {
    tokio::spawn(keep_watchdog_fed());
    tokio::spawn(Arc::clone(daemon).keep_time());
    tokio::spawn(Arc::clone(daemon).reload_on_change());
    tokio::spawn(Arc::clone(daemon).keep_lists());
    daemon.watch_runtime();
}

/// Serves numbers for a monitor, where the configuration says so.
fn serve_metrics(daemon: &Arc<Daemon>) -> Result<(), DaemonError> {
    if let Some(address) = &daemon.settings.metrics.listen {
        let listener = metrics::Listener::bind(address).map_err(part("the metrics socket"))?;
        let daemon = Arc::clone(daemon);
        tokio::spawn(metrics::serve(listener, move || daemon.readings()));
    }
    Ok(())
}

/// The intercepted calls, and the tripwire for containers that do not come through them.
fn intercepted(daemon: &Daemon) -> Result<Arc<Calls>, DaemonError> {
    let host_paths = guarded::host_paths(&daemon.settings).map_err(part("host_paths.allow"))?;
    let (gate, recorder) = (&daemon.gate, &daemon.recorder);
    let calls = Calls::new(Arc::clone(gate), Arc::clone(recorder))
        .guarding(host_paths)
        .treating_unadmitted(daemon.settings.unadmitted.clone());
    let asked = (Arc::clone(gate), calls.pending(), Arc::clone(recorder));
    tripwire::start(&daemon.settings.nri, asked, Arc::clone(&daemon.tripwire));
    Ok(Arc::new(calls))
}

/// Opens the evidence store, and says why it could not: the gate goes on without it.
async fn open_store(gate: Arc<Gate>, options: evidence_store::Options) {
    let path = options.path.display().to_string();
    loop {
        let options = options.clone();
        let opened = tokio::task::spawn_blocking(move || Store::open(options)).await;
        let why = match opened {
            Ok(Ok(store)) => return gate.open_store(Arc::new(store)),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(
            path,
            "THE EVIDENCE STORE CANNOT BE USED, images start only while their registry answers: \
             {why}"
        );
        gate.without_store(why);
        tokio::time::sleep(STORE_AGAIN).await;
    }
}

/// Waits a little until the store is open, so that the first pods find it, and keeps it from then
/// on.
async fn keep_store(gate: &Arc<Gate>, mut opening: tokio::task::JoinHandle<()>) {
    let opened = async {
        while !opening.is_finished() && gate.store_health().error.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(STORE_PATIENCE, opened).await.is_err() {
        tracing::warn!(
            "the evidence store does not open; the gate goes on without it until it does"
        );
        gate.without_store(format!("did not open within {} s", STORE_PATIENCE.as_secs()));
    }
    let gate = Arc::clone(gate);
    tokio::spawn(async move {
        if (&mut opening).await.is_ok() {
            gate.keep_store().await;
        }
    });
}

fn listener(
    what: &'static str,
    options: &proxy::Options,
    inherited: Option<Socket>,
) -> Result<Listener, DaemonError> {
    match inherited {
        Some(socket) => Listener::inherited(socket.listener).map_err(part(what)),
        None => Listener::bind(options).map_err(part(what)),
    }
}

/// The control socket is root's alone, whatever the CRI socket is.
fn control_options(settings: &Settings) -> proxy::Options {
    proxy::Options { socket: settings.control.socket.clone(), ..proxy::Options::default() }
}

/// A gate of these settings, and what the policy's loader warned about. Opens no log: what it
/// decides is recorded by whoever asks.
///
/// # Errors
/// [`DaemonError`] names the part that cannot be used.
pub fn gate(settings: &Settings) -> Result<(Gate, Noted), DaemonError> {
    let loaded = loader::load(&settings.policy, &settings.trust).map_err(DaemonError::Policy)?;
    let noted = Noted::of(&loaded, &settings.trust);
    Ok((gate_of(settings, loaded.policies)?, noted))
}

/// The same of policies that were loaded already.
///
/// # Errors
/// [`DaemonError`] names the part that cannot be used.
pub fn gate_of(settings: &Settings, policy: PolicySet) -> Result<Gate, DaemonError> {
    let parts = Parts {
        clock: CLOCK,
        platform: node_platform(),
        limits: settings.limits.clone(),
        memory: settings.memory.clone(),
        policy,
        registry: Registry::new(settings.registry.clone(), CLOCK)
            .map_err(part("the registry client"))?,
        freshness: freshness(&settings.evidence),
        runtime: Runtime::new(settings.runtime.clone()),
        store: None,
    };
    let gate = Gate::new(parts);
    // Before the log is opened, which may write to it.
    if let (Some(known), _) = known_time(settings) {
        gate.not_before(known);
    }
    Ok(gate)
}

/// What the node's configuration says of how fresh evidence is to be.
fn freshness(options: &evidence_store::Options) -> Freshness {
    Freshness { refresh_after: options.refresh_after(), max_offline: options.max_offline() }
}

fn build(settings: &Settings, config: &Path, socket: PathBuf) -> Result<Daemon, DaemonError> {
    // First: what changes from here on is seen.
    let seen = (settings.policy.clone(), FolderState::of(&settings.policy));
    let (gate, noted) = gate(settings)?;
    noted.warn(now());
    for notice in gate.policy().exception_notices(gate.now()) {
        tracing::warn!("policy: {}", notice.text());
    }
    if let Some(warning) = clock_warning(&gate, now()) {
        tracing::warn!("{warning}");
    }
    if let (_, Some(error)) = known_time(settings) {
        tracing::warn!("what ended may count again, the clock may have been set back: {error}");
    }
    let floor_error = Mutex::new(settle_time(&gate, settings));
    gate.made().read(&settings.sweep.containers, settings.audit.last_change().is_some());
    let writing = noted::writing(&gate.policy(), CLOCK.unix());
    let log = audit::Log::open_sealed(settings.audit.clone(), CLOCK, Some(writing));
    let log = log.map_err(part("the audit log"))?;
    let recorder = Recorder::new(log, settings.audit.on_failure, CLOCK).raising(gate.floor());
    let (gate, recorder) = (Arc::new(gate), Arc::new(recorder));
    let lists = Lists::new(settings.registry.clone(), CLOCK, &noted.lists);
    let watched = (settings.sweep.clone(), settings.drift.namespaces.clone());
    Ok(Daemon {
        texts: kept_texts::KeptTexts::beside(recorder.log(), &settings.audit.path),
        sweeper: Arc::new(Sweeper::new(Arc::clone(&gate), Arc::clone(&recorder), watched)),
        gate,
        connections: Connections::new(settings.listen.connections, CLOCK),
        recorder,
        config: config.to_owned(),
        settings: settings.clone(),
        since: CLOCK.steady(),
        reloading: tokio::sync::Mutex::new(()),
        reads: FolderReads::default(),
        policy: Mutex::new(PolicyState::new(noted, seen, now())),
        floor_error,
        tripwire: Arc::default(),
        sandbox_image: sandbox_seen::SandboxImage::default(),
        canary: canary_memory::Canary::new(socket),
        lists: lists.map_err(part("the registry client"))?,
    })
}

/// The time of day.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH.checked_add(CLOCK.unix()).unwrap_or(Timestamp::MAX)
}

/// The platform of this machine in the words of images (GOOS, GOARCH).
#[must_use]
pub fn node_platform() -> Platform {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    };
    Platform { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None }
}

/// Tells the service manager; a gate goes on without it.
fn tell(news: &News) {
    if let Err(error) = systemd::tell(news) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// Says that the gate is alive as long as its one thread runs.
async fn keep_watchdog_fed() {
    let Some(interval) = systemd::watchdog_interval() else { return };
    loop {
        tell(&News::Alive);
        tokio::time::sleep(interval).await;
    }
}

/// Words for the journal: no time (journald has its own), no colour.
fn start_log(options: &config::LogOptions) {
    let filter = tracing_subscriber::EnvFilter::try_new(&options.filter)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time();
    // A second start in one process (tests) keeps the first.
    drop(lines.try_init());
}
