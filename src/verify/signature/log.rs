//! [`Entry`]: a log entry beside a signature, refused where it is about something else (attack B1).
//!
//! Without a trust root an entry proves nothing, and a signature without one is as good. But one
//! whose entry is of another content, or holds another signature, was put together by someone, and
//! is not accepted ([`Entry::agrees`]). Where an entry is to prove something, it must also name the
//! key or the certificate, and hold the digest ([`Entry::is_by`]).
//!
//! The kinds are those of Rekor (`pkg/types/KIND/VERSION` there). Two of them only older signers
//! wrote, and no library reads: `rekord` 0.0.1 (cosign in 2021) is a `hashedrekord` with a format,
//! and `intoto` 0.0.1 (cosign before 2.2) holds the SHA-256 of the whole envelope, signatures and
//! all, in place of a signature.

use serde_json::Value;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use sigstore_types::{DerCertificate, DerPublicKey, KindVersion, TransparencyLogEntry};
use x509_cert::der::Encode as _;

use crate::image::json::{self, Limits};
use crate::verify::primitives::content::{ArtifactDigest, Content};
use crate::verify::primitives::crypto::Message;
use crate::verify::primitives::fault::Fault;
use crate::verify::primitives::json::fault;
use crate::verify::primitives::leaf;

/// A body: an entry of `dsse` with a certificate has 6 KB. What `rekord` calls `extraData` is
/// anything.
const LIMITS: Limits = Limits { bytes: 128 * 1024, depth: 16, values: 1024, free: &["extraData"] };

/// A log entry as it came.
#[derive(Debug)]
pub(in crate::verify) struct Entry {
    kind: Kind,
    /// Whether it is about the signature that it came with; otherwise why it is not, or why that
    /// cannot be told.
    agrees: Result<(), Fault>,
    /// Its kind is [`Entry::kind`]'s: of one that the library does not know, another stands here.
    logged: TransparencyLogEntry,
}

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verify) enum Kind {
    /// One that the library knows.
    Current(KindVersion),
    /// `intoto` 0.0.1
    IntotoV001,
    /// `rekord` 0.0.1
    RekordV001,
    /// One that nobody here reads.
    Other,
}

/// Who an entry must be by.
#[derive(Clone, Copy)]
pub(in crate::verify) enum EntrySigner<'b> {
    /// The holder of the key with this SubjectPublicKeyInfo.
    Key(&'b [u8]),
    /// The holder of this certificate, DER.
    Certificate(&'b [u8]),
}

/// What an entry is compared with.
#[derive(Clone, Copy)]
pub(in crate::verify) struct LoggedSignature<'m> {
    pub(in crate::verify) signature: &'m [u8],
    pub(in crate::verify) content: &'m Content,
    /// The SHA-256 of the envelope as it was logged, where its bytes are at hand.
    pub(in crate::verify) envelope: Option<[u8; 32]>,
}

impl Kind {
    pub(in crate::verify) fn named(kind: &str, version: &str) -> Self {
        match (kind, version) {
            ("hashedrekord", "0.0.1") => Self::Current(KindVersion::HashedRekordV001),
            ("hashedrekord", "0.0.2") => Self::Current(KindVersion::HashedRekordV002),
            ("dsse", "0.0.1") => Self::Current(KindVersion::DsseV001),
            ("intoto", "0.0.2") => Self::Current(KindVersion::IntotoV002),
            ("intoto", "0.0.1") => Self::IntotoV001,
            ("rekord", "0.0.1") => Self::RekordV001,
            (_, _) => Self::Other,
        }
    }

    /// What stands for it where the library must be told one.
    pub(in crate::verify) fn stand_in(self) -> KindVersion {
        match self {
            Self::Current(kind) => kind,
            Self::IntotoV001 | Self::RekordV001 | Self::Other => KindVersion::HashedRekordV001,
        }
    }

    fn names(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Current(kind) => Some((kind.kind(), kind.version())),
            Self::IntotoV001 => Some(("intoto", "0.0.1")),
            Self::RekordV001 => Some(("rekord", "0.0.1")),
            Self::Other => None,
        }
    }
}

