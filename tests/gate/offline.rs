//! How long evidence counts while the registry cannot be asked: `maxOffline`, and what `cache
//! flush` makes of it.

use std::time::Duration;

use sealgate::cri::{Ending, Gate, Timings};
use sealgate::evidence::EvidenceSource;
use sealgate::policy::Freshness;

use crate::registry::{Answer, Rule, Settings};
use crate::rig::{
    HOST, Rig, Special, ask, by_digest, clock, policy, pull, set_calendar, tagged, turn_clock,
    until,
};

const HOUR: Duration = Duration::from_secs(3600);

/// A gate that has just been started, and lets evidence count for so long without the registry.
fn bounded(rig: &Rig, hours: u32) -> Gate {
    let freshness = Freshness { refresh_after: None, max_offline: Some(hours * HOUR) };
    rig.special(Special { store: Some(rig.store()), freshness, ..Special::default() })
}

#[tokio::test]
async fn evidence_counts_offline_for_as_long_as_the_operator_says() {
    let rig = Rig::new(Settings::without_referrers());
    let image = by_digest("signed-v2");
    pull(&bounded(&rig, 72), &image).await.unwrap();
    rig.cut();
    turn_clock(71 * HOUR);
    pull(&bounded(&rig, 72), &image).await.unwrap();
    assert_eq!(rig.registry.requests().len(), 0);
    turn_clock(2 * HOUR);
    let refusal = pull(&bounded(&rig, 72), &image).await.unwrap_err();
    assert_eq!((refusal.ending(), refusal.code()), (Ending::Unreachable, "signatures-unreachable"));
    let line = refusal.to_string();
    assert!(line.contains("3 d 1 h old: maxOffline lets it count for 3 d 0 h"), "{line}");
    assert!(!rig.registry.requests().is_empty(), "the registry was asked first");
}

/// A verdict in memory rests on the same evidence: it ends with it.
#[tokio::test]
async fn a_remembered_verdict_does_not_outlive_its_evidence() {
    let rig = Rig::new(Settings::without_referrers());
    let image = by_digest("signed-v2");
    let gate = bounded(&rig, 2);
    pull(&gate, &image).await.unwrap();
    rig.cut();
    turn_clock(HOUR);
    assert!(pull(&gate, &image).await.unwrap().is_cached());
    turn_clock(HOUR + Duration::from_secs(1));
    assert_eq!(pull(&gate, &image).await.unwrap_err().ending(), Ending::Unreachable);
    // The same by the calendar alone, which runs while a node sleeps.
    let rig = Rig::new(Settings::without_referrers());
    let gate = bounded(&rig, 2);
    pull(&gate, &image).await.unwrap();
    rig.cut();
    set_calendar(3 * HOUR, Duration::ZERO);
    assert_eq!(pull(&gate, &image).await.unwrap_err().ending(), Ending::Unreachable);
}

/// With the registry there it is only asked again.
#[tokio::test]
async fn overdue_evidence_is_fetched_again() {
    let rig = Rig::new(Settings::without_referrers());
    let image = by_digest("signed-v2");
    pull(&bounded(&rig, 2), &image).await.unwrap();
    turn_clock(3 * HOUR);
    let gate = bounded(&rig, 2);
    let permit = pull(&gate, &image).await.unwrap();
    assert_eq!(permit.provenance().unwrap().source, EvidenceSource::Registry);
    rig.cut();
    turn_clock(HOUR);
    assert_eq!(
        pull(&bounded(&rig, 2), &image).await.unwrap().provenance().unwrap().source,
        EvidenceSource::Evidence
    );
}

/// Attack C4: the clock is set back so that old evidence seems new. What is from the future has no
/// known age.
#[tokio::test]
async fn attack_c4_a_clock_that_is_set_back_makes_no_evidence_young() {
    let rig = Rig::new(Settings::without_referrers());
    let image = by_digest("signed-v2");
    pull(&bounded(&rig, 72), &image).await.unwrap();
    pull(&rig.started(), &by_digest("signed-v3")).await.unwrap();
    rig.cut();
    set_calendar(Duration::ZERO, 48 * HOUR);
    let refusal = pull(&bounded(&rig, 72), &image).await.unwrap_err();
    assert_eq!(refusal.ending(), Ending::Unreachable);
    // Where no bound is set the registry is asked first, and then what there is will do.
    rig.registry.clear_log();
    let permit = pull(&rig.started(), &by_digest("signed-v3")).await.unwrap();
    assert_eq!(permit.provenance().unwrap().source, EvidenceSource::Evidence);
    assert!(!rig.registry.requests().is_empty());
}

