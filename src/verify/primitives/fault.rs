//! [`Fault`]: why a signature does not count; [`PredicateError`]: why it cannot be told what a
//! statement says.

use std::fmt;

use crate::image::json::JsonError;
use crate::image::skim::Shape;

/// Why a signature does not count for a digest under a trust.
///
/// Of many faults the one with the lowest [`Fault::rank`] tells most: the further a signature got,
/// the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// The decision's signature checks are used up; this signature was not looked at.
    BudgetSpent,
    /// The signature is about this digest but was not made with this key, or was tampered with.
    WrongSignature,
    /// The same of an RSA key, which may have signed in a way that is not checked: RSASSA-PSS with
    /// a salt of another length than the digest's.
    WrongRsaSignature,
    /// The signature is over a digest other than SHA-256, or of a scheme that signs the bytes
    /// themselves: it can be checked with the manifest's bytes at hand, not with the digest alone.
    NeedsArtifact,
    /// Proven entries in so many distinct logs, expected more.
    TooFewLogEntries {
        /// How many there are.
        got: u8,
        /// How many are asked for.
        want: u8,
    },
    /// Proven timestamps by so many distinct authorities, expected more.
    TooFewTimestamps {
        /// How many there are.
        got: u8,
        /// How many are asked for.
        want: u8,
    },
    /// Log entries or timestamps are demanded, and no trust root is given that could prove one.
    NeedsTrustRoot,
    /// Nothing proves when the certificate was used: no timestamp, and no log entry with a promise.
    NoProvenTime,
    /// A log entry is from the future.
    FutureTime,
    /// The certificate has this many names, expected one: which of them signed cannot be told
    /// (attack B8).
    SeveralNames(u8),
    /// The certificate names nobody.
    NoName,
    /// The certificate, or one above it, was revoked.
    CertificateRevoked,
    /// No list tells whether the certificate was revoked.
    RevocationUnknown,
    /// The certificate, or one above it, was not valid at the time that counts: a proven one, or
    /// now.
    CertificateExpired,
    /// The certificate was not issued by an authority that is trusted at that time, or not for
    /// signing.
    CertificateChain,
    /// The certificate's own log proof (RFC 6962, signed certificate timestamp) is missing or not
    /// by a trusted log.
    Sct,
    /// A timestamp is genuine, and outside the time in which its authority is trusted.
    TimestampOutside,
    /// A timestamp is of another signature, or not by a trusted authority.
    TimestampInvalid,
    /// A log entry is by a log that is not trusted, or was not at that time.
    LogUnknown,
    /// A log entry has a promise, an inclusion proof or a checkpoint that does not hold, or none of
    /// them.
    LogInvalid,
    /// A log entry beside the signature is about something else (attack B1).
    OtherLogEntry,
    /// Evidence of a kind, or a key of a kind, that cannot be checked.
    Unsupported,
    /// The statement's subjects have digests of this kind alone, by which an image is not known.
    SubjectBy(&'static str),
    /// The signature is about another digest.
    OtherDigest,
    /// The statement names no subject.
    NoSubject,
    /// An attestation of another kind than those asked for (attack B2).
    OtherPredicate,
    /// An image signature, not an attestation.
    NotAttestation,
    /// An attestation of another kind, not an image signature (attack B2).
    NotImageSignature,
    /// Made with a certificate, not with a key.
    NotKeySigned,
    /// Made with a key, not with a certificate.
    NotCertificateSigned,
    /// The payload's `docker-reference` is missing or empty.
    NoReference,
    /// `critical.type` is not that of a container image signature.
    PayloadType,
    /// The envelope's payload is not an in-toto statement.
    EnvelopeType,
    /// An in-toto statement of a version that is not known.
    StatementType,
    /// The envelope has no signature or several.
    SignatureCount,
    /// The annotation that holds the signature is missing.
    NoSignature,
    /// The list of certificates is empty (attack B3).
    NoCertificate,
    /// A certificate that cannot be read, or could be read in two ways.
    Certificate,
    /// The signature or what it signs is not canonical base64.
    Encoding,
    /// The bundle's media type is missing or not known.
    BundleType,
    /// A field that is not known stands where one would change the meaning.
    UnknownField,
    /// A field is missing or of the wrong type.
    Malformed,
    /// Not JSON that all readers understand alike.
    Json,
    /// More of something than is read: what it is worth is not known.
    Beyond(Bound),
}

