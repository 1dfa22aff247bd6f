//! [`SubjectKind`]: of which kind a name in a certificate is.

use crate::verify::San;

/// Of which kind a holder's name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum SubjectKind {
    /// An e-mail address.
    Email,
    /// A URI: a workflow, a SPIFFE id.
    Uri,
    /// A host.
    Dns,
    /// A user's name (Fulcio's `otherName`).
    Other,
}

impl SubjectKind {
    pub(in crate::policy) fn of(word: &str) -> Self {
        match word {
            "email" => Self::Email,
            "uri" => Self::Uri,
            "dns" => Self::Dns,
            _ => Self::Other,
        }
    }

    /// The word in policies.
    pub(in crate::policy) fn word(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Uri => "uri",
            Self::Dns => "dns",
            Self::Other => "otherName",
        }
    }

    pub(in crate::policy) fn is(self, san: &San) -> bool {
        match san {
            San::Email(_) => self == Self::Email,
            San::Uri(_) => self == Self::Uri,
            San::Dns(_) => self == Self::Dns,
            San::Other(_) => self == Self::Other,
        }
    }
}
