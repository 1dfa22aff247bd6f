//! When a signature was made: windows of keys, ages, and until when a permit holds.

use super::fixtures::*;
use super::support::{assert_permitted, denied, permitted};
use crate::policy::{Class, Finding, Reason, Verdict};
use crate::verify::Fault;

const LATER: &str = "2025-07-01T00:00:00Z";

fn key(window: &str, more: &str) -> String {
    format!("{{name: build, key: {{files: [{{file: build.pub{window}}}]{more}}}}}")
}

fn why(verdict: Verdict) -> Finding {
    let denial = denied(verdict);
    assert_eq!(denial.class(), Class::Refused, "{denial}");
    let Reason::NoneCounts { why } = denial.reason() else { panic!("{denial:?}") };
    why.clone()
}

/// Attack C1: a signature from outside the time of the key. Where the time is proven it counts,
/// else now does.
#[test]
fn attack_c1_a_key_signs_within_its_window() {
    let ends = ", notBefore: '2025-05-01T00:00:00Z', notAfter: '2025-06-15T00:00:00Z'";
    let proven = key(ends, ", trustRoot: local, minLogEntries: 1");
    for name in ["key-logged", "key-logged-v2"] {
        let permit = permitted(judged_in(&proven, name, LATER));
        assert_eq!(permit.valid_until(), None, "{name}: it was made in time, for ever");
    }
    let finding = why(judged_in(&proven, "key-logged-later", "2025-10-01T00:00:00Z"));
    let Finding::KeyNotValid { at: signed, proven: true, file, .. } = finding else {
        panic!("{finding:?}")
    };
    assert_eq!((signed, file.as_str()), (at("2025-09-01T12:00:00Z"), "build.pub"));
    // No proven time: judged at now.
    let now = key(ends, "");
    let finding = why(judged_in(&now, "key-logged", LATER));
    let Finding::KeyNotValid { at: judged, proven: false, .. } = finding else {
        panic!("{finding:?}")
    };
    assert_eq!(judged, at(LATER));
    let permit = permitted(judged_in(&now, "key-logged", "2025-06-14T00:00:00Z"));
    assert_eq!(permit.valid_until(), Some(at("2025-06-15T00:00:00Z")));
    assert!(matches!(
        why(judged_in(&now, "signed-v2", "2025-04-01T00:00:00Z")),
        Finding::KeyNotValid { .. }
    ));
    for end in ["2025-05-01T00:00:00Z", "2025-06-15T00:00:00Z"] {
        assert_permitted(judged_in(&now, "signed-v2", end));
    }
}

/// One key goes and another comes, and what each signed in its time stays good.
#[test]
fn rotation_without_a_gap() {
    let until = "{file: build.pub, notAfter: '2025-06-15T00:00:00Z'}";
    let from = "{file: security.pub, notBefore: '2025-06-10T00:00:00Z'}";
    let rotated = format!("{{name: build, key: {{files: [{until}, {from}], trustRoot: local}}}}");
    assert_permitted(judged_in(&rotated, "key-logged", LATER));
    assert!(matches!(
        why(judged_in(&rotated, "key-logged-later", "2025-10-01T00:00:00Z")),
        Finding::KeyNotValid { .. }
    ));
    // By either key in its time, with no proven time.
    assert_permitted(judged_in(&rotated, "two-signers-v3", "2025-06-01T00:00:00Z"));
    assert_permitted(judged_in(&rotated, "two-signers-v3", LATER));
}

/// Attack C1: a time by a stranger, or one that was broken, neither puts a signature into the time
/// of the key nor out of it; it is judged at now, as one that was stripped of it is.
#[test]
fn attack_c1_a_time_that_nobody_vouches_for_is_none() {
    let ends = ", notBefore: '2025-05-01T00:00:00Z', notAfter: '2025-06-15T00:00:00Z'";
    let wrong_root = key(ends, ", trustRoot: foreign");
    let demanding = key(ends, ", trustRoot: foreign, minTimestamps: 1");
    let aged = wrong_root.replacen('{', "{maxSignatureAge: 90d, ", 1);
    for name in ["key-logged", "key-logged-v2", "key-timestamp"] {
        assert_permitted(judged_in(&wrong_root, name, "2025-06-14T00:00:00Z"));
        let finding = why(judged_in(&wrong_root, name, LATER));
        let Finding::KeyNotValid { at: judged, proven: false, .. } = finding else {
            panic!("{finding:?}")
        };
        assert_eq!(judged, at(LATER));
        let finding = why(judged_in(&demanding, name, "2025-06-14T00:00:00Z"));
        assert_eq!(finding, Finding::Fault { fault: Fault::TimestampInvalid }, "{name}");
        let finding = why(judged_in(&aged, name, "2025-06-14T00:00:00Z"));
        assert_eq!(finding, Finding::NoProvenTime { max: "90d".to_owned() }, "{name}");
    }
}

