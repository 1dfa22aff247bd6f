//! A deny list in the registry, signed by the real cosign, on a running node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sealgate::image::Digest;
use serde_json::{Value, json};

use crate::acts::{No, create_refused};
use crate::deny::{Admitted, runs, still_runs};
use crate::ensure;
use crate::kept::done_by;
use crate::means::{digest_of, until};
use crate::outage::take_away;
use crate::registry::Settings;
use crate::signers::{Group, policies};
use crate::stage::{Failure, HOST, Outcome, Props, Stage, by_id};

const LIST: &str = "application/vnd.sealgate.denylist.v1";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Who publishes the list: a folder with the keys of cosign.
struct Publisher {
    folder: tempfile::TempDir,
}

impl Publisher {
    fn new() -> Result<Self, Failure> {
        let publisher = Self { folder: tempfile::tempdir()? };
        publisher.cosign(&["generate-key-pair"])?;
        Ok(publisher)
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("cosign.pub")
    }

    fn cosign(&self, arguments: &[&str]) -> Outcome {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("target/runtimes/trixie/usr/bin/cosign");
        ensure!(path.exists(), "this scenario needs {path:?}: `make runtimes` unpacks it");
        let mut command = Command::new(path);
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("COSIGN_PASSWORD", "").env("HOME", self.folder.path());
        let output = command.output()?;
        ensure!(output.status.success(), "cosign {arguments:?}: {output:?}");
        Ok(())
    }

    /// Pushes a list under the tag, as `oras push` does, and has cosign sign it.
    fn publish(&self, stage: &Stage, text: &str) -> Outcome {
        let digest = push(stage, text);
        let image = format!("{}/security/deny@{digest}", stage.registry.host());
        let identity = format!("{HOST}/security/deny");
        self.cosign(&[
            "sign",
            "-y",
            "--key",
            "cosign.key",
            "--tlog-upload=false",
            "--allow-http-registry",
            "--sign-container-identity",
            &identity,
            &image,
        ])
    }
}

fn push(stage: &Stage, text: &str) -> String {
    let registry = &stage.registry;
    let config = registry.put_blob("security/deny", b"{}");
    let layer = registry.put_blob("security/deny", text.as_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": LIST,
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2,
            "data": "e30=",
        },
        "layers": [{
            "mediaType": format!("{LIST}+yaml"), "digest": layer, "size": text.len(),
            "annotations": {"org.opencontainers.image.title": "deny.yaml"},
        }],
    });
    let bytes = manifest.to_string().into_bytes();
    registry.put_manifest("security/deny", Some("v1"), &bytes, MANIFEST);
    Digest::of(&bytes).to_string()
}

/// A list of this version that denies these images.
fn list(version: u64, expires: &str, images: &[&str]) -> String {
    let entry = |name: &&str| {
        let digest = digest_of(name, "v1");
        format!(
            "  - {{digest: \"{digest}\", reason: fleet denies {name}, date: 2026-01-31T00:00:00Z}}\n"
        )
    };
    let entries: String = images.iter().map(entry).collect();
    format!(
        "apiVersion: sealgate/v1\nkind: DenyList\nmetadata: {{name: fleet, version: {version}, \
         issued: 2026-01-01T00:00:00Z, expires: {expires}}}\nspec:\n  digests:\n{entries}"
    )
}

const FRESH: &str = "2099-01-01T00:00:00Z";
const PAST: &str = "2026-01-02T00:00:00Z";

/// A node that fetches the publisher's list, and keeps it in this folder.
async fn node(publisher: &Publisher, folder: &Path) -> Result<Stage, Failure> {
    let config = format!(
        "policy.fetched = \"{}/deny-lists\"\npolicy.deny_lists = [{{ name = \"fleet\", source = \
         \"oci://{HOST}/security/deny:v1\", keys = [\"fleet.pub\"], every_seconds = 10 }}]",
        folder.display()
    );
    let props = Props {
        registry: Settings::conforming(),
        policy: policies(&Group::ALL),
        config,
        keys: vec![("fleet.pub".to_owned(), fs::read(publisher.key())?)],
        ..Props::usual()?
    };
    Stage::set(props).await
}

