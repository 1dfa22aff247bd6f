//! [`DocumentKind`]: what a document of a file is, told by its shape, and which [`Format`] it is
//! part of.

use super::reader::tree::Tree;

/// A format that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// containers-policy.json(5), with files of containers-registries.d(5).
    PolicyJson,
    /// policy-controller's ClusterImagePolicy.
    ClusterImagePolicy,
    /// Kyverno's ImageValidatingPolicy.
    ImageValidatingPolicy,
    /// `verifyImages` in Kyverno's ClusterPolicy and Policy.
    VerifyImages,
    /// Talos' ImageVerificationConfig.
    Talos,
    /// Connaisseur's configuration, bare or in the values of its chart.
    Connaisseur,
    /// The trust policy of the Notary Project, of which nothing is carried over.
    Notation,
}

/// What a document of a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DocumentKind {
    PolicyJson,
    RegistriesD,
    ClusterImagePolicy,
    SigstoreTrustRoot,
    ImageValidatingPolicy,
    VerifyImages,
    Talos,
    Connaisseur,
    Notation,
    Unknown,
}

impl DocumentKind {
    /// What this document is.
    pub(super) fn of(tree: &Tree<'_>) -> Self {
        let has = |name: &str| tree.peek(name).is_some();
        match tree.peek("kind").and_then(|at| at.peek_text()) {
            Some("ClusterImagePolicy") => Self::ClusterImagePolicy,
            Some("TrustRoot") => Self::SigstoreTrustRoot,
            Some("ImageValidatingPolicy" | "NamespacedImageValidatingPolicy") => {
                Self::ImageValidatingPolicy
            }
            Some("ClusterPolicy" | "Policy") => Self::VerifyImages,
            Some("ImageVerificationConfig") => Self::Talos,
            Some(_) => Self::Unknown,
            None if has("default") => Self::PolicyJson,
            None if has("docker") || has("default-docker") => Self::RegistriesD,
            None if has("trustPolicies") => Self::Notation,
            None if has("validators") || is_chart(tree) => Self::Connaisseur,
            None => Self::Unknown,
        }
    }

    /// The format that it is part of; none where nothing reads it.
    pub(super) const fn format(self) -> Option<Format> {
        match self {
            Self::PolicyJson | Self::RegistriesD => Some(Format::PolicyJson),
            Self::ClusterImagePolicy | Self::SigstoreTrustRoot => Some(Format::ClusterImagePolicy),
            Self::ImageValidatingPolicy => Some(Format::ImageValidatingPolicy),
            Self::VerifyImages => Some(Format::VerifyImages),
            Self::Talos => Some(Format::Talos),
            Self::Connaisseur => Some(Format::Connaisseur),
            Self::Notation => Some(Format::Notation),
            Self::Unknown => None,
        }
    }

    /// What it is, in words.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::PolicyJson => "a policy.json",
            Self::RegistriesD => "a file of registries.d",
            Self::ClusterImagePolicy => "a ClusterImagePolicy",
            Self::SigstoreTrustRoot => "a TrustRoot of policy-controller",
            Self::ImageValidatingPolicy => "an ImageValidatingPolicy",
            Self::VerifyImages => "a ClusterPolicy of Kyverno",
            Self::Talos => "an ImageVerificationConfig",
            Self::Notation => "a trust policy of the Notary Project",
            Self::Connaisseur => "a configuration of Connaisseur",
            Self::Unknown => "a document that is not known",
        }
    }
}

/// Connaisseur's configuration below `application`, as its chart has it.
fn is_chart(tree: &Tree<'_>) -> bool {
    tree.peek("application").is_some_and(|at| at.peek("validators").is_some())
}
