//! The network: [`Registry`] resolves references and fetches manifests, referrers and blobs from OCI registries
//! (distribution-spec 1.1), through the mirrors that containerd is configured with.
//!
//! One [`Session`] is one decision's budget of requests, bytes and time. Everything that comes back was hashed here;
//! nothing that a registry says about itself is believed. *Not there*, *could not be asked* and *refused* stay apart
//! in [`RegistryError`] ([`Class`]). This room decides nothing about signatures and keeps nothing on disk.

mod api;
mod credentials;
mod error;
mod hosts;
mod http;
mod options;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

pub use crate::registry::api::host_fallback::Onward;
pub use crate::registry::api::referrers::{Filter, List, Referrer, Referrers};
pub use crate::registry::api::session::{Fetched, Session};
pub use credentials::fault::{CredentialFault, CredentialWhy};
pub use credentials::program::Variables;
pub use credentials::{Access, AccessKey, AuthConfig, Credentials, CredentialsError};
pub use error::{Budget, Class, Malformed, Presented, RedirectFault, RegistryError, TlsFault, Why};
pub use hosts::survey::{Notice, survey};
pub use http::proxies::{Environment, ProxyUrl};
pub use options::Options;

use crate::budget::{MemoryBudget, TIERS};
use crate::clock::Clock;
use crate::image::Repository;
use crate::share::FairShare;

/// Registry hosts whose state (load, what was learnt) is remembered at once; the least recently used one is dropped.
/// A node pulls from tens of hosts, not hundreds.
const HOSTS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);
/// How long it is remembered that a host has, or has not, a referrers endpoint: an upgrade is noticed within this.
const SUPPORT_TTL: Duration = Duration::from_secs(600);

/// Whether the registry of a repository has the referrers endpoint of distribution-spec 1.1, as learnt from answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// Not asked yet, or too long ago.
    Unknown,
    /// It answered with a list.
    Endpoint,
    /// It answered that there is no such endpoint.
    None,
}

/// The client for all registries of this node. Cheap to keep: nothing is opened or read before the first session.
pub struct Registry {
    options: Options,
    clock: Clock,
    hosts: hosts::Hosts,
    clients: http::client::Clients,
    tokens: credentials::token::Tokens,
    node: credentials::node::NodeCredentials,
    /// Requests in flight, by the host of the plan that is asked: what it leads to, token services and redirects, is its doing.
    requests: FairShare,
    /// What is held of answers, of all sessions together.
    memory: Arc<MemoryBudget>,
    states: Mutex<LruCache<String, Arc<HostState>>>,
    learnt: Mutex<LruCache<String, (Support, Instant)>>,
    /// Authorities that the operator named in the options, folded; one without a port is named on every port.
    named: BTreeSet<String>,
    /// Chance, for waits that are not to end together.
    random: fn() -> u16,
}

/// What is kept per host that is asked, whatever the reason.
struct HostState {
    /// Set once a host that may speak either answered HTTPS with something that is not TLS.
    plain: std::sync::atomic::AtomicBool,
    /// Whether it was slow, or wants to be left alone.
    patience: http::patience::Patience,
}

impl Registry {
    /// A client with these options.
    ///
    /// # Errors
    /// [`RegistryError::Options`] when an option contradicts itself (a limit of zero, a host that is none).
    pub fn new(options: Options, clock: Clock) -> Result<Self, RegistryError> {
        options.check()?;
        Ok(Self {
            hosts: hosts::Hosts::new(options.certs_dirs.clone(), clock),
            clients: http::client::Clients::new(&options)?,
            tokens: credentials::token::Tokens::new(),
            node: credentials::node::NodeCredentials::new(&options, clock),
            requests: FairShare::new(options.shares_of_requests(), clock),
            memory: MemoryBudget::new(TIERS, clock),
            states: Mutex::new(LruCache::new(HOSTS_MAX)),
            learnt: Mutex::new(LruCache::new(HOSTS_MAX)),
            named: options.allow_local_hosts.iter().map(|host| hosts::host::fold(host)).collect(),
            options,
            clock,
            random: chance,
        })
    }

    /// Opens one decision's session; `deadline` is a point on the clock's steady time after which every call of the
    /// session fails with [`Budget::Time`].
    #[must_use]
    pub fn session(self: &Arc<Self>, access: &Access, deadline: Instant) -> Session {
        Session::new(Arc::clone(self), access.clone(), deadline)
    }

    /// The longest that a session may take, from [`Options`]: the usual deadline is now plus this.
    #[must_use]
    pub fn session_time(&self) -> Duration {
        Duration::from_millis(self.options.session_ms)
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
        match lock(&self.learnt).get(&hosts::host::fold(repository.host())) {
            Some((support, at)) if now.saturating_duration_since(*at) < SUPPORT_TTL => *support,
            _ => Support::Unknown,
        }
    }

    fn learn(&self, repository: &Repository, support: Support) {
        lock(&self.learnt).put(hosts::host::fold(repository.host()), (support, self.clock.steady()));
    }

    fn state(&self, authority: &str) -> Arc<HostState> {
        let fresh = || {
            let plain = std::sync::atomic::AtomicBool::new(false);
            Arc::new(HostState { plain, patience: http::patience::Patience::default() })
        };
        Arc::clone(lock(&self.states).get_or_insert(hosts::host::fold(authority), fresh))
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A number by chance; always the same where the system has none to give, which only makes waits end together.
fn chance() -> u16 {
    let mut bytes = [0; 2];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u16::from_ne_bytes(bytes),
        Err(_) => u16::MAX,
    }
}

/// A lock that survives a panic elsewhere: what these guard is memory that may be lost, never half written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