/// The shown scenario.
pub async fn deny_fetched() -> Outcome {
    let (publisher, folder) = (Publisher::new()?, tempfile::tempdir()?);
    let mut stage = node(&publisher, folder.path()).await?;
    let pod = stage.pod().await?;
    let mut images = Vec::new();
    for name in ["signed-v2", "signed-v3", "signed-both"] {
        images.push(runs(&stage, &pod, name).await?);
    }
    // Nothing is published yet.
    is(&fetch(&stage, Some(2))?, None, "absent")?;

    publisher.publish(&stage, &list(7, FRESH, &["signed-v2"]))?;
    until("the timer has fetched version 7", || async {
        standing(&stage).is_ok_and(|list| list["version"] == 7)
    })
    .await?;
    denied(&stage, &pod, &images[0]).await?;
    println!("   version 7 came with the timer: its image is refused");
    publisher.publish(&stage, &list(8, FRESH, &["signed-v2", "signed-v3"]))?;
    is(&fetch(&stage, Some(0))?, Some(8), "taken")?;
    denied(&stage, &pod, &images[1]).await?;
    is(&fetch(&stage, Some(0))?, Some(8), "unchanged")?;
    stays(&stage)?;
    refuses(&stage, &publisher).await?;
    denied(&stage, &pod, &images[1]).await?;
    waits_for_policies(&stage, &publisher).await?;
    denied(&stage, &pod, &images[0]).await?;
    let_go(&stage)?;

    expires(&stage, &publisher).await?;
    denied(&stage, &pod, &images[1]).await?;
    let shown = done_by(&stage, &["deny", "list"])?;
    println!("{shown}");
    ensure!(shown.contains("fetched fleet"), "the source is not shown: {shown}");
    ensure!(stage.sealgate(&["deny", "remove", "1"])?.status.code() == Some(1), "removed");
    restarts(&mut stage, &pod, &images, folder.path()).await?;
    on_record(&stage).await
}

/// A list comes while the node's own policies are faulty: it is kept, and in force once they are
/// mended.
async fn waits_for_policies(stage: &Stage, publisher: &Publisher) -> Outcome {
    let faulty = stage.folder().join("policies/faulty.yaml");
    fs::write(&faulty, "kind: [")?;
    publisher.publish(stage, &list(9, FRESH, &["signed-v2", "signed-v3"]))?;
    until("version 9 is kept and not in force", || async {
        fetch(stage, None).is_ok_and(|list| list["outcome"] == "not-in-force")
    })
    .await?;
    ensure!(standing(stage)?["version"] == 8, "what was in force is not: {:#}", standing(stage)?);
    fs::remove_file(&faulty)?;
    until("version 9 is in force", || async {
        standing(stage).is_ok_and(|list| list["version"] == 9)
    })
    .await?;
    println!("   version 9 waited for the node's own policies");
    Ok(())
}

/// A configuration without the list does not take it out, until an operator names it.
fn let_go(stage: &Stage) -> Outcome {
    let config = fs::read_to_string(stage.config())?;
    let without: String = config
        .lines()
        .filter(|line| !line.contains("policy.deny_lists"))
        .flat_map(|line| [line, "\n"])
        .collect();
    fs::write(stage.config(), &without)?;
    let refused = stage.sealgate(&["reload"])?;
    let said = String::from_utf8_lossy(&refused.stdout).into_owned();
    let command = "sealgate reload --allow-lost-list fleet";
    let is_told = said.contains("list fleet, of which 2 entries") && said.contains(command);
    ensure!(refused.status.code() == Some(1) && is_told, "{refused:?}");
    let policies = stage.folder().join("policies").display().to_string();
    for other in [["--allow-empty", policies.as_str()], ["--allow-lost-list", "other"]] {
        let refused = stage.sealgate(&["reload", other[0], other[1]])?;
        ensure!(refused.status.code() == Some(1), "{other:?} let the list go: {refused:?}");
    }
    ensure!(standing(stage)?["version"] == 9, "it went: {:#}", standing(stage)?);
    let output = stage.sealgate(&["reload", "--allow-lost-list", "fleet"])?;
    ensure!(output.status.success(), "{output:?}");
    ensure!(standing(stage)?.is_null(), "it is still there: {:#}", standing(stage)?);
    // And it comes back as it was.
    fs::write(stage.config(), config)?;
    ensure!(stage.sealgate(&["reload"])?.status.success(), "not reloaded");
    ensure!(standing(stage)?["version"] == 9, "not back: {:#}", standing(stage)?);
    println!("   a configuration without the list is refused until an operator names the list");
    Ok(())
}

