//! Proofs that nobody asked for, or that nobody can check: a timestamp that does not hold, an entry
//! of a log that the root does not know. They neither count nor harm. What is held against an
//! attacker: no proof that was broken is ever worth more than one that was taken away, and what a
//! log of the root is said to have must be there.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealgate::image::Digest;
use sealgate::verify::{
    About, Budget, Claim, Demands, Fault, PublicKey, Signed, Trust, TrustRoot, Untrusted,
};
use serde_json::{Value, json};

use crate::instance::{self, DEMANDS, Instance};
use crate::keyless::{self, found, image_signature};
use crate::stamping::Stamper;
use crate::{fixtures, key};

const STAMPS: &str = "/verificationMaterial/timestampVerificationData/rfc3161Timestamps";
const ENTRIES: &str = "/verificationMaterial/tlogEntries";

fn root(change: impl FnOnce(&mut Value)) -> TrustRoot {
    let mut root: Value = serde_json::from_slice(&fixtures::trust_root("local")).unwrap();
    change(&mut root);
    TrustRoot::parse(root.to_string().as_bytes()).unwrap()
}

fn good(repository: &str) -> (Digest, Value) {
    let (digest, bundle) = found(repository);
    (digest, serde_json::from_slice(&bundle).unwrap())
}

fn with(bundle: &Value, pointer: &str, value: Value) -> Value {
    let mut bundle = bundle.clone();
    *bundle.pointer_mut(pointer).unwrap() = value;
    bundle
}

/// By whom a bundle of the fixtures is.
fn prove(
    repository: &str,
    digest: &Digest,
    bundle: &Value,
    root: &TrustRoot,
    demands: Demands,
) -> Result<Signed, Fault> {
    let build = key("build");
    let (trust, demands) = match repository.starts_with("key-") {
        true => (Trust::Key { key: &build, root: Some(root) }, Demands { sct: false, ..demands }),
        false => (Trust::Keyless { root }, demands),
    };
    keyless::prove(bundle.to_string().as_bytes(), &image_signature(digest), &trust, demands)
}

const EACH: [Demands; 4] = [
    Demands { log_entries: 1, timestamps: 0, sct: true },
    Demands { log_entries: 0, timestamps: 1, sct: true },
    Demands { log_entries: 1, timestamps: 1, sct: true },
    Demands { log_entries: 0, timestamps: 0, sct: true },
];

/// Attack C1: whoever breaks a timestamp gains what they would by leaving it out, and no more.
#[test]
fn attack_c1_a_broken_timestamp_is_as_one_that_is_not_there() {
    let local = root(|_| {});
    for repository in ["keyless", "keyless-no-log", "key-logged", "key-timestamp"] {
        let (digest, bundle) = good(repository);
        let stamp =
            bundle.pointer(STAMPS).unwrap()[0]["signedTimestamp"].as_str().unwrap().to_owned();
        let token = STANDARD.decode(&stamp).unwrap();
        let theirs =
            |name: &str| good(name).1.pointer(STAMPS).unwrap()[0]["signedTimestamp"].clone();
        let mut broken =
            vec![json!(""), json!("AAAA"), theirs("keyless-foreign"), theirs("keyless-neighbour")];
        broken
            .push(STANDARD.encode(Stamper::new("stranger").stamp(b"x", "20250601120000Z")).into());
        broken.extend((0..token.len()).step_by(41).map(|at| {
            let mut token = token.clone();
            token[at] ^= 1;
            Value::from(STANDARD.encode(token))
        }));
        for demands in EACH {
            let judge = |stamps: Value| {
                prove(repository, &digest, &with(&bundle, STAMPS, stamps), &local, demands)
            };
            let (whole, stripped) = (judge(json!([{"signedTimestamp": stamp}])), judge(json!([])));
            for broken in &broken {
                let alone = judge(json!([{"signedTimestamp": broken}]));
                // A byte that nobody signed, in what is usual around it, may mean nothing.
                let same = alone == stripped || (alone == whole && whole.is_ok());
                assert!(
                    same || (alone.is_err() && stripped.is_err()),
                    "{repository} {demands:?}: {alone:?}"
                );
                for stamps in [
                    json!([{"signedTimestamp": stamp}, {"signedTimestamp": broken}]),
                    json!([{"signedTimestamp": broken}, {"signedTimestamp": stamp}]),
                ] {
                    assert_eq!(judge(stamps), whole, "{repository} {demands:?}: {broken}");
                }
            }
        }
    }
}

