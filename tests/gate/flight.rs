//! One judgement in flight per question: who shares it, who does not, and that nobody can cancel it
//! for the others.

use std::sync::Arc;
use std::time::Duration;

use sealgate::cri::Timings;
use sealgate::policy::Reason;
use sealgate::registry::AuthConfig;

use crate::fixtures;
use crate::registry::{Answer, Auth, Rule, Settings};
use crate::rig::{Rig, ask, ask_as, by_digest, clock, pull, reason, tagged};

/// Callers at once: a node that boots, or a deployment that lands.
const CALLERS: usize = 40;

/// Requests to the tag of the older form's signature.
fn signature_requests(rig: &Rig, situation: &str) -> usize {
    let digest = fixtures::prod(situation).tags["v1"].clone();
    rig.registry.count(&format!("/manifests/{}.sig", digest.replace(':', "-")))
}

fn robot(password: &str) -> Option<AuthConfig> {
    Some(AuthConfig {
        username: "robot".to_owned(),
        password: password.to_owned(),
        ..AuthConfig::default()
    })
}

/// Waits until it is so; a test that waits for ever fails.
async fn until(what: impl Fn() -> bool) {
    let waiting = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it never came to be");
}

#[tokio::test]
async fn many_callers_share_one_judgement() {
    for image in [by_digest("signed-v2"), tagged("signed-v2")] {
        let rig = Rig::new(Settings::without_referrers());
        rig.late();
        let gate = rig.gate();
        let pulls = futures_util::future::join_all((0..CALLERS).map(|_| pull(&gate, &image))).await;
        assert!(pulls.iter().all(Result::is_ok));
        assert_eq!(signature_requests(&rig, "signed-v2"), 1, "{image}");
        assert!(rig.registry.count("/referrers/") <= 1, "{image}");
    }
}

#[tokio::test]
async fn callers_share_a_refusal_too() {
    let rig = Rig::new(Settings::without_referrers());
    rig.late();
    let (gate, image) = (rig.gate(), by_digest("unsigned"));
    let pulls = futures_util::future::join_all((0..CALLERS).map(|_| pull(&gate, &image))).await;
    assert!(pulls.into_iter().all(|outcome| reason(outcome) == Reason::Unsigned));
    assert_eq!(signature_requests(&rig, "unsigned"), 1);
}

/// A kubelet that gives up, or a caller that goes away on purpose, does not take the judgement from
/// the others.
#[tokio::test]
async fn a_cancelled_caller_does_not_cancel_the_judgement() {
    let rig = Rig::new(Settings::without_referrers());
    rig.late();
    let (gate, image) = (Arc::new(rig.gate()), by_digest("signed-v2"));
    let leader = tokio::spawn({
        let (gate, image) = (Arc::clone(&gate), image.clone());
        async move { pull(&gate, &image).await.map(drop) }
    });
    until(|| rig.registry.count("/referrers/") == 1).await;
    let follower = tokio::spawn({
        let (gate, image) = (Arc::clone(&gate), image.clone());
        async move { pull(&gate, &image).await.map(drop) }
    });
    tokio::task::yield_now().await;
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    follower.await.unwrap().unwrap();
    assert_eq!(rig.registry.count("/referrers/"), 1);
    assert_eq!(signature_requests(&rig, "signed-v2"), 1);
}

/// With nobody left to wait for it the judgement goes on, for those who ask next.
#[tokio::test]
async fn a_judgement_that_nobody_waits_for_ends_in_memory() {
    let rig = Rig::new(Settings::without_referrers());
    rig.late();
    let (gate, image) = (Arc::new(rig.gate()), by_digest("signed-v2"));
    let caller = tokio::spawn({
        let (gate, image) = (Arc::clone(&gate), image.clone());
        async move { pull(&gate, &image).await.map(drop) }
    });
    until(|| rig.registry.count("/referrers/") == 1).await;
    caller.abort();
    until(|| gate.remembered_counts().verdicts == 1).await;
    assert!(pull(&gate, &image).await.unwrap().is_cached());
}

/// A caller's deadline is its own: it is told so, and the judgement goes on.
#[tokio::test]
async fn a_deadline_ends_the_waiting_and_not_the_judgement() {
    let rig = Rig::new(Settings::without_referrers());
    rig.late();
    let (gate, image) = (rig.gate(), by_digest("signed-v2"));
    let mut hasty = ask(&image);
    hasty.deadline = clock().steady() + Duration::from_millis(50);
    let refusal = gate.admit_pull(&hasty, &mut Timings::start(clock())).await.unwrap_err();
    assert_eq!(refusal.code(), "deadline");
    until(|| gate.remembered_counts().verdicts == 1).await;
    assert!(pull(&gate, &image).await.unwrap().is_cached());
}

/// Attack E9: what one caller's password opens is not looked into for another, and a wrong password
/// does not spoil the right one's judgement.
#[tokio::test]
async fn attack_e9_different_credentials_never_share_a_judgement() {
    let rig = Rig::new(Settings::without_referrers().auth(Auth::basic("right")));
    rig.late();
    let (gate, image) = (rig.gate(), by_digest("signed-v2"));
    let (wrong, right, none) =
        (ask_as(&image, robot("wrong")), ask_as(&image, robot("right")), ask_as(&image, None));
    let mut timings = [(); 3].map(|()| Timings::start(clock()));
    let [first, second, third] = &mut timings;
    let (wrong, right, none) = tokio::join!(
        gate.admit_pull(&wrong, first),
        gate.admit_pull(&right, second),
        gate.admit_pull(&none, third)
    );
    assert!(matches!(reason(wrong), Reason::Unable { .. }));
    assert!(matches!(reason(none), Reason::Unable { .. }));
    assert!(!right.unwrap().is_cached());
}

/// A verdict in memory does not tell who may read a tag: each caller asks for itself, with its own
/// rights.
#[tokio::test]
async fn attack_e9_a_remembered_verdict_opens_no_tag() {
    let rig = Rig::new(Settings::without_referrers().auth(Auth::basic("right")));
    let (gate, image) = (rig.gate(), tagged("signed-v2"));
    gate.admit_pull(&ask_as(&image, robot("right")), &mut Timings::start(clock())).await.unwrap();
    for auth in [robot("wrong"), None] {
        let refusal =
            gate.admit_pull(&ask_as(&image, auth), &mut Timings::start(clock())).await.unwrap_err();
        assert_eq!(refusal.code(), "registry-unable");
    }
}

/// Registries that hide what a caller may not see answer 404: what is not there for one may be
/// there for another.
#[tokio::test]
async fn attack_e9_a_refusal_of_one_callers_is_not_remembered_for_another() {
    let rig = Rig::new(Settings::without_referrers());
    let (gate, image) = (rig.gate(), by_digest("signed-v2"));
    rig.registry.rule(Rule::new("/manifests/sha256-", Answer::Status(404, "MANIFEST_UNKNOWN")));
    let refused =
        gate.admit_pull(&ask_as(&image, robot("no-rights")), &mut Timings::start(clock())).await;
    assert_eq!(reason(refused), Reason::Unsigned);
    rig.registry.clear_rules();
    gate.admit_pull(&ask_as(&image, robot("rights")), &mut Timings::start(clock())).await.unwrap();
    let again =
        gate.admit_pull(&ask_as(&image, robot("no-rights")), &mut Timings::start(clock())).await;
    assert!(again.unwrap().is_cached(), "an admission is everyone's");
}
