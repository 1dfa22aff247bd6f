//! How many requests of a registry a cold decision costs, and how many of them wait for one another. Counts, no times.
//!
//! Targets: at most 5 requests for the older form, 6 for a bundle without a referrers endpoint, 4 with one; at most 4 in
//! series by tag, 3 by digest.

use sealgate::policy::PolicySet;

use crate::registry::{Referrers, Settings};
use crate::rig::{PROVENANCE, RELEASE, Rig, Special, attested, by_digest, policy, pull, requiring, tagged};

/// Requests and the longest chain of them for one cold decision that admits.
async fn cost(policy: PolicySet, settings: Settings, image: &str, known: bool) -> (usize, usize) {
    let rig = Rig::new(settings);
    let gate = rig.special(Special { policy, ..Special::default() });
    if known {
        pull(&gate, &tagged("unsigned")).await.unwrap_err();
        rig.registry.clear_log();
    }
    rig.late();
    let permit = pull(&gate, image).await.unwrap();
    assert!(!permit.is_cached());
    let asked: Vec<_> = rig.registry.requests().into_iter().map(|entry| (entry.method, entry.path)).collect();
    for request in &asked {
        assert_eq!(asked.iter().filter(|other| *other == request).count(), 1, "asked twice: {request:?}");
    }
    (asked.len(), rig.registry.series())
}

/// A cold decision: the registry, the image, whether the host is known, and what it must cost.
type Case = (fn() -> Settings, String, bool, (usize, usize));

/// Plays all cases at once: each waits for its own registry most of the time.
async fn costs<const N: usize>(cases: [Case; N]) {
    costs_of(|| policy("prod/**", "build"), cases).await;
}

/// The same under another policy.
async fn costs_of<const N: usize>(policy: impl Fn() -> PolicySet, cases: [Case; N]) {
    let plays = cases.iter().map(|(settings, image, known, _)| cost(policy(), settings(), image, *known));
    let found = futures_util::future::join_all(plays).await;
    for ((_, image, known, expected), found) in cases.iter().zip(found) {
        assert_eq!(found, *expected, "requests and series for {image}, host known: {known}");
    }
}

/// As docker's distribution 2: no endpoint, and a header that says whose it is.
fn classic() -> Settings {
    Settings::without_referrers()
}

/// A registry with the endpoint that does not introduce itself.
fn modern() -> Settings {
    Settings::conforming()
}

/// Docker's distribution 3 and many services: the endpoint, and the header of distribution 2.
fn modern_with_header() -> Settings {
    Settings { docker_header: true, ..Settings::conforming() }
}

/// No endpoint and no header.
fn old_and_silent() -> Settings {
    Settings { docker_header: false, ..Settings::conforming().referrers(Referrers::Missing(404)) }
}

#[tokio::test]
async fn the_older_form_costs_five_requests_by_tag_and_four_by_digest() {
    costs([
        (classic, tagged("signed-v2"), false, (5, 4)),
        (classic, tagged("signed-v2"), true, (5, 4)),
        (classic, by_digest("signed-v2"), false, (4, 3)),
        (classic, by_digest("signed-v2"), true, (4, 3)),
    ])
    .await;
}

#[tokio::test]
async fn the_older_form_beside_an_endpoint_costs_no_more() {
    costs([
        (modern, tagged("signed-v2"), false, (4, 4)),
        (modern, tagged("signed-v2"), true, (4, 4)),
        (modern, by_digest("signed-v2"), true, (3, 3)),
    ])
    .await;
}

#[tokio::test]
async fn a_bundle_without_an_endpoint_costs_five_requests() {
    costs([
        (classic, tagged("signed-v3"), false, (5, 4)),
        (classic, tagged("signed-v3"), true, (5, 4)),
        (classic, by_digest("signed-v3"), false, (4, 3)),
        (classic, by_digest("signed-v3"), true, (4, 3)),
    ])
    .await;
}

/// By digest the first word with a host is asked at both places side by side.
#[tokio::test]
async fn a_bundle_with_an_endpoint_costs_four_requests() {
    costs([
        (modern, tagged("signed-v3"), false, (4, 4)),
        (modern, tagged("signed-v3"), true, (4, 4)),
        (modern, by_digest("signed-v3"), false, (4, 3)),
        (modern, by_digest("signed-v3"), true, (3, 3)),
    ])
    .await;
}

/// Who introduces itself as the classic registry and has the endpoint is asked once too much, on first contact alone.
#[tokio::test]
async fn a_misleading_header_costs_one_request_once() {
    costs([
        (modern_with_header, tagged("signed-v3"), false, (5, 4)),
        (modern_with_header, tagged("signed-v3"), true, (4, 4)),
    ])
    .await;
}

