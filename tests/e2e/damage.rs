//! What can befall evidence on disk: no space, no writing, files gone, changed, forged; other
//! processes beside the gate, and kills while it writes. Never a wrong answer: without good
//! evidence the registry is asked, and it is said.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use sealgate::image::Digest;
use serde_json::Value;
use tonic::Code;

use crate::acts::{No, create_refused, eventually, past_the_gate};
use crate::containerd::Pod;
use crate::disk::Disk;
use crate::ensure;
use crate::kept::{anew, blobs, done_by, entries, files, folder, offline, online};
use crate::making::{Form, Known, admit, made, runs, runs_from_evidence};
use crate::means::prod;
use crate::registry::Settings;
use crate::signing::Signer;
use crate::stage::{Failure, Outcome, Props, Stage, by_id, usual_policy};

/// Images that are pulled while other processes work on the evidence.
const BESIDE: usize = 12;
/// Kills while evidence is written.
const KILLS: u64 = 6;
/// Milliseconds after a pull within which the gate is killed; the next one takes some 30 ms.
const KILL_WITHIN_MS: u64 = 40;

/// Nothing is known of it here, and nobody can be asked.
const UNREACHABLE: No = No {
    code: Code::Unknown,
    begins: "RegistryUnavailable: ",
    verdict: "unreachable",
    reason: "signatures-unreachable",
};

/// A damage to one file.
type Damage = fn(&Path) -> std::io::Result<()>;

/// What becomes of every file.
const DAMAGES: [(&str, Damage); 6] = [
    ("empty", |path| fs::write(path, b"")),
    ("half", |path| fs::read(path).and_then(|bytes| fs::write(path, &bytes[..bytes.len() / 2]))),
    ("other bytes", |path| fs::write(path, [b"{}", &[0; 100][..]].concat())),
    ("a folder", |path| fs::remove_file(path).and_then(|()| fs::create_dir(path))),
    ("a link to what never ends", |path| {
        fs::remove_file(path).and_then(|()| symlink("/dev/zero", path))
    }),
    ("a pipe that nobody writes to", |path| {
        fs::remove_file(path)?;
        Ok(nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU)?)
    }),
];

async fn stage(alpha: &Signer) -> Result<Stage, Failure> {
    let keys = vec![("alpha.pub".to_owned(), alpha.pem())];
    let policy = usual_policy().replace("files: [build.pub]", "files: [alpha.pub]");
    // A registry that is away is asked once: trying again is another scenario's.
    let config = "registry.retries = 0\n".to_owned();
    Stage::set(Props { registry: Settings::conforming(), policy, keys, config, ..Props::usual()? })
        .await
}

pub async fn faults() -> Outcome {
    let alpha = Signer::p256();
    let mut stage = stage(&alpha).await?;
    let pod = stage.pod().await?;
    no_writing(&mut stage, &pod, &alpha).await?;
    removed(&mut stage, &pod, &alpha).await?;
    damaged(&mut stage, &pod, &alpha).await?;
    one_byte(&mut stage, &pod).await?;
    forged(&mut stage, &pod).await
}

