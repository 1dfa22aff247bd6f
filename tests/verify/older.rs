//! Cosign's older form with evidence in its annotations, made by the real cosign: keyless, by keys
//! in a log, by an own PKI, attestations.

use std::collections::BTreeMap;
use std::fs;

use jiff::Timestamp;
use sealgate::image::Digest;
use sealgate::verify::{
    About, Authority, Bound, Budget, Claim, Demands, Fault, San, Signed, Signer, TimeSource, Trust,
    TrustRoot, Untrusted,
};
use serde_json::{Value, json};

use crate::{digest, fixtures, key};

const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const BUNDLE: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

const ACME: &str = "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1.0.0";
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
const SIGNED_AT: &str = "2025-06-01T12:00";
const LOG: Demands = Demands::KEYLESS;
const NOTHING: Demands = Demands::NONE;
const STAMP: Demands = Demands { log_entries: 0, timestamps: 1, sct: true };

type Annotations = BTreeMap<String, String>;

pub(crate) fn root(name: &str) -> TrustRoot {
    TrustRoot::parse(&fixtures::trust_root(name)).unwrap()
}

pub(crate) fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

pub(crate) fn pki(root: &str, lists: &[&str]) -> Authority {
    let read = |file: &str| fs::read(fixtures::pki_path(file)).unwrap();
    let lists: Vec<_> = lists.iter().map(|list| read(list)).collect();
    let lists: Vec<_> = lists.iter().map(Vec::as_slice).collect();
    Authority::parse(&[&read(root)], &[&read("intermediate.pem")], &lists).unwrap()
}

/// The digest of a repository's image and the layers that are signatures of it.
pub(crate) fn layers(situation: &str) -> (Digest, Vec<(Vec<u8>, Annotations)>) {
    let repository = fixtures::prod(situation);
    let subject = &repository.tags["v1"];
    let found = [repository.signatures(subject), repository.attestations(subject)].concat();
    assert!(!found.is_empty(), "{situation}");
    (digest(subject), found)
}

fn prove(
    item: &Untrusted,
    subject: &Digest,
    trust: &Trust<'_>,
    demands: Demands,
) -> Result<Signed, Fault> {
    let provenance = [PROVENANCE.to_owned()];
    let claim =
        item.predicate_type().map_or(Claim::ImageSignature, |_| Claim::Attestation(&provenance));
    let about = About { digest: subject, artifact: None, claim };
    item.prove(&about, trust, demands, now(), &mut Budget::default())
}

fn read(layer: &(Vec<u8>, Annotations)) -> Result<Untrusted, Fault> {
    let (bytes, annotations) = layer;
    let envelope = bytes.windows(13).any(|window| window == b"\"payloadType\"");
    if envelope {
        Untrusted::attestation(bytes, annotations)
    } else {
        Untrusted::simple_signing(bytes, annotations)
    }
}

fn proven(situation: &str, trust: &Trust<'_>, demands: Demands) -> Vec<Result<Signed, Fault>> {
    let (subject, layers) = layers(situation);
    layers
        .iter()
        .map(|layer| read(layer).and_then(|item| prove(&item, &subject, trust, demands)))
        .collect()
}

fn names(signed: &Signed) -> Vec<San> {
    match signed.signer() {
        Signer::Certificate(certificate) => certificate.sans().to_vec(),
        Signer::Key(_) => Vec::new(),
    }
}

