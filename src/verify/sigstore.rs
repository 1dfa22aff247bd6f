//! The one place that asks `sigstore-verify`: whether a bundle holds under a Sigstore instance, whoever signed.
//!
//! What it does not do is done elsewhere: who signed and how many names the certificate has ([`super::prove`]), which
//! log and which authority vouch ([`super::witness`]).

use std::borrow::Cow;

use sigstore_types::bundle::MessageSignature;
use sigstore_types::{Artifact, Bundle, DerPublicKey, KindVersion, Sha256Hash, SignatureContent};
use sigstore_verify::{
    CertificateError, Error, PublicKeyVerificationPolicy, TimestampError, TransparencyLogError, VerificationPolicy,
};

use super::crypto::Message;
use super::{Demands, Fault, TrustRoot};

/// What a bundle's signature covers, and what that is about: the same unless it is a statement.
#[derive(Clone, Copy)]
pub(super) struct Covered<'m> {
    pub(super) signed: Message<'m>,
    pub(super) artifact: Message<'m>,
}

/// Whether the holder of the bundle's certificate signed the message: chain at each proven time, certificate log,
/// transparency log, timestamps, signature, and the log entry's agreement with all of it.
pub(super) fn keyless(root: &TrustRoot, bundle: &Bundle, covered: Covered<'_>, demands: Demands) -> Result<(), Fault> {
    let mut policy = VerificationPolicy::any_identity();
    if !demands.sct {
        policy = policy.skip_sct();
    }
    if demands.log_entries == 0 && !bundle.has_inclusion_proof() {
        policy = policy.skip_tlog_unsafe();
    }
    let (bundle, message) = readable(bundle, covered);
    let result = root.verifier().verify(artifact(message), &bundle, &policy).map_err(|error| fault(&error))?;
    let proven = result.certificate_verified() && result.sct_verified() == demands.sct;
    if proven && !result.verified_timestamps().is_empty() { Ok(()) } else { Err(Fault::CertificateChain) }
}

/// Whether the evidence beside a key's signature holds. The signature itself was checked before, under every scheme
/// that the key may use; of those the library tries one, so that its word on the signature is not asked.
pub(super) fn managed_key(
    root: &TrustRoot,
    bundle: &Bundle,
    covered: Covered<'_>,
    spki: &[u8],
    demands: Demands,
) -> Result<(), Fault> {
    let mut policy = PublicKeyVerificationPolicy::new(DerPublicKey::from_bytes(spki));
    if demands.log_entries == 0 && !bundle.has_inclusion_proof() {
        policy = policy.skip_tlog_unsafe();
    }
    let (bundle, message) = readable(bundle, covered);
    match root.verifier().verify(artifact(message), &bundle, &policy) {
        Ok(_) | Err(Error::SignatureInvalid(_) | Error::UnsupportedArtifact(_) | Error::Crypto(_)) => Ok(()),
        Err(error) => Err(fault(&error)),
    }
}

/// A bundle as the library can judge it. An envelope may be logged as hashedrekord 0.0.1 (Sigstore's client
/// specification), which the library knows of message signatures alone: so it is shown the same signature over the same
/// bytes, which are the envelope's pre-authentication encoding. That the statement is about the artifact was compared
/// before.
fn readable<'b, 'm>(bundle: &'b Bundle, covered: Covered<'m>) -> (Cow<'b, Bundle>, Message<'m>) {
    let mut entries = bundle.verification_material.tlog_entries.iter();
    if let SignatureContent::DsseEnvelope(envelope) = &bundle.content
        && entries.any(|entry| entry.kind_version == KindVersion::HashedRekordV001)
    {
        let content = SignatureContent::MessageSignature(MessageSignature::new(envelope.signature.sig.clone()));
        let shown = Bundle::new(bundle.media_type, bundle.verification_material.clone(), content);
        return (Cow::Owned(shown), covered.signed);
    }
    (Cow::Borrowed(bundle), covered.artifact)
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
        Error::Timestamp(TimestampError::OutsideAuthorityValidity { .. }) => Fault::TimestampOutside,
        Error::Timestamp(TimestampError::NoVerifiedTimestamp(_)) => Fault::NoProvenTime,
        Error::Timestamp(TimestampError::Invalid(_) | _) => Fault::TimestampInvalid,
        Error::UnsupportedBundle(_) => Fault::Unsupported,
        Error::Bundle(error) => structure(error),
        Error::InvalidBundle(_) | Error::Types(_) => Fault::Malformed,
        // The root was prepared: what it can still lack is the key of a certificate log.
        Error::InvalidTrustRoot(_) => Fault::Sct,
        // A kind of key or scheme that the library does not know; of the others none can be: nobody's identity is asked
        // for, and nothing is read.
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
        CertificateError::NotYetValid { .. } | CertificateError::Expired { .. } => Fault::CertificateExpired,
        CertificateError::Sct(_) => Fault::Sct,
        CertificateError::ChainInvalid(_) | CertificateError::NoValidAuthority { .. } | _ => Fault::CertificateChain,
    }
}

fn log(error: &TransparencyLogError) -> Fault {
    match error {
        TransparencyLogError::UnknownLog { .. } => Fault::LogUnknown,
        TransparencyLogError::EntryMismatch(_) => Fault::OtherLogEntry,
        // One from the future was told before ([`super::witness`]).
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
