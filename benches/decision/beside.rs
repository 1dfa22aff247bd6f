//! `sealgate verify` beside `cosign verify`, of the same image in the same registry on this machine, in turns. cosign is
//! told to consult no transparency log, as the gate's key policy does.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use crate::fixtures;
use crate::registry::{Settings, TestRegistry};
use crate::rig;
use crate::support::{Table, configure, median};

const ROUNDS: usize = 15;

pub(crate) fn measure(table: &mut Table) {
    let found = all_cosigns();
    if found.is_empty() {
        table.missing("cosign verify", "no cosign in PATH or unpacked as target/runtimes/<name>/usr/bin");
    }
    let registry = TestRegistry::start(Settings::without_referrers());
    fixtures::load().values().for_each(|repository| rig::put(&registry, repository));
    for (cosign, version) in found {
        compare(table, &registry, &cosign, &format!("older form, cosign {version}"), "signed-v2");
        // cosign 2 reads bundles of attestations alone.
        if version >= 3 {
            compare(table, &registry, &cosign, &format!("bundle, cosign {version}"), "signed-v3");
        }
    }
}

fn compare(table: &mut Table, registry: &TestRegistry, cosign: &Path, what: &str, situation: &str) {
    let folder = configure(Path::new("/nonexistent/containerd.sock"), Some(&registry.url()));
    let ours = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
        command.arg("--config").arg(folder.path().join("config.toml")).args(["verify", &rig::tagged(situation)]);
        command
    };
    let theirs = || {
        let mut command = Command::new(cosign);
        command.arg("verify").arg("--key").arg(folder.path().join("keys/build.pub"));
        command.args(["--insecure-ignore-tlog", "--allow-insecure-registry", "--allow-http-registry"]);
        command.arg(format!("{}/prod/{situation}:v1", registry.host()));
        command.env("HOME", folder.path());
        command
    };
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let runs: [(&mut Vec<f64>, Command); 2] = [(&mut here, ours()), (&mut there, theirs())];
        let runs: Vec<_> = if round % 2 == 0 { runs.into() } else { runs.into_iter().rev().collect() };
        for (times, mut command) in runs {
            let start = Instant::now();
            let output = command.output().expect("the program");
            times.push(start.elapsed().as_secs_f64() * 1e3);
            if !output.status.success() {
                return table.missing(what, &said(&output));
            }
        }
    }
    let (here, there) = (median(here), median(there));
    table.note(what, &format!("{here:.1} ms"), &format!("{there:.1} ms"), Some(here / there));
}

/// The last line that a program wrote to its standard error.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it failed and said nothing").to_owned()
}

/// Every cosign there is, with its major version.
fn all_cosigns() -> Vec<(PathBuf, u32)> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/runtimes");
    let folders = std::fs::read_dir(unpacked).into_iter().flatten().flatten().map(|entry| entry.path().join("usr/bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = env::split_paths(&path).chain(folders).map(|folder| folder.join("cosign")).collect();
    found.retain(|file| file.is_file());
    found.sort();
    found.into_iter().filter_map(|file| version(&file).map(|version| (file, version))).collect()
}

/// A distribution's cosign does not say its version: 3 no longer lists the option that 2 needs for bundles.
fn version(cosign: &Path) -> Option<u32> {
    let output = Command::new(cosign).args(["verify", "--help"]).output().ok().filter(|o| o.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Some(if text.contains("--new-bundle-format") { 2 } else { 3 })
}
