//! [`Certificate`]: what a signing certificate says of its holder: its names with their kinds, the
//! issuer of the identity, and Fulcio's extensions.
//!
//! A claim until a proof of this room vouches for it. Which holder is wanted, the policy says.

use std::collections::BTreeMap;

use crate::verify::primitives::key::KeyId;

/// A signing certificate's claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// How many names there are, those of other kinds too.
    pub(in crate::verify) names: usize,
    pub(in crate::verify) sans: Vec<San>,
    pub(in crate::verify) issuer: Option<String>,
    pub(in crate::verify) extensions: BTreeMap<Extension, String>,
    pub(in crate::verify) key: KeyId,
    pub(in crate::verify) fingerprint: [u8; 32],
    pub(in crate::verify) not_before: jiff::Timestamp,
    pub(in crate::verify) not_after: jiff::Timestamp,
}

/// A subject alternative name (RFC 5280 section 4.2.1.6) with its kind: equal text of another kind
/// is another name (attack B8).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum San {
    /// `rfc822Name`.
    Email(String),
    /// `uniformResourceIdentifier`.
    Uri(String),
    /// `dNSName`.
    Dns(String),
    /// Fulcio's `otherName` 1.3.6.1.4.1.57264.1.7 (a username).
    Other(String),
}

/// Fulcio's extensions that name the build (fulcio `docs/oid-info.md`), under 1.3.6.1.4.1.57264.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Extension {
    /// `.9`
    BuildSignerUri,
    /// `.10`
    BuildSignerDigest,
    /// `.11`
    RunnerEnvironment,
    /// `.12`
    SourceRepositoryUri,
    /// `.13`
    SourceRepositoryDigest,
    /// `.14`
    SourceRepositoryRef,
    /// `.15`
    SourceRepositoryIdentifier,
    /// `.16`
    SourceRepositoryOwnerUri,
    /// `.17`
    SourceRepositoryOwnerIdentifier,
    /// `.18`
    BuildConfigUri,
    /// `.19`
    BuildConfigDigest,
    /// `.20`
    BuildTrigger,
    /// `.21`
    RunInvocationUri,
    /// `.22`
    SourceRepositoryVisibilityAtSigning,
    /// `.23`
    DeploymentEnvironment,
    /// `.24`
    TokenSubject,
    /// `.2`, deprecated.
    GithubWorkflowTrigger,
    /// `.3`, deprecated.
    GithubWorkflowSha,
    /// `.4`, deprecated.
    GithubWorkflowName,
    /// `.5`, deprecated.
    GithubWorkflowRepository,
    /// `.6`, deprecated.
    GithubWorkflowRef,
}

impl Certificate {
    /// Its subject alternative names, in the order of the certificate; those of kinds that name
    /// nobody (addresses, directory names) left out.
    #[must_use]
    pub fn sans(&self) -> &[San] {
        &self.sans
    }

    /// Who vouched for the identity (the OIDC issuer); Fulcio's certificates alone have it.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// The value of one of Fulcio's extensions.
    #[must_use]
    pub fn extension(&self, extension: Extension) -> Option<&str> {
        self.extensions.get(&extension).map(String::as_str)
    }

    /// All of them.
    pub fn extensions(&self) -> impl Iterator<Item = (Extension, &str)> {
        self.extensions.iter().map(|(extension, value)| (*extension, value.as_str()))
    }

    /// The key in it: the same, whether it comes in a certificate or by itself.
    #[must_use]
    pub fn key(&self) -> &KeyId {
        &self.key
    }

    /// The SHA-256 of the certificate, DER.
    #[must_use]
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// From when to when it is valid.
    #[must_use]
    pub fn validity(&self) -> (jiff::Timestamp, jiff::Timestamp) {
        (self.not_before, self.not_after)
    }

    /// A certificate that says this, for the tests of whoever matches holders.
    #[cfg(test)]
    pub(crate) fn saying(
        sans: &[San],
        issuer: Option<&str>,
        extensions: &[(Extension, &str)],
    ) -> Self {
        let extensions =
            extensions.iter().map(|(extension, value)| (*extension, (*value).to_owned())).collect();
        let epoch = jiff::Timestamp::UNIX_EPOCH;
        let issuer = issuer.map(str::to_owned);
        Self {
            names: sans.len(),
            sans: sans.to_vec(),
            issuer,
            extensions,
            key: KeyId::of(format!("{sans:?}").as_bytes()),
            fingerprint: [0; 32],
            not_before: epoch,
            not_after: epoch,
        }
    }
}