/// `cache flush` means: ask the registry. What it cannot be asked for, the disk still has.
#[tokio::test]
async fn after_a_flush_the_registry_is_asked_first() {
    let rig = Rig::new(Settings::without_referrers());
    let image = by_digest("signed-v2");
    let gate = rig.started();
    pull(&gate, &image).await.unwrap();
    turn_clock(HOUR);
    gate.flush();
    rig.registry.clear_log();
    let permit = pull(&gate, &image).await.unwrap();
    assert_eq!(permit.provenance().unwrap().source, EvidenceSource::Registry);
    turn_clock(HOUR);
    gate.flush();
    rig.cut();
    let permit = pull(&gate, &image).await.unwrap();
    assert_eq!(permit.provenance().unwrap().source, EvidenceSource::Evidence);
    let asked = rig.registry.requests().len();
    assert!(asked > 0, "the registry was asked first");
    // Not by each of the pods that start now, and soon again.
    assert!(pull(&gate, &image).await.unwrap().is_cached());
    assert_eq!(rig.registry.requests().len(), asked);
    turn_clock(Duration::from_secs(61));
    assert!(!pull(&gate, &image).await.unwrap().is_cached());
    assert!(rig.registry.requests().len() > asked);
}

/// And what the registry refuses after a flush, the disk does not admit.
#[tokio::test]
async fn attack_a2_after_a_flush_what_was_withdrawn_is_refused() {
    let rig = Rig::new(Settings::without_referrers());
    let image = by_digest("signed-v2");
    let gate = rig.started();
    pull(&gate, &image).await.unwrap();
    turn_clock(HOUR);
    gate.flush();
    rig.registry.rule(Rule::new("/manifests/sha256-", Answer::Status(404, "MANIFEST_UNKNOWN")));
    let refusal = pull(&gate, &image).await.unwrap_err();
    assert_eq!((refusal.ending(), refusal.code()), (Ending::Refused, "unsigned"));
}

/// And the gate that is started after it knows of it: what is on disk from before is no proof until
/// the registry was asked.
#[tokio::test]
async fn attack_a2_a_flush_outlives_the_gate() {
    let rig = Rig::new(Settings::without_referrers());
    let image = by_digest("signed-v2");
    let gate = rig.started();
    pull(&gate, &image).await.unwrap();
    turn_clock(HOUR);
    gate.flush();
    until("a note on disk", || rig.folder().join("evidence/flushed").exists()).await;
    drop(gate);
    rig.cut();
    let permit = pull(&rig.started(), &image).await.unwrap();
    assert_eq!(permit.provenance().unwrap().source, EvidenceSource::Evidence);
    assert!(!rig.registry.requests().is_empty(), "the registry was asked first");
    rig.registry.clear_rules();
    rig.registry.rule(Rule::new("/manifests/sha256-", Answer::Status(404, "MANIFEST_UNKNOWN")));
    let refusal = pull(&rig.started(), &image).await.unwrap_err();
    assert_eq!((refusal.ending(), refusal.code()), (Ending::Refused, "unsigned"));
}

/// Attack C4: the clock was ahead when everything was flushed. What is fetched from now on counts
/// all the same.
#[tokio::test]
async fn attack_c4_a_flush_that_is_yet_to_come_was_now() {
    let rig = Rig::new(Settings::without_referrers());
    let image = by_digest("signed-v2");
    set_calendar(1000 * HOUR, Duration::ZERO);
    let gate = rig.started();
    gate.flush();
    until("a note on disk", || rig.folder().join("evidence/flushed").exists()).await;
    drop(gate);
    set_calendar(Duration::ZERO, Duration::ZERO);
    let gate = rig.started();
    pull(&gate, &image).await.unwrap();
    assert!(pull(&gate, &image).await.unwrap().is_cached());
}

/// Registry and disk together: what each lacks the other has.
#[tokio::test]
async fn a_policy_that_asks_for_less_is_not_held_to_more() {
    let rig = Rig::new(Settings::without_referrers());
    let image = by_digest("signed-v2");
    pull(&bounded(&rig, 1), &image).await.unwrap();
    turn_clock(2 * HOUR);
    rig.cut();
    assert!(pull(&bounded(&rig, 1), &image).await.is_err());
    pull(&bounded(&rig, 3), &image).await.unwrap();
    let other = Special {
        policy: policy("prod/signed-*", "build"),
        store: Some(rig.store()),
        ..Special::default()
    };
    pull(&rig.special(other), &image).await.unwrap();
}

/// A tag that is asked for in silence: whoever reads the refusal is told whose silence it was.
#[tokio::test]
async fn silence_names_its_host() {
    let rig = Rig::new(Settings::without_referrers());
    rig.registry.rule(Rule::new("", Answer::Hang));
    let mut ask = ask(&tagged("signed-v2"));
    ask.deadline = clock().steady() + Duration::from_secs(1);
    let Err(refusal) = rig.gate().admit_pull(&ask, &mut Timings::start(clock())).await else {
        panic!("admitted")
    };
    assert_eq!((refusal.ending(), refusal.code()), (Ending::Unreachable, "registry-unreachable"));
    assert!(refusal.to_string().contains(HOST), "{refusal}");
}
