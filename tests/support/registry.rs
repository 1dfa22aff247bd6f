//! [`TestRegistry`]: a registry of OCI distribution-spec 1.1 in this process, for tests: it
//! conforms unless a [`Settings`] field or a [`Rule`] says how it must not, and it keeps a log of
//! every request.
//!
//! It listens on 127.0.0.1 in a thread of its own, so that a test may block, pause its clock or
//! start other programs. Not for production, not complete: no deletion, no ranges.

#![allow(dead_code, unused_imports, reason = "shared by several test binaries, each uses a part")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::too_many_arguments,
    reason = "test support fails loudly"
)]
#![allow(unreachable_pub, reason = "pub marks what tests use; a test binary has no outside")]
#![allow(missing_docs, reason = "the fields of an answer are named for what they are")]

#[path = "registry/answer.rs"]
mod answer;
#[path = "registry/api.rs"]
mod api;
#[path = "registry/auth.rs"]
mod auth;
#[path = "registry/log.rs"]
mod log;
#[path = "registry/serve.rs"]
mod serve;
#[path = "registry/store.rs"]
mod store;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use answer::{Answer, Rule};
pub use auth::{Auth, REFRESH_TOKEN, TOKEN};
pub use log::Entry;

/// Media type of an OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What `GET /v2/<name>/referrers/<digest>` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Referrers {
    /// The endpoint of distribution-spec 1.1, all in one page.
    Endpoint,
    /// The endpoint, at most this many entries a page, the next one named by a Link header.
    Pages(usize),
    /// No such endpoint: this status (404, 400 and 405 are seen in the wild).
    Missing(u16),
    /// No such endpoint: a web page with status 200.
    WebPage,
}

/// How the registry behaves; [`Settings::conforming`] is the usual start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The referrers endpoint.
    pub referrers: Referrers,
    /// Who may read and write.
    pub auth: Auth,
    /// Serve HTTPS with a certificate for `localhost` and 127.0.0.1 of a fresh authority
    /// ([`TestRegistry::ca_pem`]).
    pub tls: bool,
    /// Over HTTPS, serve only clients with a certificate of that authority
    /// ([`TestRegistry::client_pem`]).
    pub client_certificates: bool,
    /// Send `Docker-Distribution-Api-Version: registry/2.0`, as docker's distribution does.
    pub docker_header: bool,
    /// Filter referrers by `artifactType`, and say so.
    pub filters: bool,
}

impl Settings {
    /// Conforms to distribution-spec 1.1: referrers endpoint, anonymous, plain HTTP.
    pub fn conforming() -> Self {
        Self {
            referrers: Referrers::Endpoint,
            auth: Auth::Anonymous,
            tls: false,
            client_certificates: false,
            docker_header: false,
            filters: false,
        }
    }

    /// Like docker-registry 2.8: no referrers endpoint (404).
    pub fn without_referrers() -> Self {
        Self { referrers: Referrers::Missing(404), docker_header: true, ..Self::conforming() }
    }

    /// The same with another way to authenticate.
    pub fn auth(self, auth: Auth) -> Self {
        Self { auth, ..self }
    }

    /// The same with another referrers endpoint.
    pub fn referrers(self, referrers: Referrers) -> Self {
        Self { referrers, ..self }
    }

    /// The same over HTTPS.
    pub fn tls(self) -> Self {
        Self { tls: true, ..self }
    }

    /// The same over HTTPS, for clients with a certificate alone.
    pub fn client_certificates(self) -> Self {
        Self { tls: true, client_certificates: true, ..self }
    }
}

/// A running registry; it stops when this value is dropped.
pub struct TestRegistry {
    address: SocketAddr,
    ca_pem: Option<String>,
    client_pem: Option<(String, String)>,
    shared: Arc<Shared>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What the server's tasks and the test's handle share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) origin: String,
    pub(crate) store: Mutex<store::Store>,
    pub(crate) rules: Mutex<Vec<answer::Armed>>,
    pub(crate) log: Mutex<log::Log>,
}

impl TestRegistry {
    /// Starts one on a free port of 127.0.0.1.
    pub fn start(settings: Settings) -> Self {
        Self::start_on(settings, std::net::TcpListener::bind("127.0.0.1:0").expect("a free port"))
    }

