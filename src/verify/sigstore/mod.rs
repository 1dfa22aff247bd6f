//! The one place that asks `sigstore-verify`: whether a signature holds under a Sigstore instance,
//! whoever signed.
//!
//! It is shown the proofs that hold ([`shown`]): what was set aside, it would refuse the whole for.
//! What it does not do is done elsewhere: who signed and how many names the certificate has
//! ([`super::prove`]), which log and which authority vouch ([`super::sigstore::witness`]). What it
//! cannot be shown is judged by [`super::sigstore::issuers`] and [`super::sigstore::sct`] in its
//! place.

pub(super) mod bundle;
pub(super) mod error;
pub(super) mod issuers;
pub(super) mod root;
pub(super) mod sct;
pub(super) mod timestamp;
pub(super) mod witness;

use sigstore_types::bundle::{
    CertificateContent, MediaType, MessageDigest, MessageSignature, PublicKeyIdentifier,
    Rfc3161Timestamp, TimestampVerificationData, VerificationMaterial, VerificationMaterialContent,
    X509Certificate,
};
use sigstore_types::{
    Artifact, Bundle, DerCertificate, DerPublicKey, DigestBytes, DsseEnvelope, DsseSignature,
    HashAlgorithm, KeyId, KindVersion, PayloadBytes, Sha256Hash, SignatureBytes, SignatureContent,
};
use sigstore_verify::{
    CertificateError, Error, PublicKeyVerificationPolicy, TimestampError, TransparencyLogError,
    VerificationPolicy,
};

use super::primitives::content::{ArtifactDigest, Content};
use super::primitives::crypto::Message;
use super::primitives::demands::Demands;
use super::primitives::fault::Fault;
use super::primitives::leaf::Leaf;
use super::signature::attached::TimestampedObject;
use super::signature::untrusted::{Material, Untrusted};
use super::sigstore::root::TrustRoot;
use crate::verify::signature::assemble::STATEMENT;
use crate::verify::signature::attached::ProvenParts;

/// Longest statement that the library is shown, in bytes: it builds every value of the predicate,
/// ten times its length in memory. Provenance and scans are shorter.
const SHOWN_MAX: usize = 256 * 1024;

/// A signature as the library can judge it, and what that is over.
pub(in crate::verify) struct Shown<'m> {
    bundle: Bundle,
    message: Message<'m>,
}

/// A signature with those of its proofs that hold; none where the library cannot be shown all of
/// them. `artifact` is what a statement is about.
///
/// An envelope may be logged as hashedrekord 0.0.1 (Sigstore's client specification), which the
/// library knows of message signatures alone: so it is shown the same signature over the same
/// bytes, which are the envelope's pre-authentication encoding. That the statement is about the
/// artifact was compared before.
pub(in crate::verify) fn shown<'m>(
    item: &'m Untrusted,
    held: &ProvenParts,
    artifact: Message<'m>,
) -> Option<Shown<'m>> {
    let entries: Vec<_> =
        held.entries.iter().filter_map(|number| item.attached.entries.get(*number)).collect();
    let timestamps: Vec<_> =
        held.timestamps.iter().filter_map(|number| item.attached.timestamps.get(*number)).collect();
    let kinds = entries.iter().map(|entry| entry.current()).collect::<Option<Vec<_>>>()?;
    if timestamps.iter().any(|stamp| matches!(stamp.over, TimestampedObject::Envelope(_))) {
        return None;
    }
    let by_hash = kinds.contains(&KindVersion::HashedRekordV001);
    let signature = SignatureBytes::from_bytes(&item.signature);
    let (content, message) = match &item.content {
        Content::Statement { signed, .. } if by_hash => (
            SignatureContent::MessageSignature(MessageSignature::new(signature)),
            Message::Bytes(signed),
        ),
        Content::Statement { .. } => {
            let payload = item.content.payload().filter(|payload| payload.len() <= SHOWN_MAX)?;
            let signature = DsseSignature::new(signature, KeyId::new(""));
            let envelope =
                DsseEnvelope::new(STATEMENT, PayloadBytes::from_bytes(payload), signature);
            (SignatureContent::DsseEnvelope(envelope), artifact)
        }
        // Whatever the key, cosign signs this form with SHA-256.
        Content::Payload { bytes, .. } => {
            let digest = digest(&ArtifactDigest::Sha256(sha256(bytes)));
            (
                SignatureContent::MessageSignature(
                    MessageSignature::new(signature).with_message_digest(digest),
                ),
                artifact,
            )
        }
        Content::Artifact { digest: said } => {
            let message = MessageSignature::new(signature);
            let message = match said {
                Some(said) => message.with_message_digest(digest(said)),
                None => message,
            };
            (SignatureContent::MessageSignature(message), artifact)
        }
    };
    let signer = match &item.material {
        Material::Key => VerificationMaterialContent::PublicKey(PublicKeyIdentifier::new("")),
        Material::Certificate(leaf) => certificates(leaf),
    };
    let timestamps =
        timestamps.into_iter().map(|stamp| Rfc3161Timestamp::new(stamp.token.clone())).collect();
    // A bundle of v0.1 is one with a promise; without any entry it is as one of v0.2.
    let without = item.attached.version == MediaType::Bundle0_1 && entries.is_empty();
    let version = if without { MediaType::Bundle0_2 } else { item.attached.version };
    let material = VerificationMaterial::new(signer)
        .with_tlog_entries(entries.into_iter().map(|entry| entry.logged().clone()).collect())
        .with_timestamp_verification_data(TimestampVerificationData::new(timestamps));
    Some(Shown { bundle: Bundle::new(version, material, content), message })
}

