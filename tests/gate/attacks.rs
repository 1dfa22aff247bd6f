//! Several policies over one place of evidence, and things that happen while a decision is under
//! way: what is kept for one is not lost, hidden or withdrawn by another, and no word of an
//! operator is overtaken.

use std::sync::Arc;
use std::time::Duration;

use sealgate::cri::ask::{Call, LocalImageRequest, PullRequest};
use sealgate::cri::{Ending, Gate, PullPermit, Refreshes, Refusal, Timings};
use sealgate::evidence::{EvidenceSource, Pod};
use sealgate::image::Digest;
use sealgate::policy::{Freshness, PolicySet};

use crate::fixtures;
use crate::imagestore::Store;
use crate::registry::{Answer, OCI_INDEX, Rule, Settings};
use crate::rig::{
    HOST, PROVENANCE, RELEASE, Rig, Special, ask, attested, by_digest, clock, pull, requiring,
    tagged, turn_clock, until,
};

const HOUR: Duration = Duration::from_secs(3600);
/// Signed as an image and attested, all of it in one place.
const WHOLE: &str = "attested-whole";
/// The namespace where an image has to be signed, and the one where it has to have provenance.
const SIGNED: &str = "signed";
const PROVEN: &str = "proven";

/// Two documents: of a signature in one namespace, of provenance in the other.
fn two_namespaces() -> PolicySet {
    requiring(&format!(
        "{RELEASE}\n  namespaces: [{SIGNED}]\n---\napiVersion: sealgate/v1\nkind: ImagePolicy\n\
         metadata: {{name: second}}\nspec:\n  images: [\"{HOST}/prod/**\"]\n  namespaces: \
         [{PROVEN}]\n  require: {}",
        attested(PROVENANCE, "")
    ))
}

fn gate(rig: &Rig) -> Gate {
    let freshness = Freshness { refresh_after: Some(24 * HOUR), max_offline: None };
    rig.special(Special {
        policy: two_namespaces(),
        store: Some(rig.store()),
        freshness,
        ..Special::default()
    })
}

async fn pull_in(gate: &Gate, namespace: &str) -> Result<PullPermit, Refusal> {
    let pod = Pod { namespace: Some(namespace.to_owned()), ..Pod::default() };
    gate.admit_pull(&PullRequest { pod, ..ask(&by_digest(WHOLE)) }, &mut Timings::start(clock()))
        .await
}

fn source(permit: &PullPermit) -> EvidenceSource {
    permit.provenance().unwrap().source
}

fn digest(situation: &str) -> Digest {
    Digest::parse(&fixtures::prod(situation).tags["v1"]).unwrap()
}

/// Attack D1: what was read from disk for documents that ask for less does not hide the rest of the
/// place.
#[tokio::test]
async fn attack_d1_evidence_read_for_one_policy_hides_none_from_another() {
    let rig = Rig::new(Settings::without_referrers());
    pull_in(&gate(&rig), PROVEN).await.unwrap();
    rig.cut();
    let gate = gate(&rig);
    assert_eq!(source(&pull_in(&gate, SIGNED).await.unwrap()), EvidenceSource::Evidence);
    assert_eq!(source(&pull_in(&gate, PROVEN).await.unwrap()), EvidenceSource::Evidence);
    assert_eq!(rig.registry.requests().len(), 0);
}

/// Attack D1: what was fetched for documents that ask for less does not take the place of what is
/// on disk for others.
#[tokio::test]
async fn attack_d1_evidence_fetched_for_one_policy_replaces_none_of_another() {
    let rig = Rig::new(Settings::without_referrers());
    let running = gate(&rig);
    pull_in(&running, PROVEN).await.unwrap();
    running.flush();
    assert_eq!(source(&pull_in(&running, SIGNED).await.unwrap()), EvidenceSource::Registry);
    rig.cut();
    let started = gate(&rig);
    assert_eq!(source(&pull_in(&started, PROVEN).await.unwrap()), EvidenceSource::Evidence);
    assert_eq!(source(&pull_in(&started, SIGNED).await.unwrap()), EvidenceSource::Memory);
}

/// Takes the bundles of this predicate type out of the list under the fallback tag.
fn take_away(rig: &Rig, predicate_type: &str) {
    let repository = fixtures::prod(WHOLE);
    let tag = digest(WHOLE).to_string().replace(':', "-");
    let mut index: serde_json::Value = serde_json::from_slice(repository.tagged(&tag)).unwrap();
    let listed = index["manifests"].as_array_mut().unwrap();
    let before = listed.len();
    listed.retain(|entry| {
        let manifest = &repository.manifests[entry["digest"].as_str().unwrap()].1;
        !String::from_utf8_lossy(manifest).contains(predicate_type)
    });
    assert_eq!(listed.len() + 1, before);
    rig.registry.put_manifest(
        &repository.path,
        Some(&tag),
        index.to_string().as_bytes(),
        OCI_INDEX,
    );
}

