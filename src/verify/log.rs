//! Log entries beside a signature: refused where they are about something else (attack B1).
//!
//! Without a trust root an entry proves nothing, and a bundle without one is as good. But a bundle whose entry is of
//! another content, or holds another signature, was put together by someone, and is not accepted ([`agrees`]). Where an
//! entry is to prove something, it must also name the key or the certificate, and hold the digest ([`is_by`]).

use serde_json::Value;
use sigstore_types::{DerCertificate, DerPublicKey};
use sigstore_types::{DsseEnvelope, KindVersion, MessageSignature, SignatureContent, TransparencyLogEntry, pae};
use x509_cert::der::Encode as _;

use super::Fault;
use super::crypto::Message;
use super::leaf;
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

/// Who an entry must be by.
#[derive(Clone, Copy)]
pub(super) enum By<'b> {
    /// The holder of the key with this SubjectPublicKeyInfo.
    Key(&'b [u8]),
    /// The holder of this certificate, DER.
    Certificate(&'b [u8]),
}

/// Whether an entry, of which [`agrees`] holds, is of a signature by this key or certificate over this message.
pub(super) fn is_by(entry: &TransparencyLogEntry, by: By<'_>, message: Message<'_>) -> Result<(), Fault> {
    let body = json::parse(entry.canonicalized_body.as_bytes(), LIMITS).map_err(fault)?;
    let by_them = verifier(entry.kind_version, &body).is_some_and(|logged| match by {
        By::Key(spki) => logged.spki().is_some_and(|logged| logged == spki),
        By::Certificate(der) => logged == Logged::Certificate(der.to_vec()),
    });
    let over_it = match entry.kind_version {
        KindVersion::HashedRekordV001 => covers(&body, "/spec/data/hash/algorithm", "/spec/data/hash/value", message),
        KindVersion::HashedRekordV002 => {
            covers(&body, "/spec/hashedRekordV002/data/algorithm", "/spec/hashedRekordV002/data/digest", message)
        }
        // Their digest is the envelope's, which was compared.
        KindVersion::DsseV001 | KindVersion::IntotoV002 => true,
        _ => false,
    };
    if by_them && over_it { Ok(()) } else { Err(Fault::OtherLogEntry) }
}

/// Who signed, as the log has it.
#[derive(PartialEq, Eq)]
enum Logged {
    Key(Vec<u8>),
    Certificate(Vec<u8>),
}

impl Logged {
    /// PEM, in the first version of the log.
    fn pem(text: &[u8]) -> Option<Self> {
        let text = str::from_utf8(text).ok()?;
        let certificate = DerCertificate::from_pem(text).map(|der| Self::Certificate(der.as_bytes().to_vec()));
        let key = || DerPublicKey::from_pem(text).map(|der| Self::Key(der.as_bytes().to_vec()));
        certificate.or_else(|_| key()).ok()
    }

    fn spki(&self) -> Option<Vec<u8>> {
        match self {
            Self::Key(spki) => Some(spki.clone()),
            Self::Certificate(der) => leaf::parse(der).ok()?.tbs_certificate.subject_public_key_info.to_der().ok(),
        }
    }
}

fn verifier(kind: KindVersion, body: &Value) -> Option<Logged> {
    let bytes = |pointer: &str| base64(body.pointer(pointer)?.as_str()?);
    match kind {
        KindVersion::HashedRekordV001 => Logged::pem(&bytes("/spec/signature/publicKey/content")?),
        KindVersion::DsseV001 => Logged::pem(&bytes("/spec/signatures/0/verifier")?),
        KindVersion::IntotoV002 => Logged::pem(&bytes("/spec/content/envelope/signatures/0/publicKey")?),
        KindVersion::HashedRekordV002 => {
            let verifier = "/spec/hashedRekordV002/signature/verifier";
            let certificate = bytes(&format!("{verifier}/x509Certificate/rawBytes")).map(Logged::Certificate);
            certificate.or_else(|| bytes(&format!("{verifier}/publicKey/rawBytes")).map(Logged::Key))
        }
        _ => None,
    }
}

/// Whether a logged digest is the message's. One under another algorithm than what is known of the message cannot be
/// compared, and does not count.
fn covers(body: &Value, algorithm: &str, digest: &str, message: Message<'_>) -> bool {
    use sha2::{Digest as _, Sha256, Sha384, Sha512};
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
    let (Some(algorithm), Some(digest)) = (text(algorithm), text(digest)) else { return false };
    let decoded = if algorithm.starts_with("SHA") { base64(digest) } else { hex::decode(digest).ok() };
    let Some(digest) = decoded else { return false };
    match (algorithm, message) {
        ("sha256" | "SHA2_256", Message::Bytes(bytes)) => Sha256::digest(bytes).as_slice() == digest,
        ("sha384" | "SHA2_384", Message::Bytes(bytes)) => Sha384::digest(bytes).as_slice() == digest,
        ("sha512" | "SHA2_512", Message::Bytes(bytes)) => Sha512::digest(bytes).as_slice() == digest,
        ("sha256" | "SHA2_256", Message::Sha256(sha256)) => sha256.as_slice() == digest,
        (_, Message::Bytes(_) | Message::Sha256(_)) => false,
    }
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
