//! [`Finding`]: why a signature does not count for a requirement, with what was got and what was
//! wanted.
//!
//! Of many findings the most telling one stands in a refusal: the further a signature got, the more
//! it tells. Texts are bounded and escaped (attack E3).

use std::fmt;

use serde::Serialize;

use super::serialize::display;
use super::signer::SignerId;
use crate::policy::sanitize::{VALUE_MAX, bounded};
use crate::policy::set::denials::{DeniedBy, DeniedSignature, SignaturePart};
use crate::verify::Fault;

/// Why a signature does not count for a requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "camelCase")]
pub enum Finding {
    /// The signature holds, and its key is on a deny list.
    KeyDenied(Box<DeniedSigner>),
    /// The signature holds, and the holder of its certificate is on a deny list.
    IdentityDenied(Box<DeniedSigner>),
    /// The signature holds, and its certificate is on a deny list.
    CertificateDenied(Box<DeniedSigner>),
    /// The signature holds, and an entry of a log that is about it is on a deny list.
    LogEntryDenied(Box<DeniedSigner>),
    /// The signature holds and names another image than was asked for.
    IdentityDiffers {
        /// The name in the signature, escaped.
        signed: String,
        /// The name that is wanted.
        wanted: String,
    },
    /// The signature holds, names no image, and the policy demands a name.
    IdentityMissing {
        /// The name that is wanted.
        wanted: String,
    },
    /// The attestation is by whom it should be, and the condition on it is false.
    ConditionFalse {
        /// The condition, or the part of it that is false.
        condition: String,
        /// What stands in the attestation, where one comparison says it.
        got: Option<String>,
        /// What is wanted there.
        wanted: Option<String>,
        /// The values of what the condition names, where one comparison does not say it.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        seen: Vec<String>,
    },
    /// The attestation is by whom it should be, and the condition on it could not be evaluated.
    ConditionFailed {
        /// The condition.
        condition: String,
        /// Why not.
        said: String,
    },
    /// The provenance is by whom it should be, and tells of another build.
    ProvenanceDiffers {
        /// In what.
        field: String,
        /// What it says; none where it says nothing.
        got: Option<String>,
        /// What is wanted.
        wanted: String,
    },
    /// The key signed at a time at which it may not.
    KeyNotValid {
        /// The key file.
        file: String,
        /// When it signed; now, where that is not proven.
        #[serde(serialize_with = "display")]
        at: jiff::Timestamp,
        /// Whether that time is proven.
        proven: bool,
        /// When it may: both ends included, a missing one open.
        window: String,
    },
    /// The signature is older than it may be.
    TooOld {
        /// When it is proven to have existed first.
        #[serde(serialize_with = "display")]
        signed: jiff::Timestamp,
        /// How old it may be: `90d`, `36h`.
        max: String,
    },
    /// It may be only so old, and nobody vouches for when it was made.
    NoProvenTime {
        /// How old it may be.
        max: String,
    },
    /// It was made after now: one of the two clocks is wrong, so that its age is not known.
    MadeAfterNow {
        /// When it is proven to have existed.
        #[serde(serialize_with = "display")]
        signed: jiff::Timestamp,
        /// Now.
        #[serde(serialize_with = "display")]
        now: jiff::Timestamp,
    },
    /// The signature holds, and is by the holder of another certificate than is wanted.
    OtherHolder {
        /// Whose: the kind of the name, the name, the issuer.
        holder: String,
        /// In what the holder differs: `subject`, `issuer`, `sourceRepositoryURI` ...
        part: String,
        /// What the certificate says there; none where it says nothing.
        got: Option<String>,
        /// What is wanted there.
        wanted: String,
    },
    /// It does not hold.
    Fault {
        /// Why.
        #[serde(serialize_with = "display")]
        fault: Fault,
    },
    /// It is an attestation of another kind than is wanted; whether it holds was not looked at.
    OtherPredicateType {
        /// The predicate types of those that were found, escaped: the first few, each once.
        found: Vec<String>,
    },
    /// It says something else than is wanted: an attestation of another kind, or none where one is
    /// wanted.
    OtherClaim,
    /// It was gathered for a digest that is not judged here: the child's, where the index was asked
    /// for by digest.
    OtherDigest,
    /// It was not looked at: there are more signatures than one decision looks at.
    NotExamined,
}

