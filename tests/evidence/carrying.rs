//! `export` and `import`: what leaves one node is judged on another, what was there before stays,
//! and what cannot be taken is told.

use std::fs;
use std::path::PathBuf;

use sealgate::image::Digest;
use serde_json::{Value, json};

use crate::node::{Node, files_below};
use crate::registry::{Answer, Rule, Settings, TestRegistry};

const BOTH: &str = "registry.example.test/prod/signed-both:v1";

fn archive(node: &Node) -> PathBuf {
    node.path.join("out.tar")
}

/// Exports images to `out.tar`.
fn export(node: &Node, images: &[&str]) -> crate::node::Ran {
    node.run(&[&["export", "--out", "out.tar"], images].concat())
}

/// What is kept, without the times of use, which are each node's own.
fn listed(node: &Node) -> Vec<Value> {
    let mut lines = node.json(&["list"]).lines();
    for line in &mut lines {
        line.as_object_mut().unwrap().retain(|key, _| key != "used" && key != "bytes");
    }
    lines.sort_by_key(ToString::to_string);
    lines
}

#[test]
fn what_is_exported_is_admitted_on_another_node_with_no_network() {
    let (here, there) = (Node::new(), Node::new());
    let target = here.keep("signed-both");
    here.keep("signed-other");
    here.keep_child("index-child-v2");
    let ran = export(&here, &[BOTH, "registry.example.test/prod/index-child-v2:v1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(
        ran.out.contains(target.as_str()) && ran.out.contains(&format!("as {BOTH}")),
        "{}",
        ran.out
    );
    let ran = there.run(&["import", archive(&here).to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains(&format!("taken  {target}")), "{}", ran.out);
    let mut expected = listed(&here);
    expected.retain(|line| !line["repository"].as_str().unwrap().ends_with("signed-other"));
    // The index is not in the store, and only what is can be listed by its name.
    let child = expected
        .iter_mut()
        .find(|line| line["repository"].as_str().unwrap().ends_with("child-v2"))
        .unwrap();
    child["names"] = json!([]);
    expected.sort_by_key(ToString::to_string);
    assert_eq!(listed(&there), expected);
    assert_eq!(there.run(&["verify"]).code, Some(0));
    assert_eq!(there.run(&["verify", BOTH]).code, Some(0));
}

/// What comes from elsewhere is judged: an import changes no verdict.
#[test]
fn attack_a2_what_is_imported_is_judged_under_this_nodes_policy() {
    let (here, there) = (Node::new(), Node::new());
    here.keep("signed-other");
    assert_eq!(export(&here, &["registry.example.test/prod/signed-other:v1"]).code, Some(0));
    assert_eq!(there.run(&["import", archive(&here).to_str().unwrap()]).code, Some(0));
    let ran = there.json(&["verify"]);
    let lines = ran.lines();
    let image = lines.iter().find(|line| line["what"] == "image").unwrap();
    assert_eq!((ran.code, &image["verdict"]), (Some(1), &json!("refused")));
}

#[test]
fn a_file_that_is_there_stays_unless_forced() {
    let node = Node::new();
    node.keep("signed-both");
    fs::write(archive(&node), b"mine").unwrap();
    let ran = export(&node, &[BOTH]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("--force"), "{}", ran.err);
    assert_eq!(fs::read(archive(&node)).unwrap(), b"mine");
    assert_eq!(node.run(&["export", BOTH, "--out", "out.tar", "--force"]).code, Some(0));
    let written = fs::read(archive(&node)).unwrap();
    assert!(written.len() > 4096);
    // Forced or not: what is no plain file stays.
    std::os::unix::fs::symlink("out.tar", node.path.join("link")).unwrap();
    for other in ["link", "policies"] {
        assert_eq!(node.run(&["export", BOTH, "--out", other, "--force"]).code, Some(2), "{other}");
    }
    assert!(node.path.join("link").is_symlink() && node.path.join("policies").is_dir());
    // The same store gives the same bytes, on standard output too.
    let streamed = node.bytes(&["export", BOTH, "--out", "-"]);
    assert_eq!(streamed, written);
    let strangers: Vec<PathBuf> = files_below(&node.path)
        .into_iter()
        .filter(|path| path.to_string_lossy().contains(".new-"))
        .collect();
    assert_eq!(strangers, Vec::<PathBuf>::new());
}

#[test]
fn what_is_not_kept_is_not_exported() {
    let node = Node::new();
    node.keep("signed-both");
    for image in ["registry.example.test/prod/signed-both:v2", "sha256:abcdef", "signed-both"] {
        let ran = export(&node, &[BOTH, image]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{image}");
        assert!(
            ran.err.contains("nothing is kept about") && ran.err.contains("--fetch"),
            "{}",
            ran.err
        );
        assert!(!archive(&node).exists(), "{image}: nothing is written in part");
    }
    assert_eq!(node.run(&["export", "--out", "out.tar"]).code, Some(64));
    assert_eq!(node.run(&["export", BOTH]).code, Some(64));
}

#[test]
fn an_image_is_exported_by_its_digest_by_digits_of_it_and_by_name() {
    let node = Node::new();
    let target = node.keep("signed-both");
    let mut archives = Vec::new();
    for image in [BOTH.to_owned(), target.to_string(), target.hex()[..8].to_owned()] {
        let ran = node.json(&["export", &image, "--out", "out.tar", "--force"]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let line = &ran.lines()[0];
        assert_eq!(line["images"], json!([{"name": BOTH, "digest": target.to_string()}]));
        assert_eq!((&line["carriers"], &line["left_out"]), (&json!(2), &json!([])));
        archives.push(fs::read(archive(&node)).unwrap());
    }
    assert!(archives.windows(2).all(|two| two[0] == two[1]));
}

/// A tag that meant several images: which one is meant now, the store does not know, and nobody
/// guesses.
#[test]
fn a_tag_that_was_several_images_is_not_guessed() {
    let node = Node::new();
    let (one, two) = (
        node.keep("signed-v2"),
        node.keep_as("signed-v3", "registry.example.test/prod/signed-v2:v1"),
    );
    let ran = export(&node, &["registry.example.test/prod/signed-v2:v1"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains(one.as_str()) && ran.err.contains(two.as_str()), "{}", ran.err);
    assert_eq!(export(&node, &[one.as_str()]).code, Some(0));
}

#[test]
fn a_broken_file_is_left_out_and_told() {
    let node = Node::new();
    let target = node.keep("signed-v2");
    let lines = node.json(&["show", target.as_str()]).lines();
    let payload = lines[0]["claims"][0]["item"].as_str().unwrap().to_owned();
    fs::write(node.blob(&payload), b"other bytes").unwrap();
    let ran = export(&node, &[target.as_str()]);
    assert!(ran.code == Some(0) && ran.err.contains(&payload), "{}", ran.err);
    let there = Node::new();
    let ran = there.run(&["import", archive(&node).to_str().unwrap()]);
    assert_ne!(ran.code, Some(2), "{}", ran.err);
    assert_eq!(there.run(&["verify", target.as_str()]).code, Some(1), "its signature did not come");
}

#[test]
fn what_is_no_layout_is_not_imported() {
    let node = Node::new();
    let at = |name: &str, bytes: &[u8]| {
        fs::write(node.path.join(name), bytes).unwrap();
        name.to_owned()
    };
    let names = [
        at("text.tar", b"no tar file at all, and shorter than a header"),
        at("gzip.tar", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]),
        at("empty.tar", &[0; 1024]),
        "policies".to_owned(),
        "missing.tar".to_owned(),
    ];
    for name in names {
        let ran = node.run(&["import", &name]);
        let code = if name == "missing.tar" { 66 } else { 65 };
        assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{name}");
        assert!(ran.err.contains(&name), "{}", ran.err);
    }
    assert_eq!(node.json(&["list"]).lines(), Vec::<Value>::new());
}

/// Layouts that other tools made: a copy of the fixtures' registry, where nothing says from which
/// repository.
#[test]
fn a_layout_of_others_needs_a_repository() {
    let node = Node::new();
    let layout = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images");
    let layout = layout.to_str().unwrap();
    let ran = node.run(&["import", layout]);
    assert_eq!(ran.code, Some(1), "{}", ran.out);
    assert!(
        ran.out.contains("name one") && ran.err.contains("nothing was taken"),
        "{}{}",
        ran.out,
        ran.err
    );
    for wrong in ["prod/app", "registry.example.test/prod/app:v1", "x"] {
        assert_eq!(node.run(&["import", "--repository", wrong, layout]).code, Some(64), "{wrong}");
    }
    let ran =
        node.json(&["import", "--repository", "registry.example.test/prod/signed-v2", layout]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let answer = &ran.lines()[0];
    assert!(answer["taken"].as_array().unwrap().len() > 10, "{answer}");
    let signed = crate::fixtures::prod("signed-v2").tags["v1"].clone();
    assert_eq!(node.run(&["verify", &signed]).code, Some(0));
    // Others are judged by their own names, under which nothing was found in that repository.
    let other = crate::fixtures::prod("two-signers-v2").tags["v1"].clone();
    let ran = node.json(&["verify", &other]);
    let lines = ran.lines();
    let image = lines.iter().find(|line| line["what"] == "image").unwrap();
    assert_eq!((ran.code, &image["verdict"]), (Some(1), &json!("unable")), "{}", ran.out);
}

/// Attack E3: what a layout calls things has no power over the terminal.
#[test]
fn attack_e3_an_import_prints_harmlessly() {
    let node = Node::new();
    let evil = "sha256:\u{1b}[2J\nleft   nothing\u{202e}";
    let folder = node.path.join("layout");
    fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let index = json!({"schemaVersion": 2, "manifests": [
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": evil, "size": 2,
         "annotations": {"io.sealgate.evidence.repository": evil}},
    ]});
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
    let ran = node.run(&["import", "layout"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    let all = format!("{}{}", ran.out, ran.err);
    assert!(
        !all.contains(['\u{1b}', '\u{202e}']) && all.contains("\\u{1b}[2J\\u{a}left"),
        "{all:?}"
    );
}

/// The registry is asked for what is not kept, under this node's policies, and what came is kept
/// from then on.
#[test]
fn what_is_not_kept_is_fetched_when_asked_for() {
    let (here, there) = (Node::new(), Node::new());
    let registry = TestRegistry::start(Settings::conforming());
    here.serve(&registry, &["signed-v2", "signed-v3", "unsigned", "index-child-v2"]);
    let image = |name: &str| format!("registry.example.test/prod/{name}:v1");
    let (v2, v3, child) = (image("signed-v2"), image("signed-v3"), image("index-child-v2"));
    let ran = here.json(&["export", "--fetch", &v2, &v3, &child, "--out", "out.tar"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(ran.lines()[0]["left_out"], json!([]));
    let members = here.members("out.tar");
    for name in ["signed-v2", "signed-v3"] {
        let target = crate::fixtures::prod(name);
        let manifest: Value = serde_json::from_slice(target.tagged("v1")).unwrap();
        for digest in [target.tags["v1"].as_str(), manifest["config"]["digest"].as_str().unwrap()] {
            assert!(
                members.contains(&format!("blobs/sha256/{}", digest.trim_start_matches("sha256:"))),
                "{name} {digest}"
            );
        }
        let layer = manifest["layers"][0]["digest"].as_str().unwrap().trim_start_matches("sha256:");
        assert!(
            !members.contains(&format!("blobs/sha256/{layer}")),
            "{name}: layers are not evidence"
        );
    }
    assert_eq!(there.run(&["import", archive(&here).to_str().unwrap()]).code, Some(0));
    for name in [&v2, &v3, &child] {
        let ran = there.run(&["verify", name]);
        assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    }
    let refused = here.run(&["export", "--fetch", &image("unsigned"), "--out", "other.tar"]);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(
        refused.err.contains("not admitted") && !here.path.join("other.tar").exists(),
        "{}",
        refused.err
    );
    registry.rule(Rule::new("", Answer::Drop));
    let unreachable = here.run(&["export", "--fetch", &image("unsigned"), "--out", "other.tar"]);
    assert_eq!(unreachable.code, Some(2), "{}", unreachable.err);
    let digest = Digest::of(b"unknown").to_string();
    assert_eq!(here.run(&["export", "--fetch", &digest, "--out", "other.tar"]).code, Some(1));
    // What is kept needs no registry; what else is wanted and cannot be had is told.
    let kept = here.run(&["export", "--fetch", &v2, "--out", "other.tar"]);
    assert!(kept.code == Some(0) && kept.err.contains("left out"), "{}", kept.err);
    assert_eq!(there.run(&["import", here.path.join("other.tar").to_str().unwrap()]).code, Some(0));
}
