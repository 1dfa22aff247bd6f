//! Keys, signatures, evidence and policies for the tests of this room.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sigstore_crypto::KeyPair;

use crate::evidence::{
    Content, Evidence, Format, Item, Name, Origin, Outcome, Place, Pod, Source, Subject,
};
use crate::image::{Digest, Reference, Repository};
use crate::policy::{
    Case, Denial, Documents, Permit, PolicyError, PolicyFault, PolicyFile, PolicySet, Sifted,
    Unmatched, Verdict,
};
use crate::verify::{PublicKey, VerificationCache};

/// The repository that most cases are about.
pub(super) const REPOSITORY: &str = "reg.test/prod/app";

/// When everything is judged.
pub(super) fn now() -> jiff::Timestamp {
    jiff::Timestamp::UNIX_EPOCH
}

/// A key pair that was made for this test.
pub(super) struct Signer(KeyPair);

impl Signer {
    pub(super) fn new() -> Self {
        Self(KeyPair::generate_ecdsa_p256().unwrap())
    }

    pub(super) fn public(&self) -> PublicKey {
        PublicKey::parse_pem(self.pem().as_bytes()).unwrap()
    }

    /// The public key, as cosign writes it.
    pub(super) fn pem(&self) -> String {
        self.0.public_key_der().unwrap().to_pem()
    }

    /// A signature of the older form by this key over a digest, that names an image.
    pub(super) fn signs(&self, digest: &Digest, reference: &str) -> Item {
        let payload = serde_json::json!({
            "critical": {
                "identity": {"docker-reference": reference},
                "image": {"docker-manifest-digest": digest.as_str()},
                "type": "cosign container image signature",
            },
            "optional": null,
        });
        let payload = payload.to_string().into_bytes();
        let signature = STANDARD.encode(self.0.sign(&payload).unwrap().as_bytes());
        let annotations =
            BTreeMap::from([("dev.cosignproject.cosign/signature".to_owned(), signature)]);
        let digest_of_layer = Digest::of(&payload);
        let content = Content::new(Format::SimpleSigning, payload.into(), annotations);
        Item { place: place(digest, Source::SignatureTag), digest: digest_of_layer, content }
    }

    /// An attestation by this key about a digest.
    pub(super) fn attests(
        &self,
        digest: &Digest,
        predicate_type: &str,
        predicate: &serde_json::Value,
    ) -> Item {
        self.attests_text(digest, predicate_type, &predicate.to_string())
    }

    /// The same with a predicate as it is written.
    pub(super) fn attests_text(
        &self,
        digest: &Digest,
        predicate_type: &str,
        predicate: &str,
    ) -> Item {
        let payload_type = "application/vnd.in-toto+json";
        let subject = serde_json::json!([{"name": "image", "digest": {"sha256": digest.hex()}}]);
        let statement = format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","subject":{subject},"predicateType":"{predicate_type}","predicate":{predicate}}}"#
        );
        let statement = statement.into_bytes();
        let signature = self.0.sign(&sigstore_types::pae(payload_type, &statement)).unwrap();
        let bundle = serde_json::json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {"hint": "x"}},
            "dsseEnvelope": {
                "payload": STANDARD.encode(&statement),
                "payloadType": payload_type,
                "signatures": [{"sig": STANDARD.encode(signature.as_bytes())}],
            },
        });
        let bytes = bundle.to_string().into_bytes();
        let place = place(digest, Source::Referrers);
        Item {
            place,
            digest: Digest::of(&bytes),
            content: Content::new(Format::Bundle, bytes.into(), BTreeMap::new()),
        }
    }

    /// A bundle by this key over a digest: a message signature, which names no image.
    pub(super) fn bundles(&self, digest: &Digest) -> Item {
        let raw: [u8; 32] = hex::decode(digest.hex()).unwrap().try_into().unwrap();
        let hash = sigstore_types::Sha256Hash::new(raw);
        let signature = STANDARD.encode(self.0.sign_digest(&hash).unwrap().as_bytes());
        let bundle = serde_json::json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {"hint": "x"}},
            "messageSignature": {
                "messageDigest": {"algorithm": "SHA2_256", "digest": STANDARD.encode(raw)},
                "signature": signature,
            },
        });
        let bytes = bundle.to_string().into_bytes();
        let place = place(digest, Source::Referrers);
        Item {
            place,
            digest: Digest::of(&bytes),
            content: Content::new(Format::Bundle, bytes.into(), BTreeMap::new()),
        }
    }
}

pub(super) fn place(subject: &Digest, source: Source) -> Place {
    Place { repository: Repository::parse(REPOSITORY).unwrap(), subject: subject.clone(), source }
}