#[test]
fn keyless_signatures() {
    let (local, foreign) = (root("local"), root("foreign"));
    let trust = Trust::Keyless { root: &local };
    let acme = vec![San::Uri(ACME.to_owned())];
    let email = vec![San::Email("release@acme.example".to_owned())];
    for (situation, demands, expected) in [
        ("keyless-v2", LOG, vec![acme.clone()]),
        ("keyless-v2", NOTHING, vec![acme.clone()]),
        ("keyless-v2-timestamp", Demands { timestamps: 1, ..LOG }, vec![acme.clone()]),
        ("keyless-v2-no-log", STAMP, vec![acme.clone()]),
        ("keyless-email-v2", LOG, vec![email.clone()]),
        ("keyless-two-v2", LOG, vec![acme.clone(), email]),
        ("provenance-v2", LOG, vec![acme]),
    ] {
        let outcomes = proven(situation, &trust, demands);
        let signed: Vec<_> =
            outcomes.iter().map(|outcome| names(outcome.as_ref().unwrap())).collect();
        assert_eq!(signed, expected, "{situation}");
        for signed in outcomes.into_iter().flatten() {
            assert!(
                signed.times().iter().all(|at| at.time.to_string().starts_with(SIGNED_AT)),
                "{signed:?}"
            );
            let logs =
                signed.times().iter().filter(|at| matches!(at.by, TimeSource::Log(_))).count();
            assert_eq!(
                (logs, signed.entries().len()),
                if demands == STAMP { (0, 0) } else { (1, 1) },
                "{situation}"
            );
        }
        let outcomes = proven(situation, &Trust::Keyless { root: &foreign }, demands);
        assert!(outcomes.iter().all(Result::is_err), "{situation}");
    }
}

#[test]
fn keyless_signatures_that_lack_something() {
    let local = root("local");
    let trust = Trust::Keyless { root: &local };
    let two = Demands { log_entries: 2, ..LOG };
    for (situation, demands, expected) in [
        ("keyless-late-v2", LOG, Fault::CertificateExpired),
        ("keyless-wrong-digest-v2", LOG, Fault::OtherDigest),
        ("provenance-wrong-digest-v2", LOG, Fault::OtherDigest),
        ("keyless-v2-no-log", LOG, Fault::TooFewLogEntries { got: 0, want: 1 }),
        ("keyless-v2", STAMP, Fault::TooFewTimestamps { got: 0, want: 1 }),
        ("keyless-v2", two, Fault::TooFewLogEntries { got: 1, want: 2 }),
        ("key-logged-v2", LOG, Fault::NotCertificateSigned),
        ("pki", LOG, Fault::TooFewLogEntries { got: 0, want: 1 }),
        ("pki-two-names", LOG, Fault::SeveralNames(2)),
        ("pki-logged", LOG, Fault::CertificateChain),
    ] {
        let refused: Vec<_> =
            proven(situation, &trust, demands).into_iter().map(Result::unwrap_err).collect();
        assert_eq!(refused, [expected], "{situation}");
    }
}

#[test]
fn keys_in_a_log() {
    let (build, other) = (key("build"), key("other"));
    let (local, foreign) = (root("local"), root("foreign"));
    let both = Demands { log_entries: 1, timestamps: 1, sct: false };
    let one = |situation, trust: &Trust<'_>, demands| proven(situation, trust, demands).remove(0);
    let signed =
        one("key-logged-v2", &Trust::Key { key: &build, root: Some(&local) }, both).unwrap();
    assert_eq!(
        (signed.key(), signed.entries().len(), signed.times().len()),
        (Some(build.id()), 1, 2)
    );
    let alone = one("key-logged-v2", &Trust::Key { key: &build, root: None }, NOTHING).unwrap();
    assert_eq!((alone.key(), alone.entries(), alone.times()), (Some(build.id()), &[][..], &[][..]));
    for (situation, key, root, demands, expected) in [
        ("key-logged-v2", &build, None, both, Fault::NeedsTrustRoot),
        ("key-logged-v2", &other, Some(&local), both, Fault::WrongSignature),
        ("key-logged-v2", &build, Some(&foreign), both, Fault::LogUnknown),
        ("signed-v2", &build, Some(&local), both, Fault::TooFewLogEntries { got: 0, want: 1 }),
        (
            "provenance-key-v2",
            &build,
            Some(&local),
            both,
            Fault::TooFewLogEntries { got: 0, want: 1 },
        ),
        ("provenance-v2", &build, None, NOTHING, Fault::NotKeySigned),
    ] {
        assert_eq!(
            one(situation, &Trust::Key { key, root }, demands),
            Err(expected),
            "{situation}"
        );
    }
    let attested =
        one("provenance-key-v2", &Trust::Key { key: &build, root: None }, NOTHING).unwrap();
    let statement = attested.statement().unwrap();
    assert_eq!(statement.predicate_type(), PROVENANCE);
    let repository = "/buildDefinition/externalParameters/workflow/repository";
    let predicate = statement.said(&sealgate::image::json::Keep::All, 1000).unwrap();
    assert_eq!(predicate.pointer(repository), Some(&json!("https://github.com/acme/app")));
}

