//! The shipped units in a real systemd, as PID 1 of a container: installed as packaging does,
//! activated by their sockets, sandboxed, reloaded, killed.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::acts::eventually;
use crate::doctor;
use crate::ensure;
use crate::fixtures;
use crate::raw::Raw;
use crate::refresh;
use crate::stage::{Failure, Outcome, usual_policy};

/// systemd boots in some five seconds.
const BOOT_MAX: Duration = Duration::from_secs(120);
/// A unit changes its state in well under a second.
pub const CHANGE_MAX: Duration = Duration::from_secs(60);
const VERSION: &str = "/runtime.v1.RuntimeService/Version";

/// A machine in a container: the host's `/usr`, everything else its own and gone afterwards.
pub struct Machine {
    nspawn: Child,
    init: u32,
    files: tempfile::TempDir,
}

impl Machine {
    async fn boot(files: tempfile::TempDir) -> Result<Self, Failure> {
        Self::boot_with(files, &[]).await
    }

    /// As [`Machine::boot`], with folders of the host at these places.
    pub async fn boot_with(
        files: tempfile::TempDir,
        shared: &[(&Path, &str)],
    ) -> Result<Self, Failure> {
        Self::boot_from(["/", "yes"], files, shared).await
    }

    /// As [`Machine::boot_with`], of a fresh Debian (`make runtimes`), which stays as it is.
    pub async fn fresh(
        suite: &str,
        files: tempfile::TempDir,
        shared: &[(&Path, &str)],
    ) -> Result<Self, Failure> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fresh").join(suite);
        ensure!(root.exists(), "there is no fresh Debian {suite}: make runtimes");
        Self::boot_from([&root.to_string_lossy(), "overlay"], files, shared).await
    }

    async fn boot_from(
        [root, volatile]: [&str; 2],
        files: tempfile::TempDir,
        shared: &[(&Path, &str)],
    ) -> Result<Self, Failure> {
        let console = fs::File::create(files.path().join("console"))?;
        let nspawn = Command::new("systemd-nspawn")
            .args(
                shared.iter().map(|(folder, place)| format!("--bind={}:{place}", folder.display())),
            )
            .args(["-q", "-D", root, &format!("--volatile={volatile}")])
            .args(["--register=no", "--keep-unit", "--console=pipe", "-b"])
            .args(["-M", &format!("sealgate-{}", std::process::id())])
            .arg(format!("--bind-ro={}:/mnt-in", files.path().display()))
            .arg("systemd.unit=multi-user.target")
            .stdin(Stdio::null())
            .stdout(console.try_clone()?)
            .stderr(console)
            .spawn()
            .map_err(|error| format!("systemd-nspawn (Debian: systemd-container): {error}"))?;
        let mut machine = Self { nspawn, init: 0, files };
        let began = Instant::now();
        loop {
            let gone = machine.nspawn.try_wait()?;
            let late = began.elapsed() > BOOT_MAX;
            ensure!(
                gone.is_none() && !late,
                "the machine did not boot ({gone:?}):\n{}",
                machine.console()
            );
            machine.init = child_of(machine.nspawn.id()).unwrap_or(0);
            let state = if machine.init == 0 {
                String::new()
            } else {
                machine.text(&["systemctl", "is-system-running"])
            };
            // Degraded: some unit of the host does not work in a container.
            if ["running", "degraded"].contains(&state.trim()) {
                println!(
                    "   systemd booted in {:.1} s: {}",
                    began.elapsed().as_secs_f64(),
                    state.trim()
                );
                return Ok(machine);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Runs a command in the machine.
    pub fn run(&self, command: &[&str]) -> std::io::Result<Output> {
        let init = self.init.to_string();
        Command::new("nsenter")
            .args(["-t", &init, "-m", "-u", "-i", "-n", "-p", "-C"])
            .args(command)
            .output()
    }

    /// As [`Machine::run`], what it printed.
    pub fn text(&self, command: &[&str]) -> String {
        self.run(command)
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default()
    }

    /// As [`Machine::run`]; it must succeed.
    pub fn done(&self, command: &[&str]) -> Result<String, Failure> {
        let output = self.run(command)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        ensure!(
            output.status.success(),
            "{command:?}: {} {}{}",
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
        Ok(text(&output.stdout))
    }

    /// One property of a unit.
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.text(&["systemctl", "show", "--value", "-p", name, unit]).trim().to_owned()
    }

    pub fn journal(&self) -> String {
        self.text(&["journalctl", "--no-pager", "-o", "cat", "-u", "sealgate.service"])
    }

    /// A file of the machine, from outside.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init))
    }

    fn console(&self) -> String {
        fs::read_to_string(self.files.path().join("console")).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The machine ends with its first process; nspawn then cleans up and ends.
        for pid in [self.init, self.nspawn.id()].into_iter().filter(|pid| *pid > 1) {
            drop(
                Command::new("kill")
                    .args(["-KILL", &pid.to_string()])
                    .stderr(Stdio::null())
                    .status(),
            );
            std::thread::sleep(Duration::from_millis(200));
        }
        drop(self.nspawn.wait());
    }
}

fn child_of(parent: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    let first = children.split_whitespace().next()?.parse().ok()?;
    let name = fs::read_to_string(format!("/proc/{first}/comm")).ok()?;
    (name.trim() == "systemd").then_some(first)
}

/// What packaging installs, in a folder.
pub fn package() -> Result<tempfile::TempDir, Failure> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::Builder::new().prefix("sealgate-unit-").tempdir()?;
    let at = |path: &str| folder.path().join(path);
    for path in ["usr/bin", "usr/lib/systemd/system", "etc/sealgate/policies", "etc/sealgate/keys"]
    {
        fs::create_dir_all(at(path))?;
    }
    fs::copy(env!("CARGO_BIN_EXE_sealgate"), at("usr/bin/sealgate"))?;
    for unit in fs::read_dir(source.join("systemd"))? {
        let unit = unit?;
        fs::copy(unit.path(), at("usr/lib/systemd/system").join(unit.file_name()))?;
    }
    fs::copy(source.join("packaging/config.toml"), at("etc/sealgate/config.toml"))?;
    fs::write(at("etc/sealgate/policies/policy.yaml"), usual_policy())?;
    fs::write(at("etc/sealgate/keys/build.pub"), fixtures::key("build"))?;
    Ok(folder)
}

