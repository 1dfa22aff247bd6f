//! What passing through the gate costs: the same unary call straight to a runtime, through the
//! gate, and through a blind byte copy (socat), each its own process, in alternating rounds so that
//! drift cancels out. Once with a stand-in for a runtime, which costs next to nothing itself, and
//! once with a containerd.
//!
//! p50 of calls one after the other and calls per second with 50 in flight, each against direct;
//! the median of the rounds' ratios counts, since absolute figures wander. Fails when a ratio
//! misses its target. What the blind copy costs says how much of it is the second hop alone.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints"
)]
#![allow(clippy::disallowed_methods, clippy::as_conversions, reason = "a benchmark measures time")]

#[path = "../tests/support/containerd.rs"]
mod containerd;
#[path = "../tests/support/fixtures.rs"]
mod fixtures;
#[path = "../tests/support/standin.rs"]
mod standin;
mod support;

use std::env;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use bytes::Bytes;
use support::{Gate, Process, Sender, Table, call, connect, median};

/// Rounds of each path, after one to warm up: many short ones, so that what else the machine does
/// meets every path.
const ROUNDS: usize = 30;
const IN_FLIGHT: usize = 50;
/// Least calls per second, against direct.
const RATE_LIMIT: f64 = 0.5;

/// A call, how often it is made in a round, and the most that its p50 may be of direct.
struct Measure {
    name: &'static str,
    path: &'static str,
    message: Bytes,
    sequential: usize,
    parallel: usize,
    p50_limit: f64,
}

/// One way to the runtime.
struct Way {
    name: &'static str,
    sender: Sender,
    /// p50 in seconds and calls per second, by round.
    figures: Vec<(f64, f64)>,
}

impl Way {
    /// The p50 of its best round, in seconds.
    fn best(&self) -> f64 {
        self.figures.iter().map(|figures| figures.0).fold(f64::MAX, f64::min)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    if arguments.get(1).map(String::as_str) == Some("as-runtime") {
        return as_runtime(&arguments[2]);
    }
    let mut table = Table::new(
        "Through the gate, against direct (socat: a blind copy of bytes)",
        ["here", "direct"],
    );
    on_standin(&mut table);
    on_containerd(&mut table);
    table.end()
}

/// The stand-in, until the parent closes our standard input, or dies.
fn as_runtime(path: &str) -> ExitCode {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        #[allow(clippy::exit, reason = "the stand-in has no end of its own")]
        std::process::exit(0);
    });
    support::runtime().block_on(async {
        let _standin = standin::Standin::quiet(Path::new(path));
        std::future::pending::<()>().await;
    });
    ExitCode::SUCCESS
}

fn on_standin(table: &mut Table) {
    let folder = tempfile::tempdir().expect("a folder");
    let direct = folder.path().join("containerd.sock");
    let program = env::current_exe().expect("the path of this program");
    let runtime =
        Command::new(program).arg("as-runtime").arg(&direct).stdin(Stdio::piped()).spawn();
    let _runtime = Process(runtime.expect("this program once more"));
    let version = Measure {
        name: "stand-in Version",
        path: "http://localhost/runtime.v1.RuntimeService/Version",
        message: standin::frame(&[b'v'; 60]),
        sequential: 500,
        parallel: 3000,
        p50_limit: 2.2,
    };
    compare(table, &direct, &[version]);
}

fn on_containerd(table: &mut Table) {
    let host = containerd::Host::new(support::HOST, "http://127.0.0.1:1");
    let runtime = support::runtime();
    let started = containerd::Setup::system(host)
        .map(|setup| runtime.block_on(containerd::Containerd::start(setup)));
    let containerd = match started {
        Ok(Ok(containerd)) => containerd,
        Ok(Err(missing)) | Err(missing) => {
            return table.missing("containerd", &missing.to_string());
        }
    };
    let (major, minor) = containerd.flavour().version;
    println!("(containerd {major}.{minor})");
    let measure = |name, path| Measure {
        name,
        path,
        message: standin::frame(&[]),
        sequential: 300,
        parallel: 1500,
        p50_limit: 1.9,
    };
    let measures = [
        measure("containerd Version", "http://localhost/runtime.v1.RuntimeService/Version"),
        measure(
            "containerd ListContainers",
            "http://localhost/runtime.v1.RuntimeService/ListContainers",
        ),
    ];
    compare(table, &containerd.socket(), &measures);
}

