//! [`Session`]: one decision's questions to registries, within one budget.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::host_fallback;
use super::referrers::{Filter, List, Referrers};
use crate::budget::Allowance;
use crate::image::{Digest, Reference, Repository};
use crate::registry::Registry;
use crate::registry::credentials::Access;
use crate::registry::credentials::node::Looked;
use crate::registry::error::{Budget, RegistryError};
use crate::registry::hosts::route::{Route, Wanted};
use crate::registry::options::MANIFEST_MAX;
use crate::share::{Recall, Recalled};

/// One decision: its rights, its deadline, what it has used. It may be shared; everything counts against one budget.
pub struct Session {
    registry: Arc<Registry>,
    access: Access,
    deadline: Instant,
    requests: AtomicU32,
    bytes: AtomicU64,
    /// What is held of the answers.
    allowance: Allowance,
    /// Ends the session when the decision's place goes to others.
    recall: Recall,
    /// The host that was asked last.
    asked: Mutex<Option<String>>,
    /// The node's own credentials, as far as they were looked up.
    looked: Looked,
    /// The hosts of each registry: a decision sees one state of the files, and numbers that keep their meaning.
    routes: Mutex<BTreeMap<String, Arc<Route>>>,
}

/// Bytes that came from a registry, and their digest as computed here.
#[derive(Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The digest of `bytes`.
    pub digest: Digest,
    /// The very bytes that were hashed.
    pub bytes: Bytes,
    /// What the registry calls it (`Content-Type`, without parameters): a claim, nothing to decide on (attack A4).
    pub media_type: Option<String>,
    /// The host that sent it, as it was asked.
    pub host: String,
    /// The answer bore `Docker-Distribution-Api-Version`: docker's distribution before 3 has no referrers endpoint.
    pub docker_distribution: bool,
}

impl Session {
    pub(in crate::registry) fn new(registry: Arc<Registry>, access: Access, deadline: Instant) -> Self {
        let (requests, bytes) = (AtomicU32::new(0), AtomicU64::new(0));
        let (allowance, looked) = (registry.memory().allowance(), Looked::default());
        let (recall, asked, routes) = (Recall::default(), Mutex::default(), Mutex::default());
        Self { registry, access, deadline, requests, bytes, allowance, recall, asked, looked, routes }
    }

    /// The same session, which ends when this is said.
    #[must_use]
    pub fn ending_at(self, recall: Recall) -> Self {
        Self { recall, ..self }
    }

    /// The host that was asked last: of a session whose time is over the one that it waited for.
    #[must_use]
    pub fn asked_last(&self) -> Option<String> {
        crate::registry::lock(&self.asked).clone()
    }

    /// The manifest or index that a reference means now: by its digest when it has one, else by its tag.
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
    pub async fn manifest(&self, repository: &Repository, digest: &Digest) -> Result<Fetched, RegistryError> {
        self.manifest_within(repository, digest, MANIFEST_MAX).await
    }

