//! A client whose `certs.d` is a folder of the test's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use sealgate::clock::Clock;
use sealgate::image::{Digest, Reference, Repository};
use sealgate::registry::{Access, AuthConfig, Credentials, Options, Registry, Session};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{OCI_MANIFEST, TestRegistry};

/// The name under which most tests reach their registry.
pub(crate) const NAME: &str = "reg.example.test";

/// The folder and the options; nothing of the machine is read.
pub(crate) struct Rig {
    folder: TempDir,
    pub(crate) options: Options,
}

#[allow(clippy::disallowed_methods, reason = "a test is its own daemon")]
pub(crate) fn clock() -> Clock {
    Clock::new(SystemTime::now, Instant::now)
}

impl Rig {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            certs_dirs: vec![folder.path().to_owned()],
            docker_configs: vec![folder.path().join("config.json")],
            // Tests that count requests, and most that see a failure, want each once.
            retries: 0,
            ..Options::default()
        };
        Self { folder, options }
    }

    /// `NAME` is served by this registry.
    pub(crate) fn serving(registry: &TestRegistry) -> Self {
        let rig = Self::new();
        rig.server(registry);
        rig
    }

    pub(crate) fn server(&self, registry: &TestRegistry) {
        let ca = match registry.ca_pem() {
            Some(pem) => {
                self.write("ca.crt", pem);
                format!("ca = \"{}\"\n", self.folder.path().join("ca.crt").display())
            }
            None => String::new(),
        };
        self.hosts(NAME, &format!("server = \"{}\"\n{ca}", registry.url()));
    }

    pub(crate) fn hosts(&self, host: &str, toml: &str) {
        std::fs::create_dir_all(self.folder.path().join(host)).unwrap();
        self.write(&format!("{host}/hosts.toml"), toml);
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        std::fs::write(self.folder.path().join(name), content).unwrap();
    }

    pub(crate) fn registry(&self) -> Arc<Registry> {
        Arc::new(Registry::new(self.options.clone(), clock()).unwrap())
    }

    pub(crate) fn session(&self) -> Session {
        session(&self.registry(), &Access::default())
    }

    pub(crate) fn session_of(&self, access: &Access) -> Session {
        session(&self.registry(), access)
    }
}

pub(crate) fn session(registry: &Arc<Registry>, access: &Access) -> Session {
    registry.session(access, clock().steady() + Duration::from_secs(30))
}

pub(crate) fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

/// `NAME/acme/app`.
pub(crate) fn repository() -> Repository {
    Repository::parse(&format!("{NAME}/acme/app")).unwrap()
}

/// User `robot` with this password, for a host.
pub(crate) fn robot(password: &str, host: &str) -> Access {
    let auth = AuthConfig {
        username: "robot".to_owned(),
        password: password.to_owned(),
        ..AuthConfig::default()
    };
    Access::new(Credentials::from_auth_config(&auth, host).unwrap())
}

/// A manifest in `acme/app`, tagged `1`; its bytes and digest.
pub(crate) fn push(registry: &TestRegistry) -> (Vec<u8>, Digest) {
    let bytes =
        br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#.to_vec();
    let digest = registry.put_manifest("acme/app", Some("1"), &bytes, OCI_MANIFEST);
    (bytes, Digest::parse(&digest).unwrap())
}

/// Answers every request with these bytes, after which it closes or waits; how often it was asked.
pub(crate) struct Raw {
    pub(crate) url: String,
    asked: Arc<AtomicUsize>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Raw {
    pub(crate) async fn start(bytes: Vec<u8>, closes: bool) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let accepting = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let mut head = vec![0; 4096];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(&bytes).await;
                if closes {
                    let _ = stream.shutdown().await;
                }
                open.push(stream);
            }
        });
        Self { url, asked, accepting }
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
