//! Attack B3 by force, for signatures with evidence: bundles, annotations, certificates, log
//! entries, tree heads, timestamps and statements, changed at every byte and in every field.
//!
//! Nothing changed is accepted, but for what nobody signed and nobody reads: that is listed
//! ([`Meaning`]), and with it everything that is proven is the same as before. Evidence that is
//! taken away as a whole proves less, never other.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use sealgate::image::Digest;
use sealgate::verify::{
    About, Authority, Budget, Claim, Demands, Fault, PublicKey, Signed, Trust, TrustRoot, Untrusted,
};
use serde_json::Value;

use crate::mutations::{changed, edits, pointers};
use crate::older::{layers, now, pki, root};
use crate::{conformance, digest, fixtures, key};

const LOGGED: Demands = Demands { log_entries: 1, timestamps: 0, sct: true };
const STAMPED: Demands = Demands { log_entries: 0, timestamps: 1, sct: true };
const BOTH: Demands = Demands { log_entries: 1, timestamps: 1, sct: true };

/// What a signature is tried with.
enum Trusted {
    Keyless(TrustRoot),
    Key(PublicKey, TrustRoot),
    Authority(Authority, Option<TrustRoot>),
}

/// In which form a signature comes.
#[derive(Clone)]
enum Form {
    Bundle(Vec<u8>),
    Older { payload: Vec<u8>, annotations: BTreeMap<String, String>, attestation: bool },
}

/// A signature that holds, and what is proven of it.
struct Good {
    name: String,
    form: Form,
    subject: Digest,
    trusted: Trusted,
    demands: Demands,
    proven: Signed,
}

impl Good {
    fn new(name: &str, form: Form, subject: Digest, trusted: Trusted, demands: Demands) -> Self {
        let proven = prove(&form, &subject, &trusted, demands);
        let proven = proven.unwrap_or_else(|fault| panic!("{name}: {fault}"));
        Self { name: name.to_owned(), form, subject, trusted, demands, proven }
    }

    fn judge(&self, form: &Form) -> Result<Signed, Fault> {
        prove(form, &self.subject, &self.trusted, self.demands)
    }
}

fn prove(
    form: &Form,
    subject: &Digest,
    trusted: &Trusted,
    demands: Demands,
) -> Result<Signed, Fault> {
    let item = match form {
        Form::Bundle(json) => Untrusted::bundle(json)?,
        Form::Older { payload, annotations, attestation: false } => {
            Untrusted::simple_signing(payload, annotations)?
        }
        Form::Older { payload, annotations, attestation: true } => {
            Untrusted::attestation(payload, annotations)?
        }
    };
    let types: Vec<_> = item.predicate_type().map(str::to_owned).into_iter().collect();
    let image = types.iter().all(|kind| kind == crate::signing::IMAGE_SIGNATURE);
    let claim = if image { Claim::ImageSignature } else { Claim::Attestation(&types) };
    let about = About { digest: subject, artifact: None, claim };
    let trust = match trusted {
        Trusted::Keyless(root) => Trust::Keyless { root },
        Trusted::Key(key, root) => Trust::Key { key, root: Some(root) },
        Trusted::Authority(authority, root) => Trust::Authority { authority, root: root.as_ref() },
    };
    item.prove(&about, &trust, demands, now(), &mut Budget::default())
}

fn bundled(name: &str, trusted: Trusted, demands: Demands) -> Good {
    let subject = digest(&fixtures::prod(name).tags["v1"]);
    Good::new(name, Form::Bundle(fixtures::bundle(name)), subject, trusted, demands)
}

fn older(name: &str, trusted: Trusted, demands: Demands) -> Good {
    let (subject, mut layers) = layers(name);
    let (payload, annotations) = layers.remove(0);
    let attestation = !fixtures::prod(name).attestations(subject.as_str()).is_empty();
    Good::new(name, Form::Older { payload, annotations, attestation }, subject, trusted, demands)
}

