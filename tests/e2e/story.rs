//! One command tells the story of a container that is gone, by its id alone, with the text of the policy
//! that it was let in under, although that policy is another by now.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::acts::eventually;
use crate::containerd::{Launch, Pod};
use crate::ensure;
use crate::making::{Form, made};
use crate::means::prod;
use crate::signing::Signer;
use crate::stage::{Failure, Outcome, Props, Stage, by_id, usual_policy};

/// What stands in the policy of then, and in none after it.
const THEN: &str = "# as it was on the day of the incident";
/// Longest wait for a line or a file that the gate writes behind its answer.
const BEHIND: Duration = Duration::from_secs(60);

/// The shown scenario.
pub async fn story_of_a_container() -> Outcome {
    let signer = Signer::p256();
    let keys = vec![("alpha.pub".to_owned(), signer.pem())];
    let policy = usual_policy().replace("files: [build.pub]", "files: [alpha.pub]");
    let policy = policy.replacen("spec:\n", &format!("{THEN}\nspec:\n"), 1);
    let stage = Stage::set(Props { policy, keys, ..Props::usual()? }).await?;
    let digest = made(&stage, "told", Form::Older, &[&signer]).to_string();
    let name = prod("told");
    let image = stage.cri().pull(&name).await?;
    let pod = stage.pod().await?;
    let container = ran(&stage, &pod, &image, &name).await?;
    let generation = in_force(&stage)?;
    eventually("the texts of then are kept", BEHIND, async || {
        list_of(&stage, &generation).exists()
    })
    .await?;
    // The policy goes, and the container: what is told rests on the log and what stands beside it.
    stage.write_policy(&usual_policy())?;
    let reloaded = stage.sealgate(&["reload"])?;
    ensure!(reloaded.status.success(), "{}", String::from_utf8_lossy(&reloaded.stderr));
    ensure!(in_force(&stage)? != generation, "the policy is another now");
    stage.cri().remove_all_pods().await?;
    eventually("the removal is on record", BEHIND, async || {
        let is_it = |told: &Value| {
            told["outcome"] == "removed" && told["container_id"] == container.as_str()
        };
        stage.outcomes().iter().any(is_it)
    })
    .await?;

    let said = said(&stage, &[], &container[..12], 0)?;
    print!("{said}");
    told_to_people(&said, &name, &digest)?;
    let story = said_json(&stage, &container)?;
    told_to_programs(&story, &container, &digest)?;
    changed_text(&stage, &story, &container)?;
    let none = said_of(&stage, &[], "ffffffffffff", 1)?;
    ensure!(none.1.contains("no container ffffffffffff"), "{none:?}");
    Ok(())
}

/// A container that is started and goes on running.
async fn ran(stage: &Stage, pod: &Pod, image: &str, name: &str) -> Result<String, Failure> {
    let command = ["/bin/busybox", "sleep", "1000000"].map(str::to_owned).to_vec();
    let container = stage.cri().create(pod, Launch { command, ..by_id(image, name) }).await?;
    stage.cri().start(&container).await?;
    eventually("the start is on record", BEHIND, async || {
        stage.outcomes().iter().any(|told| told["outcome"] == "started")
    })
    .await?;
    Ok(container)
}

/// The generation of policies that the last of the log's heads names.
fn in_force(stage: &Stage) -> Result<String, Failure> {
    let text = fs::read_to_string(stage.folder().join("audit/audit.jsonl"))?;
    let mut heads = text.lines().rev().filter(|line| line.contains("\"kind\":\"head\""));
    let head: Value = serde_json::from_str(heads.next().ok_or("no head")?)?;
    Ok(head["policy_generation"].as_str().ok_or("no generation")?.to_owned())
}

fn kept(stage: &Stage) -> PathBuf {
    stage.folder().join("audit/audit.jsonl.policies")
}

fn list_of(stage: &Stage, generation: &str) -> PathBuf {
    kept(stage).join(format!("generation-{generation}.json"))
}

fn told_to_people(said: &str, name: &str, digest: &str) -> Outcome {
    for part in [
        name,
        digest,
        "signed by alpha.pub",
        "PullImage",
        "pulled",
        "RunPodSandbox",
        "created",
        "started",
        "removed",
        "ImagePolicy production: satisfied",
        "files: [alpha.pub]",
        THEN,
    ] {
        ensure!(said.contains(part), "{part:?} is not told:\n{said}");
    }
    ensure!(!said.contains("build.pub"), "the policy of now is told:\n{said}");
    Ok(())
}

fn told_to_programs(story: &Value, container: &str, digest: &str) -> Outcome {
    ensure!(story["container_id"] == container && story["digest"] == digest, "{story:#}");
    ensure!(story["verdict"] == "admitted" && story["pod"]["namespace"].is_string(), "{story:#}");
    let policy = &story["policies"][0];
    let text = policy["text"].as_str().unwrap_or_default();
    ensure!(policy["named_in_log"] == true && text.contains(THEN), "{policy:#}");
    ensure!(!text.contains("name: pause"), "another document of the file is told: {text}");
    let signer = &story["signers"][0]["signer"];
    ensure!(signer["file"] == "alpha.pub" && signer["key"].is_string(), "{story:#}");
    ensure!(story["looked_at"][0]["place"].is_string(), "{story:#}");
    let events = story["events"].as_array().ok_or("no events")?;
    let told: Vec<String> = events
        .iter()
        .filter(|event| event["kind"] == "outcome")
        .filter_map(|event| {
            Some(format!("{} {}", event["call"].as_str()?, event["what"].as_str()?))
        })
        .collect();
    for part in [
        "PullImage pulled",
        "RunPodSandbox created",
        "CreateContainer created",
        "StartContainer started",
        "CreateContainer removed",
    ] {
        ensure!(told.iter().any(|one| one == part), "{part} is not among {told:?}");
    }
    let times: Vec<&str> = events.iter().filter_map(|event| event["time"].as_str()).collect();
    ensure!(times.is_sorted(), "{times:?}");
    Ok(())
}

/// A text that somebody changed is not shown, and that is said.
fn changed_text(stage: &Stage, story: &Value, container: &str) -> Outcome {
    let digest = story["policies"][0]["digest"].as_str().ok_or("no digest")?;
    let path = kept(stage).join(format!("{}.yaml", digest.trim_start_matches("sha256:")));
    let text = fs::read_to_string(&path)?;
    fs::write(&path, text.replace("alpha.pub", "other.pub"))?;
    let said = said(stage, &[], container, 0)?;
    ensure!(said.contains("it was changed, and is not shown"), "{said}");
    ensure!(!said.contains("other.pub"), "what was changed is shown:\n{said}");
    println!("   a text that was changed in its place is not shown");
    Ok(())
}

fn said_json(stage: &Stage, id: &str) -> Result<Value, Failure> {
    Ok(serde_json::from_str(&said(stage, &["--output", "json"], id, 0)?)?)
}

fn said(stage: &Stage, options: &[&str], id: &str, code: i32) -> Result<String, Failure> {
    Ok(said_of(stage, options, id, code)?.0)
}

/// What `audit show` answers and complains of, with this exit code.
fn said_of(
    stage: &Stage,
    options: &[&str],
    id: &str,
    code: i32,
) -> Result<(String, String), Failure> {
    let ran = stage.sealgate(&[options, &["audit", "show", id]].concat())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&ran.stdout), text(&ran.stderr));
    ensure!(ran.status.code() == Some(code), "{id}: {}: {out}{err}", ran.status);
    Ok((out, err))
}
