//! Certificates, log entries and timestamps that belong to something else, speak out of their time,
//! or are counted twice (classes B and C of the attack list). Each hostile bundle stands beside the
//! good one that it was made of.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rcgen::{CertificateParams, date_time_ymd};
use sealgate::image::Digest;
use sealgate::verify::{Budget, Demands, Fault, RootError, Trust, TrustRoot, Untrusted};
use serde_json::{Value, json};

use crate::fixtures;
use crate::instance::{self, ARTIFACT, DEMANDS, Instance};
use crate::keyless::{self, found, image_signature, root};

const WHOLE: Demands = Demands { timestamps: 1, ..Demands::KEYLESS };

/// The digest and the bundle of a repository.
fn good(repository: &str) -> (Digest, Value) {
    let (digest, bundle) = found(repository);
    (digest, serde_json::from_slice(&bundle).unwrap())
}

fn prove(digest: &Digest, bundle: &Value) -> Result<(), Fault> {
    under(&root("local"), digest, bundle)
}

fn under(root: &TrustRoot, digest: &Digest, bundle: &Value) -> Result<(), Fault> {
    let about = image_signature(digest);
    keyless::prove(bundle.to_string().as_bytes(), &about, &Trust::Keyless { root }, WHOLE).map(drop)
}

/// A genuine bundle whose content is swapped: what one verifier accepted in early 2026.
#[test]
fn attack_b1_content_of_the_other_kind() {
    let (digest, mut bundle) = good("keyless");
    assert_eq!(prove(&digest, &bundle), Ok(()));
    let envelope = bundle.as_object_mut().unwrap().remove("dsseEnvelope").unwrap();
    let sha256 = STANDARD.encode(hex::decode(digest.hex()).unwrap());
    bundle["messageSignature"] = json!({
        "messageDigest": {"algorithm": "SHA2_256", "digest": sha256},
        "signature": envelope["signatures"][0]["sig"],
    });
    assert_eq!(prove(&digest, &bundle), Err(Fault::OtherLogEntry));

    let mut bundle: Value = serde_json::from_slice(&fixtures::bundle("message-keyless")).unwrap();
    let digest = Digest::of(fixtures::prod("unsigned").tagged("v1"));
    assert_eq!(prove(&digest, &bundle), Ok(()));
    let message = bundle.as_object_mut().unwrap().remove("messageSignature").unwrap();
    let statement = crate::signing::statement(digest.as_str(), crate::signing::IMAGE_SIGNATURE);
    bundle["dsseEnvelope"] = json!({
        "payloadType": "application/vnd.in-toto+json",
        "payload": STANDARD.encode(statement),
        "signatures": [{"sig": message["signature"]}],
    });
    assert_eq!(prove(&digest, &bundle), Err(Fault::OtherLogEntry));
}

/// Each part of the evidence taken from another genuine bundle of the same signer or of another.
#[test]
fn attack_b1_evidence_of_another_signature() {
    let parts = [
        ("/verificationMaterial/tlogEntries", Fault::OtherLogEntry),
        ("/verificationMaterial/tlogEntries/0/inclusionPromise", Fault::LogInvalid),
        ("/verificationMaterial/tlogEntries/0/inclusionProof", Fault::LogInvalid),
        ("/verificationMaterial/tlogEntries/0/canonicalizedBody", Fault::OtherLogEntry),
        ("/verificationMaterial/timestampVerificationData", Fault::TimestampInvalid),
        ("/verificationMaterial/certificate", Fault::OtherLogEntry),
        ("/dsseEnvelope/signatures", Fault::OtherLogEntry),
        ("/dsseEnvelope", Fault::OtherDigest),
    ];
    let (digest, bundle) = good("keyless");
    for other in ["keyless-neighbour", "keyless-later", "keyless-email", "keyless-two"] {
        let (_, other) = good(other);
        for (part, expected) in parts {
            let mut mixed = bundle.clone();
            *mixed.pointer_mut(part).unwrap() = other.pointer(part).unwrap().clone();
            let outcome = prove(&digest, &mixed);
            let expected = if part == "/dsseEnvelope" { Fault::OtherLogEntry } else { expected };
            assert_eq!(outcome, Err(expected), "{part}");
        }
        let mut mixed = bundle.clone();
        mixed["dsseEnvelope"] = other["dsseEnvelope"].clone();
        mixed["verificationMaterial"] = other["verificationMaterial"].clone();
        assert_eq!(prove(&digest, &mixed), Err(Fault::OtherDigest));
    }
}

