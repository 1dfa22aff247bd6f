//! [`Draft`]: a policy that an import makes, before it is written down.

use super::fault::Origin;

/// One policy.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    /// What it is to be called; made unique and fit for a name when it is written.
    pub(super) name: String,
    /// Where it came from.
    pub(super) origin: Origin,
    /// What stands in comments above it.
    pub(super) remarks: Vec<String>,
    pub(super) images: Vec<String>,
    pub(super) exclude: Vec<String>,
    /// Empty: all.
    pub(super) namespaces: Vec<String>,
    /// `action: warn`.
    pub(super) warns: bool,
    pub(super) signature_repository: Option<String>,
    pub(super) demand: DraftDemand,
}

/// What it demands.
#[derive(Debug, Clone)]
pub(super) enum DraftDemand {
    /// `insecureAcceptAnything`.
    Accept,
    /// What nothing meets.
    Reject,
    All(Vec<Self>),
    Any(Vec<Self>),
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
#[derive(Debug, Clone)]
pub(super) enum By {
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
pub(super) struct Witnesses {
    pub(super) trust_root: Option<String>,
    pub(super) log_entries: u8,
    pub(super) timestamps: u8,
}

/// Whose certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HolderName {
    pub(super) issuer: NameMatch,
    pub(super) subject: NameMatch,
    pub(super) subject_kind: Option<&'static str>,
}

/// A text in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NameMatch {
    Exact(String),
    RegExp(String),
    Any,
}

/// `signedIdentity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SignedName {
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
    pub(super) fn new(
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
            warns: false,
            signature_repository: None,
            demand,
        }
    }

    /// Whether it lets through without proof.
    pub(super) fn is_permissive(&self) -> bool {
        self.warns || matches!(self.demand, DraftDemand::Accept)
    }
}

impl DraftDemand {
    /// All of these; of none, what nothing meets.
    pub(super) fn all(demands: Vec<Self>) -> Self {
        Self::several(demands, Self::All)
    }

    /// Any of these; of none, what nothing meets.
    pub(super) fn any(demands: Vec<Self>) -> Self {
        Self::several(demands, Self::Any)
    }

    fn several(mut demands: Vec<Self>, made: fn(Vec<Self>) -> Self) -> Self {
        match demands.len() {
            0 => Self::Reject,
            1 => demands.pop().unwrap_or(Self::Reject),
            _ => made(demands),
        }
    }
}
