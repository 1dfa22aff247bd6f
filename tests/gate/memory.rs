//! What is remembered: verdicts until they expire, refusals shortly, evidence beyond a change of
//! policy, nothing without end.

use std::num::NonZeroUsize;
use std::time::Duration;

use sealgate::cri::ask::PullRequest;
use sealgate::cri::{MemoryOptions, Refusal, Timings};
use sealgate::evidence::Pod;
use sealgate::policy::{Elsewhere, Reason};

use crate::fixtures;
use crate::registry::{Answer, Rule, Settings};
use crate::rig::{
    HOST, RELEASE, Rig, Special, ask, by_digest, clock, policy, pull, reason, requiring, tagged,
    turn_clock,
};

/// Requests for signatures, of either form.
fn looks(rig: &Rig) -> usize {
    rig.registry.count("/referrers/") + rig.registry.count("/manifests/sha256-")
}

#[tokio::test]
async fn an_admission_is_remembered_until_it_expires() {
    let rig = Rig::new(Settings::without_referrers());
    let gate = rig.gate();
    let image = by_digest("signed-v2");
    assert!(!pull(&gate, &image).await.unwrap().is_cached());
    let cost = rig.registry.requests().len();
    turn_clock(Duration::from_secs(86_399));
    assert!(pull(&gate, &image).await.unwrap().is_cached());
    turn_clock(Duration::from_secs(2));
    assert!(
        !pull(&gate, &image).await.unwrap().is_cached(),
        "expired, and judged again from kept evidence"
    );
    assert_eq!(rig.registry.requests().len(), cost);
    turn_clock(Duration::from_secs(8 * 86_400));
    pull(&gate, &image).await.unwrap();
    assert_eq!(rig.registry.count("/blobs/"), 2, "the evidence has expired too");
}

#[tokio::test]
async fn a_remembered_verdict_still_asks_what_a_tag_means() {
    let rig = Rig::new(Settings::without_referrers());
    let gate = rig.gate();
    pull(&gate, &tagged("signed-v2")).await.unwrap();
    rig.registry.clear_log();
    assert!(pull(&gate, &tagged("signed-v2")).await.unwrap().is_cached());
    assert_eq!(rig.registry.requests().len(), 1);
}

/// Signing the image and waiting is a way out: a refusal lives ten seconds.
#[tokio::test]
async fn a_refusal_is_remembered_shortly() {
    let rig = Rig::new(Settings::without_referrers());
    let (gate, image) = (rig.gate(), by_digest("signed-v2"));
    let unsigned = Rule::new("/manifests/sha256-", Answer::Status(404, "MANIFEST_UNKNOWN"));
    rig.registry.rule(unsigned);
    assert_eq!(reason(pull(&gate, &image).await), Reason::Unsigned);
    let asked = rig.registry.requests().len();
    rig.registry.clear_rules();
    turn_clock(Duration::from_secs(9));
    assert_eq!(reason(pull(&gate, &image).await), Reason::Unsigned, "from memory");
    assert_eq!(rig.registry.requests().len(), asked);
    turn_clock(Duration::from_secs(2));
    assert!(!pull(&gate, &image).await.unwrap().is_cached());
}

/// What could not be evaluated is no verdict: the next attempt finds the registry well again.
#[tokio::test]
async fn an_unreachable_registry_leaves_nothing_in_memory() {
    let rig = Rig::new(Settings::without_referrers());
    let (gate, image) = (rig.gate(), by_digest("signed-v2"));
    for status in [503, 403] {
        rig.registry.rule(Rule::new("/manifests/sha256-", Answer::Status(status, "UNKNOWN")));
        let why = reason(pull(&gate, &image).await);
        let expected = match status {
            503 => matches!(why, Reason::Unreachable { .. }),
            _ => matches!(why, Reason::Unable { .. }),
        };
        assert!(expected, "{status}: {why:?}");
        assert_eq!(gate.remembered_counts().verdicts, 0);
        rig.registry.clear_rules();
    }
    pull(&gate, &image).await.unwrap();
}

/// A verdict of another policy can no longer be found, whatever was admitted under it.
#[tokio::test]
async fn attack_a2_a_new_policy_ends_every_verdict_at_once() {
    let rig = Rig::new(Settings::without_referrers());
    let (gate, image) = (rig.gate(), by_digest("signed-v2"));
    pull(&gate, &image).await.unwrap();
    assert!(pull(&gate, &image).await.unwrap().is_cached());
    gate.replace_policy(policy("prod/**", "other"));
    assert!(matches!(reason(pull(&gate, &image).await), Reason::NoneCounts { .. }));
    gate.replace_policy(policy("elsewhere/**", "build"));
    assert_eq!(pull(&gate, &image).await.unwrap_err().code(), "no-policy");
}

/// What no policy matches in the pod's namespace says which one does in others; the next pod is
/// told of its own.
#[tokio::test]
async fn what_only_other_namespaces_have_is_told() {
    let rig = Rig::new(Settings::without_referrers());
    let policy = requiring(&format!("{RELEASE}\n  namespaces: [prod]"));
    let gate = rig.special(Special { policy, ..Special::default() });
    for namespace in ["dev", "test"] {
        let pod = Pod { namespace: Some(namespace.to_owned()), ..Pod::default() };
        let ask = PullRequest { pod, ..ask(&by_digest("signed-v2")) };
        let refusal = gate.admit_pull(&ask, &mut Timings::start(clock())).await.unwrap_err();
        let Refusal::NoPolicy { elsewhere: Some(Elsewhere::Namespaces(elsewhere)), .. } = &refusal
        else {
            panic!("{refusal}")
        };
        assert_eq!(
            (elsewhere.namespaces.as_deref(), elsewhere.namespace.as_deref()),
            (Some("prod"), Some(namespace))
        );
    }
    assert_eq!(rig.registry.requests().len(), 0);
}

