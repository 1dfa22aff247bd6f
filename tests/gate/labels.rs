//! Policies that select by the labels of an image's config: what that costs a pull, that what is on the
//! node costs nothing, and what becomes of labels that cannot be read.

use std::time::Duration;

use sealgate::cri::ask::{Call, LocalImageRequest};
use sealgate::cri::{Ending, Gate, LocalPermit, Refusal, Timings};
use sealgate::evidence::Pod;
use sealgate::policy::{Documents, PolicyFile, PolicySet, Unmatched};
use sealgate::verify::PublicKey;

use crate::fixtures;
use crate::imagestore::Store;
use crate::registry::{Answer, Rule, Settings};
use crate::rig::{HOST, Rig, Special, by_digest, clock, pull, put, tagged};

/// Signed by `build` alone; its config has the label `MAINTAINER: acme`.
const LABELLED: &str = "labels-by-case";
/// The same without a label.
const PLAIN: &str = "signed-v2";
/// Signed by `build` and `security`, without a label.
const BOTH: &str = "two-signers-v2";
/// Signed by nobody.
const UNSIGNED: &str = "unsigned";
/// What [`LABELLED`] has, and what it has not.
const OWN: &str = "imageLabels: {MAINTAINER: \"ac*\"}";
const OTHERS: &str = "imageLabels: {MAINTAINER: other}";

/// Two policies: for everything, and for what these fields say, each with its requirement.
fn two(images: &str, fields: &str, [all, some]: [String; 2]) -> PolicySet {
    let document = |name: &str, images: &str, fields: &str, require: &str| {
        format!(
            "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: {name}}}\nspec: {{images: \
             [\"{HOST}/{images}\"]{fields}, require: {require}}}\n---\n"
        )
    };
    let some = document("some", images, &format!(", {fields}"), &some);
    let text = document("all", "prod/**", "", &all) + &some;
    let file = PolicyFile { name: "policy.yaml".to_owned(), bytes: text.into_bytes() };
    let documents = Documents::parse(&[file]).unwrap();
    let keys = documents.key_files().into_iter().map(|name| {
        let key = fixtures::key(name.trim_end_matches(".pub"));
        (name, PublicKey::parse_pem(&key).unwrap())
    });
    PolicySet::build(documents, keys.collect(), Unmatched::Deny).unwrap()
}

/// The key `build` for everything, and `security` as well for what the fields say.
fn demanding(images: &str, fields: &str) -> PolicySet {
    let signed = |key: &str| format!("{{name: {key}, key: {{files: [{key}.pub]}}}}");
    two(images, fields, [signed("build"), signed("security")])
}

/// The digest of [`LABELLED`] for everything, which no registry needs to be asked about.
fn listing(images: &str, fields: &str) -> PolicySet {
    let listed = |digest: &str| format!("{{digest: {{anyOf: [\"{digest}\"]}}}}");
    let [own, other] = [LABELLED, PLAIN].map(|one| listed(&fixtures::prod(one).tags["v1"]));
    two(images, fields, [own, other])
}

fn gate(rig: &Rig, policy: PolicySet) -> Gate {
    let socket = rig.folder().join("containerd.sock");
    rig.special(Special { policy, socket, store: Some(rig.store()), ..Special::default() })
}

/// The digest of a situation's config.
fn config_of(situation: &str) -> String {
    let repository = fixtures::prod(situation);
    let manifest: serde_json::Value =
        serde_json::from_slice(&repository.manifests[&repository.tags["v1"]].1).unwrap();
    manifest["config"]["digest"].as_str().unwrap().to_owned()
}

/// How many requests a pull took, and how many of them were for its config.
async fn costs(rig: &Rig, gate: &Gate, image: &str, situation: &str) -> (usize, usize) {
    rig.registry.clear_log();
    drop(pull(gate, image).await);
    let requests = rig.registry.requests();
    let config = config_of(situation);
    (requests.len(), requests.iter().filter(|one| one.path.ends_with(&config)).count())
}

