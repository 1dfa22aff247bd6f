//! The disk under the audit log hangs, or can take nothing when the gate starts; and the clock is
//! set back, more than once.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tonic::{Code, Status};

use crate::acts::{VALIDATION, digest_of, eventually, past_the_gate};
use crate::containerd::Pod;
use crate::disk::Disk;
use crate::ensure;
use crate::frozen::Frozen;
use crate::pace::Pace;
use crate::stage::{
    Failure, HOST, Outcome, Props, Stage, by_id, expect_not_recorded, expect_refusal,
};

/// How long the gate waits for a record, and what is left beside it for the rest of a call.
const PATIENCE: Duration = Duration::from_secs(2);
const REST: Duration = Duration::from_secs(1);
/// A machine that is busy takes so many times longer for a call than it did before.
const SLOWER: u32 = 10;
/// Longest wait for what comes by itself.
const LONG: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn prod(name: &str) -> String {
    format!("{HOST}/prod/{name}:v1")
}

/// A call with the time that it took.
async fn timed<T>(call: impl Future<Output = Result<T, Status>>) -> (Result<T, Status>, Duration) {
    let began = Instant::now();
    (call.await, began.elapsed())
}

/// The disk hangs under each way to go on.
pub async fn disk_hangs() -> Outcome {
    for on_failure in ["refuse-new", "admit-all", "refuse-all"] {
        hangs(on_failure).await?;
    }
    Ok(())
}

