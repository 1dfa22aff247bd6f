//! `sealgate policy diff` on a node with a history: what a candidate would change is told from what
//! is on the node, with no registry, and no more than that.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::containerd::{Launch, Pod};
use crate::ensure;
use crate::making::{Form, Known, made};
use crate::means::prod;
use crate::outage::take_away;
use crate::registry::Settings;
use crate::signing::Signer;
use crate::stage::{Failure, HOST, Outcome, Props, Stage, by_id, sandbox_policy};

/// Namespaces of pods, and containers of each image in each of them.
const NAMESPACES: [&str; 3] = ["prod-eu", "prod-us", "team-a"];
const EACH: usize = 3;
/// Decisions that the history has at least.
const HISTORY_MIN: u64 = 200;
/// Decisions of the long history, and how long that may take. The bound of the product is a tenth;
/// a machine may be ten times slower.
const LONG: usize = 10_000;
const LONG_MAX: Duration = Duration::from_secs(100);

/// Whose signatures an image has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Alpha,
    Beta,
    Both,
}

/// The document about production, with these keys.
fn production(keys: &str) -> String {
    format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: production}}\nspec:\n  \
         images: [\"{HOST}/prod/**\"]\n  require: {{name: build, key: {{files: [{keys}]}}}}\n---\n{}",
        sandbox_policy()
    )
}

/// A deny list with this repository.
fn denying(repository: &str) -> String {
    format!(
        "apiVersion: sealgate/v1\nkind: DenyList\nmetadata: {{name: struck-off}}\nspec:\n  \
         repositories:\n    - pattern: \"{repository}\"\n      reason: bad\n      \
         date: 2026-01-31T12:00:00Z\n"
    )
}

pub async fn policy_diff() -> Outcome {
    let (alpha, beta) = (Signer::p256(), Signer::ed25519());
    let keys = vec![("alpha.pub".to_owned(), alpha.pem()), ("beta.pub".to_owned(), beta.pem())];
    let both = production("alpha.pub, beta.pub");
    let registry = Settings::conforming();
    let mut stage =
        Stage::set(Props { registry, policy: both.clone(), keys, ..Props::usual()? }).await?;
    let known = history(&stage, (&alpha, &beta)).await?;
    let runs = running(&stage, &known).await?;
    take_away(&mut stage);
    let all = stage.records().len() + stage.sandbox_records().len();
    println!("   {all} decisions are on record, {} images; the registry is gone", known.len());

    nothing_changes(&stage, &both)?;
    one_key_is_dropped(&stage, &known, &runs)?;
    a_repository_is_denied(&stage, &known)?;
    more_is_admitted(&stage)?;
    faulty(&stage)?;
    a_long_history(&mut stage)?;
    without_the_runtime(&mut stage, &both)
}

/// Pulls every image and makes containers of it in several namespaces, and asks for unsigned ones.
async fn history(
    stage: &Stage,
    (alpha, beta): (&Signer, &Signer),
) -> Result<Vec<(By, Known)>, Failure> {
    let mut pods = Vec::new();
    for namespace in NAMESPACES {
        pods.push(stage.cri().run_pod(namespace).await?);
    }
    let mut known = Vec::new();
    for number in 0..20 {
        let (by, signers) = match number % 4 {
            0 => (By::Beta, vec![beta]),
            1 => (By::Both, vec![alpha, beta]),
            _ => (By::Alpha, vec![alpha]),
        };
        let form = if number % 2 == 0 { Form::Older } else { Form::Bundle };
        let short = format!("diff-{number:02}");
        let digest = made(stage, &short, form, &signers).to_string();
        let name = prod(&short);
        let id = stage.cri().pull(&name).await?;
        for pod in &pods {
            for _ in 0..EACH {
                stage.cri().create(pod, by_id(&id, &name)).await?;
            }
        }
        known.push((by, Known { name, id, digest }));
    }
    for number in 0..3 {
        let short = format!("diff-unsigned-{number}");
        made(stage, &short, Form::Older, &[]);
        ensure!(stage.cri().pull(&prod(&short)).await.is_err(), "{short} was pulled");
        stage.expect_record("PullImage", "refused", "unsigned")?;
    }
    Ok(known)
}

/// One container of an image by each, which runs on.
async fn running(stage: &Stage, known: &[(By, Known)]) -> Result<Vec<(By, String)>, Failure> {
    let pod: Pod = stage.cri().run_pod("prod-eu").await?;
    let mut runs = Vec::new();
    for by in [By::Alpha, By::Beta, By::Both] {
        let (_, one) = known.iter().find(|(other, _)| *other == by).ok_or("no such image")?;
        let command = ["/bin/busybox", "sleep", "100000"].map(str::to_owned).to_vec();
        let launch = Launch { command, ..by_id(&one.id, &one.name) };
        let id = stage.cri().create(&pod, launch).await?;
        stage.cri().start(&id).await?;
        runs.push((by, id));
    }
    Ok(runs)
}

