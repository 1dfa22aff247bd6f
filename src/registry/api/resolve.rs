//! The questions of a [`Session`] about content: what a reference means, manifests, blobs, all
//! referrers.

use bytes::Bytes;

use super::answer::Fetched;
use super::host_fallback::{fetched, listed};
use super::question::{Wanted, is_tag};
use super::referrers::{Filter, List, Referrers};
use crate::image::{Digest, Reference, Repository};
use crate::registry::error::RegistryError;
use crate::registry::options::MANIFEST_MAX;
use crate::registry::printable::printable;
use crate::registry::session::questions::Session;

impl Session {
    /// The manifest or index that a reference means now: by its digest when it has one, else by its
    /// tag.
    ///
    /// # Errors
    /// [`RegistryError`]; of several hosts' failures the most telling one.
    pub async fn resolve(&self, reference: &Reference) -> Result<Fetched, RegistryError> {
        let repository = reference.runtime_repository();
        match (reference.digest(), reference.tag()) {
            (Some(digest), _) => self.manifest(repository, digest).await,
            (None, Some(tag)) => self.tag(repository, tag).await,
            (None, None) => self.tag(repository, "latest").await,
        }
    }

    /// A manifest or index by its digest; what comes hashes to it.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Fetched, RegistryError> {
        self.manifest_within(repository, digest, MANIFEST_MAX).await
    }

    /// As [`Self::manifest`], of at most `limit` bytes: for one that anybody may have put there,
    /// and of which there are many.
    ///
    /// # Errors
    /// [`RegistryError::TooLarge`] when it is longer; [`RegistryError`].
    pub async fn manifest_within(
        &self,
        repository: &Repository,
        digest: &Digest,
        limit: u64,
    ) -> Result<Fetched, RegistryError> {
        self.content(repository, &Wanted::Manifest { digest, limit: limit.min(MANIFEST_MAX) }).await
    }

    /// The manifest or index behind a tag, from a host that may say what a tag means.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn tag(&self, repository: &Repository, tag: &str) -> Result<Fetched, RegistryError> {
        if !is_tag(tag) {
            return Err(RegistryError::NotFound {
                name: format!("{repository}:{}", printable(tag)),
            });
        }
        self.content(repository, &Wanted::Tag { tag, limit: MANIFEST_MAX }).await
    }

    /// A blob of `size` bytes (as its descriptor says), at most `limit`; what comes hashes to the
    /// digest.
    ///
    /// # Errors
    /// [`RegistryError::TooLarge`] without a request when `size` is above `limit`;
    /// [`RegistryError`].
    pub async fn blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        size: u64,
        limit: u64,
    ) -> Result<Bytes, RegistryError> {
        if size > limit {
            return Err(RegistryError::TooLarge { host: repository.host().to_owned(), limit });
        }
        Ok(self.content(repository, &Wanted::Blob { digest, size }).await?.bytes)
    }

    /// Everything that refers to a manifest. The first host with a list that is not empty answers;
    /// an empty list, or no endpoint, sends the question on, and in the end *no endpoint* wins over
    /// *empty*, so that the fallback tag is looked at. [`Self::referrers_from`] says more, and goes
    /// on where this one ends.
    ///
    /// # Errors
    /// [`RegistryError`]; unreachable when nothing was found and any host could not be asked. A
    /// list that a limit cut is none.
    pub async fn referrers(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Referrers, RegistryError> {
        let filter = Filter::all(self.registry().options.referrers_entries);
        let settled = self.try_hosts(repository, &Wanted::Referrers { digest, filter }, 0).await?;
        match listed(settled, repository)?.answer {
            Referrers::Listed(List { cut: Some(limit), .. }) => {
                Err(RegistryError::BudgetSpent(limit))
            }
            answer @ (Referrers::Listed(_) | Referrers::NoEndpoint) => Ok(answer),
        }
    }

    async fn content(
        &self,
        repository: &Repository,
        wanted: &Wanted<'_>,
    ) -> Result<Fetched, RegistryError> {
        let settled = self.try_hosts(repository, wanted, 0).await?;
        Ok(fetched(settled, repository)?.answer)
    }
}
