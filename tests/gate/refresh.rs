//! Refreshing: what is old admits at once and the registry is asked again aside; what it confirms,
//! withdraws or cannot say.

use std::sync::Arc;
use std::time::Duration;

use sealgate::cri::{Ending, Gate, PullPermit, Refreshes};
use sealgate::evidence::EvidenceSource;
use sealgate::image::Digest;
use sealgate::policy::Freshness;

use crate::fixtures;
use crate::registry::{Answer, Rule, Settings};
use crate::rig::{Rig, Special, by_digest, clock, policy, pull, turn_clock, until};

const HOUR: Duration = Duration::from_secs(3600);

/// A gate that has just been started and refreshes what is older than a day.
fn refreshing(rig: &Rig) -> Gate {
    let freshness = Freshness { refresh_after: Some(24 * HOUR), max_offline: None };
    rig.special(Special { store: Some(rig.store()), freshness, ..Special::default() })
}

fn digest(situation: &str) -> Digest {
    Digest::parse(&fixtures::prod(situation).tags["v1"]).unwrap()
}

fn age(permit: &PullPermit) -> i64 {
    clock().now().duration_since(permit.provenance().unwrap().fetched).as_secs()
}

fn counts(confirmed: u64, withdrawn: u64, unanswered: u64) -> Refreshes {
    Refreshes { underway: 0, confirmed, withdrawn, unanswered }
}

async fn until_refreshed(gate: &Gate, expected: Refreshes) {
    until("a refresh", || {
        gate.refreshes().underway == 0 && gate.refreshes() != Refreshes::default()
    })
    .await;
    assert_eq!(gate.refreshes(), expected);
}

/// The signature is taken away; the image stays.
fn unsign(rig: &Rig) {
    rig.registry.rule(Rule::new("/manifests/sha256-", Answer::Status(404, "MANIFEST_UNKNOWN")));
}

#[tokio::test]
async fn stale_evidence_admits_at_once_and_is_confirmed_aside() {
    let rig = Rig::new(Settings::without_referrers());
    let image = by_digest("signed-v2");
    pull(&refreshing(&rig), &image).await.unwrap();
    turn_clock(25 * HOUR);
    let gate = refreshing(&rig);
    let permit = pull(&gate, &image).await.unwrap();
    assert_eq!(permit.provenance().unwrap().source, EvidenceSource::Evidence);
    assert!(age(&permit) >= 25 * 3600);
    until_refreshed(&gate, counts(1, 0, 0)).await;
    let permit = pull(&gate, &image).await.unwrap();
    assert!(permit.is_cached() && age(&permit) < 3600, "as good as new");
    let entry = rig.store().entries_of(&digest("signed-v2")).unwrap().remove(0);
    assert!(clock().now().duration_since(entry.fetched).as_secs() < 3600, "on disk too");
}

/// A verdict that is remembered for long does not keep the registry from being asked.
#[tokio::test]
async fn a_remembered_verdict_is_refreshed_when_it_is_due_and_once() {
    let rig = Rig::new(Settings::without_referrers());
    let (gate, image) = (refreshing(&rig), by_digest("signed-v2"));
    pull(&gate, &image).await.unwrap();
    rig.registry.clear_log();
    turn_clock(20 * HOUR);
    assert!(pull(&gate, &image).await.unwrap().is_cached());
    assert_eq!((gate.refreshes(), rig.registry.requests().len()), (Refreshes::default(), 0));
    // Evidence that is read from memory again keeps its age.
    gate.replace_policy(policy("prod/signed-*", "build"));
    until("judged again", || gate.rejudged().admitted == 1).await;
    turn_clock(5 * HOUR);
    for _ in 0..50 {
        assert!(pull(&gate, &image).await.unwrap().is_cached());
    }
    until_refreshed(&gate, counts(1, 0, 0)).await;
    assert!(rig.registry.requests().len() <= 5, "{:?}", rig.registry.requests());
    turn_clock(20 * HOUR);
    pull(&gate, &image).await.unwrap();
    assert_eq!(gate.refreshes(), counts(1, 0, 0));
}