impl Entry {
    /// An entry beside what was made; whether it is about that is found out once.
    pub(in crate::verify) fn new(
        kind: Kind,
        logged: TransparencyLogEntry,
        made: LoggedSignature<'_>,
    ) -> Self {
        let agrees = agrees(kind, logged.canonicalized_body.as_bytes(), made);
        Self { kind, agrees, logged }
    }

    pub(in crate::verify) fn logged(&self) -> &TransparencyLogEntry {
        &self.logged
    }

    /// Whether it is of the log's second version, which binds numbers in its tree head and promises
    /// nothing.
    pub(in crate::verify) fn is_second_version(&self) -> bool {
        self.kind == Kind::Current(KindVersion::HashedRekordV002)
    }

    /// Its kind, where the library knows it.
    pub(in crate::verify) fn current(&self) -> Option<KindVersion> {
        match self.kind {
            Kind::Current(kind) => Some(kind),
            Kind::IntotoV001 | Kind::RekordV001 | Kind::Other => None,
        }
    }

    /// Whether it can be about what it came with: its kind fits, and so do the digest and the
    /// signature in it.
    pub(in crate::verify) fn agrees(&self) -> Result<(), Fault> {
        self.agrees
    }

    /// Whether it says that it is about something else. One of which that cannot be told does not.
    pub(in crate::verify) fn contradicts(&self) -> Result<(), Fault> {
        if self.agrees == Err(Fault::Unsupported) { Ok(()) } else { self.agrees }
    }

    /// Whether it, of which [`Entry::agrees`] holds, is of a signature by this key or certificate
    /// over this message.
    pub(in crate::verify) fn is_by(
        &self,
        by: EntrySigner<'_>,
        message: Message<'_>,
    ) -> Result<(), Fault> {
        let body = json::parse(self.logged.canonicalized_body.as_bytes(), LIMITS).map_err(fault)?;
        let by_them = verifier(self.kind, &body).is_some_and(|logged| match by {
            EntrySigner::Key(spki) => logged.spki().is_some_and(|logged| logged == spki),
            EntrySigner::Certificate(der) => logged == Logged::Certificate(der.to_vec()),
        });
        let over_it = match self.kind {
            Kind::Current(KindVersion::HashedRekordV001) | Kind::RekordV001 => {
                covers(&body, "/spec/data/hash/algorithm", "/spec/data/hash/value", message)
            }
            Kind::Current(KindVersion::HashedRekordV002) => covers(
                &body,
                "/spec/hashedRekordV002/data/algorithm",
                "/spec/hashedRekordV002/data/digest",
                message,
            ),
            // Their digest is the envelope's, which was compared.
            Kind::Current(KindVersion::DsseV001 | KindVersion::IntotoV002) | Kind::IntotoV001 => {
                true
            }
            Kind::Current(_) | Kind::Other => false,
        };
        if by_them && over_it { Ok(()) } else { Err(Fault::OtherLogEntry) }
    }
}

fn agrees(kind: Kind, body: &[u8], made: LoggedSignature<'_>) -> Result<(), Fault> {
    let (name, version) = kind.names().ok_or(Fault::Unsupported)?;
    let body = json::parse(body, LIMITS).map_err(fault)?;
    let named = |field: &str| body.get(field).and_then(Value::as_str);
    if named("kind") != Some(name) || named("apiVersion") != Some(version) {
        return Err(Fault::OtherLogEntry);
    }
    let agrees = match (kind, made.content) {
        (Kind::Current(KindVersion::HashedRekordV001), _) => hashed_v1(&body, made),
        (Kind::Current(KindVersion::HashedRekordV002), _) => hashed_v2(&body, made),
        (Kind::Current(KindVersion::DsseV001), Content::Statement { .. }) => dsse(&body, made),
        (Kind::Current(KindVersion::IntotoV002), Content::Statement { .. }) => intoto(&body, made),
        (Kind::IntotoV001, Content::Statement { .. }) => match made.envelope {
            Some(envelope) => intoto_v1(&body, made, &envelope),
            // A bundle does not have the envelope's own bytes, of which the entry holds the digest.
            None => return Err(Fault::Unsupported),
        },
        (Kind::RekordV001, Content::Payload { .. } | Content::Artifact { .. }) => {
            rekord(&body, made)
        }
        (Kind::Current(_) | Kind::IntotoV001 | Kind::RekordV001 | Kind::Other, _) => Some(false),
    };
    if agrees == Some(true) { Ok(()) } else { Err(Fault::OtherLogEntry) }
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
        let certificate =
            DerCertificate::from_pem(text).map(|der| Self::Certificate(der.as_bytes().to_vec()));
        let key = || DerPublicKey::from_pem(text).map(|der| Self::Key(der.as_bytes().to_vec()));
        certificate.or_else(|_| key()).ok()
    }

    fn spki(&self) -> Option<Vec<u8>> {
        match self {
            Self::Key(spki) => Some(spki.clone()),
            Self::Certificate(der) => {
                leaf::parse(der).ok()?.tbs_certificate.subject_public_key_info.to_der().ok()
            }
        }
    }
}

