//! How many requests of a registry a cold decision costs, and how many of them wait for one
//! another. Counts, no times.
//!
//! Targets: no more than cosign makes for the same image (4 for the older form, 7 for a bundle;
//! `make e2e SCENARIO=requests` counts both), one less where the registry is known to have no
//! referrers endpoint; in series at most 4 by tag and 3 by digest. The places go out side by side,
//! so each costs its request although another would have sufficed; what spares them is the memory
//! of the form in which a registry admitted before.
//!
//! Where less is known than that, a guess may be wrong, on first contact alone. It costs then:
//!
//! | what was guessed                                 | and is not so             | costs                              |
//! |--------------------------------------------------|---------------------------|------------------------------------|
//! | an endpoint (it did not introduce itself)        | it has none               | 1 request and 1 round trip         |
//! | none (it introduced itself as the classic one)   | it has one                | 1 request and 1 round trip         |
//! | the form that alone admitted so far              | this image has another    | 1 round trip                       |
//!
//! These are beyond the 4 in series. They cannot be within and the older form at 4 requests, too:
//! the tag of the older form, its payload and what the image's name means are 3, so that one more
//! place may be asked beside it; but where it cannot be known whether bundles are listed at the
//! endpoint or under the fallback tag, both would have to be.

use sealgate::policy::PolicySet;

use crate::registry::{Referrers, Settings};
use crate::rig::{
    PROVENANCE, RELEASE, Rig, Special, attested, by_digest, policy, pull, requiring, tagged,
};

/// What is known of a registry when the decision begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Nothing: it was never asked.
    Nothing,
    /// Whether it has the endpoint: an unsigned image was refused.
    Endpoint,
    /// That, and the form: the image was admitted, and everything that was kept of it is forgotten.
    Form,
}

use Known::{Endpoint, Form, Nothing};

/// Requests and the longest chain of them for one cold decision that admits.
async fn cost(policy: PolicySet, settings: Settings, image: &str, known: Known) -> (usize, usize) {
    let rig = match settings.referrers {
        // What has the endpoint has no tags in its place.
        Referrers::Endpoint | Referrers::Pages(_) => {
            Rig::with_tags(settings, |tag| !is_fallback(tag))
        }
        Referrers::Missing(_) | Referrers::WebPage => Rig::new(settings),
    };
    let gate = rig.special(Special { policy, ..Special::default() });
    if known != Nothing {
        pull(&gate, &tagged("unsigned")).await.unwrap_err();
    }
    if known == Form {
        pull(&gate, image).await.unwrap();
        gate.flush();
    }
    rig.registry.clear_log();
    rig.late();
    let permit = pull(&gate, image).await.unwrap();
    assert!(!permit.is_cached());
    let asked: Vec<_> =
        rig.registry.requests().into_iter().map(|entry| (entry.method, entry.path)).collect();
    for request in &asked {
        assert_eq!(
            asked.iter().filter(|other| *other == request).count(),
            1,
            "asked twice: {request:?}"
        );
    }
    (asked.len(), rig.registry.series())
}

/// `sha256-<hex>`, without an ending.
fn is_fallback(tag: &str) -> bool {
    tag.starts_with("sha256-") && !tag.contains('.')
}

/// A cold decision: the registry, the image, what is known, and what it must cost.
type Case = (fn() -> Settings, String, Known, (usize, usize));

/// Plays all cases at once: each waits for its own registry most of the time.
async fn costs<const N: usize>(cases: [Case; N]) {
    costs_of(|| policy("prod/**", "build"), cases).await;
}

