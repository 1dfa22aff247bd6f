//! Attack A12 from the first question to the name in the store: two pulls of one tag, the older one
//! finishing last.

use sealgate::cri::{Gate, PullPermit, Refusal};
use sealgate::image::Digest;

use crate::fixtures;
use crate::imagestore::Store;
use crate::registry::Settings;
use crate::rig::{HOST, Rig, Special, policy, pull};

/// The tag that moves.
fn tag() -> String {
    format!("{HOST}/prod/moving:latest")
}

/// The repository, and a gate before a store that has all of its content.
async fn scene() -> (Rig, Store, Gate) {
    let rig = Rig::new(Settings::without_referrers());
    let store = Store::start(&rig.folder().join("containerd.sock"));
    for situation in ["moving", "signed-v2", "signed-v3"] {
        store.hold(fixtures::prod(situation));
    }
    let special = Special {
        socket: rig.folder().join("containerd.sock"),
        policy: policy("**", "build"),
        ..Special::default()
    };
    let gate = rig.special(special);
    (rig, store, gate)
}

/// Moves the tag to the image of a situation, signatures and all.
fn move_tag(rig: &Rig, situation: &str, tag: &str) -> String {
    let repository = fixtures::prod(situation);
    let digest = repository.tags[tag].clone();
    let latest = "latest".to_owned();
    let signatures = repository.tags.iter().filter(|(name, _)| name.starts_with("sha256-"));
    let tags = signatures.chain([(&latest, &digest)]);
    rig.registry.put_all("prod/moving", &repository.blobs, &repository.manifests, tags);
    digest
}

/// What the proxy does after the runtime pulled: prove, then name.
async fn finish(gate: &Gate, store: &Store, permit: &PullPermit) -> Result<(), Refusal> {
    let id = store.pulled(&permit.pinned());
    let content = gate.prove_pull(permit.target(), &id, &gate.policy()).await?;
    gate.name_pulled(permit.target(), &content).await
}

#[tokio::test]
async fn attack_a12_a_slow_pull_does_not_move_the_tag_back() {
    let (rig, store, gate) = scene().await;
    let old = move_tag(&rig, "moving", "signed");
    let slow = pull(&gate, &tag()).await.unwrap();
    let new = move_tag(&rig, "signed-v3", "v1");
    let quick = pull(&gate, &tag()).await.unwrap();
    assert_ne!(old, new);
    assert!(slow.pinned().ends_with(&old) && quick.pinned().ends_with(&new));
    finish(&gate, &store, &quick).await.unwrap();
    assert_eq!(store.named(&tag()), Some(new.clone()));
    finish(&gate, &store, &slow).await.unwrap();
    assert_eq!(store.named(&tag()), Some(new), "the older resolution moved the tag back");
    assert_eq!(
        store.named(&slow.pinned()),
        Some(old),
        "and its own image is there under its digest"
    );
}

#[tokio::test]
async fn a_later_pull_moves_the_tag_forward() {
    let (rig, store, gate) = scene().await;
    for (situation, name) in [("moving", "signed"), ("signed-v3", "v1"), ("moving", "signed")] {
        let digest = move_tag(&rig, situation, name);
        let permit = pull(&gate, &tag()).await.unwrap();
        finish(&gate, &store, &permit).await.unwrap();
        assert_eq!(store.named(&tag()), Some(digest));
    }
}

/// Attack A9, fact P14: the runtime's record under the pinned name points elsewhere. Nothing is
/// named, and the record goes.
#[tokio::test]
async fn attack_a9_a_record_that_points_elsewhere_is_deleted_and_nothing_is_named() {
    let (rig, store, gate) = scene().await;
    let wanted = move_tag(&rig, "moving", "signed");
    let permit = pull(&gate, &tag()).await.unwrap();
    let other = fixtures::prod("signed-v2").tags["v1"].clone();
    let id = store.pulled(&permit.pinned());
    store.name(&permit.pinned(), &other);
    match gate.prove_pull(permit.target(), &id, &gate.policy()).await {
        Err(Refusal::Stored { expected, got, .. }) => {
            let digest = |text: &str| Digest::parse(text).unwrap();
            assert_eq!((expected, got), (digest(&wanted), Some(digest(&other))));
        }
        proven => panic!("proven, or refused for something else: {proven:?}"),
    }
    assert_eq!(store.named(&permit.pinned()), None);
    assert_eq!(store.named(&tag()), None);
}

/// Attack A9: the runtime answers a pull with the id of another image.
#[tokio::test]
async fn attack_a9_an_id_that_is_not_the_contents_is_refused() {
    let (rig, store, gate) = scene().await;
    move_tag(&rig, "moving", "signed");
    let permit = pull(&gate, &tag()).await.unwrap();
    store.pulled(&permit.pinned());
    let other = store.id_of(&fixtures::prod("signed-v2").tags["v1"]);
    let refusal = gate.prove_pull(permit.target(), &other, &gate.policy()).await.unwrap_err();
    assert_eq!(refusal.code(), "not-this-image");
    assert_eq!(store.named(&tag()), None);
}