#[test]
fn an_own_pki() {
    let local = root("local");
    let ours = pki("root.pem", &[]);
    let team = vec![San::Email("team@acme.example".to_owned())];
    let build = vec![San::Uri("https://ci.acme.example/build".to_owned())];
    let host = vec![San::Dns("build.acme.example".to_owned())];
    let two = [team.clone(), build.clone()].concat();
    let log = Demands { log_entries: 1, timestamps: 1, sct: false };
    for (situation, lists, logged, expected) in [
        ("pki", &[][..], false, Ok(team.clone())),
        ("pki-uri", &[], false, Ok(build)),
        ("pki-host", &[], false, Ok(host)),
        ("pki-two-names", &[], false, Ok(two)),
        ("pki", &["team.crl"], false, Ok(team.clone())),
        ("pki", &["team.crl", "root.crl"], false, Ok(team.clone())),
        ("pki", &["stale.crl"], false, Err(Fault::RevocationUnknown)),
        ("pki", &["stale.crl", "team.crl"], false, Ok(team.clone())),
        ("pki", &["root.crl"], false, Err(Fault::RevocationUnknown)),
        ("pki-revoked", &[], false, Ok(team.clone())),
        ("pki-revoked", &["before.crl"], false, Ok(team.clone())),
        ("pki-revoked", &["team.crl"], false, Err(Fault::CertificateRevoked)),
        ("pki-revoked", &["before.crl", "team.crl"], false, Err(Fault::CertificateRevoked)),
        ("pki-revoked", &["stale.crl"], false, Err(Fault::CertificateRevoked)),
        ("pki-logged", &["team.crl"], true, Ok(team.clone())),
        ("pki", &[], true, Err(Fault::TooFewLogEntries { got: 0, want: 1 })),
        ("pki-expired", &[], false, Err(Fault::CertificateExpired)),
        ("pki-short", &[], false, Err(Fault::CertificateExpired)),
        ("pki-foreign", &[], false, Err(Fault::CertificateChain)),
        ("keyless-v2", &[], false, Err(Fault::CertificateExpired)),
        ("signed-v2", &[], false, Err(Fault::NotCertificateSigned)),
    ] {
        let authority = pki("root.pem", lists);
        let trust = Trust::Authority { authority: &authority, root: logged.then_some(&local) };
        let outcome = proven(situation, &trust, if logged { log } else { NOTHING }).remove(0);
        assert_eq!(
            outcome.as_ref().map(names).map_err(|fault| *fault),
            expected,
            "{situation} {lists:?}"
        );
    }
    // Valid on one day alone, and proven to be of that day.
    let trust = Trust::Authority { authority: &ours, root: Some(&local) };
    let stamp = Demands { log_entries: 0, timestamps: 1, sct: false };
    assert_eq!(proven("pki-short", &trust, stamp).remove(0).as_ref().map(names), Ok(team));
    // Everybody else's PKI.
    let theirs = pki_of("foreign-root.pem");
    let trust = Trust::Authority { authority: &theirs, root: None };
    assert_eq!(proven("pki", &trust, NOTHING).remove(0), Err(Fault::CertificateChain));
    assert!(proven("pki-foreign", &trust, NOTHING).remove(0).is_ok());
}

