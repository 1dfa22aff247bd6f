//! After a change of policy or keys everything that was admitted is judged again, aside, newest use
//! first, and without the network.

use std::num::NonZeroUsize;
use std::sync::Arc;

use sealgate::cri::{Ending, MemoryOptions, Reevaluated};
use sealgate::evidence::EvidenceSource;

use crate::registry::Settings;
use crate::rig::{
    PROVENANCE, RELEASE, Rig, Special, attested, by_digest, policy, pull, requiring, until,
};

const IMAGES: [&str; 5] =
    ["signed-v2", "signed-v3", "signed-both", "two-signers-v2", "two-signers-v3"];

#[tokio::test]
async fn what_was_admitted_is_in_memory_again_without_a_question() {
    let rig = Rig::new(Settings::without_referrers());
    let gate = rig.started();
    for image in IMAGES {
        pull(&gate, &by_digest(image)).await.unwrap();
    }
    rig.cut();
    gate.replace_policy(policy("prod/*-*", "build"));
    until("all", || gate.rejudged().admitted == IMAGES.len()).await;
    for image in IMAGES {
        let permit = pull(&gate, &by_digest(image)).await.unwrap();
        assert!(permit.is_cached());
        assert_eq!(permit.provenance().unwrap().source, EvidenceSource::Memory);
    }
    assert_eq!(rig.registry.requests().len(), 0);
}

/// Most of the evidence is on disk alone.
#[tokio::test]
async fn what_memory_has_not_is_judged_from_disk() {
    let rig = Rig::new(Settings::without_referrers());
    let memory = MemoryOptions { evidence: NonZeroUsize::MIN, ..MemoryOptions::default() };
    let gate = rig.special(Special { memory, store: Some(rig.store()), ..Special::default() });
    for image in IMAGES {
        pull(&gate, &by_digest(image)).await.unwrap();
    }
    rig.cut();
    gate.replace_policy(policy("prod/*-*", "build"));
    until("all", || gate.rejudged().admitted == IMAGES.len()).await;
    assert_eq!(rig.registry.requests().len(), 0);
}

/// A key is taken away: what it alone vouched for is no longer in memory, and the others are.
#[tokio::test]
async fn what_a_removed_key_vouched_for_is_left_out() {
    let rig = Rig::new(Settings::without_referrers());
    let both = requiring(
        "{any: [{name: a, key: {files: [build.pub]}}, {name: b, key: {files: [other.pub]}}]}",
    );
    let gate =
        rig.special(Special { policy: both, store: Some(rig.store()), ..Special::default() });
    for image in ["signed-v2", "signed-other"] {
        pull(&gate, &by_digest(image)).await.unwrap();
    }
    rig.cut();
    gate.replace_policy(policy("prod/**", "build"));
    until("both", || gate.rejudged().left == 0 && gate.rejudged().left_out == 1).await;
    assert_eq!(
        Reevaluated { millis: 0, ..gate.rejudged() },
        Reevaluated { admitted: 1, left_out: 1, ..Reevaluated::default() }
    );
    assert!(pull(&gate, &by_digest("signed-v2")).await.unwrap().is_cached());
    let refusal = pull(&gate, &by_digest("signed-other")).await.unwrap_err();
    assert_eq!(refusal.ending(), Ending::Unreachable);
    assert!(refusal.to_string().contains("it is refused: "), "{refusal}");
}

/// The newer of two changes counts, whatever the older one was at.
#[tokio::test]
async fn the_newest_policy_judges() {
    let rig = Rig::new(Settings::without_referrers());
    let gate = rig.started();
    for image in IMAGES {
        pull(&gate, &by_digest(image)).await.unwrap();
    }
    rig.cut();
    for pattern in ["prod/s*", "prod/*-v2", "prod/**", "prod/*-*"] {
        gate.replace_policy(policy(pattern, "build"));
    }
    until("all", || gate.rejudged().left == 0 && gate.rejudged().admitted == IMAGES.len()).await;
    assert_eq!(gate.rejudged().left_out, 0);
    assert_eq!(gate.remembered_counts().verdicts, IMAGES.len());
}

/// The order of use outlives the change: what was used last is the last to be forgotten.
#[tokio::test]
async fn the_newest_use_stays_the_newest() {
    let rig = Rig::new(Settings::without_referrers());
    let three = NonZeroUsize::new(3).unwrap();
    let memory = MemoryOptions { verdicts: three, ..MemoryOptions::default() };
    let gate = rig.special(Special { memory, store: Some(rig.store()), ..Special::default() });
    for image in &IMAGES[..3] {
        pull(&gate, &by_digest(image)).await.unwrap();
    }
    pull(&gate, &by_digest(IMAGES[0])).await.unwrap();
    gate.replace_policy(policy("prod/*-*", "build"));
    until("all", || gate.rejudged().admitted == 3).await;
    // A new one takes the place of the one that was used longest ago.
    pull(&gate, &by_digest(IMAGES[3])).await.unwrap();
    assert!(pull(&gate, &by_digest(IMAGES[0])).await.unwrap().is_cached());
    assert!(pull(&gate, &by_digest(IMAGES[2])).await.unwrap().is_cached());
    assert!(!pull(&gate, &by_digest(IMAGES[1])).await.unwrap().is_cached());
}

/// What a reload took the place of is out of memory by its end, unless a decision still uses it.
#[tokio::test]
async fn the_set_before_goes_away_when_nothing_uses_it() {
    let rig = Rig::new(Settings::without_referrers());
    let gate = rig.started();
    let before = Arc::downgrade(&gate.policy());
    gate.replace_policy(policy("prod/*-*", "build")).expect("a task").await.unwrap();
    assert!(before.upgrade().is_none());

    let used = gate.policy();
    let before = Arc::downgrade(&used);
    assert!(gate.replace_policy(policy("prod/**", "build")).is_none());
    drop(used);
    until("it is gone", || before.strong_count() == 0).await;
}

/// Attestations are judged again from what is kept of them.
#[tokio::test]
async fn attestations_are_judged_again() {
    let rig = Rig::new(Settings::without_referrers());
    let policy = requiring(&attested(PROVENANCE, ""));
    let gate = rig.special(Special { policy, store: Some(rig.store()), ..Special::default() });
    for image in ["provenance", "provenance-v2"] {
        pull(&gate, &by_digest(image)).await.unwrap();
    }
    rig.cut();
    gate.replace_policy(requiring(&format!("{{any: [{}, {RELEASE}]}}", attested(PROVENANCE, ""))));
    until("both", || gate.rejudged().admitted == 2).await;
    assert_eq!(rig.registry.requests().len(), 0);
}