/// A limit on what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bound {
    /// Of what.
    pub what: &'static str,
    /// The most that is read.
    pub limit: usize,
}

/// Why it cannot be told what a statement says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PredicateError {
    /// It has no predicate.
    NoPredicate,
    /// Its predicate is no object.
    Shape(Shape),
    /// What is asked for could be read in two ways, or is more than is read.
    Json(JsonError),
}

impl Fault {
    /// How telling this fault is among others: the lowest says most about why an image is refused.
    #[must_use]
    pub const fn rank(self) -> u8 {
        match self {
            Self::BudgetSpent => 0,
            Self::WrongSignature => 1,
            Self::WrongRsaSignature => 2,
            Self::NeedsArtifact => 3,
            Self::TooFewLogEntries { .. } => 4,
            Self::TooFewTimestamps { .. } => 5,
            Self::NeedsTrustRoot => 6,
            Self::NoProvenTime => 7,
            Self::FutureTime => 8,
            Self::SeveralNames(_) => 9,
            Self::NoName => 10,
            Self::CertificateRevoked => 11,
            Self::RevocationUnknown => 12,
            Self::CertificateExpired => 13,
            Self::CertificateChain => 14,
            Self::Sct => 15,
            Self::TimestampOutside => 16,
            Self::TimestampInvalid => 17,
            Self::LogUnknown => 18,
            Self::LogInvalid => 19,
            Self::OtherLogEntry => 20,
            Self::Unsupported => 21,
            Self::SubjectBy(_) => 22,
            Self::OtherDigest => 23,
            Self::NoSubject => 24,
            Self::OtherPredicate => 25,
            Self::NotAttestation => 26,
            Self::NotImageSignature => 27,
            Self::NotKeySigned => 28,
            Self::NotCertificateSigned => 29,
            Self::NoReference => 30,
            Self::PayloadType => 31,
            Self::EnvelopeType => 32,
            Self::StatementType => 33,
            Self::SignatureCount => 34,
            Self::NoSignature => 35,
            Self::NoCertificate => 36,
            Self::Certificate => 37,
            Self::Encoding => 38,
            Self::BundleType => 39,
            Self::UnknownField => 40,
            Self::Malformed => 41,
            Self::Json => 42,
            Self::Beyond(_) => 43,
        }
    }
}

/// Of an RSA key that did not make a signature, as far as can be told.
const OTHER_SALT: &str = "signed, but not by this key (of RSA-PSS the salt must be as long as the \
    digest: rsa_pss_saltlen:digest)";

/// More of something than is read.
pub(in crate::verify) const fn beyond(what: &'static str, limit: usize) -> Fault {
    Fault::Beyond(Bound { what, limit })
}