fn pki_of(root: &str) -> Authority {
    Authority::parse(&[&fs::read(fixtures::pki_path(root)).unwrap()], &[], &[]).unwrap()
}

/// What is tampered with in an annotation, and what becomes of it: whoever asks for evidence
/// refuses it.
#[test]
fn attack_b1_annotations_that_are_not_of_this_signature() {
    let local = root("local");
    let (subject, mut layers) = layers("keyless-v2-timestamp");
    let (_, other) = self::layers("keyless-v2");
    let (_, neighbour) = self::layers("keyless-neighbour-v2");
    let (payload, good) = layers.remove(0);
    let judge = |annotations: &Annotations| {
        let trust = Trust::Keyless { root: &local };
        Untrusted::simple_signing(&payload, annotations)
            .and_then(|item| prove(&item, &subject, &trust, LOG).map(drop))
    };
    assert_eq!(judge(&good), Ok(()));
    let with = |name: &str, value: &str| {
        let mut changed = good.clone();
        changed.insert(name.to_owned(), value.to_owned());
        judge(&changed)
    };
    assert_eq!(with(BUNDLE, &other[0].1[BUNDLE]), Err(Fault::OtherLogEntry));
    assert_eq!(with(CERTIFICATE, &neighbour[0].1[CERTIFICATE]), Err(Fault::OtherLogEntry));
    assert_eq!(with(CERTIFICATE, ""), Err(Fault::NoCertificate));
    assert_eq!(with(CERTIFICATE, "-"), Err(Fault::NoCertificate));
    assert_eq!(with(CERTIFICATE, &good[CERTIFICATE].repeat(2)), Err(beyond("certificates", 1)));
    assert_eq!(
        with(CERTIFICATE, &good[CERTIFICATE].replace("CERTIFICATE", "PUBLIC KEY")),
        Err(Fault::Certificate)
    );
    assert_eq!(with(CHAIN, &good[CHAIN].repeat(8)), Err(beyond("certificates", 7)));
    assert_eq!(with(BUNDLE, ""), Err(Fault::TooFewLogEntries { got: 0, want: 1 }));
    assert_eq!(
        with(BUNDLE, &" ".repeat(200 * 1024)),
        Err(beyond("bytes in an annotation", 128 * 1024))
    );
    assert_eq!(with(TIMESTAMP, "{}"), Err(Fault::Malformed));
    // One that proves nothing is as one that is not there; the log's time is enough.
    assert_eq!(with(TIMESTAMP, "{\"SignedRFC3161Timestamp\":\"\"}"), Ok(()));
    assert_eq!(with(TIMESTAMP, "{\"SignedRFC3161Timestamp\":\"AAAA\"}"), Ok(()));
    // The chain is only there to help: the root has what is needed.
    assert_eq!(with(CHAIN, ""), Ok(()));
}