/// An entry that names another certificate, or holds another digest, with a genuine promise and
/// tree head of a trusted log: who can write to the log can do so.
#[test]
fn attack_b1_a_logged_entry_about_something_else() {
    let instance = Instance::new();
    let (holder, other) = (instance.issue(|_| {}), instance.issue(|_| {}));
    let bundle = instance.bundle(&holder, &[0]);
    let root = instance.trust_root();
    assert_eq!(instance::prove(&root, &bundle, DEMANDS).map(drop), Ok(()));
    let theirs = instance.bundle(&other, &[0]);
    let body = |bundle: &Value| -> Value {
        let body = bundle.pointer("/verificationMaterial/tlogEntries/0/canonicalizedBody").unwrap();
        serde_json::from_slice(&STANDARD.decode(body.as_str().unwrap()).unwrap()).unwrap()
    };
    for pointer in
        ["/spec/signature/publicKey/content", "/spec/signature/content", "/spec/data/hash/value"]
    {
        let mut mixed_body = body(&bundle);
        *mixed_body.pointer_mut(pointer).unwrap() = match pointer {
            "/spec/data/hash/value" => "00".repeat(32).into(),
            _ => body(&theirs).pointer(pointer).unwrap().clone(),
        };
        let mut mixed = bundle.clone();
        mixed["verificationMaterial"]["tlogEntries"] =
            json!([instance.entry(0, &mixed_body.to_string(), 1_748_779_200)]);
        assert_eq!(
            instance::prove(&root, &mixed, DEMANDS).map(drop),
            Err(Fault::OtherLogEntry),
            "{pointer}"
        );
    }
}

#[test]
fn attack_b3_an_empty_list_of_certificates() {
    for version in ["0.1", "0.2", "0.3"] {
        let (digest, mut bundle) = good("keyless");
        bundle["mediaType"] =
            format!("application/vnd.dev.sigstore.bundle+json;version={version}").into();
        let material = bundle["verificationMaterial"].as_object_mut().unwrap();
        let certificate = material.remove("certificate").unwrap();
        material.insert("x509CertificateChain".to_owned(), json!({"certificates": [certificate]}));
        let expected = if version == "0.3" { Err(Fault::UnknownField) } else { Ok(()) };
        assert_eq!(prove(&digest, &bundle), expected, "{version}");
        bundle["verificationMaterial"]["x509CertificateChain"] = json!({"certificates": []});
        assert_eq!(prove(&digest, &bundle), Err(Fault::NoCertificate), "{version}");
        bundle["verificationMaterial"]["x509CertificateChain"] = json!({});
        assert_eq!(prove(&digest, &bundle), Err(Fault::NoCertificate), "{version}");
    }
}

/// Every byte of a timestamp, signed or around it, and a good part of the bytes of everything else.
#[test]
fn attack_b3_no_changed_byte_of_the_evidence_passes() {
    let root = root("local");
    let stamp =
        "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp";
    let parts = [
        "/verificationMaterial/certificate/rawBytes",
        "/verificationMaterial/tlogEntries/0/logId/keyId",
        "/verificationMaterial/tlogEntries/0/inclusionPromise/signedEntryTimestamp",
        "/verificationMaterial/tlogEntries/0/canonicalizedBody",
        "/verificationMaterial/tlogEntries/0/inclusionProof/rootHash",
        "/verificationMaterial/tlogEntries/0/inclusionProof/hashes/0",
        stamp,
        "/dsseEnvelope/payload",
        "/dsseEnvelope/signatures/0/sig",
    ];
    let trust = Trust::Keyless { root: &root };
    for part in parts {
        // The cheapest bundle that has the part.
        let (repository, log_entries) =
            if part == stamp { ("keyless-no-log", 0) } else { ("keyless", 1) };
        let (digest, bundle) = good(repository);
        let demands = Demands { log_entries, ..WHOLE };
        let bytes = STANDARD.decode(bundle.pointer(part).unwrap().as_str().unwrap()).unwrap();
        let step = if part == stamp { 1 } else { (bytes.len() / 48).max(1) };
        for at in (0..bytes.len()).step_by(step) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let mut bundle = bundle.clone();
            *bundle.pointer_mut(part).unwrap() = STANDARD.encode(changed).into();
            let about = image_signature(&digest);
            let outcome = keyless::prove(bundle.to_string().as_bytes(), &about, &trust, demands);
            assert!(outcome.is_err(), "{part} byte {at}");
        }
    }
}

