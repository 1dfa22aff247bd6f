//! Log entries beside a signature: refused where they are about something else (attack B1).
//!
//! Without a trust root an entry proves nothing, and a bundle without one is as good. But a bundle whose entry is of
//! another content, or holds another signature, was put together by someone, and is not accepted.

use serde_json::Value;
use sigstore_types::{DsseEnvelope, KindVersion, MessageSignature, SignatureContent, TransparencyLogEntry, pae};

use super::Fault;
use super::simple::fault;
use super::untrusted::BUNDLE_MAX;
use crate::image::json::{self, Limits};

const LIMITS: Limits = Limits { bytes: BUNDLE_MAX, depth: 16, values: 1024, data_maps: &[] };

/// Whether an entry can be about this content: its kind fits, and so do the digest and the signature in it.
pub(super) fn agrees(entry: &TransparencyLogEntry, content: &SignatureContent) -> Result<(), Fault> {
    let body = json::parse(entry.canonicalized_body.as_bytes(), LIMITS).map_err(fault)?;
    let kind = entry.kind_version;
    let named = |field: &str| body.get(field).and_then(Value::as_str);
    if named("kind") != Some(kind.kind()) || named("apiVersion") != Some(kind.version()) {
        return Err(Fault::OtherLogEntry);
    }
    let agrees = match (kind, content) {
        (KindVersion::HashedRekordV001, content) => hashed_v1(&body, content),
        (KindVersion::HashedRekordV002, content) => hashed_v2(&body, content),
        (KindVersion::DsseV001, SignatureContent::DsseEnvelope(envelope)) => dsse(&body, envelope),
        (KindVersion::IntotoV002, SignatureContent::DsseEnvelope(envelope)) => intoto(&body, envelope),
        _ => Some(false),
    };
    if agrees == Some(true) { Ok(()) } else { Err(Fault::OtherLogEntry) }
}

/// What a hashedrekord entry of this content holds: the signature, and what was hashed.
struct Hashed {
    signature: String,
    signed: Signed,
}

enum Signed {
    /// The signed bytes.
    Bytes(Vec<u8>),
    /// What the bundle says of them: a digest, or nothing.
    Digest(Option<sigstore_types::MessageDigest>),
}

impl Hashed {
    fn of(content: &SignatureContent) -> Option<Self> {
        match content {
            SignatureContent::DsseEnvelope(DsseEnvelope { payload_type, payload, signature, .. }) => Some(Self {
                signature: signature.sig.to_base64(),
                signed: Signed::Bytes(pae(payload_type, payload.as_bytes())),
            }),
            SignatureContent::MessageSignature(MessageSignature { message_digest, signature, .. }) => {
                Some(Self { signature: signature.to_base64(), signed: Signed::Digest(message_digest.clone()) })
            }
            _ => None,
        }
    }

    /// Whether an entry with this signature over this digest can be of this content. A digest under another algorithm
    /// than the bundle's cannot be compared (Ed25519ph is logged with SHA-512); the signature always can.
    fn fits(&self, signature: &str, algorithm: &str, digest: &[u8]) -> bool {
        use sha2::{Digest as _, Sha256, Sha384, Sha512};
        use sigstore_types::HashAlgorithm::{Sha2256, Sha2384, Sha2512};
        let same_digest = match (&self.signed, algorithm) {
            (Signed::Bytes(bytes), "sha256") => Sha256::digest(bytes).as_slice() == digest,
            (Signed::Bytes(bytes), "sha384") => Sha384::digest(bytes).as_slice() == digest,
            (Signed::Bytes(bytes), "sha512") => Sha512::digest(bytes).as_slice() == digest,
            (Signed::Digest(Some(said)), "sha256") if said.algorithm == Sha2256 => said.digest.as_bytes() == digest,
            (Signed::Digest(Some(said)), "sha384") if said.algorithm == Sha2384 => said.digest.as_bytes() == digest,
            (Signed::Digest(Some(said)), "sha512") if said.algorithm == Sha2512 => said.digest.as_bytes() == digest,
            (Signed::Digest(_), "sha256" | "sha384" | "sha512") => true,
            (Signed::Bytes(_) | Signed::Digest(_), _) => false,
        };
        same_digest && signature == self.signature
    }
}

fn hashed_v1(body: &Value, content: &SignatureContent) -> Option<bool> {
    let hashed = Hashed::of(content)?;
    let algorithm = body.pointer("/spec/data/hash/algorithm")?.as_str()?;
    let digest = hex::decode(body.pointer("/spec/data/hash/value")?.as_str()?).ok()?;
    let signature = body.pointer("/spec/signature/content")?.as_str()?;
    Some(hashed.fits(signature, algorithm, &digest))
}

fn hashed_v2(body: &Value, content: &SignatureContent) -> Option<bool> {
    let hashed = Hashed::of(content)?;
    let spec = body.pointer("/spec/hashedRekordV002")?;
    let algorithm = match spec.pointer("/data/algorithm")?.as_str()? {
        "SHA2_256" => "sha256",
        "SHA2_384" => "sha384",
        "SHA2_512" => "sha512",
        _ => return None,
    };
    let digest = base64(spec.pointer("/data/digest")?.as_str()?)?;
    let signature = spec.pointer("/signature/content")?.as_str()?;
    Some(hashed.fits(signature, algorithm, &digest))
}

fn dsse(body: &Value, envelope: &DsseEnvelope) -> Option<bool> {
    let payload = body.pointer("/spec/payloadHash/value")?.as_str()?;
    let signatures = body.pointer("/spec/signatures")?.as_array()?;
    let [signature] = signatures.as_slice() else { return None };
    let signature = signature.get("signature")?.as_str()?;
    Some(signature == envelope.signature.sig.to_base64() && payload == sha256_hex(envelope.payload.as_bytes()))
}

/// Here the signature is encoded twice.
fn intoto(body: &Value, envelope: &DsseEnvelope) -> Option<bool> {
    let payload = body.pointer("/spec/content/payloadHash/value")?.as_str()?;
    let signatures = body.pointer("/spec/content/envelope/signatures")?.as_array()?;
    let [signature] = signatures.as_slice() else { return None };
    let signature = base64(signature.get("sig")?.as_str()?)?;
    let same = signature == envelope.signature.sig.to_base64().into_bytes();
    Some(same && payload == sha256_hex(envelope.payload.as_bytes()))
}

fn base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

fn sha256_hex(bytes: &[u8]) -> String {
    crate::image::Digest::of(bytes).hex().to_owned()
}