/// The same where it is the root that lacks the authority, or has it at another time.
#[test]
fn attack_c1_a_timestamp_that_the_root_does_not_vouch_for() {
    let none = root(|root| root["timestampAuthorities"] = json!([]));
    let window = json!({"start": "2025-01-01T00:00:00Z", "end": "2025-05-01T00:00:00Z"});
    let before = root(|root| root["timestampAuthorities"][0]["validFor"] = window);
    let stranger =
        root(|root| root["timestampAuthorities"] = json!([Stamper::new("stranger").trusted()]));
    for (root, fault) in [
        (&none, Fault::TimestampInvalid),
        (&before, Fault::TimestampOutside),
        (&stranger, Fault::TimestampInvalid),
    ] {
        for repository in ["keyless", "key-logged"] {
            let (digest, bundle) = good(repository);
            let signed = prove(repository, &digest, &bundle, root, EACH[0]).unwrap();
            assert_eq!((signed.times().len(), signed.entries().len()), (1, 1), "{repository}");
            let stripped = with(&bundle, STAMPS, json!([]));
            assert_eq!(
                prove(repository, &digest, &stripped, root, EACH[0]),
                Ok(signed),
                "{repository}"
            );
            assert_eq!(
                prove(repository, &digest, &bundle, root, EACH[1]),
                Err(fault),
                "{repository}"
            );
        }
        // With no other time there is none.
        let (digest, bundle) = good("keyless-no-log");
        assert_eq!(prove("keyless-no-log", &digest, &bundle, root, EACH[3]), Err(fault));
        let (digest, bundle) = good("key-timestamp");
        let signed = prove("key-timestamp", &digest, &bundle, root, EACH[3]).unwrap();
        assert_eq!(signed.times(), &[]);
    }
}

/// A genuine time harms all the same: a certificate must have been valid at each, and none is yet
/// to come.
#[test]
fn attack_c1_every_proven_time_counts() {
    let (one, two) = (Stamper::new("one"), Stamper::new("two"));
    let instance = Instance::new();
    let mut root = instance.trust_root();
    root["timestampAuthorities"] = json!([one.trusted(), two.trusted()]);
    let holder = instance.issue(|_| {});
    let bundle = instance.bundle(&holder, &[0]);
    let signature =
        STANDARD.decode(bundle["messageSignature"]["signature"].as_str().unwrap()).unwrap();
    let judge = |stamps: &[(&Stamper, &str)]| {
        let mut bundle = bundle.clone();
        let stamp = |(by, at): &(&Stamper, &str)| json!({"signedTimestamp": STANDARD.encode(by.stamp(&signature, at))});
        let stamps: Vec<_> = stamps.iter().map(stamp).collect();
        bundle["verificationMaterial"]["timestampVerificationData"] =
            json!({"rfc3161Timestamps": stamps});
        instance::prove(&root, &bundle, DEMANDS).map(|signed| signed.times().len())
    };
    assert_eq!(judge(&[]), Ok(1));
    assert_eq!(judge(&[(&one, "20250601120000Z"), (&two, "20250601120001Z")]), Ok(3));
    for late in ["20250531120000Z", "20250603120000Z"] {
        assert_eq!(judge(&[(&one, late)]), Err(Fault::CertificateExpired));
        assert_eq!(
            judge(&[(&one, "20250601120000Z"), (&two, late)]),
            Err(Fault::CertificateExpired)
        );
    }
    assert_eq!(judge(&[(&one, "20260701000000Z")]), Err(Fault::FutureTime));
    assert_eq!(judge(&[(&Stamper::new("stranger"), "20260701000000Z")]), Ok(1));
}

/// Attack C4: a timestamp over the envelope of an older attestation is from the future like any
/// other.
#[test]
fn attack_c4_a_stamped_envelope_from_the_future() {
    let stamper = Stamper::new("one");
    let local = root(|root| root["timestampAuthorities"] = json!([stamper.trusted()]));
    let foreign = root(|_| {});
    let (subject, layers) = crate::older::layers("provenance-key-v2");
    let (envelope, annotations) = &layers[0];
    let build = key("build");
    let types = ["https://slsa.dev/provenance/v1".to_owned()];
    let judge = |root: &TrustRoot, over: &[u8], at: &str, timestamps: u8| {
        let token =
            json!({"SignedRFC3161Timestamp": STANDARD.encode(stamper.stamp(over, at))}).to_string();
        let mut annotations = annotations.clone();
        annotations.insert("dev.sigstore.cosign/rfc3161timestamp".to_owned(), token);
        let item = Untrusted::attestation(envelope, &annotations)?;
        let about = About { digest: &subject, artifact: None, claim: Claim::Attestation(&types) };
        let demands = Demands { timestamps, ..Demands::NONE };
        let trust = Trust::Key { key: &build, root: Some(root) };
        item.prove(&about, &trust, demands, keyless::now(), &mut Budget::default())
            .map(|signed| signed.times().len())
    };
    assert_eq!(judge(&local, envelope, "20250601120000Z", 1), Ok(1));
    assert_eq!(judge(&local, envelope, "20260601000000Z", 1), Ok(1));
    for timestamps in [0, 1] {
        assert_eq!(judge(&local, envelope, "20260601000001Z", timestamps), Err(Fault::FutureTime));
    }
    // Over something else, or by somebody else, it is as if it were not there.
    assert_eq!(judge(&local, b"other", "20250601120000Z", 0), Ok(0));
    assert_eq!(judge(&local, b"other", "20250601120000Z", 1), Err(Fault::TimestampInvalid));
    assert_eq!(judge(&foreign, envelope, "20260601000001Z", 0), Ok(0));
    assert_eq!(judge(&foreign, envelope, "20250601120000Z", 1), Err(Fault::TimestampInvalid));
}