/// Attack C1: no age and no window is met by breaking a time that does not meet it.
#[test]
fn attack_c1_a_broken_time_makes_nothing_young() {
    let broken = |name: &str, keep_log: bool| {
        let mut found = found_in(name);
        for item in &mut found.evidence.items {
            if item.content.format != crate::evidence::Format::Bundle {
                continue;
            }
            let json = &item.content.bytes;
            let mut bundle: serde_json::Value = serde_json::from_slice(json).unwrap();
            let material = &mut bundle["verificationMaterial"];
            material["timestampVerificationData"]["rfc3161Timestamps"][0]["signedTimestamp"] =
                "AAAA".into();
            if !keep_log {
                material["tlogEntries"] = serde_json::json!([]);
            }
            item.content.bytes = bundle.to_string().into_bytes().into();
        }
        found
    };
    let now = "2025-12-01T00:00:00Z";
    let aged = key("", ", trustRoot: local").replacen('{', "{maxSignatureAge: 30d, ", 1);
    let too_old = Finding::TooOld { signed: at(SIGNED), max: "30d".to_owned() };
    assert_eq!(why(judged_in(&aged, "key-logged", now)), too_old);
    assert_eq!(why(judged(&aged, &broken("key-logged", true), now)), too_old);
    let none = Finding::NoProvenTime { max: "30d".to_owned() };
    assert_eq!(why(judged(&aged, &broken("key-logged", false), now)), none);
    assert_eq!(why(judged(&aged, &broken("key-timestamp", false), now)), none);
    // A key that ended: its signature was made in time, and who takes that proof away has it judged
    // at now.
    let ended = key(", notAfter: '2025-06-15T00:00:00Z'", ", trustRoot: local");
    assert_permitted(judged_in(&ended, "key-logged", now));
    assert_permitted(judged(&ended, &broken("key-logged", true), now));
    assert!(matches!(
        why(judged(&ended, &broken("key-logged", false), now)),
        Finding::KeyNotValid { proven: false, .. }
    ));
    // A key that began later: each time that is left counts.
    let began = key(", notBefore: '2025-07-01T00:00:00Z'", ", trustRoot: local");
    assert!(matches!(
        why(judged_in(&began, "key-logged", now)),
        Finding::KeyNotValid { proven: true, .. }
    ));
    let one_left = broken("key-logged", true);
    assert!(matches!(
        why(judged(&began, &one_left, now)),
        Finding::KeyNotValid { proven: true, .. }
    ));
    // Nothing that is keyless has an age without a time.
    let limited = keyless("release", &[ACME]).replacen('{', "{maxSignatureAge: 30d, ", 1);
    assert_eq!(why(judged(&limited, &broken("keyless", true), now)), too_old);
    let left = why(judged(
        &limited.replace("keyless: {", "keyless: {insecureIgnoreTlog: true, minTimestamps: 1, "),
        &broken("keyless", true),
        now,
    ));
    assert_eq!(left, Finding::Fault { fault: Fault::TimestampInvalid });
}

/// Attack C3: an attestation that was good once, by the proven time and by no other. What the
/// statement says of itself is its author's.
#[test]
fn attack_c3_attestations_grow_too_old_by_their_proven_time() {
    let by = format!("{{keyless: {{trustRoot: local, identities: [{ACME}]}}}}");
    let limited = format!(
        "{{name: scan, attestation: {{predicateTypes: [slsaprovenance1, vuln], maxAge: 90d, by: {by}}}}}"
    );
    let permit = permitted(judged_in(&limited, "provenance", LATER));
    assert_eq!(permit.valid_until(), Some(at("2025-08-30T12:00:00Z")));
    assert_permitted(judged_in(&limited, "provenance", "2025-08-30T12:00:00Z"));
    let too_old = Finding::TooOld { signed: at(SIGNED), max: "90d".to_owned() };
    assert_eq!(why(judged_in(&limited, "provenance", "2025-08-30T12:00:01Z")), too_old);
    // Nobody vouches for when it was made.
    let by_key = "{name: scan, attestation: {predicateType: slsaprovenance1, maxAge: 90d, by: \
        {key: {files: [build.pub], trustRoot: local}}}}";
    let none = Finding::NoProvenTime { max: "90d".to_owned() };
    assert_eq!(why(judged_in(by_key, "provenance-key-v2", LATER)), none);
}