/// A version is lowered and never raised, and a reload that is not taken leaves the lists alone.
fn stays(stage: &Stage) -> Outcome {
    for (list, version) in [("fleet", "9"), ("other", "1")] {
        let lower = ["deny", "lower", list, "--to", version, "--reason", "test"];
        let lowered = stage.sealgate(&lower)?;
        ensure!(lowered.status.code() == Some(1), "{list} to {version}: {lowered:?}");
    }
    let config = stage.config();
    let text = fs::read_to_string(&config)?;
    fs::write(
        &config,
        text.replace("name = \"fleet\"", "name = \"other\"")
            .replace("[\"fleet.pub\"]", "[\"no.pub\"]"),
    )?;
    let reload = stage.sealgate(&["reload"])?;
    let said = String::from_utf8_lossy(&reload.stdout).into_owned();
    fs::write(&config, text)?;
    ensure!(
        reload.status.code() == Some(1) && said.contains("deny_lists[0].keys[0]"),
        "{reload:?}"
    );
    // The configuration is whole again, and was not read since.
    ensure!(standing(stage)?["version"] == 8, "another list is in force");
    let other = stage.sealgate(&["deny", "fetch", "other"])?;
    ensure!(other.status.code() == Some(1), "a list of the refused reload is fetched: {other:?}");
    is(&fetch(stage, Some(0))?, Some(8), "unchanged")?;
    println!("   nothing is raised, and a reload that is not taken changes no list");
    Ok(())
}

/// One that has expired is taken all the same, and told of.
async fn expires(stage: &Stage, publisher: &Publisher) -> Outcome {
    publisher.publish(stage, &list(10, PAST, &["signed-v2", "signed-v3"]))?;
    let listed = fetch(stage, Some(0))?;
    is(&listed, Some(10), "taken")?;
    until("the journal tells of its end", || async {
        stage.gate_log().contains("version 10, HAS EXPIRED, at 2026-01-02")
    })
    .await?;
    ensure!(listed["expired"] == true, "not told that it expired: {listed:#}");
    let output = stage.sealgate(&["status"])?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.code() == Some(1) && said.contains("it has expired"), "{said}");
    Ok(())
}

/// An older one, another of one version, one by another key, a broken one, another kind, unsigned.
async fn refuses(stage: &Stage, publisher: &Publisher) -> Outcome {
    let other = Publisher::new()?;
    publisher.publish(stage, &list(7, FRESH, &["signed-v2"]))?;
    is(&fetch(stage, Some(1))?, Some(8), "rollback")?;
    publisher.publish(stage, &list(8, FRESH, &["signed-v2"]))?;
    is(&fetch(stage, Some(1))?, Some(8), "equivocation")?;
    other.publish(stage, &list(10, FRESH, &["signed-v2"]))?;
    is(&fetch(stage, Some(1))?, Some(8), "not-signed")?;
    push(stage, &list(11, FRESH, &["signed-v2"]));
    is(&fetch(stage, Some(1))?, Some(8), "not-signed")?;
    publisher.publish(stage, &list(12, FRESH, &["signed-v2"]).replace("reason", "raeson"))?;
    is(&fetch(stage, Some(1))?, Some(8), "faulty")?;
    let all = list(13, FRESH, &[]).replace(
        "  digests:\n",
        "  repositories: [{pattern: \"**\", reason: x, date: 2026-01-31T00:00:00Z}]\n",
    );
    publisher.publish(stage, &all)?;
    is(&fetch(stage, Some(1))?, Some(8), "kind-not-allowed")?;
    println!("   an older list, another of one version, another key, none, a broken one: refused");
    Ok(())
}