fn certificates(leaf: &Leaf) -> VerificationMaterialContent {
    let der = |der: &[u8]| DerCertificate::new(der.to_vec());
    if leaf.intermediates.is_empty() {
        return VerificationMaterialContent::Certificate(CertificateContent::new(der(&leaf.der)));
    }
    let chain = std::iter::once(&leaf.der).chain(&leaf.intermediates);
    let certificates = chain.map(|one| X509Certificate::new(der(one))).collect();
    VerificationMaterialContent::X509CertificateChain { certificates }
}

fn digest(said: &ArtifactDigest) -> MessageDigest {
    let (algorithm, bytes) = match said {
        ArtifactDigest::Sha256(bytes) => (HashAlgorithm::Sha2256, bytes.to_vec()),
        ArtifactDigest::Sha384(bytes) => (HashAlgorithm::Sha2384, bytes.to_vec()),
        ArtifactDigest::Sha512(bytes) => (HashAlgorithm::Sha2512, bytes.to_vec()),
    };
    MessageDigest::new(algorithm, DigestBytes::new(bytes))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(bytes).into()
}

/// Whether the holder of the certificate signed the message: chain at each proven time, certificate
/// log, transparency log, timestamps, signature, and the log entry's agreement with all of it.
pub(in crate::verify) fn keyless(
    root: &TrustRoot,
    shown: &Shown<'_>,
    demands: Demands,
) -> Result<(), Fault> {
    let mut policy = VerificationPolicy::any_identity();
    if !demands.sct {
        policy = policy.skip_sct();
    }
    if demands.log_entries == 0 && !shown.bundle.has_inclusion_proof() {
        policy = policy.skip_tlog_unsafe();
    }
    let result = root.verifier().verify(artifact(shown.message), &shown.bundle, &policy);
    let result = result.map_err(|error| fault(&error))?;
    let proven = result.certificate_verified() && result.sct_verified() == demands.sct;
    if proven && !result.verified_timestamps().is_empty() {
        Ok(())
    } else {
        Err(Fault::CertificateChain)
    }
}

/// Whether the evidence beside a key's signature holds. The signature itself was checked before,
/// under every scheme that the key may use; of those the library tries one, so that its word on the
/// signature is not asked.
pub(in crate::verify) fn managed_key(
    root: &TrustRoot,
    shown: &Shown<'_>,
    spki: &[u8],
    demands: Demands,
) -> Result<(), Fault> {
    let mut policy = PublicKeyVerificationPolicy::new(DerPublicKey::from_bytes(spki));
    if demands.log_entries == 0 && !shown.bundle.has_inclusion_proof() {
        policy = policy.skip_tlog_unsafe();
    }
    match root.verifier().verify(artifact(shown.message), &shown.bundle, &policy) {
        Ok(_)
        | Err(Error::SignatureInvalid(_) | Error::UnsupportedArtifact(_) | Error::Crypto(_)) => {
            Ok(())
        }
        Err(error) => Err(fault(&error)),
    }
}