/// Every member taken away, and everything made something else. Only a promise can be missed where
/// a tree head and a timestamp stand for it.
#[test]
fn attack_b3_no_changed_field_of_a_keyless_bundle_passes() {
    let (root, (digest, bundle)) = (root("local"), good("keyless"));
    let mut pointers = Vec::new();
    walk(&bundle, &mut String::new(), &mut pointers);
    assert!(pointers.len() > 30, "{pointers:?}");
    let others = [Value::Null, json!(0), json!("x"), json!(""), json!([]), json!({}), json!(true)];
    for pointer in pointers {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let mut without = bundle.clone();
        match without.pointer_mut(parent).unwrap() {
            Value::Object(members) => drop(members.remove(name)),
            Value::Array(list) => drop(list.remove(name.parse().unwrap())),
            other => panic!("{other}"),
        }
        let is_promise = pointer.ends_with("/inclusionPromise");
        assert_eq!(under(&root, &digest, &without).is_ok(), is_promise, "without {pointer}");
        for other in &others {
            let mut changed = bundle.clone();
            let place = changed.pointer_mut(&pointer).unwrap();
            if place != other {
                place.clone_from(other);
                let outcome = under(&root, &digest, &changed);
                assert_eq!(
                    outcome.is_ok(),
                    is_promise && other.is_null(),
                    "{pointer} made {other}"
                );
            }
        }
        let mut more = bundle.clone();
        if let Some(members) = more.pointer_mut(&pointer).unwrap().as_object_mut() {
            members.insert("more".to_owned(), json!(1));
            assert_eq!(under(&root, &digest, &more), Err(Fault::UnknownField), "more in {pointer}");
        }
    }
}

/// Every place in a document.
fn walk(value: &Value, pointer: &mut String, found: &mut Vec<String>) {
    let members: Vec<_> = match value {
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), value)).collect()
        }
        Value::Array(list) => {
            list.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect()
        }
        _ => Vec::new(),
    };
    for (name, value) in members {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(&name);
        found.push(pointer.clone());
        walk(value, pointer, found);
        pointer.truncate(length);
    }
}

/// An intermediate or a root that had expired when the signature was made, or was not yet valid
/// (CVE-2026-24122).
#[test]
fn attack_c1_an_authority_whose_certificate_was_not_valid() {
    let (may, july) = (date_time_ymd(2025, 5, 1), date_time_ymd(2025, 7, 1));
    for (of_root, expired, expected) in [
        (false, None, Ok(())),
        (false, Some(true), Err(Fault::CertificateChain)),
        (false, Some(false), Err(Fault::CertificateChain)),
        (true, Some(true), Err(Fault::CertificateChain)),
        (true, Some(false), Err(Fault::CertificateChain)),
    ] {
        let change = |params: &mut CertificateParams| match expired {
            None => {}
            Some(true) => params.not_after = may,
            Some(false) => params.not_before = july,
        };
        let instance =
            if of_root { Instance::with(change, |_| {}) } else { Instance::with(|_| {}, change) };
        let bundle = instance.bundle(&instance.issue(|_| {}), &[0]);
        let outcome = instance::prove(&instance.trust_root(), &bundle, DEMANDS);
        assert_eq!(outcome.map(drop), expected, "root {of_root}, expired {expired:?}");
    }
}

/// The signing certificate itself, the authority's window, and what a certificate is for.
#[test]
fn attack_c1_a_certificate_used_out_of_its_time_or_purpose() {
    let instance = Instance::new();
    let root = instance.trust_root();
    type Change = fn(&mut CertificateParams);
    let (refused, expired) = (Err(Fault::CertificateChain), Err(Fault::CertificateExpired));
    let changes: [(Change, _); 5] = [
        (|_| {}, Ok(())),
        (|params| params.not_after = date_time_ymd(2025, 6, 1), expired),
        (|params| params.not_before = date_time_ymd(2025, 6, 2), expired),
        (|params| params.extended_key_usages.clear(), refused),
        (|params| params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained), refused),
    ];
    for (change, expected) in changes {
        let bundle = instance.bundle(&instance.issue(change), &[0]);
        assert_eq!(instance::prove(&root, &bundle, DEMANDS).map(drop), expected);
    }
    let bundle = instance.bundle(&instance.issue(|_| {}), &[0]);
    for (pointer, window, expected) in [
        (
            "/certificateAuthorities/0/validFor",
            json!({"start": "2025-07-01T00:00:00Z"}),
            Fault::CertificateChain,
        ),
        (
            "/tlogs/0/publicKey/validFor",
            json!({"start": "2025-07-01T00:00:00Z"}),
            Fault::LogUnknown,
        ),
        (
            "/tlogs/0/publicKey/validFor",
            json!({"start": "2024-01-01T00:00:00Z", "end": "2025-05-01T00:00:00Z"}),
            Fault::LogUnknown,
        ),
    ] {
        let mut root = root.clone();
        *root.pointer_mut(pointer).unwrap() = window;
        assert_eq!(instance::prove(&root, &bundle, DEMANDS).map(drop), Err(expected), "{pointer}");
    }
}

