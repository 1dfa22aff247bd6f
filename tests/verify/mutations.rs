//! Attack B3 by force: whatever is changed in something signed, nothing that means anything else is
//! accepted, and nothing panics.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use sealgate::image::{Digest, Document, ImageConfig};
use sealgate::verify::{Budget, PublicKey, Untrusted};
use serde_json::Value;

use crate::signing::SIGNATURE;
use crate::{digest, fixtures, key};

/// A repository, the key of its signatures, and the step with which its bits and characters are
/// walked: the key that every cosign user has in full, the slower kinds in steps that reach every
/// byte and every bit of a byte.
const SIGNED: [(&str, &str, usize); 4] = [
    ("signed-both", "build", 1),
    ("key-p384", "p384", 7),
    ("key-rsa", "rsa", 7),
    ("key-ed25519", "ed25519", 7),
];

/// What the edits are applied to.
static BUILD: LazyLock<Good> = LazyLock::new(|| Good::load("signed-both", "build"));

/// A good older signature, a good bundle, and what they are good for.
struct Good {
    subject: Digest,
    key: PublicKey,
    payload: Vec<u8>,
    annotations: BTreeMap<String, String>,
    bundle: Vec<u8>,
}

impl Good {
    fn load(situation: &str, name: &str) -> Self {
        let repository = fixtures::prod(situation);
        let subject = repository.tags["v1"].clone();
        let (payload, annotations) = repository.signatures(&subject).remove(0);
        let bundle = repository.bundles(&subject).remove(0);
        let good = Self { subject: digest(&subject), key: key(name), payload, annotations, bundle };
        assert!(
            good.payload_holds(&good.payload, &good.annotations) && good.bundle_holds(&good.bundle)
        );
        good
    }

    fn payload_holds(&self, payload: &[u8], annotations: &BTreeMap<String, String>) -> bool {
        let read = Untrusted::simple_signing(payload, annotations);
        read.is_ok_and(|untrusted| {
            untrusted.verify(&self.subject, &self.key, &mut Budget::default()).is_ok()
        })
    }

    fn bundle_holds(&self, bundle: &[u8]) -> bool {
        let read = Untrusted::bundle(bundle);
        read.is_ok_and(|untrusted| {
            untrusted.verify(&self.subject, &self.key, &mut Budget::default()).is_ok()
        })
    }

    /// The bundle without the two things in it that nobody signed and nobody reads: white space and
    /// the hint.
    fn meaning(bundle: &[u8]) -> Value {
        let mut bundle: Value = serde_json::from_slice(bundle).unwrap();
        bundle["verificationMaterial"]["publicKey"]["hint"] = Value::Null;
        bundle
    }

    /// A changed bundle that is accepted must mean the same.
    fn check_bundle(&self, changed: &[u8]) {
        if self.bundle_holds(changed) {
            assert_eq!(
                Self::meaning(changed),
                Self::meaning(&self.bundle),
                "{}",
                String::from_utf8_lossy(changed)
            );
        }
    }
}

#[test]
fn attack_b3_every_bit_of_a_payload() {
    for (situation, name, step) in SIGNED {
        let good = Good::load(situation, name);
        for bit in (0..good.payload.len() * 8).step_by(step) {
            let mut changed = good.payload.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!good.payload_holds(&changed, &good.annotations), "{name}: bit {bit}");
        }
        for length in 0..good.payload.len() {
            assert!(
                !good.payload_holds(&good.payload[..length], &good.annotations),
                "{name}: cut at {length}"
            );
        }
    }
}

#[test]
fn attack_b3_every_character_of_a_signature() {
    for (situation, name, step) in SIGNED {
        let good = Good::load(situation, name);
        let signature = good.annotations[SIGNATURE].clone();
        for at in 0..signature.len() {
            let others =
                ["A", "B", "Q", "g", "w", "8", "+", "/", "=", "-", "_", " ", "\n", "\0", ""];
            for to in others.into_iter().skip(at % step).step_by(step) {
                let changed = format!("{}{to}{}", &signature[..at], &signature[at + 1..]);
                if changed == signature {
                    continue;
                }
                let annotations = BTreeMap::from([(SIGNATURE.to_owned(), changed)]);
                assert!(!good.payload_holds(&good.payload, &annotations), "{name}: {to:?} at {at}");
            }
        }
    }
}

#[test]
fn attack_b3_every_bit_of_a_bundle() {
    for (situation, name, step) in SIGNED {
        let good = Good::load(situation, name);
        for bit in (0..good.bundle.len() * 8).step_by(step) {
            let mut changed = good.bundle.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            good.check_bundle(&changed);
        }
        for length in 0..good.bundle.len() {
            assert!(!good.bundle_holds(&good.bundle[..length]), "{name}: cut at {length}");
        }
    }
}