/// Every kind of signature with evidence, and the step with which it is walked: what is checked
/// slowly in larger ones. No two steps share a factor with eight, so that every bit of a byte is
/// reached.
fn all() -> Vec<(Good, usize)> {
    let keyless = || Trusted::Keyless(root("local"));
    let by_key = || Trusted::Key(key("build"), root("local"));
    let ours = || Trusted::Authority(pki("root.pem", &["team.crl"]), None);
    let ours_logged = || Trusted::Authority(pki("root.pem", &["team.crl"]), Some(root("local")));
    let unproven = |demands: Demands| Demands { sct: false, ..demands };
    let mut all = vec![
        (bundled("keyless", keyless(), BOTH), 211),
        (bundled("keyless-no-timestamp", keyless(), LOGGED), 389),
        (bundled("keyless-no-log", keyless(), STAMPED), 389),
        (bundled("key-logged", by_key(), unproven(BOTH)), 191),
        (bundled("provenance", keyless(), BOTH), 617),
        (bundled("pki-v3", ours_logged(), unproven(BOTH)), 251),
        (older("keyless-v2-timestamp", keyless(), BOTH), 421),
        (older("keyless-v2-no-log", keyless(), STAMPED), 617),
        (older("key-logged-v2", by_key(), unproven(BOTH)), 263),
        (older("provenance-v2", keyless(), LOGGED), 617),
        (older("pki", ours(), Demands::NONE), 107),
        (older("pki-logged", ours_logged(), unproven(BOTH)), 389),
    ];
    let Some(folder) = conformance::folder() else { return all };
    for (name, step) in [
        ("happy-path-v0.1", 617),
        ("happy-path-intoto-in-dsse-v3", 617),
        ("rekor2-happy-path", 617),
        ("rekor2-dsse-happy-path", 617),
    ] {
        let case = conformance::Case::read(&folder, name);
        let trusted = Trusted::Keyless(TrustRoot::parse(&case.root).unwrap());
        let subject = Digest::of(&case.artifact);
        all.push((Good::new(name, Form::Bundle(case.bundle), subject, trusted, LOGGED), step));
    }
    all
}

/// Puts changed bytes back where they were.
type Put = Box<dyn Fn(&[u8]) -> Form>;

/// One thing in a signature that can be changed by itself, and the bytes in it.
struct Part {
    name: String,
    bytes: Vec<u8>,
    put: Put,
}

/// Everything in a signature: the texts as they are, and in them whatever is encoded in base64.
fn parts(form: &Form) -> Vec<Part> {
    match form.clone() {
        Form::Bundle(json) => {
            let inner = encoded(&json, "", Form::Bundle);
            let whole = Part {
                name: "text".to_owned(),
                bytes: json,
                put: Box::new(|bytes| Form::Bundle(bytes.to_vec())),
            };
            std::iter::once(whole).chain(inner).collect()
        }
        Form::Older { payload, annotations, attestation } => {
            let with = {
                let annotations = annotations.clone();
                move |payload: Vec<u8>| Form::Older {
                    payload,
                    annotations: annotations.clone(),
                    attestation,
                }
            };
            let mut parts =
                if attestation { encoded(&payload, "envelope", with.clone()) } else { Vec::new() };
            let whole = payload.clone();
            parts.push(Part {
                name: "payload".into(),
                bytes: whole,
                put: Box::new(move |bytes| with(bytes.to_vec())),
            });
            for (name, text) in annotations.clone() {
                let (payload, annotations, at) =
                    (payload.clone(), annotations.clone(), name.clone());
                let with = move |bytes: Vec<u8>| {
                    let mut annotations = annotations.clone();
                    annotations.insert(at.clone(), String::from_utf8_lossy(&bytes).into_owned());
                    Form::Older { payload: payload.clone(), annotations, attestation }
                };
                parts.extend(encoded(text.as_bytes(), &name, with.clone()));
                parts.push(Part {
                    name,
                    bytes: text.into_bytes(),
                    put: Box::new(move |bytes| with(bytes.to_vec())),
                });
            }
            parts
        }
    }
}

