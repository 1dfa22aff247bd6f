//! `sealgate doctor`: looks at every matter of [`crate::doctor`], and prints a line for each.

use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::registries;
use crate::cli::terminal::gate::NOT_UNDERSTOOD;
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain};
use crate::config::Settings;
use crate::containerd::Runtime;
use crate::control::{self, Answer, Request, Status};
use crate::doctor::{self, Check, Outcome, RuntimeSettings, Sockets};
use crate::errno;
use crate::{daemon, kubelet, loader, node};

/// How long the runtime gets to list its images.
const LIST_LIMIT: Duration = Duration::from_secs(10);
/// Where systemd is when it runs (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";
/// What else says that the clock is kept right: systemd-timesyncd, and the two names of chrony.
const SYNCHRONIZED: [&str; 3] =
    ["/run/systemd/timesync/synchronized", "/run/chrony/chronyd.pid", "/run/chronyd.pid"];
/// How many matters there are beside the registries, for the bar.
const STEPS: u64 = 7;

/// What else to look at.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Also ask the registries of the images on this node, with the credentials that it has. Takes
    /// at most ten seconds.
    #[arg(long)]
    network: bool,
}

/// What has been looked at so far.
struct Looked<'s> {
    screen: &'s mut Screen,
    checks: Vec<Check>,
    /// How many steps are done, of how many.
    steps: (u64, u64),
}

impl Looked<'_> {
    fn at(&mut self, more: impl IntoIterator<Item = Check>) {
        self.checks.extend(more);
        self.steps.0 += 1;
        self.screen.progress("looking", self.steps.0, self.steps.1);
    }
}

/// Looks over the node; 1 when a line fails.
pub(in crate::cli) fn run(options: &Options, settings: &Settings, screen: &mut Screen) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            screen.complain(&format!("no runtime to ask in: {}", errno::told(&error)));
            return Exit::Unable;
        }
    };
    let checks = runtime.block_on(look(options, settings, screen));
    screen.end_progress();
    print(&checks, options, screen);
    let fails = checks.iter().any(|check| check.outcome == Outcome::Fail);
    if fails { Exit::Refused } else { Exit::Done }
}

async fn look(options: &Options, settings: &Settings, screen: &mut Screen) -> Vec<Check> {
    let steps = (0, STEPS + u64::from(options.network));
    let mut looked = Looked { screen, checks: Vec::new(), steps };
    let root = Path::new("/");
    let (gate, runtime) = (&settings.listen.socket, &settings.runtime.socket);
    looked.at(doctor::kubelets(&kubelet::find(root), gate));
    // Before its socket is looked at: the gate is connected to the runtime from then on.
    let tested = tested(settings).await;
    let status = tested.as_ref().ok().map(Box::as_ref);
    let pid = status.map(|status| status.pid);
    looked.at(doctor::sockets(Sockets { gate, runtime }));
    let connected = node::clients(runtime).map_err(|error| errno::told(&error));
    looked.at([doctor::clients(connected, pid, runtime)]);
    let certs_dirs = &settings.registry.certs_dirs;
    let asked = RuntimeSettings { runtime: &settings.runtime, certs_dirs, status };
    let containerd = doctor::containerd(root, asked);
    looked.at(containerd.into_iter().chain(doctor::distribution(root, settings)));
    let names = names(settings).await;
    looked.at(of_policies(settings, &names));
    if options.network {
        looked.at(registries::ask(settings, names.as_deref().unwrap_or_default()).await);
    }
    let mut files = of_clock(settings).await;
    files.extend([doctor::audit_log(settings), doctor::evidence(settings)]);
    files.extend(doctor::disk(settings));
    looked.at(files);
    let shown = units().await;
    let units = doctor::units(shown.as_deref().map_err(String::as_str), pid, gate);
    let error = tested.as_ref().err().map(String::as_str).unwrap_or_default();
    let said = doctor::gate(status.ok_or(error), env!("CARGO_PKG_VERSION"));
    looked.at(units.into_iter().chain(said));
    looked.checks
}

/// The policies, and the images of the node under them.
fn of_policies(settings: &Settings, names: &Result<Vec<String>, String>) -> Vec<Check> {
    let loaded = loader::load(&settings.policy, &settings.trust);
    let mut checks = doctor::policies(&loaded, &settings.trust, daemon::now());
    if let Ok(loaded) = &loaded {
        checks.push(match names {
            Ok(names) => doctor::images(&loaded.policies, names, daemon::now()),
            Err(why) => Check::warn(
                "images",
                format!("the runtime does not say what is on the node: {why}"),
                "systemctl status containerd; run this as root",
            ),
        });
    }
    checks
}

/// The names of the images on the node.
///
/// # Errors
/// Why the runtime does not say.
pub(in crate::cli) async fn names(settings: &Settings) -> Result<Vec<String>, String> {
    let containerd = Runtime::new(settings.runtime.clone());
    match tokio::time::timeout(LIST_LIMIT, containerd.names()).await {
        Ok(names) => names.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", LIST_LIMIT.as_secs())),
    }
}

async fn of_clock(settings: &Settings) -> Vec<Check> {
    // systemd-timedated asks the kernel, whatever keeps the clock.
    let asked = ["show", "--property=NTPSynchronized", "--value"];
    let is_synchronized = match shown("timedatectl", &asked).await {
        Ok(answer) if answer.trim() == "yes" => true,
        Ok(_) | Err(_) => SYNCHRONIZED.iter().any(|path| Path::new(path).exists()),
    };
    let (known, error) = daemon::known_time(settings);
    let clock = doctor::clock(daemon::now(), known, is_synchronized);
    let error = error.map(|error| {
        Check::warn("clock-file", error.to_string(), "look at clock.file; run this as root")
    });
    std::iter::once(clock).chain(error).collect()
}

/// What systemd says of the gate's units.
async fn units() -> Result<String, String> {
    let asked = ["show", doctor::SERVICE, doctor::SOCKET, doctor::PROPERTIES];
    shown("systemctl", &asked).await
}

/// What a program of systemd's says, where systemd runs.
async fn shown(program: &str, arguments: &[&str]) -> Result<String, String> {
    if !Path::new(SYSTEMD).exists() {
        return Err("systemd does not run here".to_owned());
    }
    node::output(program, arguments).await.map_err(|why| format!("{program} {why}"))
}

/// What the running gate says, after it has tested itself.
async fn tested(settings: &Settings) -> Result<Box<Status>, String> {
    let other = || NOT_UNDERSTOOD.to_owned();
    let ask = async |request| {
        control::ask(&settings.control.socket, request).await.map_err(|error| error.to_string())
    };
    // The state after this test, not after the one of a minute ago.
    let Answer::Tested(_) = ask(Request::Canary).await? else {
        return Err(other());
    };
    let Answer::Status(status) = ask(Request::Status).await? else {
        return Err(other());
    };
    Ok(status)
}

fn print(checks: &[Check], options: &Options, screen: &mut Screen) {
    if screen.is_quiet() {
        let fails = checks.iter().filter(|check| check.outcome == Outcome::Fail);
        return fails.for_each(|check| {
            screen.complain(&format!("{}: {}", check.id, plain(&check.seen)));
        });
    }
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
        "{} ok, {} to look at, {} failed{}",
        count(Outcome::Ok),
        count(Outcome::Warn),
        count(Outcome::Fail),
        if options.network { "" } else { "; registries were not asked (--network)" }
    ));
}
