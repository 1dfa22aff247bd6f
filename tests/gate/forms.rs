//! Decisions about certificates and attestations, in every form, on the images as the real cosign
//! signed them.

use sealgate::policy::{Class, Reason};

use crate::registry::{Answer, Rule, Settings};
use crate::rig::{
    PROVENANCE, RELEASE, Rig, Special, attested, by_digest, pull, reason, requiring, set_calendar,
    tagged,
};

/// A gate over a registry of its own.
fn gate(require: &str) -> (Rig, sealgate::cri::Gate) {
    let rig = Rig::new(Settings::without_referrers());
    let gate = rig.special(Special { policy: requiring(require), ..Special::default() });
    (rig, gate)
}

fn class(outcome: Result<sealgate::cri::PullPermit, sealgate::cri::Refusal>) -> Class {
    match outcome {
        Err(sealgate::cri::Refusal::Denied(denial)) => denial.class(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_keyless_signature_admits_its_identity_alone() {
    let (_rig, gate) = gate(RELEASE);
    for good in ["keyless", "keyless-v2", "keyless-v2-timestamp", "keyless-two", "keyless-two-v2"] {
        pull(&gate, &tagged(good)).await.unwrap();
    }
    for bad in [
        "keyless-neighbour",
        "keyless-neighbour-v2",
        "keyless-email",
        "keyless-othername",
        "keyless-foreign",
        "keyless-late",
        "keyless-late-v2",
        "keyless-no-sct",
        "keyless-no-log",
        "keyless-wrong-digest",
        "keyless-wrong-digest-v2",
        "signed-both",
    ] {
        let refused = reason(pull(&gate, &tagged(bad)).await);
        assert!(matches!(refused, Reason::NoneCounts { .. }), "{bad}: {refused:?}");
    }
    assert_eq!(reason(pull(&gate, &tagged("unsigned")).await), Reason::Unsigned);
}

#[tokio::test]
async fn a_provenance_admits_where_one_is_asked_for() {
    let (_rig, gate) = gate(&attested(PROVENANCE, ""));
    for good in ["provenance", "provenance-v2", "attested-whole"] {
        pull(&gate, &tagged(good)).await.unwrap();
    }
    for bad in [
        "provenance-neighbour",
        "provenance-wrong-digest",
        "provenance-wrong-digest-v2",
        "sbom",
        "keyless",
    ] {
        let refused = reason(pull(&gate, &tagged(bad)).await);
        assert!(
            matches!(refused, Reason::NoneCounts { .. } | Reason::Unsigned),
            "{bad}: {refused:?}"
        );
    }
}

/// An attestation is no signature on the image, in whichever form (attack B2).
#[tokio::test]
async fn attack_b2_an_attestation_is_no_signature() {
    let (_rig, gate) = gate(RELEASE);
    for image in ["provenance", "provenance-v2", "sbom"] {
        assert_eq!(class(pull(&gate, &tagged(image)).await), Class::Refused, "{image}");
    }
}

/// The place of older attestations that is absent, not readable or unreachable: three different
/// answers.
#[tokio::test]
async fn the_place_of_older_attestations_has_three_different_answers() {
    let (rig, gate) = gate(&attested(PROVENANCE, ""));
    let image = by_digest("unsigned");
    for (status, expected) in
        [(403, Class::Unable), (503, Class::Unreachable), (404, Class::Refused)]
    {
        rig.registry.rule(Rule::new(".att", Answer::Status(status, "MANIFEST_UNKNOWN")));
        assert_eq!(class(pull(&gate, &image).await), expected, "{status}");
        rig.registry.clear_rules();
    }
}

/// Where no attestation is asked for, their older place is not asked: what is wrong with it is
/// nobody's concern.
#[tokio::test]
async fn a_place_that_cannot_count_is_not_asked() {
    let (rig, gate) = gate(RELEASE);
    rig.registry.rule(Rule::new(".att", Answer::Status(503, "UNAVAILABLE")));
    assert_eq!(reason(pull(&gate, &by_digest("unsigned")).await), Reason::Unsigned);
    pull(&gate, &by_digest("keyless-v2")).await.unwrap();
    assert_eq!(rig.registry.count(".att"), 0);
}

/// Certificates are judged at the proven time of the signature: a calendar of another year changes
/// nothing.
#[tokio::test]
async fn a_certificate_is_judged_when_it_signed() {
    let (_rig, gate) = gate(RELEASE);
    set_calendar(std::time::Duration::from_secs(5 * 365 * 86_400), std::time::Duration::ZERO);
    pull(&gate, &by_digest("keyless")).await.unwrap();
}

/// Evidence of attestations is kept as well: another policy admits without asking anybody.
#[tokio::test]
async fn a_new_policy_is_judged_on_kept_attestations() {
    let (rig, gate) = gate(&attested(PROVENANCE, ""));
    for image in ["provenance", "provenance-v2"] {
        pull(&gate, &by_digest(image)).await.unwrap();
    }
    rig.registry.clear_log();
    gate.replace_policy(requiring(&format!("{{any: [{}, {RELEASE}]}}", attested(PROVENANCE, ""))));
    for image in ["provenance", "provenance-v2"] {
        pull(&gate, &by_digest(image)).await.unwrap();
    }
    assert_eq!(rig.registry.requests().len(), 0);
}

/// What was proven of a signature is not proven again: not for a new policy, and not when the
/// registry is asked anew.
#[tokio::test]
async fn what_was_proven_is_remembered_beyond_policies_and_evidence() {
    let (_rig, gate) = gate(RELEASE);
    let image = by_digest("keyless");
    pull(&gate, &image).await.unwrap();
    let proven = gate.remembered_counts().proofs;
    assert!(proven > 0);
    gate.replace_policy(requiring(&RELEASE.replace("release,", "other,")));
    pull(&gate, &image).await.unwrap();
    gate.flush();
    assert!(!pull(&gate, &image).await.unwrap().is_cached());
    assert_eq!(gate.remembered_counts().proofs, proven);
    // Under another trust root it is another question, with another answer.
    gate.replace_policy(requiring(&RELEASE.replace("local", "foreign")));
    assert!(matches!(reason(pull(&gate, &image).await), Reason::NoneCounts { .. }));
    assert_eq!(gate.remembered_counts().proofs, proven);
}

/// What somebody else signed is proven and remembered as well, and admits nothing: who may sign is
/// asked each time.
#[tokio::test]
async fn attack_b8_a_remembered_proof_of_another_identity_admits_nothing() {
    let (_rig, gate) = gate(&RELEASE.replace("acme/app", "other/app"));
    pull(&gate, &by_digest("keyless-neighbour")).await.unwrap();
    gate.replace_policy(requiring(RELEASE));
    assert!(matches!(
        reason(pull(&gate, &by_digest("keyless-neighbour")).await),
        Reason::NoneCounts { .. }
    ));
}

#[tokio::test]
async fn a_certificate_of_an_own_authority_admits_its_subject() {
    let (_rig, gate) = gate(
        "{name: team, certificate: {roots: [root.pem], intermediates: [intermediate.pem], crls: \
         [team.crl, root.crl], subjects: [{email: team@acme.example}]}}",
    );
    for good in ["pki", "pki-logged", "pki-v3"] {
        pull(&gate, &tagged(good)).await.unwrap();
    }
    for bad in ["pki-uri", "pki-revoked", "pki-revoked-v3", "pki-expired", "pki-foreign", "keyless"]
    {
        let refused = reason(pull(&gate, &tagged(bad)).await);
        assert!(matches!(refused, Reason::NoneCounts { .. }), "{bad}: {refused:?}");
    }
}