/// A disk that is full, then one that is read-only.
async fn no_writing(stage: &mut Stage, pod: &Pod, alpha: &Signer) -> Outcome {
    stage.kill_gate()?;
    fs::create_dir_all(folder(stage))?;
    let disk = Disk::on(&folder(stage))?;
    stage.start_gate().await?;
    for (what, why) in [("full", "no space left"), ("read-only", "read-only")] {
        online(stage);
        let before = admit(stage, pod, &format!("before-{what}"), Form::Older, &[alpha]).await?;
        if what == "full" {
            disk.fill()?
        } else {
            disk.read_only(true)?
        }
        let during = admit(stage, pod, &format!("during-{what}"), Form::Bundle, &[alpha]).await?;
        let journal = stage.gate_log();
        ensure!(
            journal.contains(why),
            "the journal does not tell of a disk that is {what}:\n{journal}"
        );
        let status = stage.sealgate(&["status"])?;
        let said = String::from_utf8_lossy(&status.stdout).into_owned();
        let line = said.lines().find(|line| line.starts_with("evidence")).unwrap_or_default();
        ensure!(
            line.contains("NOT USABLE IN FULL") && status.status.code() == Some(1),
            "{}: {said}",
            status.status
        );
        println!("   a disk that is {what}: a new image is admitted by the registry; {line}");

        anew(stage).await?;
        let record = runs(stage, pod, &during).await?;
        ensure!(record["source"] == "registry", "from where? {record:#}");
        offline(stage);
        anew(stage).await?;
        runs_from_evidence(stage, pod, &before).await?;
        create_refused(stage, pod, by_id(&during.id, &during.name), UNREACHABLE).await?;

        if what == "full" {
            disk.free()?
        } else {
            disk.read_only(false)?
        }
        online(stage);
        let after = admit(stage, pod, &format!("after-{what}"), Form::Bundle, &[alpha]).await?;
        offline(stage);
        anew(stage).await?;
        for known in [&before, &after] {
            runs_from_evidence(stage, pod, known).await?;
        }
        let code = stage.sealgate(&["status"])?.status.code();
        ensure!(code == Some(0), "afterwards the status is {code:?}");
    }
    stage.kill_gate()?;
    drop(disk);
    online(stage);
    stage.start_gate().await
}

/// The folder goes while the gate runs.
async fn removed(stage: &mut Stage, pod: &Pod, alpha: &Signer) -> Outcome {
    let before = admit(stage, pod, "before-removed", Form::Bundle, &[alpha]).await?;
    fs::remove_dir_all(folder(stage))?;
    runs_from_evidence(stage, pod, &before).await?;
    let after = admit(stage, pod, "after-removed", Form::Bundle, &[alpha]).await?;
    offline(stage);
    anew(stage).await?;
    runs_from_evidence(stage, pod, &after).await?;
    create_refused(stage, pod, by_id(&before.id, &before.name), UNREACHABLE).await?;
    println!("   the folder was removed: what was admitted runs, and what is new is kept again");
    online(stage);
    Ok(())
}

/// Every file is something else.
async fn damaged(stage: &mut Stage, pod: &Pod, alpha: &Signer) -> Outcome {
    let known = admit(stage, pod, "damaged", Form::Older, &[alpha]).await?;
    for (what, damage) in DAMAGES {
        for which in [entries, blobs] {
            let all = which(stage);
            ensure!(!all.is_empty(), "nothing is kept");
            for path in &all {
                damage(path).map_err(|error| format!("{what}: {}: {error}", path.display()))?;
            }
            offline(stage);
            anew(stage).await?;
            create_refused(stage, pod, by_id(&known.id, &known.name), UNREACHABLE).await?;
            online(stage);
            let record = runs(stage, pod, &known).await?;
            ensure!(record["source"] == "registry", "from where? {record:#}");
            offline(stage);
            anew(stage).await?;
            runs_from_evidence(stage, pod, &known).await.map_err(|failure| {
                Failure(format!("{what}, not mended by the registry: {}", failure.0))
            })?;
        }
        println!("   every file is {what}: unreachable without the registry, mended by it");
    }
    online(stage);
    Ok(())
}

