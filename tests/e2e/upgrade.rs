//! An upgrade under load: the gate is restarted by a real systemd, again and again, under a client
//! with the kubelet's patience that polls, pulls and listens for events. Nothing is lost but the
//! stream of events, which is told so.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use prost::Message as _;
use sealgate::proto::cri::{ImageSpec, PullImageRequest};

use crate::acts::eventually;
use crate::containerd::{Containerd, Flavour, Host, Setup};
use crate::ensure;
use crate::raw::{Asked, Raw, Whole};
use crate::registry::{Answer, Rule, Settings, TestRegistry};
use crate::stage::{Failure, HOST, Outcome, fill};
use crate::unit::{CHANGE_MAX, Machine, package, service};

pub const VERSION: &str = "/runtime.v1.RuntimeService/Version";
const PODS: &str = "/runtime.v1.RuntimeService/ListPodSandbox";
const STATUS: &str = "/runtime.v1.RuntimeService/Status";
const IMAGES: &str = "/runtime.v1.ImageService/ListImages";
const PULL: &str = "/runtime.v1.ImageService/PullImage";
const EVENTS: &str = "/runtime.v1.RuntimeService/GetContainerEvents";

/// Where the machine finds the runtime.
pub const RUNTIME: &str = "/mnt-runtime";

const RESTARTS: usize = 10;
/// How long the runtime's pull takes.
pub const PULL_TIME: Duration = Duration::from_secs(8);
/// What a kubelet gives one connection, and how often it tries.
const CONNECTION_MAX: Duration = Duration::from_secs(5);
const TRIES: usize = 5;
/// How long the whole may take on a busy machine.
const PULL_MAX: Duration = Duration::from_secs(60);

/// A client with the kubelet's patience: one connection that is kept, and made again when the gate
/// says goodbye.
struct Kubelet {
    socket: PathBuf,
    connection: Option<Raw>,
    /// How often a call went out on another connection than the one that it was meant for.
    again: usize,
    slowest: Duration,
}

impl Kubelet {
    fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), connection: None, again: 0, slowest: Duration::ZERO }
    }

    /// One call, which must be answered. None of it may have been sent where it is tried again.
    async fn call(&mut self, path: &str, message: &[u8], most: Duration) -> Result<Whole, Failure> {
        let began = Instant::now();
        for _ in 0..TRIES {
            let mut connection =
                match self.connection.take().filter(|connection| !connection.is_closed()) {
                    Some(connection) => connection,
                    None => Raw::connect(&self.socket).await?,
                };
            match tokio::time::timeout(most, connection.ask(path, message)).await {
                Err(_) => return Err(Failure(format!("{path} was not answered within {most:?}"))),
                Ok(Asked::Answered(answer)) => {
                    self.connection = Some(connection);
                    self.slowest = self.slowest.max(began.elapsed());
                    return Ok(answer);
                }
                Ok(Asked::Untaken) => self.again += 1,
                Ok(Asked::Lost(why)) => return Err(Failure(format!("{path} was LOST: {why}"))),
            }
        }
        Err(Failure(format!("{path} found no connection in {TRIES} tries")))
    }
}

