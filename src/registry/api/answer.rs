//! What hosts answer: [`Fetched`] content, a list, or that there is none; and which answer counts.

use bytes::Bytes;

use super::referrers::List;
use crate::image::Digest;
use crate::registry::error::RegistryError;

/// Bytes that came from a registry, and their digest as computed here.
#[derive(Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The digest of `bytes`.
    pub digest: Digest,
    /// The very bytes that were hashed.
    pub bytes: Bytes,
    /// What the registry calls it (`Content-Type`, without parameters): a claim, nothing to decide
    /// on (attack A4).
    pub media_type: Option<String>,
    /// The host that sent it, as it was asked.
    pub host: String,
    /// The answer bore `Docker-Distribution-Api-Version`: docker's distribution before 3 has no
    /// referrers endpoint.
    pub docker_distribution: bool,
}

/// What a host answered.
pub(in crate::registry) enum Answer {
    Content(Fetched),
    /// A list, and whether entries were left out of it because nothing could prove them.
    Listed {
        list: List,
        foreign: bool,
    },
    /// There is no list of what refers to something.
    NoEndpoint,
    /// All hosts say that they know no such repository.
    NoRepository,
}

/// The answer that counts.
pub(in crate::registry) struct Settled {
    pub(in crate::registry) answer: Answer,
    /// The number of the host that gave it.
    pub(in crate::registry) at: usize,
    /// The number of the next host that could be asked.
    pub(in crate::registry) next: Option<usize>,
    /// The most telling failure of those that were asked before it; "not there" is none.
    pub(in crate::registry) passed: Option<RegistryError>,
}

impl Answer {
    /// Whether no other host need be asked: there is something.
    pub(in crate::registry) fn settles(&self) -> bool {
        match self {
            Self::Content(_) => true,
            Self::Listed { list, .. } => !list.is_empty(),
            Self::NoEndpoint | Self::NoRepository => false,
        }
    }
}

impl std::fmt::Debug for Fetched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fetched({}, {} bytes from {})", self.digest, self.bytes.len(), self.host)
    }
}
