//! [`Hostile`]: registries on raw sockets that are good ones, for one signed image each, but for
//! one [`Fault`] at one [`Step`]; and traps beside them that record what is sent to whom it does
//! not belong.
//!
//! A [`Cell`] is one fault at one step: an image, the `hosts.toml` that leads to its registry,
//! credentials, and what a gate has to answer, which [`table`] says. The runtime's own questions
//! are always answered with the truth: here the gate is looked at. Nothing is verified here, and
//! nothing is of use outside of tests.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "shared by test binaries, each uses a part"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_arguments,
    clippy::wildcard_enum_match_arm,
    reason = "test support fails loudly, and most steps are alike"
)]

#[path = "hostile/act.rs"]
mod act;
#[path = "hostile/bodies.rs"]
mod bodies;
#[path = "hostile/faults.rs"]
mod faults;
#[path = "hostile/http2.rs"]
mod http2;
#[path = "hostile/serve.rs"]
mod serve;
#[path = "hostile/table.rs"]
pub mod table;
#[path = "hostile/tls.rs"]
mod tls;
#[path = "hostile/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[allow(unused_imports, reason = "each binary uses a part")]
pub use faults::{Fault, fault};
#[allow(unused_imports, reason = "each binary uses a part")]
pub use table::{Answer, Expected, Step};
pub use world::{ATTESTED, SIGNED};

use crate::signing::Signer;
use serve::Role;
use world::Good;

/// The user of the credentials that only the registry itself, and its own token service, may see.
pub const USER: &str = "robot";
/// The password.
pub const PASSWORD: &str = "planted-password";
/// User and password as HTTP Basic has them.
pub const BASIC: &str = "cm9ib3Q6cGxhbnRlZC1wYXNzd29yZA==";
/// The token that the token service gives out.
pub const TOKEN: &str = "planted-token";
/// The value of a header that `hosts.toml` gives for the registry itself.
pub const HEADER: &str = "planted-header";
/// A loopback address that no operator named: nothing at all may be sent there.
const UNNAMED: &str = "127.0.0.9";

/// All hostile registries of one test; they stop when this is dropped.
pub struct Hostile {
    runtime: Option<tokio::runtime::Runtime>,
    signer: Signer,
    count: AtomicUsize,
}

/// One fault at one step.
pub struct Cell {
    /// The fault.
    pub fault: &'static Fault,
    /// Where it is.
    pub step: Step,
    /// What is to be pulled.
    pub image: String,
    /// The registry's host, `127.0.0.1:40123`.
    pub host: String,
    shared: Arc<Shared>,
}

/// What a cell's listeners share.
pub(crate) struct Shared {
    pub(crate) fault: &'static Fault,
    pub(crate) step: Step,
    pub(crate) world: BTreeMap<String, Good>,
    pub(crate) places: Places,
    /// How often the step was asked for by the gate, after it had authenticated itself.
    pub(crate) asked: AtomicUsize,
    /// What came to whom it does not belong: the place, and which secret.
    pub(crate) leaks: Mutex<Vec<String>>,
    /// How many requests came to the place that nobody may be sent to.
    pub(crate) trapped: AtomicUsize,
    /// Nobody listens any more.
    pub(crate) gone: AtomicBool,
}

/// Where everything is.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The registry itself.
    pub(crate) registry: SocketAddr,
    /// A mirror that is asked before it.
    pub(crate) mirror: Option<SocketAddr>,
    /// Where blobs are redirected to.
    pub(crate) target: SocketAddr,
    /// Another host, which may be asked and may know no secret.
    pub(crate) elsewhere: SocketAddr,
    /// Another host, which may not be asked at all.
    pub(crate) unnamed: SocketAddr,
}

impl Hostile {
    /// None yet; their threads are started.
    pub fn start() -> Self {
        bodies::prepare();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        Self {
            runtime: Some(runtime.expect("a runtime")),
            signer: Signer::ed25519(),
            count: AtomicUsize::new(0),
        }
    }

    /// The public key that vouches for every image, PEM.
    pub fn key(&self) -> Vec<u8> {
        self.signer.pem()
    }

    /// Sets up one cell, with `hosts.toml` for it below `certs`.
    pub fn open(&self, step: Step, fault: &'static Fault, certs: &Path) -> Cell {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let _inside = self.runtime.as_ref().expect("runs until dropped").enter();
        let bind = |address: &str| std::net::TcpListener::bind((address, 0)).expect("a free port");
        let at = |listener: &std::net::TcpListener| listener.local_addr().expect("an address");
        let (registry, target, elsewhere, unnamed) =
            (bind("127.0.0.1"), bind("127.0.0.1"), bind("127.0.0.1"), bind(UNNAMED));
        let mirror = step.has_mirror().then(|| bind("127.0.0.1"));
        let places = Places {
            registry: at(&registry),
            mirror: mirror.as_ref().map(at),
            target: at(&target),
            elsewhere: at(&elsewhere),
            unnamed: at(&unnamed),
        };
        let made = world::make(step, fault, &self.signer, &places, number);
        tls::write_hosts(certs, &places, fault, step);
        let shared = Arc::new(Shared {
            fault,
            step,
            world: made.world,
            places,
            asked: AtomicUsize::new(0),
            leaks: Mutex::default(),
            trapped: AtomicUsize::new(0),
            gone: AtomicBool::new(false),
        });
        let host = shared.places.registry.to_string();
        for (role, listener) in [
            (Role::Registry, Some(registry)),
            (Role::Mirror, mirror),
            (Role::Target, Some(target)),
            (Role::Elsewhere, Some(elsewhere)),
            (Role::Unnamed, Some(unnamed)),
        ] {
            if let Some(listener) = listener {
                serve::listen(role, listener, &shared);
            }
        }
        Cell { fault, step, image: made.image, host, shared }
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Cell {
    /// `step/fault`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.step.name(), self.fault.name)
    }

    /// What must not have come where it came.
    pub fn leaks(&self) -> Vec<String> {
        lock(&self.shared.leaks).clone()
    }

    /// Whether the fault may stand where nothing of the gate arrives: nobody listens there, or no
    /// connection comes about.
    pub fn may_be_unmet(&self) -> bool {
        matches!(
            self.fault.kind,
            faults::Kind::Refused | faults::Kind::Tls(_) | faults::Kind::Document(_)
        )
    }

    /// Whether the runtime meets the fault as well, and may fail by itself where the gate has
    /// admitted.
    pub fn meets_runtime(&self) -> bool {
        matches!(self.fault.kind, faults::Kind::Refused | faults::Kind::Tls(_))
    }

    /// How often the gate came to the step: a fault that was never met shows nothing.
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::Relaxed)
    }
}

impl Shared {
    pub(crate) fn leaked(&self, place: &str, secret: &str) {
        lock(&self.leaks).push(format!("{place} was sent {secret}"));
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
