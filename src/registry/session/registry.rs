//! [`Registry`]: the client for all registries of this node, and what it remembers of their hosts.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lru::LruCache;

use crate::budget::{MemoryBudget, TIERS};
use crate::clock::Clock;
use crate::image::Repository;
use crate::registry::authority::fold;
use crate::registry::credentials::node::NodeCredentials;
use crate::registry::credentials::token::Tokens;
use crate::registry::error::RegistryError;
use crate::registry::failures::{Cause, Failures};
use crate::registry::hosts::Hosts;
use crate::registry::http::client::Clients;
use crate::registry::http::patience::Patience;
use crate::registry::lock::lock;
use crate::registry::options::Options;
use crate::share::FairShare;

/// Registry hosts whose state (load, what was learnt) is remembered at once; the least recently
/// used one is dropped. A node pulls from tens of hosts, not hundreds.
const HOSTS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);
/// How long it is remembered that a host has, or has not, a referrers endpoint: an upgrade is
/// noticed within this.
const SUPPORT_TTL: Duration = Duration::from_secs(600);

/// Whether the registry of a repository has the referrers endpoint of distribution-spec 1.1, as
/// learnt from answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// Not asked yet, or too long ago.
    Unknown,
    /// It answered with a list.
    Endpoint,
    /// It answered that there is no such endpoint.
    None,
}

/// The client for all registries of this node. Cheap to keep: nothing is opened or read before the
/// first session.
pub struct Registry {
    pub(in crate::registry) options: Options,
    pub(in crate::registry) clock: Clock,
    pub(in crate::registry) hosts: Hosts,
    pub(in crate::registry) clients: Clients,
    pub(in crate::registry) tokens: Tokens,
    pub(in crate::registry) node: NodeCredentials,
    /// Requests in flight, by the host of the plan that is asked: what it leads to, token services
    /// and redirects, is its doing.
    pub(in crate::registry) requests: FairShare,
    /// What is held of answers, of all sessions together.
    pub(in crate::registry) memory: Arc<MemoryBudget>,
    pub(in crate::registry) states: Mutex<LruCache<String, Arc<HostState>>>,
    pub(in crate::registry) learnt: Mutex<LruCache<String, (Support, Instant)>>,
    /// Authorities that the operator named in the options, folded; one without a port is named on
    /// every port.
    pub(in crate::registry) named: BTreeSet<String>,
    /// What hosts did not give, by cause.
    pub(in crate::registry) failures: Failures,
    /// Chance, for waits that are not to end together.
    pub(in crate::registry) random: fn() -> u16,
}

/// What is kept per host that is asked, whatever the reason.
pub(in crate::registry) struct HostState {
    /// Set once a host that may speak either answered HTTPS with something that is not TLS.
    pub(in crate::registry) plain: AtomicBool,
    /// Whether it was slow, or wants to be left alone.
    pub(in crate::registry) patience: Patience,
}

impl Registry {
    /// A client with these options.
    ///
    /// # Errors
    /// [`RegistryError::Options`] when an option contradicts itself (a limit of zero, a host that
    /// is none).
    pub fn new(options: Options, clock: Clock) -> Result<Self, RegistryError> {
        options.check()?;
        Ok(Self {
            hosts: Hosts::new(options.certs_dirs.clone(), clock),
            clients: Clients::new(&options)?,
            tokens: Tokens::new(),
            node: NodeCredentials::new(&options, clock),
            requests: FairShare::new(options.shares_of_requests(), clock),
            memory: MemoryBudget::new(TIERS, clock),
            states: Mutex::new(LruCache::new(HOSTS_MAX)),
            learnt: Mutex::new(LruCache::new(HOSTS_MAX)),
            named: options.allow_local_hosts.iter().map(|host| fold(host)).collect(),
            options,
            clock,
            random: chance,
            failures: Failures::default(),
        })
    }

    /// The longest that a session may take, from [`Options`]: the usual deadline is now plus this.
    #[must_use]
    pub fn session_time(&self) -> Duration {
        Duration::from_millis(self.options.session_ms)
    }

    /// How often hosts did not give what they were asked for since the start, by cause.
    #[must_use]
    pub fn failures(&self) -> Vec<(Cause, u64)> {
        self.failures.by_cause()
    }

    /// The memory that answers take, and what else is held of decisions.
    #[must_use]
    pub fn memory(&self) -> &Arc<MemoryBudget> {
        &self.memory
    }

    /// What is known of the referrers endpoint of this repository's host.
    #[must_use]
    pub fn referrers_support(&self, repository: &Repository) -> Support {
        let now = self.clock.steady();
        match lock(&self.learnt).get(&fold(repository.host())) {
            Some((support, at)) if now.saturating_duration_since(*at) < SUPPORT_TTL => *support,
            _ => Support::Unknown,
        }
    }

    pub(in crate::registry) fn learn(&self, repository: &Repository, support: Support) {
        lock(&self.learnt).put(fold(repository.host()), (support, self.clock.steady()));
    }

    pub(in crate::registry) fn state(&self, authority: &str) -> Arc<HostState> {
        let fresh = || {
            let plain = AtomicBool::new(false);
            Arc::new(HostState { plain, patience: Patience::default() })
        };
        Arc::clone(lock(&self.states).get_or_insert(fold(authority), fresh))
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A number by chance; always the same where the system has none to give, which only makes waits
/// end together.
fn chance() -> u16 {
    let mut bytes = [0; 2];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u16::from_ne_bytes(bytes),
        Err(_) => u16::MAX,
    }
}
