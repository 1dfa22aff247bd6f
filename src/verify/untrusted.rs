//! [`Untrusted`]: one parsed signature of which nothing is proven, and [`Signed`], what it becomes when it is.
//!
//! How it becomes that is [`super::prove`]'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::attached::Attached;
use super::cosign::{annotations, simple_signing};
use super::leaf::Leaf;
use super::sigstore::bundle;
use super::statement::Subjects;
use super::{
    About, Budget, Certificate, Claim, Demands, Fault, KeyId, LogEntry, ProvenTime, PublicKey, Statement, Trust,
};
use crate::image::Digest;

/// Longest simple-signing payload, in bytes: three short fields and the signer's own `-a` pairs; cosign's are under
/// 500 bytes without those.
pub const PAYLOAD_MAX: usize = 64 * 1024;
/// Longest bundle that can be read, in bytes: an attestation with a bill of materials of 32 MiB, in base64, and what is
/// around it. How much is fetched, the fetching room bounds. While one is read, its statement is held beside it, once.
pub const BUNDLE_MAX: usize = 48 * 1024 * 1024;
/// Longest envelope of an older attestation, in bytes; as long as a bundle.
pub const ATTESTATION_MAX: usize = BUNDLE_MAX;

/// A signature as it was found. What it says is a claim until [`Untrusted::prove`] proves it.
#[derive(Debug, Clone)]
pub struct Untrusted {
    pub(super) id: ItemId,
    pub(super) signature: Vec<u8>,
    pub(super) content: Content,
    pub(super) material: Material,
    pub(super) attached: Arc<Attached>,
}

/// The SHA-256 over everything that was read: the same item has the same id, any other another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct ItemId([u8; 32]);

/// What the signature is said to be over.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// A simple-signing payload and what it says.
    Payload { bytes: Vec<u8>, digest: Digest, reference: String },
    /// An in-toto statement in a DSSE envelope: the bytes that were signed and how many of them stand before the
    /// statement, the subjects, and the rest.
    Statement { signed: Bytes, head: usize, subjects: Subjects, statement: Arc<Statement> },
    /// The artifact itself; what the bundle says its digest is, if anything.
    Artifact { digest: Option<ArtifactDigest> },
}

/// With what the signature is said to be made.
#[derive(Debug, Clone)]
pub(super) enum Material {
    /// A key; which one, the policy says.
    Key,
    /// The key in a certificate.
    Certificate(Leaf),
}

/// The digest in a bundle's message signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ArtifactDigest {
    Sha256([u8; 32]),
    Sha384([u8; 48]),
    Sha512([u8; 64]),
}

/// Proof that somebody signed a digest. Only [`Untrusted::prove`], [`Untrusted::verify`] and
/// [`Untrusted::verify_artifact`] make one.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Signed {
    signer: Signer,
    digest: Digest,
    reference: Option<String>,
    form: Form,
    times: Vec<ProvenTime>,
    entries: Vec<LogEntry>,
    statement: Option<Arc<Statement>>,
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// The holder of a key.
    Key(KeyId),
    /// The holder of a certificate.
    Certificate(Arc<Certificate>),
}

/// In which form a signature came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// Cosign's older simple-signing payload.
    SimpleSigning,
    /// A bundle with an in-toto statement.
    Statement,
    /// A bundle with a signature over the manifest itself.
    MessageSignature,
}

impl Untrusted {
    /// Reads one layer of a cosign `.sig` manifest: the payload blob, and the layer's annotations, of which
    /// `dev.cosignproject.cosign/signature` holds the signature, and others the evidence beside it (certificate, chain,
    /// log bundle, timestamp). Annotations of any other name are not read.
    ///
    /// # Errors
    /// [`Fault`] for whatever is not such a payload in every detail.
    pub fn simple_signing(payload: &[u8], annotations: &BTreeMap<String, String>) -> Result<Self, Fault> {
        Ok(Self { id: ItemId::of(b"sig", payload, annotations), ..simple_signing::read(payload, annotations)? })
    }

    /// Reads a Sigstore bundle, v0.1 to v0.3: made with a key or with a certificate, over an image, a statement about it,
    /// or its bytes.
    ///
    /// # Errors
    /// [`Fault`] for whatever is not such a bundle in every detail.
    pub fn bundle(json: &[u8]) -> Result<Self, Fault> {
        Ok(Self { id: ItemId::of(b"bundle", json, &BTreeMap::new()), ..bundle::read(json)? })
    }

    /// In which form it came.
    #[must_use]
    pub fn form(&self) -> Form {
        match self.content {
            Content::Payload { .. } => Form::SimpleSigning,
            Content::Statement { .. } => Form::Statement,
            Content::Artifact { .. } => Form::MessageSignature,
        }
    }

    /// Reads one layer of a cosign `.att` manifest: a DSSE envelope with an in-toto statement, and the layer's
    /// annotations (certificate, chain, log bundle, timestamp).
    ///
    /// # Errors
    /// [`Fault`] for whatever is not such an envelope in every detail.
    pub fn attestation(envelope: &[u8], annotations: &BTreeMap<String, String>) -> Result<Self, Fault> {
        Ok(Self {
            id: ItemId::of(b"att", envelope, annotations),
            ..annotations::read_attestation(envelope, annotations)?
        })
    }

