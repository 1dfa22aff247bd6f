//! [`Clients`]: one HTTP client per way of connecting (TLS settings, guard, proxy), made when it is
//! first needed.
//!
//! Redirects, proxies that the HTTP library would choose, decompression and retries are off:
//! whatever happens is decided by us. HTTP/2 is spoken where the host offers it, and connections
//! are used again; as many are kept as may be in use. The system's certificate authorities are read
//! when the first client for HTTPS is made, and stay as they were then.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lru::LruCache;
use reqwest::{Client, Identity, Proxy, Url};

use super::address::{Guarded, Open};
use super::proxies::Proxies;
use crate::registry::error::RegistryError;
use crate::registry::hosts::host::{Host, Tls};
use crate::registry::lock::lock;
use crate::registry::options::{HEADER_BYTES_MAX, HEADER_LINES_MAX, Options};
use crate::registry::proxy_url::ProxyUrl;

/// Clients that are kept: each distinct TLS configuration costs memory for its certificates.
const CLIENTS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);
/// Hosts that one client is used for; then another one takes its place, and its idle connections
/// end. A pod that makes this node ask hosts without number would fill its memory with them
/// otherwise: each is tens of KiB. A node pulls from tens of hosts.
const HOSTS_MAX: usize = 64;
/// How long an idle connection is kept: longer than the pause between pull and create, short enough
/// to be nothing.
const IDLE_TIME: Duration = Duration::from_secs(20);
/// Bytes of one answer over HTTP/2 that may come before they are read: an answer waits for room
/// while others are large, and what waits is in memory. Ours are a hundredth of it as a rule.
/// hyper's own default is 2 MiB.
const STREAM_WINDOW: u32 = 128 << 10;
/// What registries and proxies see in their logs.
const USER_AGENT: &str = concat!("sealgate/", env!("CARGO_PKG_VERSION"));

/// Whether the addresses behind names are looked at (attack E5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::registry) enum Guard {
    /// A local address is refused.
    Refuse,
    /// The operator named this host.
    Allow,
}

/// Why an address elsewhere is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum RequestPurpose {
    /// Content is there; no secret goes along.
    Redirect,
    /// Its token service is there; credentials may go along.
    Token,
}

/// Everything that makes two connections different.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    plain: bool,
    tls: [u8; 32],
    guard: Guard,
    connect: Duration,
    proxy: Option<ProxyUrl>,
}

/// All clients.
pub(in crate::registry) struct Clients {
    connect: Duration,
    proxies: Proxies,
    idle: usize,
    made: Mutex<LruCache<Key, MadeClient>>,
}

/// A client, and the hosts that it was used for.
struct MadeClient {
    client: Client,
    asked: BTreeSet<String>,
}

impl Clients {
    /// # Errors
    /// [`RegistryError::Options`] for a proxy that cannot be one.
    pub(in crate::registry) fn new(options: &Options) -> Result<Self, RegistryError> {
        Ok(Self {
            connect: Duration::from_millis(options.connect_ms),
            proxies: Proxies::new(options)?,
            idle: options.concurrent_requests_per_host,
            made: Mutex::new(LruCache::new(CLIENTS_MAX)),
        })
    }

    /// The client for an address on a host of the plan.
    pub(in crate::registry) async fn for_host(
        &self,
        host: &Host,
        url: &Url,
        guard: Guard,
    ) -> Result<Client, RegistryError> {
        let plain = url.scheme() == "http";
        let tls = if plain { Tls::default() } else { host.tls.clone() };
        self.get(tls, self.key(host, host.proxy.as_ref(), url, guard), &host.authority).await
    }

    /// The client for an address elsewhere, to which this host of the plan led. What the operator
    /// said of the host counts there too, as with containerd: its authorities, its proxy, and for a
    /// redirect, which carries no secret, that certificates are not looked at. Its client
    /// certificate is for the host alone (attack E1).
    pub(in crate::registry) async fn for_other(
        &self,
        host: &Host,
        (url, purpose): (&Url, RequestPurpose),
        guard: Guard,
    ) -> Result<Client, RegistryError> {
        let tls = match (url.scheme(), purpose) {
            ("http", _) => Tls::default(),
            (_, RequestPurpose::Redirect) => Tls { client: None, ..host.tls.clone() },
            (_, RequestPurpose::Token) => Tls { ca: host.tls.ca.clone(), ..Tls::default() },
        };
        self.get(
            tls,
            self.key(host, host.proxy.as_ref(), url, guard),
            &crate::registry::hosts::host::fold_url(url),
        )
        .await
    }