/// A timestamp outside its authority's window (CVE-2026-54787), by an authority of the same name
/// that is another (CVE-2024-56138), and without any.
#[test]
fn attack_c1_a_timestamp_authority_out_of_its_time() {
    let (digest, bundle) = good("keyless");
    let local: Value = serde_json::from_slice(&fixtures::trust_root("local")).unwrap();
    let foreign: Value = serde_json::from_slice(&fixtures::trust_root("foreign")).unwrap();
    let window = |start: &str, end: &str| json!({"start": start, "end": end});
    let outcome = |change: &dyn Fn(&mut Value)| {
        let mut root = local.clone();
        change(&mut root["timestampAuthorities"]);
        under(&TrustRoot::parse(root.to_string().as_bytes()).unwrap(), &digest, &bundle)
    };
    let with = |start: &str, end: &str| {
        outcome(&|authorities| authorities[0]["validFor"] = window(start, end))
    };
    assert_eq!(with("2025-01-01T00:00:00Z", "2025-06-01T12:00:00Z"), Ok(()));
    assert_eq!(with("2025-06-01T12:00:00Z", "2026-01-01T00:00:00Z"), Ok(()));
    assert_eq!(with("2025-01-01T00:00:00Z", "2025-06-01T11:59:59Z"), Err(Fault::TimestampOutside));
    assert_eq!(with("2025-06-01T12:00:01Z", "2026-01-01T00:00:00Z"), Err(Fault::TimestampOutside));
    assert_eq!(outcome(&|authorities| *authorities = json!([])), Err(Fault::TimestampInvalid));
    let theirs = &foreign["timestampAuthorities"];
    assert_eq!(outcome(&|authorities| *authorities = theirs.clone()), Err(Fault::TimestampInvalid));
    // Another's window is not lent.
    let lent = outcome(&|authorities| {
        authorities[0]["validFor"] = window("2025-01-01T00:00:00Z", "2025-05-01T00:00:00Z");
        authorities.as_array_mut().unwrap().push(theirs[0].clone());
    });
    assert_eq!(lent, Err(Fault::TimestampOutside));
}

/// A clock that was set back shows.
#[test]
fn attack_c4_a_log_entry_from_the_future() {
    let (digest, bundle) = found("keyless");
    let root = root("local");
    let at = |now: &str| {
        let trust = Trust::Keyless { root: &root };
        let now: Timestamp = now.parse().unwrap();
        let untrusted = Untrusted::bundle(&bundle).unwrap();
        untrusted
            .prove(&image_signature(&digest), &trust, WHOLE, now, &mut Budget::default())
            .map(drop)
    };
    assert_eq!(at("2025-06-01T12:00:00Z"), Ok(()));
    assert_eq!(at("2025-06-01T11:59:59Z"), Err(Fault::FutureTime));
}

/// The same entry twice, two entries in one log, and one log under two keys.
#[test]
fn attack_c2_one_log_counts_once() {
    let instance = Instance::new();
    let holder = instance.issue(|_| {});
    let two = Demands { log_entries: 2, ..DEMANDS };
    let few = Err(Fault::TooFewLogEntries { got: 1, want: 2 });
    for (logs, expected) in [(&[0, 1][..], Ok(2)), (&[0], few), (&[0, 0], few), (&[1, 1, 1], few)] {
        let bundle = instance.bundle(&holder, logs);
        let outcome = instance::prove(&instance.trust_root(), &bundle, two);
        assert_eq!(outcome.map(|signed| signed.entries().len()), expected, "{logs:?}");
    }
    let mut root = instance.trust_root();
    root["tlogs"][1]["baseUrl"] = root["tlogs"][0]["baseUrl"].clone();
    assert_eq!(
        instance::prove(&root, &instance.bundle(&holder, &[0, 1]), two).map(|s| s.entries().len()),
        few
    );
}