/// Whoever signed it took the signature back: it runs no more, and nothing of it is left.
#[tokio::test]
async fn what_the_registry_no_longer_shows_is_withdrawn() {
    let rig = Rig::new(Settings::without_referrers());
    let (gate, image) = (refreshing(&rig), by_digest("signed-v2"));
    pull(&gate, &image).await.unwrap();
    unsign(&rig);
    turn_clock(25 * HOUR);
    pull(&gate, &image).await.unwrap();
    until_refreshed(&gate, counts(0, 1, 0)).await;
    assert_eq!(gate.remembered_counts().evidence, 0);
    assert!(rig.store().entries_of(&digest("signed-v2")).unwrap().is_empty());
    let refusal = pull(&gate, &image).await.unwrap_err();
    assert_eq!((refusal.ending(), refusal.code()), (Ending::Refused, "unsigned"));
    let refusal = pull(&refreshing(&rig), &image).await.unwrap_err();
    assert_eq!(refusal.ending(), Ending::Refused, "after a start as well");
}

/// A registry that lost the image with its signatures took nothing back; nor one that does not
/// answer, or may not.
#[tokio::test]
async fn what_the_registry_cannot_say_changes_nothing() {
    for (answer, code) in [
        (Answer::Status(404, "NAME_UNKNOWN"), "gone"),
        (Answer::Status(503, "UNKNOWN"), "broken"),
        (Answer::Status(403, "DENIED"), "forbidden"),
        (Answer::Drop, "away"),
    ] {
        let rig = Rig::new(Settings::without_referrers());
        let image = by_digest("signed-v2");
        pull(&refreshing(&rig), &image).await.unwrap();
        let before = rig.store().entries_of(&digest("signed-v2")).unwrap();
        rig.registry.rule(Rule::new("", answer));
        turn_clock(25 * HOUR);
        let gate = refreshing(&rig);
        pull(&gate, &image).await.unwrap();
        until_refreshed(&gate, counts(0, 0, 1)).await;
        let permit = pull(&gate, &image).await.unwrap();
        assert!(permit.is_cached() && age(&permit) >= 25 * 3600, "{code}: not as good as new");
        assert_eq!(rig.store().entries_of(&digest("signed-v2")).unwrap(), before, "{code}");
        // Tried again after a quarter of an hour, and not before.
        turn_clock(Duration::from_secs(800));
        pull(&gate, &image).await.unwrap();
        assert_eq!(gate.refreshes(), counts(0, 0, 1), "{code}");
        rig.registry.clear_rules();
        turn_clock(Duration::from_secs(200));
        pull(&gate, &image).await.unwrap();
        until("the second try", || gate.refreshes() == counts(1, 0, 1)).await;
    }
}

/// A new signature beside an old one that was taken away: the image stays, the old one goes from
/// the disk.
#[tokio::test]
async fn what_is_gone_beside_what_admits_is_forgotten() {
    let rig = Rig::new(Settings::without_referrers());
    let image = by_digest("signed-both");
    let gate = refreshing(&rig);
    let bundles = Rule::new(
        format!("/manifests/sha256-{}", digest("signed-both").hex()),
        Answer::Status(404, "NONE"),
    );
    pull(&gate, &image).await.unwrap();
    turn_clock(25 * HOUR);
    pull(&gate, &image).await.unwrap();
    until_refreshed(&gate, counts(1, 0, 0)).await;
    let places = |rig: &Rig| rig.store().entries_of(&digest("signed-both")).unwrap().len();
    assert_eq!(places(&rig), 2, "a refresh takes all there is");
    let tag = format!("/manifests/sha256-{}.sig", digest("signed-both").hex());
    rig.registry.rule(Rule::new(tag, Answer::Status(404, "MANIFEST_UNKNOWN")));
    turn_clock(25 * HOUR);
    pull(&gate, &image).await.unwrap();
    until("the second", || gate.refreshes() == counts(2, 0, 0)).await;
    assert_eq!(places(&rig), 1);
    drop(bundles);
}

/// Attack D1: a registry that hangs holds up refreshes, never pods.
#[tokio::test]
async fn attack_d1_a_registry_that_hangs_holds_up_no_decision() {
    let rig = Rig::new(Settings::without_referrers());
    let images =
        ["signed-v2", "signed-v3", "signed-both", "two-signers-v2", "two-signers-v3", "key-p384"];
    let gate = Arc::new(refreshing(&rig));
    for image in &images[..5] {
        pull(&gate, &by_digest(image)).await.unwrap();
    }
    turn_clock(25 * HOUR);
    rig.registry.clear_log();
    rig.registry.rule(Rule::new("", Answer::Hang));
    let all = async {
        for _ in 0..3 {
            for image in &images[..5] {
                pull(&gate, &by_digest(image)).await.unwrap();
            }
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), all).await.is_ok());
    until("three at once, and one is left to other hosts", || rig.registry.requests().len() >= 3)
        .await;
    assert_eq!(gate.refreshes(), Refreshes { underway: 5, ..Refreshes::default() });
}
