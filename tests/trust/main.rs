//! Refreshing trust roots: a TUF repository made here, served on loopback, fetched by the room and
//! by the program.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails loudly"
)]
#![allow(unreachable_pub, reason = "a test binary has no outside")]

#[path = "../support/tuf.rs"]
mod support;

mod attacks;
mod daemon;
mod program;
mod updates;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use sealgate::loader;
use sealgate::tuf::{self, Ask, UpdateError, Updated};

use support::mirror::Mirror;
use support::repository::Repository;

/// What is published: two roots that differ.
fn published() -> [Vec<u8>; 2] {
    ["public-good", "staging"]
        .map(|name| loader::shipped(name).unwrap().trusted_root.as_bytes().to_vec())
}

/// A repository, its mirror, and a node's folder.
struct Stage {
    repository: Repository,
    mirror: Mirror,
    dir: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let [first, _] = published();
        let repository = Repository::new(&first);
        let mirror = Mirror::serve(&repository);
        Self { repository, mirror, dir: tempfile::tempdir().unwrap() }
    }

    /// One on which a first update was done.
    fn updated() -> Self {
        let stage = Self::new();
        stage.update().unwrap();
        stage
    }

    fn state(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join("trust")
    }

    fn ask(&self) -> Ask {
        Ask {
            name: "acme".to_owned(),
            mirror: self.mirror.url(),
            root: self.repository.first_root(),
            state: self.state(),
            proxy: None,
            limit: Duration::from_secs(30),
        }
    }

    fn update(&self) -> Result<Updated, UpdateError> {
        update(&self.ask())
    }

    /// Publishes another root in a newer version.
    fn publish_next(&mut self) {
        let [first, second] = published();
        self.repository.target = if self.repository.target == first { second } else { first };
        self.repository.version += 1;
        self.mirror.publish(&self.repository);
    }

    /// The root in place.
    fn installed(&self) -> Option<Vec<u8>> {
        fs::read(self.state().join("acme.json")).ok()
    }

    /// Every file below the node's folder, with its content.
    fn everything(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let (mut found, mut folders) = (Vec::new(), vec![self.state()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let content = fs::read(&path).unwrap();
                    found.push((path, content));
                }
            }
        }
        found.sort();
        found
    }
}

fn update(ask: &Ask) -> Result<Updated, UpdateError> {
    let accept =
        |bytes: &[u8]| loader::parse_root(bytes).map(drop).map_err(|fault| fault.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(tuf::update(ask, accept, "2026-06-01T00:00:00Z".parse().unwrap()))
}
