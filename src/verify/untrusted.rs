//! [`Untrusted`]: one parsed signature of which nothing is proven, and [`Signed`], what it becomes when it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::crypto::Message;
use super::{
    About, Budget, Certificate, Demands, Fault, KeyId, LogEntry, ProvenTime, PublicKey, Statement, Trust, bundle,
    simple,
};
use crate::image::Digest;

/// Longest simple-signing payload, in bytes: three short fields and the signer's own `-a` pairs; cosign's are under
/// 500 bytes without those.
pub const PAYLOAD_MAX: usize = 64 * 1024;
/// Longest bundle, in bytes: an image signature is under 2 KB, with log entry and timestamp under 16 KB; large
/// attestations are no image signatures and need not be read whole.
pub const BUNDLE_MAX: usize = 1024 * 1024;

/// A signature as it was found. What it says is a claim until [`Untrusted::verify`] proves it.
#[derive(Debug, Clone)]
pub struct Untrusted {
    pub(super) signature: Vec<u8>,
    pub(super) content: Content,
}

/// What the signature is said to be over.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// A simple-signing payload and what it says.
    Payload { bytes: Vec<u8>, digest: Digest, reference: String },
    /// An in-toto image signature in a DSSE envelope: the bytes that were signed, and the sha256 subjects.
    Statement { signed: Vec<u8>, subjects: BTreeSet<Digest> },
    /// The artifact itself; what the bundle says its digest is, if anything.
    Artifact { digest: Option<ArtifactDigest> },
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
    /// `dev.cosignproject.cosign/signature` holds the signature. Others (certificate, chain, log bundle, timestamp)
    /// speak of authorities that a key needs not, and are not read.
    ///
    /// # Errors
    /// [`Fault`] for whatever is not such a payload in every detail.
    pub fn simple_signing(payload: &[u8], annotations: &BTreeMap<String, String>) -> Result<Self, Fault> {
        simple::read(payload, annotations)
    }

    /// Reads a Sigstore bundle, v0.1 to v0.3, that was made with a key.
    ///
    /// # Errors
    /// [`Fault`] for whatever is not such a bundle in every detail, and for one made with a certificate.
    pub fn bundle(json: &[u8]) -> Result<Self, Fault> {
        bundle::read(json)
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
    pub fn attestation(_envelope: &[u8], _annotations: &BTreeMap<String, String>) -> Result<Self, Fault> {
        Err(Fault::Malformed)
    }

    /// Whether somebody whom `trust` vouches for says `about.claim` of `about.digest`, with at least the evidence that
    /// is demanded. `now` is when a certificate without a proven time is judged.
    ///
    /// # Errors
    /// [`Fault`] when nobody does, or when that cannot be told.
    pub fn prove(
        &self,
        about: &About<'_>,
        trust: &Trust<'_>,
        _demands: Demands,
        _now: jiff::Timestamp,
        budget: &mut Budget,
    ) -> Result<Signed, Fault> {
        match trust {
            Trust::Key { key, .. } => self.verify(about.digest, key, budget),
            Trust::Keyless { .. } | Trust::Authority { .. } => Err(Fault::NotKeySigned),
        }
    }

    /// Whether the holder of `key` signed `subject`, the digest of a manifest or an index.
    ///
    /// What the signature says it is about is compared first, for that costs nothing; then each scheme that the key
    /// may use is tried, each at the cost of one check.
    ///
    /// # Errors
    /// [`Fault`] when it did not, or when that cannot be told from the digest alone ([`Fault::NeedsArtifact`]).
    pub fn verify(&self, subject: &Digest, key: &PublicKey, budget: &mut Budget) -> Result<Signed, Fault> {
        match &self.content {
            Content::Payload { digest, .. } if digest != subject => return Err(Fault::OtherDigest),
            Content::Statement { subjects, .. } if !subjects.contains(subject) => return Err(Fault::OtherDigest),
            Content::Payload { bytes: signed, .. } | Content::Statement { signed, .. } => {
                key.verifier().check(Message::Bytes(signed), &self.signature, budget)?;
            }
            Content::Artifact { digest: None | Some(ArtifactDigest::Sha256(_)) } => {
                let sha256 = sha256(subject)?;
                if self.says_other_than(&sha256) {
                    return Err(Fault::OtherDigest);
                }
                key.verifier().check(Message::Sha256(&sha256), &self.signature, budget)?;
            }
            Content::Artifact { digest: Some(ArtifactDigest::Sha384(_) | ArtifactDigest::Sha512(_)) } => {
                return Err(Fault::NeedsArtifact);
            }
        }
        Ok(self.signed(subject.clone(), key))
    }

    /// As [`Untrusted::verify`], with the manifest's bytes at hand: their digest is the subject, and signatures that
    /// cover the bytes themselves can be checked.
    ///
    /// # Errors
    /// [`Fault`] when the holder of `key` did not sign these bytes.
    pub fn verify_artifact(&self, artifact: &[u8], key: &PublicKey, budget: &mut Budget) -> Result<Signed, Fault> {
        let subject = Digest::of(artifact);
        let Content::Artifact { digest } = &self.content else { return self.verify(&subject, key, budget) };
        if digest.as_ref().is_some_and(|digest| !digest.is_of(artifact)) {
            return Err(Fault::OtherDigest);
        }
        key.verifier().check(Message::Bytes(artifact), &self.signature, budget)?;
        Ok(self.signed(subject, key))
    }

    fn says_other_than(&self, sha256: &[u8; 32]) -> bool {
        matches!(&self.content, Content::Artifact { digest: Some(said) } if *said != ArtifactDigest::Sha256(*sha256))
    }

    /// Called only behind a successful check.
    fn signed(&self, digest: Digest, key: &PublicKey) -> Signed {
        let reference = match &self.content {
            Content::Payload { reference, .. } => Some(reference.clone()),
            Content::Statement { .. } | Content::Artifact { .. } => None,
        };
        Signed {
            signer: Signer::Key(key.id().clone()),
            digest,
            reference,
            form: self.form(),
            times: Vec::new(),
            entries: Vec::new(),
            statement: None,
        }
    }
}

/// The bytes of a digest. It was validated as hexadecimal; should it not be, nothing is proven.
fn sha256(digest: &Digest) -> Result<[u8; 32], Fault> {
    let bytes = hex::decode(digest.hex()).map_err(|_| Fault::Malformed)?;
    bytes.try_into().map_err(|_| Fault::Malformed)
}

impl ArtifactDigest {
    fn is_of(&self, artifact: &[u8]) -> bool {
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
