//! `sealgate verify` beside `cosign verify`, of the same image in the same registry on this
//! machine, in turns. With a key cosign is told to consult no transparency log, as the gate's key
//! policy does; keyless both have the same trust root and the network is asked for nothing but the
//! image.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use crate::fixtures;
use crate::registry::{Settings, TestRegistry};
use crate::rig;
use crate::support::{Table, configure_for, median};

const ROUNDS: usize = 15;
/// Who signed the keyless fixtures.
const WORKFLOW: &str = "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1.0.0";
const ISSUER: &str = "https://token.actions.githubusercontent.com";

pub(crate) fn measure(table: &mut Table) {
    let found = all_cosigns();
    if found.is_empty() {
        table.missing(
            "cosign verify",
            "no cosign in PATH or unpacked as target/runtimes/<name>/usr/bin",
        );
    }
    let registry = TestRegistry::start(Settings::without_referrers());
    fixtures::load().values().for_each(|repository| rig::put(&registry, repository));
    for (cosign, version) in found {
        let mut compare = |what: &str, kind, situation| {
            let compared = Compared { registry: &registry, cosign: &cosign, kind, situation };
            compared.measure(table, &format!("{what}, cosign {version}"));
        };
        compare("older form", Kind::Key, "signed-v2");
        // cosign 2 reads bundles of attestations alone.
        if version >= 3 {
            compare("bundle", Kind::Key, "signed-v3");
            compare("keyless, bundle", Kind::Keyless, "keyless");
            compare("keyless, older form", Kind::KeylessOlder, "keyless-v2");
            compare("attestation, bundle", Kind::Attestation, "provenance");
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy)]
enum Kind {
    Key,
    Keyless,
    KeylessOlder,
    Attestation,
}

/// One image, and the program that verifies it as well.
struct Compared<'a> {
    registry: &'a TestRegistry,
    cosign: &'a Path,
    kind: Kind,
    situation: &'a str,
}

impl Compared<'_> {
    fn require(&self) -> String {
        match self.kind {
            Kind::Key => "{name: build, key: {files: [build.pub]}}".to_owned(),
            Kind::Keyless | Kind::KeylessOlder => rig::RELEASE.to_owned(),
            Kind::Attestation => rig::attested(rig::PROVENANCE, ""),
        }
    }

    fn ours(&self, folder: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
        command
            .arg("--config")
            .arg(folder.join("config.toml"))
            .args(["verify", &rig::tagged(self.situation)]);
        command
    }

    fn theirs(&self, folder: &Path) -> Command {
        let mut command = Command::new(self.cosign);
        command.arg(if matches!(self.kind, Kind::Attestation) {
            "verify-attestation"
        } else {
            "verify"
        });
        if matches!(self.kind, Kind::Key) {
            command.arg("--key").arg(folder.join("keys/build.pub")).arg("--insecure-ignore-tlog");
        } else {
            command.arg("--trusted-root").arg(folder.join("trust/local.json"));
            command.args(["--certificate-identity", WORKFLOW, "--certificate-oidc-issuer", ISSUER]);
        }
        match self.kind {
            Kind::Key => {}
            Kind::Keyless => {
                command.arg("--use-signed-timestamps");
            }
            Kind::KeylessOlder => {
                command.args(["--new-bundle-format=false", "--offline"]);
            }
            Kind::Attestation => {
                command.args(["--use-signed-timestamps", "--type", rig::PROVENANCE]);
            }
        }
        command.args(["--allow-insecure-registry", "--allow-http-registry"]);
        command.arg(format!("{}/prod/{}:v1", self.registry.host(), self.situation));
        command.env("HOME", folder);
        command
    }

    fn measure(&self, table: &mut Table, what: &str) {
        let folder = configure_for(
            Path::new("/nonexistent/containerd.sock"),
            Some(&self.registry.url()),
            &self.require(),
        );
        let (ours, theirs) = (|| self.ours(folder.path()), || self.theirs(folder.path()));
        rounds(table, what, ours, theirs);
    }
}

fn rounds(table: &mut Table, what: &str, ours: impl Fn() -> Command, theirs: impl Fn() -> Command) {
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let runs: [(&mut Vec<f64>, Command); 2] = [(&mut here, ours()), (&mut there, theirs())];
        let runs: Vec<_> =
            if round % 2 == 0 { runs.into() } else { runs.into_iter().rev().collect() };
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
    text.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("it failed and said nothing")
        .to_owned()
}

/// Every cosign there is, with its major version.
fn all_cosigns() -> Vec<(PathBuf, u32)> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/runtimes");
    let folders = std::fs::read_dir(unpacked)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("usr/bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> =
        env::split_paths(&path).chain(folders).map(|folder| folder.join("cosign")).collect();
    found.retain(|file| file.is_file());
    found.sort();
    found.into_iter().filter_map(|file| version(&file).map(|version| (file, version))).collect()
}

/// A distribution's cosign does not say its version: 3 no longer lists the option that 2 needs for
/// bundles.
fn version(cosign: &Path) -> Option<u32> {
    let output = Command::new(cosign)
        .args(["verify", "--help"])
        .output()
        .ok()
        .filter(|o| o.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    Some(if text.contains("--new-bundle-format") { 2 } else { 3 })
}
