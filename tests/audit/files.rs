//! Group commit, rotation, and files that someone else laid hands on.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};

use sealgate::audit::{AuditError, Noted};
use sealgate::file_trust::OwnershipFault;

use crate::{
    admission, beside, clock, folder, ids, lines, notes, options, records, refusal, small,
};
use sealgate::audit::{Log, Options};

#[tokio::test]
async fn an_append_is_durable_when_it_resolves() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    for n in 0..5 {
        let record = admission(&log, &format!("registry.example.test/app:{n}"));
        assert!(log.append(record.clone()).await.unwrap().durable());
        assert_eq!(records(&options.path).last(), Some(&record));
    }
    assert_eq!(log.counters().written, 5);
    assert_eq!(log.counters().flushes, 5, "one at a time, each has its own");
    let mode = fs::metadata(&options.path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_appends_share_a_flush() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let tasks: Vec<_> = (0..500)
        .map(|n| {
            let log = log.clone();
            tokio::spawn(async move {
                let record = admission(&log, &format!("app:{n}"));
                let id = record.id;
                log.append(record).await.map(|_| id)
            })
        })
        .collect();
    let mut acknowledged = Vec::new();
    for task in tasks {
        acknowledged.push(task.await.unwrap().unwrap());
    }
    let written = ids(&options.path);
    assert_eq!(written.len(), 500);
    assert!(acknowledged.iter().all(|id| written.contains(id)));
    let flushes = log.counters().flushes;
    assert!(flushes < 500, "{flushes} flushes for 500 records");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_under_load_loses_nothing() {
    let dir = folder();
    let options = small(dir.path(), 100);
    let log = Log::open(options.clone(), clock()).unwrap();
    let tasks: Vec<_> = (0..20)
        .map(|task| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for n in 0..50 {
                    let record = admission(&log, &format!("app:{task}-{n}-{}", "x".repeat(700)));
                    acknowledged.push(record.id);
                    assert!(log.append(record).await.unwrap().durable());
                }
                acknowledged
            })
        })
        .collect();
    let mut acknowledged = Vec::new();
    for task in tasks {
        acknowledged.extend(task.await.unwrap());
    }
    assert!(log.counters().rotations >= 10, "{:?}", log.counters());
    let read = records(&options.path);
    assert_eq!(read.len(), 1000, "each once");
    let written = ids(&options.path);
    assert!(acknowledged.iter().all(|id| written.contains(id)));
    for entry in fs::read_dir(dir.path()).unwrap() {
        assert!(entry.unwrap().metadata().unwrap().len() <= 64 << 10);
    }
}

#[tokio::test]
async fn only_as_many_old_files_as_wanted_are_kept() {
    let dir = folder();
    let options = small(dir.path(), 2);
    let log = Log::open(options.clone(), clock()).unwrap();
    fs::write(beside(&options.path, "3"), "left by a configuration that kept more\n").unwrap();
    for n in 0..40 {
        let _recorded =
            log.append(admission(&log, &format!("{n}-{}", "x".repeat(4000)))).await.unwrap();
        let _recorded =
            log.append(admission(&log, &format!("{n}-{}", "y".repeat(4000)))).await.unwrap();
    }
    assert!(log.counters().rotations >= 4);
    for (suffix, there) in [("1", true), ("2", true), ("3", false), ("4", false)] {
        assert_eq!(beside(&options.path, suffix).exists(), there, "{suffix}");
    }
    let read = records(&options.path);
    assert!(read.is_sorted_by_key(|record| record.id), "oldest first");
    assert!(read.last().unwrap().reference.starts_with("39-y"));
}

#[tokio::test]
async fn a_gap_that_a_crash_left_between_old_files_costs_none() {
    let dir = folder();
    let options = small(dir.path(), 4);
    let log = Log::open(options.clone(), clock()).unwrap();
    for number in ["1", "3", "4"] {
        fs::write(beside(&options.path, number), format!("file {number}\n")).unwrap();
    }
    while log.counters().rotations == 0 {
        let _recorded = log.append(admission(&log, &"x".repeat(4000))).await.unwrap();
    }
    let text = |number: &str| fs::read_to_string(beside(&options.path, number)).unwrap();
    assert_eq!(
        (text("2"), text("3"), text("4")),
        ("file 1\n".into(), "file 3\n".into(), "file 4\n".into())
    );
}