/// Compares the ways to one runtime.
fn compare(table: &mut Table, direct: &Path, measures: &[Measure]) {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("copy.sock");
    support::runtime().block_on(async { drop(connect(direct).await) });
    let gate = Gate::start(direct, None);
    let socat = Command::new("socat")
        .arg(format!("UNIX-LISTEN:{},fork", copy.display()))
        .arg(format!("UNIX-CONNECT:{}", direct.display()))
        .spawn()
        .map(Process);
    let mut ways = vec![("direct", direct.to_owned()), ("gate", gate.socket())];
    match &socat {
        Ok(_) => ways.push(("socat", copy)),
        Err(error) => {
            table.missing("the blind copy", &format!("socat: {error}; apt-get install socat"))
        }
    }
    for measure in measures {
        let before = (gate.processor(), socat.as_ref().map_or(0.0, Process::processor));
        let figures = support::runtime().block_on(rounds(&ways, measure));
        report(table, measure, &figures);
        let calls = ((ROUNDS + 1) * (measure.sequential + measure.parallel)) as f64;
        let [gate, copy] = [
            gate.processor() - before.0,
            socat.as_ref().map_or(0.0, Process::processor) - before.1,
        ];
        let micros = |seconds: f64| format!("{:.1} us", seconds / calls * 1e6);
        let copied = if socat.is_ok() { format!("socat {}", micros(copy)) } else { String::new() };
        table.note(
            &format!("{}, processor time a call", measure.name),
            &micros(gate),
            &copied,
            None,
        );
    }
}

async fn rounds(ways: &[(&'static str, PathBuf)], measure: &Measure) -> Vec<Way> {
    let mut all = Vec::new();
    for (name, path) in ways {
        all.push(Way { name, sender: connect(path).await, figures: Vec::new() });
    }
    for round in 0..=ROUNDS {
        let shift = round % all.len();
        all.rotate_left(shift);
        for way in &mut all {
            let figures =
                (sequential(&mut way.sender, measure).await, parallel(&way.sender, measure).await);
            if round > 0 {
                way.figures.push(figures);
            }
        }
        all.rotate_right(shift);
    }
    all
}

async fn sequential(sender: &mut Sender, measure: &Measure) -> f64 {
    let mut times = Vec::with_capacity(measure.sequential);
    for _ in 0..measure.sequential {
        let start = Instant::now();
        call(sender, measure.path, measure.message.clone()).await;
        times.push(start.elapsed().as_secs_f64());
    }
    median(times)
}

async fn parallel(sender: &Sender, measure: &Measure) -> f64 {
    let start = Instant::now();
    let each = measure.parallel / IN_FLIGHT;
    let workers: Vec<_> = (0..IN_FLIGHT)
        .map(|_| {
            let (mut sender, path, message) =
                (sender.clone(), measure.path, measure.message.clone());
            tokio::spawn(async move {
                for _ in 0..each {
                    call(&mut sender, path, message.clone()).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("a worker");
    }
    measure.parallel as f64 / start.elapsed().as_secs_f64()
}

fn report(table: &mut Table, measure: &Measure, ways: &[Way]) {
    let direct = &ways[0];
    for way in &ways[1..] {
        let ratio = |of: fn(&(f64, f64)) -> f64| {
            median(
                way.figures
                    .iter()
                    .zip(&direct.figures)
                    .map(|(here, there)| of(here) / of(there))
                    .collect(),
            )
        };
        let micros = |way: &Way| {
            format!("{:.1} us", median(way.figures.iter().map(|f| f.0).collect()) * 1e6)
        };
        let rate =
            |way: &Way| format!("{:.0}/s", median(way.figures.iter().map(|f| f.1).collect()));
        let names = [
            format!("{}, {}, p50", measure.name, way.name),
            format!("{}, {}, 50 in flight", measure.name, way.name),
        ];
        if way.name != "gate" {
            table.note(&names[0], &micros(way), &micros(direct), Some(ratio(|f| f.0)));
            table.note(&names[1], &rate(way), &rate(direct), Some(ratio(|f| f.1)));
            continue;
        }
        table.at_most(
            &names[0],
            [&micros(way), &micros(direct)],
            ratio(|f| f.0),
            measure.p50_limit,
        );
        let (here, there) = (way.best(), direct.best());
        let what = format!("{}, {}, best round's p50", measure.name, way.name);
        table.note(
            &what,
            &format!("{:.1} us", here * 1e6),
            &format!("{:.1} us", there * 1e6),
            Some(here / there),
        );
        table.at_least(&names[1], [&rate(way), &rate(direct)], ratio(|f| f.1), RATE_LIMIT);
    }
}
