//! The running gate: what ends soon is told at load and reload, in `sealgate status` and to a
//! monitor.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::program::Ends;
use crate::published;

/// How long a line of the journal, or an answer, may take.
const WAIT: Duration = Duration::from_secs(20);

struct Gate {
    dir: tempfile::TempDir,
    child: Ends,
    journal: Receiver<String>,
    metrics: SocketAddr,
}

impl Gate {
    /// A gate with this root, that warns so many days before an end.
    fn start(days: u32) -> Self {
        Self::start_after(days, |_| {})
    }

    /// The same, with something done to its folder before.
    fn start_after(days: u32, prepare: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().canonicalize().unwrap();
        for folder in ["policies", "keys", "trust", "log"] {
            fs::create_dir(at.join(folder)).unwrap();
        }
        fs::write(at.join("trust/acme.json"), &published()[0]).unwrap();
        // Free a moment ago; nobody else here asks for ports by number.
        let metrics = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        configure(&at, days, metrics);
        prepare(&at);
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
        command.arg("--config").arg(at.join("config.toml")).arg("run").stderr(Stdio::piped());
        let mut child = Ends(command.spawn().unwrap());
        let (sender, journal) = mpsc::channel();
        let lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        Self { dir, child, journal, metrics }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    /// The lines of the journal up to the first with these words.
    fn until(&self, words: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.journal.recv_timeout(WAIT);
            lines.push(
                line.unwrap_or_else(|_| panic!("the journal does not say {words:?}: {lines:#?}")),
            );
            if lines.last().unwrap().contains(words) {
                return lines;
            }
        }
    }

    fn status(&self, more: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
        command.arg("--config").arg(self.path().join("config.toml")).arg("status").args(more);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }

