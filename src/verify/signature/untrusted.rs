//! [`Untrusted`]: one parsed signature of which nothing is proven, and [`Signed`], what it becomes
//! when it is.
//!
//! How it becomes that is its format's: see [`crate::verify::format`].

use std::collections::BTreeMap;
use std::sync::Arc;

use super::attached::Attached;
use crate::image::Digest;
use crate::verify::primitives::certificate::Certificate;
use crate::verify::primitives::content::Content;
use crate::verify::primitives::demands::{LogEntry, ProvenTime};
use crate::verify::primitives::key::KeyId;
use crate::verify::primitives::leaf::Leaf;
use crate::verify::primitives::statement::Statement;
use crate::verify::signature::format::Format;

/// A signature as it was found. What it says is a claim until [`Untrusted::prove`] proves it.
#[derive(Debug, Clone)]
pub struct Untrusted {
    id: ItemId,
    format: Format,
    pub(in crate::verify) signature: Vec<u8>,
    pub(in crate::verify) content: Content,
    pub(in crate::verify) material: Material,
    pub(in crate::verify) attached: Arc<Attached>,
}

/// What a format reads of a signature.
pub(in crate::verify) struct Parsed {
    pub(in crate::verify) signature: Vec<u8>,
    pub(in crate::verify) content: Content,
    pub(in crate::verify) material: Material,
    pub(in crate::verify) attached: Arc<Attached>,
}

/// The SHA-256 over everything that was read: the same item has the same id, any other another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::verify) struct ItemId([u8; 32]);

/// With what the signature is said to be made.
#[derive(Debug, Clone)]
pub(in crate::verify) enum Material {
    /// A key; which one, the policy says.
    Key,
    /// The key in a certificate.
    Certificate(Leaf),
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
    /// What a format read, and what tells it from every other item.
    pub(in crate::verify) fn new(format: Format, parsed: Parsed, id: ItemId) -> Self {
        let Parsed { signature, content, material, attached } = parsed;
        Self { id, format, signature, content, material, attached }
    }

    /// Its format.
    pub(in crate::verify) fn format(&self) -> Format {
        self.format
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

    /// What tells it from every other.
    pub(in crate::verify) fn id(&self) -> ItemId {
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

    /// Called only behind a successful proof.
    pub(in crate::verify) fn signed(
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

impl ItemId {
    /// Over every part with its length, so that no two items give the same bytes.
    pub(in crate::verify) fn of(
        form: &[u8],
        bytes: &[u8],
        annotations: &BTreeMap<String, String>,
    ) -> Self {
        use sha2::{Digest as _, Sha256};
        let mut hash = Sha256::new();
        let annotations =
            annotations.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        for part in [form, bytes].into_iter().chain(annotations) {
            hash.update(part.len().to_string());
            hash.update(b":");
            hash.update(part);
        }
        Self(hash.finalize().into())
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

    /// When the signature is proven to have existed, by each who vouches for it; empty where nobody
    /// does.
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

    /// The name that the signer gave the image, as it was signed; a bundle has none. Whether it
    /// fits, policy says (attack B6).
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
