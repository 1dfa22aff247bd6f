//! `sealgate doctor`: on a node that is set up right every line is ok; on one that is set up wrong in
//! one way that line says so, and no other.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::canary::forward;
use crate::containerd::Flavour;
use crate::doctor_played::{
    Agent, after, among_policies, behind_the_record, exception, k3s, small_disk_on,
};
use crate::ensure;
use crate::kubelet::Kubelet;
use crate::outage::take_away;
use crate::stage::{Failure, HOST, Outcome, Props, Stage, sandbox_policy};
use crate::unit::Machine;

/// How long the gate may take to be well.
const WELL_MAX: Duration = Duration::from_secs(60);

/// A policy about these images.
fn policy(images: &str, require: &str) -> String {
    format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: production}}\nspec:\n  \
         images: [\"{HOST}/{images}\"]\n  require: {require}\n"
    )
}

/// One that asks for proof.
fn strict() -> String {
    policy("prod/**", "{name: build, key: {files: [build.pub]}}")
}

/// What doctor said.
struct Said {
    checks: Vec<Value>,
    text: String,
}

impl Said {
    /// The ids of the lines with this outcome, but for what this machine lacks.
    fn with(&self, outcome: &str) -> BTreeSet<&str> {
        let all = self.checks.iter().filter(|check| check["outcome"] == outcome);
        all.filter(|check| !is_machines(check)).filter_map(|check| check["id"].as_str()).collect()
    }

    fn words(&self, id: &str) -> &str {
        let check = self.checks.iter().find(|check| check["id"] == id);
        check.and_then(|check| check["seen"].as_str()).unwrap_or_default()
    }
}

/// Whether a line speaks of what this machine may lack: a service that keeps its clock right, and
/// systemd, whose part is played in `systemd-unit`.
fn is_machines(check: &Value) -> bool {
    let seen = check["seen"].as_str().unwrap_or_default();
    let lacks = [
        ("clock", "nothing on this node says that it is synchronized"),
        ("unit", "systemd does not run here"),
    ];
    let is_said = lacks.iter().any(|(id, words)| check["id"] == *id && seen.ends_with(words));
    check["outcome"] == "warn" && is_said
}

struct Node {
    stage: Stage,
    kubelet: Kubelet,
}

impl Node {
    async fn set(flavour: Flavour) -> Result<Self, Failure> {
        let stage =
            Stage::set(Props { flavour, policy: strict(), nri: true, ..Props::usual()? }).await?;
        let mut kubelet = Kubelet::start(&stage)?;
        kubelet.connect(&stage.containerd.socket());
        kubelet.restart(&[])?;
        Ok(Self { stage, kubelet })
    }

    fn looked_over(&self, more: &[&str]) -> Result<Said, Failure> {
        let arguments = [&["doctor", "--output", "json"], more].concat();
        Self::said(&self.stage.sealgate(&arguments)?)
    }

    fn said(output: &Output) -> Result<Said, Failure> {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let checks: Vec<Value> = serde_json::from_str(&text)?;
        let code = output.status.code();
        let fails = checks.iter().any(|check| check["outcome"] == "fail");
        ensure!(code == Some(i32::from(fails)), "exit code {code:?}: {text}");
        for check in &checks {
            let mends = check["mend"].as_str().is_some_and(|mend| !mend.is_empty());
            ensure!(check["outcome"] == "ok" || mends, "no way to mend it: {check}");
        }
        Ok(Said { checks, text })
    }

