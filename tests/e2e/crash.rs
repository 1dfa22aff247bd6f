//! The gate is killed with SIGKILL, at one point and at many: afterwards nothing unverified has
//! run, and every decision that was answered is on record.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tonic::Code;

use crate::acts::{VALIDATION, containers, eventually, never_ran, past_the_gate};
use crate::containerd::{Cri, Pod};
use crate::ensure;
use crate::registry::{Answer, Rule};
use crate::stage::{Failure, HOST, Outcome, Stage, by_id};

/// Rounds of the loop: a kill each.
const ROUNDS: u64 = 10;
/// By turns, a round waits for none to so many answers, less one, before the time to the kill
/// begins. Without that, a busy machine answers too little before the kill.
const ANSWERS: u64 = 5;
/// Longest time to the kill; a pull, create and start take some 250 ms.
const KILL_WITHIN_MS: u64 = 400;

/// Longest wait for answers.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Killed while it asks the registry, and while the runtime does under its permit.
pub async fn during_a_pull() -> Outcome {
    for (agent, path) in [("sealgate/", "/manifests/"), ("containerd/", "/blobs/")] {
        let mut stage = Stage::usual().await?;
        let name = format!("{HOST}/prod/signed-v2:v1");
        stage
            .registry
            .rule(Rule::new(path, Answer::Late(Duration::from_secs(2))).user_agent(agent));
        let (cri, image) = (stage.cri(), name.clone());
        let pull = tokio::spawn(async move { cri.pull(&image).await });
        eventually("the pull is under way", Duration::from_secs(60), async || {
            stage
                .registry
                .requests()
                .iter()
                .any(|entry| entry.user_agent.contains(agent) && entry.path.contains(path))
        })
        .await?;
        stage.kill_gate()?;
        let cut = pull.await?.err().ok_or("the pull went on without the gate")?;
        ensure!(cut.code() == Code::Unavailable || cut.code() == Code::Unknown, "{cut}");
        ensure!(
            stage.containerd.cri().image(&name).await?.is_none(),
            "the tag was given without the gate"
        );
        stage.registry.clear_rules();
        stage.start_gate().await?;
        let (exit, output) = stage.pull_and_run(&name).await?;
        ensure!(exit == 0, "exit code {exit}: {output}");
        stage.expect_record("PullImage", "admitted", "satisfied")?;
        println!(
            "   killed while {agent}… asked for {path}…: {:?}; then it was pulled, and said: {}",
            cut.code(),
            output.trim()
        );
    }
    Ok(())
}

/// What the client was told, by call and reference: how the record of it must end.
type Answered = Arc<Mutex<BTreeMap<(&'static str, String), &'static str>>>;

/// The unsigned image, and a container of it that was made past the gate.
#[derive(Debug, Clone)]
struct Unsigned {
    id: String,
    container: String,
}

/// Killed again and again, at different points.
pub async fn at_any_point() -> Outcome {
    let mut stage = Stage::usual().await?;
    let name = format!("{HOST}/prod/unsigned:v1");
    let id = past_the_gate(&stage, &name).await?;
    let container = stage.containerd.cri().create(&stage.pod().await?, by_id(&id, &name)).await?;
    let unsigned = Unsigned { id, container };
    let answered = Answered::default();
    for round in 0..ROUNDS {
        let tags = tags(&stage, round)?;
        let pod = stage.pod().await?;
        let so_far = u64::try_from(lock(&answered).len())?;
        let client =
            tokio::spawn(work(stage.cri(), pod, tags, unsigned.clone(), Arc::clone(&answered)));
        eventually("the gate answers", ANSWER_MAX, async || {
            u64::try_from(lock(&answered).len()).is_ok_and(|now| now >= so_far + round % ANSWERS)
        })
        .await?;
        let at = (round * 173 + 29) % KILL_WITHIN_MS;
        tokio::time::sleep(Duration::from_millis(at)).await;
        stage.kill_gate()?;
        client.await?;
        stage.start_gate().await?;
        all_on_record(&stage, &answered)?;
        never_ran(&stage, &unsigned.container).await?;
        for container in containers(&stage).await? {
            let status = stage.containerd.cri().container(&container).await?;
            let names = [status.image.unwrap_or_default().image, status.image_ref];
            let of_it =
                names.iter().any(|name| name.contains("prod/unsigned") || *name == unsigned.id);
            ensure!(of_it == (container == unsigned.container), "{container} is of {names:?}");
        }
    }
    let answered = lock(&answered).clone();
    let many = |verdict| answered.values().filter(|told| **told == verdict).count();
    println!(
        "   killed {ROUNDS} times: {} decisions were answered, {} admitted and {} refused, all on \
         record; {} containers made",
        answered.len(),
        many("admitted"),
        many("refused"),
        containers(&stage).await?.len() - 1
    );
    ensure!(
        many("admitted") >= 3 && many("refused") >= 3,
        "too little was answered to show anything"
    );
    let (exit, _) = stage.pull_and_run(&format!("{HOST}/prod/signed-v2:v1")).await?;
    ensure!(exit == 0, "afterwards: {exit}");
    Ok(())
}

/// Tags of one round, so that every decision has a reference of its own: of the signed and of the
/// unsigned image.
fn tags(stage: &Stage, round: u64) -> Result<Vec<String>, Failure> {
    let mut tags = Vec::new();
    for number in 0..20 {
        let path = if number % 2 == 0 { "prod/unsigned" } else { "prod/signed-v2" };
        let digest = stage.registry.tagged(path, "v1").ok_or("no tag")?;
        let bytes = stage.registry.stored(path, &digest).ok_or("no manifest")?;
        let tag = format!("r{round}-{number}");
        stage.registry.put_manifest(path, Some(&tag), &bytes, crate::registry::OCI_MANIFEST);
        tags.push(format!("{HOST}/{path}:{tag}"));
    }
    Ok(tags)
}

/// Pulls, creates and starts until the gate is gone.
async fn work(cri: Cri, pod: Pod, tags: Vec<String>, unsigned: Unsigned, answered: Answered) {
    let note = |call, name: &str, told| {
        lock(&answered).insert((call, name.to_owned()), told);
    };
    for name in tags {
        let id = match cri.pull(&name).await {
            Ok(id) => {
                note("PullImage", &name, "admitted");
                id
            }
            Err(refusal) if refusal.message().starts_with(VALIDATION) => {
                note("PullImage", &name, "refused");
                unsigned.id.clone()
            }
            Err(_) => return,
        };
        match cri.create(&pod, by_id(&id, &name)).await {
            Ok(container) => {
                note("CreateContainer", &name, "admitted");
                if cri.start(&container).await.is_err() {
                    return;
                }
            }
            Err(refusal) if refusal.message().starts_with(VALIDATION) => {
                note("CreateContainer", &name, "refused")
            }
            Err(_) => return,
        }
        if cri.start(&unsigned.container).await.is_ok() {
            note("StartContainer", "what must never start", "started");
        }
    }
}

fn all_on_record(stage: &Stage, answered: &Answered) -> Outcome {
    let records = stage.records();
    for ((call, name), told) in lock(answered).iter() {
        let found = records.iter().any(|record| {
            record["call"] == *call
                && record["reference"] == name.as_str()
                && record["verdict"] == *told
        });
        ensure!(found, "{call} of {name} was answered ({told}) and is not on record");
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
