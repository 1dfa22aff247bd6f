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

/// A key that proves a fetched deny list is part of the set: without it the gate would not start.
#[test]
fn a_missing_key_of_a_fetched_list_is_told_with_the_option_that_names_it() {
    let fresh = Fresh::new();
    let config = fs::read_to_string(fresh.at("config.toml")).unwrap();
    let list = |key: &str| {
        let lists = format!(
            "[policy]\ndeny_lists = [{{name = \"fleet\", source = \"oci://reg.test/deny:v1\", keys \
             = [\"{key}\"]}}]\nfetched = \"{}\"\n",
            fresh.at("deny-lists")
        );
        fs::write(fresh.at("config.toml"), config.replace("[policy]\n", &lists)).unwrap();
    };
    list("build.pub");
    let (code, said) = fresh.run(&["policy", "check"]);
    assert!(code == Some(0) && said.contains("was not fetched yet"), "{code:?}: {said}");
    let (code, said) = fresh.run(&["keys", "list"]);
    assert!(code == Some(0) && said.contains("fetched deny lists: fleet"), "{code:?}: {said}");
    list("biuld.pub");
    let option = "policy.deny_lists[0].keys[0]";
    let missing = format!("{}/biuld.pub", fresh.at("keys"));
    for (command, exit) in [(&["policy", "check"][..], 65), (&["keys", "list"], 65), (&["run"], 65)]
    {
        let (code, said) = fresh.run(command);
        assert_eq!(code, Some(exit), "{command:?}: {said}");
        let place = fresh.at("config.toml");
        for part in [option, &missing, &place] {
            assert!(said.contains(part), "{command:?}: no {part}: {said}");
        }
    }
    let (_, json) = fresh.run(&["-o", "json", "policy", "check"]);
    assert!(json.contains("did you mean \\\"build.pub\\\"?"), "{json}");
}

/// The exit code is the answer, and what is wrong is said all the same.
#[test]
fn a_quiet_command_still_says_what_is_wrong() {
    let fresh = Fresh::new();
    let (code, said) = fresh.run(&["-q", "policy", "check"]);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    fs::write(fresh.at("policies/b.yaml"), "kind: ImagePolicy\n").unwrap();
    for form in ["text", "json", "sarif", "github"] {
        let (code, said) = fresh.run(&["-q", "policy", "check", "-o", form]);
        assert_eq!(code, Some(65), "{form}: {said}");
        assert!(said.starts_with("sealgate: ") && said.contains("b.yaml:1:1"), "{form}: {said}");
    }
    let (code, said) = fresh.run(&["-q", "-o", "json", "policy", "import", &fresh.at("keys")]);
    assert!(code == Some(66) && said.starts_with("sealgate: "), "{code:?}: {said}");
}

