//! `sealgate policy init --from-node`: what is drafted from a node admits all that ran on it, with no
//! registry, and nothing else; and a document of a later folder that replaces one of an earlier.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::ensure;
use crate::keyless::{ACME, acme};
use crate::making::{Form, made, sign};
use crate::means::prod;
use crate::outage::take_away;
use crate::registry::Settings;
use crate::signing::Signer;
use crate::stage::{Failure, HOST, Outcome, Props, Stage, by_id, sandbox_policy};
use crate::tiny::Tiny;

/// What is on the node: by whom it is signed is for the command to find out.
const IMAGES: [&str; 5] = ["init-older", "init-bundle", "keyless", "init-unsigned", "init-late"];

/// Every image of `prod/` runs, and evidence is kept of those that are signed.
fn warns() -> String {
    format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: production}}\nspec:\n  \
         images: [\"{HOST}/prod/**\"]\n  action: warn\n  require:\n    any:\n      \
         - {{name: team, key: {{files: [team.pub]}}}}\n      - {{name: release, {}}}\n---\n{}",
        acme(),
        sandbox_policy()
    )
}

pub async fn policy_init() -> Outcome {
    let team = Signer::p256();
    let keys = vec![("team.pub".to_owned(), team.pem())];
    let registry = Settings::conforming();
    let mut stage =
        Stage::set(Props { registry, policy: warns(), keys, ..Props::usual()? }).await?;
    made(&stage, "init-older", Form::Older, &[&team]);
    made(&stage, "init-bundle", Form::Bundle, &[&team]);
    made(&stage, "init-unsigned", Form::Older, &[]);
    made(&stage, "init-late", Form::Older, &[]);
    let mut ids = Vec::new();
    for name in IMAGES {
        ids.push((name, stage.cri().pull(&prod(name)).await?));
    }
    // Signed since: only the registry knows.
    let late = Tiny::saying("hello from init-late");
    sign(&stage, "prod/init-late", &late, Form::Older, &[&team]);

    let asked = init(&stage, &["--network"], 0)?;
    println!("   with the registries: {}", counts(&asked));
    ensure!(
        asked["signed"] == 4 && asked["left_out"] == Value::from(Vec::<Value>::new()),
        "{asked:#}"
    );
    take_away(&mut stage);
    let folder = drafted(&stage)?;
    in_force(&mut stage, &folder, &ids).await?;
    replaced(&stage)
}

/// Runs the command, with its answer as JSON; the exit code must be this one.
fn init(stage: &Stage, more: &[&str], exit: i32) -> Result<Value, Failure> {
    let args = [&["--output", "json", "policy", "init", "--from-node"][..], more].concat();
    let output = stage.sealgate(&args)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(exit), "{}: {said} {errors}", output.status);
    Ok(serde_json::from_str(&said).unwrap_or(Value::String(errors)))
}

fn counts(said: &Value) -> String {
    format!("{} images, {} signed, {} by digest", said["images"], said["signed"], said["by_digest"])
}

/// Drafts by the evidence on the node into a folder, and holds it to what the command promises.
fn drafted(stage: &Stage) -> Result<PathBuf, Failure> {
    let folder = stage.folder().join("draft");
    fs::create_dir(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    let path = folder.display().to_string();
    let said = init(stage, &["--out", &path], 0)?;
    println!("   by the evidence on the node: {}", counts(&said));
    ensure!(said["signed"] == 3, "who signed is on the node: {said:#}");
    let text = read(&folder)?;
    let expression = ACME.replace('.', "\\\\.");
    for expected in ["files: [\"team.pub\"]", "trustRoot: \"local\"", &expression, "@refs/tags/.+$"]
    {
        ensure!(text.contains(expected), "no {expected}:\n{text}");
    }
    ensure!(text.contains(&format!("# {HOST}/prod/init-unsigned:v1")), "by digest:\n{text}");
    ensure!(text.matches("team.pub").count() == 1, "one document for one signer:\n{text}");
    let again = init(stage, &["--out", &path], 2)?;
    ensure!(again.to_string().contains("is there already"), "{again}");
    ensure!(read(&folder)? == text, "it was written over");
    for (verb, name) in [("check", "policy check"), ("diff", "policy diff")] {
        let keys = stage.folder().join("keys").display().to_string();
        let output = stage.sealgate(&["policy", verb, "--keys", &keys, &path])?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{name}: {}: {said}{errors}\n{text}", output.status);
        ensure!(!said.contains("warning"), "{name}: {said}");
        println!("   {name}: {}", said.trim().lines().last().unwrap_or_default());
    }
    Ok(folder)
}

fn read(folder: &Path) -> Result<String, Failure> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder)? {
        texts.push(fs::read_to_string(entry?.path())?);
    }
    texts.sort();
    Ok(texts.join("---\n"))
}