/// Who signed, and why that does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeniedSigner {
    /// Who: a key file with its key, or the holder of a certificate.
    pub signer: String,
    /// What is denied, as the deny list says it.
    pub denied: String,
    /// When it was signed, where only what was signed after a moment is denied and that is proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<String>,
    /// Which list, why and since when.
    pub by: DeniedBy,
}

impl Finding {
    /// A signature by this signer that is denied.
    pub(in crate::policy) fn denied(denied: &DeniedSignature<'_>, signer: &SignerId) -> Self {
        let signed = match (denied.signed_after, denied.signed) {
            (None, _) => None,
            (Some(_), Some(signed)) => Some(signed.to_string()),
            (Some(_), None) => Some("at no proven time".to_owned()),
        };
        let signer = Box::new(DeniedSigner {
            signer: bounded(signer.to_string(), VALUE_MAX),
            denied: bounded(denied.listed.entry.denied.to_string(), VALUE_MAX),
            signed,
            by: denied.listed.by(),
        });
        match denied.part {
            SignaturePart::Key => Self::KeyDenied(signer),
            SignaturePart::Identity => Self::IdentityDenied(signer),
            SignaturePart::Certificate => Self::CertificateDenied(signer),
            SignaturePart::LogEntry => Self::LogEntryDenied(signer),
        }
    }

    /// Whether it says that nothing could be told, rather than that it was not so.
    pub(in crate::policy) fn is_unable(&self) -> bool {
        // Of a signature from the future nothing is known but that a clock is wrong.
        let clock =
            matches!(self, Self::MadeAfterNow { .. } | Self::Fault { fault: Fault::FutureTime });
        let unread =
            matches!(self, Self::Fault { fault: Fault::RevocationUnknown | Fault::Beyond(_) });
        clock || unread || matches!(self, Self::ConditionFailed { .. })
    }

    /// Whether the signature is about something else than is asked, so that it says nothing for or
    /// against what is.
    pub(in crate::policy) fn is_beside_the_point(&self) -> bool {
        let fault = if let Self::Fault { fault } = self { Some(fault) } else { None };
        let is_other_kind = fault.is_some_and(|fault| {
            matches!(
                fault,
                Fault::OtherPredicate | Fault::NotAttestation | Fault::NotImageSignature
            )
        });
        let is_other =
            matches!(self, Self::OtherPredicateType { .. } | Self::OtherClaim | Self::OtherDigest);
        is_other_kind || is_other
    }

