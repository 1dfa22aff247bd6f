//! Every way around the gate that somebody thought of (classes A and F of `tests/attacks.md`), and
//! every method of the CRI, on every containerd at hand: one table, in which each is *refused*,
//! *reported*, *passed because it only reads*, or *not applicable* with the fact that says so.

use std::fmt;
use std::fs;

use sealgate::proto::cri::{ImageSpec, PullImageRequest};
use sealgate::proxy::wire::{self, FieldStep};
use sealgate::proxy::{Effect, MethodRow, On, Treatment};
use serde_json::Value;

use crate::acts::{VALIDATION, past_the_gate, push};
use crate::bypass_ways::ways;
use crate::containerd::{Cri, Flavour, Launch, Pod};
use crate::ensure;
use crate::means::{prod, until};
use crate::raw::Raw;
use crate::registry::Settings;
use crate::sandbox::make_sandboxes_of;
use crate::signing::Signer;
use crate::stage::{Failure, HOST, Outcome, Props, Stage, by_id, usual_policy};
use crate::tiny::Tiny;

/// The only stream that does not end: it passes when it gives no answer at once.
const ENDLESS: &str = "GetContainerEvents";
/// How long such a stream is listened to.
const LISTENED: std::time::Duration = std::time::Duration::from_secs(2);

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    Refused,
    Reported,
    Reads,
    NotApplicable(&'static str),
}

/// One row: what was tried, and what became of it.
pub type Row = (String, Word);

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.pad("refused"),
            Self::Reported => f.pad("reported"),
            Self::Reads => f.pad("passed because it only reads"),
            Self::NotApplicable(fact) => f.pad(&format!("not applicable, {fact}")),
        }
    }
}

/// One node, with what an attacker has on it.
pub struct Node {
    pub stage: Stage,
    pub pod: Pod,
    /// A signed image that was pulled through the gate, by id.
    pub good: String,
    /// An unsigned one that was pulled past it.
    pub bad: String,
    /// The key of images that a way makes.
    pub signer: Signer,
    /// A sandbox and a container that run and were made at the runtime's own socket.
    sandbox: String,
    container: String,
}

impl Node {
    async fn of(flavour: Flavour) -> Result<Self, Failure> {
        let signer = Signer::p256();
        let document = |name: &str, images: &str, require: &str| {
            format!(
                "---\napiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: {name}}}\n\
                 spec:\n  images: [\"{HOST}/{images}\"]\n  require: {{{require}}}\n"
            )
        };
        let policy = [
            usual_policy(),
            document("any", "any", "insecureAcceptAnything: true"),
            document("own", "own/**", "name: own, key: {files: [own.pub]}"),
            document("checkpoints", "checkpoints/**", "name: own, key: {files: [own.pub]}")
                .replace("  require:", "  allowCheckpointRestore: true\n  require:"),
        ]
        .concat();
        let keys = vec![("own.pub".to_owned(), signer.pem())];
        let registry = Settings::conforming();
        let props = Props { flavour, policy, keys, registry, ..Props::usual()? };
        let stage = Stage::set(props).await?;
        push(&stage, "prod/sleeping", Some("v1"), &Tiny::pause());
        let good = stage.cri().pull(&prod("signed-v2")).await?;
        let bad = past_the_gate(&stage, &prod("unsigned")).await?;
        let pod = stage.pod().await?;
        let direct = stage.containerd.cri();
        let sleeping = past_the_gate(&stage, &prod("sleeping")).await?;
        let sandbox = direct.run_pod("prod-eu").await?;
        let container = direct.create(&sandbox, by_id(&sleeping, &prod("sleeping"))).await?;
        direct.start(&container).await?;
        Ok(Self { stage, pod, good, bad, signer, sandbox: sandbox.id, container })
    }

    pub fn cri(&self) -> Cri {
        self.stage.cri()
    }

    /// A pull through the gate that it must refuse with this code.
    pub async fn no_pull(&self, image: &str, code: &str) -> Result<Word, Failure> {
        let spec = ImageSpec { image: image.to_owned(), ..ImageSpec::default() };
        let request = PullImageRequest { image: Some(spec), ..PullImageRequest::default() };
        self.no_pull_of(request, code).await
    }

