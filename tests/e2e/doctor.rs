//! `sealgate doctor`: on a node that is set up right every line is ok; on one that is set up wrong in
//! one way that line fails, and no other.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::canary::forward;
use crate::ensure;
use crate::kubelet::Kubelet;
use crate::stage::{Failure, HOST, Outcome, Props, Stage};

/// How long the gate may take to be well.
const WELL_MAX: Duration = Duration::from_secs(60);
/// What this machine may lack: a service that keeps its clock right.
const CLOCKS: [&str; 3] =
    ["/run/systemd/timesync/synchronized", "/run/chrony/chronyd.pid", "/run/chronyd.pid"];

/// A policy that asks for proof of everything.
fn policy(require: &str) -> String {
    format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: production}}\nspec:\n  \
         images: [\"{HOST}/**\"]\n  require: {require}\n"
    )
}

fn strict() -> String {
    policy("{name: build, key: {files: [build.pub]}}")
}

/// The ids of the lines that fail; each line's id and outcome; and the whole answer.
type LookedOver = (BTreeSet<String>, Vec<(String, String)>, String);

struct Node {
    stage: Stage,
    kubelet: Kubelet,
}

impl Node {
    /// The lines that fail, and all of them with their outcomes.
    fn looked_over(&self) -> Result<LookedOver, Failure> {
        let output = self.stage.sealgate(&["doctor", "--output", "json"])?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let checks: Vec<Value> = serde_json::from_str(&text)?;
        let word = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
        let lines: Vec<(String, String)> =
            checks.iter().map(|check| (word(check, "id"), word(check, "outcome"))).collect();
        let failed: BTreeSet<String> = lines
            .iter()
            .filter(|(_, outcome)| outcome == "fail")
            .map(|(id, _)| id.clone())
            .collect();
        let code = output.status.code();
        ensure!(code == Some(i32::from(!failed.is_empty())), "exit code {code:?}: {text}");
        for check in &checks {
            let mends = !word(check, "mend").is_empty();
            ensure!(check["outcome"] == "ok" || mends, "no way to mend it: {check}");
        }
        Ok((failed, lines, text))
    }

    /// All lines must be ok. A clock that nothing on this machine keeps right is said.
    async fn is_well(&self) -> Outcome {
        let began = Instant::now();
        loop {
            let (_, lines, text) = self.looked_over()?;
            let no_clock = !CLOCKS.iter().any(|path| Path::new(path).exists());
            let is_fine = |(id, outcome): &(String, String)| {
                outcome == "ok" || (no_clock && id == "clock" && outcome == "warn")
            };
            if lines.iter().all(is_fine) {
                if no_clock {
                    println!("   nothing keeps this machine's clock right, which doctor says");
                }
                return Ok(());
            }
            ensure!(began.elapsed() < WELL_MAX, "a node that is set up right: {text}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// This line must fail, and no other.
    fn fails(&self, what: &str, id: &str) -> Outcome {
        let (failed, _, text) = self.looked_over()?;
        ensure!(failed == BTreeSet::from([id.to_owned()]), "{what}: {failed:?}\n{text}");
        println!("   {what}: {id} fails");
        Ok(())
    }

    async fn with_mode(&self, what: &str, path: &Path, mode: u32, id: &str) -> Outcome {
        let before = fs::metadata(path)?.permissions();
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        let found = self.fails(what, id);
        fs::set_permissions(path, before)?;
        found
    }
}

/// One node set up right, and twelve that are not.
pub async fn doctor() -> Outcome {
    let stage = Stage::set(Props { policy: strict(), ..Props::usual()? }).await?;
    let kubelet = Kubelet::start(&stage)?;
    let mut node = Node { stage, kubelet };
    node.is_well().await?;
    println!("   a node that is set up right: every line is ok (the kubelet is a stand-in)");
    kubelets(&mut node)?;
    let folder = node.stage.folder().to_owned();
    node.with_mode("the gate's socket is everybody's", &node.stage.socket(), 0o666, "socket")
        .await?;
    let runtime = node.stage.containerd.socket();
    node.with_mode("containerd's is", &runtime, 0o666, "containerd-socket").await?;
    node.with_mode("everybody may write the log", &folder.join("audit"), 0o777, "log").await?;
    let evidence = folder.join("evidence");
    node.with_mode("everybody may write evidence", &evidence, 0o777, "evidence").await?;
    policies(&node).await?;
    snapshotter(&node)?;
    replaced(&node).await?;
    node.is_well().await?;
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

async fn policies(node: &Node) -> Outcome {
    let stage = &node.stage;
    stage.write_policy("apiVersion: sealgate/v1\nkind: ImagePolcy\n")?;
    node.fails("a policy cannot be read", "policies")?;
    stage.signal("HUP")?;
    let began = Instant::now();
    while !stage.gate_log().contains("was NOT reloaded") {
        ensure!(began.elapsed() < WELL_MAX, "the reload is not said:\n{}", stage.gate_log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stage.write_policy(&strict())?;
    node.fails("a reload was not taken", "gate-policy")?;
    stage.signal("HUP")?;
    node.is_well().await?;
    // Without the policy of the sandbox image that the stage adds.
    let anything = policy("{insecureAcceptAnything: true}");
    fs::write(stage.folder().join("policies/policy.yaml"), anything)?;
    node.fails("every policy accepts anything", "policy-proof")?;
    let ended = "{name: build, key: {files: [{file: build.pub, notAfter: 2020-01-01T00:00:00Z}]}}";
    stage.write_policy(&policy(ended))?;
    node.fails("a key has ended", "trust")?;
    stage.write_policy(&strict())
}

fn snapshotter(node: &Node) -> Outcome {
    let file = node.stage.containerd.folder().join("config.toml");
    let before = fs::read_to_string(&file)?;
    let lazy: Vec<&str> =
        before
            .lines()
            .map(|line| {
                if line.trim().starts_with("snapshotter =") {
                    "snapshotter = 'stargz'"
                } else {
                    line
                }
            })
            .collect();
    fs::write(&file, lazy.join("\n"))?;
    let found = node.fails("containerd has a lazy snapshotter", "snapshotter");
    fs::write(&file, before)?;
    found
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