/// Evidence outlives a change of policy: the new one admits without asking anybody.
#[tokio::test]
async fn a_new_policy_is_judged_on_kept_evidence() {
    let rig = Rig::new(Settings::without_referrers());
    let gate = rig.gate();
    for image in ["signed-v2", "signed-v3"] {
        pull(&gate, &by_digest(image)).await.unwrap();
    }
    rig.registry.clear_log();
    gate.replace_policy(policy("prod/signed-*", "build"));
    for image in ["signed-v2", "signed-v3"] {
        pull(&gate, &by_digest(image)).await.unwrap();
    }
    assert_eq!(rig.registry.requests().len(), 0);
}

/// Kept evidence says what was found, never that there is nothing else: a policy that it does not
/// satisfy looks again.
#[tokio::test]
async fn kept_evidence_never_refuses() {
    let rig = Rig::new(Settings::without_referrers());
    let (gate, image) = (rig.gate(), by_digest("signed-v2"));
    pull(&gate, &image).await.unwrap();
    rig.registry.clear_log();
    gate.replace_policy(policy("prod/**", "other"));
    assert!(matches!(reason(pull(&gate, &image).await), Reason::NoneCounts { .. }));
    assert_eq!(looks(&rig), 3, "referrers, fallback tag and .sig tag");
}

/// Evidence under one repository says nothing about another, though the digest is the same.
#[tokio::test]
async fn attack_e9_evidence_of_one_repository_does_not_count_in_another() {
    let rig = Rig::new(Settings::without_referrers());
    let gate = rig.gate();
    pull(&gate, &by_digest("signed-v3")).await.unwrap();
    let digest = fixtures::prod("signed-v3").tags["v1"].clone();
    let elsewhere = format!("{HOST}/prod/unsigned@{digest}");
    assert_eq!(reason(pull(&gate, &elsewhere).await), Reason::Unsigned);
}

/// Attack D1: neither memory grows beyond what it was made for.
#[tokio::test]
async fn attack_d1_memories_are_bounded() {
    let rig = Rig::new(Settings::without_referrers());
    let two = NonZeroUsize::new(2).unwrap();
    let memory = MemoryOptions { verdicts: two, evidence: two, ..MemoryOptions::default() };
    let gate = rig.special(Special { memory, ..Special::default() });
    let images = ["signed-v2", "signed-v3", "signed-both", "two-signers-v2", "two-signers-v3"];
    for image in images {
        pull(&gate, &by_digest(image)).await.unwrap();
        let remembered = gate.remembered_counts();
        assert!(remembered.verdicts <= 2 && remembered.evidence <= 2, "{remembered:?}");
    }
    assert_eq!(gate.remembered_counts().evidence, 2);
    assert!(pull(&gate, &by_digest(images[4])).await.unwrap().is_cached());
    assert!(!pull(&gate, &by_digest(images[0])).await.unwrap().is_cached());
}

/// Refusals are cheap to provoke: they have a memory of their own, and what was admitted stays in
/// its.
#[tokio::test]
async fn attack_d1_refusals_do_not_drive_admissions_out_of_memory() {
    let rig = Rig::new(Settings::without_referrers());
    let two = NonZeroUsize::new(2).unwrap();
    let memory = MemoryOptions { verdicts: two, ..MemoryOptions::default() };
    let gate = rig.special(Special { memory, ..Special::default() });
    pull(&gate, &by_digest("signed-v2")).await.unwrap();
    let repository = by_digest("unsigned").split('@').next().unwrap().to_owned();
    for n in 0..8 {
        let image = format!("{repository}@sha256:{n:064x}");
        assert_eq!(reason(pull(&gate, &image).await), Reason::Unsigned);
        assert!(gate.remembered_counts().verdicts <= 3);
    }
    assert!(pull(&gate, &by_digest("signed-v2")).await.unwrap().is_cached());
}

/// Signatures that nobody trusts are not kept: a registry cannot fill the memory with them.
#[tokio::test]
async fn attack_d1_evidence_that_led_to_nothing_is_not_kept() {
    let rig = Rig::new(Settings::without_referrers());
    let gate = rig.gate();
    assert!(matches!(
        reason(pull(&gate, &by_digest("signed-other")).await),
        Reason::NoneCounts { .. }
    ));
    assert_eq!(gate.remembered_counts().evidence, 0);
}

#[tokio::test]
async fn a_flush_forgets_verdicts_and_evidence() {
    let rig = Rig::new(Settings::without_referrers());
    let (gate, image) = (rig.gate(), by_digest("signed-v2"));
    pull(&gate, &image).await.unwrap();
    let before = gate.flush();
    assert_eq!((before.verdicts, before.evidence), (1, 1));
    let after = gate.remembered_counts();
    assert_eq!((after.verdicts, after.evidence), (0, 0));
    assert!(!pull(&gate, &image).await.unwrap().is_cached());
    assert_eq!(rig.registry.count("/blobs/"), 2);
}