    /// The proxy that an address is asked through, for messages.
    pub(in crate::registry) fn through(&self, own: Option<&ProxyUrl>, url: &Url) -> Option<String> {
        self.proxies.of(own, url).map(ProxyUrl::shown)
    }

    fn key(&self, host: &Host, proxy: Option<&ProxyUrl>, url: &Url, guard: Guard) -> Key {
        let connect = host.dial_timeout.unwrap_or(self.connect);
        let proxy = self.proxies.of(proxy, url).cloned();
        Key { plain: url.scheme() == "http", tls: [0; 32], guard, connect, proxy }
    }

    async fn get(&self, tls: Tls, key: Key, authority: &str) -> Result<Client, RegistryError> {
        let key = Key { tls: tls.fingerprint(), ..key };
        if let Some(client) =
            lock(&self.made).get_mut(&key).and_then(|made| made.client_for(authority))
        {
            return Ok(client);
        }
        // Reading the system's certificates takes milliseconds: not on the thread that serves the
        // kubelet.
        let for_task = key.clone();
        let own_files = !tls.ca.is_empty() || tls.client.is_some();
        let idle = self.idle;
        let built =
            tokio::task::spawn_blocking(move || build(&tls, &for_task, idle)).await.ok().flatten();
        let client = built.ok_or_else(|| unusable(own_files, authority))?;
        let made =
            MadeClient { client: client.clone(), asked: BTreeSet::from([authority.to_owned()]) };
        lock(&self.made).put(key, made);
        Ok(client)
    }
}

impl MadeClient {
    /// The client, unless this is one host too many.
    fn client_for(&mut self, authority: &str) -> Option<Client> {
        if !self.asked.contains(authority) {
            if self.asked.len() >= HOSTS_MAX {
                return None;
            }
            self.asked.insert(authority.to_owned());
        }
        Some(self.client.clone())
    }
}

fn unusable(own_files: bool, authority: &str) -> RegistryError {
    let (file, problem) = if own_files {
        (format!("certs.d for {authority}"), "has a certificate or key that cannot be used")
    } else {
        (
            "the system's certificate authorities".to_owned(),
            "none could be read; install ca-certificates",
        )
    };
    RegistryError::Config { file, line: None, problem }
}

/// Bytes of all answers on one connection that may come before they are read: as much as those have
/// together that may be in flight to one host. With less, those that wait for room would keep those
/// from coming on that have it.
fn connection_window(at_once: usize) -> u32 {
    u32::try_from(at_once).unwrap_or(u32::MAX).saturating_mul(STREAM_WINDOW).min(1 << 30)
}

/// None when a certificate, a key or the proxy cannot be used.
fn build(tls: &Tls, key: &Key, idle: usize) -> Option<Client> {
    let mut builder = Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .connect_timeout(key.connect)
        .pool_max_idle_per_host(idle)
        .pool_idle_timeout(IDLE_TIME)
        .http1_max_headers(HEADER_LINES_MAX)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(connection_window(idle))
        .http2_max_header_list_size(HEADER_BYTES_MAX);
    builder = match (&key.proxy, key.guard) {
        // Only the proxy's own name is resolved here, and the operator named the proxy.
        (Some(proxy), _) => {
            builder.dns_resolver(Arc::new(Open)).proxy(Proxy::all(proxy.exposed()?).ok()?)
        }
        (None, Guard::Refuse) => builder.dns_resolver(Arc::new(Guarded)),
        (None, Guard::Allow) => builder.dns_resolver(Arc::new(Open)),
    };
    let is_tls_to_proxy = key.proxy.as_ref().is_some_and(ProxyUrl::is_tls);
    if key.plain && is_tls_to_proxy {
        return builder.build().ok();
    }
    if key.plain {
        // No TLS will be spoken: the system's certificates are not read.
        return builder.tls_certs_only([]).build().ok();
    }
    builder = builder.https_only(true);
    let authorities = super::tls::authorities(tls)?;
    if !authorities.is_empty() && !tls.skip_verify {
        let config = super::tls::client_config(authorities, tls.client.as_deref())?;
        return builder.tls_backend_preconfigured(config).build().ok();
    }
    if let Some(pem) = &tls.client {
        builder = builder.identity(Identity::from_pem(pem).ok()?);
    }
    builder.tls_danger_accept_invalid_certs(tls.skip_verify).build().ok()
}
