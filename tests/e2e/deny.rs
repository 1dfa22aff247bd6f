//! `sealgate deny` on a running node without a registry.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;

use crate::acts::{No, create_refused};
use crate::containerd::{Launch, Pod};
use crate::ensure;
use crate::kept::done_by;
use crate::keyless::ISSUER;
use crate::means::{digest_of, prod, until};
use crate::outage::take_away;
use crate::pace::Pace;
use crate::signers::{Group, policies};
use crate::stage::{Failure, HOST, Outcome, Props, Stage, by_id};

/// How soon what is struck off is in force.
const IN_FORCE: Duration = Duration::from_secs(1);

/// An image that was admitted, with its id.
pub struct Admitted {
    pub image: String,
    pub id: String,
}

/// One thing to strike off, and what the next create of an image is refused as.
struct Strike {
    image: &'static str,
    options: Vec<String>,
    /// What takes it back.
    value: String,
    no: No,
}

/// A digest, a key, an identity, a repository.
fn strikes() -> [Strike; 4] {
    let strike = |image, (option, value): (&str, String), more: &[&str], no| {
        let options = [option, &value].into_iter().chain(more.iter().copied());
        Strike { image, options: options.map(str::to_owned).collect(), value, no }
    };
    // No signature is left that counts, and nobody can be asked whether there is another.
    let unvouched = crate::offline::NOT_VOUCHED_FOR;
    let key = "KEY/p384.pub".to_owned();
    let subject = "^https://github\\.com/acme/app/\\.github/workflows/release\\.yml@.*$".to_owned();
    [
        strike(
            "signed-v2",
            ("--digest", digest_of("signed-v2", "v1")),
            &[],
            No::refused("digest-denied"),
        ),
        strike("key-p384", ("--key", key), &[], unvouched),
        strike("keyless", ("--identity-regexp", subject), &["--issuer", ISSUER], unvouched),
        strike(
            "signed-v3",
            ("--repository", format!("{HOST}/prod/signed-v3")),
            &[],
            No::refused("repository-denied"),
        ),
    ]
}

/// The shown scenario.
pub async fn deny() -> Outcome {
    let policy = policies(&Group::ALL);
    let mut stage = Stage::set(Props { policy, ..Props::usual()? }).await?;
    let pod = stage.pod().await?;
    let mut admitted = Vec::new();
    for strike in strikes() {
        admitted.push(runs(&stage, &pod, strike.image).await?);
    }
    let other = runs(&stage, &pod, "signed-both").await?;
    let third = runs(&stage, &pod, "signed-docker").await?;
    let left = stays(&stage, &pod, &admitted[0]).await?;
    take_away(&mut stage);

    for (strike, admitted) in strikes().iter().zip(&admitted) {
        strike_off(&stage, &pod, strike, admitted).await?;
    }
    ensure!(stage.cri().container(&left).await?.state == RUNNING, "the gate stopped a container");
    by_hand(&stage, &pod, &third).await?;
    still_runs(&stage, &pod, &other).await?;
    is_listed(&stage)?;
    taken_back(&stage, &pod, &admitted[3]).await?;
    on_record(&stage)?;
    refuses_what_it_must(&stage)
}

/// `CONTAINER_RUNNING`.
const RUNNING: i32 = 1;

/// Pulls an image and runs it, so that its verdict is in memory.
pub async fn runs(stage: &Stage, pod: &Pod, name: &str) -> Result<Admitted, Failure> {
    let image = prod(name);
    let id = stage.cri().pull(&image).await?;
    let admitted = Admitted { image, id };
    still_runs(stage, pod, &admitted).await?;
    Ok(admitted)
}

pub async fn still_runs(stage: &Stage, pod: &Pod, admitted: &Admitted) -> Outcome {
    let Admitted { image, id } = admitted;
    let (exit, output) = stage.cri().run(pod, by_id(id, image)).await?;
    ensure!(exit == 0, "{image}: exit code {exit}: {output}");
    stage.expect_record("CreateContainer", "admitted", "satisfied").map(drop)
}

/// A container that goes on running.
async fn stays(stage: &Stage, pod: &Pod, admitted: &Admitted) -> Result<String, Failure> {
    let command = vec!["/hello".to_owned(), "stay".to_owned()];
    let launch = Launch { command, ..by_id(&admitted.id, &admitted.image) };
    let container = stage.cri().create(pod, launch).await?;
    stage.cri().start(&container).await?;
    Ok(container)
}