/// What is encoded in a JSON text, in base64 or as a tree head, or in a PEM text.
fn encoded(text: &[u8], name: &str, with: impl Fn(Vec<u8>) -> Form + Clone + 'static) -> Vec<Part> {
    let mut parts = Vec::new();
    if let Ok(json) = serde_json::from_slice::<Value>(text) {
        for pointer in pointers(&json, "") {
            let Some(held) = json.pointer(&pointer).and_then(Value::as_str) else { continue };
            let is_text = pointer.ends_with("/envelope");
            let bytes =
                if is_text { Some(held.as_bytes().to_vec()) } else { STANDARD.decode(held).ok() };
            let Some(bytes) = bytes else { continue };
            let (json, with, at) = (json.clone(), with.clone(), pointer.clone());
            let put = move |bytes: &[u8]| {
                let mut json = json.clone();
                let held = if is_text {
                    String::from_utf8_lossy(bytes).into_owned()
                } else {
                    STANDARD.encode(bytes)
                };
                *json.pointer_mut(&at).unwrap() = held.into();
                with(json.to_string().into_bytes())
            };
            parts.push(Part { name: format!("{name}{pointer}"), bytes, put: Box::new(put) });
        }
        return parts;
    }
    let text = str::from_utf8(text).unwrap().to_owned();
    for (number, block) in text.split("-----BEGIN CERTIFICATE-----").skip(1).enumerate() {
        let body = block.split("-----END").next().unwrap().to_owned();
        let bytes = STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).unwrap();
        let (text, with) = (text.clone(), with.clone());
        let put = move |bytes: &[u8]| {
            with(text.replace(&body, &format!("\n{}\n", STANDARD.encode(bytes))).into_bytes())
        };
        parts.push(Part { name: format!("{name}/{number}"), bytes, put: Box::new(put) });
    }
    parts
}

/// What a signature says, without what nobody signed and nobody reads:
///
/// - white space in JSON and PEM, line breaks in an older signature;
/// - the hints which key to try (`publicKey/hint`, `keyid`);
/// - on a tree head: the names beside the signatures, and witnesses' signatures;
/// - in a timestamp: everything but the stamped statement, the signed attributes and the signature;
/// - in an entry of the log's second version: its log, which no promise binds and which is not
///   shown (the tree head says it), and number, size and root of the tree, which the tree head says
///   as well;
/// - annotations of other names, and a chain where the root already has what is in it.
#[derive(Debug, PartialEq)]
struct Meaning(Vec<Value>);

/// The parts of the original that must be there unchanged wherever they were.
struct Signatures {
    /// Of each timestamp.
    stamps: Vec<[Vec<u8>; 3]>,
    /// Of each tree head: what is signed, and the signatures.
    heads: Vec<(String, Vec<String>)>,
}

impl Meaning {
    fn of(form: &Form, kept: &Signatures) -> Option<Self> {
        match form {
            Form::Bundle(json) => Some(Self(vec![of_json(json, kept)?])),
            Form::Older { payload, annotations, attestation } => {
                let text = |name: &str| annotations.get(name).filter(|text| !text.is_empty());
                let json = |name: &str| text(name).map(|text| of_json(text.as_bytes(), kept));
                let certificate = text("dev.sigstore.cosign/certificate")
                    .map(|pem| STANDARD.encode(&ders(pem)[0]));
                let signature = text("dev.cosignproject.cosign/signature")
                    .map(|text| text.replace(['\r', '\n'], ""));
                let whole = if *attestation {
                    of_json(payload, kept)?
                } else {
                    STANDARD.encode(payload).into()
                };
                Some(Self(vec![
                    whole,
                    certificate.into(),
                    signature.filter(|_| !attestation).into(),
                    json("dev.sigstore.cosign/bundle").unwrap_or(Some(Value::Null))?,
                    json("dev.sigstore.cosign/rfc3161timestamp").unwrap_or(Some(Value::Null))?,
                ]))
            }
        }
    }
}

/// The certificates in a PEM text.
fn ders(pem: &str) -> Vec<Vec<u8>> {
    let blocks = pem.split("-----BEGIN CERTIFICATE-----").skip(1);
    blocks
        .map(|b| {
            STANDARD
                .decode(
                    b.split("-----END")
                        .next()
                        .unwrap()
                        .split_ascii_whitespace()
                        .collect::<String>(),
                )
                .unwrap()
        })
        .collect()
}