    /// How telling it is; the lowest tells most. By the right signer about something else comes
    /// before by another signer, and that before what does not hold at all, so that junk beside a
    /// signature does not hide it.
    pub(in crate::policy) fn rank(&self) -> u8 {
        match self {
            Self::KeyDenied(_)
            | Self::IdentityDenied(_)
            | Self::CertificateDenied(_)
            | Self::LogEntryDenied(_)
            | Self::IdentityDiffers { .. } => 0,
            Self::ConditionFalse { .. } => 1,
            Self::ProvenanceDiffers { .. } => 2,
            Self::ConditionFailed { .. } => 3,
            Self::IdentityMissing { .. } => 4,
            Self::TooOld { .. } => 5,
            Self::MadeAfterNow { .. } => 6,
            Self::NoProvenTime { .. } => 7,
            Self::KeyNotValid { .. } => 8,
            Self::OtherHolder { part, .. } => match part.as_str() {
                "subject" => 11,
                "issuer" => 12,
                // An extension, or the kind of the name: all the rest fits.
                _ => 10,
            },
            Self::Fault { fault } => fault.rank().saturating_add(20),
            Self::OtherPredicateType { .. } => Fault::OtherPredicate.rank().saturating_add(20),
            Self::OtherClaim => 251,
            Self::OtherDigest => 252,
            Self::NotExamined => 253,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyDenied(denied)
            | Self::IdentityDenied(denied)
            | Self::CertificateDenied(denied)
            | Self::LogEntryDenied(denied) => denied.fmt(f),
            Self::IdentityDiffers { signed, wanted } => {
                write!(f, "a signature that holds names {signed}, wanted is {wanted}")
            }
            Self::IdentityMissing { wanted } => {
                write!(f, "a signature that holds names no repository, wanted is {wanted}")
            }
            Self::ConditionFalse { .. }
            | Self::ConditionFailed { .. }
            | Self::ProvenanceDiffers { .. } => self.fmt_said(f),
            Self::KeyNotValid { .. }
            | Self::TooOld { .. }
            | Self::NoProvenTime { .. }
            | Self::MadeAfterNow { .. } => self.fmt_time(f),
            Self::OtherHolder { holder, part, got, wanted } => match (part.as_str(), got) {
                ("subject" | "issuer", Some(_)) => {
                    write!(f, "signed by {holder}, wanted {part} is {wanted}")
                }
                (_, Some(got)) => {
                    write!(f, "signed by {holder}, but its {part} is {got}, wanted is {wanted}")
                }
                (_, None) => {
                    write!(f, "signed by {holder}, but it has no {part}, wanted is {wanted}")
                }
            },
            Self::Fault { fault } => fault.fmt(f),
            Self::OtherPredicateType { found } => {
                let one = if found.len() == 1 { "an attestation" } else { "attestations" };
                write!(f, "{one} of another kind: {}", found.join(", "))
            }
            Self::OtherClaim => f.write_str("says something else than is wanted"),
            Self::OtherDigest => f.write_str(
                "a signature on the platform manifest, but the index was asked for by digest and \
                 needs its own",
            ),
            Self::NotExamined => f.write_str("more signatures than one decision looks at"),
        }
    }
}

impl fmt::Display for DeniedSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { signer, denied, signed, by } = self;
        write!(f, "signed by {signer}")?;
        if let Some(signed) = signed {
            write!(f, " ({signed})")?;
        }
        write!(f, ", which does not count: {denied} is denied by {by}")
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "parts of one match; Display above lists every variant"
)]
impl Finding {
    fn fmt_said(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConditionFalse { condition, got: Some(got), wanted: Some(wanted), .. } => {
                write!(f, "the attestation's {condition} is {got}, wanted is {wanted}")
            }
            Self::ConditionFalse { condition, seen, .. } if seen.is_empty() => {
                write!(f, "of the attestation this is false: {condition}")
            }
            // The values first: what is long is cut at its end, and the policy has the condition.
            Self::ConditionFalse { condition, seen, .. } => {
                let seen = seen.join(", ");
                write!(f, "of the attestation {seen}, so that this is false: {condition}")
            }
            Self::ConditionFailed { condition, said } => {
                write!(f, "of the attestation this cannot be told: {condition}: {said}")
            }
            Self::ProvenanceDiffers { field, got: Some(got), wanted } => {
                write!(f, "the provenance's {field} is {got}, wanted is {wanted}")
            }
            Self::ProvenanceDiffers { field, got: None, wanted } => {
                write!(f, "the provenance has no {field}, wanted is {wanted}")
            }
            _ => Ok(()),
        }
    }

    fn fmt_time(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyNotValid { file, at, proven: true, window } => {
                write!(f, "signed by {file} at {at}, which may sign {window}")
            }
            Self::KeyNotValid { file, at, proven: false, window } => {
                write!(
                    f,
                    "signed by {file} at no proven time, so that now counts ({at}); it may sign \
                     {window}"
                )
            }
            Self::TooOld { signed, max } => {
                write!(f, "signed at {signed}, which is longer ago than {max}")
            }
            Self::NoProvenTime { max } => {
                write!(f, "signed, but nobody vouches for when, and it may not be older than {max}")
            }
            Self::MadeAfterNow { signed, now } => {
                write!(f, "signed at {signed}, which is after now ({now}): check the clock")
            }
            _ => Ok(()),
        }
    }
}
