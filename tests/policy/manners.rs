//! How commands behave where there is nothing yet, where a file is not there, and where nobody
//! answers: one code and one text for each, whatever the command.

use std::fs;
use std::process::{Command, Output};

use crate::KEYS;

/// A configuration of a node on which nothing was started yet.
struct Fresh {
    folder: tempfile::TempDir,
}

impl Fresh {
    fn new() -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        fs::create_dir(at("policies")).unwrap();
        fs::create_dir(at("keys")).unwrap();
        let build = format!("{}/{KEYS}/build.pub", env!("CARGO_MANIFEST_DIR"));
        fs::copy(build, at("keys/build.pub")).unwrap();
        fs::write(
            at("policies/app.yaml"),
            "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {name: app}\nspec:\n  images: \
             [\"reg.test/**\"]\n  require: {name: build, key: {files: [build.pub]}}\n",
        )
        .unwrap();
        let config = format!(
            "[policy]\npolicies = \"{}\"\nkeys = \"{}\"\n[audit]\npath = \"{}\"\n[evidence]\npath = \
             \"{}\"\n[control]\nsocket = \"{}\"\n[runtime]\nsocket = \"{}\"\n",
            at("policies"),
            at("keys"),
            at("audit.jsonl"),
            at("evidence"),
            at("control.sock"),
            at("containerd.sock")
        );
        fs::write(at("config.toml"), config).unwrap();
        Self { folder }
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Runs a command with this configuration, named by the environment.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
        let ran = command.args(arguments).env("SEALGATE_CONFIG", self.at("config.toml"));
        let Output { status, stdout, stderr } = ran.output().unwrap();
        let said = String::from_utf8([stdout, stderr].concat()).unwrap();
        assert!(!said.contains("os error"), "{arguments:?}: {said}");
        (status.code(), said)
    }
}

#[test]
fn nothing_recorded_yet_is_no_error() {
    let fresh = Fresh::new();
    for command in [&["audit", "tail"][..], &["policy", "observed"]] {
        let (code, said) = fresh.run(command);
        assert_eq!(code, Some(0), "{command:?}: {said}");
        assert!(said.contains("nothing is recorded yet"), "{command:?}: {said}");
        assert!(said.contains(&fresh.at("audit.jsonl")), "{command:?}: {said}");
    }
    // No runtime answers here, so that the rest cannot be told.
    let (code, said) = fresh.run(&["policy", "diff", &fresh.at("policies")]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("nothing is recorded yet"), "{said}");
}

#[test]
fn a_file_that_is_not_there_has_one_code_and_one_text() {
    let fresh = Fresh::new();
    let (gone, there) = (fresh.at("gone"), fresh.at("policies"));
    let commands = [
        &["policy", "check", &gone][..],
        &["policy", "check", &there, "--keys", &gone],
        &["policy", "explain", "--policies", &gone, "reg.test/a"],
        &["policy", "diff", &gone],
        &["policy", "diff", &there, "--keys", &gone],
        &["policy", "test", &gone],
        &["policy", "test", &there, "--policies", &gone],
        &["verify", "--policies", &gone, "reg.test/a"],
        &["verify", "--file", &gone],
        &["evidence", "import", &gone],
        &["verify-bundle", "--key", &gone, "--bundle", &gone, "/dev/null"],
        &["trust", "update", "--name", "a", "--mirror", "https://a.test", "--root", &gone],
    ];
    for command in commands {
        let (code, said) = fresh.run(command);
        assert_eq!(code, Some(66), "{command:?}: {said}");
        let expected = format!("{gone}: cannot be read: it does not exist");
        assert!(said.contains(&expected), "{command:?}: {said}");
    }
    let (code, said) = fresh.run(&["deny", "add", "--key", &gone, "--reason", "x"]);
    assert!(code == Some(66) && said.contains("it does not exist"), "{code:?}: {said}");
    let (code, said) = fresh.run(&["--config", &gone, "status"]);
    assert!(code == Some(66) && said.contains(&gone), "{code:?}: {said}");
}

#[test]
fn a_gate_that_does_not_answer_is_told_with_its_socket_and_what_was_not_done() {
    let fresh = Fresh::new();
    let socket = fresh.at("control.sock");
    for (command, not_done) in [
        (&["status"][..], "no status"),
        (&["reload"], "not reloaded"),
        (&["canary"], "the gate was not tested"),
        (&["cache", "flush"], "nothing was forgotten"),
        (&["clock", "lower"], "not lowered"),
    ] {
        let (code, said) = fresh.run(command);
        assert_eq!(code, Some(2), "{command:?}: {said}");
        let expected = format!("{not_done}: the gate does not answer on {socket}: ");
        assert!(said.contains(&expected), "{command:?}: {said}");
    }
}

#[test]
fn a_folder_without_a_policy_is_told() {
    let fresh = Fresh::new();
    let empty = fresh.at("empty");
    fs::create_dir(&empty).unwrap();
    let (code, said) = fresh.run(&["policy", "diff", &empty]);
    assert!(code == Some(65) && said.contains("no policy is in it"), "{code:?}: {said}");
    let (code, said) = fresh.run(&["policy", "check", &empty]);
    assert!(code == Some(0) && said.contains("no policy in"), "{code:?}: {said}");
    assert!(said.ends_with("0 documents\n") || said.contains("0 documents, "), "{said}");
    let (code, said) = fresh.run(&["policy", "check"]);
    assert!(code == Some(0) && said.contains("1 document, "), "{code:?}: {said}");
}

#[test]
fn a_key_that_is_missing_beside_named_policies_names_the_option() {
    let fresh = Fresh::new();
    fs::remove_file(fresh.at("keys/build.pub")).unwrap();
    let policies = fresh.at("policies");
    let (code, said) = fresh.run(&["policy", "explain", "--policies", &policies, "reg.test/a"]);
    assert_eq!(code, Some(65), "{said}");
    assert!(said.contains(&format!("--keys {}", fresh.at("keys"))), "{said}");
    let (code, said) = fresh.run(&["policy", "explain", "reg.test/a"]);
    assert!(code == Some(65) && !said.contains("--keys"), "{code:?}: {said}");
}

#[test]
fn a_check_that_stops_early_says_so() {
    let fresh = Fresh::new();
    let twice = format!("{}/tests/policy/mistakes/name-twice.yaml", env!("CARGO_MANIFEST_DIR"));
    let (code, said) = fresh.run(&["policy", "check", &twice]);
    assert_eq!(code, Some(65), "{said}");
    assert!(said.contains("was not looked at: mend this, and check again"), "{said}");
    let (_, json) = fresh.run(&["-o", "json", "policy", "check", &twice]);
    assert!(json.contains("\"cut_short\":true"), "{json}");
}
