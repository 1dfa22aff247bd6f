//! `sealgate policy import` as a program: it recognises each format, lists what it leaves out with
//! its place, and what it writes is sound to `sealgate policy check`.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Runs `sealgate policy` where there is no configuration.
fn policy(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
    command.arg("policy").args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A document of each format, of which a part cannot be carried over: its `--format`, the file, and
/// where that part is.
fn formats(folder: &Path) -> Vec<(&'static str, String, &'static str)> {
    let key = fs::read_to_string("tests/fixtures/keys/build.pub").unwrap();
    let path = folder.join("build.pub");
    fs::write(&path, &key).unwrap();
    let (path, key) = (path.display().to_string(), Value::from(key));
    vec![
        (
            "policy-json",
            format!(
                "{{\"default\": [{{\"type\": \"reject\"}}],\n \"transports\": {{\"docker\": {{\n  \"reg.example/a\": [{{\"type\": \"sigstoreSigned\", \"keyPath\": \"{path}\"}}],\n  \"reg.example/b\": [{{\"type\": \"signedBy\", \"keyType\": \"GPGKeys\", \"keyPath\": \"/k.gpg\"}}]}}}}}}\n"
            ),
            ":4:",
        ),
        (
            "cluster-image-policy",
            format!(
                "apiVersion: policy.sigstore.dev/v1beta1\nkind: ClusterImagePolicy\nmetadata: {{name: one}}\nspec:\n  images: [{{glob: \"ghcr.io/acme/**\"}}]\n  authorities:\n    - key: {{data: {key}}}\n    - key: {{secretRef: {{name: k}}}}\n"
            ),
            ":8:",
        ),
        (
            "image-validating-policy",
            format!(
                "apiVersion: policies.kyverno.io/v1\nkind: ImageValidatingPolicy\nmetadata: {{name: one}}\nspec:\n  matchImageReferences: [{{glob: \"ghcr.io/acme/*\"}}]\n  attestors: [{{name: a, cosign: {{key: {{data: {key}}}}}}}]\n  validations:\n    - expression: images.containers.map(i, verifyImageSignatures(i, [attestors.a])).all(e, e > 0)\n    - expression: images.containers.size() < 4\n"
            ),
            ":9:",
        ),
        (
            "verify-images",
            format!(
                "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {{name: one}}\nspec:\n  rules:\n    - name: signed\n      match: {{any: [{{resources: {{kinds: [Pod]}}}}]}}\n      verifyImages:\n        - imageReferences: [\"ghcr.io/acme/*\"]\n          attestors: [{{count: 1, entries: [{{keys: {{publicKeys: {key}}}}}, {{keys: {{kms: \"awskms://k\"}}}}]}}]\n"
            ),
            ":10:",
        ),
        (
            "talos",
            format!(
                "apiVersion: v1alpha1\nkind: ImageVerificationConfig\nrules:\n  - {{image: \"ghcr.io/acme/*\", publicKey: {{certificate: {key}}}}}\n  - {{image: \"*.example/*\", skip: true}}\n"
            ),
            ":5:",
        ),
        (
            "connaisseur",
            format!(
                "validators:\n  - {{name: default, type: cosign, trustRoots: [{{name: default, key: {key}}}]}}\npolicy:\n  - {{pattern: \"*:*\"}}\n  - {{pattern: \"ghcr.io/acme/app:v1\", with: {{verifyInTransparencyLog: false}}}}\n"
            ),
            ":5:",
        ),
        (
            "notation",
            "{\"version\": \"1.0\", \"trustPolicies\": [\n {\"name\": \"a\", \"registryScopes\": [\"reg.example/a\"], \"signatureVerification\": {\"level\": \"strict\"}}]}\n".to_owned(),
            ":2:",
        ),
    ]
}

/// Nothing without `--partial`; with it a folder that is sound, each document with its place.
#[test]
fn each_format_is_recognised_and_its_import_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    for (format, text, place) in formats(folder.path()) {
        let file = folder.path().join(format);
        fs::write(&file, &text).unwrap();
        let file = file.to_str().unwrap();
        let strict = policy(&["import", file], "");
        assert_eq!((strict.status.code(), out(&strict)), (Some(1), String::new()), "{format}");
        let said = err(&strict);
        assert!(said.contains(&format!("cannot be carried over: {file}{place}")), "{said}");
        let to = folder.path().join(format!("{format}.d"));
        let written = policy(&["import", "--partial", "--out", to.to_str().unwrap(), file], "");
        assert_eq!(written.status.code(), Some(0), "{}", err(&written));
        assert!(err(&written).contains(&format!("left out: {file}{place}")), "{}", err(&written));
        let (policies, keys) = (to.join("policies"), to.join("keys"));
        fs::create_dir_all(&keys).unwrap();
        let policies = policies.to_str().unwrap();
        let checked = policy(&["check", "--keys", keys.to_str().unwrap(), policies], "");
        assert_eq!(checked.status.code(), Some(0), "{format}: {}", out(&checked));
        let documents = fs::read_to_string(to.join("policies/imported.yaml")).unwrap();
        let origins = documents.matches(&format!("\n# from {file}:")).count();
        assert_eq!(origins, documents.matches("\nkind: ImagePolicy\n").count(), "{documents}");
        assert!(documents.contains("# left out: "), "{documents}");
        // Nothing is replaced.
        let again = policy(&["import", "--partial", "--out", to.to_str().unwrap(), file], "");
        assert_eq!(again.status.code(), Some(2), "{}", err(&again));
    }
}

