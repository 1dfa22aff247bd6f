//! Documents that can be written in two ways: what every containerd there is makes of them, and
//! that the gate reads the same.

use sealgate::image::{Digest, Document};
use serde_json::{Value, json};

use crate::containerd::Flavour;
use crate::house::{HOST, House};
use crate::tiny::{INDEX, MANIFEST, Tiny, architecture};

/// An entry for an image, with more members.
fn entry(image: &Tiny, more: Value) -> Value {
    let mut entry = json!({"mediaType": MANIFEST, "digest": image.digest().to_string(), "size": image.manifest.len()});
    entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    entry
}

fn index(entries: &[Value]) -> Vec<u8> {
    serde_json::to_vec(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}))
        .unwrap()
}

async fn pull(house: &House, name: &str, index: &[u8]) -> Option<String> {
    let digest = house.registry.put_manifest(name, None, index, INDEX);
    house.containerd.cri().pull(&format!("{HOST}/{name}@{digest}")).await.ok()
}

/// An index names one child twice: containerd takes the first that fits, with a platform before
/// without, and whichever it takes it runs that child. Where the two differ in the size that it
/// compares, whether a pull succeeds was seen to depend on the order, on the version, and to change
/// between two runs: such an index stays ambiguous.
#[tokio::test]
async fn an_index_that_names_one_child_twice_is_that_child() {
    for flavour in Flavour::all() {
        let house = House::of(flavour).await;
        let image = Tiny::saying("twice");
        house.push("app", "only-for-pushing", &image);
        let here = || json!({"platform": {"os": "linux", "architecture": architecture()}});
        let plain = || entry(&image, here());
        let anywhere = || entry(&image, json!({}));
        let mut noted = plain();
        noted["annotations"] = json!({"k": "v"});
        for entries in [
            vec![plain(), plain()],
            vec![plain(), anywhere()],
            vec![anywhere(), plain()],
            vec![noted.clone(), plain()],
            vec![plain(), plain(), noted],
        ] {
            let index = index(&entries);
            assert_eq!(
                pull(&house, "app", &index).await,
                Some(image.id().to_string()),
                "{entries:?}"
            );
            let content =
                house.runtime.prove_content(&Digest::of(&index), &image.id()).await.unwrap();
            assert_eq!(content.child(), Some(&image.digest()));
        }
    }
}

/// `null` where a list belongs is an empty list.
#[tokio::test]
async fn null_is_an_empty_list() {
    for flavour in Flavour::all() {
        let house = House::of(flavour).await;
        for (layers, diff_ids) in [("[]", "[]"), ("null", "[]"), ("null", "null")] {
            let config = format!(
                r#"{{"architecture":"{}","os":"linux","rootfs":{{"type":"layers","diff_ids":{diff_ids}}}}}"#,
                architecture()
            );
            let id = house.registry.put_blob("empty", config.as_bytes());
            let manifest = format!(
                r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{id}","size":{}}},"layers":{layers}}}"#,
                config.len()
            );
            assert!(
                matches!(Document::parse(manifest.as_bytes()), Ok(Document::Manifest(read)) if read.layers.is_empty())
            );
            let digest = house.registry.put_manifest("empty", None, manifest.as_bytes(), MANIFEST);
            let pulled = house.containerd.cri().pull(&format!("{HOST}/empty@{digest}")).await;
            assert_eq!(pulled.ok(), Some(id), "{layers} {diff_ids}");
        }
        let nothing = br#"{"schemaVersion":2,"manifests":null}"#;
        assert_eq!(pull(&house, "nothing", nothing).await, None);
    }
}
