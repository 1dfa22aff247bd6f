//! The disk under the audit log is full: what is new waits, what was admitted before still starts.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::acts::eventually;
use crate::containerd::Pod;
use crate::ensure;
use crate::stage::{Failure, HOST, Outcome, Props, Stage, by_id, expect_not_recorded};

/// Creates until the log's last page is full too: a record takes one to two KiB, a page of the disk
/// holds four.
const CREATES_MAX: usize = 20;

/// A small disk of its own, of 1 MiB, for what a folder holds; unmounted when dropped.
pub struct Disk(PathBuf);

impl Disk {
    /// Over this folder.
    pub fn on(folder: &Path) -> Result<Self, Failure> {
        let folder = folder.to_owned();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs"])
            .arg(&folder)
            .status()?;
        ensure!(mounted.success(), "mount: {mounted}");
        Ok(Self(folder))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Lets nobody write, or everybody again.
    pub fn read_only(&self, is_so: bool) -> Outcome {
        let how = if is_so { "remount,ro" } else { "remount,rw" };
        let mounted = Command::new("mount").args(["-o", how]).arg(&self.0).status()?;
        ensure!(mounted.success(), "mount -o {how}: {mounted}");
        Ok(())
    }

    /// Gives the space back.
    pub fn free(&self) -> Outcome {
        Ok(fs::remove_file(self.filler())?)
    }

    /// Writes until nothing more fits.
    pub fn fill(&self) -> Outcome {
        let mut file = fs::File::options().create(true).append(true).open(self.filler())?;
        for size in [4096, 512, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// Fills the disk, and frees it again.
pub async fn audit_full() -> Outcome {
    let config = "audit.reserve_bytes = 0\naudit.repeat_seconds = 1".to_owned();
    let mut stage = Stage::set(Props { config, ..Props::usual()? }).await?;
    stage.kill_gate()?;
    let disk = Disk::on(&stage.folder().join("audit"))?;
    stage.start_gate().await?;

    let (old, new) = (format!("{HOST}/prod/signed-v2:v1"), format!("{HOST}/prod/signed-v3:v1"));
    let id = stage.cri().pull(&old).await?;
    let pod = stage.pod().await?;
    let (exit, _) = stage.cri().run(&pod, by_id(&id, &old)).await?;
    ensure!(exit == 0, "before: {exit}");
    ensure!(stage.sealgate(&["status"])?.status.code() == Some(0), "the status before");
    let good = stage.records().len();

    disk.fill()?;
    let mut creates = 0;
    until_unwritable(&stage, async || {
        creates += 1;
        ensure!(creates < CREATES_MAX, "the disk is full and {creates} creates were recorded");
        stage.cri().create(&pod, by_id(&id, &old)).await?;
        Ok(())
    })
    .await?;
    refused_unwritten(&stage, &pod, &new).await?;
    let (exit, output) = stage.cri().run(&pod, by_id(&id, &old)).await?;
    ensure!(exit == 0, "exit code {exit}: {output}");
    println!("   an image that was admitted before said: {}", output.trim());
    let journal = stage.gate_log();
    ensure!(
        journal.contains("an admission could not be recorded"),
        "the journal does not say so:\n{journal}"
    );

    // A record that is a few bytes shorter than the one before may have found room.
    let text = until_unwritable(&stage, async || {
        stage.cri().create(&pod, by_id(&id, &old)).await?;
        Ok(())
    })
    .await?;
    println!("   {}", text.lines().find(|line| line.starts_with("audit")).unwrap_or_default());

    disk.free()?;
    recovered(&stage, &new, good).await
}

/// There is space again: what is new is admitted, and what was not recorded is noted.
async fn recovered(stage: &Stage, new: &str, good: usize) -> Outcome {
    eventually("new images are admitted again", Duration::from_secs(60), async || {
        stage.cri().pull(new).await.is_ok()
    })
    .await?;
    let status = stage.sealgate(&["status"])?;
    ensure!(
        status.status.code() == Some(0),
        "the status afterwards: {}",
        String::from_utf8_lossy(&status.stdout)
    );
    stage.expect_record("PullImage", "admitted", "satisfied")?;
    let path = stage.folder().join("audit/audit.jsonl");
    let log = || fs::read_to_string(&path).unwrap_or_default();
    eventually("a note tells of what was not recorded", Duration::from_secs(60), async || {
        log().contains("\"lost\"")
    })
    .await?;
    let whole = log().lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok());
    ensure!(whole, "a torn line is in the log");
    println!(
        "   space again: {} decisions more on record, and a note of those that are not",
        stage.records().len() - good
    );
    Ok(())
}

/// A new image is refused while its decision cannot be written, at pull, and at create when it is
/// on the node already.
async fn refused_unwritten(stage: &Stage, pod: &Pod, new: &str) -> Outcome {
    let refusal =
        stage.cri().pull(new).await.err().ok_or("a new image was admitted without a record")?;
    println!("   a new image: {:?}: {}", refusal.code(), refusal.message());
    expect_not_recorded(&refusal)?;
    if let Some(image) = stage.containerd.cri().image(new).await? {
        let refusal = stage
            .cri()
            .create(pod, by_id(&image.id, new))
            .await
            .err()
            .ok_or("created without a record")?;
        expect_not_recorded(&refusal)?;
        println!("   it is on the node, and a container of it is refused as well");
    }
    Ok(())
}

/// Decides something again and again until the gate says that the last record could not be written;
/// how it says so. A shorter record, such as one of what was lost, may find room the next moment.
async fn until_unwritable(
    stage: &Stage,
    mut decide: impl AsyncFnMut() -> Outcome,
) -> Result<String, Failure> {
    loop {
        let status = stage.sealgate(&["status"])?;
        let text = String::from_utf8_lossy(&status.stdout).into_owned();
        if text.contains("NOT WRITABLE") {
            ensure!(status.status.code() == Some(1), "{}: {text}", status.status);
            return Ok(text);
        }
        decide().await?;
    }
}
