//! A disk that fills up under the log: a real file system of a few hundred KiB.

use std::fs;
use std::path::Path;
use std::process::Command;

use sealgate::audit::{AuditError, Log, Noted, Options, Tally};

use crate::skipped::skipped;
use crate::{admission, clock, folder, ids, notes, options, records, refusal};

/// A mounted tmpfs, gone again when this is dropped.
struct Mount(tempfile::TempDir);

impl Mount {
    /// None where this may not be done.
    fn of(kib: u32) -> Option<Self> {
        let dir = folder();
        let size = format!("size={kib}k,mode=0755");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(dir.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(dir)),
            Ok(output) => none(&String::from_utf8_lossy(&output.stderr)),
            Err(error) => none(&error.to_string()),
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

fn none<T>(why: &str) -> Option<T> {
    skipped(&format!("needs root and permission to mount a tmpfs: {why}"));
    None
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: the thread of a log that was dropped may still be about to close its file.
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
        assert!(
            unmounted.is_ok_and(|status| status.success()),
            "umount {}",
            self.0.path().display()
        );
    }
}

/// Takes all the space there is.
fn fill(folder: &Path) {
    let mut bytes = vec![0; 1 << 20];
    while !bytes.is_empty() {
        let ballast = folder.join(format!("ballast-{}", bytes.len()));
        if fs::write(&ballast, &bytes).is_err() {
            fs::remove_file(&ballast).unwrap();
            bytes.truncate(bytes.len() / 2);
        } else if bytes.len() == 1 {
            return;
        } else {
            bytes.truncate(bytes.len() / 2);
        }
    }
}

fn free(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with("ballast") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

#[tokio::test]
async fn a_full_disk_is_said_leaves_no_torn_line_and_is_recovered_from() {
    let Some(mount) = Mount::of(512) else { return };
    let options = options(mount.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    assert!(log.healthy());
    let first = admission(&log, "before");
    let _recorded = log.append(first.clone()).await.unwrap();
    fill(mount.path());
    let mut expected = vec![first.id];
    // What is left of the last page still takes a few.
    let error = loop {
        let record = admission(&log, &"x".repeat(500));
        let id = record.id;
        match log.append(record).await {
            Ok(_) => expected.push(id),
            Err(error) => break error,
        }
    };
    assert_eq!(error, AuditError::Full { path: options.path.clone() });
    assert!(!log.healthy());
    assert_eq!(
        log.append(refusal(&log, &"y".repeat(4000))).await,
        Err(AuditError::Full { path: options.path.clone() })
    );
    assert_eq!(
        ids(&options.path).into_iter().collect::<Vec<_>>(),
        expected,
        "whole lines only, those acknowledged"
    );
    assert_eq!((log.counters().failed, log.counters().failed_admitted), (2, 1));

    free(mount.path());
    let last = admission(&log, "after");
    let _recorded = log.append(last.clone()).await.unwrap();
    assert!(log.healthy());
    log.close().await.unwrap();
    expected.push(last.id);
    assert_eq!(ids(&options.path).into_iter().collect::<Vec<_>>(), expected);
    let told = notes(&options.path);
    let [Noted::Lost(Tally { admitted: 1, refused: 1, unable: 0, unreachable: 0, .. })] = told[..]
    else {
        panic!("expected one note of what was lost, got {told:?}")
    };
}

#[tokio::test]
async fn a_log_opens_on_a_full_disk_and_works_when_there_is_space() {
    let Some(mount) = Mount::of(256) else { return };
    fill(mount.path());
    // tmpfs makes empty files also when it is full; another file system may not.
    let options = options(mount.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    assert_eq!(
        log.append(admission(&log, "a")).await,
        Err(AuditError::Full { path: options.path.clone() })
    );
    free(mount.path());
    assert!(log.append(admission(&log, "b")).await.unwrap().durable());
    assert_eq!(records(&options.path).len(), 1);
}

#[tokio::test]
async fn attack_e11_refusals_leave_the_reserve_to_admissions() {
    let Some(mount) = Mount::of(1024) else { return };
    let options = Options { reserve_bytes: 512 << 10, ..options(mount.path()) };
    let log = Log::open(options.clone(), clock()).unwrap();
    let mut durable = 0;
    for n in 0..900 {
        let recorded =
            log.append(refusal(&log, &format!("{n}-{}", "x".repeat(1500)))).await.unwrap();
        durable += u32::from(recorded.durable());
    }
    assert!((100..500).contains(&durable), "{durable} of 900 refusals were written");
    assert_eq!(log.counters().counted, u64::from(900 - durable));
    let used = fs::metadata(&options.path).unwrap().len();
    assert!(used <= 512 << 10, "{used}");
    for n in 0..200 {
        let recorded =
            log.append(admission(&log, &format!("{n}-{}", "y".repeat(1500)))).await.unwrap();
        assert!(recorded.durable());
    }
    log.close().await.unwrap();
    let told = notes(&options.path);
    let [Noted::Counted(Tally { admitted: 0, refused, .. })] = told[..] else { panic!("{told:?}") };
    assert_eq!(refused, u64::from(900 - durable));
}