/// One byte of one file, each file in turn.
async fn one_byte(stage: &mut Stage, pod: &Pod) -> Outcome {
    fs::remove_dir_all(folder(stage))?;
    anew(stage).await?;
    online(stage);
    let known =
        Known { name: prod("damaged"), id: id_of(stage, "damaged").await?, digest: String::new() };
    runs(stage, pod, &known).await?;
    offline(stage);
    let (mut refused, mut harmless) = (0, 0);
    stage.kill_gate()?;
    let good = [entries(stage), blobs(stage)]
        .concat()
        .into_iter()
        .map(|path| Ok((fs::read(&path)?, path)));
    let good = good.collect::<std::io::Result<Vec<_>>>()?;
    for (bytes, path) in &good {
        for at in [0, bytes.len() / 3, bytes.len() / 2, bytes.len() - 2] {
            stage.kill_gate()?;
            restore(&good)?;
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(path, &changed)?;
            stage.start_gate().await?;
            match stage.cri().create(pod, by_id(&known.id, &known.name)).await {
                // Nothing of what the signature proves was changed: a name for people, a minute.
                Ok(_) => harmless += 1,
                Err(refusal) => {
                    ensure!(refusal.message().starts_with("RegistryUnavailable: "), "{refusal}");
                    refused += 1;
                }
            }
        }
    }
    stage.kill_gate()?;
    restore(&good)?;
    stage.start_gate().await?;
    runs_from_evidence(stage, pod, &known).await?;
    println!(
        "   one byte of one of {} files: {refused} times unreachable, {harmless} times harmless",
        good.len()
    );
    ensure!(refused > harmless, "most changes must be noticed");
    online(stage);
    Ok(())
}

/// Puts files back, whatever became of them.
fn restore(files: &[(Vec<u8>, PathBuf)]) -> Outcome {
    for (bytes, path) in files {
        fs::create_dir_all(path.parent().ok_or("no folder")?)?;
        fs::write(path, bytes)?;
    }
    Ok(())
}

/// Evidence of a signed image under the digest of an unsigned one.
async fn forged(stage: &mut Stage, pod: &Pod) -> Outcome {
    let digest = made(stage, "nobodys", Form::Older, &[]).to_string();
    let name = prod("nobodys");
    let id = past_the_gate(stage, &name).await?;
    let hex = |digest: &str| digest.trim_start_matches("sha256:").to_owned();
    let mut forgeries = 0;
    for path in entries(stage) {
        let mut entry: Value = serde_json::from_slice(&fs::read(&path)?)?;
        for (repository, subject) in [
            (name.trim_end_matches(":v1").to_owned(), digest.clone()),
            (entry["repository"].as_str().unwrap_or_default().to_owned(), digest.clone()),
        ] {
            entry["repository"] = repository.clone().into();
            entry["subject"] = subject.clone().into();
            entry["targets"] = vec![subject.clone()].into();
            let place = format!(
                "{repository}\n{subject}\n{}",
                entry["source"].as_str().unwrap_or_default()
            );
            let at = folder(stage).join("entries").join(hex(&subject));
            fs::create_dir_all(&at)?;
            let file = at.join(format!("{}.json", hex(Digest::of(place.as_bytes()).as_str())));
            fs::write(file, serde_json::to_vec(&entry)?)?;
            forgeries += 1;
        }
    }
    offline(stage);
    anew(stage).await?;
    create_refused(stage, pod, by_id(&id, &name), UNREACHABLE).await?;
    online(stage);
    create_refused(stage, pod, by_id(&id, &name), No::refused("unsigned")).await?;
    println!("   {forgeries} forged entries: an unsigned image is not admitted by them");
    Ok(())
}

async fn id_of(stage: &Stage, name: &str) -> Result<String, Failure> {
    let image = stage.containerd.cri().image(&prod(name)).await?;
    Ok(image.ok_or_else(|| Failure(format!("{name} is not on the node")))?.id)
}

