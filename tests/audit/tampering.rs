//! Attack E4: a log is changed in every way that somebody thought of, and checking it names each.

use std::fs;
use std::path::{Path, PathBuf};

use sealgate::audit::check::{self, CheckPlan, LogReport};
use sealgate::audit::{Options, SCHEMA};

use crate::sealing::{checked, checked_with, codes, key, sealed, written};
use crate::{beside, folder};

/// A sealed log of some files, closed, and its folder.
async fn log() -> (tempfile::TempDir, Options) {
    let dir = folder();
    let options = sealed(dir.path(), 100);
    written(&options, 600).await;
    assert!(checked(&options).is_sound());
    (dir, options)
}

/// The lines of a file.
fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

fn put(path: &Path, lines: &[String]) {
    fs::write(path, lines.join("\n") + "\n").unwrap();
}

/// Does something to the lines of a file, looks what is found, and puts them back.
fn after(options: &Options, path: &Path, change: impl FnOnce(&mut Vec<String>)) -> LogReport {
    let bytes = fs::read(path).unwrap();
    let mut all = lines(path);
    change(&mut all);
    put(path, &all);
    let report = checked(options);
    fs::write(path, bytes).unwrap();
    assert!(!report.is_sound(), "{report:#?}");
    report
}

/// The place of a line that is no checkpoint, and so the one behind it.
fn place(lines: &[String]) -> usize {
    let is_record = |line: &String| !line.contains("\"checkpoint\"");
    20 + lines.windows(2).skip(20).position(|two| two.iter().all(is_record)).unwrap()
}

/// A checkpoint that says to be about another number of entries.
fn resized(line: &str) -> String {
    let size = line.find("\\n").unwrap() + 2;
    let digit = if line[size..].starts_with('9') { "8" } else { "9" };
    format!("{}{digit}{}", &line[..size], &line[size + 1..])
}

fn one(report: &LogReport, code: &str, path: &Path, line: usize) {
    assert_eq!(codes(report), [code], "{report:#?}");
    let found = report.found.first().unwrap();
    let place = (path, u64::try_from(line).unwrap() + 1);
    assert_eq!((found.file.as_path(), found.line), place, "{found:?}");
    assert!(found.shown_at.is_some());
}

#[tokio::test]
async fn attack_e4_a_line_that_is_changed_cut_moved_doubled_or_added_is_named() {
    let (_dir, options) = log().await;
    for path in [options.path.clone(), beside(&options.path, "2")] {
        let at = place(&lines(&path));
        let report = after(&options, &path, |all| all[at] = all[at].replace("admitted", "refused"));
        one(&report, "changed", &path, at);
        let report = after(&options, &path, |all| all[at].push(' '));
        one(&report, "changed", &path, at);
        let report = after(&options, &path, |all| drop(all.remove(at)));
        one(&report, "missing", &path, at);
        let report = after(&options, &path, |all| all.swap(at, at + 1));
        one(&report, "reordered", &path, at);
        let report = after(&options, &path, |all| all.insert(at + 1, all[at].clone()));
        one(&report, "doubled", &path, at + 1);
        let report = after(&options, &path, |all| all.insert(at, all[at].replace("app", "bad")));
        one(&report, "added", &path, at);
        let newer = format!("\"schema\":{}", SCHEMA + 1);
        let report = after(&options, &path, |all| {
            all[at] = all[at].replace(&format!("\"schema\":{SCHEMA}"), &newer);
        });
        one(&report, "changed", &path, at);
        assert_eq!((report.newer, report.is_told()), (1, false));
    }
}

#[tokio::test]
async fn attack_e4_a_checkpoint_that_is_changed_or_another_nodes_proves_nothing() {
    let (_dir, options) = log().await;
    let (_other_dir, other) = log().await;
    let path = beside(&options.path, "2");
    let all = lines(&path);
    let at = all.iter().rposition(|line| line.contains("\"checkpoint\"")).unwrap();
    let at = all[..at].iter().rposition(|line| line.contains("\"checkpoint\"")).unwrap();
    // In what is signed.
    let report = after(&options, &path, |all| all[at] = resized(&all[at]));
    let changed = codes(&report);
    assert_eq!(changed, ["checkpoint-invalid", "changed"], "{report:#?}");
    // Beside it: it contradicts what is signed.
    let report = after(&options, &path, |all| {
        all[at] = all[at].replace("\"kept_from\":0", "\"kept_from\":9")
    });
    assert_eq!(codes(&report), ["checkpoint-invalid", "changed"]);
    let foreign = lines(&beside(&other.path, "2"))[at].clone();
    let report = after(&options, &path, |all| all[at].clone_from(&foreign));
    assert_eq!(codes(&report), ["foreign-checkpoint", "changed"], "{report:#?}");
    // An earlier one of its own again.
    let report = after(&options, &path, |all| all.insert(at + 1, all[0].clone()));
    assert_eq!(codes(&report), ["doubled", "added"], "{report:#?}");
    // All of them gone.
    let report = after(&options, &path, |all| all.retain(|line| !line.contains("\"checkpoint\"")));
    assert!(codes(&report).contains(&"missing"), "{report:#?}");
}