fn verifier(kind: Kind, body: &Value) -> Option<Logged> {
    let bytes = |pointer: &str| base64(body.pointer(pointer)?.as_str()?);
    match kind {
        Kind::Current(KindVersion::HashedRekordV001) | Kind::RekordV001 => {
            Logged::pem(&bytes("/spec/signature/publicKey/content")?)
        }
        Kind::Current(KindVersion::DsseV001) => Logged::pem(&bytes("/spec/signatures/0/verifier")?),
        Kind::Current(KindVersion::IntotoV002) => {
            Logged::pem(&bytes("/spec/content/envelope/signatures/0/publicKey")?)
        }
        Kind::IntotoV001 => Logged::pem(&bytes("/spec/publicKey")?),
        Kind::Current(KindVersion::HashedRekordV002) => {
            let verifier = "/spec/hashedRekordV002/signature/verifier";
            let certificate =
                bytes(&format!("{verifier}/x509Certificate/rawBytes")).map(Logged::Certificate);
            certificate
                .or_else(|| bytes(&format!("{verifier}/publicKey/rawBytes")).map(Logged::Key))
        }
        Kind::Current(_) | Kind::Other => None,
    }
}

/// Whether a logged digest is the message's. One under another algorithm than what is known of the
/// message cannot be compared, and does not count.
fn covers(body: &Value, algorithm: &str, digest: &str, message: Message<'_>) -> bool {
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
    let (Some(algorithm), Some(digest)) = (text(algorithm), text(digest)) else { return false };
    let decoded =
        if algorithm.starts_with("SHA") { base64(digest) } else { hex::decode(digest).ok() };
    let Some(digest) = decoded else { return false };
    match (algorithm, message) {
        ("sha256" | "SHA2_256", Message::Sha256(sha256)) => sha256.as_slice() == digest,
        (_, Message::Bytes(bytes)) => is_digest(algorithm, &digest, bytes),
        (_, Message::Sha256(_)) => false,
    }
}

/// Whether this is the digest of these bytes, under an algorithm that is known by either version's
/// name.
fn is_digest(algorithm: &str, digest: &[u8], bytes: &[u8]) -> bool {
    match algorithm {
        "sha256" | "SHA2_256" => Sha256::digest(bytes).as_slice() == digest,
        "sha384" | "SHA2_384" => Sha384::digest(bytes).as_slice() == digest,
        "sha512" | "SHA2_512" => Sha512::digest(bytes).as_slice() == digest,
        _ => false,
    }
}