/// What an entry can be changed to that no log of the root vouches for.
fn strange(entry: &Value) -> Vec<Value> {
    let change = |pointer: &str, value: Value| with(entry, pointer, value);
    let body = STANDARD.decode(entry["canonicalizedBody"].as_str().unwrap()).unwrap();
    let mut about_other: Value = serde_json::from_slice(&body).unwrap();
    about_other["spec"]["data"]["hash"]["value"] = "00".repeat(32).into();
    let mut bare = entry.clone();
    bare.as_object_mut()
        .unwrap()
        .retain(|name, _| name != "inclusionProof" && name != "inclusionPromise");
    vec![
        entry.clone(),
        bare,
        change("/integratedTime", json!("1748779201")),
        change("/integratedTime", json!("4102444800")),
        change("/inclusionPromise/signedEntryTimestamp", json!("AAAA")),
        change("/canonicalizedBody", STANDARD.encode(about_other.to_string()).into()),
        change("/canonicalizedBody", json!("e30=")),
        change("/canonicalizedBody", json!("AAAA")),
        change("/kindVersion", json!({"kind": "dsse", "version": "0.0.1"})),
        change("/kindVersion", json!({"kind": "hashedrekord", "version": "0.0.9"})),
        change("/kindVersion", json!({"kind": "alpine", "version": "0.0.1"})),
    ]
}

/// Attack B1: an entry of a log that the root does not know is as if it were not there, whatever it
/// says.
#[test]
fn attack_b1_an_entry_of_an_unknown_log_is_as_one_that_is_not_there() {
    let instance = Instance::new();
    let mut root = instance.trust_root();
    root["tlogs"].as_array_mut().unwrap().truncate(1);
    let stamper = Stamper::new("one");
    root["timestampAuthorities"] = json!([stamper.trusted()]);
    let holder = instance.issue(|_| {});
    let bundle = instance.bundle(&holder, &[0, 1]);
    let signature =
        STANDARD.decode(bundle["messageSignature"]["signature"].as_str().unwrap()).unwrap();
    let [known, unknown] = bundle.pointer(ENTRIES).unwrap().as_array().unwrap().as_slice() else {
        panic!("{bundle}")
    };
    let judge =
        |entries: Value, demands| instance::prove(&root, &with(&bundle, ENTRIES, entries), demands);
    let alone = judge(json!([known]), DEMANDS).unwrap();
    let mut stamped = bundle.clone();
    let stamp = STANDARD.encode(stamper.stamp(&signature, "20250601120000Z"));
    stamped["verificationMaterial"]["timestampVerificationData"] =
        json!({"rfc3161Timestamps": [{"signedTimestamp": stamp}]});
    let by_time = Demands { log_entries: 0, timestamps: 1, sct: false };
    for strange in strange(unknown) {
        assert_eq!(judge(json!([known, strange]), DEMANDS).as_ref(), Ok(&alone), "{strange}");
        assert_eq!(judge(json!([strange, known]), DEMANDS).as_ref(), Ok(&alone), "{strange}");
        let two = Demands { log_entries: 2, ..DEMANDS };
        assert_eq!(judge(json!([known, strange]), two), Err(Fault::LogUnknown), "{strange}");
        assert_eq!(judge(json!([strange]), DEMANDS), Err(Fault::LogUnknown), "{strange}");
        // Where logs are ignored it needs no other entry, but a time.
        let ignored = Demands { log_entries: 0, ..DEMANDS };
        assert_eq!(judge(json!([strange]), ignored), Err(Fault::NoProvenTime), "{strange}");
        for version in ["0.1", "0.2", "0.3"] {
            let mut stamped = with(&stamped, ENTRIES, json!([strange]));
            stamped["mediaType"] =
                format!("application/vnd.dev.sigstore.bundle+json;version={version}").into();
            let signed = instance::prove(&root, &stamped, by_time).unwrap();
            assert_eq!((signed.entries().len(), signed.times().len()), (0, 1), "{strange}");
        }
    }
}