fn of_json(text: &[u8], kept: &Signatures) -> Option<Value> {
    let mut value: Value = serde_json::from_slice(text).ok()?;
    for pointer in pointers(&value.clone(), "") {
        let second = pointer
            .find("/inclusionProof/")
            .or_else(|| pointer.find("/logId/"))
            .is_some_and(|at| {
                let version = value.pointer(&format!("{}/kindVersion", &pointer[..at]));
                version == Some(&serde_json::json!({"kind": "hashedrekord", "version": "0.0.2"}))
            });
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let hint = matches!(name, "hint" | "keyid")
            && value.pointer(&pointer).is_some_and(Value::is_string);
        if hint || (second && ["keyId", "logIndex", "rootHash", "treeSize"].contains(&name)) {
            value.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
        }
        let Some(held) = value.pointer_mut(&pointer) else { continue };
        match (name, held.as_str()) {
            ("signedTimestamp" | "SignedRFC3161Timestamp", Some(text)) => {
                let token = STANDARD.decode(text).ok()?;
                let whole =
                    |pieces: &&[Vec<u8>; 3]| pieces.iter().all(|piece| contains(&token, piece));
                if let Some(number) = kept.stamps.iter().position(|pieces| whole(&pieces)) {
                    *held = number.into();
                }
            }
            ("envelope", Some(text)) => {
                let whole = |(signed, signatures): &(String, Vec<String>)| {
                    text.starts_with(signed)
                        && signatures.iter().any(|signature| text.contains(signature))
                };
                if let Some(number) = kept.heads.iter().position(whole) {
                    *held = number.into();
                }
            }
            (_, _) => {}
        }
    }
    Some(value)
}

fn contains(whole: &[u8], piece: &[u8]) -> bool {
    whole.windows(piece.len()).any(|window| window == piece)
}

impl Signatures {
    fn of(form: &Form) -> Self {
        let mut kept = Self { stamps: Vec::new(), heads: Vec::new() };
        for part in parts(form) {
            if part.name.to_ascii_lowercase().ends_with("timestamp")
                && part.name.contains("3161")
                && part.bytes[0] == 0x30
            {
                kept.stamps.push(pieces(&part.bytes));
            }
            if part.name.ends_with("checkpoint/envelope") {
                let text = String::from_utf8(part.bytes).unwrap();
                let (signed, signatures) = text.split_once("\n\n").unwrap();
                let signatures = signatures
                    .lines()
                    .map(|line| line.rsplit(' ').next().unwrap().to_owned())
                    .collect();
                kept.heads.push((format!("{signed}\n\n"), signatures));
            }
        }
        kept
    }
}

/// The stamped statement, the signed attributes and the signature of a timestamp (RFC 3161 section
/// 2.4.2, RFC 5652 section 5.1).
fn pieces(token: &[u8]) -> [Vec<u8>; 3] {
    let response = items(&items(token)[0].1);
    let content = items(&response.last().unwrap().1);
    let signed_data = items(&items(&content[1].1)[0].1);
    let encapsulated = items(&signed_data[2].1);
    let stamped = items(&encapsulated[1].1)[0].1.clone();
    let signers = items(&signed_data.last().unwrap().1);
    let signer = items(&signers[0].1);
    let attributes = signer.iter().find(|(tag, _)| *tag == 0xa0).unwrap().1.clone();
    let signature = signer.iter().rfind(|(tag, _)| *tag == 0x04).unwrap().1.clone();
    [stamped, attributes, signature]
}

/// The DER elements one after another: tag and content.
fn items(mut der: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut items = Vec::new();
    while let [tag, length, rest @ ..] = der {
        let (length, rest) = match length {
            0x81 => (rest[0] as usize, &rest[1..]),
            0x82 => (rest[0] as usize * 256 + rest[1] as usize, &rest[2..]),
            short => (*short as usize, rest),
        };
        items.push((*tag, rest[..length].to_vec()));
        der = &rest[length..];
    }
    items
}

/// How often something that was changed was accepted, all the same.
#[derive(Default)]
struct Tally {
    changed: usize,
    meaningless: usize,
    less: usize,
}

impl Good {
    /// Whatever is accepted means the same, and proves the same.
    fn check(&self, kept: &Signatures, changed: &Form, what: &str, tally: &mut Tally) {
        tally.changed += 1;
        let Ok(signed) = self.judge(changed) else { return };
        let meaning = |form: &Form| Meaning::of(form, kept).unwrap();
        assert_eq!(meaning(changed), meaning(&self.form), "{}: {what}", self.name);
        assert_eq!(signed, self.proven, "{}: {what}", self.name);
        tally.meaningless += 1;
    }