/// Installs the package, with its sockets open and no runtime of the machine's own: the gate must
/// come up without it.
pub fn service(machine: &Machine) -> Outcome {
    machine.done(&[
        "mount",
        "-t",
        "overlay",
        "-o",
        "lowerdir=/mnt-in/usr:/usr",
        "overlay",
        "/usr",
    ])?;
    machine.done(&["cp", "-r", "/mnt-in/etc/sealgate", "/etc/"])?;
    machine.done(&["chown", "-R", "root:root", "/etc/sealgate"])?;
    machine.done(&["systemctl", "mask", "--runtime", "--now", "containerd.service"])?;
    machine.done(&["systemctl", "daemon-reload"])?;
    machine.done(&["systemctl", "enable", "sealgate.service"])?;
    machine.done(&["systemctl", "start", "sealgate.socket", "sealgate-control.socket"]).map(drop)
}

/// The whole life of the service.
pub async fn systemd_unit() -> Outcome {
    let machine = Machine::boot(package()?).await?;
    service(&machine)?;
    let socket = machine.path("/run/sealgate/cri.sock");
    let held = fs::metadata(&socket)?;
    ensure!(
        held.mode() & 0o777 == 0o600 && held.uid() == 0,
        "mode {:o}, owner {}",
        held.mode(),
        held.uid()
    );
    ensure!(
        machine.property("sealgate.service", "ActiveState") == "inactive",
        "it runs before anybody asked"
    );

    activated(&machine, &socket).await?;
    sandboxed(&machine)?;
    reloaded(&machine).await?;
    refresh::refreshed(&machine).await?;
    killed(&machine, &socket, held.ino()).await?;
    with_a_runtime(&machine, &socket).await?;
    doctor::units(&machine)?;

    machine.done(&["systemctl", "stop", "sealgate.service"])?;
    let result = machine.property("sealgate.service", "Result");
    ensure!(result == "success", "after stopping: {result}\n{}", machine.journal());
    ensure!(socket.exists(), "the socket went with the service");
    println!("   stopped: {result}, and the sockets stay");
    Ok(())
}