    /// All lines must be ok. What this machine lacks is said.
    async fn is_well(&self) -> Result<Said, Failure> {
        let began = Instant::now();
        loop {
            let said = self.looked_over(&["--network"])?;
            if said.with("fail").is_empty() && said.with("warn").is_empty() {
                return Ok(said);
            }
            ensure!(began.elapsed() < WELL_MAX, "a node that is set up right: {}", said.text);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until the running gate says so of this matter, and of nothing that it had yet to do.
    async fn settles(&self, id: &str, outcome: &str) -> Outcome {
        let began = Instant::now();
        loop {
            let said = self.looked_over(&[])?;
            let waits = ["enforcing", "sandbox-image"];
            let is_done = waits.iter().all(|line| *line == id || !said.with("warn").contains(line));
            if is_done && said.with(outcome).contains(id) {
                return Ok(());
            }
            ensure!(began.elapsed() < WELL_MAX, "{id} is not {outcome}: {}", said.text);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// This line must fail, and no other.
    fn fails(&self, what: &str, id: &str) -> Outcome {
        Self::fails_alone(what, id, &self.looked_over(&[])?)
    }

    fn fails_alone(what: &str, id: &str, said: &Said) -> Outcome {
        let failed = said.with("fail");
        ensure!(failed == BTreeSet::from([id]), "{what}: {failed:?}\n{}", said.text);
        println!("   {what}: {id} fails");
        Ok(())
    }

    /// This line must be one to look at, and no other; none may fail.
    fn warns(&self, what: &str, id: &str, more: &[&str]) -> Outcome {
        Self::warns_alone(what, id, &self.looked_over(more)?)
    }

    fn warns_alone(what: &str, id: &str, said: &Said) -> Outcome {
        let (failed, warned) = (said.with("fail"), said.with("warn"));
        let is_alone = failed.is_empty() && warned == BTreeSet::from([id]);
        ensure!(is_alone, "{what}: {failed:?}, {warned:?}\n{}", said.text);
        println!("   {what}: {id} is to be looked at");
        Ok(())
    }

    async fn with_mode(&self, what: &str, path: &Path, mode: u32, id: &str) -> Outcome {
        let before = fs::metadata(path)?.permissions();
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        let found = self.fails(what, id);
        fs::set_permissions(path, before)?;
        found
    }

    /// While containerd's configuration is what this makes of it.
    fn with_runtime(
        &self,
        change: impl FnOnce(&str) -> String,
        look: impl FnOnce(&Self) -> Outcome,
    ) -> Outcome {
        let file = self.stage.containerd.folder().join("config.toml");
        let before = fs::read_to_string(&file)?;
        fs::write(&file, change(&before))?;
        let found = look(self);
        fs::write(&file, before)?;
        found
    }

    /// The gate started again with more lines in its configuration; none to take them out.
    async fn with_gate(&mut self, from: &str, to: &str) -> Outcome {
        let file = self.stage.config();
        let text = fs::read_to_string(&file)?;
        ensure!(text.contains(from), "{from:?} is not in {text}");
        fs::write(&file, text.replace(from, to))?;
        self.stage.kill_gate()?;
        self.stage.start_gate().await
    }
}

/// A node set up right on each containerd; and on the newest, those that are not.
pub async fn doctor() -> Outcome {
    let newest = Flavour::at_least(2, 1)?;
    for flavour in Flavour::all().into_iter().filter(|flavour| *flavour != newest) {
        let (major, minor) = flavour.version;
        Node::set(flavour).await?.is_well().await?;
        println!("   a node that is set up right, with containerd {major}.{minor}: all ok");
    }
    let mut node = Node::set(newest).await?;
    let said = node.is_well().await?;
    println!("   a node that is set up right: every line is ok (the kubelet is a stand-in)");
    let clients = said.words("containerd-clients");
    let told = clients.contains("the gate (") && clients.contains("the kubelet, whose cAdvisor");
    ensure!(told, "the gate and the kubelet are not told apart: {clients}");
    for lack in said.checks.iter().filter(|check| is_machines(check)) {
        println!("   this machine lacks something, which is said: {}", lack["seen"]);
    }
    kubelets(&mut node)?;
    let folder = node.stage.folder().to_owned();
    node.with_mode("the gate's socket is everybody's", &node.stage.socket(), 0o666, "socket")
        .await?;
    let runtime = node.stage.containerd.socket();
    node.with_mode("containerd's is", &runtime, 0o666, "containerd-socket").await?;
    clients_of(&node, &runtime)?;
    node.with_mode("everybody may write the log", &folder.join("audit"), 0o777, "log").await?;
    let evidence = folder.join("evidence");
    node.with_mode("everybody may write evidence", &evidence, 0o777, "evidence").await?;
    runtimes(&node)?;
    verifiers(&node)?;
    policies(&node).await?;
    played(&node)?;
    sandbox_image(&node).await?;
    tripwire(&mut node).await?;
    take_away(&mut node.stage);
    node.warns("the registry is away", "registry", &["--network"])?;
    // What it has connected stays so.
    replaced(&node).await?;
    node.stage.kill_gate()?;
    node.fails("the gate does not run", "gate")
}

fn kubelets(node: &mut Node) -> Outcome {
    let other = node.stage.containerd.socket();
    let argument = format!("--container-runtime-endpoint=unix://{}", other.display());
    node.kubelet.restart(&[&argument])?;
    node.fails("the kubelet's arguments name containerd", "kubelet")?;
    node.kubelet.restart(&[])?;
    let drop_in = node.kubelet.drop_ins().join("50-other.conf");
    fs::write(&drop_in, format!("containerRuntimeEndpoint: unix://{}\n", other.display()))?;
    node.fails("a drop-in of the kubelet does", "kubelet")?;
    fs::remove_file(drop_in)?;
    let images = format!("imageServiceEndpoint: unix://{}", other.display());
    node.kubelet.configure(&node.stage.socket(), &images)?;
    node.fails("its images are to come from containerd", "kubelet-images")?;
    node.kubelet.configure(&node.stage.socket(), "")
}

/// Another program of the node, and one of a pod, with containerd's socket open.
fn clients_of(node: &Node, runtime: &Path) -> Outcome {
    let mut agent = Agent::start(runtime)?;
    node.warns("a program of the node is connected to containerd", "containerd-clients", &[])?;
    agent.join_pod()?;
    node.fails("a pod is", "containerd-clients")
}

fn runtimes(node: &Node) -> Outcome {
    let line = |from: &str, to: &str| {
        let (from, to) = (from.to_owned(), to.to_owned());
        move |text: &str| {
            let lines = text.lines().map(|line| {
                if line.trim_start().starts_with(&from) { to.clone() } else { line.to_owned() }
            });
            lines.collect::<Vec<_>>().join("\n")
        }
    };
    node.with_runtime(line("snapshotter =", "snapshotter = 'stargz'"), |node| {
        node.fails("containerd has a lazy snapshotter", "snapshotter")
    })?;
    node.with_runtime(line("runtime_type =", "runtime_type = 'io.containerd.kata.v2'"), |node| {
        node.warns("a handler runs images in a guest", "runtimes", &[])
    })?;
    node.with_runtime(line("config_path =", "config_path = '/etc/other'"), |node| {
        node.warns("containerd has other mirrors", "mirrors", &[])
    })?;
    let unpack = "[[plugins.'io.containerd.transfer.v1.local'.unpack_config]]\n\
        platform = 'linux'\nsnapshotter = 'stargz'\n";
    node.with_runtime(
        |text| format!("{text}\n{unpack}"),
        |node| node.warns("the transfer service unpacks lazily", "pulls", &[]),
    )
}

/// Programs that containerd runs as root to ask about images.
fn verifiers(node: &Node) -> Outcome {
    let folder = node.stage.folder().join("verifiers");
    fs::create_dir(&folder)?;
    let program = folder.join("sealgate-image-verifier");
    fs::write(&program, "")?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let table = format!(
        "[plugins.'io.containerd.image-verifier.v1.bindir']\nbin_dir = '{}'\n",
        folder.display()
    );
    let writable = |node: &Node| {
        fs::set_permissions(&program, fs::Permissions::from_mode(0o777))?;
        let found = node.fails("everybody may write a verifier", "image-verifier");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        found
    };
    node.with_runtime(|text| format!("{text}\n{table}"), writable)?;
    node.with_runtime(
        |text| format!("{text}\n{table}max_verifiers = 0\n"),
        |node| node.fails("containerd does not run the gate's verifier", "image-verifier"),
    )
}

/// What is on disk, in a folder of the command's own, since the gate sees its own by itself; and what
/// the gate has in force.
async fn policies(node: &Node) -> Outcome {
    let stage = &node.stage;
    let fails = |what, id, text: &str| {
        Node::fails_alone(what, id, &Node::said(&among_policies(stage, text)?)?)
    };
    let broken = "apiVersion: sealgate/v1\nkind: ImagePolcy\n";
    fails("a policy cannot be read", "policies", broken)?;
    let anything = policy("**", "{insecureAcceptAnything: true}");
    fails("every policy accepts anything", "policy-proof", &anything)?;
    let ended = "{name: build, key: {files: [{file: build.pub, notAfter: 2020-01-01T00:00:00Z}]}}";
    let ended = format!("{}---\n{}", policy("prod/**", ended), sandbox_policy());
    fails("a key has ended", "trust", &ended)?;
    let right = format!("{}---\n{}", strict(), sandbox_policy());
    let excepted = format!("{right}---\n{}", exception()?);
    let said = Node::said(&among_policies(stage, &excepted)?)?;
    Node::warns_alone("an exception ends in two days", "exceptions", &said)?;

    stage.write_policy(broken)?;
    stage.signal("HUP")?;
    let began = Instant::now();
    while !stage.gate_log().contains("was NOT reloaded") {
        ensure!(began.elapsed() < WELL_MAX, "the reload is not said:\n{}", stage.gate_log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    fails("a reload was not taken", "gate-policy", &right)?;
    stage.write_policy(&strict())?;
    stage.signal("HUP")?;
    node.is_well().await.map(drop)
}

/// What the running gate does not see.
fn played(node: &Node) -> Outcome {
    let stage = &node.stage;
    let cases = [
        ("the log's disk is full", "disk-log", small_disk_on(&stage.folder().join("audit"))),
        ("that of evidence is", "disk-evidence", small_disk_on(&stage.folder().join("evidence"))),
        ("k3s is here, and the gate is told of another containerd", "distribution", k3s()),
    ];
    for (what, id, commands) in cases {
        Node::fails_alone(what, id, &Node::said(&after(stage, &commands)?)?)?;
    }
    let said = Node::said(&behind_the_record(stage)?)?;
    Node::fails_alone("the clock is a day behind what is on record", "clock", &said)
}

/// A policy that does not admit the image of sandboxes, once the gate has taken it.
async fn sandbox_image(node: &Node) -> Outcome {
    let of_all = policy("**", "{name: build, key: {files: [build.pub]}}");
    node.stage.write_policy_as_is(&of_all)?;
    node.stage.signal("HUP")?;
    node.settles("sandbox-image", "fail").await?;
    node.fails("the sandbox image would be refused", "sandbox-image")?;
    node.stage.write_policy(&strict())?;
    node.stage.signal("HUP")?;
    node.is_well().await.map(drop)
}

async fn tripwire(node: &mut Node) -> Outcome {
    let is_connected = "nri.sock\"";
    node.with_gate(is_connected, "nri.other\"").await?;
    node.settles("nri", "fail").await?;
    node.fails("containerd's NRI does not reach the gate", "nri")?;
    node.with_gate("nri.other\"", "nri.sock\"\nnri.mode = \"off\"").await?;
    node.settles("nri", "warn").await?;
    node.warns("the tripwire is turned off", "nri", &[])?;
    node.with_gate("\nnri.mode = \"off\"", "").await?;
    node.is_well().await.map(drop)
}

async fn replaced(node: &Node) -> Outcome {
    let (own, aside) = (node.stage.socket(), node.stage.folder().join("cri.aside"));
    fs::rename(&own, &aside)?;
    let forwarder = forward(&own, &node.stage.containerd.socket())?;
    fs::set_permissions(&own, fs::Permissions::from_mode(0o600))?;
    // It answers in this process, while the command runs aside.
    let found =
        tokio::task::block_in_place(|| node.fails("a forwarder replaces the socket", "enforcing"));
    forwarder.abort();
    fs::rename(&aside, &own)?;
    found
}

/// What is said of the shipped units in a real systemd, as they are and changed in one way.
pub fn units(machine: &Machine) -> Outcome {
    let expect = |what: &str, expected: [&str; 2]| {
        let output = machine.run(&["sealgate", "doctor", "--output", "json"])?;
        let checks: Vec<Value> = serde_json::from_slice(&output.stdout)?;
        let outcome = |id: &str| {
            let check = checks.iter().find(|check| check["id"] == id);
            check.and_then(|check| check["outcome"].as_str()).unwrap_or("no line")
        };
        let found = ["unit", "activation"].map(outcome);
        ensure!(found == expected, "{what}: {found:?}, {checks:#?}");
        println!("   doctor: {what}: unit {}, activation {}", found[0], found[1]);
        Ok::<(), Failure>(())
    };
    expect("the units as shipped", ["ok", "ok"])?;
    let folder = "/etc/systemd/system/sealgate.service.d";
    let file = format!("{folder}/50-own.conf");
    machine.done(&["mkdir", "-p", folder])?;
    machine.done(&["sh", "-c", &format!("printf '[Service]\\nNice=1\\n' > {file}")])?;
    machine.done(&["systemctl", "daemon-reload"])?;
    expect("a drop-in", ["ok", "ok"])?;
    machine.done(&["chmod", "0666", &file])?;
    expect("a drop-in that everybody may write", ["fail", "ok"])?;
    let other = "printf '[Service]\\nExecStart=\\nExecStart=/bin/sleep 1\\n'";
    machine.done(&["sh", "-c", &format!("{other} > {file} && chmod 0644 {file}")])?;
    expect("a drop-in that has changed since systemd read it", ["warn", "ok"])?;
    machine.done(&["systemctl", "daemon-reload"])?;
    expect("a drop-in that starts another program", ["fail", "ok"])?;
    machine.done(&["rm", "-r", folder])?;
    machine.done(&["systemctl", "daemon-reload"])?;
    machine.done(&["systemctl", "disable", "sealgate.socket"])?;
    expect("a socket that is not enabled", ["ok", "fail"])?;
    machine.done(&["systemctl", "enable", "sealgate.socket"])?;
    expect("the units as shipped", ["ok", "ok"])
}