/// Runs `policy diff` and reads what it says; the exit code must be this one.
fn diff(stage: &Stage, candidate: &[PathBuf], exit: i32) -> Result<Value, Failure> {
    let mut args: Vec<String> = ["--output", "json", "policy", "diff"].map(str::to_owned).to_vec();
    args.extend(candidate.iter().map(|path| path.display().to_string()));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = stage.sealgate(&args)?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.code() == Some(exit), "{}: {said} {errors}", output.status);
    serde_json::from_str(&said).map_err(|error| Failure(format!("{error}: {said} {errors}")))
}

/// The images of one kind of change, and of how many decisions they are.
fn changed(report: &Value, kind: &str) -> (BTreeSet<String>, u64) {
    let changes = report["changes"].as_array().cloned().unwrap_or_default();
    let those = changes.iter().filter(|change| change["change"] == kind);
    let name = |change: &Value| change["image"].as_str().unwrap_or_default().to_owned();
    let decisions = those.clone().filter_map(|change| change["decisions"].as_u64()).sum();
    (those.map(name).collect(), decisions)
}

/// A folder with these documents.
fn folder(stage: &Stage, name: &str, documents: &str) -> Result<PathBuf, Failure> {
    let folder = stage.folder().join(name);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("policy.yaml"), documents)?;
    Ok(folder)
}

fn nothing_changes(stage: &Stage, documents: &str) -> Outcome {
    let report = diff(stage, &[folder(stage, "equal", documents)?], 0)?;
    let decisions = &report["decisions"];
    ensure!(decisions["all"].as_u64() >= Some(HISTORY_MIN), "{decisions}");
    let on_record = stage.records().len() + stage.sandbox_records().len();
    ensure!(decisions["all"] == on_record, "{decisions} of {on_record}");
    for of in ["decisions", "containers", "images"] {
        for kind in ["would_refuse", "would_admit", "without_proof"] {
            ensure!(report[of][kind] == 0, "{of}: {}", report[of]);
        }
    }
    ensure!(report["containers"]["all"] == 3, "{}", report["containers"]);
    // What was refused as unsigned has left no evidence behind: nobody knows what it has now.
    ensure!(decisions["cannot_tell"] == 3, "{decisions}");
    println!("   the same documents: nothing changes among {on_record} decisions");
    Ok(())
}

fn one_key_is_dropped(stage: &Stage, known: &[(By, Known)], runs: &[(By, String)]) -> Outcome {
    let candidate = folder(stage, "one-key", &production("alpha.pub"))?;
    let report = diff(stage, std::slice::from_ref(&candidate), 1)?;
    let by_beta: BTreeSet<String> =
        known.iter().filter(|(by, _)| *by == By::Beta).map(|(_, one)| one.name.clone()).collect();
    let (images, decisions) = changed(&report, "would-refuse");
    ensure!(images == by_beta, "{images:?} instead of {by_beta:?}");
    // A pull of each, its containers, and the one that runs.
    let wanted = by_beta.len() * (1 + NAMESPACES.len() * EACH) + 1;
    ensure!(usize::try_from(decisions)? == wanted, "{decisions} decisions instead of {wanted}");
    ensure!(report["decisions"]["would_refuse"] == wanted, "{}", report["decisions"]);
    ensure!(report["containers"]["would_refuse"] == 1, "{}", report["containers"]);
    ensure!(report["images"]["would_refuse"] == by_beta.len(), "{}", report["images"]);
    let (_, runs) = runs.iter().find(|(by, _)| *by == By::Beta).ok_or("none runs")?;
    let changes = report["changes"].as_array().ok_or("no list")?;
    ensure!(
        changes.iter().any(|change| change["containers"][0] == runs.as_str()),
        "not the container that runs: {changes:#?}"
    );
    for change in changes.iter().filter(|change| change["change"] == "would-refuse") {
        let codes = [&change["then"], &change["today"], &change["candidate"]];
        let codes = codes.map(|said| said["code"].as_str().unwrap_or_default());
        // Of a container whose runtime keeps the id alone there is no decision of its own.
        let then = if change["decisions"] == 0 { "" } else { "satisfied" };
        ensure!(codes == [then, "satisfied", "no-signature-counts"], "{change:#}");
        ensure!(change["next_step"].as_str().is_some_and(|step| !step.is_empty()), "{change:#}");
        ensure!(change["certain"] == false, "a signature elsewhere would count: {change:#}");
    }
    let (admitted, _) = changed(&report, "would-admit");
    ensure!(admitted.is_empty(), "{admitted:?}");
    let text = stage.sealgate(&["policy", "diff", &candidate.display().to_string()])?;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    ensure!(text.contains(&format!("would refuse {wanted} of ")), "{text}");
    println!("{}", text.lines().rev().take(4).collect::<Vec<_>>().join("\n"));
    Ok(())
}

