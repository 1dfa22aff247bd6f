//! [`Containerd`]: a containerd of the test's own, with its socket, state, snapshots and runc
//! containers in a temporary folder, and nothing left of it when it is dropped, also by a failing
//! test.
//!
//! It maps host names to registries on this machine, so that tests use names like
//! `registry.example.test`. It runs pods on the host's network, which needs no CNI. What it needs
//! and this machine lacks is [`Missing`], never a silent skip.

#![allow(dead_code, unused_imports, reason = "shared by several test binaries, each uses a part")]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "test support fails loudly"
)]
#![allow(unreachable_pub, reason = "pub marks what tests use; a test binary has no outside")]
#![allow(clippy::disallowed_methods, reason = "a deadline for programs that may never come up")]

#[path = "containerd/cleanup.rs"]
mod cleanup;
#[path = "containerd/config.rs"]
mod config;
#[path = "containerd/cri.rs"]
mod cri;
#[path = "containerd/flavour.rs"]
mod flavour;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub use cleanup::{kill_tree, sweep_scratch};
pub use config::Host;
pub use cri::{Cri, Launch, Pod};
pub use flavour::{Flavour, Missing};

/// How long containerd may take to serve; it takes about a second and a half.
const START_MAX: Duration = Duration::from_secs(60);

/// What to start.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Which containerd.
    pub flavour: Flavour,
    /// Host names that mean a registry on this machine.
    pub hosts: Vec<Host>,
    /// The image of every pod's sandbox.
    pub sandbox_image: String,
    /// The network namespace that it runs in; the test's own when there is none.
    pub network: Option<PathBuf>,
    /// Environment variables beside the test's own.
    pub env: Vec<(String, String)>,
    /// Whether it has NRI enabled, where it has it; its socket is `nri.sock` in its folder.
    pub nri: bool,
}

/// A running containerd.
pub struct Containerd {
    setup: Setup,
    folder: Option<tempfile::TempDir>,
    child: Option<Child>,
}

impl Setup {
    /// The machine's own containerd, with one host name.
    pub fn system(host: Host) -> Result<Self, Missing> {
        Ok(Self::of(Flavour::system()?, host))
    }

    /// Another containerd, with one host name.
    pub fn of(flavour: Flavour, host: Host) -> Self {
        let sandbox_image = format!("{}/pause:1", host.name);
        Self {
            flavour,
            hosts: vec![host],
            sandbox_image,
            network: None,
            env: Vec::new(),
            nri: false,
        }
    }
}

impl Containerd {
    /// Starts one and waits until its CRI answers.
    ///
    /// # Errors
    /// [`Missing`] says what this machine lacks.
    pub async fn start(setup: Setup) -> Result<Self, Missing> {
        flavour::check_machine()?;
        let folder = tempfile::Builder::new()
            .prefix("sealgate-containerd-")
            .tempdir()
            .expect("a temporary folder");
        config::write(folder.path(), &setup);
        let mut containerd = Self { setup, folder: Some(folder), child: None };
        containerd.spawn().await;
        Ok(containerd)
    }

    /// Stops it with SIGTERM, pods keep running, and starts it again.
    pub async fn restart(&mut self) {
        self.stop();
        self.spawn().await;
    }

    /// Stops it with SIGTERM; pods keep running.
    pub fn stop(&mut self) {
        if let Some(child) = &self.child {
            let pid = child.id().to_string();
            let _ = Command::new("kill").args(["-TERM", &pid]).status();
        }
        self.reap();
    }

    /// Kills it with SIGKILL; pods keep running, the socket file stays.
    pub fn kill9(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
        }
        self.reap();
    }

    /// Sends it a signal by its name: `STOP` makes it hang, `CONT` go on.
    pub fn signal(&self, name: &str) {
        if let Some(child) = &self.child {
            let _ =
                Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
        }
    }

    /// Starts it after [`Containerd::stop`] or [`Containerd::kill9`].
    pub async fn start_again(&mut self) {
        self.spawn().await;
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder().join("containerd.sock")
    }

    /// The temporary folder in which all of it lives; also for a test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().expect("there until dropped").path()
    }

    /// What it is.
    pub fn flavour(&self) -> &Flavour {
        &self.setup.flavour
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder().join("containerd.log")).unwrap_or_default()
    }

    /// The snapshotter of its images.
    pub fn snapshotter(&self) -> &'static str {
        config::snapshotter(self.folder())
    }

    /// A CRI client on its socket.
    pub fn cri(&self) -> Cri {
        Cri::new(&self.socket(), &self.folder().join("pods"))
    }

    /// Runs `ctr` in the CRI's namespace; panics when it fails.
    pub fn ctr(&self, args: &[&str]) -> String {
        let output = self.try_ctr(args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "ctr {args:?}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// Runs `ctr` in the CRI's namespace.
    pub fn try_ctr(&self, args: &[&str]) -> Output {
        let mut command = self.setup.flavour.command("ctr");
        command.arg("--address").arg(self.socket()).args(["--namespace", "k8s.io"]).args(args);
        command.output().expect("ctr runs")
    }

    async fn spawn(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder().join("containerd.log"))
            .expect("a log");
        let containerd = self.setup.flavour.command("containerd");
        let mut command = match &self.setup.network {
            Some(network) => entering(network, &containerd),
            None => containerd,
        };
        command.arg("--config").arg(self.folder().join("config.toml")).stdin(Stdio::null());
        command.envs(self.setup.env.iter().map(|(name, value)| (name, value)));
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        self.child = Some(command.spawn().expect("containerd starts"));
        let deadline = Instant::now() + START_MAX;
        while !self.cri().is_ready().await {
            let exited = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(exited.is_none(), "containerd ended with {exited:?}:\n{}", self.log());
            assert!(
                Instant::now() < deadline,
                "containerd did not come up in {START_MAX:?}:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn reap(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }
}

/// The same command in a network namespace; its arguments may follow.
pub fn entering(namespace: &Path, command: &Command) -> Command {
    let mut outer = Command::new("nsenter");
    outer
        .arg(format!("--net={}", namespace.display()))
        .arg("--")
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let Some(folder) = self.folder.take() else { return };
        if let Some(child) = &mut self.child {
            let _ = child.kill();
        }
        self.reap();
        cleanup::sweep(folder.path());
        if let Err(error) = folder.close() {
            // A drop must not panic during a panic; what stays is said.
            eprintln!("the folder of a test's containerd could not be removed: {error}");
        }
    }
}
