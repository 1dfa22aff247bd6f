//! `sealgate policy explain` as a program, and how long it takes.

use std::fs;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use sealgate::evidence::Pod;
use sealgate::image::Reference;
use sealgate::loader::{self, Options, TrustOptions};
use serde_json::Value;

use crate::KEYS;

fn explain(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
    command.args(["policy", "explain", "--keys", KEYS]).args(arguments).output().unwrap()
}

fn folder(documents: &[String]) -> tempfile::TempDir {
    let folder = tempfile::TempDir::new().unwrap();
    for (number, document) in documents.iter().enumerate() {
        fs::write(folder.path().join(format!("{number:04}.yaml")), document).unwrap();
    }
    folder
}

fn document(number: usize, images: &str) -> String {
    format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: p{number}}}\nspec:\n  \
         images: [{images}]\n  require: {{name: build, key: {{files: [build.pub]}}}}\n"
    )
}

#[test]
fn a_refused_person_sees_each_document_and_the_field_that_decided() {
    let folder = folder(&[
        document(0, "\"registry.example.com/prod/**\""),
        document(1, "\"registry.example.com/mirror/app\""),
    ]);
    let at = folder.path().to_str().unwrap();
    let image = "registry.example.com/prod/app:1.2";
    let output = explain(&["--policies", at, "--output", "json", image]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let documents = answer["documents"].as_array().unwrap();
    assert_eq!((&documents[0]["matches"], &documents[1]["matches"]), (&true.into(), &false.into()));
    assert_eq!(documents[0]["by"][0]["field"], "spec.images[0]");
    assert_eq!(documents[1]["by"][0]["field"], "spec.images");
    assert_eq!(answer["outcome"]["policies"], serde_json::json!(["p0"]));
    assert_eq!(answer["places"].as_array().unwrap().len(), 3);
    let wants = documents[0]["asks"]["wants"].as_str().unwrap();
    assert!(wants.starts_with("valid signature by key build.pub (sha256:"), "{wants}");
    let text = String::from_utf8(explain(&["--policies", at, image]).stdout).unwrap();
    assert!(text.contains(wants) && text.contains("spec.images[0]"), "{text}");
    // The words of a refusal, where nothing could admit it.
    let other = explain(&["--policies", at, "--output", "json", "other.example/app"]);
    assert_eq!(other.status.code(), Some(1));
    let answer: Value = serde_json::from_slice(&other.stdout).unwrap();
    assert_eq!(answer["outcome"]["is"], "noPolicy");
    let message = answer["message"].as_str().unwrap();
    assert!(message.starts_with("no policy matches other.example/app"), "{message}");
    assert_eq!(explain(&["--policies", at, "Not An Image"]).status.code(), Some(64));
    assert_eq!(explain(&["--policies", "tests/policy/mistakes", image]).status.code(), Some(65));
}

/// The field that decided is the image's where its labels did, and an Exception's list of digests.
#[test]
fn labels_of_an_image_and_listed_digests_decide_by_their_fields() {
    let hex = format!("sha256:{}", "a".repeat(64));
    let selecting = document(0, "\"registry.example.com/prod/**\"")
        .replace("  require:", "  imageLabels: {com.example/data: card*}\n  require:");
    let exception = format!(
        "apiVersion: sealgate/v1\nkind: Exception\nmetadata: {{name: hotfix}}\nspec:\n  digests: \
         [\"{hex}\"]\n  expires: 2026-02-15T00:00:00Z\n  owner: o\n  reason: r\n"
    );
    let folder = folder(&[selecting, exception]);
    let at = folder.path().to_str().unwrap();
    let of = |image: &str, more: &[&str]| {
        let all = [&["--policies", at, "--output", "json", image], more].concat();
        let answer: Value = serde_json::from_slice(&explain(&all).stdout).unwrap();
        let documents = answer["documents"].as_array().unwrap().clone();
        documents.into_iter().map(|one| (one["matches"].clone(), one["by"].clone()))
    };
    let image = "registry.example.com/prod/app:1.2";
    for (labels, matches, said) in [
        (&["--image-labels", "com.example/data=cardholder"][..], true, "com.example/data=card*"),
        (&["--image-labels", ""], false, "the image does not meet com.example/data=card*"),
        (&[], true, "com.example/data=card*"),
    ] {
        let (matched, by) = of(image, labels).next().unwrap();
        assert_eq!(matched, matches, "{labels:?}: {by}");
        let field = by.as_array().unwrap().iter().find(|one| one["field"] == "spec.imageLabels");
        let told = field.unwrap()["said"].as_str().unwrap().to_owned();
        assert!(told.ends_with(said), "{labels:?}: {told}");
    }
    let pinned = format!("registry.example.com/prod/app@{hex}");
    let other = format!("registry.example.com/prod/app@sha256:{}", "b".repeat(64));
    for (image, matches, field, said) in [
        (image, false, "spec.digests", "not known here"),
        (&other, false, "spec.digests", "lists other digests"),
        (&pinned, true, "spec.digests[0]", hex.as_str()),
    ] {
        let (matched, by) = of(image, &[]).next_back().unwrap();
        assert_eq!((&matched, &by[0]["field"]), (&matches.into(), &field.into()), "{image}: {by}");
        assert!(by[0]["said"].as_str().unwrap().contains(said), "{by}");
    }
}

/// As many documents as a set may have: to explain takes no longer than to load them, and of usual
/// sets next to nothing.
#[test]
fn explaining_takes_no_longer_than_loading() {
    for (count, least) in [(50, Duration::from_millis(50)), (4096, Duration::from_millis(500))] {
        let images = |n| format!("\"a.test/{n}/**\", \"a.test/x/*\", \"b.test/{n}\"");
        let documents: Vec<String> = (0..count).map(|n| document(n, &images(n))).collect();
        let folder = folder(&documents);
        let policies = folder.path().to_owned();
        let options =
            Options { policies: policies.into(), keys: KEYS.into(), ..Options::default() };
        let started = Instant::now();
        let (loaded, patterns) =
            loader::load_with_patterns(&options, &TrustOptions::default(), false).unwrap();
        let load = started.elapsed();
        let started = Instant::now();
        let reference = Reference::parse("a.test/x/y:1").unwrap();
        let now = crate::NOW.parse().unwrap();
        let explanation = loaded.policies.explain((&reference, &Pod::default()), &patterns, now);
        let took = started.elapsed();
        println!("   {count} documents: loaded in {load:?}, explained in {took:?}");
        assert!(explanation.documents.iter().all(|document| document.matches));
        assert!(took <= load.max(least), "{count}: {took:?}, loading took {load:?}");
    }
}