/// Polls as a kubelet does until it is told to stop: how many calls, the slowest, how many
/// connections anew.
pub async fn poll(
    socket: PathBuf,
    stop: Arc<AtomicBool>,
    anew: bool,
) -> Result<(usize, Duration, usize), Failure> {
    let mut kubelet = Kubelet::new(&socket);
    let mut asked = 0;
    while !stop.load(Ordering::SeqCst) {
        for path in [VERSION, PODS, STATUS, IMAGES] {
            let answer = kubelet.call(path, b"", CONNECTION_MAX).await?;
            ensure!(answer.code == 0, "{path}: {answer:?}");
            asked += 1;
            if anew {
                kubelet.connection = None;
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok((asked, kubelet.slowest, kubelet.again))
}

/// Whether a stream of events is open, and how often the gate ended it.
#[derive(Default)]
struct EventStream {
    is_open: AtomicBool,
    ended: AtomicUsize,
}

/// Keeps a stream of events open, and opens it again when the gate ends it with UNAVAILABLE.
async fn listen(socket: PathBuf, stop: Arc<AtomicBool>, stream: Arc<EventStream>) -> Outcome {
    while !stop.load(Ordering::SeqCst) {
        let mut raw = Raw::connect(&socket).await?;
        let mut later = raw.clone();
        // The runtime sends nothing, not even headers, before the first event. The gate reads the
        // requests of a connection in their order: it has this one when it answers the next.
        let opens = async {
            if matches!(later.ask(VERSION, b"").await, Asked::Answered(answer) if answer.code == 0)
            {
                stream.is_open.store(true, Ordering::SeqCst);
            }
            std::future::pending::<()>().await;
        };
        let asked = tokio::select! {
            biased;
            asked = raw.ask(EVENTS, b"") => asked,
            () = opens => return Ok(()),
            () = stopped(&stop) => return Ok(()),
        };
        stream.is_open.store(false, Ordering::SeqCst);
        match asked {
            Asked::Answered(answer) => {
                ensure!(answer.code == 14, "the stream ended with {answer:?}");
                stream.ended.fetch_add(1, Ordering::SeqCst);
            }
            Asked::Untaken => {}
            Asked::Lost(why) => {
                return Err(Failure(format!("the stream broke off without a status: {why}")));
            }
        }
    }
    Ok(())
}

async fn stopped(stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One pull that takes its time.
pub async fn pull(socket: PathBuf, image: String) -> Result<(Whole, Duration), Failure> {
    let image = ImageSpec { image, ..ImageSpec::default() };
    let request =
        PullImageRequest { image: Some(image), ..PullImageRequest::default() }.encode_to_vec();
    let began = Instant::now();
    let answer = Kubelet::new(&socket).call(PULL, &request, PULL_MAX).await?;
    Ok((answer, began.elapsed()))
}

/// What the gate of a machine is told of the containerd beside it. Not under /tmp, of which the
/// service has one of its own.
pub fn runtime_config() -> String {
    format!(
        "[runtime]\nsocket = \"{RUNTIME}/containerd.sock\"\n[registry]\ncerts_dirs = \
         [\"{RUNTIME}/certs.d\"]\n"
    )
}

/// A containerd beside the machine, whose gate reaches it by its socket.
async fn machine(containerd: &Containerd) -> Result<Machine, Failure> {
    let package = package()?;
    let config = runtime_config();
    let drop_ins = package.path().join("etc/sealgate/config.toml.d");
    std::fs::create_dir_all(&drop_ins)?;
    std::fs::write(drop_ins.join("runtime.toml"), config)?;
    let machine = Machine::boot_with(package, &[(containerd.folder(), RUNTIME)]).await?;
    service(&machine)?;
    Ok(machine)
}

pub async fn upgrade() -> Outcome {
    let flavour = Flavour::all().into_iter().find(|flavour| flavour.version >= (1, 7));
    let flavour =
        flavour.ok_or("no containerd that streams events (1.7 and newer): make runtimes")?;
    let registry = TestRegistry::start(Settings::without_referrers());
    fill(&registry);
    let containerd =
        Containerd::start(Setup::of(flavour, Host::new(HOST, &registry.url()))).await?;
    let machine = machine(&containerd).await?;
    let socket = machine.path("/run/sealgate/cri.sock");
    ensure!(
        Raw::connect(&socket).await?.call(VERSION, b"").await?.code == 0,
        "{}",
        machine.journal()
    );

    let stop = Arc::new(AtomicBool::new(false));
    let stream = Arc::<EventStream>::default();
    let polling =
        [false, true].map(|anew| tokio::spawn(poll(socket.clone(), Arc::clone(&stop), anew)));
    let listening = tokio::spawn(listen(socket.clone(), Arc::clone(&stop), Arc::clone(&stream)));
    registry
        .rule(Rule::new("/blobs/", Answer::Late(PULL_TIME)).user_agent("containerd/").calls(1..=1));
    let pulling = tokio::spawn(pull(socket.clone(), format!("{HOST}/prod/signed-v2:v1")));
    eventually("the runtime pulls", CHANGE_MAX, async || {
        registry
            .requests()
            .iter()
            .any(|entry| entry.user_agent.contains("containerd/") && entry.path.contains("/blobs/"))
    })
    .await?;

    let times = restarts(&machine, &stream).await?;
    stop.store(true, Ordering::SeqCst);
    let (pulled, took) = pulling.await??;
    ensure!(
        pulled.code == 0 && took >= PULL_TIME,
        "the pull: {pulled:?} after {took:?}\n{}",
        machine.journal()
    );
    listening.await??;
    let ended = stream.ended.load(Ordering::SeqCst);
    ensure!(ended == RESTARTS, "the stream was ended {ended} times by {RESTARTS} restarts");
    let mut line = Vec::new();
    for polling in polling {
        let (asked, slowest, again) = polling.await??;
        line.push(format!(
            "{asked} calls, the slowest {:.0} ms, {again} on another connection",
            slowest.as_secs_f64() * 1e3
        ));
    }
    let journal = machine.journal();
    ensure!(
        journal.matches("stopped").count() >= RESTARTS && !journal.contains("cut=1"),
        "{journal}"
    );
    say(&line, &times, took);
    Ok(())
}

/// What a client saw of the restarts: its calls, and how long each restart took.
fn say(line: &[String], times: &[Duration], took: Duration) {
    println!("   one connection kept: {}", line[0]);
    println!("   a connection each:   {}", line[1]);
    println!(
        "   {RESTARTS} restarts: the first took {:.1} s with a pull of {:.1} s in flight, the \
         others {:.0} ms at most; the stream ended {RESTARTS} times with UNAVAILABLE",
        times[0].as_secs_f64(),
        took.as_secs_f64(),
        times[1..].iter().max().map_or(0.0, Duration::as_secs_f64) * 1e3
    );
}

/// Restarts the gate, each time when the stream of events that the last restart ended is open
/// again; how long each took.
async fn restarts(machine: &Machine, stream: &EventStream) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    for restart in 0..RESTARTS {
        eventually("the stream is open", CHANGE_MAX, async || {
            stream.is_open.load(Ordering::SeqCst)
        })
        .await?;
        let (began, before) = (Instant::now(), machine.property("sealgate.service", "MainPID"));
        let seen = stream.ended.load(Ordering::SeqCst);
        machine.done(&["systemctl", "restart", "sealgate.service"])?;
        times.push(began.elapsed());
        ensure!(
            machine.property("sealgate.service", "MainPID") != before,
            "restart {restart} restarted nothing"
        );
        eventually("the stream was ended by this restart", CHANGE_MAX, async || {
            stream.ended.load(Ordering::SeqCst) > seen
        })
        .await?;
    }
    Ok(times)
}
