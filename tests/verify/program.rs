//! The program: `sealgate verify-bundle`, driven as sigstore-conformance drives a client, without
//! any configuration.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use sealgate::image::Digest;
use serde_json::Value;

use crate::ledger::{Outcome, Played, faults};
use crate::{conformance, fixtures, keyless};

const ACTIONS: &str = "https://token.actions.githubusercontent.com";

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
    let command =
        command.args(["--config", "/nonexistent/config.toml", "verify-bundle"]).args(arguments);
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn every_conformance_case_by_file_and_by_digest() {
    let Some(folder) = conformance::folder() else { return };
    let public_good = folder.join("public-good-trusted_root.json");
    let mut played = Vec::new();
    for name in conformance::names(&folder) {
        let case = folder.join(&name);
        let path = |file: &str| Some(case.join(file)).filter(|path| path.exists());
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let artifact = path("artifact").unwrap_or_else(|| folder.join("a.txt"));
        let mut arguments = vec!["--bundle".to_owned(), text(&case.join("bundle.sigstore.json"))];
        if let Some(key) = path("key.pub") {
            arguments.extend(["--key".to_owned(), text(&key)]);
        } else {
            let or = |file: &str, other: &str| {
                path(file).map_or_else(|| other.to_owned(), |p| fs::read_to_string(p).unwrap())
            };
            arguments.extend([
                "--certificate-identity".to_owned(),
                or("identity", conformance::IDENTITY),
            ]);
            arguments.extend([
                "--certificate-oidc-issuer".to_owned(),
                or("issuer", conformance::ISSUER),
            ]);
        }
        // Half of those without a root of their own are judged by the shipped one.
        if let Some(root) = path("trusted_root.json")
            .or_else(|| played.len().is_multiple_of(4).then(|| public_good.clone()))
        {
            arguments.extend(["--trusted-root".to_owned(), text(&root)]);
        }
        let digest = Digest::of(&fs::read(&artifact).unwrap()).as_str().to_owned();
        for last in [text(&artifact), digest] {
            let all: Vec<_> = arguments.iter().map(String::as_str).chain([last.as_str()]).collect();
            let (code, out, err) = run(&all);
            played.push(Played {
                case: name.clone(),
                how: format!("{last}: {code:?} {out}{err}"),
                expected: conformance::published(&name),
                actual: match code {
                    Some(0) => Outcome::Accepted,
                    // 65: a key that is none.
                    Some(1 | 2 | 65) => Outcome::Refused,
                    _ => Outcome::Neither,
                },
            });
        }
    }
    let faults = faults(conformance::LEDGER, &played);
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), played.len(), faults.join("\n"));
    assert!(played.len() >= 52, "{}", played.len());
}

/// A bundle of the fixtures in a folder of its own, and the arguments that judge it by the local
/// Sigstore.
struct Hand {
    folder: tempfile::TempDir,
    root: String,
    digest: String,
}

impl Hand {
    fn of(repository: &str) -> Self {
        let (digest, bundle) = keyless::found(repository);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("bundle.json"), bundle).unwrap();
        let root = fixtures::trust_root_path("local").to_str().unwrap().to_owned();
        Self { folder, root, digest: digest.as_str().to_owned() }
    }

    fn path(&self, file: &str) -> String {
        self.folder.path().join(file).to_str().unwrap().to_owned()
    }

    fn judge(&self, who: &[&str], artifact: &str) -> (Option<i32>, String, String) {
        let bundle = self.path("bundle.json");
        run(&[&["--trusted-root", &self.root, "--bundle", &bundle], who, &[artifact]].concat())
    }
}

fn identity(name: &str) -> [&str; 4] {
    ["--certificate-identity", name, "--certificate-oidc-issuer", ACTIONS]
}

#[test]
fn who_when_and_by_what_is_shown() {
    let hand = Hand::of("provenance");
    let (code, out, err) = hand.judge(&identity(keyless::ACME), &hand.digest);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for words in [
        "verified  sha256:",
        keyless::ACME,
        "(uri)",
        ACTIONS,
        "says https://slsa.dev/provenance/v1",
    ] {
        assert!(out.contains(words), "{words} not in {out}");
    }
    for words in [
        "at 2025-06-01T12:00:00Z by the log ",
        "by the timestamp authority ",
        "in the log ",
        ", entry ",
    ] {
        assert!(out.contains(words), "{words} not in {out}");
    }
    let (code, out, _) =
        hand.judge(&[&identity(keyless::ACME)[..], &["--output", "json"]].concat(), &hand.digest);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &told["verdict"], &told["signer"]["identity"]),
        (Some(0), &"verified".into(), &keyless::ACME.into())
    );
    assert_eq!(told["signer"]["extensions"]["sourceRepositoryURI"], "https://github.com/acme/app");
    assert_eq!(told["times"].as_array().unwrap().len(), 2);
    assert!(told["entries"][0]["index"].is_u64(), "{told}");
}

