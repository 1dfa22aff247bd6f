//! Attestations: by whom they are, what they say, and what cannot be told of them.

use super::fixtures::*;
use super::support::{assert_denied, assert_permitted, denied, permitted};
use crate::policy::{Class, FateOutcome, Finding, Reason};
use crate::verify::Fault;

const LATER: &str = "2025-07-01T00:00:00Z";
const SLSA: &str = "https://slsa.dev/provenance/v1";
const REPOSITORY: &str = "predicate.buildDefinition.externalParameters.workflow.repository";

fn attestation(predicate_type: &str, more: &str) -> String {
    let by = format!("{{keyless: {{trustRoot: local, identities: [{ACME}]}}}}");
    format!("{{name: provenance, attestation: {{predicateType: '{predicate_type}', by: {by}{more}}}}}")
}

fn provenance(condition: &str) -> String {
    attestation(SLSA, &format!(", where: '{condition}'"))
}

fn from(repository: &str) -> String {
    provenance(&format!("{REPOSITORY} == \"{repository}\""))
}

#[test]
fn an_attestation_by_whom_it_should_be_admits_in_both_shapes() {
    for name in ["provenance", "provenance-v2", "attested-whole"] {
        assert_permitted(judged_in(&attestation(SLSA, ""), name, LATER));
        assert_permitted(judged_in(&from("https://github.com/acme/app"), name, LATER));
    }
    let by_key = "{name: provenance, attestation: {predicateType: slsaprovenance1, by: {key: {files: [build.pub]}}}}";
    assert_permitted(judged_in(by_key, "provenance-key", LATER));
    assert_permitted(judged_in(by_key, "provenance-key-v2", LATER));
    assert_denied(judged_in(by_key, "provenance", LATER));
}

/// Provenance of another repository: by the right signer, and refused with both named.
#[test]
fn provenance_from_another_repository_is_refused_with_both_named() {
    let require = from("https://github.com/acme/app");
    for name in ["provenance-elsewhere", "provenance-v2-elsewhere"] {
        let denial = denied(judged_in(&require, name, LATER));
        assert_eq!(denial.class(), Class::Refused);
        let why = Finding::ConditionFalse {
            condition: REPOSITORY.to_owned(),
            got: Some("\"https://github.com/other/app\"".to_owned()),
            wanted: Some("\"https://github.com/acme/app\"".to_owned()),
        };
        assert_eq!(denial.reason(), &Reason::NoneCounts { why });
        let line = denial.to_string();
        assert!(line.starts_with("policy \"test\", requirement \"provenance\": no attestation https://slsa.dev/"));
        assert!(
            line.ends_with("is \"https://github.com/other/app\", wanted is \"https://github.com/acme/app\""),
            "{line}"
        );
    }
    let denial = denied(judged_in(&require, "provenance-neighbour", LATER));
    assert!(matches!(denial.reason(), Reason::NoneCounts { why: Finding::OtherHolder { .. } }), "{denial}");
}

/// Attack B2: an attestation is no image signature, an image signature no attestation, and each is of its own kind.
#[test]
fn attack_b2_no_claim_counts_as_another() {
    let signature = keyless("release", &[ACME]);
    for name in ["provenance", "provenance-v2", "sbom", "scan", "vsa-passed"] {
        let denial = denied(judged_in(&signature, name, LATER));
        let why = Finding::Fault { fault: Fault::NotImageSignature };
        assert!(
            matches!(denial.reason(), Reason::NoneCounts { why: got } if *got == why)
                || *denial.reason() == Reason::Unsigned,
            "{name}: {:?}",
            denial.reason()
        );
    }
    for name in ["keyless", "keyless-v2"] {
        let denial = denied(judged_in(&attestation(SLSA, ""), name, LATER));
        let why = Finding::Fault { fault: Fault::NotAttestation };
        assert_eq!(denial.reason(), &Reason::NoneCounts { why }, "{name}");
    }
    for name in ["sbom", "scan", "vsa-passed", "provenance-v02"] {
        let denial = denied(judged_in(&attestation(SLSA, ""), name, LATER));
        let why = Finding::Fault { fault: Fault::OtherPredicate };
        assert_eq!(denial.reason(), &Reason::NoneCounts { why }, "{name}");
    }
    for name in ["provenance-wrong-digest", "provenance-wrong-digest-v2"] {
        let denial = denied(judged_in(&attestation(SLSA, ""), name, LATER));
        let why = Finding::Fault { fault: Fault::OtherDigest };
        assert_eq!(denial.reason(), &Reason::NoneCounts { why }, "{name}");
    }
}