#[tokio::test]
async fn attack_e4_files_that_are_exchanged_removed_cut_or_anothers_are_named() {
    let (dir, options) = log().await;
    let (_other_dir, other) = log().await;
    let name = |number: u32| beside(&options.path, &number.to_string());
    let exchange = |one: &Path, two: &Path| {
        let aside = dir.path().join("aside");
        fs::rename(one, &aside).unwrap();
        fs::rename(two, one).unwrap();
        fs::rename(&aside, two).unwrap();
    };
    exchange(&name(1), &name(2));
    let report = checked(&options);
    assert_eq!(codes(&report), ["exchanged"], "{report:#?}");
    assert_eq!((report.found[0].file.clone(), report.lines), (name(2).clone(), report.covered + 1));
    exchange(&name(1), &name(2));

    let with_bytes = |path: &Path, bytes: Option<&[u8]>| {
        let kept = fs::read(path).unwrap();
        match bytes {
            Some(bytes) => fs::write(path, bytes).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        let report = checked(&options);
        fs::write(path, kept).unwrap();
        report
    };
    assert_eq!(codes(&with_bytes(&name(2), None)), ["missing"]);
    let oldest: PathBuf = (1..).map(name).take_while(|path| path.exists()).last().unwrap();
    assert_eq!(codes(&with_bytes(&oldest, None)), ["missing"]);
    assert!(codes(&with_bytes(&options.path, None)).contains(&"no-current-file"));
    let text = fs::read(name(2)).unwrap();
    let half = text.len() / 2;
    let report = with_bytes(&name(2), Some(&text[..half]));
    assert!(codes(&report).contains(&"torn"), "{report:#?}");
    assert!(codes(&report).contains(&"missing"), "{report:#?}");
    let second: Vec<u8> = lines(&name(2))[1..].join("\n").into_bytes();
    let headless = with_bytes(&name(2), Some(&[&second[..], b"\n"].concat()));
    assert!(!headless.is_sound());
    let doubled = with_bytes(&name(1), Some(&text));
    assert!(codes(&doubled).contains(&"file-doubled"), "{doubled:#?}");
    let theirs = fs::read(beside(&other.path, "2")).unwrap();
    let report = with_bytes(&name(2), Some(&theirs));
    assert!(codes(&report).contains(&"foreign-checkpoint"), "{report:#?}");
    let long = [&text[..], &b"x".repeat(300_000), b"\n"].concat();
    assert!(codes(&with_bytes(&name(2), Some(&long))).contains(&"too-long"));
}

#[tokio::test]
async fn attack_e4_a_log_of_another_node_or_key_is_not_this_ones() {
    let (_dir, options) = log().await;
    let (_other_dir, other) = log().await;
    let plan = CheckPlan { key: Some(key(&other)), ..CheckPlan::default() };
    let report = checked_with(&options, plan.clone());
    assert_eq!(codes(&report), ["other-key"], "the rest of it holds: {report:#?}");
    let named = check::listed(&[options.path.clone(), beside(&options.path, "1")]).unwrap();
    let report = check::check(&named, &CheckPlan::default(), &mut |_| {}).unwrap();
    assert!(report.is_sound(), "in any order, and without the rest: {report:#?}");
}

/// Every log has a file that begins with entry 0: what a file claims to be is not what it is.
#[tokio::test]
async fn attack_e4_a_file_of_another_node_that_claims_the_same_entries_takes_no_files_place() {
    let (_dir, options) = log().await;
    let (_other_dir, other) = log().await;
    let oldest = |options: &Options| {
        let names = (1..).map(|number| beside(&options.path, &number.to_string()));
        names.take_while(|path| path.exists()).last().unwrap()
    };
    let theirs = fs::read(oldest(&other)).unwrap();
    let second = beside(&options.path, "1");
    let kept = fs::read(&second).unwrap();
    fs::write(&second, &theirs).unwrap();
    let report = checked(&options);
    assert!(codes(&report).contains(&"foreign-checkpoint"), "{report:#?}");
    assert!(!codes(&report).contains(&"file-doubled"), "{report:#?}");
    fs::write(&second, kept).unwrap();
    // In front of all others: these are checked by their own key all the same.
    let whole = checked(&options);
    let lines = u64::try_from(String::from_utf8(theirs.clone()).unwrap().lines().count()).unwrap();
    fs::write(beside(&options.path, "99"), theirs).unwrap();
    let report = checked(&options);
    assert_eq!(codes(&report), ["other-key", "begun-anew"], "{report:#?}");
    assert_eq!((report.lines, report.key), (whole.lines + lines, whole.key));
    assert!(report.covered >= whole.covered);
}

/// What the manual says that no check on the node shows, and what does.
#[tokio::test]
async fn attack_e4_what_is_cut_behind_a_checkpoint_shows_against_a_later_one_alone() {
    let (_dir, options) = log().await;
    let kept = checked(&options).last.unwrap();
    let all = lines(&options.path);
    let last = all.iter().rposition(|line| line.contains("\"checkpoint\"")).unwrap();
    let before = all[..last].iter().rposition(|line| line.contains("\"checkpoint\"")).unwrap();
    put(&options.path, &all[..=before]);
    assert!(checked(&options).is_sound());
    let plan = CheckPlan { key: Some(key(&options)), against: Some(kept), ..CheckPlan::default() };
    let report = checked_with(&options, plan);
    assert_eq!(report.against, Some(check::Against::CutOff));
    assert!(!report.is_sound());
}
