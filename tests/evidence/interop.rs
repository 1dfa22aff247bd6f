//! What others make of an export: skopeo, cosign in both majors, and oras read it as the OCI image
//! layout that it is.
//!
//! skopeo is the machine's own, newer cosigns are those unpacked as
//! `target/runtimes/<name>/usr/bin`. A test whose tool is not there says so; a test that lacks
//! skopeo or any cosign fails.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::fixtures;
use crate::node::Node;
use crate::registry::{Settings, TestRegistry};

const IMAGE: &str = "registry.example.test/prod/signed-both:v1";

/// Every program of this name: the machine's own, and the unpacked ones.
fn programs(name: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file());
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/runtimes");
    let folders = std::fs::read_dir(unpacked).into_iter().flatten().flatten();
    let mut unpacked: Vec<PathBuf> =
        folders.map(|folder| folder.path().join("usr/bin").join(name)).collect();
    unpacked.sort();
    own.into_iter().chain(unpacked.into_iter().filter(|program| program.is_file())).collect()
}

fn needed(name: &str) -> Vec<PathBuf> {
    let programs = programs(name);
    assert!(
        !programs.is_empty(),
        "this test needs {name}: `make test` installs or unpacks it (Debian)"
    );
    programs
}

fn run(program: &Path, arguments: &[&str], folder: &Path) -> Output {
    Command::new(program).args(arguments).current_dir(folder).env("HOME", folder).output().unwrap()
}

/// A node with one image in its store and in `out.tar`; with everything that a registry gives
/// beside the evidence where it is fetched.
fn exported(image: &str, situation: &str, fetch: bool) -> Node {
    let node = Node::new();
    let registry = TestRegistry::start(Settings::without_referrers());
    if fetch {
        node.serve(&registry, &[situation]);
    } else {
        node.keep(situation);
    }
    let fetch = if fetch { &["--fetch"][..] } else { &[] };
    let ran = node.run(&[&["export", image, "--out", "out.tar"], fetch].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    node
}

#[test]
fn skopeo_reads_the_image_by_its_name() {
    for fetch in [false, true] {
        let node = exported(IMAGE, "signed-both", fetch);
        node.unpack("out.tar");
        for skopeo in needed("skopeo") {
            for source in [format!("oci-archive:out.tar:{IMAGE}"), format!("oci:out:{IMAGE}")] {
                let output = run(&skopeo, &["inspect", "--raw", &source], &node.path);
                assert!(
                    output.status.success(),
                    "{source}: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
                assert_eq!(output.stdout, fixtures::prod("signed-both").tagged("v1"), "{source}");
            }
        }
    }
}

/// The older form: cosign looks for the manifest of signatures beside the image, and checks them by
/// itself.
#[test]
fn cosign_verifies_signatures_of_the_older_form() {
    for fetch in [false, true] {
        let node = exported("registry.example.test/prod/signed-v2:v1", "signed-v2", fetch);
        node.unpack("out.tar");
        for cosign in needed("cosign") {
            for (key, good) in [("build", true), ("other", false)] {
                let key = format!("keys/{key}.pub");
                let arguments = [
                    "verify",
                    "--local-image",
                    "--key",
                    &key,
                    "--insecure-ignore-tlog=true",
                    "--output=json",
                    "out",
                ];
                let output = run(&cosign, &arguments, &node.path);
                let err = String::from_utf8_lossy(&output.stderr);
                assert_eq!(
                    output.status.success(),
                    good,
                    "{} {key} fetch={fetch}: {err}",
                    cosign.display()
                );
            }
        }
    }
}

/// Bundles: cosign 3 finds them among the manifests about the image; older ones say that there is
/// no signature.
#[test]
fn cosign_verifies_bundles() {
    let mut verified = 0;
    for fetch in [false, true] {
        let node = exported("registry.example.test/prod/signed-v3:v1", "signed-v3", fetch);
        node.unpack("out.tar");
        for cosign in needed("cosign") {
            let verify = |key: &str| {
                let key = format!("keys/{key}.pub");
                let arguments = [
                    "verify",
                    "--local-image",
                    "--key",
                    &key,
                    "--insecure-ignore-tlog=true",
                    "out",
                ];
                run(&cosign, &arguments, &node.path)
            };
            verified += usize::from(verify("build").status.success());
            assert!(!verify("other").status.success(), "{}", cosign.display());
        }
    }
    assert_eq!(
        verified, 2,
        "this test needs one cosign 3, unpacked as target/runtimes/<name>/usr/bin: `make test` \
         does that"
    );
}

#[test]
fn oras_finds_bundles_as_referrers() {
    let target = fixtures::prod("signed-v3").tags["v1"].clone();
    for fetch in [false, true] {
        let node = exported("registry.example.test/prod/signed-v3:v1", "signed-v3", fetch);
        let carriers = node.json(&["show", &target]).lines()[0]["files"].clone();
        node.unpack("out.tar");
        for oras in needed("oras") {
            let at = format!("out@{target}");
            let output = run(&oras, &["manifest", "fetch", "--oci-layout", &at], &node.path);
            assert_eq!(output.stdout, fixtures::prod("signed-v3").tagged("v1"), "{output:?}");
            let output =
                run(&oras, &["discover", "--oci-layout", "--format", "json", &at], &node.path);
            let found: Value =
                serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
            // The field was renamed in oras 1.3.
            let listed =
                found["referrers"].as_array().or_else(|| found["manifests"].as_array()).unwrap();
            let listed: Vec<&Value> = listed.iter().map(|one| &one["digest"]).collect();
            assert_eq!(listed, [&carriers[0]["digest"]], "{}: {found}", oras.display());
        }
    }
}
