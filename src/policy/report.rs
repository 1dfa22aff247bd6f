//! [`Report`]: what was asked of an image and what came of it, for the audit log.
//!
//! Every document that matched, every requirement, every signature with its fate. Texts in it are bounded and
//! escaped (attack E3). A report decides nothing.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::image::Digest;
use crate::verify::{Fault, KeyId};

/// What a document does with an image that does not meet it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Refuse it.
    Enforce,
    /// Admit it and say so.
    Warn,
}

/// Everything that was judged for one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// No document matched; the verdict is the set's `unmatched`.
    pub unmatched: bool,
    /// The documents that matched, in the order of the files.
    pub documents: Vec<DocumentReport>,
}

/// One document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DocumentReport {
    /// Its name.
    pub policy: String,
    /// What it does.
    pub action: Action,
    /// Whether it was met.
    pub satisfied: bool,
    /// `insecureAcceptAnything`: nothing was asked.
    pub accepts_anything: bool,
    /// Each requirement that is no threshold, in the order written.
    pub requirements: Vec<RequirementReport>,
}

/// One requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequirementReport {
    /// Its name.
    pub name: String,
    /// Whether it was met, by itself; a threshold around it may still count it not, for lack of a key of its own.
    pub satisfied: bool,
    /// The keys that met it, each once.
    pub signers: Vec<Signer>,
    /// The digests on which it rests: the target's, the child's or both.
    pub rests_on: Vec<Rest>,
    /// What became of each signature that was looked at, at most [`FATES_MAX`].
    pub fates: Vec<Fate>,
    /// How many fates are left out.
    pub fates_omitted: usize,
}

/// Most fates that one requirement's report lists: a record stays readable and small.
pub const FATES_MAX: usize = 16;

/// A key as an operator knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Signer {
    /// The sha256 of its public key, `sha256:<hex>`.
    #[serde(serialize_with = "display")]
    pub key: KeyId,
    /// The key file's name as the policy writes it.
    pub file: String,
}

/// Which of the subject's digests something rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rest {
    /// What the name points at.
    Target,
    /// The platform manifest under it.
    Child,
}

/// What became of one signature for one requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fate {
    /// The digest of the layer that carried it.
    #[serde(serialize_with = "display")]
    pub item: Digest,
    /// Where it was found.
    pub place: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: FateOutcome,
}

/// A signature counts, or says why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
pub enum FateOutcome {
    /// It counts.
    Signed(Signer),
    /// It does not, and this is the most telling reason over all the requirement's keys.
    Refused(Finding),
}

/// Why a signature does not count for a requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "camelCase")]
pub enum Finding {
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
    /// It does not hold.
    Fault {
        /// Why.
        #[serde(serialize_with = "display")]
        fault: Fault,
    },
    /// It was gathered for a digest that is not judged here: the child's, where the index was asked for by digest.
    OtherDigest,
    /// It was not looked at: there are more signatures than one decision looks at.
    NotExamined,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IdentityDiffers { signed, wanted } => {
                write!(f, "a signature that holds names {signed}, wanted is {wanted}")
            }
            Self::IdentityMissing { wanted } => {
                write!(f, "a signature that holds names no repository, wanted is {wanted}")
            }
            Self::Fault { fault } => fault.fmt(f),
            Self::OtherDigest => f.write_str(
                "a signature on the platform manifest, but the index was asked for by digest and needs its own",
            ),
            Self::NotExamined => f.write_str("more signatures than one decision looks at"),
        }
    }
}

/// Serialises what prints as its text.
fn display<T: fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