/// Who says nothing and has no endpoint costs one more in series, on first contact alone.
#[tokio::test]
async fn a_silent_registry_without_the_endpoint_costs_one_round_trip_once() {
    costs([
        (old_and_silent, tagged("signed-v3"), false, (5, 5)),
        (old_and_silent, tagged("signed-v3"), true, (5, 4)),
        (old_and_silent, by_digest("signed-v3"), false, (4, 3)),
    ])
    .await;
}

/// A refusal looks everywhere before it says so.
#[tokio::test]
async fn an_unsigned_image_costs_four_requests() {
    let rig = Rig::new(classic());
    rig.late();
    pull(&rig.gate(), &tagged("unsigned")).await.unwrap_err();
    assert_eq!((rig.registry.requests().len(), rig.registry.series()), (4, 3));
}

/// An index whose manifest is signed, and not the index: both are looked at.
#[tokio::test]
async fn a_signature_on_the_platforms_manifest_costs_a_second_look() {
    costs([
        (classic, tagged("index-v2"), false, (5, 4)),
        (modern, tagged("index-v3"), false, (4, 4)),
        (classic, tagged("index-child-v2"), false, (8, 6)),
        (modern, tagged("index-child-v3"), false, (6, 6)),
    ])
    .await;
}

/// Certificates: in series at most 4 by tag and 3 by digest, of every form, on first contact too. What may lie in another
/// place is asked for side by side, for one request more.
#[tokio::test]
async fn keyless_signatures_cost_at_most_four_in_series_by_tag_and_three_by_digest() {
    let set = || requiring(RELEASE);
    costs_of(
        set,
        [
            (classic, tagged("keyless"), false, (6, 4)),
            (classic, by_digest("keyless"), false, (5, 3)),
            (modern, tagged("keyless"), false, (6, 4)),
            (modern, tagged("keyless"), true, (5, 4)),
            (modern, by_digest("keyless"), true, (4, 3)),
            (modern_with_header, tagged("keyless"), false, (6, 4)),
            (old_and_silent, tagged("keyless"), false, (6, 4)),
            (old_and_silent, by_digest("keyless"), false, (5, 3)),
        ],
    )
    .await;
    costs_of(
        set,
        [
            (classic, tagged("keyless-v2"), false, (5, 3)),
            (classic, by_digest("keyless-v2"), false, (4, 2)),
            (modern, tagged("keyless-v2"), false, (5, 3)),
            (modern, tagged("keyless-v2"), true, (4, 3)),
            (modern, by_digest("keyless-v2"), true, (3, 2)),
        ],
    )
    .await;
}

/// Attestations: the same; where nothing else is asked for, the place of signatures is not looked in.
#[tokio::test]
async fn attestations_cost_no_more_than_signatures() {
    let set = || requiring(&attested(PROVENANCE, ""));
    costs_of(
        set,
        [
            (classic, tagged("provenance"), false, (6, 4)),
            (classic, by_digest("provenance"), false, (5, 3)),
            (modern, tagged("provenance"), true, (5, 4)),
            (modern, by_digest("provenance"), true, (4, 3)),
            (classic, tagged("provenance-v2"), false, (5, 3)),
            (classic, by_digest("provenance-v2"), false, (4, 2)),
        ],
    )
    .await;
    let rig = Rig::new(classic());
    let gate = rig.special(Special { policy: set(), ..Special::default() });
    pull(&gate, &tagged("provenance-v2")).await.unwrap();
    assert_eq!(rig.registry.count(".sig"), 0);
}

/// A signature and an attestation, each in a place of its own: still no second look.
#[tokio::test]
async fn a_signature_and_an_attestation_together_cost_no_more_in_series() {
    let both = format!("{{all: [{RELEASE}, {}]}}", attested(PROVENANCE, ""));
    let rig = Rig::new(classic());
    let gate = rig.special(Special { policy: requiring(&both), ..Special::default() });
    rig.late();
    pull(&gate, &tagged("attested-whole")).await.unwrap();
    assert_eq!(rig.registry.series(), 4);
}

/// What is asked for by digest is not asked what it is: the digest is what is judged.
#[tokio::test]
async fn a_pull_by_digest_fetches_no_manifest_of_the_image() {
    let rig = Rig::new(classic());
    let image = by_digest("signed-v2");
    pull(&rig.gate(), &image).await.unwrap();
    let digest = image.split_once('@').unwrap().1;
    assert_eq!(rig.registry.count(&format!("/manifests/{digest}")), 0);
    assert_eq!(rig.registry.count(&format!("/blobs/{digest}")), 0);
}

#[tokio::test]
async fn an_image_that_no_policy_matches_costs_nothing() {
    let rig = Rig::new(classic());
    let refusal = pull(&rig.gate(), &format!("{}/dev/app:v1", crate::rig::HOST)).await.unwrap_err();
    assert_eq!(refusal.code(), "no-policy");
    assert_eq!(rig.registry.requests().len(), 0);
}
