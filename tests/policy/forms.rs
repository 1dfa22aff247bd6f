//! `sealgate policy check` as a program: what it reads where nothing is configured, its exit codes,
//! and the forms in which it answers.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Runs it where there is no configuration.
fn run(arguments: &[&str], input: Option<&[u8]>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
    command.args(["policy", "check"]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.unwrap_or_default()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

const MISSPELT: &str = "tests/policy/mistakes/misspelt-field.yaml";
const DEAD: &str = "tests/policy/lints/dead-exclude.yaml";

#[test]
fn people_see_the_line_with_a_caret_and_what_was_meant() {
    let output = run(&[MISSPELT], None);
    assert_eq!(output.status.code(), Some(65));
    let text = text(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with(&format!("{MISSPELT}:5:3: error: ")), "{text}");
    assert!(lines[0].contains("\"images\"") && lines[0].ends_with("[unknown-field]"), "{text}");
    assert_eq!(lines[1], "     5 |   imagse: [\"registry.example.com/app/**\"]", "{text}");
    assert_eq!(lines[2], "       |   ^^^^^^", "{text}");
}

#[test]
fn files_folders_and_standard_input_are_read_without_a_configuration() {
    let sound = run(&[DEAD], None);
    assert_eq!(sound.status.code(), Some(0), "warnings alone: {}", text(&sound));
    assert!(text(&sound).contains("--keys"), "{}", text(&sound));
    let keyed = run(&["--keys", "tests/fixtures/keys", DEAD], None);
    assert!(text(&keyed).contains("generation "), "{}", text(&keyed));
    let both = json(&run(&["--output", "json", MISSPELT, DEAD], None));
    let files: Vec<&str> =
        both["findings"].as_array().unwrap().iter().map(|f| f["file"].as_str().unwrap()).collect();
    assert_eq!(files, [MISSPELT], "what is faulty keeps lints from being asked");
    let folder = json(&run(&["--output", "json", "packaging/policies"], None));
    assert_eq!((&folder["sound"], &folder["findings"]), (&true.into(), &Value::Array(vec![])));
    let piped = run(&["--output", "json", "-"], Some(&fs::read(MISSPELT).unwrap()));
    assert_eq!(piped.status.code(), Some(65));
    let finding = &json(&piped)["findings"][0];
    assert_eq!((&finding["file"], &finding["line"]), (&"stdin".into(), &5.into()));
    let gone = run(&["--output", "json", "tests/policy/nowhere.yaml"], None);
    assert_eq!((gone.status.code(), gone.stdout.len()), (Some(66), 0));
}

#[test]
fn code_scanning_reads_it() {
    let output = run(&["--output", "sarif", MISSPELT], None);
    assert_eq!(output.status.code(), Some(65));
    let log = json(&output);
    let result = &log["runs"][0]["results"][0];
    assert_eq!((&log["version"], &result["ruleId"]), (&"2.1.0".into(), &"unknown-field".into()));
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], MISSPELT);
    assert_eq!(
        (&place["region"]["startLine"], &place["region"]["startColumn"]),
        (&5.into(), &3.into())
    );
    let output = run(&["--output", "github", DEAD], None);
    let expected = format!("::warning file={DEAD},line=6,col=13,title=dead-exclude::");
    assert!(text(&output).starts_with(&expected), "{}", text(&output));
    let other = Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args(["--output", "sarif", "status"])
        .output()
        .unwrap();
    assert_eq!(other.status.code(), Some(64));
}