/// Whether an entry with this signature over this digest can be of what was made. A digest under
/// another algorithm than the bundle's cannot be compared (Ed25519ph is logged with SHA-512); the
/// signature always can.
fn fits(made: LoggedSignature<'_>, signature: &str, algorithm: &str, digest: &[u8]) -> bool {
    let known = |said: &ArtifactDigest| match (algorithm, said) {
        ("sha256" | "SHA2_256", ArtifactDigest::Sha256(said)) => said.as_slice() == digest,
        ("sha384" | "SHA2_384", ArtifactDigest::Sha384(said)) => said.as_slice() == digest,
        ("sha512" | "SHA2_512", ArtifactDigest::Sha512(said)) => said.as_slice() == digest,
        (algorithm, _) => matches!(
            algorithm,
            "sha256" | "sha384" | "sha512" | "SHA2_256" | "SHA2_384" | "SHA2_512"
        ),
    };
    let same_digest = match made.content {
        Content::Payload { bytes, .. } => is_digest(algorithm, digest, bytes),
        Content::Statement { signed, .. } => is_digest(algorithm, digest, signed),
        Content::Artifact { digest: Some(said) } => known(said),
        Content::Artifact { digest: None } => {
            matches!(
                algorithm,
                "sha256" | "sha384" | "sha512" | "SHA2_256" | "SHA2_384" | "SHA2_512"
            )
        }
    };
    same_digest && signature == to_base64(made.signature)
}

fn hashed_v1(body: &Value, made: LoggedSignature<'_>) -> Option<bool> {
    let algorithm = body.pointer("/spec/data/hash/algorithm")?.as_str()?;
    let digest = hex::decode(body.pointer("/spec/data/hash/value")?.as_str()?).ok()?;
    let signature = body.pointer("/spec/signature/content")?.as_str()?;
    Some(!algorithm.starts_with("SHA") && fits(made, signature, algorithm, &digest))
}

fn hashed_v2(body: &Value, made: LoggedSignature<'_>) -> Option<bool> {
    let spec = body.pointer("/spec/hashedRekordV002")?;
    let algorithm = spec.pointer("/data/algorithm")?.as_str()?;
    let digest = base64(spec.pointer("/data/digest")?.as_str()?)?;
    let signature = spec.pointer("/signature/content")?.as_str()?;
    Some(algorithm.starts_with("SHA") && fits(made, signature, algorithm, &digest))
}

/// As `hashedrekord` 0.0.1, of which it is the forerunner; it may also hold signatures of other
/// programs. Its schema knows SHA-256 alone.
fn rekord(body: &Value, made: LoggedSignature<'_>) -> Option<bool> {
    let x509 = body.pointer("/spec/signature/format")?.as_str()? == "x509";
    let sha256 = body.pointer("/spec/data/hash/algorithm")?.as_str()? == "sha256";
    Some(x509 && sha256 && hashed_v1(body, made)?)
}

fn dsse(body: &Value, made: LoggedSignature<'_>) -> Option<bool> {
    let payload = body.pointer("/spec/payloadHash/value")?.as_str()?;
    let signatures = body.pointer("/spec/signatures")?.as_array()?;
    let [signature] = signatures.as_slice() else { return None };
    let signature = signature.get("signature")?.as_str()?;
    Some(signature == to_base64(made.signature) && payload == made.payload_hash()?)
}

/// Here the signature is encoded twice.
fn intoto(body: &Value, made: LoggedSignature<'_>) -> Option<bool> {
    let payload = body.pointer("/spec/content/payloadHash/value")?.as_str()?;
    let signatures = body.pointer("/spec/content/envelope/signatures")?.as_array()?;
    let [signature] = signatures.as_slice() else { return None };
    let signature = base64(signature.get("sig")?.as_str()?)?;
    Some(signature == to_base64(made.signature).into_bytes() && payload == made.payload_hash()?)
}

/// The digest is of the envelope's bytes, so that no signature need be there. The first of its kind
/// had no digest of the payload.
fn intoto_v1(body: &Value, made: LoggedSignature<'_>, envelope: &[u8; 32]) -> Option<bool> {
    let sha256 = |at: &str| {
        let hash = body.pointer(at)?;
        let value = hash.get("value")?.as_str()?;
        (hash.get("algorithm")?.as_str()? == "sha256").then_some(value)
    };
    let payload = match body.pointer("/spec/content/payloadHash") {
        None => true,
        Some(_) => sha256("/spec/content/payloadHash")? == made.payload_hash()?,
    };
    Some(payload && sha256("/spec/content/hash")? == hex::encode(envelope))
}

impl LoggedSignature<'_> {
    fn payload_hash(self) -> Option<String> {
        self.content.payload().map(|payload| crate::image::Digest::of(payload).hex().to_owned())
    }
}

fn base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

fn to_base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
