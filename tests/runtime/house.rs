//! [`House`]: a containerd, a registry that it knows as `registry.example.test`, and the gate's
//! client of it.

use std::fs;

use sealgate::containerd::{Content, Options, Runtime};
use sealgate::image::Digest;

use crate::containerd::{Containerd, Flavour, Host, Setup};
use crate::registry::{Settings, TestRegistry};
use crate::tiny::{INDEX, MANIFEST, Tiny};

/// The name under which containerd knows the registry.
pub(crate) const HOST: &str = "registry.example.test";

/// Few at a time: each is a containerd with its pods, on a machine that may have two cores.
static FEW: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(2);

pub(crate) struct House {
    pub(crate) containerd: Containerd,
    pub(crate) registry: TestRegistry,
    pub(crate) runtime: Runtime,
    _place: tokio::sync::SemaphorePermit<'static>,
}

impl House {
    /// With the machine's own containerd.
    pub(crate) async fn system() -> Self {
        Self::of(Flavour::system().unwrap()).await
    }

    pub(crate) async fn of(flavour: Flavour) -> Self {
        let place = FEW.acquire().await.unwrap();
        let registry = TestRegistry::start(Settings::conforming());
        let setup = Setup::of(flavour, Host::new(HOST, &registry.url()));
        let containerd = Containerd::start(setup).await.unwrap();
        let options = Options { socket: containerd.socket(), ..Options::default() };
        let house = Self { runtime: Runtime::new(options), containerd, registry, _place: place };
        house.push("pause", "1", &Tiny::pause());
        house
    }

    /// Puts an image into the registry.
    pub(crate) fn push(&self, path: &str, tag: &str, image: &Tiny) -> Digest {
        for blob in image.layers.iter().chain([&image.config]) {
            self.registry.put_blob(path, blob);
        }
        Digest::parse(&self.registry.put_manifest(path, Some(tag), &image.manifest, MANIFEST))
            .unwrap()
    }

    /// Puts an index over an image into the registry, the image itself without a tag.
    pub(crate) fn push_index(&self, path: &str, tag: &str, image: &Tiny) -> Digest {
        self.push(path, "only-for-pushing", image);
        Digest::parse(&self.registry.put_manifest(path, Some(tag), &image.index(), INDEX)).unwrap()
    }

    /// Pushes an image and has containerd pull it by its digest, as the gate does.
    pub(crate) async fn pulled(&self, path: &str, image: &Tiny) -> Content {
        let digest = self.push(path, "1", image);
        self.containerd.cri().pull(&format!("{HOST}/{path}@{digest}")).await.unwrap();
        self.runtime.prove_content(&digest, &image.id()).await.unwrap()
    }

    /// `ctr image import`: an image that comes from no registry.
    pub(crate) fn import(&self, image: &Tiny, names: &[&str]) {
        let archive = self.containerd.folder().join("import.tar");
        fs::write(&archive, image.archive(names)).unwrap();
        self.containerd.ctr(&["images", "import", archive.to_str().unwrap()]);
    }
}

/// Waits until something holds; fails after ten seconds.
pub(crate) async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(10), waiting).await;
    assert!(waited.is_ok(), "still waiting: {what}");
}
