//! `sweep.on_failed_sweep = "stop"`: what went around the gate, or would be refused since a policy
//! has changed, is stopped, and no more of it in a minute than the limit. A static pod is spared,
//! and while only a registry is away, or the gate observes, nothing is stopped.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use sealgate::proto::cri::{ContainerState, PodSandboxConfig};
use serde_json::Value;

use crate::containerd::{Cri, Flavour, Launch, Pod};
use crate::ensure;
use crate::making::{Form, made};
use crate::means::{prod, until};
use crate::registry::{Answer, Rule, Settings};
use crate::signing::Signer;
use crate::stage::{Failure, Outcome, Props, Stage, by_id, usual_policy};
use crate::sweep::unasked;

/// The limit at first, which is less than what went around the gate.
const FEW: &str = "sweep.stop_per_minute = 2";
/// And then, which is more.
const MANY: &str = "sweep.stop_per_minute = 600";
/// What the limit is over.
const MINUTE: SignedDuration = SignedDuration::from_secs(60);
const STOPS: &str = "sweep.on_failed_sweep = \"stop\"\nsweep.stop_grace_seconds = 0\n";

/// The containers of a node.
struct Node {
    stage: Stage,
    /// Made around the gate of an image that nobody signed.
    around: Vec<String>,
    /// The same, of a static pod.
    of_static_pod: String,
    /// The same, past the CRI.
    by_ctr: String,
    /// Made through the gate, of a signed image.
    admitted: String,
}

pub async fn stopping() -> Outcome {
    for flavour in Flavour::all() {
        let (major, minor) = flavour.version;
        let mut node = Node::fill(flavour).await?;
        node.a_few_a_minute().await?;
        node.spared().await?;
        node.observing().await?;
        node.another_policy().await?;
        println!("   containerd {major}.{minor}: the same");
    }
    Ok(())
}

/// A container that runs on.
async fn idle(cri: &Cri, pod: &Pod, (id, name): (&str, &str)) -> Result<String, Failure> {
    let command = ["/bin/busybox", "sleep", "100000"].map(str::to_owned).to_vec();
    let container = cri.create(pod, Launch { command, ..by_id(id, name) }).await?;
    cri.start(&container).await?;
    Ok(container)
}

impl Node {
    async fn fill(flavour: Flavour) -> Result<Self, Failure> {
        let signer = Signer::p256();
        let stage = Stage::set(Props {
            flavour,
            registry: Settings::conforming(),
            policy: usual_policy().replace("build.pub", "own.pub"),
            keys: vec![("own.pub".to_owned(), signer.pem())],
            config: format!("{STOPS}{FEW}"),
            ..Props::usual()?
        })
        .await?;
        made(&stage, "signed", Form::Bundle, &[&signer]);
        made(&stage, "bare", Form::Bundle, &[]);
        let (signed, bare) = (prod("signed"), prod("bare"));
        let id = stage.cri().pull(&signed).await?;
        let admitted = idle(&stage.cri(), &stage.pod().await?, (&id, &signed)).await?;

        let direct = stage.containerd.cri();
        let id = direct.pull(&bare).await?;
        let pod = direct.run_pod("prod-eu").await?;
        let mut around = Vec::new();
        for _ in 0..3 {
            around.push(idle(&direct, &pod, (&id, &bare)).await?);
        }
        let annotations =
            [("kubernetes.io/config.source".to_owned(), "file".to_owned())].into_iter().collect();
        let more = PodSandboxConfig { annotations, ..PodSandboxConfig::default() };
        let pod = direct.run_pod_with("kube-system", more, "").await?;
        let of_static_pod = idle(&direct, &pod, (&id, &bare)).await?;
        let (snapshotter, by_ctr) = (stage.containerd.snapshotter(), "by-ctr".to_owned());
        let made = ["containers", "create", "--snapshotter", snapshotter, &bare, &by_ctr];
        stage.containerd.ctr(&made);
        Ok(Self { stage, around, of_static_pod, by_ctr, admitted })
    }

    /// A sweep, which must fail and asks the registries; the next begins when all of it is done, with
    /// what it stops.
    async fn swept(&self) -> Outcome {
        self.fails()?;
        let is_asked = || async { unasked(&self.stage).is_ok_and(|left| left == 0) };
        until("the registries were asked", is_asked).await?;
        self.fails()
    }