    /// Starts one on a listener, which may be in another network namespace.
    pub fn start_on(settings: Settings, listener: std::net::TcpListener) -> Self {
        listener.set_nonblocking(true).expect("nonblocking");
        let address = listener.local_addr().expect("an address");
        let certified = settings.tls.then(|| serve::certificate(settings.client_certificates));
        let (ca_pem, client_pem, acceptor) = match certified {
            Some(certified) => {
                (Some(certified.ca), Some(certified.client), Some(certified.acceptor))
            }
            None => (None, None, None),
        };
        let scheme = if settings.tls { "https" } else { "http" };
        let shared = Arc::new(Shared {
            settings,
            origin: format!("{scheme}://{address}"),
            store: Mutex::default(),
            rules: Mutex::default(),
            log: Mutex::default(),
        });
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let for_thread = Arc::clone(&shared);
        let thread =
            std::thread::spawn(move || serve::run(listener, acceptor, for_thread, stopped));
        Self { address, ca_pem, client_pem, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Host and port as an image reference has them, `127.0.0.1:40123`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Scheme, host and port.
    pub fn url(&self) -> String {
        self.shared.origin.clone()
    }

    /// The certificate of the authority that signed the server's, when it serves HTTPS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// A client's certificate and key that this registry serves, when it serves HTTPS.
    pub fn client_pem(&self) -> Option<(&str, &str)> {
        self.client_pem.as_ref().map(|(certificate, key)| (certificate.as_str(), key.as_str()))
    }

    /// Stores a manifest under its digest and, when given, a tag; returns the digest.
    pub fn put_manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        bytes: &[u8],
        media_type: &str,
    ) -> String {
        lock(&self.shared.store).put_manifest(repository, tag, bytes, media_type)
    }

    /// Stores a blob; returns its digest.
    pub fn put_blob(&self, repository: &str, bytes: &[u8]) -> String {
        lock(&self.shared.store).put_blob(repository, bytes)
    }

    /// Stores a repository byte for byte: its blobs, its manifests by digest with their media types,
    /// and these tags, each of the digest of one of them.
    pub fn put_all<'a>(
        &self,
        repository: &str,
        blobs: &BTreeMap<String, Vec<u8>>,
        manifests: &BTreeMap<String, (String, Vec<u8>)>,
        tags: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) {
        for bytes in blobs.values() {
            self.put_blob(repository, bytes);
        }
        for (media_type, bytes) in manifests.values() {
            self.put_manifest(repository, None, bytes, media_type);
        }
        for (tag, digest) in tags {
            let (media_type, bytes) = &manifests[digest];
            self.put_manifest(repository, Some(tag), bytes, media_type);
        }
    }

    /// What a digest's manifest or blob is, when it was pushed.
    pub fn stored(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        lock(&self.shared.store).any(repository, digest)
    }

    /// The digest behind a tag.
    pub fn tagged(&self, repository: &str, tag: &str) -> Option<String> {
        lock(&self.shared.store).tagged(repository, tag)
    }

    /// Adds a rule; the first rule that fits a request answers it.
    pub fn rule(&self, rule: Rule) {
        lock(&self.shared.rules).push(answer::Armed::new(rule));
    }

    /// Takes all rules away.
    pub fn clear_rules(&self) {
        lock(&self.shared.rules).clear();
    }

    /// Every request so far, in the order in which they came.
    pub fn requests(&self) -> Vec<Entry> {
        lock(&self.shared.log).entries()
    }

    /// Forgets the log.
    pub fn clear_log(&self) {
        lock(&self.shared.log).clear();
    }

    /// The most requests that were in flight at once.
    pub fn most_in_flight(&self) -> usize {
        lock(&self.shared.log).most_in_flight()
    }

    /// The longest chain of requests of which each came only after the one before was answered.
    pub fn series(&self) -> usize {
        lock(&self.shared.log).series()
    }

    /// How many requests there were to paths that contain `part`.
    pub fn count(&self, part: &str) -> usize {
        self.requests().iter().filter(|entry| entry.path.contains(part)).count()
    }
}

impl Drop for TestRegistry {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
