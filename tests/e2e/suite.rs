//! [`play_all`]: the whole suite, or a [`Part`] of it. Each scenario is a process of its own with a
//! temporary folder of its own. [`WORKERS`] of them run side by side, the longest first; then, one
//! after another, those that must be [`Scenario::alone`].
//!
//! What a scenario prints is shown in one piece when it ends. One that hangs is killed with all
//! that it started, and one that panics fails alone.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use crate::LIMIT;
use crate::containerd::{kill_tree, sweep_scratch};
use crate::scenarios::{SCENARIOS, Scenario};

/// Says to a process of this program that its scenario is a part of the suite.
pub const IN_SUITE: &str = "--in-suite";
/// Scenarios side by side. Most of the time each waits: one after another, they leave three
/// quarters of two processors idle.
const WORKERS: usize = 4;
/// How long a scenario that was not over in time may clean up before it is killed.
const CLEAN_UP: Duration = Duration::from_secs(60);
/// After this long without output, a line says what runs.
const SILENCE: Duration = Duration::from_secs(15);

/// What is played of the suite. `make test` has other tests run beside the first part, and nothing
/// beside the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `--together`: what may share the machine.
    Together,
    /// `--alone`: what may not.
    Alone,
}

impl Part {
    /// The part that this argument of the command line names.
    pub fn of(argument: &str) -> Option<Self> {
        match argument {
            "--together" => Some(Self::Together),
            "--alone" => Some(Self::Alone),
            _ => None,
        }
    }
}

/// What happens to a scenario.
enum Event {
    Began(&'static str),
    Ended { name: &'static str, passed: bool, output: String },
}

/// What happened so far.
#[derive(Default)]
struct Progress {
    all: usize,
    running: BTreeMap<&'static str, Instant>,
    passed: usize,
    failed: Vec<&'static str>,
}

/// Plays every scenario, or those of one part; whether all passed.
pub fn play_all(part: Option<Part>) -> bool {
    let began = Instant::now();
    let (mut alone, mut together): (Vec<&Scenario>, Vec<&Scenario>) =
        SCENARIOS.iter().partition(|scenario| scenario.alone);
    // So that none of them begins when the others have ended.
    together.sort_by_key(|scenario| !scenario.long);
    match part {
        Some(Part::Together) => alone.clear(),
        Some(Part::Alone) => together.clear(),
        None => {}
    }
    let mut progress = Progress { all: alone.len() + together.len(), ..Progress::default() };
    play(&together, WORKERS, &mut progress);
    play(&alone, 1, &mut progress);
    let Progress { passed, failed, .. } = progress;
    println!(
        "\n{passed} passed, {} failed in {:.0} s",
        failed.len(),
        began.elapsed().as_secs_f64()
    );
    for name in &failed {
        println!("   FAILED: {name} (make e2e SCENARIO={name})");
    }
    failed.is_empty()
}

fn play(scenarios: &[&'static Scenario], workers: usize, progress: &mut Progress) {
    let queue = Mutex::new(scenarios.iter());
    let next = || queue.lock().expect("no worker panics with it").next();
    let (tell, events) = channel();
    scope(|scope| {
        for _ in 0..workers {
            let (tell, next) = (tell.clone(), &next);
            scope.spawn(move || {
                while let Some(scenario) = next() {
                    play_one(scenario, &tell);
                }
            });
        }
        drop(tell);
        progress.follow(&events);
    });
}

fn play_one(scenario: &Scenario, tell: &Sender<Event>) {
    let name = scenario.name;
    // Nobody listens any more when the suite is being ended.
    let _ = tell.send(Event::Began(name));
    let (passed, output) = in_own_process(name)
        .unwrap_or_else(|error| (false, format!("\n== {name}\n   FAILED: {error}\n")));
    let _ = tell.send(Event::Ended { name, passed, output });
}

/// Plays a scenario in a process of its own: whether it passed, and what it printed.
fn in_own_process(name: &str) -> std::io::Result<(bool, String)> {
    let scratch = tempfile::Builder::new().prefix("sealgate-suite-").tempdir()?;
    let path = scratch.path().join("output");
    let file = fs::File::create(&path)?;
    let mut child = Command::new(std::env::current_exe()?)
        .args([IN_SUITE, name])
        .env("TMPDIR", scratch.path())
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()?;
    let ended = wait(&mut child)?;
    // Not with `kill` and `wait` alone: runtime, shims and containers go on without their test.
    sweep_scratch(scratch.path());
    let mut output = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
    match ended {
        None => output += "   FAILED: it hung and was killed\n",
        Some(status) if !status.success() && status.code() != Some(1) => {
            output += &format!("   FAILED: {status}\n")
        }
        Some(_) => {}
    }
    Ok((ended.is_some_and(|status| status.success()), output))
}

/// Waits for the process's end, and kills it with all below it when its time is over.
fn wait(child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if began.elapsed() > LIMIT + CLEAN_UP {
            kill_tree(child.id());
            child.wait()?;
            return Ok(None);
        }
        sleep(Duration::from_millis(20));
    }
}

impl Progress {
    /// Prints what ends, and what runs when nothing ends for long, until every worker has ended.
    fn follow(&mut self, events: &Receiver<Event>) {
        loop {
            match events.recv_timeout(SILENCE) {
                Ok(Event::Began(name)) => drop(self.running.insert(name, Instant::now())),
                Ok(Event::Ended { name, passed, output }) => {
                    print!("{output}");
                    self.running.remove(name);
                    if passed { self.passed += 1 } else { self.failed.push(name) }
                }
                Err(RecvTimeoutError::Timeout) => self.tell(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn tell(&self) {
        let running = self
            .running
            .iter()
            .map(|(name, since)| format!("{name} ({} s)", since.elapsed().as_secs()));
        let running = running.collect::<Vec<_>>().join(", ");
        println!(
            "\n.. {} of {} ended; running: {running}",
            self.passed + self.failed.len(),
            self.all
        );
    }
}