/// Every member of the bundle taken out, set to null, to a string, and put in twice.
#[test]
fn attack_b3_every_field_of_a_bundle() {
    let good = Good::load("signed-both", "build");
    let whole: Value = serde_json::from_slice(&good.bundle).unwrap();
    let mut seen = 0;
    for pointer in pointers(&whole, "") {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let change = |to: Option<Value>| {
            let mut changed = whole.clone();
            match (changed.pointer_mut(parent).unwrap(), to) {
                (Value::Object(object), Some(to)) => drop(object.insert(field.to_owned(), to)),
                (Value::Object(object), None) => drop(object.remove(field)),
                (Value::Array(array), Some(to)) => array[0] = to,
                (Value::Array(array), None) => array.clear(),
                _ => unreachable!(),
            }
            changed.to_string()
        };
        for to in
            [None, Some(Value::Null), Some("x".into()), Some(Value::Array(vec![])), Some(1.into())]
        {
            let changed = change(to);
            assert!(
                !good.bundle_holds(changed.as_bytes()) || field == "hint",
                "{pointer}: {changed}"
            );
            seen += 1;
        }
        let twice = String::from_utf8(good.bundle.clone()).unwrap();
        let twice =
            twice.replace(&format!("\"{field}\":"), &format!("\"{field}\":null,\"{field}\":"));
        assert!(
            !good.bundle_holds(twice.as_bytes()) || parent.ends_with("signatures"),
            "{pointer} twice"
        );
    }
    assert!(seen >= 50, "{seen}");
}

pub(crate) fn pointers(value: &Value, at: &str) -> Vec<String> {
    let members: Vec<(String, &Value)> = match value {
        Value::Object(object) => {
            object.iter().map(|(key, value)| (format!("{at}/{key}"), value)).collect()
        }
        Value::Array(array) => {
            array.iter().enumerate().map(|(n, value)| (format!("{at}/{n}"), value)).collect()
        }
        _ => Vec::new(),
    };
    members
        .iter()
        .flat_map(|(path, value)| [vec![path.clone()], pointers(value, path)].concat())
        .collect()
}

/// Cuts, insertions, repetitions and replaced bytes.
pub(crate) fn changed(bytes: &[u8], edits: &[(usize, usize, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (from, length, with) in edits {
        let from = from % (bytes.len() + 1);
        let to = (from + length).min(bytes.len());
        bytes.splice(from..to, with.iter().copied());
    }
    bytes
}

pub(crate) fn edits() -> impl Strategy<Value = Vec<(usize, usize, Vec<u8>)>> {
    let json = prop::sample::select(&b" \n\"{}[],:\\0129abcdefXYZ=+/\xff\x00"[..]);
    let with =
        prop_oneof![prop::collection::vec(json, 0..6), prop::collection::vec(any::<u8>(), 0..3)];
    prop::collection::vec((any::<usize>(), 0usize..8, with), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn attack_b3_edited_bundles(edits in edits()) {
        let good = &*BUILD;
        good.check_bundle(&changed(&good.bundle, &edits));
    }

    #[test]
    fn attack_b3_edited_payloads(edits in edits()) {
        let good = &*BUILD;
        let payload = changed(&good.payload, &edits);
        prop_assert!(payload == good.payload || !good.payload_holds(&payload, &good.annotations));
    }

    #[test]
    fn edited_keys_are_other_keys_or_none(edits in edits()) {
        let file = fixtures::key("build");
        let good = PublicKey::parse_pem(&file).unwrap();
        let edited = changed(&file, &edits);
        if let Ok(key) = PublicKey::parse_pem(&edited) {
            let der = |file: &[u8]| {
                let text = String::from_utf8_lossy(file);
                let body = text.split_once("KEY-----").unwrap().1.split_once("-----END").unwrap().0.to_owned();
                body.split_ascii_whitespace().collect::<String>()
            };
            prop_assert_eq!(key.id() == good.id(), der(&edited) == der(&file));
        }
    }

    #[test]
    fn edited_documents_do_not_panic(edits in edits()) {
        let repository = fixtures::prod("index-v2");
        for bytes in repository.manifests.values().map(|(_, bytes)| bytes).chain(repository.blobs.values()) {
            let edited = changed(bytes, &edits);
            let _ = (Document::parse(&edited), ImageConfig::parse(&edited));
        }
    }
}