/// With the draft in force, and a gate that remembers nothing, all that ran runs.
async fn in_force(stage: &mut Stage, folder: &Path, ids: &[(&str, String)]) -> Outcome {
    stage.kill_gate()?;
    stage.write_policy_as_is(&read(folder)?)?;
    stage.start_gate().await?;
    let pod = stage.pod().await?;
    for (name, id) in ids {
        let (exit, output) = stage.cri().run(&pod, by_id(id, &prod(name))).await?;
        ensure!(exit == 0 && output.contains("hello from"), "{name}: {exit} {output}");
        stage.expect_record("CreateContainer", "admitted", "satisfied")?;
    }
    println!("   {} images run by the draft, with no registry", ids.len());
    Ok(())
}

/// Makes a folder that the gate reads policies from.
fn folder_of_policies(stage: &Stage, name: &str) -> Result<PathBuf, Failure> {
    let folder = stage.folder().join(name);
    fs::create_dir(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

/// A document of the last folder replaces one of the first, and is on record.
fn replaced(stage: &Stage) -> Outcome {
    let (vendor, volatile) =
        (folder_of_policies(stage, "vendor")?, folder_of_policies(stage, "volatile")?);
    let document = |name: &str, image: &str| {
        format!(
            "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: {name}}}\nspec: {{images: \
             ['{image}'], require: {{digest: {{anyOf: ['sha256:{}']}}}}}}\n",
            "1".repeat(64)
        )
    };
    fs::write(vendor.join("a.yaml"), document("vendor", "vendor.test/**"))?;
    fs::write(vendor.join("b.yaml"), document("stays", "stays.test/**"))?;
    let own = stage.folder().join("policies");
    let dropins = stage.folder().join("config.toml.d");
    fs::create_dir(&dropins)?;
    let list = [&vendor, &own, &volatile].map(|folder| format!("\"{}\"", folder.display()));
    let list = list.join(", ");
    fs::write(dropins.join("folders.toml"), format!("policy.policies = [{list}]\n"))?;
    let said = |args: &[&str]| -> Result<String, Failure> {
        let output = stage.sealgate(args)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{args:?}: {said}{:?}", output.stderr);
        Ok(said)
    };
    said(&["reload"])?;
    fs::write(volatile.join("b.yaml"), document("vendor", "other.test/**"))?;
    said(&["reload"])?;
    let listed = said(&["policy", "list"])?;
    let replaces = format!("replaces {}:1", vendor.join("a.yaml").display());
    ensure!(listed.contains("other.test/**") && listed.contains(&replaces), "{listed}");
    ensure!(!listed.contains("vendor.test/**"), "{listed}");
    let log = fs::read_to_string(stage.folder().join("audit/audit.jsonl"))?;
    let noted = log.lines().filter(|line| line.contains("documents_replaced")).count();
    ensure!(noted == 1, "{noted} notes");
    // The folder is gone, as after a mount went away: what it had stays in force.
    fs::rename(&vendor, stage.folder().join("gone"))?;
    let output = stage.sealgate(&["reload"])?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(!output.status.success() && told.contains("no policy is left in"), "{output:?}");
    said(&["reload", "--allow-empty", &vendor.display().to_string()]).map(|_| ())
}
