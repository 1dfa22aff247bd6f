//! [`Draft`]: a policy that an import makes, before it is written down.

use super::fault::Origin;

/// One policy.
#[derive(Debug, Clone)]
pub(in crate::import) struct Draft {
    /// What it is to be called; made unique and fit for a name when it is written.
    pub(in crate::import) name: String,
    /// Where it came from.
    pub(in crate::import) origin: Origin,
    /// What stands in comments above it.
    pub(in crate::import) remarks: Vec<String>,
    pub(in crate::import) images: Vec<String>,
    pub(in crate::import) exclude: Vec<String>,
    /// Empty: all.
    pub(in crate::import) namespaces: Vec<String>,
    /// It is about more pods than what it came from: something that selects was left out.
    pub(in crate::import) is_widened: bool,
    /// `action: warn`.
    pub(in crate::import) warns: bool,
    pub(in crate::import) signature_repository: Option<String>,
    pub(in crate::import) demand: DraftDemand,
}

/// What it demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::import) enum DraftDemand {
    /// `insecureAcceptAnything`.
    Accept,
    /// What nothing meets.
    Reject,
    All(Vec<Self>),
    Any(Vec<Self>),
    /// So many of these, by signers of their own.
    AtLeast(usize, Vec<Self>),
    Signed {
        name: String,
        by: By,
        identity: SignedName,
    },
    Attested {
        name: String,
        by: By,
        predicate_type: String,
    },
}

/// By whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::import) enum By {
    /// Any of these keys.
    Key { files: Vec<String>, witnesses: Witnesses },
    /// Any of these identities.
    Keyless {
        identities: Vec<HolderName>,
        witnesses: Witnesses,
        ignores_log: bool,
        ignores_sct: bool,
    },
    /// A certificate of these authorities.
    Certificate { roots: Vec<String>, intermediates: Vec<String>, subject: (&'static str, String) },
}

/// A trust root, and what is asked of it beside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::import) struct Witnesses {
    pub(in crate::import) trust_root: Option<String>,
    pub(in crate::import) log_entries: u8,
    pub(in crate::import) timestamps: u8,
}

/// Whose certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::import) struct HolderName {
    pub(in crate::import) issuer: NameMatch,
    pub(in crate::import) subject: NameMatch,
    pub(in crate::import) subject_kind: Option<&'static str>,
}

/// A text in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::import) enum NameMatch {
    Exact(String),
    RegExp(String),
    Any,
}

/// `signedIdentity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::import) enum SignedName {
    Repository,
    Exact,
    RepoDigestOrExact,
    ExactReference(String),
    ExactRepository(String),
    /// A name must be there, and it is that of the repository that is asked for.
    Named {
        host: String,
    },
}

impl Draft {
    /// One that asks for this of these images.
    pub(in crate::import) fn new(
        name: &str,
        origin: Origin,
        images: Vec<String>,
        demand: DraftDemand,
    ) -> Self {
        Self {
            name: name.to_owned(),
            origin,
            remarks: Vec::new(),
            images,
            exclude: Vec::new(),
            namespaces: Vec::new(),
            is_widened: false,
            warns: false,
            signature_repository: None,
            demand,
        }
    }

    /// Whether it lets through without proof.
    pub(in crate::import) fn is_permissive(&self) -> bool {
        self.warns || matches!(self.demand, DraftDemand::Accept)
    }
}

impl DraftDemand {
    /// Whether a signature or an attestation can meet it.
    pub(in crate::import) fn asks_signature(&self) -> bool {
        match self {
            Self::Accept | Self::Reject => false,
            Self::All(demands) | Self::Any(demands) | Self::AtLeast(_, demands) => {
                demands.iter().any(Self::asks_signature)
            }
            Self::Signed { .. } | Self::Attested { .. } => true,
        }
    }

    /// All of these; of none, what nothing meets.
    pub(in crate::import) fn all(demands: Vec<Self>) -> Self {
        Self::several(demands, Self::All)
    }

    /// Any of these; of none, what nothing meets.
    pub(in crate::import) fn any(demands: Vec<Self>) -> Self {
        Self::several(demands, Self::Any)
    }

    /// So many of these; more than there are is what nothing meets.
    pub(in crate::import) fn at_least(count: usize, demands: Vec<Self>) -> Self {
        match (count, demands.len()) {
            (0, _) => Self::Reject,
            (count, all) if count > all => Self::Reject,
            (count, all) if count == all => Self::all(demands),
            (1, _) => Self::any(demands),
            (count, _) => Self::AtLeast(count, demands),
        }
    }

    fn several(mut demands: Vec<Self>, made: fn(Vec<Self>) -> Self) -> Self {
        match demands.len() {
            0 => Self::Reject,
            1 => demands.pop().unwrap_or(Self::Reject),
            _ => made(demands),
        }
    }
}