    /// Whether nothing is proven that was not before.
    fn is_no_more(&self, signed: &Signed) -> bool {
        let entries = |signed: &Signed| {
            signed.entries().iter().map(|entry| entry.log.clone()).collect::<Vec<_>>()
        };
        let index = |(now, then): (&sealgate::verify::LogEntry, &sealgate::verify::LogEntry)| {
            now.index.is_none() || now.index == then.index
        };
        signed.signer() == self.proven.signer()
            && signed.digest() == self.proven.digest()
            && signed.statement() == self.proven.statement()
            && signed.times().iter().all(|time| self.proven.times().contains(time))
            && entries(signed).iter().all(|log| entries(&self.proven).contains(log))
            && signed.entries().iter().zip(self.proven.entries()).all(index)
    }
}

/// Bits turned over and cuts, in everything that is in a signature.
#[test]
fn attack_b3_every_part_of_signatures_with_evidence() {
    let mut tally = Tally::default();
    for (good, step) in ALL.iter() {
        let kept = Signatures::of(&good.form);
        for (number, part) in parts(&good.form).into_iter().enumerate() {
            // Each part begins elsewhere, so that the cases reach what the others leave out.
            for bit in (number % step..part.bytes.len() * 8).step_by(*step) {
                let mut bytes = part.bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                good.check(
                    &kept,
                    &(part.put)(&bytes),
                    &format!("{} bit {bit}", part.name),
                    &mut tally,
                );
            }
            for at in (number % step..part.bytes.len()).step_by(step * 2) {
                good.check(
                    &kept,
                    &(part.put)(&part.bytes[..at]),
                    &format!("{} cut at {at}", part.name),
                    &mut tally,
                );
                let without = [&part.bytes[..at], &part.bytes[at + 1..]].concat();
                good.check(
                    &kept,
                    &(part.put)(&without),
                    &format!("{} without {at}", part.name),
                    &mut tally,
                );
                let twice = [&part.bytes[..=at], &part.bytes[at..]].concat();
                good.check(
                    &kept,
                    &(part.put)(&twice),
                    &format!("{} twice {at}", part.name),
                    &mut tally,
                );
            }
        }
    }
    println!("{} changed, {} of them without meaning", tally.changed, tally.meaningless);
    assert!(
        tally.changed > 310 * ALL.len() && tally.meaningless * 4 < tally.changed,
        "{} {}",
        tally.changed,
        tally.meaningless
    );
}

/// Proofs that are not asked for: each that is changed counts for nothing, or as before, or
/// refuses; never for anything else (attack C1).
#[test]
fn attack_b3_surplus_proofs_that_are_changed_prove_less_or_the_same() {
    let keyless = || Trusted::Keyless(root("local"));
    let unasked = Demands { log_entries: 0, timestamps: 0, sct: true };
    let mut less = 0;
    for good in [
        bundled("keyless", keyless(), LOGGED),
        bundled("keyless", keyless(), STAMPED),
        bundled(
            "key-logged",
            Trusted::Key(key("build"), root("local")),
            Demands { sct: false, ..unasked },
        ),
        older("keyless-v2-timestamp", keyless(), unasked),
        older(
            "pki-logged",
            Trusted::Authority(pki("root.pem", &[]), Some(root("local"))),
            Demands::NONE,
        ),
    ] {
        for (number, part) in parts(&good.form).into_iter().enumerate() {
            for bit in (number..part.bytes.len() * 8).step_by(331) {
                let mut bytes = part.bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let Ok(signed) = good.judge(&(part.put)(&bytes)) else { continue };
                assert!(good.is_no_more(&signed), "{}: {} bit {bit}", good.name, part.name);
                less += usize::from(signed != good.proven);
            }
        }
    }
    assert!(less > 20, "{less}");
}

/// What may be missing: with it gone less is proven, or the same.
const EVIDENCE: [&str; 8] = [
    "messageDigest",
    "inclusionPromise",
    "inclusionProof",
    "timestampVerificationData",
    "rfc3161Timestamps",
    "dev.sigstore.cosign/bundle",
    "dev.sigstore.cosign/rfc3161timestamp",
    "0",
];

