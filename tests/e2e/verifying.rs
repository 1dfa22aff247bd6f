//! `sealgate verify` as a daily tool: several images, manifests, policies without a configuration,
//! what is on the node with no registry, and what would help where a signature is missing.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::ensure;
use crate::means::prod;
use crate::outage::take_away;
use crate::stage::{Failure, HOST, Outcome, Stage};

fn words(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}

/// Runs `verify`, which must end with this code; what it printed.
fn verify(stage: &Stage, args: &[&str], code: i32) -> Result<String, Failure> {
    let args: Vec<&str> = ["verify"].iter().chain(args).copied().collect();
    let output = stage.sealgate(&args)?;
    let said = words(&output);
    ensure!(output.status.code() == Some(code), "{args:?}: {}, not {code}: {said}", output.status);
    ensure!(!said.contains("os error"), "{args:?}: {said}");
    Ok(said)
}

/// The same in JSON, one value for each image.
fn verdicts(stage: &Stage, args: &[&str], code: i32) -> Result<Vec<Value>, Failure> {
    let args: Vec<&str> = ["-o", "json"].iter().chain(args).copied().collect();
    let said = verify(stage, &args, code)?;
    said.lines().map(|line| serde_json::from_str(line).map_err(Into::into)).collect()
}

pub async fn verify_daily() -> Outcome {
    let mut stage = Stage::usual().await?;
    let (signed, unsigned) = (prod("signed-v2"), prod("unsigned"));
    several(&stage, &signed, &unsigned)?;
    manifests(&stage, &signed, &unsigned)?;
    without_a_configuration(&stage, &signed, &unsigned)?;
    codes(&stage)?;
    on_the_node(&mut stage, &signed, &unsigned).await
}

fn several(stage: &Stage, signed: &str, unsigned: &str) -> Outcome {
    let prefixed = format!("docker://{signed}");
    let both = verdicts(stage, &[&prefixed, unsigned], 1)?;
    let seen: Vec<_> = both.iter().map(|one| (&one["verdict"], &one["code"])).collect();
    ensure!(
        seen == [
            (&"admitted".into(), &"satisfied".into()),
            (&"refused".into(), &"unsigned".into())
        ],
        "{both:?}"
    );
    let digest = both[1]["digest"].as_str().ok_or("a refused image has no digest")?;
    let command = both[1]["sign"]["command"].as_str().ok_or("no command that would help")?;
    let expected = format!("cosign sign --key build.key {HOST}/prod/unsigned@{digest}");
    ensure!(command == expected, "{command}");
    let text = verify(stage, &[signed, unsigned], 1)?;
    ensure!(text.contains(&format!("refused unsigned  {unsigned}@{digest}")), "{text}");
    ensure!(text.contains(&expected) && text.ends_with("1 admitted, 1 refused\n"), "{text}");
    // The words of the refusal are the gate's own.
    let message = both[1]["message"].as_str().unwrap_or_default();
    ensure!(message.contains("policy \"production\""), "{message}");
    ensure!(verify(stage, &["-q", signed, unsigned], 1)?.is_empty(), "-q prints");
    ensure!(verify(stage, &["--color", "always", signed], 0)?.contains("\u{1b}[32m"), "no colour");
    println!("   several images: each with code and digest, and the command that would sign it");
    Ok(())
}

fn manifests(stage: &Stage, signed: &str, unsigned: &str) -> Outcome {
    let file = stage.folder().join("manifests.yaml");
    fs::write(
        &file,
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: prod-eu}}\n\
             spec:\n  template:\n    spec:\n      initContainers: [{{name: i, image: {unsigned}}}]\n\
             \x20     containers: [{{name: c, image: {signed}}}]\n---\nkind: Service\n---\n\
             kind: Pod\nmetadata: {{name: p}}\nspec:\n  containers: [{{name: c, image: {signed}}}]\n"
        ),
    )?;
    let at = file.display().to_string();
    let found = verdicts(stage, &["-f", &at], 1)?;
    let seen: Vec<_> = found
        .iter()
        .map(|one| (one["image"].as_str(), one["namespace"].as_str(), one["verdict"].as_str()))
        .collect();
    let expected = [
        (Some(unsigned), Some("prod-eu"), Some("refused")),
        (Some(signed), Some("prod-eu"), Some("admitted")),
        (Some(signed), None, Some("admitted")),
    ];
    ensure!(seen == expected, "{seen:?}");
    ensure!(verify(stage, &["-f", &at], 1)?.contains("Deployment web, init container i"), "place");
    println!("   a file of manifests: every image, in the namespace of its object");
    Ok(())
}

