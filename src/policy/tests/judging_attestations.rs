//! Attestations: by whom they are, what they say, and what cannot be told of them.

mod predicates;

use super::fixtures::*;
use super::support::*;
use crate::policy::{Class, Finding, Reason, SignatureOutcome};
use crate::verify::Fault;

const LATER: &str = "2025-07-01T00:00:00Z";
const SLSA: &str = "https://slsa.dev/provenance/v1";
const REPOSITORY: &str = "predicate.buildDefinition.externalParameters.workflow.repository";

fn attestation(predicate_type: &str, more: &str) -> String {
    let by = format!("{{keyless: {{trustRoot: local, identities: [{ACME}]}}}}");
    format!(
        "{{name: provenance, attestation: {{predicateType: '{predicate_type}', by: {by}{more}}}}}"
    )
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
    let by_key = "{name: provenance, attestation: {predicateType: slsaprovenance1, by: {key: \
        {files: [build.pub]}}}}";
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
            seen: Vec::new(),
        };
        assert_eq!(denial.reason(), &Reason::NoneCounts { why });
        let line = denial.to_string();
        assert!(line.starts_with(
            "policy \"test\", requirement \"provenance\": no attestation https://slsa.dev/"
        ));
        assert!(
            line.ends_with(
                "is \"https://github.com/other/app\", wanted is \"https://github.com/acme/app\""
            ),
            "{line}"
        );
    }
    let denial = denied(judged_in(&require, "provenance-neighbour", LATER));
    assert!(
        matches!(denial.reason(), Reason::NoneCounts { why: Finding::OtherHolder { .. } }),
        "{denial}"
    );
}