async fn hangs(on_failure: &str) -> Outcome {
    let config = format!("audit.reserve_bytes = 0\naudit.on_failure = \"{on_failure}\"");
    let mut stage = Stage::set(Props { config, ..Props::usual()? }).await?;
    stage.kill_gate()?;
    let folder = stage.folder().join("audit");
    let disk = Frozen::over(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
    stage.start_gate().await?;
    let (old, bad) = (prod("signed-v2"), prod("unsigned"));
    let id = stage.cri().pull(&old).await?;
    let pod = stage.pod().await?;
    let (made, create_alone) = timed(stage.cri().create(&pod, by_id(&id, &old))).await;
    made?;
    let (refused, refuse_alone) = timed(stage.cri().pull(&bad)).await;
    ensure!(refused.is_err(), "an unsigned image was pulled");
    let before = stage.records().len();

    disk.freeze()?;
    let answers = frozen_calls(&stage, &pod, (&id, &old), (create_alone, refuse_alone)).await?;
    let told = status(&stage)?;
    ensure!(told.0 == Some(1) && told.1.contains("NOT WRITABLE"), "{:?}: {}", told.0, told.1);
    ensure!(
        stage.gate_log().matches("DISK DOES NOT ANSWER").count() == 1,
        "not said once:\n{}",
        stage.gate_log()
    );
    disk.thaw()?;
    eventually("the log is well again", LONG, async || {
        status(&stage).is_ok_and(|(code, _)| code == Some(0))
    })
    .await?;
    as_configured(on_failure, &answers)?;
    // The log is well with the first record that waited; the others follow.
    if eventually("all is on record", LONG, async || on_record(&stage, before, &answers).is_ok())
        .await
        .is_err()
    {
        on_record(&stage, before, &answers)?;
    }
    stage.cri().create(&pod, by_id(&id, &old)).await?;
    stage.kill_gate()?;
    drop(disk);
    Ok(())
}

/// What was answered while the disk hung: creates of an image that was admitted before, refusals,
/// and a new image.
struct Answers {
    creates: Vec<Result<String, Status>>,
    refusals: Vec<Status>,
    new: Result<String, Status>,
}

async fn frozen_calls(
    stage: &Stage,
    pod: &Pod,
    (id, old): (&str, &str),
    (create_alone, refuse_alone): (Duration, Duration),
) -> Result<Answers, Failure> {
    let (mut creates, mut refusals) = (Vec::new(), Vec::new());
    for round in 0..3 {
        let (made, took) = timed(stage.cri().create(pod, by_id(id, old))).await;
        let limit = PATIENCE + REST + create_alone * SLOWER;
        ensure!(took <= limit, "a create took {took:?}, at most {limit:?}");
        let unsigned = if round == 0 { "unsigned" } else { "signed-other" };
        let (refused, refusal_took) = timed(stage.cri().pull(&prod(unsigned))).await;
        let limit = PATIENCE + REST + refuse_alone * SLOWER;
        ensure!(refusal_took <= limit, "a refusal took {refusal_took:?}, at most {limit:?}");
        println!(
            "   hanging: a create answered after {took:.1?}, a refusal after {refusal_took:.1?}"
        );
        creates.push(made);
        refusals.push(refused.err().ok_or("an unsigned image was pulled")?);
    }
    let (new, took) = timed(stage.cri().pull(&prod("signed-v3"))).await;
    println!("   a new image: {:?} after {took:.1?}", new.as_ref().map_err(Status::code));
    // What does not ask the log is not held up at all.
    let pace = Pace::now()?;
    let (version, took) = timed(async { Ok(stage.cri().is_ready().await) }).await;
    ensure!(version?, "Version was not answered");
    pace.hold("Version", took, PATIENCE)?;
    Ok(Answers { creates, refusals, new })
}

fn as_configured(on_failure: &str, answers: &Answers) -> Outcome {
    let (old_starts, new_starts) = match on_failure {
        "refuse-new" => (true, false),
        "admit-all" => (true, true),
        _ => (false, false),
    };
    let fits = |answer: &Result<String, Status>, starts: bool| match answer {
        Ok(_) => starts,
        Err(status) => !starts && status.code() == Code::Unavailable,
    };
    for create in &answers.creates {
        ensure!(
            fits(create, old_starts),
            "{on_failure}: an image that was admitted before: {create:?}"
        );
    }
    ensure!(fits(&answers.new, new_starts), "{on_failure}: a new image: {:?}", answers.new);
    for refusal in &answers.refusals {
        expect_refusal(refusal, Code::Unknown, VALIDATION, &[])?;
    }
    println!("   {on_failure}: as configured");
    Ok(())
}

/// Every decision is on record, each once, and what was refused although its record waited is taken
/// back.
fn on_record(stage: &Stage, before: usize, answers: &Answers) -> Outcome {
    let records = stage.records().split_off(before);
    let mut by_id: BTreeMap<&str, &Value> = BTreeMap::new();
    for record in &records {
        let id = record["id"].as_str().unwrap_or_default();
        ensure!(by_id.insert(id, record).is_none(), "{id} stands twice");
    }
    let of = |call: &str, verdict: &str| {
        records
            .iter()
            .filter(|record| record["call"] == call && record["verdict"] == verdict)
            .collect::<Vec<_>>()
    };
    let taken_back = |id: &Value| records.iter().any(|record| record["supersedes"] == *id);
    let created = of("CreateContainer", "admitted");
    ensure!(
        created.len() == answers.creates.len(),
        "{} creates on record: {records:#?}",
        created.len()
    );
    for (record, answer) in created.iter().zip(&answers.creates) {
        ensure!(
            taken_back(&record["id"]) == answer.is_err(),
            "{answer:?} is on record as {record:#}"
        );
        ensure!(
            record["image"].as_str().is_some_and(|image| image.starts_with("sha256:")),
            "{record:#}"
        );
    }
    let pulled = of("PullImage", "admitted");
    ensure!(pulled.len() == 1, "{} pulls on record", pulled.len());
    ensure!(
        taken_back(&pulled[0]["id"]) == answers.new.is_err(),
        "{:?}: {:#}",
        answers.new,
        pulled[0]
    );
    // Of alike refusals the first is written, and the rest are counted with it.
    let refused = of("PullImage", "refused").into_iter().filter(|record| record["repeats"] == 0);
    let names: Vec<_> = refused.map(|record| record["reference"].to_string()).collect();
    ensure!(names.iter().any(|name| name.contains("signed-other")), "refused on record: {names:?}");
    let text = fs::read_to_string(stage.folder().join("audit/audit.jsonl"))?;
    ensure!(!text.contains("\"lost\""), "something was lost: {text}");
    println!("   thawed: {} decisions on record, each once, in order, none lost", records.len());
    Ok(())
}

fn status(stage: &Stage) -> Result<(Option<i32>, String), Failure> {
    let status = stage.sealgate(&["status"])?;
    Ok((status.status.code(), String::from_utf8_lossy(&status.stdout).into_owned()))
}

/// The gate starts on a log disk that takes nothing, and knows what was admitted before; and a
/// clock is set back twice.
pub async fn log_disk() -> Outcome {
    for (what, full) in [("full", true), ("read-only", false)] {
        takes_nothing(what, full).await?;
    }
    set_back_twice().await
}

/// By key, by digest, and with a warning alone.
fn three_policies(stage: &Stage) -> Result<String, Failure> {
    let document = |name: &str, image: &str, more: &str| {
        format!(
            "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: {name}}}\nspec:\n  \
             images: [{image}]\n  {more}\n"
        )
    };
    let key = "require: {name: build, key: {files: [build.pub]}}";
    let listed = |path: &str, tag: &str| -> Result<String, Failure> {
        Ok(format!("require: {{digest: {{anyOf: [\"{}\"]}}}}", digest_of(stage, path, tag)?))
    };
    let documents = [
        document("by-key", &format!("\"{HOST}/prod/signed-v2\", \"{HOST}/prod/signed-v3\""), key),
        document(
            "by-digest",
            &format!("\"{HOST}/prod/unsigned\""),
            &listed("prod/unsigned", "v1")?,
        ),
        document(
            "soft",
            &format!("\"{HOST}/prod/signed-other\""),
            &format!("action: warn\n  {key}"),
        ),
        document("free", &format!("\"{HOST}/free\""), "require: {insecureAcceptAnything: true}"),
        // What is accepted without proof was not admitted before, and its sandboxes would wait.
        document("pause", &format!("\"{HOST}/pause\""), &listed("pause", "1")?),
    ];
    Ok(documents.join("---\n"))
}

/// A create is refused because the log takes no record.
async fn waits_for_the_log(stage: &Stage, pod: &Pod, id: &str, name: &str) -> Outcome {
    let refusal = stage.cri().create(pod, by_id(id, name)).await.err();
    let refusal = refusal.ok_or_else(|| Failure(format!("{name} was created without a record")))?;
    expect_not_recorded(&refusal)
}

async fn takes_nothing(what: &str, full: bool) -> Outcome {
    let config = "audit.reserve_bytes = 0\naudit.repeat_seconds = 1".to_owned();
    let mut stage = Stage::set(Props { config, ..Props::usual()? }).await?;
    stage.kill_gate()?;
    stage.write_policy(&three_policies(&stage)?)?;
    let disk = Disk::on(&stage.folder().join("audit"))?;
    stage.start_gate().await?;
    let told = status(&stage)?;
    ensure!(
        told.1.contains("accepted without proof by free") && told.1.contains("soft"),
        "{}",
        told.1
    );
    let (signed, listed, soft, new) =
        (prod("signed-v2"), prod("unsigned"), prod("signed-other"), prod("signed-v3"));
    let mut ids = BTreeMap::new();
    for name in [&signed, &listed, &soft] {
        ids.insert(name.clone(), stage.cri().pull(name).await?);
    }
    stage.expect_record("PullImage", "warned", "warned")?;
    ids.insert(new.clone(), past_the_gate(&stage, &new).await?);
    let pod = stage.pod().await?;
    stage.kill_gate()?;
    let written = lines(&stage);
    if full {
        disk.fill()?
    } else {
        disk.read_only(true)?
    }
    stage.start_gate().await?;

    // What is left of the last page takes a record or two.
    let mut creates = 0;
    while status(&stage)?.0 == Some(0) {
        ensure!(full && creates < 20, "{what}, and the status is good after {creates} creates");
        stage.cri().create(&pod, by_id(&ids[&signed], &signed)).await?;
        creates += 1;
    }
    for name in [&signed, &listed] {
        let (exit, output) = stage.cri().run(&pod, by_id(&ids[name], name)).await?;
        ensure!(exit == 0, "{what}: {name}: exit code {exit}: {output}");
        println!("   {what} at the start: what was admitted before said: {}", output.trim());
    }
    // A new image stays one, however often it is tried and whatever is kept of it meanwhile.
    for name in [&soft, &new, &new, &new] {
        waits_for_the_log(&stage, &pod, &ids[name], name).await?;
    }
    println!("   {what} at the start: what only a warning lets in, and what is new, waits");
    said_once_each_time(&stage, written)?;
    if full {
        disk.free()?
    } else {
        disk.read_only(false)?
    }
    takes_again(&stage, &new).await?;
    stage.kill_gate()?;
    drop(disk);
    Ok(())
}

/// The disk takes records again: new images are admitted, and a note tells of what was lost.
async fn takes_again(stage: &Stage, new: &str) -> Outcome {
    eventually("new images are admitted again", LONG, async || stage.cri().pull(new).await.is_ok())
        .await?;
    ensure!(status(stage)?.0 == Some(0), "the status afterwards: {}", status(stage)?.1);
    let path = stage.folder().join("audit/audit.jsonl");
    let noted = || fs::read_to_string(&path).unwrap_or_default().contains("\"lost\"");
    eventually("a note tells of what was not recorded", LONG, async || noted()).await?;
    Ok(())
}

/// The gate says once that the log cannot be written, and once more each time a record has found
/// room in between: a short one can, where a longer one did not.
fn said_once_each_time(stage: &Stage, before: usize) -> Outcome {
    let journal = stage.gate_log();
    let said = journal.matches("THE AUDIT LOG CANNOT BE WRITTEN").count();
    let again = journal.matches("the audit log takes records again").count();
    let written = lines(stage).saturating_sub(before);
    ensure!(
        said >= 1 && again <= written,
        "said {said} times, {again} times well again, {written} written:\n{journal}"
    );
    ensure!(
        said == again || said == again + 1,
        "said {said} times, {again} times well again:\n{journal}"
    );
    Ok(())
}

/// How many lines the audit log has.
fn lines(stage: &Stage) -> usize {
    fs::read_to_string(stage.folder().join("audit/audit.jsonl")).unwrap_or_default().lines().count()
}

/// The clock stood two days ahead and is set back: a key that has ended meanwhile does not count
/// again, after the second start either. Then it turns out that the clock was ahead once, and an
/// operator says so.
async fn set_back_twice() -> Outcome {
    let end = jiff::Timestamp::try_from(SystemTime::now() + DAY)?;
    let policy = format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: production}}\nspec:\n  \
         images: [\"{HOST}/prod/**\"]\n  \
         require: {{name: build, key: {{files: [{{file: build.pub, notAfter: {end:.0}}}]}}}}\n"
    );
    let mut stage = Stage::set(Props { policy, ..Props::usual()? }).await?;
    let image = prod("signed-v2");
    stage.cri().pull(&image).await?;
    stage.kill_gate()?;
    let log = stage.folder().join("audit/audit.jsonl");
    let modified = || -> Result<SystemTime, Failure> { Ok(fs::metadata(&log)?.modified()?) };
    // As a record two days later leaves it.
    fs::File::options().append(true).open(&log)?.set_modified(SystemTime::now() + DAY * 2)?;
    for start in ["first", "second", "third"] {
        stage.start_gate().await?;
        let refusal = stage.cri().pull(&image).await.err();
        let refusal = refusal
            .ok_or_else(|| Failure(format!("after the {start} start an ended key counts again")))?;
        expect_refusal(&refusal, Code::Unknown, VALIDATION, &["production"])?;
        ensure!(modified()? < SystemTime::now() + DAY / 2, "the log's own time did not go back");
        let told = status(&stage)?.1;
        ensure!(
            told.contains("but decisions were recorded until")
                && told.contains("sealgate clock lower"),
            "{told}"
        );
        stage.kill_gate()?;
    }
    println!("   set back by two days: the key that has ended does not count after three starts");
    stage.start_gate().await?;
    let lowered = stage.sealgate(&["clock", "lower"])?;
    ensure!(lowered.status.code() == Some(0), "{lowered:?}");
    println!("   {}", String::from_utf8_lossy(&lowered.stdout).trim());
    ensure!(fs::read_to_string(&log)?.contains("\"clock_lowered\""), "no note of it in the log");
    eventually("the key counts again", LONG, async || stage.cri().pull(&image).await.is_ok())
        .await?;
    ensure!(
        !status(&stage)?.1.contains("but decisions were recorded until"),
        "{}",
        status(&stage)?.1
    );
    ensure!(
        stage.sealgate(&["clock", "lower"])?.status.code() == Some(1),
        "lowered what is not ahead"
    );
    stage.kill_gate()?;
    stage.start_gate().await?;
    stage.cri().pull(&image).await?;
    Ok(())
}
