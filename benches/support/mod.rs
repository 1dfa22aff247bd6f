//! What the benchmarks share: [`Gate`], the real program as a process of its own; [`Table`], one
//! line per measure with its ratio and its target; calls on raw HTTP/2 as the kubelet's library
//! makes them.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each benchmark uses a part")]
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints"
)]
#![allow(clippy::disallowed_methods, clippy::as_conversions, reason = "a benchmark measures time")]

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;

use crate::fixtures;

/// The registry's name.
pub const HOST: &str = "registry.example.test";
const MIB: u64 = 1 << 20;

/// A process that ends with this value.
pub struct Process(pub Child);

impl Process {
    /// Processor time so far, user and system, of it and of its children, seconds.
    pub fn processor(&self) -> f64 {
        let own = ticks(self.0.id());
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.0.id()))
            .unwrap_or_default();
        let children = children.split_whitespace().filter_map(|id| id.parse().ok()).map(ticks);
        // USER_HZ, the unit of these figures, is 100 on every architecture that Linux runs
        // containers on.
        (own + children.sum::<u64>()) as f64 / 100.0
    }
}

/// `utime`, `stime` and those of its children that ended (proc_pid_stat(5)).
fn ticks(id: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let after = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    after.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum()
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `sealgate run` with a configuration of its own.
pub struct Gate {
    process: Process,
    folder: tempfile::TempDir,
    /// What it tells its service manager.
    told: UnixDatagram,
    /// From the start of the process to `READY=1`.
    pub ready: Duration,
}

impl Gate {
    /// Starts it before a runtime, with a registry at this address, and waits for `READY=1`.
    pub fn start(runtime: &Path, registry: Option<&str>) -> Self {
        Self::start_with(runtime, registry, "")
    }

    /// The same with more lines in its configuration.
    pub fn start_with(runtime: &Path, registry: Option<&str>, more: &str) -> Self {
        let folder = configure(runtime, registry);
        let config = folder.path().join("config.toml");
        let text = fs::read_to_string(&config).expect("a file");
        fs::write(&config, text + more).expect("a file");
        Self::start_in(folder)
    }

    /// Starts it with the configuration in a folder, and waits for `READY=1`.
    pub fn start_in(folder: tempfile::TempDir) -> Self {
        let notify = folder.path().join("notify.sock");
        let told = UnixDatagram::bind(&notify).expect("a socket");
        told.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
        let log = fs::File::create(folder.path().join("gate.log")).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
        command
            .args(["run", "--config"])
            .arg(folder.path().join("config.toml"))
            .env("NOTIFY_SOCKET", &notify);
        let start = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the gate");
        let mut gate = Self { process: Process(child), folder, told, ready: Duration::ZERO };
        gate.until_ready();
        gate.ready = start.elapsed();
        gate
    }

    /// Has it read its policies again, and waits until they are in force.
    pub fn reload(&self) {
        let id = self.process.0.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &id]).status().expect("kill").success());
        self.until_ready();
    }

    fn until_ready(&self) {
        let mut buffer = [0_u8; 4096];
        loop {
            let length = self.told.recv(&mut buffer).unwrap_or_else(|error| {
                let log =
                    fs::read_to_string(self.folder.path().join("gate.log")).unwrap_or_default();
                unreachable!("the gate is not ready: {error}\n{log}")
            });
            if String::from_utf8_lossy(&buffer[..length]).contains("READY=1") {
                return;
            }
        }
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("cri.sock")
    }

    /// Processor time so far, seconds.
    pub fn processor(&self) -> f64 {
        self.process.processor()
    }

    /// A figure of `/proc/<pid>/status` or `smaps_rollup` in bytes: `VmRSS`, `VmHWM`, `Pss`.
    pub fn memory(&self, what: &str) -> u64 {
        let of = |file: &str| {
            fs::read_to_string(format!("/proc/{}/{file}", self.process.0.id())).unwrap_or_default()
        };
        let text = if what == "Pss" { of("smaps_rollup") } else { of("status") };
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(what)?.strip_prefix(':').map(str::to_owned));
        let kib =
            line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok());
        kib.unwrap_or_else(|| unreachable!("no {what} of the gate's process")) * 1024
    }
}