/// Prune, import, verify and list run beside the gate, all the time.
pub async fn two_processes() -> Outcome {
    let alpha = Signer::p256();
    let mut stage = stage(&alpha).await?;
    let pod = stage.pod().await?;
    let first = admit(&stage, &pod, "first", Form::Bundle, &[&alpha]).await?;
    let file = stage.folder().join("evidence.tar").display().to_string();
    done_by(&stage, &["evidence", "export", &first.name, "--out", &file])?;
    let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let others =
        [vec!["prune"], vec!["import", &file], vec!["verify"], vec!["list"]].map(|words| {
            let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_sealgate"));
            command.arg("--config").arg(stage.config()).arg("evidence").args(words);
            let (stop, rounds) = (Arc::clone(&stop), Arc::clone(&rounds));
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let output = command.output().await?;
                    let said = String::from_utf8_lossy(&output.stderr).into_owned();
                    ensure!(output.status.success(), "{command:?}: {} {said}", output.status);
                    rounds.fetch_add(1, Ordering::SeqCst);
                }
                Ok::<_, Failure>(())
            })
        });
    let mut all = vec![first];
    for number in 0..BESIDE {
        let form = if number % 2 == 0 { Form::Older } else { Form::Bundle };
        all.push(admit(&stage, &pod, &format!("beside-{number}"), form, &[&alpha]).await?);
    }
    stop.store(true, Ordering::SeqCst);
    for other in others {
        other.await??;
    }
    offline(&stage);
    anew(&mut stage).await?;
    for known in &all {
        runs_from_evidence(&stage, &pod, known).await?;
    }
    println!(
        "   {} images were admitted while prune, import, verify and list ran {} times; all of them \
         run without a registry",
        all.len(),
        rounds.load(Ordering::SeqCst)
    );
    Ok(())
}

/// Killed while it writes: whatever was answered as admitted is admitted again without a registry.
pub async fn killed() -> Outcome {
    let alpha = Signer::p256();
    let mut stage = stage(&alpha).await?;
    let pod = stage.pod().await?;
    let mut known = Vec::new();
    for round in 0..KILLS {
        online(&stage);
        let names: Vec<String> = (0..8).map(|number| format!("killed-{round}-{number}")).collect();
        for (number, name) in names.iter().enumerate() {
            made(&stage, name, if number % 2 == 0 { Form::Older } else { Form::Bundle }, &[&alpha]);
        }
        let (cri, pulled) = (stage.cri(), Arc::new(AtomicU64::new(0)));
        let count = Arc::clone(&pulled);
        let client = tokio::spawn(async move {
            let mut answered = Vec::new();
            for name in names {
                let name = prod(&name);
                let Ok(id) = cri.pull(&name).await else { break };
                answered.push(Known { name, id, digest: String::new() });
                count.fetch_add(1, Ordering::SeqCst);
            }
            answered
        });
        eventually("pulls", Duration::from_secs(60), async || {
            pulled.load(Ordering::SeqCst) > round % 3
        })
        .await?;
        tokio::time::sleep(Duration::from_millis(round * 7 % KILL_WITHIN_MS)).await;
        stage.kill_gate()?;
        let answered = client.await?;
        offline(&stage);
        stage.start_gate().await?;
        for one in &answered {
            let made = stage.cri().create(&pod, by_id(&one.id, &one.name)).await;
            made.map_err(|refusal| {
                format!("round {round}, {} was admitted, and then: {refusal}", one.name)
            })?;
        }
        known.extend(answered);
    }
    ensure!(known.len() > 4, "only {} pulls were answered before the kills", known.len());
    for one in &known {
        runs_from_evidence(&stage, &pod, one).await?;
    }
    online(&stage);
    let verified = done_by(&stage, &["evidence", "verify"])?;
    done_by(&stage, &["evidence", "prune"])?;
    let left: Vec<_> =
        files(&folder(&stage)).into_iter().filter(|path| is_temporary(path)).collect();
    ensure!(left.is_empty(), "left behind: {left:?}");
    println!(
        "   {KILLS} kills, {} answered admissions, all of them again without a registry; verify: \
         {}",
        known.len(),
        verified.trim()
    );
    Ok(())
}

/// Neither a content under its digest, nor an entry, nor the lock.
fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hex = name.trim_end_matches(".json");
    name != "lock" && !(hex.len() == 64 && hex.chars().all(|letter| letter.is_ascii_hexdigit()))
}
