//! Policies as their authors write them: mistakes, each with what is said of it, and what is sound
//! and likely not meant.
//!
//! Beside each file stands what is expected: for each remark its weight, its code, its line and
//! column, and what it suggests. A mistake is one error, never two.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails loudly, and may say what it saw"
)]

mod bounds;
mod explaining;
mod forms;
mod importing;
mod manners;
mod schema;
#[path = "../support/skipped.rs"]
mod skipped;
mod validator;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sealgate::loader::{Check, CheckSource, Checked, Options, Remark, Severity, TrustOptions};
use sealgate::policy::{FetchedList, PolicyFile};

/// When everything is looked over.
const NOW: &str = "2026-02-01T00:00:00Z";
/// Where the keys are that the cases name.
const KEYS: &str = "tests/fixtures/keys";

/// Looks over one thing, with the keys of the fixtures.
fn check(source: CheckSource) -> Checked {
    look(vec![source], Some(Path::new(KEYS)))
}

fn look(sources: Vec<CheckSource>, keys: Option<&Path>) -> Checked {
    let (options, trust) = (Options::default(), TrustOptions::default());
    let now = NOW.parse().unwrap();
    Check { sources, keys, trust: &trust, options: &options, is_in_force: false, now }.run()
}

fn text(name: &str, text: &str) -> CheckSource {
    CheckSource::Read(PolicyFile { name: name.to_owned(), bytes: text.as_bytes().to_vec() })
}

/// `error unknown-field 5:3 images`
fn line(remark: &Remark) -> String {
    let severity = match remark.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let at = remark.line.zip(remark.column);
    let at = at.map_or_else(|| "-".to_owned(), |(line, column)| format!("{line}:{column}"));
    let suggestion = remark.suggestion.as_ref().map_or(String::new(), |meant| format!(" {meant}"));
    format!("{severity} {} {at}{suggestion}", remark.code)
}

/// The files of a folder of cases, each with what is expected of it.
fn cases(folder: &str) -> Vec<(PathBuf, String)> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending != "expected"));
    files.sort();
    let expected = |file: &PathBuf| fs::read_to_string(file.with_extension("expected")).unwrap();
    files.into_iter().map(|file| (file.clone(), expected(&file))).collect()
}

fn differences(folder: &str) -> (usize, Vec<String>) {
    let cases = cases(folder);
    let differing = cases.iter().filter_map(|(file, expected)| {
        let checked = check(CheckSource::Path(file.clone()));
        let got: Vec<String> = checked.remarks.iter().map(line).collect();
        let messages: Vec<&str> =
            checked.remarks.iter().map(|remark| remark.message.as_str()).collect();
        (got.join("\n") != expected.trim_end()).then(|| {
            format!(
                "{}:\nexpected {expected}got      {}\n{messages:#?}",
                file.display(),
                got.join("\n")
            )
        })
    });
    (cases.len(), differing.collect())
}

#[test]
fn every_mistake_is_one_error_at_its_place() {
    let (count, differing) = differences("tests/policy/mistakes");
    assert!(differing.is_empty(), "{}", differing.join("\n\n"));
    assert_eq!(count, 37);
    for (file, expected) in cases("tests/policy/mistakes") {
        assert_eq!(expected.lines().count(), 1, "{}", file.display());
        assert!(expected.starts_with("error "), "{}", file.display());
    }
}

/// What is sound and likely not meant: every lint has a case of its own, and is all that is said of
/// it.
#[test]
fn every_lint_fires_on_its_own_case() {
    let (_, differing) = differences("tests/policy/lints");
    assert!(differing.is_empty(), "{}", differing.join("\n\n"));
    let named: BTreeSet<String> = cases("tests/policy/lints")
        .into_iter()
        .map(|(file, expected)| {
            let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
            assert_eq!(expected.split(' ').nth(1), Some(name.as_str()), "{}", file.display());
            assert_eq!(expected.lines().count(), 1, "{}", file.display());
            name
        })
        .collect();
    // Each that the program can say: the words in its source.
    let source = fs::read_to_string("src/policy/syntax/advice.rs").unwrap();
    let codes = source.split("pub fn code(").nth(1).unwrap().split("\n    }\n").next().unwrap();
    let codes: BTreeSet<String> = codes.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(codes.len() > 15, "{codes:?}");
    assert_eq!(named, codes);
}

/// The policies that are shipped, and those that documents and the manual page show.
#[test]
fn no_lint_fires_on_what_is_shipped() {
    let mut sources: Vec<CheckSource> = fs::read_dir("packaging/policies")
        .unwrap()
        .map(|entry| CheckSource::Path(entry.unwrap().path()))
        .collect();
    let shipped = sources.len();
    let mut shown = shown();
    // Cases of a test are no policy, and `policy test` reads them.
    shown.retain(|(_, block)| !block.contains("kind: PolicyTest"));
    assert!(shipped >= 7 && shown.len() >= 12, "{shipped} {}", shown.len());
    // A list that is published to be fetched has a reader of its own, which the check asks.
    assert!(shown.iter().any(|(_, block)| FetchedList::is_meant(block.as_bytes())));
    // Each by itself: examples that have nothing to do with each other may have one name.
    sources.extend(shown.iter().map(|(name, block)| text(name, block)));
    for source in sources {
        let said = format!("{source:?}");
        let checked = look(vec![source], None);
        assert_eq!(checked.remarks, [], "{said}");
    }
}

/// The documents that the documentation and the manual page show, each with where.
fn shown() -> Vec<(String, String)> {
    let mut shown = Vec::new();
    for document in documents(Path::new("docs")).into_iter().chain([PathBuf::from("README.md")]) {
        let whole = fs::read_to_string(&document).unwrap();
        let blocks =
            whole.split("\n```yaml\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
        let blocks = blocks.filter(|block| block.starts_with("apiVersion: sealgate/"));
        shown.extend(blocks.map(|block| (document.display().to_string(), block.to_owned())));
    }
    let manual = fs::read_to_string("packaging/man/sealgate-policy.5").unwrap();
    for block in manual.split("\n.EX\n").skip(1) {
        let block = block.split("\n.EE").next().unwrap();
        let block = block.replace("\\(dq", "\"").replace("\\e", "\\").replace("\\-", "-");
        shown.push(("sealgate-policy.5".to_owned(), block));
    }
    shown
}

fn documents(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(documents(&path));
        } else if path.extension().is_some_and(|ending| ending == "md") {
            found.push(path);
        }
    }
    found
}
