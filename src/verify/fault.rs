//! [`Fault`]: why a signature does not count.

use std::fmt;

/// Why a signature does not count for a digest under a key.
///
/// Of many faults the one with the lowest [`Fault::rank`] tells most: the further a signature got, the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// The decision's signature checks are used up; this signature was not looked at.
    BudgetSpent,
    /// The signature is about this digest but was not made with this key, or was tampered with.
    WrongSignature,
    /// The signature is over a digest other than SHA-256, or of a scheme that signs the bytes themselves: it can be
    /// checked with the manifest's bytes at hand, not with the digest alone.
    NeedsArtifact,
    /// The signature is about another digest.
    OtherDigest,
    /// The statement names no subject.
    NoSubject,
    /// An attestation of another kind, not an image signature (attack B2).
    NotImageSignature,
    /// Made with a certificate, not with a key.
    NotKeySigned,
    /// A log entry beside the signature is about something else (attack B1).
    OtherLogEntry,
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
    /// The signature or what it signs is not canonical base64.
    Encoding,
    /// The bundle's media type is missing or not known.
    BundleType,
    /// A field that is not known stands where one would change the meaning.
    UnknownField,
    /// A field is missing or of the wrong type.
    Malformed,
    /// Not JSON that all readers understand alike, or beyond a limit of depth or count.
    Json,
    /// Longer than is read.
    TooLong,
}

impl Fault {
    /// How telling this fault is among others: the lowest says most about why an image is refused.
    #[must_use]
    pub const fn rank(self) -> u8 {
        match self {
            Self::BudgetSpent => 0,
            Self::WrongSignature => 1,
            Self::NeedsArtifact => 2,
            Self::OtherDigest => 3,
            Self::NoSubject => 4,
            Self::NotImageSignature => 5,
            Self::NotKeySigned => 6,
            Self::OtherLogEntry => 7,
            Self::NoReference => 8,
            Self::PayloadType => 9,
            Self::EnvelopeType => 10,
            Self::StatementType => 11,
            Self::SignatureCount => 12,
            Self::NoSignature => 13,
            Self::Encoding => 14,
            Self::BundleType => 15,
            Self::UnknownField => 16,
            Self::Malformed => 17,
            Self::Json => 18,
            Self::TooLong => 19,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BudgetSpent => "not looked at: too many signatures for one decision",
            Self::WrongSignature => "signed, but not by this key",
            Self::NeedsArtifact => "the signature covers the manifest's bytes, which were not given",
            Self::OtherDigest => "signed for another digest",
            Self::NoSubject => "the statement names no subject",
            Self::NotImageSignature => "an attestation, not an image signature",
            Self::NotKeySigned => "signed with a certificate, not with a key",
            Self::OtherLogEntry => "its log entry is about something else",
            Self::NoReference => "the payload has no docker-reference",
            Self::PayloadType => "the payload is not of a container image signature",
            Self::EnvelopeType => "the envelope does not hold an in-toto statement",
            Self::StatementType => "an in-toto statement of an unknown version",
            Self::SignatureCount => "the envelope does not have exactly one signature",
            Self::NoSignature => "the layer has no signature annotation",
            Self::Encoding => "not canonical base64",
            Self::BundleType => "not a Sigstore bundle of a known version",
            Self::UnknownField => "has a field that is not known",
            Self::Malformed => "a field is missing or of the wrong type",
            Self::Json => "not JSON that all readers understand alike",
            Self::TooLong => "longer than is read",
        })
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_enum_is_the_rank() {
        let mut faults = [Fault::TooLong, Fault::WrongSignature, Fault::BudgetSpent, Fault::OtherDigest];
        faults.sort_by_key(|fault| fault.rank());
        let mut sorted = faults;
        sorted.sort();
        assert_eq!(faults, sorted);
    }
}