fn artifact(message: Message<'_>) -> Artifact<'_> {
    match message {
        Message::Bytes(bytes) => Artifact::from(bytes),
        Message::Sha256(digest) => Artifact::from(Sha256Hash::new(*digest)),
    }
}

/// What the library refused, in the words of this room.
fn fault(error: &Error) -> Fault {
    match error {
        Error::SignatureInvalid(_) => Fault::WrongSignature,
        Error::ArtifactMismatch(_) => Fault::OtherDigest,
        Error::UnsupportedArtifact(_) => Fault::NeedsArtifact,
        Error::Certificate(error) => certificate(error),
        Error::TransparencyLog(error) => log(error),
        Error::Timestamp(TimestampError::OutsideAuthorityValidity { .. }) => {
            Fault::TimestampOutside
        }
        Error::Timestamp(TimestampError::NoVerifiedTimestamp(_)) => Fault::NoProvenTime,
        Error::Timestamp(TimestampError::Invalid(_) | _) => Fault::TimestampInvalid,
        Error::UnsupportedBundle(_) => Fault::Unsupported,
        Error::Bundle(error) => structure(error),
        Error::InvalidBundle(_) | Error::Types(_) => Fault::Malformed,
        // The root was prepared: what it can still lack is the key of a certificate log.
        Error::InvalidTrustRoot(_) => Fault::Sct,
        // A kind of key or scheme that the library does not know; of the others none can be:
        // nobody's identity is asked for, and nothing is read.
        Error::Crypto(_)
        | Error::IdentityMismatch { .. }
        | Error::IssuerMismatch { .. }
        | Error::TrustRoot(_)
        | Error::TrustedCertificate(_)
        | Error::ArtifactRead(_)
        | _ => Fault::Unsupported,
    }
}

fn certificate(error: &CertificateError) -> Fault {
    match error {
        CertificateError::Malformed(_) => Fault::Certificate,
        CertificateError::NotYetValid { .. } | CertificateError::Expired { .. } => {
            Fault::CertificateExpired
        }
        CertificateError::Sct(_) => Fault::Sct,
        CertificateError::ChainInvalid(_) | CertificateError::NoValidAuthority { .. } | _ => {
            Fault::CertificateChain
        }
    }
}

fn log(error: &TransparencyLogError) -> Fault {
    match error {
        TransparencyLogError::UnknownLog { .. } => Fault::LogUnknown,
        TransparencyLogError::EntryMismatch(_) => Fault::OtherLogEntry,
        // One from the future was told before ([`super::sigstore::witness`]).
        TransparencyLogError::IntegratedTime(_) => Fault::CertificateExpired,
        TransparencyLogError::InclusionProof(_)
        | TransparencyLogError::Checkpoint(_)
        | TransparencyLogError::InclusionPromise(_)
        | TransparencyLogError::MalformedEntry(_)
        | _ => Fault::LogInvalid,
    }
}

/// What a bundle of its version must have and has not.
fn structure(error: &sigstore_verify::bundle::Error) -> Fault {
    use sigstore_verify::bundle::Error;
    match error {
        Error::MissingSigningTimeEvidence | Error::MissingTimestamp => Fault::NoProvenTime,
        Error::MissingInclusionProof(_)
        | Error::MissingInclusionPromise(_)
        | Error::MissingCheckpoint
        | Error::CheckpointRootMismatch
        | Error::LogIndexOutOfRange { .. } => Fault::LogInvalid,
        Error::UnsupportedMediaType(_)
        | Error::UnsupportedVerificationMaterial
        | Error::CertificateChainNotAllowed(_)
        | _ => Fault::Malformed,
    }
}