async fn create(gate: &Gate, store: &Store, situation: &str) -> Result<LocalPermit, Refusal> {
    let ask = LocalImageRequest {
        call: Call::CreateContainer,
        image: store.id_of(&fixtures::prod(situation).tags["v1"]),
        user_specified: tagged(situation),
        pod: Pod::default(),
        container: "c".to_owned(),
        deadline: clock().steady() + Duration::from_secs(60),
    };
    gate.admit_local(&ask, &gate.policy(), &mut Timings::start(clock())).await
}

/// A policy that selects by labels costs one blob of the images that it may be about, and nothing of
/// any other; a set without one costs nothing.
#[tokio::test]
async fn labels_cost_one_blob_where_a_policy_may_go_by_them() {
    let rig = Rig::new(Settings::without_referrers());
    for (images, fields, by_tag, by_its_digest, of_config) in [
        ("elsewhere/**", OWN, 1, 0, 0),
        ("prod/**", "kinds: [sandbox]", 1, 0, 0),
        ("prod/**", OWN, 2, 2, 1),
        ("prod/**", OTHERS, 2, 2, 1),
        ("prod/**", "imageLabels: {tier: pci}", 2, 2, 1),
    ] {
        let gate = gate(&rig, listing(images, fields));
        for (image, requests) in [(tagged(LABELLED), by_tag), (by_digest(LABELLED), by_its_digest)]
        {
            let costs = costs(&rig, &gate, &image, LABELLED).await;
            assert_eq!(costs, (requests, of_config), "{image} {images} {fields}");
        }
    }
}

/// What is on the node costs no request, also where containerd has it and the gate has just begun.
#[tokio::test]
async fn labels_of_what_is_on_the_node_cost_nothing() {
    let rig = Rig::new(Settings::without_referrers());
    let store = Store::start(&rig.folder().join("containerd.sock"));
    store.hold(fixtures::prod(LABELLED));
    for image in [tagged(LABELLED), by_digest(LABELLED)] {
        let gate = gate(&rig, demanding("prod/**", OTHERS));
        assert_eq!(costs(&rig, &gate, &image, LABELLED).await.1, 0, "{image}");
        assert!(pull(&gate, &image).await.is_ok());
    }
}

#[tokio::test]
async fn an_image_is_selected_by_its_own_labels_by_tag_and_by_digest() {
    let rig = Rig::new(Settings::without_referrers());
    let own = gate(&rig, demanding("prod/**", OWN));
    for image in [tagged(LABELLED), by_digest(LABELLED)] {
        let refusal = pull(&own, &image).await.unwrap_err();
        assert_eq!(refusal.code(), "no-signature-counts", "{image}: {refusal}");
        assert!(refusal.to_string().contains("imageLabels"), "{refusal}");
    }
    for image in [tagged(PLAIN), by_digest(PLAIN)] {
        pull(&own, &image).await.unwrap();
    }
    let others = gate(&rig, demanding("prod/**", OTHERS));
    pull(&others, &tagged(LABELLED)).await.unwrap();
}

/// The config of the manifest that this node would run counts, whatever the index says of itself.
#[tokio::test]
async fn an_index_has_the_labels_of_the_manifest_that_runs() {
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    let rig = Rig::new(Settings::without_referrers());
    let repository = fixtures::prod(LABELLED).clone();
    let child = repository.tags["v1"].clone();
    let entry = |digest: &str, architecture: &str, size: usize| {
        serde_json::json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest,
            "size": size, "platform": {"os": "linux", "architecture": architecture},
        })
    };
    let size = repository.manifests[&child].1.len();
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": INDEX, "annotations": {"MAINTAINER": "other"},
        "manifests": [entry(&child, "amd64", size), entry(&fixtures::prod(PLAIN).tags["v1"], "s390x", 1)],
    });
    put(&rig.registry, &repository);
    let bytes = index.to_string().into_bytes();
    let digest = rig.registry.put_manifest("prod/labels-by-case", Some("multi"), &bytes, INDEX);
    let by_tag = format!("{HOST}/prod/{LABELLED}:multi");
    for image in [&by_tag, &format!("{HOST}/prod/{LABELLED}@{digest}")] {
        let own = gate(&rig, demanding("prod/**", OWN));
        assert_eq!(costs(&rig, &own, image, LABELLED).await.1, 1, "{image}");
    }
    // By its tag the signatures on the manifest count, and it has the one label and not the other.
    let refusal = pull(&gate(&rig, demanding("prod/**", OWN)), &by_tag).await.unwrap_err();
    assert!(refusal.to_string().contains("imageLabels"), "{refusal}");
    pull(&gate(&rig, demanding("prod/**", OTHERS)), &by_tag).await.unwrap();
}

