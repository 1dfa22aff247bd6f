//! [`Stage`]: a real containerd, a registry with the fixtures in it, and the gate as a process of
//! its own between a client and that containerd. Everything is private to one scenario and gone
//! afterwards.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::net::TcpSocket;
use tonic::Status;

use crate::containerd::{Containerd, Cri, Flavour, Host, Launch, Missing, Pod, Setup, entering};
use crate::fixtures;
use crate::registry::{Settings, TestRegistry};
use crate::wire::Wire;

/// The registry's name in every scenario.
pub const HOST: &str = "registry.example.test";
/// How long the gate may take to be ready; it takes some 20 ms.
const READY_MAX: Duration = Duration::from_secs(60);

/// Why a scenario did not go as it should.
#[derive(Debug)]
pub struct Failure(pub String);

/// How a scenario went.
pub type Outcome = Result<(), Failure>;

impl<E: fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Fails the scenario with a message unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::stage::Failure(format!($($message)+)));
        }
    };
}

/// What the stage is made of.
pub struct Props {
    /// Which containerd.
    pub flavour: Flavour,
    /// How the registry behaves.
    pub registry: Settings,
    /// The policy documents, YAML.
    pub policy: String,
    /// More lines of the configuration file, dotted keys; `{registry}` in them is the registry's
    /// host and port.
    pub config: String,
    /// Keys beside those of the fixtures: file name and contents.
    pub keys: Vec<(String, Vec<u8>)>,
    /// The network of its own that the node is in and the registry is behind; the machine's
    /// loopback when there is none.
    pub wire: Option<Wire>,
    /// The runtime's environment variables, beside the test's own.
    pub env: Vec<(String, String)>,
    /// Whether the runtime has NRI enabled.
    pub nri: bool,
}

/// The stage of one scenario.
pub struct Stage {
    /// The registry, as an attacker or an operator would have it.
    pub registry: TestRegistry,
    /// The runtime.
    pub containerd: Containerd,
    /// The network between them, when it is one of its own.
    pub wire: Option<Wire>,
    /// The port of a registry that was taken away.
    pub held: Option<TcpSocket>,
    folder: tempfile::TempDir,
    gate: Option<Child>,
    /// The program that is played.
    program: PathBuf,
}