/// The same with the log entry's own fields: its promise binds each.
#[test]
fn attack_b1_a_promise_that_was_tampered_with() {
    let local = root("local");
    let (subject, layers) = layers("keyless-v2");
    let (payload, good) = &layers[0];
    let with = |name: &str, value: &str| {
        let mut changed = good.clone();
        changed.insert(name.to_owned(), value.to_owned());
        let item = Untrusted::simple_signing(payload, &changed)?;
        prove(&item, &subject, &Trust::Keyless { root: &local }, LOG).map(drop)
    };
    assert_eq!(with(BUNDLE, &good[BUNDLE]), Ok(()));
    let bundle: Value = serde_json::from_str(&good[BUNDLE]).unwrap();
    let changed = |pointer: &str, value: Value| {
        let mut bundle = bundle.clone();
        *bundle.pointer_mut(pointer).unwrap() = value;
        with(BUNDLE, &bundle.to_string())
    };
    let payload = &bundle["Payload"];
    let (time, index) =
        (payload["integratedTime"].as_i64().unwrap(), payload["logIndex"].as_u64().unwrap());
    for (pointer, value, expected) in [
        ("/Payload/integratedTime", json!(time + 1), Fault::LogInvalid),
        ("/Payload/integratedTime", json!(time - 1), Fault::LogInvalid),
        ("/Payload/integratedTime", json!(0), Fault::Malformed),
        ("/Payload/integratedTime", json!(-time), Fault::Malformed),
        ("/Payload/integratedTime", json!(time as f64), Fault::Malformed),
        ("/Payload/integratedTime", json!(time.to_string()), Fault::Malformed),
        ("/Payload/logIndex", json!(index + 1), Fault::LogInvalid),
        ("/Payload/logIndex", json!(-1), Fault::Malformed),
        ("/Payload/logID", json!("00".repeat(32)), Fault::LogUnknown),
        (
            "/Payload/logID",
            json!(payload["logID"].as_str().unwrap().to_uppercase()),
            Fault::Malformed,
        ),
        ("/Payload/logID", json!("00"), Fault::Malformed),
        ("/Payload/body", json!("e30="), Fault::Malformed),
        ("/Payload/body", json!("e30"), Fault::Encoding),
        ("/Payload/body", json!({}), Fault::Malformed),
        ("/SignedEntryTimestamp", json!(""), Fault::LogInvalid),
        ("/SignedEntryTimestamp", json!("AA=="), Fault::LogInvalid),
        ("/SignedEntryTimestamp", Value::Null, Fault::Malformed),
    ] {
        assert_eq!(changed(pointer, value.clone()), Err(expected), "{pointer} {value}");
    }
    let text = &good[BUNDLE];
    assert_eq!(with(BUNDLE, &text.replacen('{', "{\"extra\":1,", 1)), Err(Fault::UnknownField));
    assert_eq!(
        with(BUNDLE, &text.replacen("{\"body\"", "{\"extra\":1,\"body\"", 1)),
        Err(Fault::UnknownField)
    );
    assert_eq!(
        with(BUNDLE, &text.replacen("\"logIndex\":", "\"logIndex\":1,\"logIndex\":", 1)),
        Err(Fault::Json)
    );
    assert_eq!(
        with(BUNDLE, &text.replacen("\"logIndex\":", "\"LogIndex\":1,\"logIndex\":", 1)),
        Err(Fault::Json)
    );
}

fn beyond(what: &'static str, limit: usize) -> Fault {
    Fault::Beyond(Bound { what, limit })
}

/// A log entry of a kind that is not read: a key counts without it, a certificate does not.
#[test]
fn entries_of_a_kind_that_nobody_reads() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let of_kind = |annotations: &Annotations, kind: &str, version: &str| {
        let mut bundle: Value = serde_json::from_str(&annotations[BUNDLE]).unwrap();
        let body = json!({"kind": kind, "apiVersion": version, "spec": {}}).to_string();
        bundle["Payload"]["body"] = STANDARD.encode(body).into();
        let mut changed = annotations.clone();
        changed.insert(BUNDLE.to_owned(), bundle.to_string());
        changed
    };
    let local = root("local");
    let build = key("build");
    let logged = Demands { log_entries: 1, ..NOTHING };
    for (kind, version) in
        [("rekord", "0.0.2"), ("intoto", "0.0.3"), ("hashedrekord", "0.0.2"), ("dsse", "0.0.2")]
    {
        let (subject, layers) = layers("key-logged-v2");
        let item =
            Untrusted::simple_signing(&layers[0].0, &of_kind(&layers[0].1, kind, version)).unwrap();
        assert!(prove(&item, &subject, &Trust::Key { key: &build, root: None }, NOTHING).is_ok());
        let refused =
            prove(&item, &subject, &Trust::Key { key: &build, root: Some(&local) }, logged);
        assert_eq!(refused, Err(Fault::TooFewLogEntries { got: 0, want: 1 }));
        let (_, layers) = self::layers("keyless-v2");
        let item =
            Untrusted::simple_signing(&layers[0].0, &of_kind(&layers[0].1, kind, version)).unwrap();
        let (subject, _) = self::layers("keyless-v2");
        let refused = prove(&item, &subject, &Trust::Keyless { root: &local }, LOG);
        assert_eq!(refused.map(drop), Err(Fault::Unsupported), "{kind} {version}");
    }
}