/// The registry goes and the gate starts again: the last list stands from disk, unless it was edited.
async fn restarts(
    stage: &mut Stage,
    pod: &crate::containerd::Pod,
    images: &[Admitted],
    folder: &Path,
) -> Outcome {
    take_away(stage);
    is(&fetch(stage, Some(2))?, Some(10), "unreachable")?;
    stage.kill_gate()?;
    stage.start_gate().await?;
    ensure!(standing(stage)?["version"] == 10, "not in force after a start");
    denied(stage, pod, &images[0]).await?;
    still_runs(stage, pod, &images[2]).await?;
    let file = folder.join("deny-lists/fleet.list.json");
    let good = fs::read(&file)?;
    // The running gate puts back what it has in force.
    fs::write(&file, "{}")?;
    until("the file is put back", || async { fs::read(&file).is_ok_and(|now| now == good) })
        .await?;
    denied(stage, pod, &images[0]).await?;
    // One that starts with it does not believe it, and says so.
    stage.kill_gate()?;
    let text = String::from_utf8(good)?;
    fs::write(&file, text.replacen("\"list\":\"YX", "\"list\":\"YY", 1))?;
    stage.start_gate().await?;
    let listed = standing(stage)?;
    ensure!(listed["version"].is_null() && listed["fault"].is_string(), "believed: {listed:#}");
    println!("   restarted without a registry: version 10 from disk; edited, it is not believed");
    Ok(())
}

async fn denied(stage: &Stage, pod: &crate::containerd::Pod, admitted: &Admitted) -> Outcome {
    let launch = by_id(&admitted.id, &admitted.image);
    let said = create_refused(stage, pod, launch, No::refused("digest-denied")).await?;
    ensure!(said.contains("fleet"), "the refusal does not name the list: {said}");
    Ok(())
}

/// What `sealgate deny fetch` says, and that it exits so; none where any code will do.
fn fetch(stage: &Stage, code: Option<i32>) -> Result<Value, Failure> {
    let output = stage.sealgate(&["--output", "json", "deny", "fetch", "fleet"])?;
    let is_code = code.is_none() || output.status.code() == code;
    ensure!(is_code, "expected {code:?}: {output:?}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// What came of a fetch. What is taken now the timer may have taken a moment before.
fn is(list: &Value, version: Option<u64>, outcome: &str) -> Outcome {
    let found = list["outcome"].as_str();
    let fits = found == Some(outcome) || (outcome == "taken" && found == Some("unchanged"));
    let is_version = list["version"].as_u64() == version;
    ensure!(fits && is_version, "expected {version:?} {outcome}: {list:#}");
    Ok(())
}

/// How the list stands.
fn standing(stage: &Stage) -> Result<Value, Failure> {
    let output = stage.sealgate(&["--output", "json", "status"])?;
    let status: Value = serde_json::from_slice(&output.stdout)?;
    Ok(status["deny_lists"][0].clone())
}

fn notes(stage: &Stage) -> Result<Vec<Value>, Failure> {
    let text = fs::read_to_string(stage.folder().join("audit/audit.jsonl"))?;
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(lines.filter(|line| line["kind"] == "note").collect())
}

/// Each version that was taken and each that was refused is a note in the log, and each start with
/// nothing of the list in force.
async fn on_record(stage: &Stage) -> Outcome {
    let started = |note: &Value| {
        note["note"]["deny_list_not_in_force"]["code"].as_str().map(ToOwned::to_owned)
    };
    until("the starts are on record", || async {
        notes(stage).is_ok_and(|notes| {
            let codes = notes.iter().filter_map(started);
            codes.eq(["not-fetched".to_owned(), "no-list".to_owned()])
        })
    })
    .await?;
    let notes = notes(stage)?;
    let taken =
        notes.iter().filter_map(|note| note["note"]["deny_list_fetched"]["version"].as_u64());
    ensure!(taken.eq([7, 8, 9, 10]), "{notes:#?}");
    let refused =
        |code: &str| notes.iter().any(|note| note["note"]["deny_list_refused"]["code"] == code);
    for code in ["rollback", "equivocation", "not-signed", "faulty", "kind-not-allowed"] {
        ensure!(refused(code), "{code} is not on record: {notes:#?}");
    }
    println!("   four versions and what was refused are on record");
    Ok(())
}