/// Strikes one thing off; the next create is refused, and the file was in force in time.
async fn strike_off(stage: &Stage, pod: &Pod, strike: &Strike, admitted: &Admitted) -> Outcome {
    let keys = stage.folder().join("keys").display().to_string();
    let options: Vec<String> =
        strike.options.iter().map(|option| option.replace("KEY", &keys)).collect();
    let reason = format!("reason of {}", strike.image);
    let mut args = vec!["--output", "json", "deny", "add", "--reason", &reason];
    args.extend(options.iter().map(String::as_str));
    let dry: Vec<&str> = args.iter().copied().chain(["--dry-run"]).collect();
    let before = fs::read(file(stage)).ok();
    let would: Value = serde_json::from_str(&done_by(stage, &dry)?)?;
    ensure!(would["written"] == false && before == fs::read(file(stage)).ok(), "{would:#}");

    let pace = Pace::now()?;
    let began = Instant::now();
    let said: Value = serde_json::from_str(&done_by(stage, &args)?)?;
    let returned = began.elapsed();
    ensure!(said["in_force"] == true, "{said:#}");
    let launch = by_id(&admitted.id, &admitted.image);
    let refusal = create_refused(stage, pod, launch, strike.no).await?;
    let is_struck_off = strike.no.verdict == "refused";
    ensure!(!is_struck_off || refusal.contains(&reason), "it does not say why: {refusal}");
    let took = in_force(stage, &file(stage), &reason, &pace)?;
    println!(
        "   denied by {}: in force {} ms after the file was written; the command returned after \
         {:.0} ms",
        strike.options[0],
        took.as_millis(),
        returned.as_secs_f64() * 1e3
    );
    let listed = |what: &str| -> usize {
        let all = said[what].as_array().map_or(&[][..], Vec::as_slice);
        all.iter().filter(|one| one["image"].to_string().contains(strike.image)).count()
    };
    let (running, images) = (listed("running"), listed("images"));
    ensure!(running + images == 1, "{running} containers and {images} images: {said:#}");
    // One container goes on running, of the image that is denied by its digest.
    ensure!((running == 1) == (strike.no.reason == "digest-denied"), "{said:#}");
    Ok(())
}

fn file(stage: &Stage) -> PathBuf {
    stage.folder().join("policies/deny.yaml")
}

/// The notes on deny lists in the audit log.
pub fn notes(stage: &Stage) -> Result<Vec<Value>, Failure> {
    let text = fs::read_to_string(stage.folder().join("audit/audit.jsonl"))?;
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(lines.filter(|line| line["note"].get("deny_lists_changed").is_some()).collect())
}

/// How long after the file's change what has this reason was on record as in force.
fn in_force(stage: &Stage, file: &PathBuf, reason: &str, pace: &Pace) -> Result<Duration, Failure> {
    let changed = Timestamp::try_from(fs::metadata(file)?.modified()?)?;
    let notes = notes(stage)?;
    let added =
        |note: &&Value| note["note"]["deny_lists_changed"]["added"].to_string().contains(reason);
    let note =
        notes.iter().find(added).ok_or_else(|| format!("no note of {reason}: {notes:#?}"))?;
    let noted: Timestamp = note["time"].as_str().ok_or("no time")?.parse()?;
    let took = Duration::try_from(noted.duration_since(changed)).unwrap_or_default();
    pace.hold(&format!("{reason}: being in force after the file's change"), took, IN_FORCE)?;
    Ok(took)
}

/// A file that an editor puts there is in force as soon, with no command and no signal.
async fn by_hand(stage: &Stage, pod: &Pod, admitted: &Admitted) -> Outcome {
    let folder = stage.folder().join("policies");
    let (beside, file) = (folder.join(".by-hand"), folder.join("by-hand.yaml"));
    let digest = digest_of("signed-docker", "v1");
    let text = format!(
        "apiVersion: sealgate/v1\nkind: DenyList\nmetadata: {{name: by-hand}}\nspec:\n  digests:\n  \
         # the mail of January\n  - digest: \"{digest}\"\n    reason: by hand\n    \
         date: 2026-01-31T12:00:00Z\n"
    );
    let pace = Pace::now()?;
    fs::write(&beside, text)?;
    fs::rename(&beside, &file)?;
    until("the file is in force", || async {
        notes(stage)
            .is_ok_and(|notes| notes.iter().any(|note| note.to_string().contains("by hand")))
    })
    .await?;
    let no = No::refused("digest-denied");
    create_refused(stage, pod, by_id(&admitted.id, &admitted.image), no).await?;
    let took = in_force(stage, &file, "by hand", &pace)?;
    println!("   a file written by hand: in force {} ms after its change", took.as_millis());
    Ok(())
}

