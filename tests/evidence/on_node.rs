//! With a runtime that answers: what its images need stays, and what a tag means it says.

use serde_json::json;

use crate::fixtures;
use crate::imagestore;
use crate::node::Node;

/// Runs `act` on another thread, so that the runtime's stand-in can answer on this one.
async fn beside<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(act).await.unwrap()
}

#[tokio::test]
async fn what_an_image_on_the_node_needs_is_never_pruned() {
    let node = Node::new();
    let images = imagestore::Store::start(&node.path.join("no.sock"));
    let (used, unused) = (node.keep("signed-v2"), node.keep("signed-v3"));
    let child = node.keep_child("index-child-v2");
    node.set_used(400);
    for situation in ["signed-v2", "index-child-v2"] {
        images.hold(fixtures::prod(situation));
        images.name(
            &format!("registry.example.test/prod/{situation}:v1"),
            &fixtures::prod(situation).tags["v1"],
        );
    }
    beside(move || {
        let needed = |line: &serde_json::Value| (line["digest"].clone(), line["needed"].clone());
        let listed: Vec<_> = node.json(&["list"]).lines().iter().map(needed).collect();
        for (digest, is_needed) in [(&used, true), (&unused, false), (&child, true)] {
            assert!(listed.contains(&(json!(digest.to_string()), json!(is_needed))), "{listed:?}");
        }
        let ran = node.run(&["prune", "--max-bytes", "0", "--unused-days", "1"]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let mut left: Vec<_> =
            node.json(&["list"]).lines().iter().map(|line| line["digest"].clone()).collect();
        left.sort_by_key(ToString::to_string);
        let mut expected = [json!(used.to_string()), json!(child.to_string())];
        expected.sort_by_key(ToString::to_string);
        assert_eq!(left, expected);
        assert_eq!(node.run(&["verify"]).code, Some(0));
    })
    .await;
}

/// A tag by which several images were asked for: the runtime says which one is meant.
#[tokio::test]
async fn what_a_tag_means_the_runtime_says() {
    let node = Node::new();
    let images = imagestore::Store::start(&node.path.join("no.sock"));
    let name = "registry.example.test/prod/signed-v2:v1";
    let meant = node.keep("signed-v2");
    node.keep_as("signed-v3", name);
    images.hold(fixtures::prod("signed-v2"));
    images.name(name, meant.as_str());
    beside(move || {
        let ran = node.json(&["export", name, "--out", "out.tar"]);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
        assert_eq!(ran.lines()[0]["images"], json!([{"name": name, "digest": meant.to_string()}]));
    })
    .await;
}