/// A folder with a configuration, a policy and keys: images under `prod/` need the key `build`, the
/// pause image none.
pub fn configure(runtime: &Path, registry: Option<&str>) -> tempfile::TempDir {
    configure_for(runtime, registry, "{name: build, key: {files: [build.pub]}}")
}

/// The same with another requirement, which may name the trust root `local`.
pub fn configure_for(runtime: &Path, registry: Option<&str>, require: &str) -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("sealgate-bench-").tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for name in ["policies", "keys", "audit", "trust"] {
        fs::create_dir(at(name)).expect("a folder");
    }
    fs::create_dir_all(at("certs.d").join(HOST)).expect("a folder");
    if let Some(url) = registry {
        fs::write(at("certs.d").join(HOST).join("hosts.toml"), format!("server = \"{url}\"\n"))
            .expect("a file");
    }
    fs::write(at("keys/build.pub"), fixtures::key("build")).expect("a file");
    fs::write(at("trust/local.json"), fixtures::trust_root("local")).expect("a file");
    let policy = format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: production}}\nspec:\n  \
         images: [\"{HOST}/prod/**\"]\n  \
         require: {require}\n---\napiVersion: sealgate/v1\nkind: ImagePolicy\n\
         metadata: {{name: pause}}\nspec:\n  images: [\"{HOST}/pause\"]\n  require: \
         {{insecureAcceptAnything: true}}\n"
    );
    fs::write(at("policies/policy.yaml"), policy).expect("a file");
    let path = |name: &str| at(name).display().to_string();
    let config = format!(
        "listen.socket = \"{}\"\ncontrol.socket = \"{}\"\nruntime.socket \
         = \"{}\"\nregistry.certs_dirs = [\"{}\"]\n\
         registry.docker_configs = [\"{}\"]\npolicy.policies = \"{}\"\npolicy.keys \
         = \"{}\"\naudit.path = \"{}\"\naudit.checkpoint_key = \"\"\nclock.file = \"{}\"\n\
         trust.roots = [\"{trust}\"]\ntrust.state = \"{trust}\"\nlog.filter = \"error\"\n",
        path("cri.sock"),
        path("control.sock"),
        runtime.display(),
        path("certs.d"),
        path("docker.json"),
        path("policies"),
        path("keys"),
        path("audit/audit.jsonl"),
        path("clock"),
        trust = path("trust"),
    );
    fs::write(at("config.toml"), config).expect("a file");
    folder
}

/// Lines of a report; [`Table::end`] says whether every target was met.
pub struct Table {
    missed: usize,
    /// Whether a bound was, which is a failure.
    failed: bool,
    left_out: Vec<String>,
}

impl Table {
    pub fn new(title: &str, columns: [&str; 2]) -> Self {
        let mut table = Self { missed: 0, failed: false, left_out: Vec::new() };
        table.title(title, columns);
        table
    }

    /// Begins another part, with its own columns.
    pub fn title(&mut self, title: &str, columns: [&str; 2]) {
        println!("\n{title}");
        println!("{:<50} {:>11} {:>10} {:>7} {:>8}", "", columns[0], columns[1], "ratio", "target");
    }

    /// Requests, and how many in series, each with its limit.
    pub fn counts(&mut self, what: &str, (requests, series): (usize, usize), limits: [f64; 2]) {
        let here = format!("{requests}, {series}");
        let target = format!("<= {}, {}", limits[0], limits[1]);
        let met = requests as f64 <= limits[0] && series as f64 <= limits[1];
        self.line(what, [&here, "", "", &target], met);
    }

