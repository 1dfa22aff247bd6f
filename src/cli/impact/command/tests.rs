//! What is written and printed, and in which order.

use std::fs;
use std::path::Path;

use clap::Parser;
use serde_json::Value;

use super::*;
use crate::cli::terminal::screen::Output;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// A node without a runtime, a gate and evidence.
fn node() -> (tempfile::TempDir, Settings) {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::default();
    for name in ["policies", "keys"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    settings.policy.policies = dir.path().join("policies").into();
    settings.policy.keys = dir.path().join("keys");
    settings.evidence.path = dir.path().join("evidence");
    settings.audit.path = dir.path().join("audit.jsonl");
    settings.runtime.socket = dir.path().join("nobody.sock");
    settings.control.socket = dir.path().join("no-gate.sock");
    (dir, settings)
}

/// What is printed, as the documents of it where it is all on standard output.
fn asked(args: &[&str], output: Output, settings: &Settings) -> (Exit, String) {
    let line = Line::parse_from(["x"].iter().chain(args));
    let (mut screen, printed) = Screen::into_memory(output);
    let exit = run(&line.options, settings, &mut screen);
    (exit, printed.text())
}

fn documents(printed: &str) -> Vec<Value> {
    printed
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

const DENY: [&str; 5] = ["--log-index", "7", "--deny", "--reason", "INC-1"];

fn is_denied(dir: &Path) -> bool {
    fs::read_to_string(dir.join("policies/deny.yaml")).is_ok_and(|text| text.contains("index: 7"))
}

#[test]
fn what_is_denied_is_written_first_and_all_is_one_document() {
    let (dir, mut settings) = node();
    let (_, printed) = asked(&DENY, Output::Json, &settings);
    assert!(is_denied(dir.path()));
    let documents = documents(&printed);
    let [document] = documents.as_slice() else { panic!("{printed}") };
    assert_eq!(document["deny"]["written"], true, "{printed}");
    assert_eq!(document["deny"]["entry"]["reason"], "INC-1");
    assert!(document["images"].is_array() && document["denied"].is_null());

    // A log that cannot be read holds nothing up.
    let (dir, other) = node();
    settings = other;
    fs::create_dir(&settings.audit.path).unwrap();
    let (exit, printed) = asked(&DENY, Output::Json, &settings);
    assert!(is_denied(dir.path()), "{printed}");
    let documents = self::documents(&printed);
    assert_eq!(documents.len(), 1, "{printed}");
    assert_eq!(documents[0]["unreadable_lines"], 1, "{printed}");
    assert_eq!(exit, Exit::Unable, "no gate says that it is in force");
}

#[test]
fn what_is_denied_already_is_said() {
    let (_dir, settings) = node();
    let (_, first) = asked(&DENY, Output::Text, &settings);
    let (denied, said) = (first.find("denied:").unwrap(), first.find("no admission").unwrap());
    assert!(denied < said, "the stop before the list: {first}");
    let (_, again) = asked(&DENY[..2], Output::Json, &settings);
    let documents = documents(&again);
    assert_eq!(documents.len(), 1, "{again}");
    assert_eq!(documents[0]["denied"]["entry"]["reason"], "INC-1", "{again}");
    assert!(documents[0]["deny"].is_null());
    let (_, words) = asked(&DENY[..2], Output::Text, &settings);
    assert!(words.contains("denied in list"), "{words}");
}