    /// The same of a pull that says more than an image.
    pub async fn no_pull_of(&self, request: PullImageRequest, code: &str) -> Result<Word, Failure> {
        let image = request.image.clone().unwrap_or_default().image;
        let pulled = self.cri().images.pull_image(request).await;
        let refusal = pulled.err().ok_or_else(|| Failure(format!("{image} was pulled")))?;
        ensure!(refusal.message().starts_with(VALIDATION), "{image}: {refusal}");
        self.stage.expect_record("PullImage", "refused", code)?;
        Ok(Word::Refused)
    }

    /// A create through the gate that it must refuse, with this code unless it is empty, and that
    /// leaves no container.
    pub async fn no_create(&self, launch: Launch, code: &str) -> Result<Word, Failure> {
        let asked = format!("{} ({})", launch.image, launch.user_specified_image);
        let before = crate::acts::containers(&self.stage).await?;
        let refusal = match self.cri().create(&self.pod, launch).await {
            Ok(id) => return Err(Failure(format!("{asked} became container {id}"))),
            Err(refusal) => refusal,
        };
        // What repeats is counted with the first of its kind.
        let is_on_record = self.stage.records().iter().any(|record| {
            ["CreateContainer", "ImageVolume"].iter().any(|call| record["call"] == *call)
                && record["verdict"] == "refused"
                && (code.is_empty() || record["reason"]["code"] == code)
        });
        ensure!(is_on_record, "{asked}: not on record as {code}: {refusal}");
        let after = crate::acts::containers(&self.stage).await?;
        ensure!(before == after, "{asked}: was refused and is there: {after:?}");
        Ok(Word::Refused)
    }

    /// What the gate has seen and put on record beside decisions.
    pub fn findings(&self) -> Vec<Value> {
        let path = self.stage.folder().join("audit/audit.jsonl");
        let text = fs::read_to_string(path).unwrap_or_default();
        let entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        entries.filter(|entry| entry["kind"] == "finding").collect()
    }

    /// What becomes of a call of this method.
    async fn method(&self, row: &MethodRow) -> Result<Word, Failure> {
        match (row.treatment, row.effect) {
            (Treatment::Refused, _) => self.refused_by_name(row).await,
            (Treatment::Owned(_), _) if row.name == "PullImage" => {
                self.no_pull(&prod("signed-other"), "no-signature-counts").await
            }
            (Treatment::Owned(_), _) if row.name == "CreateContainer" => {
                self.no_create(by_id(&self.bad, &prod("unsigned")), "unsigned").await
            }
            (Treatment::Owned(_), _) if row.name == "StartContainer" => self.no_start().await,
            (Treatment::Owned(_), _) if row.name == "RunPodSandbox" => self.no_sandbox().await,
            (_, Effect::Reads) => self.only_reads(row).await,
            (_, Effect::Acts(on)) => self.acts(row, on).await,
            (_, Effect::Ends) => Ok(Word::NotApplicable("C15")),
            (_, Effect::Brings) => Err(Failure(format!("{} brings content and passes", row.name))),
        }
    }

    async fn refused_by_name(&self, row: &MethodRow) -> Result<Word, Failure> {
        let answer = Raw::connect(&self.stage.socket()).await?.call(&row.path(), b"").await?;
        ensure!(answer.code == 12 && answer.text.contains("sealgate"), "{}: {answer:?}", row.name);
        Ok(Word::Refused)
    }

    /// A container of an unsigned image, made at the runtime's own socket, does not start.
    pub async fn no_start(&self) -> Result<Word, Failure> {
        let direct = self.stage.containerd.cri();
        let made = direct.create(&self.pod, by_id(&self.bad, &prod("unsigned"))).await?;
        ensure!(self.cri().start(&made).await.is_err(), "{made} was started");
        crate::acts::never_ran(&self.stage, &made).await?;
        Ok(Word::Refused)
    }

    /// A sandbox whose seccomp profile is an artifact.
    async fn no_sandbox(&self) -> Result<Word, Failure> {
        let mut profile = wire::put(b"", &[FieldStep::only(3)], b"reg.test/profile")?.to_vec();
        for field in [9, 2, 8] {
            profile = wire::put(b"", &[FieldStep::only(field)], &profile)?.to_vec();
        }
        let message = wire::put(b"", &[FieldStep::only(1)], &profile)?;
        let path = "/runtime.v1.RuntimeService/RunPodSandbox";
        let answer = Raw::connect(&self.stage.socket()).await?.call(path, &message).await?;
        ensure!(answer.code == 2 && answer.text.contains("profile"), "{answer:?}");
        Ok(Word::Refused)
    }

