//! The program: `sealgate trust update` and `sealgate trust list`, their words and exit codes, and
//! what a kill leaves.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::mirror::Reply;
use crate::{Stage, published};

/// A configuration that knows the folders of a stage.
fn configured(stage: &Stage, more: &str) -> std::path::PathBuf {
    let dir = stage.dir.path().canonicalize().unwrap();
    let etc = dir.join("etc");
    fs::create_dir_all(&etc).unwrap();
    fs::write(etc.join("acme.root.json"), stage.repository.first_root()).unwrap();
    let state = stage.state();
    let text = format!(
        "[trust]\nroots = [{etc:?}, {state:?}]\nstate = {state:?}\nupdate = [\"acme\"]\n{more}\n"
    );
    let path = dir.join("config.toml");
    fs::write(&path, text).unwrap();
    path
}

fn command(config: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
    command.arg("--config").arg(config).arg("trust").args(arguments);
    command
}

fn run(config: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command(config, arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn configured_roots_are_refreshed_and_told() {
    let mut stage = Stage::new();
    let config = configured(&stage, &format!("mirrors = {{ acme = {:?} }}", stage.mirror.url()));
    let (code, out, err) = run(&config, &["update"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with("acme: installed, ") && out.contains("timestamp version 1"), "{out}");
    assert!(run(&config, &["update"]).1.starts_with("acme: unchanged, "));
    stage.publish_next();
    let (code, out, _) = run(&config, &["update", "--output", "json"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &told["change"], &told["timestamp_version"]),
        (Some(0), &"replaced".into(), &2.into())
    );
}

#[test]
fn a_private_instance_is_named_on_the_command_line() {
    let stage = Stage::new();
    let config = configured(&stage, "");
    let root = stage.dir.path().canonicalize().unwrap().join("first.root.json");
    fs::write(&root, stage.repository.first_root()).unwrap();
    let arguments = [
        "update",
        "--name",
        "other",
        "--mirror",
        &stage.mirror.url(),
        "--root",
        root.to_str().unwrap(),
    ];
    assert_eq!(run(&config, &arguments).0, Some(0));
    assert_eq!(fs::read(stage.state().join("other.json")).unwrap(), published()[0]);
    let (code, _, err) =
        run(&config, &["update", "--name", "other", "--mirror", &stage.mirror.url()]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("give --root"), "{err}");
    let (code, _, err) = run(&config, &["update", "--name", "../x"]);
    assert_eq!((code, err.contains("cannot be the name")), (Some(2), true), "{err}");
    assert_eq!(run(&config, &["update", "--mirror", "http://x"]).0, Some(64));
}

#[test]
fn a_mirror_that_is_down_is_exit_2_with_the_old_root_in_place() {
    let stage = Stage::updated();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = configured(&stage, &format!("mirrors = {{ acme = \"http://{nobody}\" }}"));
    let (code, out, err) = run(&config, &["update"]);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    assert!(err.contains("the root in place stays") && err.contains(&nobody.to_string()), "{err}");
    assert_eq!(stage.installed(), Some(published()[0].clone()));
    let (code, out, _) = run(&config, &["update", "--output", "json"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert!(code == Some(2) && told["change"].is_null() && told["error"].is_string(), "{out}");
}

/// The environment is not read: a proxy in it is neither used nor waited for.
#[test]
fn a_proxy_of_the_environment_is_not_used() {
    let stage = Stage::new();
    let config = configured(&stage, &format!("mirrors = {{ acme = {:?} }}", stage.mirror.url()));
    let proxy = crate::support::mirror::Mirror::empty();
    let mut command = command(&config, &["update"]);
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(name, proxy.url());
    }
    command.env_remove("NO_PROXY").env_remove("no_proxy");
    assert_eq!(command.output().unwrap().status.code(), Some(0));
    assert_eq!(proxy.asked(), Vec::<String>::new());
}

#[test]
fn a_file_of_the_operator_that_comes_first_is_told() {
    let stage = Stage::new();
    let config = configured(&stage, &format!("mirrors = {{ acme = {:?} }}", stage.mirror.url()));
    let own = stage.dir.path().canonicalize().unwrap().join("etc/acme.json");
    fs::write(&own, &published()[1]).unwrap();
    let (code, _, err) = run(&config, &["update"]);
    assert_eq!(code, Some(0));
    assert!(err.contains(own.to_str().unwrap()) && err.contains("not used"), "{err}");
}

pub struct Ends(pub Child);

impl Drop for Ends {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Killed while it fetches: the old root is there, and the next update goes through.
#[test]
fn a_killed_update_leaves_the_old_root_whole() {
    let mut stage = Stage::updated();
    let config = configured(&stage, &format!("mirrors = {{ acme = {:?} }}", stage.mirror.url()));
    let before = stage.everything();
    stage.publish_next();
    stage.mirror.set_target(Reply::Silence);
    let mut child = Ends(command(&config, &["update"]).stdout(Stdio::null()).spawn().unwrap());
    let asked = || stage.mirror.asked().iter().filter(|path| path.starts_with("/targets/")).count();
    // The first update asked for a target as well.
    for _ in 0..3000 {
        if asked() == 2 {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(asked(), 2, "the update did not come to the target");
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    assert_eq!(stage.everything(), before);
    stage.mirror.publish(&stage.repository);
    assert_eq!(run(&config, &["update"]).0, Some(0));
    assert_eq!(stage.installed(), Some(published()[1].clone()));
}

/// Whoever reads while roots are replaced finds one of them whole; killed at any moment, too.
#[test]
fn a_reader_finds_the_old_root_or_the_new_one() {
    let mut stage = Stage::updated();
    let config = configured(&stage, &format!("mirrors = {{ acme = {:?} }}", stage.mirror.url()));
    let whole = published();
    for round in 0..12 {
        stage.publish_next();
        let mut child = Ends(command(&config, &["update"]).stdout(Stdio::null()).spawn().unwrap());
        // Killed later and later; the last rounds come to their end.
        for _ in 0..round * 5 {
            let read = stage.installed().unwrap();
            assert!(whole.contains(&read), "round {round}");
            thread::sleep(Duration::from_millis(1));
        }
        drop(child.0.kill());
        child.0.wait().unwrap();
        assert!(whole.contains(&stage.installed().unwrap()), "round {round}");
    }
    assert_eq!(run(&config, &["update"]).0, Some(0));
    assert_eq!(stage.installed(), Some(stage.repository.target.clone()));
}

#[test]
fn the_list_tells_every_part_and_fits_the_screen() {
    let stage = Stage::updated();
    let config = configured(&stage, "expiry_warning_days = 40000");
    let state = stage.state();
    let mut root: Value = serde_json::from_slice(&published()[0]).unwrap();
    root["tlogs"][0]["baseUrl"] = format!("https://{}.example/\u{1b}[2J", "a".repeat(200)).into();
    fs::write(state.join("strange.json"), root.to_string()).unwrap();
    fs::write(state.join("broken.json"), "{").unwrap();
    let (code, out, err) = run(&config, &["list"]);
    assert_eq!((code, err.as_str()), (Some(65), ""), "one of them is broken");
    for word in [
        "acme  ",
        "broken  ",
        "strange  ",
        "certificate authority",
        "CT log",
        "timestamp authority",
        "https://rekor.sigstore.dev",
        "2021-01-12 to no end",
        "ends next: ",
        "error: not a trusted root",
        "warning: ",
    ] {
        assert!(out.contains(word), "{word}\n{out}");
    }
    let folder = state.to_str().unwrap();
    let long: Vec<&str> =
        out.lines().filter(|line| line.chars().count() > 80 && !line.contains(folder)).collect();
    assert_eq!(long, Vec::<&str>::new());
    assert!(!out.contains('\u{1b}') && out.contains("…"), "{out}");
    let (_, out, _) = run(&config, &["list", "--output", "json"]);
    let listed: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        listed.iter().map(|root| root["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["acme", "broken", "strange"]
    );
    let kinds: Vec<&str> = listed[0]["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["kind"].as_str().unwrap())
        .collect();
    assert!(kinds.contains(&"certificate-authority") && kinds.contains(&"log"), "{kinds:?}");
}