#[test]
fn attack_b3_envelopes_that_are_not_whole() {
    let (subject, layers) = layers("provenance-key-v2");
    let (envelope, annotations) = &layers[0];
    let good: Value = serde_json::from_slice(envelope).unwrap();
    let build = key("build");
    let judge = |bytes: &[u8]| {
        let trust = Trust::Key { key: &build, root: None };
        Untrusted::attestation(bytes, annotations)
            .and_then(|item| prove(&item, &subject, &trust, NOTHING).map(drop))
    };
    assert_eq!(judge(envelope), Ok(()));
    type Change = fn(&mut Value);
    let cases: [(Change, Fault); 12] = [
        (|e| e["payloadType"] = "application/json".into(), Fault::EnvelopeType),
        (|e| e["payloadType"] = Value::Null, Fault::Malformed),
        (|e| e["payload"] = "e30=".into(), Fault::Malformed),
        (|e| e["payload"] = "e30".into(), Fault::Encoding),
        (|e| e["payload"] = "".into(), Fault::Json),
        (|e| e["signatures"] = json!([]), Fault::SignatureCount),
        (|e| e["signatures"] = json!({}), Fault::SignatureCount),
        (
            |e| e["signatures"] = json!([e["signatures"][0], e["signatures"][0]]),
            Fault::SignatureCount,
        ),
        (|e| e["signatures"][0]["sig"] = "AA==".into(), Fault::WrongSignature),
        (|e| e["signatures"][0]["cert"] = "".into(), Fault::UnknownField),
        (|e| e["signatures"][0]["keyid"] = 1.into(), Fault::Malformed),
        (|e| e["extra"] = 1.into(), Fault::UnknownField),
    ];
    for (number, (change, expected)) in cases.into_iter().enumerate() {
        let mut changed = good.clone();
        change(&mut changed);
        assert_eq!(judge(changed.to_string().as_bytes()), Err(expected), "case {number}");
    }
    // An attestation is no image signature, and no attestation of another kind (attack B2).
    let item = Untrusted::attestation(envelope, annotations).unwrap();
    let trust = Trust::Key { key: &build, root: None };
    for (types, expected) in [
        (None, Fault::NotImageSignature),
        (Some(vec![]), Fault::OtherPredicate),
        (Some(vec!["https://slsa.dev/provenance/v0.2".to_owned()]), Fault::OtherPredicate),
    ] {
        let claim = types.as_deref().map_or(Claim::ImageSignature, Claim::Attestation);
        let about = About { digest: &subject, artifact: None, claim };
        assert_eq!(
            item.prove(&about, &trust, NOTHING, now(), &mut Budget::default()),
            Err(expected)
        );
    }
}

#[test]
fn attack_d1_envelopes_without_end() {
    let long = vec![b' '; sealgate::verify::ATTESTATION_MAX + 1];
    let limit = sealgate::verify::ATTESTATION_MAX;
    assert_eq!(
        Untrusted::attestation(&long, &BTreeMap::new()).map(drop),
        Err(beyond("bytes", limit))
    );
    let many = format!("{{\"signatures\":[{}1]}}", "1,".repeat(100_000));
    assert_eq!(
        Untrusted::attestation(many.as_bytes(), &BTreeMap::new()).map(drop),
        Err(beyond("values", 16))
    );
    let deep = "[".repeat(100_000);
    assert_eq!(
        Untrusted::attestation(deep.as_bytes(), &BTreeMap::new()).map(drop),
        Err(beyond("levels", 4))
    );
}