#[tokio::test]
async fn a_torn_last_line_is_taken_out_and_kept_in_a_note() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let whole = admission(&log, "whole");
    let _recorded = log.append(whole.clone()).await.unwrap();
    log.close().await.unwrap();
    let torn = r#"{"kind":"decision","schema":1,"id":"0000"#;
    OpenOptions::new()
        .append(true)
        .open(&options.path)
        .unwrap()
        .write_all(torn.as_bytes())
        .unwrap();

    let log = Log::open(options.clone(), clock()).unwrap();
    let next = admission(&log, "next");
    let _recorded = log.append(next.clone()).await.unwrap();
    log.close().await.unwrap();
    assert_eq!(records(&options.path), [whole, next]);
    assert_eq!(
        notes(&options.path),
        [Noted::Recovered { fragment: torn.into(), bytes: torn.len().try_into().unwrap() }]
    );
    assert_eq!(log.counters().recovered, 1);
    assert!(!beside(&options.path, "torn").exists());
}

#[tokio::test]
async fn a_torn_line_that_was_set_aside_before_a_crash_is_noted_by_the_next_start() {
    let dir = folder();
    let options = options(dir.path());
    fs::write(beside(&options.path, "torn"), "first torn\nsecond torn\n").unwrap();
    fs::set_permissions(beside(&options.path, "torn"), fs::Permissions::from_mode(0o600)).unwrap();
    let log = Log::open(options.clone(), clock()).unwrap();
    log.close().await.unwrap();
    let note = |text: &str| Noted::Recovered {
        fragment: text.into(),
        bytes: text.len().try_into().unwrap(),
    };
    assert_eq!(notes(&options.path), [note("first torn"), note("second torn")]);
    assert!(!beside(&options.path, "torn").exists());
}

#[tokio::test]
async fn a_file_that_was_removed_renamed_or_cut_meanwhile_is_begun_again() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let _recorded = log.append(admission(&log, "a")).await.unwrap();
    fs::remove_file(&options.path).unwrap();
    let _recorded = log.append(admission(&log, "b")).await.unwrap();
    assert_eq!(lines(&options.path).len(), 1);
    fs::rename(&options.path, dir.path().join("elsewhere")).unwrap();
    let _recorded = log.append(admission(&log, "c")).await.unwrap();
    assert_eq!(records(&options.path)[0].reference, "c");
    OpenOptions::new().write(true).open(&options.path).unwrap().set_len(10).unwrap();
    let _recorded = log.append(admission(&log, "d")).await.unwrap();
    assert_eq!(records(&options.path)[0].reference, "d");
    assert_eq!(log.counters().disturbed, 3);
    log.close().await.unwrap();
    assert!(
        matches!(&notes(&options.path)[..], [Noted::Recovered { bytes: 10, .. }]),
        "{:?}",
        notes(&options.path)
    );
}

#[tokio::test]
async fn closing_ends_it_and_says_so() {
    let dir = folder();
    let log = Log::open(options(dir.path()), clock()).unwrap();
    let other = log.clone();
    log.close().await.unwrap();
    assert_eq!(other.append(refusal(&other, "a")).await, Err(AuditError::Closed));
    assert_eq!(other.close().await, Err(AuditError::Closed));
    assert_eq!(other.counters().failed, 1);
    let _open_again = Log::open(options(dir.path()), clock()).unwrap();
}

#[tokio::test]
async fn only_one_process_writes_a_log() {
    let dir = folder();
    let options = options(dir.path());
    let _log = Log::open(options.clone(), clock()).unwrap();
    let lock = beside(&options.path, "lock");
    assert_eq!(Log::open(options, clock()).err(), Some(AuditError::InUse { path: lock }));
}

#[test]
fn attack_e4_a_log_that_others_could_write_is_refused() {
    let dir = folder();
    let options = options(dir.path());
    let open = || Log::open(options.clone(), clock()).err();
    let folder = dir.path().canonicalize().unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let fault = OwnershipFault::Writable { path: folder.clone(), mode: 0o777 };
    assert_eq!(open(), Some(AuditError::Unsafe(fault)));
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();

    fs::write(&options.path, "").unwrap();
    fs::set_permissions(&options.path, fs::Permissions::from_mode(0o622)).unwrap();
    let fault = OwnershipFault::Writable { path: options.path.clone(), mode: 0o622 };
    assert_eq!(open(), Some(AuditError::Unsafe(fault)));

    fs::remove_file(&options.path).unwrap();
    symlink("/etc/passwd", &options.path).unwrap();
    assert_eq!(open(), Some(AuditError::NotAFile { path: options.path.clone() }));

    fs::remove_file(&options.path).unwrap();
    fs::write(folder.join("other"), "").unwrap();
    fs::hard_link(folder.join("other"), &options.path).unwrap();
    fs::set_permissions(&options.path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(open(), Some(AuditError::NotAFile { path: options.path.clone() }));

    fs::remove_file(&options.path).unwrap();
    fs::create_dir(&options.path).unwrap();
    assert_eq!(open(), Some(AuditError::NotAFile { path: options.path.clone() }));

    let wide = Options { mode: 0o644, ..options.clone() };
    assert_eq!(Log::open(wide, clock()).err(), Some(AuditError::Mode { mode: 0o644 }));
}
