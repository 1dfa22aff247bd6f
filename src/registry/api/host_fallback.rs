//! [`HostFallback`]: questions about signatures, which may go on to the next host when an answer
//! does not suffice.
//!
//! A mirror that has the image often lacks its signatures. So they are looked for where the image
//! may come from, host by host, in the end at the upstream: the last one by `hosts.toml`, which is
//! the registry itself unless the operator put a `server` in its place; then, as containerd's
//! hosts.md promises, the registry is not consulted. What a host has is the last word only where
//! `signatures_upstream` is off. What a signature's manifest and blobs are is settled by their
//! digests: these may come from any of the hosts.

use bytes::Bytes;

use super::answer::{Answer, Fetched, Settled};
use super::question::{Wanted, is_tag};
use super::referrers::{Filter, List, Referrers};
use crate::aside;
use crate::image::{Digest, Repository};
use crate::registry::error::{Malformed, RegistryError};
use crate::registry::options::MANIFEST_MAX;
use crate::registry::printable::printable;
use crate::registry::session::questions::Session;

/// An answer about signatures, and who else could be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFallback<T> {
    /// The answer.
    pub answer: T,
    /// The number of the host that gave it, within this session: [`Session::manifest_at`] and
    /// [`Session::blob_at`] begin there.
    pub at: usize,
    /// The number of the host to go on with when the answer does not suffice; none when it was the
    /// last.
    pub next: Option<usize>,
    /// Why a host before it has not answered, or the answer itself is not whole: when nothing
    /// suffices in the end, the place counts as one that could not be looked in, never as one where
    /// nothing was.
    pub passed: Option<RegistryError>,
}

impl Session {
    /// What of these kinds refers to a manifest, asked of the hosts from number `start` on (0 for
    /// all): the first list that is not empty, and after that where to ask on. When no list has
    /// anything, all were asked and `next` is none: *no endpoint*, so that the fallback tag is
    /// looked at, when any said so, else the empty list.
    ///
    /// # Errors
    /// [`RegistryError`]; unreachable when nothing was found and any host could not be asked.
    pub async fn referrers_from(
        &self,
        repository: &Repository,
        digest: &Digest,
        filter: Filter,
        start: usize,
    ) -> Result<HostFallback<Referrers>, RegistryError> {
        let filter = self.bounded(filter);
        let settled =
            self.try_hosts(repository, &Wanted::Referrers { digest, filter }, start).await?;
        Ok(self.bounded_fallback(listed(settled, repository)?))
    }

    /// Reads a list that stands under a tag, within the bounds of one that an endpoint gives; none
    /// when it is no index.
    pub async fn list_in(&self, untrusted: Bytes, filter: Filter) -> Option<List> {
        let filter = self.bounded(filter);
        aside::large(untrusted.len(), move || filter.read(&untrusted)).await
    }

    fn bounded(&self, filter: Filter) -> Filter {
        Filter { most: filter.most.min(self.registry().options.referrers_entries), ..filter }
    }

    /// The manifest or index behind a tag that may name signatures, of at most `limit` bytes, asked
    /// of the hosts from number `start` on that may say what a tag means.
    ///
    /// # Errors
    /// [`RegistryError`]: not found when all of them say so; unreachable when none has it and any
    /// could not be asked.
    pub async fn tag_from(
        &self,
        repository: &Repository,
        tag: &str,
        (start, limit): (usize, u64),
    ) -> Result<HostFallback<Fetched>, RegistryError> {
        if !is_tag(tag) {
            return Err(RegistryError::NotFound {
                name: format!("{repository}:{}", printable(tag)),
            });
        }
        let settled = self
            .try_hosts(repository, &Wanted::Tag { tag, limit: limit.min(MANIFEST_MAX) }, start)
            .await?;
        Ok(self.bounded_fallback(fetched(settled, repository)?))
    }

    /// A manifest around a signature by its digest, of at most `limit` bytes: from the host that
    /// named it first, then from all others.
    ///
    /// # Errors
    /// As [`Session::manifest_within`].
    pub async fn manifest_at(
        &self,
        repository: &Repository,
        digest: &Digest,
        limit: u64,
        at: usize,
    ) -> Result<Fetched, RegistryError> {
        let wanted = Wanted::Manifest { digest, limit: limit.min(MANIFEST_MAX) };
        let settled = self.try_hosts_beginning_at(repository, &wanted, at).await?;
        Ok(fetched(settled, repository)?.answer)
    }

    /// A blob of a signature of `size` bytes, at most `limit`: from the host that named it first,
    /// then from all others.
    ///
    /// # Errors
    /// As [`Session::blob`].
    pub async fn blob_at(
        &self,
        repository: &Repository,
        (digest, size): (&Digest, u64),
        limit: u64,
        at: usize,
    ) -> Result<Bytes, RegistryError> {
        if size > limit {
            return Err(RegistryError::TooLarge { host: repository.host().to_owned(), limit });
        }
        let settled =
            self.try_hosts_beginning_at(repository, &Wanted::Blob { digest, size }, at).await?;
        Ok(fetched(settled, repository)?.answer.bytes)
    }

    fn bounded_fallback<T>(&self, answer: HostFallback<T>) -> HostFallback<T> {
        let next = answer.next.filter(|_| self.registry().options.signatures_upstream);
        HostFallback { next, ..answer }
    }
}

/// The list of an answer; entries that were left out, and limits that cut it, make it one that is
/// not whole.
pub(in crate::registry) fn listed(
    settled: Settled,
    repository: &Repository,
) -> Result<HostFallback<Referrers>, RegistryError> {
    let Settled { answer, at, next, mut passed } = settled;
    if let Answer::Listed { list, .. } = &answer {
        passed = passed.or_else(|| list.cut.map(RegistryError::BudgetSpent));
    }
    let answer = match answer {
        Answer::Listed { list, foreign: false } => Referrers::Listed(list),
        Answer::Listed { list, foreign: true } => {
            let what = Malformed::Algorithm;
            passed = passed.or_else(|| {
                Some(RegistryError::Malformed { host: repository.host().to_owned(), what })
            });
            Referrers::Listed(list)
        }
        Answer::NoEndpoint | Answer::NoRepository => Referrers::NoEndpoint,
        Answer::Content(_) => return Err(unexpected(repository)),
    };
    Ok(HostFallback { answer, at, next, passed })
}

/// The content of an answer.
pub(in crate::registry) fn fetched(
    settled: Settled,
    repository: &Repository,
) -> Result<HostFallback<Fetched>, RegistryError> {
    let Settled { answer, at, next, passed } = settled;
    match answer {
        Answer::Content(fetched) => Ok(HostFallback { answer: fetched, at, next, passed }),
        Answer::Listed { .. } | Answer::NoEndpoint | Answer::NoRepository => {
            Err(unexpected(repository))
        }
    }
}

/// An answer to another question than the one that was asked; it would be a fault of this room.
fn unexpected(repository: &Repository) -> RegistryError {
    RegistryError::Malformed { host: repository.host().to_owned(), what: Malformed::Referrers }
}