/// The same under another policy.
async fn costs_of<const N: usize>(policy: impl Fn() -> PolicySet, cases: [Case; N]) {
    let plays =
        cases.iter().map(|(settings, image, known, _)| cost(policy(), settings(), image, *known));
    let found = futures_util::future::join_all(plays).await;
    let wrong: Vec<String> = cases
        .iter()
        .zip(found)
        .filter(|((.., expected), found)| found != expected)
        .map(|((_, image, known, expected), found)| {
            format!("{image}, {known:?}: {found:?} and not {expected:?}")
        })
        .collect();
    assert!(wrong.is_empty(), "requests and series: {wrong:#?}");
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
async fn the_older_form_costs_four_requests_by_tag_and_three_once_the_form_is_known() {
    costs([
        (classic, tagged("signed-v2"), Nothing, (4, 3)),
        (classic, tagged("signed-v2"), Endpoint, (4, 3)),
        (classic, tagged("signed-v2"), Form, (3, 3)),
        (classic, by_digest("signed-v2"), Nothing, (4, 2)),
        (classic, by_digest("signed-v2"), Endpoint, (3, 2)),
        (classic, by_digest("signed-v2"), Form, (2, 2)),
        (old_and_silent, tagged("signed-v2"), Nothing, (4, 3)),
        (modern_with_header, tagged("signed-v2"), Nothing, (4, 3)),
    ])
    .await;
}

#[tokio::test]
async fn the_older_form_beside_an_endpoint_costs_no_more() {
    costs([
        (modern, tagged("signed-v2"), Nothing, (4, 3)),
        (modern, tagged("signed-v2"), Endpoint, (4, 3)),
        (modern, tagged("signed-v2"), Form, (3, 3)),
        (modern, by_digest("signed-v2"), Nothing, (4, 2)),
        (modern, by_digest("signed-v2"), Endpoint, (3, 2)),
        (modern, by_digest("signed-v2"), Form, (2, 2)),
    ])
    .await;
}

#[tokio::test]
async fn a_bundle_without_an_endpoint_costs_five_requests_and_four_once_the_form_is_known() {
    costs([
        (classic, tagged("signed-v3"), Nothing, (5, 4)),
        (classic, tagged("signed-v3"), Endpoint, (5, 4)),
        (classic, tagged("signed-v3"), Form, (4, 4)),
        (classic, by_digest("signed-v3"), Nothing, (5, 3)),
        (classic, by_digest("signed-v3"), Endpoint, (4, 3)),
        (classic, by_digest("signed-v3"), Form, (3, 3)),
    ])
    .await;
}

/// By digest the first word with a host is asked at every place side by side.
#[tokio::test]
async fn a_bundle_with_an_endpoint_costs_five_requests_and_four_once_the_form_is_known() {
    costs([
        (modern, tagged("signed-v3"), Nothing, (5, 4)),
        (modern, tagged("signed-v3"), Endpoint, (5, 4)),
        (modern, tagged("signed-v3"), Form, (4, 4)),
        (modern, by_digest("signed-v3"), Nothing, (5, 3)),
        (modern, by_digest("signed-v3"), Endpoint, (4, 3)),
        (modern, by_digest("signed-v3"), Form, (3, 3)),
    ])
    .await;
}

/// Who introduces itself as the classic registry and has the endpoint: on first contact alone.
#[tokio::test]
async fn a_misleading_header_costs_one_request_and_one_round_trip_once() {
    costs([
        (modern_with_header, tagged("signed-v3"), Nothing, (6, 5)),
        (modern_with_header, tagged("signed-v3"), Endpoint, (5, 4)),
        (modern_with_header, tagged("signed-v3"), Form, (4, 4)),
    ])
    .await;
}

/// Who says nothing and has no endpoint: on first contact alone.
#[tokio::test]
async fn a_silent_registry_without_the_endpoint_costs_one_request_and_one_round_trip_once() {
    costs([
        (old_and_silent, tagged("signed-v3"), Nothing, (6, 5)),
        (old_and_silent, tagged("signed-v3"), Endpoint, (5, 4)),
        (old_and_silent, tagged("signed-v3"), Form, (4, 4)),
        (old_and_silent, by_digest("signed-v3"), Nothing, (5, 3)),
    ])
    .await;
}

/// A registry where one form alone admitted, and an image of the other: one round trip more, once.
#[tokio::test]
async fn another_form_than_before_costs_one_round_trip_once() {
    for (first, then) in [("signed-v2", "signed-v3"), ("signed-v3", "signed-v2")] {
        let rig = Rig::new(classic());
        let gate = rig.gate();
        pull(&gate, &tagged(first)).await.unwrap();
        rig.late();
        let mut series = Vec::new();
        for _ in 0..2 {
            gate.flush();
            rig.registry.clear_log();
            pull(&gate, &tagged(then)).await.unwrap();
            series.push(rig.registry.series());
        }
        let usual = if then == "signed-v2" { 3 } else { 4 };
        assert!(series[0] > usual, "{then} after {first}: {series:?}");
        assert_eq!(series[1], usual, "{then} after {first}: {series:?}");
        assert_eq!(
            rig.registry.requests().len(),
            usual + 1,
            "both places side by side: {then} after {first}"
        );
    }
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
        (classic, tagged("index-v2"), Nothing, (4, 3)),
        (modern, tagged("index-v3"), Nothing, (5, 4)),
        (classic, tagged("index-child-v2"), Nothing, (7, 4)),
        (modern, tagged("index-child-v3"), Nothing, (7, 5)),
        (classic, tagged("index-child-v2"), Form, (5, 4)),
        (modern, tagged("index-child-v3"), Form, (6, 5)),
    ])
    .await;
}

/// Certificates: no more than keys.
#[tokio::test]
async fn keyless_signatures_cost_at_most_four_in_series_by_tag_and_three_by_digest() {
    let set = || requiring(RELEASE);
    costs_of(
        set,
        [
            (classic, tagged("keyless"), Nothing, (5, 4)),
            (classic, tagged("keyless"), Form, (4, 4)),
            (classic, by_digest("keyless"), Nothing, (5, 3)),
            (modern, tagged("keyless"), Nothing, (5, 4)),
            (modern, tagged("keyless"), Endpoint, (5, 4)),
            (modern, tagged("keyless"), Form, (4, 4)),
            (modern, by_digest("keyless"), Endpoint, (4, 3)),
            (modern, by_digest("keyless"), Form, (3, 3)),
        ],
    )
    .await;
    costs_of(
        set,
        [
            (classic, tagged("keyless-v2"), Nothing, (4, 3)),
            (classic, tagged("keyless-v2"), Form, (3, 3)),
            (classic, by_digest("keyless-v2"), Nothing, (4, 2)),
            (modern, tagged("keyless-v2"), Nothing, (4, 3)),
            (modern, tagged("keyless-v2"), Endpoint, (4, 3)),
            (modern, by_digest("keyless-v2"), Endpoint, (3, 2)),
        ],
    )
    .await;
}

/// Attestations: the same; where nothing else is asked for, the place of signatures is not looked
/// in.
#[tokio::test]
async fn attestations_cost_no_more_than_signatures() {
    let set = || requiring(&attested(PROVENANCE, ""));
    costs_of(
        set,
        [
            (classic, tagged("provenance"), Nothing, (5, 4)),
            (classic, by_digest("provenance"), Nothing, (5, 3)),
            (modern, tagged("provenance"), Endpoint, (5, 4)),
            (modern, tagged("provenance"), Form, (4, 4)),
            (modern, by_digest("provenance"), Endpoint, (4, 3)),
            (classic, tagged("provenance-v2"), Nothing, (4, 3)),
            (classic, tagged("provenance-v2"), Form, (3, 3)),
            (classic, by_digest("provenance-v2"), Nothing, (4, 2)),
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
