//! Checkpoints: the log is sealed while it is written, over starts, crashes and rotations, and what
//! was written can be proven afterwards.

use std::fs;
use std::io::Write as _;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use sealgate::audit::check::{self, Against, CheckPlan, LogFault, LogReport, ProveError};
use sealgate::audit::{
    AuditError, CheckpointCause, Log, NoteVerifier, Options, TreeHead, note_text, public, verifier,
};
use sealgate::tlog::{TreeHash, proof};

use crate::heads::writing;
use crate::{admission, beside, clock, folder, records, refusal, small};

/// A sealed log with small files and a checkpoint after each eight records.
pub(crate) fn sealed(folder: &Path, keep: u32) -> Options {
    Options {
        checkpoint_key: folder.join("audit.key"),
        checkpoint_records: NonZeroU64::new(8).unwrap(),
        checkpoint_seconds: NonZeroU64::new(100_000).unwrap(),
        ..small(folder, keep)
    }
}

/// Writes so many records, in order, and closes the log.
pub(crate) async fn written(options: &Options, many: usize) {
    let log = Log::open_sealed(options.clone(), clock(), None).unwrap();
    write(&log, many).await;
    log.close().await.unwrap();
}

/// Writes so many records, which share flushes.
async fn write(log: &Log, many: usize) {
    let mut waits = Vec::new();
    for number in 0..many {
        let record = admission(log, &format!("registry.example.test/app:{number}"));
        waits.push(log.append(record));
        if waits.len() == 50 {
            for outcome in futures_util::future::join_all(waits.drain(..)).await {
                assert!(outcome.unwrap().durable());
            }
        }
    }
    for outcome in futures_util::future::join_all(waits).await {
        assert!(outcome.unwrap().durable());
    }
}

pub(crate) fn key(options: &Options) -> NoteVerifier {
    public(&options.checkpoint_key).unwrap()
}

pub(crate) fn checked(options: &Options) -> LogReport {
    checked_with(options, CheckPlan { key: Some(key(options)), ..CheckPlan::default() })
}

pub(crate) fn checked_with(options: &Options, plan: CheckPlan) -> LogReport {
    let files = check::files_of(&options.path).unwrap();
    check::check(&files, &plan, &mut |_| {}).unwrap()
}

pub(crate) fn head(note: &str) -> TreeHead {
    note_text(note).unwrap().parse().unwrap()
}

/// What checking finds, as words.
pub(crate) fn codes(report: &LogReport) -> Vec<&'static str> {
    report.found.iter().map(|found| found.fault.code()).collect()
}

/// Waits until retention has kept the hashes of what it removed.
fn folded(options: &Options) {
    while beside(&options.path, "gone").exists() {
        std::thread::yield_now();
    }
}

fn rotated(options: &Options, number: u32) -> PathBuf {
    beside(&options.path, &number.to_string())
}

#[tokio::test]
async fn a_log_is_covered_over_starts_and_rotations() {
    let dir = folder();
    let options = sealed(dir.path(), 100);
    for start in 1..=3 {
        written(&options, 200).await;
        let report = checked(&options);
        assert!(report.is_sound() && report.is_told(), "{report:#?}");
        assert_eq!((report.behind, report.before, report.first), (0, 0, Some(0)));
        assert_eq!(report.lines, report.covered + 1, "all but the last checkpoint itself");
        assert_eq!(report.lines - report.checkpoints, start * 200);
    }
    assert!(rotated(&options, 1).exists());
    assert_eq!(records(&options.path).len(), 600, "checkpoints are no records");
    let unpinned = checked_with(&options, CheckPlan::default());
    assert!(unpinned.is_sound() && !unpinned.key_is_known);
    assert_eq!(unpinned.key, Some(key(&options)));
}

#[tokio::test]
async fn a_checkpoint_covers_what_is_written_as_soon_as_it_may_wait_no_longer() {
    let dir = folder();
    let options = Options {
        checkpoint_records: NonZeroU64::new(1000).unwrap(),
        checkpoint_seconds: NonZeroU64::MIN,
        ..sealed(dir.path(), 8)
    };
    let log = Log::open_sealed(options.clone(), clock(), None).unwrap();
    let before = log.seal().entries.unwrap();
    assert_eq!(before, 0, "at the start");
    assert!(log.append(admission(&log, "app:1")).await.unwrap().durable());
    while log.seal().entries == Some(before) {
        tokio::task::yield_now().await;
    }
    let report = checked(&options);
    assert_eq!((report.behind, report.last.unwrap().size), (0, 2));
    log.close().await.unwrap();
}

