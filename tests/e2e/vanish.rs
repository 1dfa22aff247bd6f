//! Policies that vanish under the running gate: an emptied folder, one that hangs.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::acts::{No, create_refused};
use crate::deny::{notes, runs, still_runs};
use crate::ensure;
use crate::kept::done_by;
use crate::means::{digest_of, status, until};
use crate::stage::{Failure, Outcome, Stage, by_id, usual_policy};

/// An emptied folder never replaces policies by itself, and a faulty file nothing.
pub async fn emptied() -> Outcome {
    let stage = Stage::usual().await?;
    let pod = stage.pod().await?;
    let admitted = runs(&stage, &pod, "signed-v2").await?;
    let (_, before) = status(&stage)?;
    let generation = |now: &Value| now["policy"]["generation"].clone();
    let error = |now: &Value| now["policy"]["reload_error"].as_str().unwrap_or_default().to_owned();

    let policy = stage.folder().join("policies/policy.yaml");
    fs::remove_file(&policy)?;
    until("the emptied folder is seen", || async {
        status(&stage).is_ok_and(|(_, now)| error(&now).contains("no policy is left"))
    })
    .await?;
    still_runs(&stage, &pod, &admitted).await?;
    stage.signal("HUP")?;
    for arguments in [&["reload"][..], &["reload", "--allow-lost-list", "fleet"]] {
        let reload = stage.sealgate(arguments)?;
        ensure!(reload.status.code() == Some(1), "an emptied folder was taken: {reload:?}");
    }
    let (code, now) = status(&stage)?;
    ensure!(code == Some(1) && generation(&now) == generation(&before), "{code:?}: {now:#}");
    still_runs(&stage, &pod, &admitted).await?;
    println!("   emptied, told by a signal and by a command: the policies before stay in force");

    fs::write(&policy, "apiVersion: sealgate/v1\nkind: ImagePolcy\n")?;
    let reload = stage.sealgate(&["reload"])?;
    let said = String::from_utf8_lossy(&reload.stdout).into_owned();
    ensure!(reload.status.code() == Some(1) && said.contains("policy.yaml:2:"), "{reload:?}");
    println!("   {}", said.lines().next().unwrap_or_default());

    stage.write_policy(&usual_policy())?;
    until("the policies are back", || async {
        status(&stage).is_ok_and(|(_, now)| {
            now["policy"]["reload_error"].is_null() && generation(&now) == generation(&before)
        })
    })
    .await?;
    let said: Value = serde_json::from_str(&done_by(&stage, &["--output", "json", "reload"])?)?;
    ensure!(said["reloaded"] == true && said["policy"]["documents"] == 2, "{said:#}");

    fs::remove_file(&policy)?;
    let policies = stage.folder().join("policies").display().to_string();
    let said = done_by(&stage, &["reload", "--allow-empty", &policies])?;
    ensure!(said.contains("policies 0"), "{said}");
    let no = No::refused("no-policy");
    create_refused(&stage, &pod, by_id(&admitted.id, &admitted.image), no).await?;
    Ok(())
}

/// A folder that nobody can open: who tries waits in the kernel until this is dropped.
struct Held(Child);

impl Held {
    fn over(folder: &Path) -> Result<Self, Failure> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/hold_folder.py");
        let mut child = Command::new("python3")
            .arg(script)
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let held = Self(child);
        ensure!(
            line == "held\n",
            "the folder cannot be held: fanotify needs root and a kernel with it"
        );
        Ok(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A folder that hangs costs no decision, is given up on, and is watched again when it answers.
pub async fn hanging_policies() -> Outcome {
    let stage = Stage::usual().await?;
    let pod = stage.pod().await?;
    let admitted = runs(&stage, &pod, "signed-v2").await?;
    let error = |now: &Value| now["policy"]["reload_error"].as_str().unwrap_or_default().to_owned();
    let began = Instant::now();
    let held = Held::over(&stage.folder().join("policies"))?;
    until("the folder is given up on", || async {
        status(&stage).is_ok_and(|(_, now)| error(&now).contains("do not answer"))
    })
    .await?;
    println!("   given up on after {:.1} s", began.elapsed().as_secs_f64());
    still_runs(&stage, &pod, &admitted).await?;
    let began = Instant::now();
    let reload = stage.sealgate(&["reload"])?;
    ensure!(reload.status.code() == Some(2), "a folder that hangs was reloaded: {reload:?}");
    println!("   sealgate reload says so after {:.1} s", began.elapsed().as_secs_f64());
    still_runs(&stage, &pod, &admitted).await?;

    drop(held);
    let file: PathBuf = stage.folder().join("policies/late.yaml");
    let digest = digest_of("signed-v2", "v1");
    let text = format!(
        "apiVersion: sealgate/v1\nkind: DenyList\nmetadata: {{name: late}}\nspec: {{digests: \
         [{{digest: \"{digest}\", reason: late, date: 2026-01-31T12:00:00Z}}]}}\n"
    );
    fs::write(file, text)?;
    until("the folder is watched again", || async {
        notes(&stage).is_ok_and(|notes| !notes.is_empty())
    })
    .await?;
    let no = No::refused("digest-denied");
    create_refused(&stage, &pod, by_id(&admitted.id, &admitted.image), no).await?;
    let (_, now) = status(&stage)?;
    ensure!(now["policy"]["reload_error"].is_null(), "{now:#}");
    Ok(())
}