/// Attack C3: an old image, validly signed once.
#[test]
fn attack_c3_signatures_grow_too_old() {
    let limited = keyless("release", &[ACME]).replacen('{', "{maxSignatureAge: 90d, ", 1);
    let permit = permitted(judged_in(&limited, "keyless", LATER));
    assert_eq!(permit.valid_until(), Some(at("2025-08-30T12:00:00Z")));
    assert_permitted(judged_in(&limited, "keyless", "2025-08-30T12:00:00Z"));
    let finding = why(judged_in(&limited, "keyless", "2025-08-30T12:00:01Z"));
    assert_eq!(finding, Finding::TooOld { signed: at(SIGNED), max: "90d".to_owned() });
    assert_permitted(judged_in(&limited, "keyless-later", "2025-09-02T00:00:00Z"));
    let hours = limited.replace("90d", "36h");
    let finding = why(judged_in(&hours, "keyless", LATER));
    assert_eq!(finding, Finding::TooOld { signed: at(SIGNED), max: "36h".to_owned() });
}

/// Attack C3: an age counts from a time that somebody vouches for.
#[test]
fn attack_c3_without_a_proven_time_there_is_no_age() {
    let limited = key("", ", trustRoot: local").replacen('{', "{maxSignatureAge: 90d, ", 1);
    assert_permitted(judged_in(&limited, "key-logged", LATER));
    assert_permitted(judged_in(&limited, "key-timestamp", LATER));
    for name in ["signed-v2", "signed-v3"] {
        assert_eq!(
            why(judged_in(&limited, name, LATER)),
            Finding::NoProvenTime { max: "90d".to_owned() },
            "{name}"
        );
    }
}

/// Attack C4: a clock that was set back makes no old signature young.
#[test]
fn attack_c4_a_signature_from_the_future_is_refused() {
    let limited = keyless("release", &[ACME]).replacen('{', "{maxSignatureAge: 90d, ", 1);
    let denial = denied(judged_in(&limited, "keyless", "2025-05-01T00:00:00Z"));
    let future = Finding::Fault { fault: Fault::FutureTime };
    assert_eq!(
        (denial.class(), denial.reason()),
        (Class::Unable, &Reason::NotTold { why: future.clone() })
    );
    let limited = key("", ", trustRoot: local").replacen('{', "{maxSignatureAge: 90d, ", 1);
    let early = "2025-05-01T00:00:00Z";
    assert_eq!(
        denied(judged_in(&limited, "key-timestamp", early)).reason(),
        &Reason::NotTold { why: future }
    );
}

#[test]
fn a_permit_holds_until_the_first_of_its_signatures_ends() {
    let limited = keyless("release", &[ACME]).replacen('{', "{maxSignatureAge: 90d, ", 1);
    let windowed = key(", notAfter: '2025-07-15T00:00:00Z'", "");
    let any = format!("{{any: [{limited}, {windowed}]}}");
    let found = found_in("signed-v3");
    let permit = permitted(judged(&any, &found, LATER));
    assert_eq!(permit.valid_until(), Some(at("2025-07-15T00:00:00Z")));
    let permit = permitted(judged_in(&any, "keyless", LATER));
    assert_eq!(permit.valid_until(), Some(at("2025-08-30T12:00:00Z")));
}

#[test]
fn what_ends_is_told() {
    let require = format!(
        "{{all: [{}, {}]}}",
        key(", notAfter: '2026-01-01T00:00:00Z'", ""),
        certificate("[team.crl]")
    );
    let ends: Vec<(String, jiff::Timestamp)> =
        expiries(&require).into_iter().map(|expiry| (expiry.what, expiry.until)).collect();
    assert_eq!(ends[0], ("key build.pub of policy test".to_owned(), at("2026-01-01T00:00:00Z")));
    assert_eq!(ends.len(), 4, "{ends:?}");
    for words in ["CA certificate ", "intermediate certificate ", "revocation list "] {
        assert!(
            ends.iter().any(|(what, _)| what.starts_with(words) && what.ends_with("of root.pem")),
            "{ends:?}"
        );
    }
}