#[tokio::test]
async fn what_was_written_without_checkpoints_is_not_covered_and_no_fault() {
    let dir = folder();
    let options = sealed(dir.path(), 8);
    let log = Log::open(options.clone(), clock()).unwrap();
    write(&log, 20).await;
    log.close().await.unwrap();
    let report = checked_with(&options, CheckPlan::default());
    assert!(report.is_sound() && !report.is_told());
    assert_eq!((report.before, report.checkpoints), (20, 0));
    written(&options, 20).await;
    let report = checked(&options);
    assert!(report.is_sound() && report.is_told(), "{report:#?}");
    assert_eq!((report.before, report.first), (20, Some(0)));
}

/// As a gate does it: the first line of a start is a head.
#[tokio::test]
async fn the_first_sealed_start_on_a_log_without_checkpoints_is_no_fault() {
    let dir = folder();
    let options = sealed(dir.path(), 8);
    let log = Log::open_as(options.clone(), clock(), writing("one")).unwrap();
    write(&log, 20).await;
    log.close().await.unwrap();
    for _start in 0..2 {
        let log = Log::open_sealed(options.clone(), clock(), Some(writing("one"))).unwrap();
        write(&log, 20).await;
        log.close().await.unwrap();
        let report = checked(&options);
        assert!(report.is_sound() && report.is_told(), "{report:#?}");
        assert_eq!((report.before, report.first), (21, Some(0)));
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_had_stops_no_record() {
    let dir = folder();
    let options = Options { checkpoint_key: dir.path().join("no/key"), ..sealed(dir.path(), 8) };
    let log = Log::open_sealed(options.clone(), clock(), None).unwrap();
    assert!(log.append(admission(&log, "app:1")).await.unwrap().durable());
    let seal = log.seal();
    assert!(seal.entries.is_none() && seal.fault.unwrap().contains("no/key"));
    log.close().await.unwrap();
}

#[tokio::test]
async fn after_a_crash_the_tree_is_found_in_the_lines() {
    let dir = folder();
    let options = sealed(dir.path(), 100);
    let log = Log::open_sealed(options.clone(), clock(), None).unwrap();
    write(&log, 180).await;
    // As a crash leaves it: no checkpoint at the end, and half a line.
    let copy = folder();
    let mut later = sealed(copy.path(), 100);
    later.checkpoint_key.clone_from(&options.checkpoint_key);
    for entry in fs::read_dir(dir.path()).unwrap() {
        let name = entry.unwrap().file_name();
        if name.to_string_lossy().starts_with("audit.jsonl") {
            fs::copy(dir.path().join(&name), copy.path().join(&name)).unwrap();
        }
    }
    log.close().await.unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(&later.path).unwrap();
    file.write_all(b"{\"kind\":\"decision\",\"sch").unwrap();
    drop(file);
    written(&later, 5).await;
    let report = checked(&later);
    assert!(report.is_sound(), "{report:#?}");
    assert_eq!(report.behind, 0);
    let texts = crate::notes(&later.path);
    assert!(texts.iter().any(|note| matches!(note, sealgate::audit::Noted::Recovered { .. })));
}

#[tokio::test]
async fn attack_e4_what_is_done_to_a_log_that_is_being_written_is_found() {
    let dir = folder();
    let options = sealed(dir.path(), 100);
    let log = Log::open_sealed(options.clone(), clock(), None).unwrap();
    write(&log, 20).await;
    let text = fs::read_to_string(&options.path).unwrap();
    let cut: Vec<&str> = text.lines().take(text.lines().count() - 2).collect();
    fs::write(&options.path, cut.join("\n") + "\n").unwrap();
    write(&log, 20).await;
    fs::remove_file(&options.path).unwrap();
    write(&log, 20).await;
    log.close().await.unwrap();
    let report = checked(&options);
    // The file that was removed held all; the one that is there begins behind it.
    let first = report.first.unwrap();
    assert!(first > 40, "{report:#?}");
    assert_eq!(report.found[0].fault, LogFault::Missing { count: first });
    assert_eq!(codes(&report), ["missing"]);
}

#[tokio::test]
async fn what_retention_removed_can_still_be_compared_and_no_more_than_that() {
    let dir = folder();
    let options = sealed(dir.path(), 2);
    written(&options, 30).await;
    let early = checked(&options).note.unwrap();
    written(&options, 1500).await;
    folded(&options);
    written(&options, 30).await;
    let report = checked(&options);
    assert!(report.is_sound(), "{report:#?}");
    assert!(report.first.unwrap() > head(&early).size, "the early records are gone");
    let plan =
        CheckPlan { key: Some(key(&options)), against: Some(head(&early)), ..CheckPlan::default() };
    assert_eq!(checked_with(&options, plan.clone()).against, Some(Against::Continues));
    let other = TreeHead { root: TreeHash::of_leaf(b"other"), ..head(&early) };
    let differs = checked_with(&options, CheckPlan { against: Some(other), ..plan.clone() });
    assert_eq!(differs.against, Some(Against::Differs));
    assert!(!differs.is_sound());
    let last = report.last.unwrap();
    let beyond = TreeHead { size: last.size + 1000, ..last.clone() };
    let cut = checked_with(&options, CheckPlan { against: Some(beyond), ..plan.clone() });
    assert_eq!((cut.against, cut.is_sound()), (Some(Against::CutOff), false));

    let files = check::files_of(&options.path).unwrap();
    let old = head(&early);
    let shown = check::consistency(&files, &old, &last).unwrap();
    assert!(proof::shows_consistency((old.size, old.root), (last.size, last.root), &shown));

    let hashes = beside(&options.path, "hashes");
    let bytes = fs::read(&hashes).unwrap();
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(&hashes, &changed).unwrap();
    assert_eq!(codes(&checked(&options)), ["hashes-changed"]);
    fs::write(&hashes, "{}").unwrap();
    assert!(codes(&checked(&options)).contains(&"hashes-changed"));
    fs::remove_file(&hashes).unwrap();
    let report = checked_with(&options, plan);
    assert_eq!(report.against, Some(Against::Unknown));
    assert_eq!(codes(&report), ["hashes-missing"]);
    let gone = check::consistency(&files, &old, &last);
    assert!(matches!(gone, Err(ProveError::Gone)), "{gone:?}");
    fs::write(&hashes, &bytes).unwrap();
    // Somebody removes more than retention did.
    fs::remove_file(rotated(&options, 2)).unwrap();
    let report = checked(&options);
    assert!(
        matches!(report.found[0].fault, LogFault::Missing { count } if count > 50),
        "{report:#?}"
    );
}

#[tokio::test]
async fn a_record_is_proven_to_who_has_nothing_but_the_key() {
    let dir = folder();
    let options = sealed(dir.path(), 100);
    written(&options, 300).await;
    let key = key(&options);
    let files = check::files_of(&options.path).unwrap();
    for record in [&records(&options.path)[0], &records(&options.path)[222]] {
        let proven = check::prove(&files, &key, record.id).unwrap();
        let text = proven.proof.to_string();
        let read: proof::TlogProof = text.parse().unwrap();
        let head = head(key.open(&read.checkpoint).map(|_| &read.checkpoint).unwrap());
        let leaf = TreeHash::of_leaf(&proven.line);
        assert!(proof::shows_inclusion(leaf, read.index, head.size, &read.hashes, head.root));
        assert!(String::from_utf8(proven.line).unwrap().contains(&record.id.to_string()));
    }
    let absent = "000000000001-00000001-00000001".parse().unwrap();
    assert!(matches!(check::prove(&files, &key, absent), Err(ProveError::NotFound)));
    let text = fs::read_to_string(rotated(&options, 1)).unwrap();
    fs::write(rotated(&options, 1), text.replacen("\"admitted\"", "\"refused\"", 1)).unwrap();
    let record = &records(&options.path)[3];
    assert!(matches!(check::prove(&files, &key, record.id), Err(ProveError::Broken)));
}

#[tokio::test]
async fn a_new_key_is_told_of_and_the_log_goes_on() {
    let dir = folder();
    let options = sealed(dir.path(), 100);
    written(&options, 20).await;
    let old = key(&options);
    fs::remove_file(&options.checkpoint_key).unwrap();
    written(&options, 20).await;
    let new = key(&options);
    assert_ne!(old, new);
    for (pinned, found) in [(None, new.clone()), (Some(old), new.clone())] {
        let report = checked_with(&options, CheckPlan { key: pinned, ..CheckPlan::default() });
        let fault = LogFault::OtherKey { key: found.to_string() };
        assert_eq!(report.found.iter().map(|found| &found.fault).collect::<Vec<_>>(), [&fault]);
        assert_eq!(report.lines, report.covered + 1);
    }
    let report = checked(&options);
    assert_eq!(codes(&report)[0], "other-key", "all of it is by the key before");
}

#[tokio::test]
async fn refusals_and_notes_are_entries_like_any_line() {
    let dir = folder();
    let options = Options { repeat_seconds: NonZeroU64::MIN, ..sealed(dir.path(), 100) };
    let log = Log::open_sealed(options.clone(), clock(), None).unwrap();
    for _ in 0..5 {
        let _the_first_or_counted = log.append(refusal(&log, "app:1")).await.unwrap();
    }
    log.close().await.unwrap();
    assert_eq!(log.close().await, Err(AuditError::Closed));
    let report = checked(&options);
    assert!(report.is_sound(), "{report:#?}");
    assert_eq!(report.lines - report.checkpoints, 2, "the first, and one for the rest");
    assert_eq!(CheckpointCause::Stop.word(), "stop");
    assert_eq!(verifier(&options.checkpoint_key), Ok(key(&options)));
}