/// A connection starts the service; there is no runtime, and it says so.
async fn activated(machine: &Machine, socket: &Path) -> Outcome {
    let began = Instant::now();
    let answer = Raw::connect(socket).await?.call(VERSION, b"").await?;
    ensure!(answer.code == 14, "with no runtime: {answer:?}\n{}", machine.journal());
    eventually("the service is active", CHANGE_MAX, async || {
        machine.property("sealgate.service", "ActiveState") == "active"
    })
    .await?;
    println!(
        "   the first call started it, and was answered UNAVAILABLE after {:.0} ms: {}",
        began.elapsed().as_secs_f64() * 1e3,
        answer.text
    );
    let kind = machine.property("sealgate.service", "Type");
    let text = machine.property("sealgate.service", "StatusText");
    ensure!(kind == "notify" && text.starts_with("gating "), "{kind}, {text}");
    let status = machine.run(&["sealgate", "status"])?;
    let words = String::from_utf8_lossy(&status.stdout).into_owned();
    ensure!(
        status.status.code() == Some(1) && words.contains("2 documents"),
        "{}: {words}",
        status.status
    );
    println!(
        "   status {:?}; sealgate status ends with 1 and says: {}",
        text,
        words.lines().find(|line| line.starts_with("runtime")).unwrap_or_default()
    );
    Ok(())
}

/// What the process has left: no capability, nothing to write to but its own folders.
fn sandboxed(machine: &Machine) -> Outcome {
    let pid = machine.property("sealgate.service", "MainPID");
    let status = machine.done(&["cat", &format!("/proc/{pid}/status")])?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim_start_matches(':').trim().to_owned()
    };
    for name in ["CapEff", "CapPrm", "CapBnd", "CapAmb"] {
        ensure!(field(name).trim_start_matches('0').is_empty(), "{name} is {}", field(name));
    }
    ensure!(
        field("NoNewPrivs") == "1" && field("Seccomp") == "2",
        "NoNewPrivs {}, Seccomp {}",
        field("NoNewPrivs"),
        field("Seccomp")
    );
    let mounts = machine.done(&["cat", &format!("/proc/{pid}/mountinfo")])?;
    let options = |point: &str| {
        mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .filter(|fields| fields.get(4) == Some(&point))
            .filter_map(|fields| fields.get(5).map(|options| (*options).to_owned()))
            .next_back()
    };
    let root = options("/").unwrap_or_default();
    ensure!(root.starts_with("ro"), "the root is mounted {root}");
    ensure!(
        machine
            .run(&["grep", "-q", "\"kind\":\"decision\"", "/var/log/sealgate/audit.jsonl"])?
            .status
            .code()
            == Some(1),
        "records of nothing"
    );
    ensure!(
        machine.run(&["test", "-e", "/var/log/sealgate/audit.jsonl"])?.status.success(),
        "no audit log was opened"
    );
    println!(
        "   process {pid}: no capability, no new privileges, system calls filtered, root read-only"
    );
    Ok(())
}