#[test]
fn each_ending_has_its_code() {
    let hand = Hand::of("keyless");
    let repository = fixtures::prod("keyless").tagged("v1");
    fs::write(hand.path("manifest"), repository).unwrap();
    let (manifest, nowhere) = (hand.path("manifest"), hand.path("nowhere"));
    assert_eq!(hand.judge(&identity(keyless::ACME), &manifest).0, Some(0));

    let (code, out, _) = hand
        .judge(&identity("https://github.com/acme/app/.github/workflows/release.yml"), &manifest);
    assert!(
        code == Some(1)
            && out.contains(keyless::ACME)
            && out.contains("expected https://github.com/acme"),
        "{out}"
    );
    let issuer = [
        "--certificate-identity",
        keyless::ACME,
        "--certificate-oidc-issuer",
        "https://accounts.google.com",
    ];
    let (code, out, _) = hand.judge(&issuer, &manifest);
    assert!(
        code == Some(1)
            && out.contains(ACTIONS)
            && out.contains("expected https://accounts.google.com"),
        "{out}"
    );
    let other = Digest::of(b"other");
    assert_eq!(hand.judge(&identity(keyless::ACME), other.as_str()).0, Some(1));
    fs::write(hand.path("key"), fixtures::key("build")).unwrap();
    assert_eq!(hand.judge(&["--key", &hand.path("key")], &manifest).0, Some(1));

    assert_eq!(hand.judge(&identity(keyless::ACME), &nowhere).0, Some(66));
    assert_eq!(hand.judge(&["--key", &nowhere], &manifest).0, Some(66));
    assert_eq!(hand.judge(&["--key", &manifest], &manifest).0, Some(65));
    let who = identity(keyless::ACME);
    let bundle = hand.path("bundle.json");
    let by = |root: &str| {
        run(&[&["--bundle", &bundle, "--trusted-root", root], &who[..], &[&manifest]].concat()).0
    };
    assert_eq!((by(&nowhere), by(&manifest)), (Some(66), Some(65)));
    // By the shipped roots, which know nothing of the local Sigstore.
    assert_eq!(run(&[&["--bundle", &bundle], &who[..], &[&manifest]].concat()).0, Some(1));
    assert_eq!(
        run(&[&["--staging", "--bundle", &bundle], &who[..], &[&manifest]].concat()).0,
        Some(1)
    );

    for wrong in [&["--key", "key", who[0], who[1], who[2], who[3]][..], &who[..2], &who[2..], &[]]
    {
        assert_eq!(hand.judge(wrong, &manifest).0, Some(64), "{wrong:?}");
    }
}

#[test]
fn a_key_without_any_evidence_is_refused_with_the_reason() {
    let hand = Hand::of("signed-v3");
    fs::write(hand.path("key"), fixtures::key("build")).unwrap();
    let (code, out, _) = hand.judge(&["--key", &hand.path("key")], &hand.digest);
    assert!(code == Some(1) && out.contains("transparency logs, expected 1"), "{out}");
    let hand = Hand::of("key-logged");
    fs::write(hand.path("key"), fixtures::key("build")).unwrap();
    let (code, out, _) = hand.judge(&["--key", &hand.path("key")], &hand.digest);
    assert!(code == Some(0) && out.contains("by the key sha256:"), "{out}");
}

/// What is a file of that name is never taken for a digest.
#[test]
fn a_file_with_the_name_of_a_digest_is_a_file() {
    let hand = Hand::of("keyless");
    let judge = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
        command.current_dir(hand.folder.path()).args([
            "verify-bundle",
            "--trusted-root",
            &hand.root,
        ]);
        command.args(["--bundle", "bundle.json"]).args(identity(keyless::ACME)).arg(&hand.digest);
        command.output().unwrap().status.code()
    };
    assert_eq!(judge(), Some(0));
    fs::write(hand.folder.path().join(&hand.digest), b"other").unwrap();
    assert_eq!(judge(), Some(1));
    assert_eq!(hand.judge(&identity(keyless::ACME), "sha256:0123").0, Some(66));
}