    fn numbers(&self) -> String {
        let mut stream = TcpStream::connect(self.metrics).unwrap();
        stream.set_read_timeout(Some(WAIT)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn reload(&self) {
        let sent = Command::new("kill").args(["-HUP", &self.child.0.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }
}

fn configure(at: &Path, days: u32, metrics: SocketAddr) {
    let path = |name: &str| at.join(name);
    let text = format!(
        "[listen]\nsocket = {:?}\n[control]\nsocket = {:?}\n[runtime]\nsocket = \
         {:?}\n[audit]\npath = {:?}\ncheckpoint_key = \"\"\n[clock]\nfile = {:?}\n\
         [policy]\npolicies = {:?}\nkeys = {:?}\n[metrics]\nlisten = \"{metrics}\"\n\
         [trust]\nroots = [{trust:?}]\nstate = {trust:?}\nupdate = \
         [\"acme\", \"absent\"]\nexpiry_warning_days = {days}\n",
        path("cri.sock"),
        path("control.sock"),
        path("no-runtime.sock"),
        path("log/audit.jsonl"),
        path("clock"),
        path("policies"),
        path("keys"),
        trust = path("trust"),
    );
    fs::write(path("config.toml"), text).unwrap();
}

#[test]
fn what_ends_soon_is_told_everywhere() {
    // The certificates of the root's authorities end within 160 years.
    let gate = Gate::start(60_000);
    let warning = "trust root acme: the certificate authority https://fulcio.sigstore.dev ends at ";
    let journal = gate.until("ready");
    assert!(journal.iter().any(|line| line.contains(warning)), "{journal:#?}");
    let status = gate.status(&[]);
    assert!(
        status.contains("\ntrust    acme\n") && status.contains(&format!("warning: {warning}")),
        "{status}"
    );
    let told: Value = serde_json::from_str(&gate.status(&["--output", "json"])).unwrap();
    assert_eq!(told["trust"]["roots"], serde_json::json!(["acme"]));
    assert!(
        told["trust"]["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|w| w.as_str().unwrap().starts_with(warning))
    );

    // A reload reads the table again.
    configure(&gate.path(), 1, gate.metrics);
    gate.reload();
    let journal = gate.until("the policy was reloaded");
    assert!(!journal.iter().any(|line| line.contains(warning)), "{journal:#?}");
    assert!(
        gate.status(&[]).contains("\ntrust    acme; nothing ends soon\n"),
        "{}",
        gate.status(&[])
    );
}

/// Attack C4: the clock was set back before the start, so that what had ended seems valid again.
#[test]
fn attack_c4_a_clock_that_was_set_back_is_not_believed_and_told() {
    let later =
        std::time::UNIX_EPOCH + sealgate::daemon::CLOCK.unix() + Duration::from_secs(48 * 3600);
    let gate = Gate::start_after(30, |at| {
        let log = fs::File::create(at.join("log/audit.jsonl")).unwrap();
        log.set_modified(later).unwrap();
    });
    let told = "but decisions were recorded until ";
    assert!(gate.until("ready").iter().any(|line| line.contains(told)));
    assert!(gate.status(&[]).contains(told), "{}", gate.status(&[]));
    let right = Gate::start(30);
    assert!(!right.until("ready").iter().any(|line| line.contains(told)));
}

/// Policies so many, with a hundred patterns each, that reading them takes a while in a build
/// without optimisation.
fn write_policies(at: &Path, policies: usize) {
    let mut text = String::new();
    for policy in 0..policies {
        let images: Vec<String> =
            (0..100).map(|n| format!("\"reg.test/team-{policy}/app-{n}/**\"")).collect();
        text += &format!(
            "---\napiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: \
             p{policy}}}\nspec:\n  images: [{}]\n  \
             require: {{digest: {{anyOf: [\"sha256:{}\"]}}}}\n",
            images.join(", "),
            "a".repeat(64)
        );
    }
    fs::write(at.join("policies/many.yaml"), text).unwrap();
}

/// Whoever asks the gate's one thread while a reload is under way is answered meanwhile.
#[test]
fn a_reload_holds_nobody_up() {
    let gate = Gate::start(30);
    gate.until("ready");
    write_policies(&gate.path(), 200);
    let clock = sealgate::daemon::CLOCK;
    let began = clock.steady();
    gate.reload();
    let (mut answers, mut longest) = (0, Duration::ZERO);
    let reloaded = loop {
        let asked = clock.steady();
        assert!(gate.numbers().contains("\nsealgate_policy_reload_failed 0\n"));
        longest = longest.max(clock.steady() - asked);
        answers += 1;
        if let Some(line) = gate.journal.try_iter().find(|line| line.contains("reloaded")) {
            break line;
        }
    };
    let took = clock.steady() - began;
    assert!(reloaded.contains("the policy was reloaded"), "{reloaded}");
    assert!(
        answers > 3 && longest < took / 2,
        "{answers} answers, the longest after {longest:?} of {took:?}"
    );
}

/// Two at once: what was there when the last signal came is in force.
#[test]
fn reloads_are_ordered() {
    let gate = Gate::start(30);
    gate.until("ready");
    write_policies(&gate.path(), 100);
    gate.reload();
    write_policies(&gate.path(), 3);
    gate.reload();
    gate.until("the policy was reloaded");
    let documents = || {
        let told: Value = serde_json::from_str(&gate.status(&["--output", "json"])).unwrap();
        told["policy"]["documents"].as_u64().unwrap()
    };
    if documents() != 3 {
        gate.until("the policy was reloaded");
    }
    assert_eq!(documents(), 3);
}

#[test]
fn a_monitor_reads_ends_reloads_and_decisions() {
    let gate = Gate::start(30);
    gate.until("ready");
    let numbers = gate.numbers();
    for line in [
        "HTTP/1.1 200 OK\r",
        "sealgate_trust_expiry_timestamp_seconds{root=\"acme\",kind=\"log\"} +Inf",
        "sealgate_policy_reload_failed 0",
        "sealgate_audit_healthy 1",
        "sealgate_decisions_total{verdict=\"admitted\",call=\"PullImage\"} 0",
    ] {
        assert!(numbers.lines().any(|there| there == line.trim_end()), "{line}\n{numbers}");
    }
    assert!(numbers.contains("{root=\"acme\",kind=\"certificate-authority\"} 1"), "{numbers}");
    fs::write(gate.path().join("policies/broken.yaml"), "{").unwrap();
    gate.reload();
    gate.until("NOT reloaded");
    assert!(gate.numbers().contains("\nsealgate_policy_reload_failed 1\n"));
}
