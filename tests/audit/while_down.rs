//! Attack E4: what is done to a log while the gate is down, of which the log itself tells nothing. The
//! gate remembers beside its key what it last signed.

use std::fs;
use std::path::Path;

use sealgate::audit::check::{CheckPlan, LogReport};
use sealgate::audit::{FoundBehind, Log, LogCut, Noted, Options, remembered_head};

use crate::sealing::{checked, checked_with, codes, key, sealed, written};
use crate::{beside, clock, folder, notes};

/// A sealed log, closed.
async fn log(records: usize) -> (tempfile::TempDir, Options) {
    let dir = folder();
    let options = sealed(dir.path(), 100);
    written(&options, records).await;
    assert!(checked_here(&options).is_sound());
    (dir, options)
}

/// As `audit verify` does it on the node.
fn checked_here(options: &Options) -> LogReport {
    let remembered = remembered_head(&options.checkpoint_key, &options.path).unwrap();
    let plan = CheckPlan { key: Some(key(options)), remembered, ..CheckPlan::default() };
    checked_with(options, plan)
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

fn put(path: &Path, lines: &[String]) {
    fs::write(path, lines.join("\n") + "\n").unwrap();
}

/// What the notes of a start say of the seal.
fn said(options: &Options) -> Vec<Noted> {
    let is_of_seal = |note: &Noted| {
        matches!(
            note,
            Noted::LogBegan(_) | Noted::LogCut(_) | Noted::FoundBehind(_) | Noted::HeadNotKept(_)
        )
    };
    notes(&options.path).into_iter().filter(is_of_seal).collect()
}

#[tokio::test]
async fn an_honest_log_is_remembered_and_has_nothing_to_note() {
    let (_dir, options) = log(30).await;
    for _start in 0..3 {
        written(&options, 700).await;
        assert!(checked_here(&options).is_sound(), "{:#?}", checked_here(&options));
    }
    assert_eq!(said(&options), []);
    let head = remembered_head(&options.checkpoint_key, &options.path).unwrap();
    assert_eq!(head, checked(&options).last);
}

#[tokio::test]
async fn attack_e4_a_log_that_is_cut_while_the_gate_is_down_goes_on_from_what_was_signed() {
    let (_dir, options) = log(60).await;
    let all = lines(&options.path);
    let signed = checked(&options).last.unwrap().size;
    put(&options.path, &all[..1]);
    assert_eq!(codes(&checked_here(&options)), ["cut-off"]);
    let seal = {
        let log = Log::open_sealed(options.clone(), clock(), None).unwrap();
        let seal = log.seal();
        log.close().await.unwrap();
        seal
    };
    assert!(seal.doubt.is_some(), "{seal:?}");
    assert_eq!(said(&options), [Noted::LogCut(LogCut { from: 0, to: signed })]);
    let report = checked_here(&options);
    assert_eq!(codes(&report), ["missing"], "{report:#?}");
    // The next start has nothing more to say.
    written(&options, 10).await;
    assert_eq!(said(&options).len(), 1);
}

#[tokio::test]
async fn attack_e4_a_log_that_is_removed_or_stripped_while_the_gate_is_down_is_missed() {
    let (_dir, options) = log(60).await;
    let all = lines(&options.path);
    let records: Vec<String> =
        all.iter().filter(|line| !line.contains("\"checkpoint\"")).cloned().collect();
    put(&options.path, &records);
    assert_eq!(codes(&checked_here(&options)), ["no-checkpoint"]);
    fs::remove_file(&options.path).unwrap();
    written(&options, 10).await;
    assert!(matches!(said(&options)[..], [Noted::LogCut(_)]), "{:?}", said(&options));
    assert_eq!(codes(&checked_here(&options)), ["missing"]);
}

#[tokio::test]
async fn attack_e4_a_log_without_what_was_remembered_begins_anew_with_a_note() {
    let (dir, options) = log(60).await;
    fs::remove_file(&options.path).unwrap();
    fs::remove_file(dir.path().join("audit.key.head")).unwrap();
    written(&options, 10).await;
    assert!(matches!(said(&options)[..], [Noted::LogBegan(_)]), "{:?}", said(&options));
}

#[tokio::test]
async fn attack_e4_lines_that_are_added_while_the_gate_is_down_are_named() {
    let (_dir, options) = log(20).await;
    let mut all = lines(&options.path);
    let forged = all.iter().find(|line| line.contains("\"decision\"")).unwrap();
    all.push(forged.replace("app:", "bad:"));
    put(&options.path, &all);
    written(&options, 10).await;
    let notes = said(&options);
    let is_named = |note: &Noted| {
        matches!(
            note,
            Noted::FoundBehind(FoundBehind { lines: 1, first_id: Some(_), stopped: true })
        )
    };
    assert!(notes.len() == 1 && is_named(&notes[0]), "{notes:?}");
    assert_eq!(codes(&checked_here(&options)), ["behind-stop"]);
}

#[tokio::test]
async fn attack_e4_an_own_checkpoint_that_is_put_there_again_rolls_nothing_back() {
    let (dir, options) = log(60).await;
    let all = lines(&options.path);
    let old = all.iter().find(|line| line.contains("\"checkpoint\"")).unwrap().clone();
    put(&options.path, &[&all[..], &[old]].concat());
    // Also where nothing is remembered.
    fs::remove_file(dir.path().join("audit.key.head")).unwrap();
    written(&options, 10).await;
    let report = checked_here(&options);
    assert!(codes(&report).contains(&"doubled"), "{report:#?}");
    assert!(!codes(&report).contains(&"unlike"), "{report:#?}");
}

#[tokio::test]
async fn attack_e4_files_that_are_removed_while_the_gate_is_down_are_not_retention() {
    let (_dir, options) = log(600).await;
    let second = beside(&options.path, "2");
    assert!(second.exists());
    // The last checkpoint is made to say that they were removed by the log.
    let mut all = lines(&options.path);
    let last = all.iter().rposition(|line| line.contains("\"checkpoint\"")).unwrap();
    all[last] = all[last].replace("\"kept_from\":0", "\"kept_from\":400");
    put(&options.path, &all);
    for number in (2..).map(|number| beside(&options.path, &format!("{number}"))) {
        if fs::remove_file(number).is_err() {
            break;
        }
    }
    written(&options, 10).await;
    assert!(codes(&checked_here(&options)).contains(&"missing"));
}

#[tokio::test]
async fn what_is_not_remembered_or_cannot_be_is_said_and_stops_no_record() {
    let (dir, options) = log(20).await;
    let head = dir.path().join("audit.key.head");
    for broken in [None, Some("{}"), Some("x")] {
        match broken {
            Some(text) => fs::write(&head, text).unwrap(),
            None => fs::remove_file(&head).unwrap(),
        }
        let before = said(&options).len();
        written(&options, 10).await;
        assert!(matches!(said(&options)[before..], [Noted::HeadNotKept(_)]), "{broken:?}");
        assert!(checked_here(&options).is_sound());
    }
    // A folder in its place: nothing can be written there.
    fs::remove_file(&head).unwrap();
    fs::create_dir(&head).unwrap();
    fs::write(head.join("there"), "").unwrap();
    written(&options, 10).await;
    assert!(checked(&options).is_sound());
    assert!(matches!(said(&options).last(), Some(Noted::HeadNotKept(_))));
}

#[tokio::test]
async fn attack_e4_a_planted_checkpoint_that_leaves_no_room_is_nobodys_base() {
    let (dir, options) = log(20).await;
    let (_other_dir, other) = log(20).await;
    let theirs = lines(&other.path);
    let theirs = theirs.iter().rfind(|line| line.contains("\"checkpoint\"")).unwrap().clone();
    let end = theirs.find("\\n").unwrap() + 2;
    let rest = theirs[end..].find("\\n").unwrap();
    let huge = format!("{}18446744073709551615{}", &theirs[..end], &theirs[end + rest..]);
    let records: Vec<String> =
        lines(&options.path).into_iter().filter(|line| !line.contains("\"checkpoint\"")).collect();
    put(&options.path, &[&records[..], &[huge]].concat());
    fs::remove_file(dir.path().join("audit.key.head")).unwrap();
    written(&options, 10).await;
    let report = checked(&options);
    assert!(codes(&report).contains(&"checkpoint-invalid"), "{report:#?}");
    assert!(report.last.unwrap().size < 1000, "the tree is the gate's own");
}

#[tokio::test]
async fn attack_e4_names_that_the_log_does_not_write_hide_nothing() {
    let (dir, options) = log(20).await;
    for name in ["audit.jsonl.+7", "audit.jsonl.01", "audit.jsonl.0"] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    assert!(checked_here(&options).is_sound());
    assert!(!notes(&options.path).iter().any(|note| matches!(note, Noted::LogBegan(_))));
}

#[tokio::test]
async fn attack_e4_hashes_that_claim_to_be_beyond_all_are_refused() {
    let (_dir, options) = log(20).await;
    let node = "A".repeat(43) + "=";
    let range = vec![format!("\"{node}\""); 64].join(",");
    let text = format!("{{\"schema\":1,\"first\":18446744073709551615,\"range\":[{range}]}}\n");
    fs::write(beside(&options.path, "hashes"), text + &"x".repeat(64)).unwrap();
    assert_eq!(codes(&checked_here(&options)), ["hashes-changed"]);
}