/// The policy that most scenarios use: images under `prod/` need the key `build`, the image of
/// sandboxes is admitted by its digest.
pub fn usual_policy() -> String {
    format!(
        "apiVersion: sealgate/v1
kind: ImagePolicy
metadata: {{name: production}}
spec:
  images: [\"{HOST}/prod/**\"]
  require: {{name: build, key: {{files: [build.pub]}}}}
---
{}",
        sandbox_policy()
    )
}

/// The policy for the image of sandboxes, without which there is no pod.
pub fn sandbox_policy() -> String {
    let digest = &fixtures::load()[&format!("{HOST}/pause")].tags["1"];
    format!(
        "apiVersion: sealgate/v1
kind: ImagePolicy
metadata: {{name: pause}}
spec:
  images: [\"{HOST}/pause\"]
  require: {{name: listed, digest: {{anyOf: [\"{digest}\"]}}}}
"
    )
}

impl Props {
    /// The machine's own containerd, a registry without a referrers endpoint, the usual policy.
    pub fn usual() -> Result<Self, Missing> {
        Ok(Self {
            flavour: Flavour::system()?,
            registry: Settings::without_referrers(),
            policy: usual_policy(),
            config: String::new(),
            keys: Vec::new(),
            wire: None,
            env: Vec::new(),
            nri: false,
        })
    }
}

impl Stage {
    /// The usual stage.
    pub async fn usual() -> Result<Self, Failure> {
        Self::set(Props::usual()?).await
    }

    /// Sets the stage: registry filled, containerd up, gate ready.
    pub async fn set(props: Props) -> Result<Self, Failure> {
        let registry = match &props.wire {
            Some(wire) => TestRegistry::start_on(props.registry, wire.listener()?),
            None => TestRegistry::start(props.registry),
        };
        fill(&registry);
        let network = props.wire.as_ref().map(Wire::node);
        let setup = Setup {
            network,
            env: props.env,
            nri: props.nri,
            ..Setup::of(props.flavour, Host::new(HOST, &registry.url()))
        };
        let containerd = Containerd::start(setup).await?;
        let folder = tempfile::Builder::new().prefix("sealgate-e2e-").tempdir()?;
        for name in ["policies", "keys", "pods", "trust"] {
            fs::create_dir(folder.path().join(name))?;
        }
        for name in ["build", "security", "other", "p384", "rsa", "ed25519"] {
            fs::write(folder.path().join("keys").join(format!("{name}.pub")), fixtures::key(name))?;
        }
        for (name, key) in props.keys {
            fs::write(folder.path().join("keys").join(name), key)?;
        }
        for root in ["local", "foreign"] {
            fs::copy(
                fixtures::trust_root_path(root),
                folder.path().join(format!("trust/{root}.json")),
            )?;
        }
        for file in [
            "root.pem",
            "intermediate.pem",
            "foreign-root.pem",
            "team.crl",
            "root.crl",
            "stale.crl",
            "before.crl",
        ] {
            fs::copy(fixtures::pki_path(file), folder.path().join("keys").join(file))?;
        }
        let program = PathBuf::from(env!("CARGO_BIN_EXE_sealgate"));
        let mut stage = Self {
            registry,
            containerd,
            wire: props.wire,
            held: None,
            folder,
            gate: None,
            program,
        };
        stage.write_policy(&props.policy)?;
        let more = props.config.replace("{registry}", &stage.registry.host());
        fs::write(stage.config(), stage.configuration(&more))?;
        stage.start_gate().await?;
        stage.looked_at_sandbox_image().await?;
        Ok(stage)
    }

    /// Waits until the gate has said what it thinks of the image of sandboxes, which it brings by
    /// itself, and takes that out of the registry's log: what comes then is the scenario's.
    async fn looked_at_sandbox_image(&self) -> Outcome {
        let deadline = Instant::now() + READY_MAX;
        let said = |log: &str| {
            log.contains("the image of pods' sandboxes is admitted")
                || log.contains("pods may not start")
        };
        while !said(&self.gate_log()) {
            ensure!(Instant::now() < deadline, "not looked at:\n{}", self.gate_log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.registry.clear_log();
        Ok(())
    }

    fn configuration(&self, more: &str) -> String {
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        format!(
            "listen.socket = \"{}\"\ncontrol.socket = \"{}\"\nruntime.socket \
             = \"{}\"\nruntime.config = \"{}\"\nregistry.certs_dirs = [\"{}\"]\n\
             registry.docker_configs = [\"{}\"]\npolicy.policies = \"{}\"\npolicy.keys \
             = \"{}\"\ntrust.roots = [\"{}\"]\ntrust.state = \"{}\"\naudit.path = \"{}\"\naudit.checkpoint_key \
             = \"{}\"\n\
             clock.file = \"{}\"\nsweep.containers = \"{}\"\nsweep.every_minutes = 0\nevidence.path = \"{}\"\nnri.socket = \"{}\"\n{more}\n",
            at("cri.sock"),
            at("control.sock"),
            self.containerd.socket().display(),
            self.containerd.folder().join("config.toml").display(),
            self.containerd.folder().join("certs.d").display(),
            at("docker.json"),
            at("policies"),
            at("keys"),
            at("trust"),
            at("trust"),
            at("audit/audit.jsonl"),
            at("audit.key"),
            at("clock"),
            at("containers"),
            at("evidence"),
            self.containerd.folder().join("nri.sock").display(),
        )
    }

    /// Replaces the policy documents on disk; a reload or a restart makes the gate see them. Where
    /// there are some and none is about the image of sandboxes, its usual one is added.
    pub fn write_policy(&self, text: &str) -> Outcome {
        let says_all = text.trim().is_empty() || text.contains(&format!("{HOST}/pause"));
        let more = if says_all { String::new() } else { format!("\n---\n{}", sandbox_policy()) };
        self.write_policy_as_is(&format!("{text}{more}"))
    }

    /// The same, without anything added, at once: the gate watches the folder, and must not read
    /// half of it.
    pub fn write_policy_as_is(&self, text: &str) -> Outcome {
        let new = self.folder.path().join("policy.yaml.new");
        fs::write(&new, text)?;
        Ok(fs::rename(new, self.folder.path().join("policies/policy.yaml"))?)
    }

    /// Starts the gate and waits until it answers.
    pub async fn start_gate(&mut self) -> Outcome {
        fs::create_dir_all(self.folder.path().join("audit"))?;
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("gate.log"))?;
        let gate = Command::new(&self.program);
        let mut command = match &self.wire {
            Some(wire) => entering(&wire.node(), &gate),
            None => gate,
        };
        let child = command
            .args(["run", "--config"])
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.gate = Some(child);
        let deadline = Instant::now() + READY_MAX;
        while !self.cri().is_ready().await {
            let gone =
                self.gate.as_mut().is_some_and(|gate| gate.try_wait().ok().flatten().is_some());
            ensure!(
                !gone && Instant::now() < deadline,
                "the gate did not come up:\n{}",
                self.gate_log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Plays the release build from now on, which `make e2e` builds: what a gate takes of memory is
    /// that one's.
    pub async fn use_release(&mut self) -> Outcome {
        self.kill_gate()?;
        self.program = Self::released()?;
        self.start_gate().await
    }

    /// The release build.
    pub fn released() -> Result<PathBuf, Failure> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/release/sealgate");
        ensure!(program.exists(), "{} is not there: make build", program.display());
        Ok(program)
    }

    /// Kills gate and runtime as a power cut would, and starts both again; pods keep running.
    pub async fn power_cut(&mut self) -> Outcome {
        self.kill_gate()?;
        self.containerd.kill9();
        self.containerd.start_again().await;
        self.start_gate().await
    }

    /// Sends the gate a signal by its name.
    pub fn signal(&self, name: &str) -> Outcome {
        let id = self.gate.as_ref().map(Child::id).ok_or("the gate does not run")?;
        let status = Command::new("kill").arg(format!("-{name}")).arg(id.to_string()).status()?;
        ensure!(status.success(), "kill -{name} {id}: {status}");
        Ok(())
    }

    /// Kills the gate as a crash would, and waits for its end.
    pub fn kill_gate(&mut self) -> Outcome {
        if let Some(mut gate) = self.gate.take() {
            gate.kill()?;
            gate.wait()?;
        }
        Ok(())
    }

    /// Has the gate end as a service manager does, and waits for that.
    pub fn end_gate(&mut self) -> Outcome {
        self.signal("TERM")?;
        let ended = self.gate.take().map(|mut gate| gate.wait()).transpose()?;
        ensure!(ended.is_some_and(|status| status.success()), "the gate ended with {ended:?}");
        Ok(())
    }

    /// The gate's process id.
    pub fn gate_pid(&self) -> Option<u32> {
        self.gate.as_ref().map(Child::id)
    }

    /// A client through the gate.
    pub fn cri(&self) -> Cri {
        Cri::new(&self.socket(), &self.folder.path().join("pods"))
    }

    /// The gate's socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("cri.sock")
    }

    /// The gate's configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    /// The stage's own folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The words of the gate's journal.
    pub fn gate_log(&self) -> String {
        fs::read_to_string(self.folder.path().join("gate.log")).unwrap_or_default()
    }

    /// Runs `sealgate` with this stage's configuration.
    pub fn sealgate(&self, args: &[&str]) -> std::io::Result<std::process::Output> {
        Command::new(env!("CARGO_BIN_EXE_sealgate"))
            .arg("--config")
            .arg(self.config())
            .args(args)
            .output()
    }

    /// Every decision on record about what pods ask for, oldest first; those on the image of their
    /// sandboxes are [`Stage::sandbox_records`].
    pub fn records(&self) -> Vec<Value> {
        let all = self.all_records();
        all.into_iter().filter(|record| record["call"] != "RunPodSandbox").collect()
    }

    /// Every decision on the image of sandboxes, oldest first.
    pub fn sandbox_records(&self) -> Vec<Value> {
        let all = self.all_records();
        all.into_iter().filter(|record| record["call"] == "RunPodSandbox").collect()
    }

    /// Every finding on record, oldest first.
    pub fn findings(&self) -> Vec<Value> {
        self.entries("finding")
    }

    /// What came of each call that was let through, oldest first.
    pub fn outcomes(&self) -> Vec<Value> {
        self.entries("outcome")
    }

    fn all_records(&self) -> Vec<Value> {
        self.entries("decision")
    }

    fn entries(&self, kind: &str) -> Vec<Value> {
        let text =
            fs::read_to_string(self.folder.path().join("audit/audit.jsonl")).unwrap_or_default();
        // Most lines are of another kind, and a build without optimisation parses slowly.
        let part = format!("\"kind\":\"{kind}\"");
        let lines = text.lines().filter(|line| line.contains(&part));
        let entries = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        entries.filter(|entry| entry["kind"] == kind).collect()
    }

    /// The newest record of a call, which must have this verdict and reason code.
    pub fn expect_record(&self, call: &str, verdict: &str, code: &str) -> Result<Value, Failure> {
        let records = self.all_records();
        let newest = records.iter().rev().find(|record| record["call"] == call);
        let newest =
            newest.ok_or_else(|| Failure(format!("no record of {call} among {records:#?}")))?;
        let found = (newest["verdict"].as_str(), newest["reason"]["code"].as_str());
        ensure!(
            found == (Some(verdict), Some(code)),
            "expected {verdict}/{code}, the record says {newest:#}"
        );
        Ok(newest.clone())
    }

    /// Pulls through the gate and makes and runs a container as the kubelet does: by id, under the
    /// name asked for.
    pub async fn pull_and_run(&self, image: &str) -> Result<(i32, String), Status> {
        let cri = self.cri();
        let id = cri.pull(image).await?;
        let pod = cri.run_pod("prod-eu").await?;
        cri.run(&pod, by_id(&id, image)).await
    }

    /// A pod through the gate.
    pub async fn pod(&self) -> Result<Pod, Status> {
        self.cri().run_pod("prod-eu").await
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(mut gate) = self.gate.take() {
            drop(gate.kill());
            drop(gate.wait());
        }
    }
}

/// A container as the kubelet asks for it (fact C1).
pub fn by_id(id: &str, user_specified_image: &str) -> Launch {
    Launch {
        image: id.to_owned(),
        user_specified_image: user_specified_image.to_owned(),
        ..Launch::default()
    }
}

/// Puts every fixture into the registry, byte for byte.
pub fn fill(registry: &TestRegistry) {
    for fixtures::Repository { path, blobs, manifests, tags, .. } in fixtures::load().values() {
        registry.put_all(path, blobs, manifests, tags);
    }
}

/// What a refusal must be where the audit log takes no record.
pub fn expect_not_recorded(status: &Status) -> Outcome {
    let why = "the decision could not be written to the audit log";
    expect_refusal(status, tonic::Code::Unavailable, why, &[])
}

/// What a refusal must be on the wire: this code, and a message that begins so and contains these.
pub fn expect_refusal(
    status: &Status,
    code: tonic::Code,
    begins: &str,
    contains: &[&str],
) -> Outcome {
    let message = status.message();
    ensure!(status.code() == code, "expected {code:?}, got {:?}: {message}", status.code());
    ensure!(
        message.starts_with(begins),
        "expected a message that begins {begins:?}, got {message:?}"
    );
    for part in contains {
        ensure!(message.contains(part), "expected {part:?} in {message:?}");
    }
    ensure!(!message.contains('\n'), "more than one line: {message:?}");
    Ok(())
}