/// What was found about a digest when every place was looked in.
pub(super) fn found(digest: &Digest, items: Vec<Item>) -> Evidence {
    let outcome = if items.is_empty() { Outcome::Absent } else { Outcome::Found(items.len()) };
    looked(digest, items, outcome)
}

/// What was found, with what the `.sig` tag came to.
pub(super) fn looked(digest: &Digest, items: Vec<Item>, outcome: Outcome) -> Evidence {
    let looked = vec![
        (place(digest, Source::Referrers), Outcome::Absent),
        (place(digest, Source::SignatureTag), outcome),
    ];
    Evidence { items, looked, carriers: vec![] }
}

pub(super) fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

pub(super) fn subject(name: &str, target: &Digest) -> Subject {
    let name = Name::Known(Reference::parse(name).unwrap());
    Subject { name, target: target.clone(), child: None, origin: Origin::Registry }
}

/// A document about everything under `reg.test`, with this `require`.
pub(super) fn policy(require: &str) -> String {
    named("test", r#"["reg.test/**"]"#, require)
}

pub(super) fn named(name: &str, images: &str, require: &str) -> String {
    format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: {name}}}\nspec: {{images: \
         {images}, require: {require}}}\n"
    )
}

pub(super) fn file(text: &str) -> PolicyFile {
    PolicyFile { name: "test.yaml".to_owned(), bytes: text.as_bytes().to_vec() }
}

/// A set of one file.
pub(super) fn set(text: &str, keys: &[(&str, &Signer)]) -> PolicySet {
    set_with(text, keys, Unmatched::Deny)
}

pub(super) fn set_with(text: &str, keys: &[(&str, &Signer)], unmatched: Unmatched) -> PolicySet {
    let documents =
        Documents::parse(&[file(text)]).unwrap_or_else(|errors| panic!("{errors:#?}\n{text}"));
    let keys = keys.iter().map(|(name, key)| ((*name).to_owned(), key.public())).collect();
    PolicySet::build(documents, keys, unmatched).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

/// The faults of one file, with their lines and fields.
pub(super) fn faults(text: &str) -> Vec<(u64, String, PolicyFault)> {
    told(Documents::parse(&[file(text)]).map(|_| ()))
}

/// The faults that show once the keys are there.
pub(super) fn build_faults(
    text: &str,
    keys: &[(&str, &Signer)],
) -> Vec<(u64, String, PolicyFault)> {
    let documents = Documents::parse(&[file(text)]).unwrap();
    let keys = keys.iter().map(|(name, key)| ((*name).to_owned(), key.public())).collect();
    told(PolicySet::build(documents, keys, Unmatched::Deny).map(|_| ()))
}

pub(super) fn told(result: Result<(), Vec<PolicyError>>) -> Vec<(u64, String, PolicyFault)> {
    let errors = result.err().unwrap_or_default();
    errors.into_iter().map(|e| (e.position.map_or(0, |p| p.line), e.field, e.fault)).collect()
}

pub(super) fn judge(set: &PolicySet, subject: &Subject, evidence: &[&Evidence]) -> Verdict {
    judge_in(set, subject, &Pod::default(), evidence)
}

pub(super) fn judge_in(
    set: &PolicySet,
    subject: &Subject,
    pod: &Pod,
    evidence: &[&Evidence],
) -> Verdict {
    let applicable = set.applicable(&subject.name, pod);
    let proofs = VerificationCache::default();
    set.judge(&Case { subject, applicable: &applicable, evidence, now: now(), proofs: &proofs })
}

pub(super) fn permitted(verdict: Verdict) -> Permit {
    match verdict {
        Verdict::Permit(permit) => permit,
        Verdict::Denial(denial) => panic!("denied: {denial}"),
    }
}

pub(super) fn denied(verdict: Verdict) -> Denial {
    match verdict {
        Verdict::Permit(permit) => panic!("permitted: {:?}", permit.report()),
        Verdict::Denial(denial) => denial,
    }
}

pub(super) fn assert_permitted(verdict: Verdict) {
    let _ = permitted(verdict);
}

pub(super) fn assert_denied(verdict: Verdict) {
    let _ = denied(verdict);
}

pub(super) fn in_namespace(namespace: &str) -> Pod {
    Pod { namespace: Some(namespace.to_owned()), ..Pod::default() }
}

/// Judges with so many signature checks, and says what helps.
pub(super) fn sift(
    set: &PolicySet,
    subject: &Subject,
    evidence: &[&Evidence],
    checks: u32,
) -> Sifted {
    let (applicable, proofs) =
        (set.applicable(&subject.name, &Pod::default()), VerificationCache::default());
    set.sift(
        &Case { subject, applicable: &applicable, evidence, now: now(), proofs: &proofs },
        checks,
    )
}
