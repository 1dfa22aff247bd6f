//! `sealgate doctor`: looks at every matter of [`crate::doctor`], and prints a line for each.

use std::path::Path;
use std::time::Duration;

use crate::cli::terminal::gate::ask_daemon;
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain};
use crate::config::Settings;
use crate::containerd::Runtime;
use crate::control::{Answer, Request, Status};
use crate::doctor::{self, Check, Outcome, Sockets};
use crate::{daemon, kubelet, loader};

/// How long the runtime gets to list its images.
const LIST_LIMIT: Duration = Duration::from_secs(10);
/// What says that the clock is kept right: systemd-timesyncd, and the two names of chrony.
const SYNCHRONIZED: [&str; 3] =
    ["/run/systemd/timesync/synchronized", "/run/chrony/chronyd.pid", "/run/chronyd.pid"];
/// How many matters there are, for the bar.
const STEPS: u64 = 6;

/// Looks over the node; 1 when a line fails.
pub(in crate::cli) fn run(settings: &Settings, screen: &mut Screen) -> Exit {
    let mut checks = Vec::new();
    let mut done = 0;
    let mut step = |screen: &mut Screen, more: Vec<Check>| {
        checks.extend(more);
        done += 1;
        screen.progress("looking", done, STEPS);
    };
    let root = Path::new("/");
    step(screen, doctor::kubelets(&kubelet::find(root), &settings.listen.socket));
    let sockets = Sockets { gate: &settings.listen.socket, runtime: &settings.runtime.socket };
    step(screen, doctor::sockets(sockets));
    step(screen, doctor::containerd(root, &settings.runtime, &settings.registry.certs_dirs));
    step(screen, of_policies(settings));
    let (known, error) = daemon::known_time(settings);
    let is_synchronized = SYNCHRONIZED.iter().any(|path| Path::new(path).exists());
    let mut files = vec![doctor::clock(daemon::now(), known, is_synchronized)];
    files.extend(error.map(|error| {
        Check::warn("clock-file", error.to_string(), "look at clock.file; run this as root")
    }));
    files.extend([doctor::audit_log(settings), doctor::evidence(settings)]);
    files.extend(doctor::disk(settings));
    step(screen, files);
    step(screen, of_gate(settings));
    screen.end_progress();
    print(&checks, screen);
    let fails = checks.iter().any(|check| check.outcome == Outcome::Fail);
    if fails { Exit::Refused } else { Exit::Done }
}

/// The policies, and the images of the node under them.
fn of_policies(settings: &Settings) -> Vec<Check> {
    let loaded = loader::load(&settings.policy, &settings.trust);
    let mut checks = doctor::policies(&loaded, &settings.trust, daemon::now());
    if let Ok(loaded) = &loaded {
        checks.push(match names(settings) {
            Ok(names) => doctor::images(&loaded.policies, &names),
            Err(why) => Check::warn(
                "images",
                format!("the runtime does not say what is on the node: {why}"),
                "systemctl status containerd; run this as root",
            ),
        });
    }
    checks
}

fn names(settings: &Settings) -> Result<Vec<String>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let containerd = Runtime::new(settings.runtime.clone());
        match tokio::time::timeout(LIST_LIMIT, containerd.names()).await {
            Ok(names) => names.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} s", LIST_LIMIT.as_secs())),
        }
    })
}

/// What the running gate says, after it has tested itself.
fn of_gate(settings: &Settings) -> Vec<Check> {
    let status = tested(settings);
    let status = status.as_ref().map(Box::as_ref).map_err(String::as_str);
    doctor::gate(status, env!("CARGO_PKG_VERSION"))
}

fn tested(settings: &Settings) -> Result<Box<Status>, String> {
    let other = || "the gate did not understand; is it of the same version?".to_owned();
    // The state after this test, not after the one of a minute ago.
    let Answer::Tested(_) = ask_daemon(settings, Request::Canary)? else {
        return Err(other());
    };
    let Answer::Status(status) = ask_daemon(settings, Request::Status)? else {
        return Err(other());
    };
    Ok(status)
}

fn print(checks: &[Check], screen: &mut Screen) {
    if screen.is_json() {
        return screen.json(&checks);
    }
    for check in checks {
        let (tone, word) = match check.outcome {
            Outcome::Ok => (Tone::Good, "ok  "),
            Outcome::Warn => (Tone::Warn, "warn"),
            Outcome::Fail => (Tone::Bad, "FAIL"),
        };
        let word = screen.tone(tone, word);
        screen.line(&format!("{word} {:<18} {}", check.id, plain(&check.seen)));
        if check.outcome != Outcome::Ok {
            for (what, text) in [("in", &check.place), ("do", &check.mend)] {
                if let Some(text) = text {
                    screen.line(&format!("     {:<18} {what}: {}", "", plain(text)));
                }
            }
        }
    }
    let count = |outcome| checks.iter().filter(|check| check.outcome == outcome).count();
    screen.line(&format!(
        "{} ok, {} to look at, {} failed",
        count(Outcome::Ok),
        count(Outcome::Warn),
        count(Outcome::Fail)
    ));
}