    /// It is answered by the runtime, as at the runtime's own socket.
    async fn only_reads(&self, row: &MethodRow) -> Result<Word, Failure> {
        let here = self.stage.socket();
        let there = self.stage.containerd.socket();
        let (path, newer) = (row.path(), if row.name == ENDLESS { "H4" } else { "C11" });
        if row.name == ENDLESS {
            let mut raw = Raw::connect(&here).await?;
            let asked = tokio::time::timeout(LISTENED, raw.call(&path, b"")).await;
            return match asked {
                Err(_) => Ok(Word::Reads),
                Ok(answer) => {
                    let answer = answer?;
                    ensure!(answer.code == 12, "{} ended: {answer:?}", row.name);
                    Ok(Word::NotApplicable(newer))
                }
            };
        }
        let gated = Raw::connect(&here).await?.call(&path, b"").await?;
        let direct = Raw::connect(&there).await?.call(&path, b"").await?;
        ensure!(gated.code == direct.code, "{}: {gated:?}, not {direct:?}", row.name);
        Ok(if direct.code == 12 { Word::NotApplicable(newer) } else { Word::Reads })
    }

    /// On a container, or in a sandbox, that was made past the gate.
    async fn acts(&self, row: &MethodRow, on: On) -> Result<Word, Failure> {
        let id = match on {
            On::Container => &self.container,
            On::Sandbox => &self.sandbox,
            On::Node => return Ok(Word::NotApplicable("C15")),
        };
        let message = wire::put(b"", &[FieldStep::only(1)], id.as_bytes())?;
        let direct = Raw::connect(&self.stage.containerd.socket()).await?;
        let is_served = direct.clone().call(&row.path(), b"").await?.code != 12;
        if !is_served {
            return Ok(Word::NotApplicable("C11"));
        }
        let answer = Raw::connect(&self.stage.socket()).await?.call(&row.path(), &message).await?;
        if answer.text.contains("did not admit") {
            return Ok(Word::Refused);
        }
        if !is_watched() {
            // Who made it reached containerd's own socket, and is root on the node.
            return Ok(Word::NotApplicable("C14"));
        }
        self.unadmitted(row.name, id).await
    }

    /// The gate has told of the call, or of the container when it was made.
    async fn unadmitted(&self, method: &str, id: &str) -> Result<Word, Failure> {
        let tells = |finding: &Value| match finding["finding"].as_str() {
            Some("unadmitted") => finding["method"] == method,
            Some("drift") => finding["container_id"] == id || finding["sandbox_id"] == id,
            _ => false,
        };
        until(&format!("a finding about {method} on {id}"), || async {
            self.findings().iter().any(tells)
        })
        .await?;
        Ok(Word::Reported)
    }
}

/// Whether this version watches for containers that were made past it.
fn is_watched() -> bool {
    include_str!("../../packaging/config.toml").contains("\n[drift]\n")
}

/// Plays everything on one node, in the order of the table.
async fn on(flavour: Flavour) -> Result<Vec<Row>, Failure> {
    let mut node = Node::of(flavour).await?;
    let mut rows = ways(&node).await?;
    for row in &sealgate::proxy::METHODS {
        rows.push((row.name.to_owned(), node.method(row).await?));
    }
    // Last, since there are no pods after it.
    make_sandboxes_of(&mut node.stage, &prod("unsigned")).await?;
    ensure!(node.stage.pod().await.is_err(), "a pod of an unsigned sandbox image");
    rows.push(("F  sandbox image (C9)".to_owned(), Word::Refused));
    Ok(rows)
}

/// All of it, as a table.
pub async fn bypass() -> Outcome {
    let mut columns = Vec::new();
    for flavour in Flavour::all() {
        let (major, minor) = flavour.version;
        columns.push((format!("{major}.{minor}"), on(flavour).await?));
    }
    let (_, first) = columns.first().ok_or("no containerd")?;
    let heads: Vec<String> = columns.iter().map(|(version, _)| format!("{version:<30}")).collect();
    println!("   {:<44}{}", "", heads.concat());
    for (number, (what, _)) in first.iter().enumerate() {
        let words = columns.iter().map(|(_, rows)| format!("{:<30}", rows[number].1));
        println!("   {what:<44}{}", words.collect::<String>().trim_end());
    }
    Ok(())
}