    fn fails(&self) -> Outcome {
        let output = self.stage.sealgate(&["running"])?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.code() == Some(1), "{}: {said}", output.status);
        Ok(())
    }

    /// The ids of findings of stops with this code, in their order.
    fn told(&self, code: &str) -> Vec<String> {
        self.stops(code).iter().map(|finding| id_of(finding).to_owned()).collect()
    }

    fn stops(&self, code: &str) -> Vec<Value> {
        let findings = self.stage.findings().into_iter();
        let is_it =
            |finding: &Value| finding["finding"] == "stop" && finding["reason"]["code"] == code;
        findings.filter(is_it).collect()
    }

    async fn runs(&self, id: &str) -> Result<bool, Failure> {
        let status = self.stage.containerd.cri().container(id).await?;
        Ok(status.state() == ContainerState::ContainerRunning)
    }

    /// Two of the three that went around the gate are stopped at once, and the third no sooner than
    /// a minute after the first.
    async fn a_few_a_minute(&mut self) -> Outcome {
        self.stage.sealgate(&["running"])?;
        until("the limit is said", || async {
            self.stage.gate_log().contains("2 containers a minute (sweep.stop_per_minute)")
        })
        .await?;
        self.stage.kill_gate()?;
        let (begun, ended) = (self.stops("stopping"), self.told("stopped"));
        ensure!(ended.len() >= 2, "stopped: {ended:?}");
        let times: Result<Vec<Timestamp>, _> =
            begun.iter().filter_map(|finding| finding["time"].as_str()).map(str::parse).collect();
        let times = times?;
        let is_late = |three: &[Timestamp]| three[2].duration_since(three[0]) >= MINUTE;
        ensure!(times.len() == begun.len() && times.windows(3).all(is_late), "{begun:#?}");
        for id in &ended {
            ensure!(self.around.contains(id) && !self.runs(id).await?, "{id}: {begun:#?}");
            let findings = self.stage.findings();
            let nth = |code: &str| {
                findings.iter().position(|it| id_of(it) == id && it["reason"]["code"] == code)
            };
            ensure!(nth("stopping") < nth("stopped"), "{id}: not on record first: {findings:#?}");
        }
        let journal = self.stage.gate_log();
        ensure!(journal.contains("ALERT: the gate stops a container"), "{journal}");
        println!("   went around the gate: {} of 3 stopped, then the minute's limit", ended.len());
        Ok(())
    }

    /// What is no business of a sweep's runs on, and that is on record once.
    async fn spared(&self) -> Outcome {
        let mut spared = self.told("spared");
        spared.sort_unstable();
        let mut expected = vec![self.of_static_pod.clone(), self.by_ctr.clone()];
        expected.sort_unstable();
        ensure!(spared == expected, "{spared:?} and not {expected:?}");
        for id in [&self.of_static_pod, &self.admitted] {
            ensure!(self.runs(id).await?, "{id} does not run");
        }
        println!("   a static pod's container and one past the CRI are spared, once on record");
        Ok(())
    }

    /// The gate started anew with this in place of that in its configuration.
    async fn with(&mut self, from: &str, to: &str) -> Outcome {
        let file = self.stage.config();
        let text = fs::read_to_string(&file)?;
        ensure!(text.contains(from), "{from:?} is not in {text}");
        fs::write(&file, text.replace(from, to))?;
        self.stage.kill_gate()?;
        self.stage.start_gate().await
    }

    /// In observe mode nothing is stopped, however many may be.
    async fn observing(&mut self) -> Outcome {
        let before = self.told("stopping");
        let observing = format!("{MANY}\npolicy.mode = \"observe\"");
        self.with(FEW, &observing).await?;
        self.swept().await?;
        ensure!(self.told("stopping") == before, "stopped in observe mode");
        self.with(&observing, MANY).await?;
        println!("   nothing is stopped in observe mode");
        Ok(())
    }

    /// What the gate admitted would be refused by another policy; not while it cannot be told.
    async fn another_policy(&mut self) -> Outcome {
        let policy = usual_policy().replace("build.pub", "other.pub");
        self.stage.write_policy(&policy)?;
        self.stage.registry.rule(Rule::new("prod/signed", Answer::Drop));
        self.stage.kill_gate()?;
        self.stage.start_gate().await?;
        self.swept().await?;
        let stopped = self.told("stopped");
        ensure!(self.around.iter().all(|id| stopped.contains(id)), "{stopped:?}");
        ensure!(self.runs(&self.admitted).await?, "stopped while its registry was away");
        println!("   its registry is away: what the gate admitted before runs on");
        self.stage.registry.clear_rules();
        self.swept().await?;
        let finding = self.stops("stopped").into_iter().find(|it| id_of(it) == self.admitted);
        let finding = finding.ok_or_else(|| Failure(format!("{:#?}", self.stage.findings())))?;
        let why = (&finding["detail"]["standing"], &finding["detail"]["code"]);
        ensure!(why.0 == "would-be-refused" && why.1 == "no-signature-counts", "{finding:#}");
        ensure!(!self.runs(&self.admitted).await?, "it is said to be stopped, and runs");
        ensure!(self.runs(&self.of_static_pod).await?, "that of a static pod does not run");
        ensure!(self.told("not-stopped").is_empty(), "{:#?}", self.stops("not-stopped"));
        println!("   refused by a changed policy: stopped, although the gate had admitted it");
        Ok(())
    }
}

fn id_of(finding: &Value) -> &str {
    finding["container_id"].as_str().unwrap_or_default()
}
