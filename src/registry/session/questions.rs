//! [`Session`]: one decision's questions to registries, within one budget.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::registry::Registry;
use super::route::Route;
use super::silence::Silence;
use crate::budget::Allowance;
use crate::image::Repository;
use crate::registry::authority::fold;
use crate::registry::credentials::Access;
use crate::registry::credentials::node::Looked;
use crate::registry::error::{Budget, RegistryError};
use crate::registry::hosts::host::Host;
use crate::registry::lock::lock;
use crate::share::{Recall, Recalled};

/// One decision: its rights, its deadline, what it has used. It may be shared; everything counts
/// against one budget.
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
    /// Whether any host has answered.
    silence: Silence,
    /// The hosts of each registry: a decision sees one state of the files, and numbers that keep
    /// their meaning.
    routes: Mutex<BTreeMap<String, Arc<Route>>>,
}

impl Registry {
    /// Opens one decision's session; `deadline` is a point on the clock's steady time after which
    /// every call of the session fails with [`Budget::Time`].
    #[must_use]
    pub fn session(self: &Arc<Self>, access: &Access, deadline: Instant) -> Session {
        Session::new(Arc::clone(self), access.clone(), deadline)
    }
}

impl Session {
    fn new(registry: Arc<Registry>, access: Access, deadline: Instant) -> Self {
        let (requests, bytes) = (AtomicU32::new(0), AtomicU64::new(0));
        let (allowance, looked) = (registry.memory().allowance(), Looked::default());
        let (recall, asked, routes) = (Recall::default(), Mutex::default(), Mutex::default());
        let silence = Silence::default();
        Self {
            registry,
            access,
            deadline,
            requests,
            bytes,
            allowance,
            recall,
            asked,
            looked,
            silence,
            routes,
        }
    }

    /// The same session, which ends when this is said.
    #[must_use]
    pub fn ending_at(self, recall: Recall) -> Self {
        Self { recall, ..self }
    }

    /// The host that was asked last: of a session whose time is over the one that it waited for.
    #[must_use]
    pub fn asked_last(&self) -> Option<String> {
        lock(&self.asked).clone()
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
        let is_full =
            self.requests() >= options.session_requests || self.bytes() > options.session_bytes;
        is_full || self.left().is_err()
    }

    /// Whether no host has answered, although each was asked and waited for: the registry is silent.
    /// It is not where a host asked to be left alone, or where limits of this gate or others that
    /// waited kept the session from asking or from waiting.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.silence.is_total() && !self.is_recalled()
    }

    /// What this session holds of answers: every body counts here until its last copy is dropped.
    /// What is parsed out of one and is of its size is reserved beside it.
    #[must_use]
    pub fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    /// With whose rights this session asks.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The hosts for a repository, as they were when this session first asked for them.
    pub(in crate::registry) async fn route(
        &self,
        repository: &Repository,
    ) -> Result<Arc<Route>, RegistryError> {
        if let Some(known) = lock(&self.routes).get(repository.host()) {
            return Ok(Arc::clone(known));
        }
        let route = self.registry.route(repository.host()).await?;
        // Of two that looked at once the first counts.
        Ok(Arc::clone(lock(&self.routes).entry(repository.host().to_owned()).or_insert(route)))
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
        if left.is_zero() || self.is_recalled() {
            Err(RegistryError::BudgetSpent(Budget::Time))
        } else {
            Ok(left)
        }
    }

    /// Does something unless the session ends early.
    pub(in crate::registry) async fn unless_recalled<F: Future>(
        &self,
        work: F,
    ) -> Result<F::Output, Recalled> {
        self.recall.unless(work).await
    }

    /// Whether it ends early.
    pub(in crate::registry) fn is_recalled(&self) -> bool {
        self.recall.is_said()
    }

    /// What it has heard.
    pub(super) fn silence(&self) -> &Silence {
        &self.silence
    }

    /// Notes that a host, or a cache of what it said, has answered.
    pub(in crate::registry) fn note_answer(&self) {
        self.silence.hear();
    }

    /// Notes what came of a question to a host.
    pub(in crate::registry) fn note_error(&self, authority: &str, error: &RegistryError) {
        self.registry.failures.count(error);
        self.silence.note_error(&fold(authority), error);
    }

    /// Notes the hosts that there was no time left for.
    pub(in crate::registry) fn note_unasked<'h>(&self, hosts: impl Iterator<Item = &'h Host>) {
        hosts.for_each(|host| self.silence.starve(&fold(&host.authority)));
    }

    /// Notes that a host was not asked or not waited for any longer, for the sake of others.
    pub(in crate::registry) fn note_held_back(&self) {
        self.silence.hold_back();
    }

    /// Notes which host is asked.
    pub(in crate::registry) fn asks(&self, host: &str) {
        *lock(&self.asked) = Some(host.to_owned());
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
        if used > self.registry.options.session_bytes {
            Err(RegistryError::BudgetSpent(Budget::Bytes))
        } else {
            Ok(())
        }
    }

    pub(in crate::registry) fn looked(&self) -> &Looked {
        &self.looked
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("requests", &self.requests()).finish_non_exhaustive()
    }
}