/// A condition that cannot be evaluated is unable: never true, and not plainly refused either.
#[test]
fn a_condition_that_fails_to_evaluate_is_unable() {
    let require = provenance("predicate.nothing.like.it == \"x\"");
    let denial = denied(judged_in(&require, "provenance", LATER));
    assert_eq!(denial.class(), Class::Unable);
    assert!(
        matches!(denial.reason(), Reason::NotTold { why: Finding::ConditionFailed { .. } }),
        "{:?}",
        denial.reason()
    );
    let fates = &denial.report().documents[0].requirements[0].fates;
    assert!(fates.iter().any(|fate| matches!(fate.outcome, FateOutcome::Unable(_))));
    // Its negation neither.
    assert_eq!(
        denied(judged_in(&provenance("!(predicate.nothing == \"x\")"), "provenance", LATER)).class(),
        Class::Unable
    );
    // Where it could not have helped, what is certain is said.
    let key = "{name: build, key: {files: [build.pub]}}";
    let both = format!("{{all: [{require}, {key}]}}");
    assert_eq!(denied(judged_in(&both, "provenance", LATER)).class(), Class::Refused);
    let either = format!("{{any: [{require}, {key}]}}");
    let denial = denied(judged_in(&either, "provenance", LATER));
    assert_eq!((denial.class(), denial.requirement()), (Class::Unable, Some("provenance")));
}

#[test]
fn another_attestation_mends_one_that_cannot_be_told() {
    let require = format!(
        "{{name: scanned, attestation: {{predicateType: 'https://slsa.dev/provenance/v1', by: {{key: {{files: \
         [build.pub]}}}}, where: '{REPOSITORY} == \"https://github.com/acme/app\"'}}}}"
    );
    assert_permitted(judged_in(&require, "provenance-key", LATER));
    let unsigned = denied(judged_in(&require, "unsigned", LATER));
    assert_eq!((unsigned.class(), unsigned.reason()), (Class::Refused, &Reason::Unsigned));
}

/// Attack C2: who signs the image may attest about it too; who attests twice is still one.
#[test]
fn attack_c2_each_kind_of_claim_counts_its_own_signers() {
    let all = |entries: &[String]| format!("{{all: [{}]}}", entries.join(", "));
    let sbom = attestation("spdx", "").replace("name: provenance", "name: sbom");
    let three = all(&[keyless("release", &[ACME]), attestation(SLSA, ""), sbom]);
    assert_permitted(judged_in(&three, "attested-whole", LATER));
    let any = ACME.replace(
        "subject: 'https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1.0.0'",
        "subjectRegExp: 'https://github\\.com/acme/app/.*'",
    );
    let again = attestation(SLSA, "").replace("name: provenance", "name: again").replace(ACME, &any);
    let twice = all(&[attestation(SLSA, ""), again]);
    assert_eq!(denied(judged_in(&twice, "attested-whole", LATER)).reason(), &Reason::KeysNotDistinct);
}

/// Attack C3: a condition on the time is asked again.
#[test]
fn attack_c3_a_scan_grows_old() {
    let scan = |days: u32| {
        let condition = format!("timestamp(predicate.metadata.scanFinishedOn) > now - duration(\"{}h\")", days * 24);
        attestation("vuln", &format!(", where: '{condition}'"))
    };
    let permit = permitted(judged_in(&scan(7), "scan", "2025-06-03T00:00:00Z"));
    assert_eq!(permit.valid_until(), Some(at("2025-06-03T01:00:00Z")));
    let denial = denied(judged_in(&scan(7), "scan", LATER));
    assert_eq!(denial.class(), Class::Refused);
    assert!(matches!(denial.reason(), Reason::NoneCounts { why: Finding::ConditionFalse { .. } }), "{denial}");
    assert_permitted(judged_in(&scan(60), "scan", LATER));
}

#[test]
fn a_summary_says_passed_or_is_refused() {
    let passed = attestation(
        "https://slsa.dev/verification_summary/v1",
        ", where: 'predicate.verificationResult == \"PASSED\"'",
    );
    assert_permitted(judged_in(&passed, "vsa-passed", LATER));
    let denial = denied(judged_in(&passed, "vsa-failed", LATER));
    let Reason::NoneCounts { why: Finding::ConditionFalse { got, wanted, .. } } = denial.reason() else {
        panic!("{:?}", denial.reason())
    };
    assert_eq!((got.as_deref(), wanted.as_deref()), (Some("\"FAILED\""), Some("\"PASSED\"")));
}