    /// A measure beside another, with the most that it may be of the other.
    pub fn at_most(&mut self, what: &str, [here, there]: [&str; 2], ratio: f64, limit: f64) {
        self.line(
            what,
            [here, there, &format!("{ratio:.2}"), &format!("<= {limit}")],
            ratio <= limit,
        );
    }

    /// A measure beside another, with the least that it may be of the other.
    pub fn at_least(&mut self, what: &str, [here, there]: [&str; 2], ratio: f64, limit: f64) {
        self.line(
            what,
            [here, there, &format!("{ratio:.2}"), &format!(">= {limit}")],
            ratio >= limit,
        );
    }

    /// A measure against a fixed limit.
    pub fn limit(&mut self, what: &str, here: f64, unit: &str, limit: f64) {
        let figure = if unit.is_empty() { format!("{here}") } else { format!("{here:.1} {unit}") };
        self.line(
            what,
            [&figure, "", &format!("{:.2}", here / limit), &format!("<= {limit}")],
            here <= limit,
        );
    }

    /// A measure of memory against a bound. It does not depend on what else the machine does, so
    /// that to miss it is a failure.
    pub fn bound(&mut self, what: &str, here: f64, unit: &str, bound: f64) {
        self.limit(what, here, unit, bound);
        self.failed |= here > bound;
    }

    /// A measure that has no target.
    pub fn note(&mut self, what: &str, here: &str, there: &str, ratio: Option<f64>) {
        let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        println!("{what:<50} {here:>11} {there:>10} {ratio:>7}");
    }

    /// Something that could not be measured here.
    pub fn missing(&mut self, what: &str, why: &str) {
        println!("NOT MEASURED: {what}: {why}");
        self.left_out.push(what.to_owned());
    }

    fn line(&mut self, what: &str, cells: [&str; 4], met: bool) {
        let [here, there, ratio, target] = cells;
        let verdict = if met { "met" } else { "MISSED" };
        println!("{what:<50} {here:>11} {there:>10} {ratio:>7} {target:>8} {verdict}");
        self.missed += usize::from(!met);
    }

    /// The last line, and the exit code: a target that was missed is said and is no failure, since
    /// figures depend on the machine and on what else it does. A bound that was missed is one.
    pub fn end(self) -> ExitCode {
        let left_out = if self.left_out.is_empty() {
            String::new()
        } else {
            format!("; not measured: {}", self.left_out.join(", "))
        };
        println!(
            "{} missed{left_out}",
            if self.missed == 0 {
                "no target".to_owned()
            } else {
                format!("{} targets", self.missed)
            }
        );
        if self.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A sender of requests over one connection.
pub type Sender = SendRequest<Full<Bytes>>;

/// Connects, waiting until there is somebody.
pub async fn connect(path: &Path) -> Sender {
    for _ in 0..1000 {
        if let Ok(stream) = UnixStream::connect(path).await {
            let mut builder = Builder::new(TokioExecutor::new());
            builder.initial_connection_window_size(16 << 20).initial_stream_window_size(1 << 20);
            let (sender, connection) =
                builder.handshake(TokioIo::new(stream)).await.expect("a handshake");
            tokio::spawn(connection);
            return sender;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    unreachable!("{} never came up", path.display())
}

/// A request as the kubelet's library makes it.
pub fn request(path: &'static str, message: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(message));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = http::Uri::from_static(path);
    request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
    request.headers_mut().insert("user-agent", HeaderValue::from_static("grpc-go/1.71.0"));
    request.headers_mut().insert("grpc-timeout", HeaderValue::from_static("2M"));
    request
}

/// One unary call that must succeed; the body of its answer.
pub async fn call(sender: &mut Sender, path: &'static str, message: Bytes) -> Bytes {
    let response = sender.send_request(request(path, message)).await.expect("a response");
    let body = response.into_body().collect().await.expect("a body");
    assert_eq!(
        body.trailers().and_then(|trailers| trailers.get("grpc-status")),
        Some(&HeaderValue::from_static("0"))
    );
    body.to_bytes()
}