/// Asked for one format, documents of another are refused; standard input is read as a file is, and
/// printed with `--out -`.
#[test]
fn formats_that_are_asked_for_and_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    for (format, text, _) in formats(folder.path()) {
        let piped = policy(&["import", "--partial", "--out", "-", "-"], &text);
        assert_eq!(piped.status.code(), Some(0), "{format}: {}", err(&piped));
        assert!(out(&piped).contains("# from stdin:"), "{}", out(&piped));
        let asked = policy(&["import", "--partial", "--format", format, "-"], &text);
        assert_eq!(out(&asked), out(&piped), "{format}");
        let other = if format == "talos" { "policy-json" } else { "talos" };
        let refused = policy(&["import", "--partial", "--format", other, "-"], &text);
        assert_eq!((refused.status.code(), out(&refused)), (Some(65), String::new()), "{format}");
        assert!(err(&refused).contains("another format was asked for"), "{}", err(&refused));
        // A document that is in force nowhere points to the command.
        let checked = policy(&["check", "-"], &text);
        assert_eq!(checked.status.code(), Some(65), "{format}");
        assert!(out(&checked).contains("[foreign-document]"), "{}", out(&checked));
        assert!(out(&checked).contains("sealgate policy import"), "{}", out(&checked));
    }
}

#[test]
fn programs_read_what_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (_, text, _) = formats(folder.path()).swap_remove(1);
    let arguments = ["--output", "json", "import", "-"];
    let strict = policy(&arguments, &text);
    assert_eq!(strict.status.code(), Some(1));
    let answer: Value = serde_json::from_slice(&strict.stdout).unwrap();
    assert_eq!((&answer["documents"], &answer["text"]), (&0.into(), &"".into()));
    let left_out = &answer["left_out"][0];
    assert_eq!(
        (&left_out["file"], &left_out["line"], &left_out["field"]),
        (&"stdin".into(), &8.into(), &"spec.authorities[1].key.secretRef".into())
    );
    let partial = policy(&[&arguments[..], &["--partial"]].concat(), &text);
    assert_eq!(partial.status.code(), Some(0));
    let answer: Value = serde_json::from_slice(&partial.stdout).unwrap();
    assert_eq!(answer["documents"], 1);
    let name = answer["files"][0]["name"].as_str().unwrap();
    assert!(answer["text"].as_str().unwrap().contains(name), "{answer}");
    let faulty = policy(&arguments, &text.replace("authorities", "authoritys"));
    let answer: Value = serde_json::from_slice(&faulty.stdout).unwrap();
    assert_eq!(faulty.status.code(), Some(65));
    assert!(!answer["errors"].as_array().unwrap().is_empty(), "{answer}");
    let gone = policy(&["import", "/nowhere/policy.json"], "");
    assert_eq!(gone.status.code(), Some(66), "{}", err(&gone));
}