/// Attack B1: an entry of a log of the root must hold, whatever the others are worth and whatever
/// is asked for.
#[test]
fn attack_b1_an_entry_of_a_known_log_must_hold() {
    let instance = Instance::new();
    let root = instance.trust_root();
    let holder = instance.issue(|_| {});
    let bundle = instance.bundle(&holder, &[0, 1]);
    let [good, other] = bundle.pointer(ENTRIES).unwrap().as_array().unwrap().as_slice() else {
        panic!("{bundle}")
    };
    for demands in [DEMANDS, Demands { log_entries: 0, ..DEMANDS }] {
        let judge = |entries: Value| {
            instance::prove(&root, &with(&bundle, ENTRIES, entries), demands).map(drop)
        };
        assert_eq!(judge(json!([good, other])), Ok(()));
        for strange in strange(other).into_iter().skip(1) {
            for entries in [json!([good, strange]), json!([strange, good])] {
                assert!(judge(entries).is_err(), "{strange}");
            }
        }
        // It is of the log in whose tree head it is, whatever it says of itself; and the other way
        // round.
        let id = "/logId/keyId";
        let nobodys = with(other, id, STANDARD.encode([7; 32]).into());
        assert_eq!(judge(json!([good, nobodys])), Err(Fault::LogUnknown));
        let head = "/inclusionProof/checkpoint/envelope";
        let renamed =
            other.pointer(head).unwrap().as_str().unwrap().replace("log1.test", "nobody.test");
        assert!(judge(json!([good, with(other, head, renamed.into())])).is_err());
    }
    let kind = json!({"kind": "hashedrekord", "version": "0.0.9"});
    let unread = with(&bundle, &format!("{ENTRIES}/1/kindVersion"), kind);
    assert_eq!(instance::prove(&root, &unread, DEMANDS).map(drop), Err(Fault::Unsupported));
}

/// Without a root nobody can tell whose entries count: one that says it is about something else
/// refuses, one that nobody can read says nothing.
#[test]
fn attack_b1_without_a_root_a_contradiction_refuses() {
    let build = key("build");
    let (digest, bundle) = good("key-logged");
    let judge = |bundle: &Value| {
        let trust = Trust::Key { key: &build, root: None };
        keyless::prove(
            bundle.to_string().as_bytes(),
            &image_signature(&digest),
            &trust,
            Demands::NONE,
        )
        .map(drop)
    };
    assert_eq!(judge(&bundle), Ok(()));
    let body = format!("{ENTRIES}/0/canonicalizedBody");
    let theirs = good("key-logged-later").1;
    assert_eq!(
        judge(&with(&bundle, &body, theirs.pointer(&body).unwrap().clone())),
        Err(Fault::OtherLogEntry)
    );
    assert_eq!(judge(&with(&bundle, &body, json!("e30="))), Err(Fault::OtherLogEntry));
    let kind = format!("{ENTRIES}/0/kindVersion");
    assert_eq!(judge(&with(&bundle, &kind, json!({"kind": "dsse", "version": "0.0.9"}))), Ok(()));
    assert_eq!(
        judge(&with(&bundle, &kind, json!({"kind": "hashedrekord", "version": "0.0.1"}))),
        Err(Fault::OtherLogEntry)
    );
    assert_eq!(judge(&with(&bundle, &kind, json!({"kind": "dsse"}))), Err(Fault::Malformed));
}

/// The same of keys: the digest of what was signed is compared whoever vouches.
#[test]
fn a_key_counts_beside_what_nobody_knows() {
    let (local, foreign) = (root(|_| {}), keyless::root("foreign"));
    let key = PublicKey::parse_pem(&fixtures::key("build")).unwrap();
    for (repository, root, demands, expected) in [
        ("key-logged", &foreign, Demands::NONE, Ok(0)),
        (
            "key-logged",
            &foreign,
            Demands { log_entries: 1, ..Demands::NONE },
            Err(Fault::LogUnknown),
        ),
        (
            "key-logged",
            &foreign,
            Demands { timestamps: 1, ..Demands::NONE },
            Err(Fault::TimestampInvalid),
        ),
        ("key-timestamp", &foreign, Demands::NONE, Ok(0)),
        ("key-logged", &local, Demands::NONE, Ok(2)),
    ] {
        let (digest, bundle) = found(repository);
        let trust = Trust::Key { key: &key, root: Some(root) };
        let outcome = keyless::prove(&bundle, &image_signature(&digest), &trust, demands);
        assert_eq!(outcome.map(|signed| signed.times().len()), expected, "{repository}");
    }
}