/// The same timestamp twice, and one authority that the root names twice.
#[test]
fn attack_c2_one_timestamp_authority_counts_once() {
    let (digest, mut bundle) = good("keyless");
    let stamps =
        &mut bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"];
    let one = stamps[0].clone();
    stamps.as_array_mut().unwrap().push(one);
    let mut root: Value = serde_json::from_slice(&fixtures::trust_root("local")).unwrap();
    let again = root["timestampAuthorities"][0].clone();
    root["timestampAuthorities"].as_array_mut().unwrap().push(again);
    let root = TrustRoot::parse(root.to_string().as_bytes()).unwrap();
    let trust = Trust::Keyless { root: &root };
    let demands = Demands { timestamps: 2, ..Demands::KEYLESS };
    let outcome =
        keyless::prove(bundle.to_string().as_bytes(), &image_signature(&digest), &trust, demands);
    assert_eq!(outcome, Err(Fault::TooFewTimestamps { got: 1, want: 2 }));
}

/// What an entry says and does not prove is not shown; what neither promise nor proof holds is
/// refused.
#[test]
fn attack_b1_nothing_is_shown_that_is_not_bound() {
    let instance = Instance::new();
    let (holder, root) = (instance.issue(|_| {}), instance.trust_root());
    let bundle = instance.bundle(&holder, &[0]);
    let signed = instance::prove(&root, &bundle, DEMANDS).unwrap();
    assert_eq!(signed.entries()[0].index, Some(7));
    let entry = "/verificationMaterial/tlogEntries/0";
    for (field, value, expected) in [
        ("logIndex", json!("8"), Fault::LogInvalid),
        ("integratedTime", json!("1748779201"), Fault::LogInvalid),
        ("logId", json!({"keyId": STANDARD.encode([0; 32])}), Fault::LogUnknown),
        ("inclusionPromise", Value::Null, Fault::NoProvenTime),
    ] {
        let mut changed = bundle.clone();
        changed.pointer_mut(entry).unwrap()[field] = value;
        assert_eq!(instance::prove(&root, &changed, DEMANDS).map(drop), Err(expected), "{field}");
    }
    // Without a promise the entry's number is nobody's word; the log is, by its tree head.
    let (digest, stamped) = good("keyless");
    let mut stamped = stamped;
    stamped.pointer_mut(entry).unwrap()["inclusionPromise"] = Value::Null;
    stamped.pointer_mut(entry).unwrap()["logIndex"] = json!("999");
    let local = keyless::root("local");
    let trust = Trust::Keyless { root: &local };
    let signed =
        keyless::prove(stamped.to_string().as_bytes(), &image_signature(&digest), &trust, WHOLE)
            .unwrap();
    assert_eq!((signed.entries()[0].index, signed.times().len()), (None, 1));
    stamped.pointer_mut(entry).unwrap()["inclusionProof"] = Value::Null;
    assert_eq!(prove(&digest, &stamped), Err(Fault::LogInvalid));
    assert_eq!(Digest::of(ARTIFACT), *instance::prove(&root, &bundle, DEMANDS).unwrap().digest());
}

#[test]
fn roots_that_cannot_be_trusted() {
    let instance = Instance::new();
    let good = instance.trust_root();
    let parse = |change: &dyn Fn(&mut Value)| {
        let mut root = good.clone();
        change(&mut root);
        TrustRoot::parse(root.to_string().as_bytes()).map(drop)
    };
    assert_eq!(parse(&|_| {}), Ok(()));
    let empty = parse(&|root| {
        for list in ["tlogs", "certificateAuthorities"] {
            root[list] = json!([]);
        }
    });
    assert_eq!(empty, Err(RootError::Empty));
    assert!(matches!(parse(&|root| root["mediaType"] = "x".into()), Err(RootError::MediaType(_))));
    let window = json!({"start": "2026-01-01T00:00:00Z", "end": "2025-01-01T00:00:00Z"});
    let unusable = parse(&|root| root["certificateAuthorities"][0]["validFor"] = window.clone());
    assert!(matches!(unusable, Err(RootError::Unusable(_))), "{unusable:?}");
    let no_start = parse(&|root| {
        root["tlogs"][0]["publicKey"]["validFor"] = json!({"end": "2030-01-01T00:00:00Z"})
    });
    assert!(matches!(no_start, Err(RootError::Malformed(_))), "{no_start:?}");
    let twice = good.to_string().replace("\"tlogs\":", "\"tlogs\":[],\"tlogs\":");
    assert!(matches!(TrustRoot::parse(twice.as_bytes()).map(drop), Err(RootError::Json(_))));
    assert_eq!(
        TrustRoot::parse(&vec![b' '; sealgate::verify::ROOT_MAX + 1]).map(drop),
        Err(RootError::TooLong)
    );
}