/// By folders alone, with a configuration that is not there.
fn without_a_configuration(stage: &Stage, signed: &str, unsigned: &str) -> Outcome {
    let folder = stage.folder().join("anything");
    fs::create_dir(&folder)?;
    fs::write(
        folder.join("p.yaml"),
        format!(
            "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: anything}}\nspec:\n  \
             images: [\"{HOST}/prod/**\"]\n  require: {{insecureAcceptAnything: true}}\n"
        ),
    )?;
    let at = folder.display().to_string();
    let text = verify(stage, &["--policies", &at, unsigned], 0)?;
    ensure!(text.starts_with("unverified  ") && text.contains("nothing was verified"), "{text}");
    let digest = format!("sha256:{}", "1".repeat(64));
    let by_digest = format!("{HOST}/prod/unsigned@{digest}");
    let program = env!("CARGO_BIN_EXE_sealgate");
    let alone = Command::new(program).args(["verify", "--policies", &at, &by_digest]).output()?;
    ensure!(alone.status.code() == Some(0), "{}", words(&alone));
    let own = stage.folder().join("policies").display().to_string();
    let empty = stage.folder().join("no-keys");
    fs::create_dir(&empty)?;
    let keys = empty.display().to_string();
    let text = verify(stage, &["--policies", &own, "--keys", &keys, signed], 65)?;
    ensure!(text.contains("build.pub"), "{text}");
    Ok(())
}

/// Refused, unable, faulty, not there and a wrong command line are told apart.
fn codes(stage: &Stage) -> Outcome {
    verify(stage, &[&format!("{HOST}/prod/signed-v2:nowhere")], 2)?;
    verify(stage, &["-f", "/nowhere/pods.yaml"], 66)?;
    verify(stage, &["--policies", "/nowhere/policies", "x"], 66)?;
    let file = stage.folder().join("service.yaml");
    fs::write(&file, "kind: Service\n")?;
    verify(stage, &["-f", &file.display().to_string()], 65)?;
    verify(stage, &[], 64)?;
    verify(stage, &["-o", "sarif", "x"], 64)?;
    let program = env!("CARGO_BIN_EXE_sealgate");
    let named = Command::new(program)
        .args(["verify", "x"])
        .env("SEALGATE_CONFIG", "/nowhere/config.toml")
        .output()?;
    ensure!(named.status.code() == Some(66), "{}", words(&named));
    ensure!(words(&named).contains("/nowhere/config.toml"), "{}", words(&named));
    println!("   1 refused, 2 unable, 64 the command line, 65 faulty, 66 not there");
    Ok(())
}

/// The way of a create: by what the node has, under every name, with no registry.
async fn on_the_node(stage: &mut Stage, signed: &str, unsigned: &str) -> Outcome {
    let id = stage.cri().pull(signed).await?;
    stage.registry.clear_log();
    let local = verdicts(stage, &["--local", signed], 0)?;
    ensure!(local[0]["verdict"] == "admitted" && local[0]["digest"].is_string(), "{local:?}");
    let by_id = verdicts(stage, &["--local", &id], 0)?;
    ensure!(by_id[0]["digest"] == local[0]["digest"], "{by_id:?}");
    let absent = verdicts(stage, &["--local", unsigned], 2)?;
    ensure!(absent[0]["code"] == "not-present", "{absent:?}");
    let asked = stage.registry.requests();
    ensure!(asked.is_empty(), "somebody was asked: {asked:?}");
    take_away(stage);
    ensure!(verdicts(stage, &["--local", signed], 0)?.len() == 1, "without a registry");
    ensure!(verdicts(stage, &[signed], 2)?[0]["verdict"] == "unreachable", "by the registry");
    println!("   --local: by name and by id, from the evidence on the node, with no registry");
    Ok(())
}