    /// As [`Self::manifest`], of at most `limit` bytes: for one that anybody may have put there, and of which there are many.
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
                name: format!("{repository}:{}", crate::registry::error::printable(tag)),
            });
        }
        self.content(repository, &Wanted::Tag { tag, limit: MANIFEST_MAX }).await
    }

    /// A blob of `size` bytes (as its descriptor says), at most `limit`; what comes hashes to the digest.
    ///
    /// # Errors
    /// [`RegistryError::TooLarge`] without a request when `size` is above `limit`; [`RegistryError`].
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

    /// Everything that refers to a manifest. The first host with a list that is not empty answers; an empty list, or no endpoint,
    /// sends the question on, and in the end *no endpoint* wins over *empty*, so that the fallback tag is looked at.
    /// [`Self::referrers_from`] says more, and goes on where this one ends.
    ///
    /// # Errors
    /// [`RegistryError`]; unreachable when nothing was found and any host could not be asked. A list that a limit cut is
    /// none.
    pub async fn referrers(&self, repository: &Repository, digest: &Digest) -> Result<Referrers, RegistryError> {
        let filter = Filter::all(self.registry.options.referrers_entries);
        let settled = self.settle(repository, &Wanted::Referrers { digest, filter }, 0).await?;
        match host_fallback::listed(settled, repository)?.answer {
            Referrers::Listed(List { cut: Some(limit), .. }) => Err(RegistryError::BudgetSpent(limit)),
            answer @ (Referrers::Listed(_) | Referrers::NoEndpoint) => Ok(answer),
        }
    }

    /// Requests so far, token requests and redirects included.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes of answers so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether nothing more can be asked: its time, its requests or its bytes are used up.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        let options = &self.registry.options;
        let is_full = self.requests() >= options.session_requests || self.bytes() > options.session_bytes;
        is_full || self.left().is_err()
    }

    /// What this session holds of answers: every body counts here until its last copy is dropped. What is parsed out of one
    /// and is of its size is reserved beside it.
    #[must_use]
    pub fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    /// With whose rights this session asks.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    async fn content(&self, repository: &Repository, wanted: &Wanted<'_>) -> Result<Fetched, RegistryError> {
        let settled = self.settle(repository, wanted, 0).await?;
        Ok(host_fallback::fetched(settled, repository)?.answer)
    }

    /// The hosts for a repository, as they were when this session first asked for them.
    pub(in crate::registry) async fn route(&self, repository: &Repository) -> Result<Arc<Route>, RegistryError> {
        if let Some(known) = crate::registry::lock(&self.routes).get(repository.host()) {
            return Ok(Arc::clone(known));
        }
        let route = self.registry.route(repository.host()).await?;
        // Of two that looked at once the first counts.
        Ok(Arc::clone(crate::registry::lock(&self.routes).entry(repository.host().to_owned()).or_insert(route)))
    }

    pub(in crate::registry) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(in crate::registry) fn now(&self) -> Instant {
        self.registry.clock.steady()
    }

    /// The time that is left.
    pub(in crate::registry) fn left(&self) -> Result<Duration, RegistryError> {
        let left = self.deadline.saturating_duration_since(self.now());
        if left.is_zero() || self.is_recalled() { Err(RegistryError::BudgetSpent(Budget::Time)) } else { Ok(left) }
    }

    /// Does something unless the session ends early.
    pub(in crate::registry) async fn unless_recalled<F: Future>(&self, work: F) -> Result<F::Output, Recalled> {
        self.recall.unless(work).await
    }

    /// Whether it ends early.
    pub(in crate::registry) fn is_recalled(&self) -> bool {
        self.recall.is_said()
    }

    /// Notes which host is asked.
    pub(in crate::registry) fn asks(&self, host: &str) {
        *crate::registry::lock(&self.asked) = Some(host.to_owned());
    }

    /// The longest that one request may take.
    pub(in crate::registry) fn request_time(&self) -> Duration {
        Duration::from_millis(self.registry.options.request_ms)
    }

    pub(in crate::registry) fn spend_request(&self) -> Result<(), RegistryError> {
        let limit = self.registry.options.session_requests;
        let more = |used: u32| (used < limit).then(|| used + 1);
        let spent = self.requests.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        spent.map(drop).map_err(|_| RegistryError::BudgetSpent(Budget::Requests))
    }

    pub(in crate::registry) fn spend_bytes(&self, count: usize) -> Result<(), RegistryError> {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let used = self.bytes.fetch_add(count, Ordering::Relaxed).saturating_add(count);
        if used > self.registry.options.session_bytes { Err(RegistryError::BudgetSpent(Budget::Bytes)) } else { Ok(()) }
    }

    pub(in crate::registry) fn looked(&self) -> &Looked {
        &self.looked
    }
}

impl std::fmt::Debug for Fetched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fetched({}, {} bytes from {})", self.digest, self.bytes.len(), self.host)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("requests", &self.requests()).finish_non_exhaustive()
    }
}

/// The grammar of tags (distribution-spec, "Pulling manifests"): nothing else goes into a URL (attack E2).
pub(in crate::registry) fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128 && tag.bytes().next().is_some_and(word) && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}