/// The list has every entry, by hand or not, and fits a terminal.
fn is_listed(stage: &Stage) -> Outcome {
    let text = done_by(stage, &["--output", "json", "deny", "list"])?;
    let lines: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let mut kinds: Vec<&str> = lines.iter().filter_map(|line| line["kind"].as_str()).collect();
    kinds.sort_unstable();
    ensure!(kinds == ["digest", "digest", "identity", "key", "repository"], "{text}");
    let shown = done_by(stage, &["deny", "list"])?;
    println!("{shown}");
    for line in shown.lines().filter(|line| !line.starts_with("      ")) {
        ensure!(line.chars().count() <= 80, "wider than a terminal: {line}");
    }
    for strike in strikes() {
        let reason = format!("reason of {}", strike.image);
        ensure!(shown.contains(&reason), "{reason} is not listed: {shown}");
    }
    Ok(())
}

/// The repository is taken back: what is in it runs again, by the evidence on the node.
async fn taken_back(stage: &Stage, pod: &Pod, admitted: &Admitted) -> Outcome {
    let [.., repository] = strikes();
    let said = done_by(stage, &["deny", "remove", &repository.value])?;
    println!("   {}", said.lines().next().unwrap_or_default());
    still_runs(stage, pod, admitted).await?;
    let text = done_by(stage, &["deny", "list"])?;
    ensure!(!text.contains(&repository.value), "still listed: {text}");
    // The entry of the other file is taken back with its number, and that file goes.
    let listed = done_by(stage, &["--output", "json", "deny", "list"])?;
    let lines: Vec<Value> = listed.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let by_hand = lines.iter().find(|line| line["reason"] == "by hand").ok_or("not listed")?;
    done_by(stage, &["deny", "remove", &by_hand["number"].to_string()])?;
    ensure!(!stage.folder().join("policies/by-hand.yaml").exists(), "an empty file is left");
    ensure!(stage.sealgate(&["deny", "remove", "no-such"])?.status.code() == Some(1), "no-such");
    Ok(())
}

/// Every change is a note in the log, with its reason.
fn on_record(stage: &Stage) -> Outcome {
    let notes = notes(stage)?;
    let all = |what: &str| -> Vec<String> {
        let changes = notes.iter().map(|note| &note["note"]["deny_lists_changed"][what]);
        changes
            .flat_map(|list| list.as_array().cloned().unwrap_or_default())
            .map(|entry| entry.to_string())
            .collect()
    };
    let (added, removed) = (all("added"), all("removed"));
    ensure!((added.len(), removed.len()) == (5, 2), "{notes:#?}");
    for strike in strikes() {
        let reason = format!("reason of {}", strike.image);
        ensure!(added.iter().any(|entry| entry.contains(&reason)), "{reason}: {added:#?}");
    }
    println!("   {} notes: {} entries added, {} removed", notes.len(), added.len(), removed.len());
    Ok(())
}

/// What would make the files faulty is not written, and says where.
fn refuses_what_it_must(stage: &Stage) -> Outcome {
    let before = fs::read(file(stage))?;
    for (args, code) in [
        (&["--repository", "a**b", "--reason", "x"][..], 65),
        (&["--key", "/nothing/there", "--reason", "x"], 66),
        (&["--repository", "reg.test/a", "--log-index", "1", "--reason", "x"], 64),
        (&["--repository", "reg.test/a"], 64),
        (&["--reason", "x"], 64),
    ] {
        let args: Vec<&str> = ["deny", "add"].iter().chain(args).copied().collect();
        let output = stage.sealgate(&args)?;
        ensure!(output.status.code() == Some(code), "{args:?}: {output:?}");
        ensure!(fs::read(file(stage))? == before, "{args:?} wrote");
    }
    Ok(())
}