fn a_repository_is_denied(stage: &Stage, known: &[(By, Known)]) -> Outcome {
    let (_, one) = known.first().ok_or("no image")?;
    let repository = one.name.trim_end_matches(":v1");
    let file = stage.folder().join("90-deny.yaml");
    fs::write(&file, denying(repository))?;
    let report = diff(stage, &[file], 1)?;
    let (images, decisions) = changed(&report, "would-refuse");
    ensure!(images == BTreeSet::from([one.name.clone()]), "{images:?}");
    ensure!(decisions >= 10, "{decisions}");
    let changes = report["changes"].as_array().ok_or("no list")?;
    let denied = changes.iter().filter(|change| change["candidate"]["code"] == "repository-denied");
    let namespaces: BTreeSet<&str> =
        denied.clone().filter_map(|change| change["namespace"].as_str()).collect();
    ensure!(namespaces == BTreeSet::from(NAMESPACES), "{changes:#?}");
    ensure!(denied.clone().all(|change| change["certain"] == true), "{changes:#?}");
    println!("   {repository} denied: {decisions} decisions about it, and no other");
    Ok(())
}

fn more_is_admitted(stage: &Stage) -> Outcome {
    let open = production("alpha.pub, beta.pub").replace(
        "{name: build, key: {files: [alpha.pub, beta.pub]}}",
        "{insecureAcceptAnything: true}",
    );
    let report = diff(stage, &[folder(stage, "open", &open)?], 0)?;
    let (admitted, decisions) = changed(&report, "would-admit");
    ensure!(
        decisions == 3 && admitted.iter().all(|image| image.contains("unsigned")),
        "{admitted:?}"
    );
    let (weaker, _) = changed(&report, "without-proof");
    ensure!(weaker.len() == 20, "{weaker:?}");
    println!(
        "   accepting anything: 3 refusals would be admitted, 20 images would run without proof"
    );
    Ok(())
}

fn faulty(stage: &Stage) -> Outcome {
    let file = stage.folder().join("95-faulty.yaml");
    fs::write(&file, production("alpha.pub").replace("require:", "requires:"))?;
    let shown = file.display().to_string();
    let output = stage.sealgate(&["policy", "diff", &shown])?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(65), "{}: {errors}", output.status);
    ensure!(errors.contains(&format!("{shown}:6:")), "no file with a line: {errors}");
    println!("   faulty: {}", errors.lines().nth(1).unwrap_or_default());
    Ok(())
}

/// The same history again and again, in other namespaces, until it has ten thousand decisions.
fn a_long_history(stage: &mut Stage) -> Outcome {
    stage.kill_gate()?;
    let log = stage.folder().join("audit/audit.jsonl");
    let text = fs::read_to_string(&log)?;
    let lines: Vec<&str> =
        text.lines().filter(|line| line.contains("\"kind\":\"decision\"")).collect();
    let mut long = String::new();
    for copy in 0..LONG.div_ceil(lines.len()) {
        for line in &lines {
            long.push_str(&line.replace("\"namespace\":\"", &format!("\"namespace\":\"n{copy}-")));
            long.push('\n');
        }
    }
    fs::write(log.with_extension("jsonl.1"), &long)?;
    let candidate = folder(stage, "one-key", &production("alpha.pub"))?;
    let began = Instant::now();
    let report = diff(stage, &[candidate], 1)?;
    let took = began.elapsed();
    let all = usize::try_from(report["decisions"]["all"].as_u64().unwrap_or_default())?;
    println!("   {all} decisions: {:.1} s", took.as_secs_f64());
    ensure!(all >= LONG, "{all}");
    ensure!(took < LONG_MAX, "{took:?}");
    fs::remove_file(log.with_extension("jsonl.1"))?;
    Ok(())
}

fn without_the_runtime(stage: &mut Stage, documents: &str) -> Outcome {
    stage.containerd.kill9();
    let report = diff(stage, &[folder(stage, "equal", documents)?], 2)?;
    ensure!(report["containers"].is_null() && report["images"].is_null(), "{report:#}");
    ensure!(report["runtime_error"].as_str().is_some_and(|why| !why.is_empty()), "{report:#}");
    ensure!(report["decisions"]["would_refuse"] == 0, "{}", report["decisions"]);
    println!("   without the runtime: {}", report["runtime_error"]);
    Ok(())
}