impl San {
    /// The name without its kind.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Email(name) | Self::Uri(name) | Self::Dns(name) | Self::Other(name) => name,
        }
    }

    /// The kind, in the words of policies: `email`, `uri`, `dns`, `otherName`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Email(_) => "email",
            Self::Uri(_) => "uri",
            Self::Dns(_) => "dns",
            Self::Other(_) => "otherName",
        }
    }
}

impl Extension {
    /// Every extension.
    pub const ALL: [Self; 21] = [
        Self::BuildSignerUri,
        Self::BuildSignerDigest,
        Self::RunnerEnvironment,
        Self::SourceRepositoryUri,
        Self::SourceRepositoryDigest,
        Self::SourceRepositoryRef,
        Self::SourceRepositoryIdentifier,
        Self::SourceRepositoryOwnerUri,
        Self::SourceRepositoryOwnerIdentifier,
        Self::BuildConfigUri,
        Self::BuildConfigDigest,
        Self::BuildTrigger,
        Self::RunInvocationUri,
        Self::SourceRepositoryVisibilityAtSigning,
        Self::DeploymentEnvironment,
        Self::TokenSubject,
        Self::GithubWorkflowTrigger,
        Self::GithubWorkflowSha,
        Self::GithubWorkflowName,
        Self::GithubWorkflowRepository,
        Self::GithubWorkflowRef,
    ];

    /// Its name in policies and records: the one in Fulcio's documentation, in lower camel case;
    /// the deprecated ones as policy-controller spells them (`githubWorkflowTrigger` ...).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BuildSignerUri => "buildSignerURI",
            Self::BuildSignerDigest => "buildSignerDigest",
            Self::RunnerEnvironment => "runnerEnvironment",
            Self::SourceRepositoryUri => "sourceRepositoryURI",
            Self::SourceRepositoryDigest => "sourceRepositoryDigest",
            Self::SourceRepositoryRef => "sourceRepositoryRef",
            Self::SourceRepositoryIdentifier => "sourceRepositoryIdentifier",
            Self::SourceRepositoryOwnerUri => "sourceRepositoryOwnerURI",
            Self::SourceRepositoryOwnerIdentifier => "sourceRepositoryOwnerIdentifier",
            Self::BuildConfigUri => "buildConfigURI",
            Self::BuildConfigDigest => "buildConfigDigest",
            Self::BuildTrigger => "buildTrigger",
            Self::RunInvocationUri => "runInvocationURI",
            Self::SourceRepositoryVisibilityAtSigning => "sourceRepositoryVisibilityAtSigning",
            Self::DeploymentEnvironment => "deploymentEnvironment",
            Self::TokenSubject => "tokenSubject",
            Self::GithubWorkflowTrigger => "githubWorkflowTrigger",
            Self::GithubWorkflowSha => "githubWorkflowSha",
            Self::GithubWorkflowName => "githubWorkflowName",
            Self::GithubWorkflowRepository => "githubWorkflowRepository",
            Self::GithubWorkflowRef => "githubWorkflowRef",
        }
    }

    /// Its number under 1.3.6.1.4.1.57264.1.
    pub(in crate::verify) const fn number(self) -> u32 {
        match self {
            Self::BuildSignerUri => 9,
            Self::BuildSignerDigest => 10,
            Self::RunnerEnvironment => 11,
            Self::SourceRepositoryUri => 12,
            Self::SourceRepositoryDigest => 13,
            Self::SourceRepositoryRef => 14,
            Self::SourceRepositoryIdentifier => 15,
            Self::SourceRepositoryOwnerUri => 16,
            Self::SourceRepositoryOwnerIdentifier => 17,
            Self::BuildConfigUri => 18,
            Self::BuildConfigDigest => 19,
            Self::BuildTrigger => 20,
            Self::RunInvocationUri => 21,
            Self::SourceRepositoryVisibilityAtSigning => 22,
            Self::DeploymentEnvironment => 23,
            Self::TokenSubject => 24,
            Self::GithubWorkflowTrigger => 2,
            Self::GithubWorkflowSha => 3,
            Self::GithubWorkflowName => 4,
            Self::GithubWorkflowRepository => 5,
            Self::GithubWorkflowRef => 6,
        }
    }

    /// Whether its value is the text itself; newer ones are a DER string.
    pub(in crate::verify) const fn is_bare(self) -> bool {
        self.number() < 8
    }
}