/// Attack A4: a registry that keeps the config to itself gets no image past a policy that selects by
/// it; and it is not called refused what nobody could read.
#[tokio::test]
async fn attack_a4_labels_that_cannot_be_read_count_for_every_policy() {
    for (answer, ending, code) in [
        (Answer::Drop, Ending::Unreachable, "registry-unreachable"),
        (Answer::Status(404, "BLOB_UNKNOWN"), Ending::Unable, "registry-unable"),
        (Answer::Status(403, "DENIED"), Ending::Unable, "registry-unable"),
        (
            Answer::Full { status: 200, headers: vec![], body: b"{}".to_vec() },
            Ending::Unable,
            "registry-unable",
        ),
    ] {
        let rig = Rig::new(Settings::without_referrers());
        for situation in [PLAIN, BOTH, UNSIGNED] {
            let path = format!("/blobs/{}", config_of(situation));
            rig.registry.rule(Rule::new(path, answer.clone()));
        }
        let gate = gate(&rig, demanding("prod/**", OWN));
        let refusal = pull(&gate, &tagged(PLAIN)).await.unwrap_err();
        assert_eq!((refusal.ending(), refusal.code()), (ending, code), "{answer:?}: {refusal}");
        assert!(matches!(refusal, Refusal::ImageLabels { .. }), "{refusal}");
        // What meets every policy that may be about it runs.
        pull(&gate, &tagged(BOTH)).await.unwrap();
        // What another policy refuses stays refused, whatever the labels are.
        let refusal = pull(&gate, &tagged(UNSIGNED)).await.unwrap_err();
        assert_eq!(refusal.code(), "unsigned", "{answer:?}: {refusal}");
        // Once it can be read it is what it is.
        rig.registry.clear_rules();
        pull(&gate, &tagged(PLAIN)).await.unwrap();
    }
}

/// What is created is judged by the config in containerd's store, from memory from the second time on,
/// and after a restart without a registry.
#[tokio::test]
async fn attack_a5_a_create_goes_by_the_config_that_runs_without_a_registry() {
    let rig = Rig::new(Settings::without_referrers());
    let store = Store::start(&rig.folder().join("containerd.sock"));
    let first = gate(&rig, demanding("elsewhere/**", OWN));
    for situation in [PLAIN, LABELLED] {
        store.hold(fixtures::prod(situation));
        let pinned = pull(&first, &tagged(situation)).await.unwrap().pinned();
        store.pulled(&pinned);
        store.name(&tagged(situation), &fixtures::prod(situation).tags["v1"]);
        create(&first, &store, situation).await.unwrap();
    }
    rig.cut();
    // Other documents come into force, which look at a label that nobody had looked at.
    first.replace_policy(demanding("prod/**", OWN));
    let again = gate(&rig, demanding("prod/**", OWN));
    for gate in [&first, &again] {
        for turn in 0..2 {
            let permit = create(gate, &store, PLAIN).await.unwrap();
            assert!(turn == 0 || permit.is_cached());
            let refusal = create(gate, &store, LABELLED).await.unwrap_err();
            // The key that is missing could be at the registry, which nobody can ask.
            assert_eq!(refusal.ending(), Ending::Unreachable, "{refusal}");
        }
    }
    first.replace_policy(demanding("prod/**", OTHERS));
    create(&first, &store, LABELLED).await.unwrap();
    assert!(create(&first, &store, LABELLED).await.unwrap().is_cached());
}
