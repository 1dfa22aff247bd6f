//! An image that was imported, not pulled: signatures on it count where evidence on it is on this
//! node.

use std::sync::Arc;
use std::time::Duration;

use sealgate::cri::ask::{Call, LocalImageRequest};
use sealgate::cri::{Ending, Gate, LocalPermit, Refusal, Timings};
use sealgate::evidence::{EvidenceSource, Pod};
use sealgate::evidence_store;
use sealgate::image::Digest;

use crate::fixtures;
use crate::imagestore::Store;
use crate::registry::Settings;
use crate::rig::{HOST, Rig, Special, by_digest, clock, policy, pull, tagged, turn_clock};

/// A registry, and containerd's store with the image of a situation in it, under this name alone.
fn scene(situation: &str, name: &str) -> (Rig, Store) {
    let rig = Rig::new(Settings::without_referrers());
    let store = Store::start(&rig.folder().join("containerd.sock"));
    store.hold(fixtures::prod(situation));
    store.name(name, &fixtures::prod(situation).tags["v1"]);
    (rig, store)
}

/// A gate that has just been started before that store.
fn gate(rig: &Rig) -> Gate {
    let socket = rig.folder().join("containerd.sock");
    rig.special(Special {
        socket,
        policy: policy("**", "build"),
        store: Some(rig.store()),
        ..Special::default()
    })
}

/// Creates a container as a kubelet does: by the image's id, with the pod's own string beside it.
async fn create(
    gate: &Gate,
    store: &Store,
    situation: &str,
    name: &str,
) -> Result<LocalPermit, Refusal> {
    let ask = LocalImageRequest {
        call: Call::CreateContainer,
        image: store.id_of(&fixtures::prod(situation).tags["v1"]),
        user_specified: name.to_owned(),
        pod: Pod::default(),
        container: "c".to_owned(),
        deadline: clock().steady() + Duration::from_secs(60),
    };
    gate.admit_local(&ask, &gate.policy(), &mut Timings::start(clock())).await
}

#[tokio::test]
async fn an_imported_image_starts_by_evidence_on_this_node() {
    let name = tagged("signed-v2");
    let (rig, store) = scene("signed-v2", &name);
    pull(&gate(&rig), &by_digest("signed-v2")).await.unwrap();
    rig.cut();
    let gate = gate(&rig);
    let permit = create(&gate, &store, "signed-v2", &name).await.unwrap();
    assert_eq!(permit.provenance().unwrap().source, EvidenceSource::Evidence);
    assert!(create(&gate, &store, "signed-v2", &name).await.unwrap().is_cached());
    assert_eq!(rig.registry.requests().len(), 0);
}

/// Without evidence nothing is asked of anybody, and the line says what to do.
#[tokio::test]
async fn attack_a8_an_imported_image_without_evidence_is_refused() {
    let name = tagged("signed-v2");
    let (rig, store) = scene("signed-v2", &name);
    let refusal = create(&gate(&rig), &store, "signed-v2", &name).await.unwrap_err();
    assert_eq!((refusal.ending(), refusal.code()), (Ending::Refused, "no-origin"));
    assert!(refusal.to_string().contains("sealgate evidence import"), "{refusal}");
    assert_eq!(rig.registry.requests().len(), 0);
}

/// Attack A8: an image that was imported under another's name has other content, on which there is
/// no evidence.
#[tokio::test]
async fn attack_a8_an_image_imported_under_a_signed_name_is_refused() {
    let name = tagged("signed-v2");
    let (rig, store) = scene("unsigned", &name);
    pull(&gate(&rig), &by_digest("signed-v2")).await.unwrap();
    let refusal = create(&gate(&rig), &store, "unsigned", &name).await.unwrap_err();
    assert_eq!(refusal.code(), "no-origin");
}

/// Attack E9: evidence from one repository does not count for the same image under another's name.
#[tokio::test]
async fn attack_e9_an_image_imported_under_another_repository_is_refused() {
    let name = format!("{HOST}/elsewhere/app:1");
    let (rig, store) = scene("signed-v2", &name);
    pull(&gate(&rig), &by_digest("signed-v2")).await.unwrap();
    let refusal = create(&gate(&rig), &store, "signed-v2", &name).await.unwrap_err();
    assert_eq!(refusal.code(), "no-origin");
}

/// Every name that an id has must pass (fact C13): evidence for one does not speak for the other.
#[tokio::test]
async fn attack_a5_every_name_of_an_imported_image_must_pass() {
    let name = tagged("signed-v2");
    let (rig, store) = scene("signed-v2", &name);
    pull(&gate(&rig), &by_digest("signed-v2")).await.unwrap();
    create(&gate(&rig), &store, "signed-v2", "").await.unwrap();
    store.name(&format!("{HOST}/elsewhere/app:1"), &fixtures::prod("signed-v2").tags["v1"]);
    let refusal = create(&gate(&rig), &store, "signed-v2", "").await.unwrap_err();
    assert_eq!(refusal.code(), "no-origin");
}

/// An image of the node that was pulled starts after a power cut, with nobody to ask.
#[tokio::test]
async fn a_pulled_image_starts_after_a_power_cut() {
    let (rig, store) = scene("signed-v3", &by_digest("signed-v3"));
    store.name(&tagged("signed-v3"), &fixtures::prod("signed-v3").tags["v1"]);
    pull(&gate(&rig), &tagged("signed-v3")).await.unwrap();
    rig.cut();
    turn_clock(Duration::from_secs(90 * 86_400));
    let gate = gate(&rig);
    for _ in 0..3 {
        let permit = create(&gate, &store, "signed-v3", &tagged("signed-v3")).await.unwrap();
        assert_eq!(permit.admissions().len(), 1);
    }
    assert_eq!(rig.registry.requests().len(), 0);
}

/// What images on the node need stays, however full the store is; what none needs goes.
#[tokio::test]
async fn what_images_on_the_node_need_is_not_evicted() {
    let (rig, containerd) = scene("signed-v2", &by_digest("signed-v2"));
    let open = |max_bytes| {
        let path = rig.folder().join("evidence");
        Arc::new(
            evidence_store::Store::open(evidence_store::Options {
                path,
                max_bytes,
                ..evidence_store::Options::default()
            })
            .unwrap(),
        )
    };
    let with = |store| {
        let socket = rig.folder().join("containerd.sock");
        rig.special(Special {
            socket,
            policy: policy("**", "build"),
            store: Some(store),
            ..Special::default()
        })
    };
    let gate = with(open(1 << 20));
    for image in ["signed-v2", "signed-v3"] {
        pull(&gate, &by_digest(image)).await.unwrap();
    }
    let of = |situation: &str| {
        let digest = Digest::parse(&fixtures::prod(situation).tags["v1"]).unwrap();
        rig.store().entries_of(&digest).unwrap().len()
    };
    // Opened anew: what was put a moment ago is no longer protected for being new.
    let small = with(open(1));
    std::fs::remove_file(rig.folder().join("containerd.sock")).unwrap();
    small.tidy_store().await;
    assert_eq!(
        (of("signed-v2"), of("signed-v3")),
        (1, 1),
        "nothing goes before the runtime has answered"
    );
    let again = Store::start(&rig.folder().join("containerd.sock"));
    again.hold(fixtures::prod("signed-v2"));
    again.name(&by_digest("signed-v2"), &fixtures::prod("signed-v2").tags["v1"]);
    with(open(1)).tidy_store().await;
    assert_eq!((of("signed-v2"), of("signed-v3")), (1, 0));
    drop(containerd);
}
