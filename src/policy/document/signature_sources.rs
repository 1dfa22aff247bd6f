//! [`SignatureSources`]: where a document has signatures looked for, and how fresh it wants
//! evidence to be ([`Freshness`]).
//!
//! Where a signature lies proves nothing: one that counts does so wherever it was found. Who wrote
//! it, `judge` asks.

use std::time::Duration;

use crate::image::{Reference, Repository};

use crate::policy::document::action::Action;
use crate::policy::syntax::advice::Advice;
use crate::policy::syntax::error::PolicyFault;
use crate::policy::syntax::fields::{At, Fields, Reader};
use crate::policy::syntax::times;

/// Most repositories in which one decision looks for signatures, the image's own among them: each
/// is asked for as many places as the own one, within one decision's time. More than this is
/// answered as *unable*, never looked in in part.
pub const SIGNATURE_REPOSITORIES_MAX: usize = 8;

/// What one document says of where and how fresh.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::policy) struct SignatureSources {
    /// Where signatures are, folded; none for the image's own repository.
    repository: Option<Repository>,
    freshness: Freshness,
}

/// How fresh evidence is to be; none where nothing is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Freshness {
    /// The age at which the registry is asked again in the background.
    pub refresh_after: Option<Duration>,
    /// The age beyond which evidence does not count while the registry cannot be asked.
    pub max_offline: Option<Duration>,
}

impl Freshness {
    /// The lesser of each, as where a policy and the node's configuration both say something.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        Self {
            refresh_after: least_of(self.refresh_after, other.refresh_after),
            max_offline: least_of(self.max_offline, other.max_offline),
        }
    }
}

impl SignatureSources {
    /// Where signatures are; none for the image's own repository.
    pub(in crate::policy) fn repository(&self) -> Option<&Repository> {
        self.repository.as_ref()
    }

    /// Whether it says anything of how fresh evidence is to be.
    pub(in crate::policy) fn asks_freshness(&self) -> bool {
        self.freshness != Freshness::default()
    }

    /// How fresh evidence is to be.
    pub(in crate::policy) fn freshness(&self) -> Freshness {
        self.freshness
    }

    /// Reads the three fields; none when one of them cannot be used.
    pub(in crate::policy) fn read(spec: &Fields<'_>, reader: &mut Reader) -> Option<Self> {
        let repository = spec.get("signatureRepository").map(|at| repository(at, reader));
        let refresh_after = spec.get("refreshAfter").map(|at| age(at, reader));
        let max_offline = spec.get("maxOffline").map(|at| age(at, reader));
        let freshness =
            Freshness { refresh_after: all(refresh_after)?, max_offline: all(max_offline)? };
        Some(Self { repository: all(repository)?, freshness })
    }

    /// Notes what is odd about the three fields of a document with this action. `asks` says whether
    /// it asks for a signature or an attestation.
    pub(in crate::policy) fn advise(
        &self,
        action: Action,
        asks: bool,
        spec: &Fields<'_>,
        reader: &mut Reader,
    ) {
        for name in ["signatureRepository", "refreshAfter", "maxOffline"] {
            if let Some(at) = spec.get(name).filter(|_| !asks) {
                reader.advise(at, Advice::NoEvidenceAsked { name });
            }
        }
        if !asks {
            return;
        }
        if let Some(at) = spec.get("maxOffline").filter(|_| action == Action::Warn) {
            return reader.advise(at, Advice::RefusesNothing);
        }
        let Freshness { refresh_after, max_offline } = self.freshness;
        if let (Some(at), Some(refresh), Some(offline)) =
            (spec.get("refreshAfter"), refresh_after, max_offline)
            && refresh > offline
        {
            reader.advise(at, Advice::RefreshBeyondOffline);
        }
    }
}

/// A host and a path, as they are written: no host is added, so that nobody's Docker Hub is meant
/// by accident.
fn repository(at: &At<'_>, reader: &mut Reader) -> Option<Repository> {
    let text = reader.text(at)?;
    let as_image = Reference::parse(text).ok().map(|reference| reference.repository());
    let folded = Repository::parse(text).ok().map(|repository| repository.folded());
    if folded.is_some() && folded == as_image {
        return folded;
    }
    let write = as_image.map(|repository| repository.to_string());
    reader.fault(at, PolicyFault::SignatureRepository { got: text.to_owned(), write });
    None
}

fn age(at: &At<'_>, reader: &mut Reader) -> Option<Duration> {
    times::age(at, reader).map(|age| age.unsigned_abs())
}

/// A value that may be left out; none when it is there and cannot be used.
fn all<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    value.map_or(Some(None), |value| value.map(Some))
}

fn least_of(one: Option<Duration>, two: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(two).min()
}