#[test]
fn nothing_done_is_no_success_and_leaves_nothing() {
    let fresh = Fresh::new();
    fs::write(fresh.at("none.yaml"), "# nothing\n").unwrap();
    let (code, said) = fresh.run(&["policy", "import", &fresh.at("none.yaml")]);
    assert_ne!(code, Some(0), "{said}");
    fs::write(fresh.at("all.json"), "{\"default\": [{\"type\": \"insecureAcceptAnything\"}]}")
        .unwrap();
    let out = fresh.at("imported");
    let (code, said) = fresh.run(&["policy", "import", &fresh.at("all.json"), "--out", &out]);
    assert!(code == Some(1) && said.contains("nothing is imported"), "{code:?}: {said}");
    // No set of this name; no runtime that could be asked.
    let (code, said) = fresh.run(&["policy", "init", "nothing", "--out", &out]);
    assert_eq!(code, Some(64), "{said}");
    let (code, said) = fresh.run(&["policy", "init", "--from-node", "--out", &out]);
    assert_eq!(code, Some(2), "{said}");
    assert!(fs::metadata(&out).is_err(), "a folder was made for nothing");
    // What cannot be written to is told before the runtime is asked.
    let (file, deep) = (fresh.at("none.yaml"), fresh.at("no/where"));
    for (out, exit) in [(&file, 65), (&deep, 66)] {
        let (code, said) = fresh.run(&["policy", "init", "--from-node", "--out", out]);
        assert!(code == Some(exit) && !said.contains("containerd"), "{code:?}: {said}");
    }
    let (code, said) = fresh.run(&["policy", "init", "kubernetes", "--out", &out]);
    assert!(code == Some(0) && said.contains("30-kubernetes.yaml"), "{code:?}: {said}");
    let (code, said) = fresh.run(&["policy", "init", "kubernetes", "cilium", "--out", &out]);
    assert!(code == Some(2) && said.contains("is there already"), "{code:?}: {said}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
}

/// A list that gates fetch has a head that lists of files do not have.
#[test]
fn a_list_to_publish_is_read_as_gates_read_it() {
    let fresh = Fresh::new();
    let list = fresh.at("deny.yaml");
    let check = |version: &str, spec: &str| {
        let text = format!(
            "apiVersion: sealgate/v1\nkind: DenyList\nmetadata: {{name: fleet, version: {version}, \
             issued: 2026-01-31T00:00:00Z, expires: 2026-02-07T00:00:00Z}}\nspec:\n  {spec}\n"
        );
        fs::write(&list, text).unwrap();
        fresh.run(&["policy", "check", &list])
    };
    let digest = format!(
        "digests: [{{digest: \"sha256:{}\", reason: bad, date: 2026-01-31T00:00:00Z}}]",
        "1".repeat(64)
    );
    let (code, said) = check("7", &digest);
    assert!(code == Some(0) && said.contains("1 document (1 deny list)"), "{code:?}: {said}");
    assert!(said.contains("[list-expired]"), "{said}");
    let (code, said) = check("0", &digest);
    assert!(code == Some(65) && said.contains("metadata.version"), "{code:?}: {said}");
    let all = "repositories: [{pattern: \"**\", reason: bad, date: 2026-01-31T00:00:00Z}]";
    let (code, said) = check("7", all);
    assert!(code == Some(65) && said.contains("[strikes-off-all]"), "{code:?}: {said}");
    assert!(said.contains("[kind-not-usual]"), "{said}");
    // In the folder of a node it is a list of a file, as the gate takes it.
    fs::copy(&list, fresh.at("policies/deny.yaml")).unwrap();
    let (code, said) = fresh.run(&["policy", "check"]);
    assert!(code == Some(65) && said.contains("unknown-field"), "{code:?}: {said}");
}

/// Attack E3: a file may be called anything, and what is said of it stays on its line.
#[test]
fn attack_e3_the_name_of_a_file_is_told_on_one_line() {
    let fresh = Fresh::new();
    let hostile = fresh.at("a\nsealgate: sound: 1 document\u{1b}[2J.yaml");
    for command in [
        &["policy", "check", &hostile][..],
        &["policy", "import", &hostile],
        &["policy", "test", &hostile],
        &["policy", "init", "kubernetes", "--out", &format!("{hostile}/x")],
        &["verify", "--file", &hostile],
        &["verify-bundle", "--bundle", &hostile, "/dev/null", "--key", &hostile],
        &["--config", &hostile, "status"],
        &["evidence", "import", &hostile],
    ] {
        let (code, said) = fresh.run(command);
        assert_eq!(code, Some(66), "{command:?}: {said}");
        assert!(!said.contains('\u{1b}') && !said.contains("\nsealgate: sound"), "{said}");
    }
    fs::write(&hostile, "kind: [").unwrap();
    for command in [&["policy", "check", &hostile][..], &["policy", "import", &hostile]] {
        let (code, said) = fresh.run(command);
        assert_eq!(code, Some(65), "{command:?}: {said}");
        assert!(!said.contains('\u{1b}') && !said.contains("\nsealgate: sound"), "{said}");
    }
}