/// Every member of every JSON text: taken out, of another type, empty, and there twice.
#[test]
fn attack_b3_every_field_of_signatures_with_evidence() {
    let mut tally = Tally::default();
    for (good, _) in ALL.iter() {
        let kept = Signatures::of(&good.form);
        for part in parts(&good.form).into_iter().filter(|part| part.bytes.first() == Some(&b'{')) {
            let whole: Value = serde_json::from_slice(&part.bytes).unwrap();
            for pointer in pointers(&whole, "") {
                for (number, text) in edited(&whole, &pointer).into_iter().enumerate() {
                    let what = format!("{}{pointer} change {number}", part.name);
                    let form = (part.put)(text.as_bytes());
                    let may_lack =
                        EVIDENCE.iter().any(|name| pointer.ends_with(&format!("/{name}")));
                    match good.judge(&form) {
                        Ok(signed) if may_lack && signed != good.proven => {
                            assert!(good.is_no_more(&signed), "{}: {what}", good.name);
                            tally.less += 1;
                        }
                        Ok(_) if may_lack => tally.less += 1,
                        Ok(_) | Err(_) => good.check(&kept, &form, &what, &mut tally),
                    }
                }
            }
        }
    }
    println!(
        "{} changed, {} without meaning, {} with less evidence",
        tally.changed, tally.meaningless, tally.less
    );
    assert!(tally.changed > 2000 && tally.less < 100, "{} {}", tally.changed, tally.less);
}

/// What a JSON text is with one member changed.
fn edited(whole: &Value, pointer: &str) -> Vec<String> {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let change = |to: Option<Value>| {
        let mut changed = whole.clone();
        match (changed.pointer_mut(parent).unwrap(), to) {
            (Value::Object(object), Some(to)) => drop(object.insert(field.to_owned(), to)),
            (Value::Object(object), None) => drop(object.remove(field)),
            (Value::Array(array), Some(to)) => array[field.parse::<usize>().unwrap()] = to,
            (Value::Array(array), None) => drop(array.remove(field.parse().unwrap())),
            _ => unreachable!(),
        }
        changed.to_string()
    };
    let others = [Value::Null, "x".into(), serde_json::json!({}), 1.into()];
    let old = whole.pointer(pointer).unwrap();
    let others = others.into_iter().filter(|other| other != old).map(|other| change(Some(other)));
    let mut all: Vec<_> = std::iter::once(change(None)).chain(others).collect();
    if matches!(whole.pointer(parent).unwrap(), Value::Object(_)) {
        // Once more, as itself and as nothing, before and after.
        let member = format!("{}:{old}", Value::from(field));
        for twice in [format!("{member},{member}"), format!("{}:null,{member}", Value::from(field))]
        {
            let text = whole.to_string();
            all.push(text.replacen(&member, &twice, 1));
        }
    }
    all
}

static ALL: LazyLock<Vec<(Good, usize)>> = LazyLock::new(all);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn attack_b3_edited_signatures_with_evidence(which in any::<usize>(), at in any::<usize>(), edits in edits()) {
        let (good, _) = &ALL[which % ALL.len()];
        let mut parts = parts(&good.form);
        let part = parts.remove(at % parts.len());
        let form = (part.put)(&changed(&part.bytes, &edits));
        good.check(&Signatures::of(&good.form), &form, &part.name, &mut Tally::default());
    }
}

/// A chain that is needed: each certificate of it counts.
#[test]
fn attack_c1_a_chain_that_is_needed() {
    let alone =
        Authority::parse(&[&std::fs::read(fixtures::pki_path("root.pem")).unwrap()], &[], &[])
            .unwrap();
    let good = older("pki", Trusted::Authority(alone, None), Demands::NONE);
    let mut parts = parts(&good.form);
    let part = parts.remove(parts.iter().position(|part| part.name.ends_with("chain/0")).unwrap());
    for bit in (0..part.bytes.len() * 8).step_by(7) {
        let mut bytes = part.bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(good.judge(&(part.put)(&bytes)).is_err(), "bit {bit}");
    }
}