/// Good, then broken: the set before stays in force.
async fn reloaded(machine: &Machine) -> Outcome {
    machine.done(&["systemctl", "reload", "sealgate.service"])?;
    eventually("the reload is in the journal", CHANGE_MAX, async || {
        machine.journal().contains("the policy was reloaded")
    })
    .await?;
    machine.done(&["sh", "-c", "echo '{' > /etc/sealgate/policies/broken.yaml"])?;
    let reload = machine.run(&["systemctl", "reload", "sealgate.service"])?;
    ensure!(!reload.status.success(), "a faulty policy was reloaded: {reload:?}");
    ensure!(
        machine.journal().contains("broken.yaml:1:"),
        "the journal does not say where the fault is:\n{}",
        machine.journal()
    );
    eventually("the broken policy is in the journal", CHANGE_MAX, async || {
        machine.journal().contains("the policy was NOT reloaded")
    })
    .await?;
    eventually("it is active after the reload", CHANGE_MAX, async || {
        machine.property("sealgate.service", "ActiveState") == "active"
    })
    .await?;
    let words = machine.text(&["sealgate", "status"]);
    ensure!(
        words.contains("2 documents") && words.contains("the last reload was not taken"),
        "{words}"
    );
    machine.done(&["rm", "/etc/sealgate/policies/broken.yaml"])?;
    machine.done(&["systemctl", "reload", "sealgate.service"])?;
    println!("   reloaded; a broken policy was not taken, and said so");
    Ok(())
}

/// kill -9: systemd starts it again, and the socket is the same all along.
async fn killed(machine: &Machine, socket: &Path, inode: u64) -> Outcome {
    let before = machine.property("sealgate.service", "MainPID");
    let began = Instant::now();
    machine.done(&["kill", "-KILL", &before])?;
    // Connected while nobody serves: the call waits in the socket's queue.
    let answer = Raw::connect(socket).await?.call(VERSION, b"").await;
    let took = began.elapsed();
    // One that the dying process had taken already is asked again, as gRPC clients do.
    let answer = match answer {
        Ok(answer) => answer,
        Err(_) => Raw::connect(socket).await?.call(VERSION, b"").await?,
    };
    ensure!(answer.code == 14, "{answer:?}");
    eventually("it is active again", CHANGE_MAX, async || {
        machine.property("sealgate.service", "ActiveState") == "active"
            && machine.property("sealgate.service", "MainPID") != before
    })
    .await?;
    let restarts = machine.property("sealgate.service", "NRestarts");
    ensure!(fs::metadata(socket)?.ino() == inode, "the socket is another one");
    println!(
        "   killed: a call that came meanwhile was answered after {:.0} ms; restarts {restarts}, \
         the socket is the same",
        took.as_secs_f64() * 1e3
    );
    Ok(())
}

/// The runtime comes, is restarted and stopped: the gate's process and socket are the same all
/// along.
async fn with_a_runtime(machine: &Machine, socket: &Path) -> Outcome {
    let answers = async |code: i32| match Raw::connect(socket).await {
        Ok(mut raw) => raw.call(VERSION, b"").await.is_ok_and(|answer| answer.code == code),
        Err(_) => false,
    };
    let gate = machine.property("sealgate.service", "MainPID");
    machine.done(&["systemctl", "unmask", "--runtime", "containerd.service"])?;
    for verb in ["start", "restart"] {
        machine.done(&["systemctl", verb, "containerd.service"])?;
        eventually("the runtime answers through the gate", CHANGE_MAX, async || answers(0).await)
            .await?;
    }
    // The image of sandboxes is in no registry here, so that the status as a whole is not well.
    let said = machine.text(&["sealgate", "status", "--output", "json"]);
    let status: serde_json::Value = serde_json::from_str(&said)?;
    ensure!(status["runtime"]["error"].is_null() && status["audit"]["healthy"] == true, "{said}");
    machine.done(&["systemctl", "stop", "containerd.service"])?;
    eventually("the gate says that the runtime is away", CHANGE_MAX, async || answers(14).await)
        .await?;
    let after = machine.property("sealgate.service", "MainPID");
    ensure!(gate == after, "the gate was restarted with the runtime: {gate}, {after}");
    println!("   containerd started, restarted and stopped: the gate is process {gate} all along");
    Ok(())
}