/// Attack E9: an attestation is withdrawn. Where the signature alone counts the image still starts,
/// with no network too.
#[tokio::test]
async fn attack_e9_what_is_withdrawn_for_one_policy_stays_for_another() {
    let rig = Rig::new(Settings::without_referrers());
    pull_in(&gate(&rig), PROVEN).await.unwrap();
    take_away(&rig, PROVENANCE);
    turn_clock(25 * HOUR);
    let running = gate(&rig);
    pull_in(&running, PROVEN).await.unwrap();
    until("a refresh", || {
        running.refreshes().underway == 0 && running.refreshes() != Refreshes::default()
    })
    .await;
    assert_eq!(running.refreshes(), Refreshes { withdrawn: 1, ..Refreshes::default() });
    assert_eq!(pull_in(&running, PROVEN).await.unwrap_err().ending(), Ending::Refused);
    rig.cut();
    let started = gate(&rig);
    assert_eq!(source(&pull_in(&started, SIGNED).await.unwrap()), EvidenceSource::Evidence);
    assert_eq!(pull_in(&started, PROVEN).await.unwrap_err().ending(), Ending::Unreachable);
}

/// Attack A2: a decision that was under way when an operator had everything forgotten is not
/// remembered after it.
#[tokio::test]
async fn attack_a2_a_decision_under_way_does_not_outlive_a_flush() {
    let rig = Rig::new(Settings::without_referrers());
    let gate = Arc::new(rig.started());
    rig.late();
    let under_way = Arc::clone(&gate);
    let asked = tokio::spawn(async move { pull(&under_way, &by_digest("signed-v2")).await });
    until("a question", || !rig.registry.requests().is_empty()).await;
    gate.flush();
    assert_eq!(source(&asked.await.unwrap().unwrap()), EvidenceSource::Registry);
    assert_eq!(gate.remembered_counts().verdicts, 0);
    rig.registry.clear_log();
    assert_eq!(
        source(&pull(&gate, &by_digest("signed-v2")).await.unwrap()),
        EvidenceSource::Registry
    );
    assert!(!rig.registry.requests().is_empty(), "asked again");
}

/// A disk that cannot be read does not say that there is no evidence: an imported image is not
/// refused for that.
#[tokio::test]
async fn attack_a8_a_store_that_fails_is_no_refusal() {
    let (rig, name) = (Rig::new(Settings::without_referrers()), tagged("signed-v2"));
    let store = Store::start(&rig.folder().join("containerd.sock"));
    store.hold(fixtures::prod("signed-v2"));
    store.name(&name, &fixtures::prod("signed-v2").tags["v1"]);
    let socket = rig.folder().join("containerd.sock");
    let gate = rig.special(Special { socket, store: Some(rig.store()), ..Special::default() });
    let folder = rig.folder().join("evidence/entries").join(digest("signed-v2").hex());
    std::os::unix::fs::symlink(&folder, &folder).unwrap();
    rig.cut();
    let ask = LocalImageRequest {
        call: Call::CreateContainer,
        image: store.id_of(&fixtures::prod("signed-v2").tags["v1"]),
        user_specified: name,
        pod: Pod::default(),
        container: "c".to_owned(),
        deadline: clock().steady() + Duration::from_secs(60),
    };
    let refusal =
        gate.admit_local(&ask, &gate.policy(), &mut Timings::start(clock())).await.unwrap_err();
    assert_eq!(refusal.ending(), Ending::Unreachable, "{refusal}");
}

/// Attack D1: of a place with two signatures one cannot be reached, and the other is enough where
/// the image is asked for. Where both are needed it still starts, with no network.
#[tokio::test]
async fn attack_d1_a_part_that_is_reached_does_not_replace_the_whole() {
    let rig = Rig::new(Settings::without_referrers());
    let image = by_digest("two-signers-v3");
    let key = |name: &str| format!("{{name: {name}, key: {{files: [{name}.pub]}}}}");
    let open = |rig: &Rig, require: &str| {
        rig.special(Special {
            policy: requiring(require),
            store: Some(rig.store()),
            ..Special::default()
        })
    };
    let both = format!("{{all: [{}, {}]}}", key("build"), key("security"));
    pull(&open(&rig, &both), &image).await.unwrap();
    let stored = rig.store().entries_of(&digest("two-signers-v3")).unwrap().remove(0);
    assert_eq!(stored.manifests.len(), 2);
    for lost in &stored.manifests {
        rig.registry.clear_rules();
        rig.registry.rule(Rule::new(format!("/manifests/{lost}"), Answer::Drop));
        turn_clock(HOUR);
        let one = open(&rig, &format!("{{any: [{}, {}]}}", key("build"), key("security")));
        one.flush();
        assert_eq!(source(&pull(&one, &image).await.unwrap()), EvidenceSource::Registry);
        rig.cut();
        pull(&one, &image).await.unwrap();
        std::fs::remove_file(rig.folder().join("evidence/flushed")).ok();
        assert_eq!(
            source(&pull(&open(&rig, &both), &image).await.unwrap()),
            EvidenceSource::Evidence,
            "without {lost}"
        );
    }
}