impl Fault {
    /// The sentence of a fault that needs no figure; none of the others.
    const fn sentence(&self) -> Option<&'static str> {
        Some(match self {
            Self::BudgetSpent => "not looked at: too many signatures for one decision",
            Self::WrongSignature => "signed, but not by this key",
            Self::WrongRsaSignature => OTHER_SALT,
            Self::NeedsArtifact => {
                "the signature covers the manifest's bytes, which were not given"
            }
            Self::NeedsTrustRoot => "no trust root is given that could prove its log entry or time",
            Self::NoProvenTime => {
                "nothing proves when it was signed: it needs a timestamp, or a log entry with a \
                 signed time"
            }
            Self::FutureTime => {
                "its log entry or timestamp is from the future; is this node's clock right?"
            }
            Self::NoName => "its certificate names nobody",
            Self::CertificateRevoked => "its certificate was revoked",
            Self::RevocationUnknown => {
                "no current revocation list tells whether its certificate was revoked"
            }
            Self::CertificateExpired => "its certificate was not valid when it was used",
            Self::CertificateChain => "its certificate is not from a trusted authority",
            Self::Sct => "its certificate is not proven to be in a trusted certificate log",
            Self::TimestampOutside => "its timestamp is outside its authority's time",
            Self::TimestampInvalid => {
                "its timestamp is not by a trusted authority over this signature"
            }
            Self::LogUnknown => "its log entry is by a log that is not trusted",
            Self::LogInvalid => "its log entry does not hold",
            Self::OtherLogEntry => "its log entry is about something else",
            Self::Unsupported => "it, or evidence beside it, is of a kind that cannot be checked",
            Self::OtherDigest => "signed for another digest",
            Self::NoSubject => "the statement names no subject",
            Self::OtherPredicate => "an attestation of another kind",
            Self::NotAttestation => "an image signature, not an attestation",
            Self::NotImageSignature => "an attestation, not an image signature",
            Self::NotKeySigned => "signed with a certificate, not with a key",
            Self::NotCertificateSigned => "signed with a key, not with a certificate",
            Self::NoReference => "the payload has no docker-reference",
            Self::PayloadType => "the payload is not of a container image signature",
            Self::EnvelopeType => "the envelope does not hold an in-toto statement",
            Self::StatementType => "an in-toto statement of an unknown version",
            Self::SignatureCount => "the envelope does not have exactly one signature",
            Self::NoSignature => "the layer has no signature annotation",
            Self::NoCertificate => "its list of certificates is empty",
            Self::Certificate => "its certificate cannot be read",
            Self::Encoding => "not canonical base64",
            Self::BundleType => "not a Sigstore bundle of a known version",
            Self::UnknownField => "has a field that is not known",
            Self::Malformed => "a field is missing or of the wrong type",
            Self::Json => "not JSON that all readers understand alike",
            Self::TooFewLogEntries { .. }
            | Self::TooFewTimestamps { .. }
            | Self::SeveralNames(_)
            | Self::SubjectBy(_)
            | Self::Beyond(_) => return None,
        })
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "a part of one match; `sentence` lists every variant"
)]
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFewLogEntries { got, want } => {
                write!(f, "proven in {got} transparency logs, expected {want}")
            }
            Self::TooFewTimestamps { got, want } => {
                write!(f, "timestamped by {got} trusted authorities, expected {want}")
            }
            Self::SeveralNames(count) => {
                write!(f, "its certificate has {count} names, expected one")
            }
            Self::SubjectBy(kind) => write!(
                f,
                "the statement names its subjects by {kind} alone, and an image is known by its \
                 sha256; sign it for that"
            ),
            Self::Beyond(Bound { what, limit }) => {
                write!(f, "more than {limit} {what}, which is the most that is read")
            }
            _ => f.write_str(self.sentence().unwrap_or_default()),
        }
    }
}

impl std::error::Error for Fault {}

impl fmt::Display for PredicateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPredicate => f.write_str("the statement has no predicate"),
            Self::Shape(shape) => {
                write!(
                    f,
                    "the predicate is {}, and only of an object can a part be asked",
                    shape.word()
                )
            }
            Self::Json(error) => write!(f, "in the predicate: {error}"),
        }
    }
}

impl std::error::Error for PredicateError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_enum_is_the_rank() {
        let mut faults = [
            Fault::Beyond(Bound { what: "bytes", limit: 1 }),
            Fault::TooFewLogEntries { got: 0, want: 1 },
            Fault::WrongSignature,
            Fault::SeveralNames(2),
            Fault::BudgetSpent,
            Fault::OtherDigest,
        ];
        faults.sort_by_key(|fault| fault.rank());
        let mut sorted = faults;
        sorted.sort();
        assert_eq!(faults, sorted);
    }
}