    /// What tells it from every other.
    pub(super) fn id(&self) -> ItemId {
        self.id
    }

    /// Which kind of statement it claims to be; none where it is no in-toto statement.
    #[must_use]
    pub fn predicate_type(&self) -> Option<&str> {
        match &self.content {
            Content::Statement { statement, .. } => Some(statement.predicate_type()),
            Content::Payload { .. } | Content::Artifact { .. } => None,
        }
    }

    /// Whether the holder of `key` signed `subject`, the digest of a manifest or an index: an image signature, by the
    /// key alone.
    ///
    /// What the signature says it is about is compared first, for that costs nothing; then each scheme that the key
    /// may use is tried, each at the cost of one check.
    ///
    /// # Errors
    /// [`Fault`] when it did not, or when that cannot be told from the digest alone ([`Fault::NeedsArtifact`]).
    pub fn verify(&self, subject: &Digest, key: &PublicKey, budget: &mut Budget) -> Result<Signed, Fault> {
        self.verify_about(&About { digest: subject, artifact: None, claim: Claim::ImageSignature }, key, budget)
    }

    /// As [`Untrusted::verify`], with the manifest's bytes at hand: their digest is the subject, and signatures that
    /// cover the bytes themselves can be checked.
    ///
    /// # Errors
    /// [`Fault`] when the holder of `key` did not sign these bytes.
    pub fn verify_artifact(&self, artifact: &[u8], key: &PublicKey, budget: &mut Budget) -> Result<Signed, Fault> {
        let about = About { digest: &Digest::of(artifact), artifact: Some(artifact), claim: Claim::ImageSignature };
        self.verify_about(&about, key, budget)
    }

    fn verify_about(&self, about: &About<'_>, key: &PublicKey, budget: &mut Budget) -> Result<Signed, Fault> {
        // No time plays a part where there is no root.
        self.prove(about, &Trust::Key { key, root: None }, Demands::NONE, jiff::Timestamp::UNIX_EPOCH, budget)
    }

    /// Called only behind a successful proof.
    pub(super) fn signed(
        &self,
        digest: Digest,
        signer: Signer,
        (times, entries): (Vec<ProvenTime>, Vec<LogEntry>),
    ) -> Signed {
        let (reference, statement) = match &self.content {
            Content::Payload { reference, .. } => (Some(reference.clone()), None),
            Content::Statement { statement, .. } => (None, Some(statement.clone())),
            Content::Artifact { .. } => (None, None),
        };
        let statement = statement.filter(|statement| !statement.is_image_signature());
        Signed { signer, digest, reference, form: self.form(), times, entries, statement }
    }
}

impl Content {
    /// The statement's own bytes.
    pub(super) fn payload(&self) -> Option<&[u8]> {
        match self {
            Self::Statement { signed, head, .. } => signed.get(*head..),
            Self::Payload { .. } | Self::Artifact { .. } => None,
        }
    }
}

impl ItemId {
    /// Over every part with its length, so that no two items give the same bytes.
    fn of(form: &[u8], bytes: &[u8], annotations: &BTreeMap<String, String>) -> Self {
        use sha2::{Digest as _, Sha256};
        let mut hash = Sha256::new();
        let annotations = annotations.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        for part in [form, bytes].into_iter().chain(annotations) {
            hash.update(part.len().to_string());
            hash.update(b":");
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

impl ArtifactDigest {
    pub(super) fn is_of(&self, artifact: &[u8]) -> bool {
        use sha2::{Digest as _, Sha256, Sha384, Sha512};
        match self {
            Self::Sha256(digest) => Sha256::digest(artifact).as_slice() == digest,
            Self::Sha384(digest) => Sha384::digest(artifact).as_slice() == digest,
            Self::Sha512(digest) => Sha512::digest(artifact).as_slice() == digest,
        }
    }
}

impl Signed {
    /// Who signed.
    #[must_use]
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// The key whose holder signed, when it was one without a certificate.
    #[must_use]
    pub fn key(&self) -> Option<&KeyId> {
        match &self.signer {
            Signer::Key(key) => Some(key),
            Signer::Certificate(_) => None,
        }
    }

    /// When the signature is proven to have existed, by each who vouches for it; empty where nobody does.
    #[must_use]
    pub fn times(&self) -> &[ProvenTime] {
        &self.times
    }

    /// The log entries that are proven to be about it.
    #[must_use]
    pub fn entries(&self) -> &[LogEntry] {
        &self.entries
    }

    /// What was said, where it is an in-toto statement other than an image signature.
    #[must_use]
    pub fn statement(&self) -> Option<&Statement> {
        self.statement.as_deref()
    }

    /// The digest that was signed.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The name that the signer gave the image, as it was signed; a bundle has none. Whether it fits, policy says
    /// (attack B6).
    #[must_use]
    pub fn docker_reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    /// In which form the signature came.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }
}