/// Attack B2: an attestation is no image signature, an image signature no attestation, and each is
/// of its own kind.
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
    for (name, of) in [
        ("sbom", "https://spdx.dev/Document"),
        ("scan", "https://cosign.sigstore.dev/attestation/vuln/v1"),
        ("vsa-passed", "https://slsa.dev/verification_summary/v1"),
        ("provenance-v02", "https://slsa.dev/provenance/v0.2"),
    ] {
        let denial = denied(judged_in(&attestation(SLSA, ""), name, LATER));
        let why = Finding::OtherPredicateType { found: vec![of.to_owned()] };
        assert_eq!(denial.reason(), &Reason::NoneCounts { why }, "{name}");
        let line = denial.to_string();
        assert!(line.contains(&format!("an attestation of another kind: {of}")), "{line}");
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
    let fates = &denial.report().documents[0].requirements[0].signature_results;
    assert!(fates.iter().any(|fate| matches!(fate.outcome, SignatureOutcome::Unable(_))));
    // Its negation neither.
    assert_eq!(
        denied(judged_in(&provenance("!(predicate.nothing == \"x\")"), "provenance", LATER))
            .class(),
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
    let again =
        attestation(SLSA, "").replace("name: provenance", "name: again").replace(ACME, &any);
    let twice = all(&[attestation(SLSA, ""), again]);
    assert_eq!(
        denied(judged_in(&twice, "attested-whole", LATER)).reason(),
        &Reason::KeysNotDistinct
    );
}

/// Attack C3: a condition on the time is asked again.
#[test]
fn attack_c3_a_scan_grows_old() {
    let scan = |days: u32| {
        let condition = format!(
            "timestamp(predicate.metadata.scanFinishedOn) > now - duration(\"{}h\")",
            days * 24
        );
        attestation("vuln", &format!(", where: '{condition}'"))
    };
    let permit = permitted(judged_in(&scan(7), "scan", "2025-06-03T00:00:00Z"));
    assert_eq!(permit.valid_until(), Some(at("2025-06-03T01:00:00Z")));
    let denial = denied(judged_in(&scan(7), "scan", LATER));
    assert_eq!(denial.class(), Class::Refused);
    assert!(
        matches!(denial.reason(), Reason::NoneCounts { why: Finding::ConditionFalse { .. } }),
        "{denial}"
    );
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
    let Reason::NoneCounts { why: Finding::ConditionFalse { got, wanted, .. } } = denial.reason()
    else {
        panic!("{:?}", denial.reason())
    };
    assert_eq!((got.as_deref(), wanted.as_deref()), (Some("\"FAILED\""), Some("\"PASSED\"")));
}

fn slsa(wanted: &str) -> String {
    let by = format!("{{keyless: {{trustRoot: local, identities: [{ACME}]}}}}");
    format!("{{name: provenance, attestation: {{slsa: {wanted}, by: {by}}}}}")
}

#[test]
fn the_ready_made_provenance_reads_both_versions() {
    let require = slsa("{source: 'https://github.com/acme/app', tag: v1.0.0}");
    for name in ["provenance", "provenance-v2", "attested-whole"] {
        assert_permitted(judged_in(&require, name, LATER));
    }
    assert_permitted(judged_in(
        &slsa("{source: 'https://github.com/acme/app'}"),
        "provenance-v02",
        LATER,
    ));
    for name in ["provenance-elsewhere", "provenance-v2-elsewhere", "provenance-v02-elsewhere"] {
        let denial = denied(judged_in(&require, name, LATER));
        assert_eq!(denial.class(), Class::Refused);
        let Reason::NoneCounts { why: Finding::ProvenanceDiffers { field, got, wanted } } =
            denial.reason()
        else {
            panic!("{name}: {:?}", denial.reason())
        };
        assert_eq!((field.as_str(), wanted.as_str()), ("source", "https://github.com/acme/app"));
        assert!(
            got.as_deref().is_some_and(|got| got.contains("https://github.com/other/app")),
            "{got:?}"
        );
        let line = denial.to_string();
        assert!(
            line.contains("github.com/other/app")
                && line.contains("wanted is https://github.com/acme/app"),
            "{line}"
        );
    }
    let denial = denied(judged_in(
        &slsa("{source: 'https://github.com/acme/app', builder: 'https://none.example'}"),
        "provenance",
        LATER,
    ));
    assert!(
        matches!(denial.reason(), Reason::NoneCounts { why: Finding::ProvenanceDiffers { field, .. } } if field == "builder")
    );
}

/// Two keys, and what each says of an image.
fn said(require: &str, said: &[(usize, serde_json::Value)]) -> crate::policy::Verdict {
    let (one, two, target) = (Signer::new(), Signer::new(), digest("image"));
    let items = said.iter().map(|(who, predicate)| {
        [&one, &two][*who].attests(&target, "https://x.test/v1", predicate)
    });
    let evidence = found(&target, items.collect());
    let set = set(&policy(require), &[("one.pub", &one), ("two.pub", &two)]);
    judge(&set, &subject("reg.test/prod/app:1", &target), &[&evidence])
}

fn by_either(name: &str) -> String {
    format!(
        "{{name: {name}, attestation: {{predicateType: 'https://x.test/v1', by: {{key: {{files: \
         [one.pub, two.pub]}}}}, where: 'predicate.passed'}}}}"
    )
}

/// What cannot be told of one attestation is made up for by another, and only then.
#[test]
fn another_attestation_makes_up_for_one_that_cannot_be_told() {
    let (passed, failed, odd) = (
        serde_json::json!({"passed": true}),
        serde_json::json!({"passed": false}),
        serde_json::json!({"passed": 7}),
    );
    let one = by_either("one");
    assert_permitted(said(&one, &[(0, odd.clone()), (0, passed.clone())]));
    assert_permitted(said(&one, &[(0, failed.clone()), (1, passed.clone())]));
    let denial = denied(said(&one, &[(0, failed.clone()), (0, odd.clone())]));
    assert_eq!(denial.class(), Class::Unable);
    assert!(matches!(denial.reason(), Reason::NotTold { .. }), "{:?}", denial.reason());
    let denial = denied(said(&one, &[(0, failed)]));
    assert_eq!(denial.class(), Class::Refused);
    // Two signers are needed: one counts, and of the other it cannot be told.
    let two = format!("{{all: [{}, {}]}}", by_either("one"), by_either("two"));
    let denial = denied(said(&two, &[(0, passed.clone()), (1, odd)]));
    assert_eq!(denial.class(), Class::Unable);
    assert!(matches!(denial.reason(), Reason::NotTold { .. }), "{:?}", denial.reason());
    let denial = denied(said(&two, &[(0, passed.clone()), (0, passed.clone())]));
    assert_eq!((denial.class(), denial.reason()), (Class::Refused, &Reason::KeysNotDistinct));
    assert_permitted(said(&two, &[(0, passed.clone()), (1, passed)]));
}

/// Attack C2: an older and a newer provenance by one signer are one signer's.
#[test]
fn attack_c2_two_versions_of_a_provenance_are_one_kind_of_claim() {
    let any = ACME.replace(
        "subject: 'https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1.0.0'",
        "subjectRegExp: 'https://github\\.com/acme/app/.*'",
    );
    let one = slsa("{source: 'https://github.com/acme/app'}");
    let two = one.replace("name: provenance", "name: again").replace(ACME, &any);
    let old = attestation("https://slsa.dev/provenance/v0.2", "")
        .replace("name: provenance", "name: old")
        .replace(ACME, &any);
    for other in [two, old] {
        let all = format!("{{all: [{one}, {other}]}}");
        let denial = denied(judged_in(&all, "provenance-v02", LATER));
        assert_eq!((denial.reason(), denial.class()), (&Reason::KeysNotDistinct, Class::Refused));
    }
}

/// Attack D1: proven attestations of a stranger with long names do not push the rest out of the
/// record.
#[test]
fn attack_d1_a_report_fits_a_record() {
    let leaf = |n: usize| {
        provenance("predicate.a == \"b\"").replace("name: provenance", &format!("name: p{n}"))
    };
    let leaves: Vec<String> = (0..12).map(leaf).collect();
    let require = format!("{{any: [{}]}}", leaves.join(", "));
    let mut found = found_in("provenance");
    let item = found.evidence.items[0].clone();
    found.evidence.items.extend(std::iter::repeat_n(item, 60));
    let denial = denied(judged(&require, &found, LATER));
    let json = serde_json::to_vec(denial.report()).unwrap();
    assert!(json.len() < 60 << 10, "{}", json.len());
    for requirement in &denial.report().documents[0].requirements {
        assert_eq!(requirement.signature_results.len() + requirement.signature_results_omitted, 61);
        assert!(!requirement.signature_results.is_empty());
    }
}
