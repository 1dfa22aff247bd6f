//! [`Session`]: one decision's questions to registries, within one budget.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::credentials::{Access, Credentials, Secret};
use super::error::{Budget, Malformed, RegistryError};
use super::fetch::{Ask, Reply};
use super::host::{Host, fold};
use super::hosts::Plan;
use super::options::{MANIFEST_MAX, REFERRERS_PAGE_MAX};
use super::referrers::{self, INDEX, Referrer, Referrers};
use super::{Registry, Support};
use crate::image::{Digest, Reference, Repository};

/// The manifests and indexes that can be judged; schema 1 is not among them (fact P14).
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
                         application/vnd.docker.distribution.manifest.v2+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json";

/// One decision: its rights, its deadline, what it has used. It may be shared; everything counts against one budget.
pub struct Session {
    registry: Arc<Registry>,
    access: Access,
    deadline: Instant,
    requests: AtomicU32,
    bytes: AtomicU64,
    /// The node's own credentials, looked up once per repository.
    node: Mutex<BTreeMap<Repository, Option<Credentials>>>,
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

/// What is asked for, the same of every host.
enum Wanted<'a> {
    Manifest { digest: &'a Digest, limit: u64 },
    Tag(&'a str),
    Blob { digest: &'a Digest, size: u64 },
}

impl Session {
    pub(super) fn new(registry: Arc<Registry>, access: Access, deadline: Instant) -> Self {
        let (requests, bytes, node) = (AtomicU32::new(0), AtomicU64::new(0), Mutex::default());
        Self { registry, access, deadline, requests, bytes, node }
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
        self.ask_hosts(repository, &Wanted::Manifest { digest, limit: limit.min(MANIFEST_MAX) }).await
    }

    /// The manifest or index behind a tag, from a host that may say what a tag means.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn tag(&self, repository: &Repository, tag: &str) -> Result<Fetched, RegistryError> {
        if !is_tag(tag) {
            return Err(RegistryError::NotFound { name: format!("{repository}:{}", super::error::printable(tag)) });
        }
        self.ask_hosts(repository, &Wanted::Tag(tag)).await
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
        Ok(self.ask_hosts(repository, &Wanted::Blob { digest, size }).await?.bytes)
    }

    /// What refers to a manifest. The first host with a list that is not empty answers; an empty list, or no endpoint,
    /// sends the question on, and in the end *no endpoint* wins over *empty*, so that the fallback tag is looked at.
    ///
    /// # Errors
    /// [`RegistryError`]; unreachable when nothing was found and any host could not be asked.
    pub async fn referrers(&self, repository: &Repository, digest: &Digest) -> Result<Referrers, RegistryError> {
        let plan = self.plan(repository).await?;
        let (mut failed, mut answer) = (None, None);
        for host in plan.hosts.iter().filter(|host| host.pull) {
            match self.referrers_of(&plan, host, repository, digest).await {
                Ok(Referrers::Listed(list)) if !list.is_empty() => {
                    self.registry.learn(repository, Support::Endpoint);
                    return Ok(Referrers::Listed(list));
                }
                Ok(Referrers::NoEndpoint) => answer = Some(Referrers::NoEndpoint),
                Ok(empty @ Referrers::Listed(_)) => answer = answer.or(Some(empty)),
                Err(error) if error.ends_session() => return Err(error),
                Err(error) => failed = Some(more_telling(failed, error)),
            }
        }
        match (failed.filter(|error| !matches!(error, RegistryError::NotFound { .. })), answer) {
            (Some(error), _) => Err(error),
            (None, Some(answer)) => {
                let support = if answer == Referrers::NoEndpoint { Support::None } else { Support::Endpoint };
                self.registry.learn(repository, support);
                Ok(answer)
            }
            // Every host said that it knows no such repository: nothing is learnt, and nothing refers.
            (None, None) if plan.hosts.iter().any(|host| host.pull) => Ok(Referrers::NoEndpoint),
            (None, None) => Err(RegistryError::NoHost { host: repository.host().to_owned() }),
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

    /// With whose rights this session asks.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    async fn ask_hosts(&self, repository: &Repository, wanted: &Wanted<'_>) -> Result<Fetched, RegistryError> {
        let plan = self.plan(repository).await?;
        let mut failed = None;
        for host in plan.hosts.iter().filter(|host| wanted.may_come_from(host)) {
            match self.ask_host(&plan, host, repository, wanted).await {
                Ok(fetched) => return Ok(fetched),
                Err(error) if error.ends_session() => return Err(error),
                Err(error) => failed = Some(more_telling(failed, error)),
            }
        }
        Err(failed.unwrap_or_else(|| RegistryError::NoHost { host: repository.host().to_owned() }))
    }

    async fn ask_host(
        &self,
        plan: &Plan,
        host: &Host,
        repository: &Repository,
        wanted: &Wanted<'_>,
    ) -> Result<Fetched, RegistryError> {
        let (rest, accept, limit) = match wanted {
            Wanted::Manifest { digest, limit } => (format!("manifests/{digest}"), Some(MANIFESTS), *limit),
            Wanted::Tag(tag) => (format!("manifests/{tag}"), Some(MANIFESTS), MANIFEST_MAX),
            Wanted::Blob { digest, size } => (format!("blobs/{digest}"), None, *size),
        };
        let ask = Ask { plan, host, repository, rest: &rest, accept, limit };
        let reply = self.ask(&ask).await?.success(&ask)?;
        fetched(reply, &ask, wanted.digest())
    }

    async fn referrers_of(
        &self,
        plan: &Plan,
        host: &Host,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Referrers, RegistryError> {
        let rest = format!("referrers/{digest}");
        let ask = Ask { plan, host, repository, rest: &rest, accept: Some(INDEX), limit: REFERRERS_PAGE_MAX };
        let mut reply = self.ask(&ask).await?;
        if no_endpoint(&reply) {
            // "No such repository" says nothing about the endpoint.
            let unknown = reply.status == 404 && reply.code() == Some("NAME_UNKNOWN");
            return if unknown {
                reply.success(&ask).map(|_| Referrers::NoEndpoint)
            } else {
                Ok(Referrers::NoEndpoint)
            };
        }
        let malformed = |what| RegistryError::Malformed { host: ask.authority(), what };
        let mut list: Vec<Referrer> = Vec::new();
        for _ in 0..self.registry.options.referrers_pages {
            let page = reply.success(&ask)?;
            if page.media_type().as_deref() != Some(INDEX) {
                return Err(malformed(Malformed::Referrers));
            }
            list.extend(referrers::page(&page.body).ok_or_else(|| malformed(Malformed::Referrers))?);
            if list.len() > self.registry.options.referrers_entries {
                return Err(RegistryError::BudgetSpent(Budget::Entries));
            }
            match referrers::next(&page.headers, &page.url).map_err(|()| malformed(Malformed::Link))? {
                None => return Ok(Referrers::Listed(list)),
                // A page that was redirected elsewhere has no next page here: credentials would go astray.
                Some(next) if fold(&host.authority) != super::host::fold_url(&next) => {
                    return Err(malformed(Malformed::Link));
                }
                Some(next) => reply = self.ask_at(&ask, &next).await?,
            }
        }
        Err(RegistryError::BudgetSpent(Budget::Pages))
    }

    async fn plan(&self, repository: &Repository) -> Result<Arc<Plan>, RegistryError> {
        self.registry.hosts.plan(repository.host()).await
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(super) fn now(&self) -> Instant {
        self.registry.clock.steady()
    }

    /// The time that is left.
    pub(super) fn left(&self) -> Result<Duration, RegistryError> {
        let left = self.deadline.saturating_duration_since(self.now());
        if left.is_zero() { Err(RegistryError::BudgetSpent(Budget::Time)) } else { Ok(left) }
    }

    /// The longest that one request may take.
    pub(super) fn request_time(&self) -> Duration {
        Duration::from_millis(self.registry.options.request_ms)
    }

    pub(super) fn spend_request(&self) -> Result<(), RegistryError> {
        let limit = self.registry.options.session_requests;
        let more = |used: u32| (used < limit).then(|| used + 1);
        let spent = self.requests.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        spent.map(drop).map_err(|_| RegistryError::BudgetSpent(Budget::Requests))
    }

    pub(super) fn spend_bytes(&self, count: usize) -> Result<(), RegistryError> {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let used = self.bytes.fetch_add(count, Ordering::Relaxed).saturating_add(count);
        if used > self.registry.options.session_bytes { Err(RegistryError::BudgetSpent(Budget::Bytes)) } else { Ok(()) }
    }

    /// The secret that may be shown to a host: given for it, or allowed for it by the operator (attack E1, fact P18).
    pub(super) async fn secret_for(&self, host: &Host, repository: &Repository) -> Option<Secret> {
        let credentials = match self.access.credentials() {
            Some(credentials) => credentials.clone(),
            None => self.node_credentials(repository).await?,
        };
        if let Some(secret) = credentials.secret_for(&host.authority) {
            return Some(secret.clone());
        }
        let target = fold(&host.authority);
        let allowed = self.registry.options.credential_hosts.iter().any(|(registry, hosts)| {
            fold(registry) == credentials.host() && hosts.iter().any(|named| fold(named) == target)
        });
        allowed.then(|| credentials.secret().clone())
    }

    async fn node_credentials(&self, repository: &Repository) -> Option<Credentials> {
        if let Some(known) = super::lock(&self.node).get(repository) {
            return known.clone();
        }
        let found = self.registry.docker.find(repository).await;
        super::lock(&self.node).insert(repository.clone(), found.clone());
        found
    }
}

impl Wanted<'_> {
    /// A tag's meaning is asked only of hosts that may say it (hosts.md, "capabilities").
    fn may_come_from(&self, host: &Host) -> bool {
        match self {
            Self::Manifest { .. } | Self::Blob { .. } => host.pull,
            Self::Tag(_) => host.resolve,
        }
    }

    fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Manifest { digest, .. } | Self::Blob { digest, .. } => Some(digest),
            Self::Tag(_) => None,
        }
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

/// Hashes what came; only what hashes to what was asked for leaves this room (attacks A1 and A7).
fn fetched(reply: Reply, ask: &Ask<'_>, expected: Option<&Digest>) -> Result<Fetched, RegistryError> {
    let got = Digest::of(&reply.body);
    if let Some(expected) = expected
        && *expected != got
    {
        return Err(RegistryError::DigestMismatch { host: ask.authority(), expected: expected.clone(), got });
    }
    Ok(Fetched {
        digest: got,
        media_type: reply.media_type(),
        host: ask.authority(),
        docker_distribution: reply.headers.contains_key("docker-distribution-api-version"),
        bytes: reply.body,
    })
}

/// How registries without the endpoint answer: 404 by the specification; 400, 405 and 406 in the wild; or a web page
/// with status 200.
fn no_endpoint(reply: &Reply) -> bool {
    matches!(reply.status, 400 | 404 | 405 | 406)
        || (reply.status == 200 && reply.media_type().as_deref() != Some(INDEX))
}

fn more_telling(before: Option<RegistryError>, now: RegistryError) -> RegistryError {
    match before {
        Some(before) if before.rank() >= now.rank() => before,
        _ => now,
    }
}

/// The grammar of tags (distribution-spec, "Pulling manifests"): nothing else goes into a URL (attack E2).
fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128 && tag.bytes().next().is_some_and(word) && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}
