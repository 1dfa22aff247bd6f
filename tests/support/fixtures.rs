//! Loads `tests/fixtures/images`, one OCI layout of many repositories, byte for byte as cosign
//! pushed it: [`load`], [`Repository`], [`key`]. Serves nothing and depends on no other support
//! code.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "each test binary uses what it needs"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use serde_json::Value;

/// One repository with everything that can be reached from its tags. Digests are `sha256:<hex>`.
#[derive(Debug, Clone, Default)]
pub struct Repository {
    /// `registry.example.test`.
    pub host: String,
    /// `prod/signed-v2`.
    pub path: String,
    /// Tag to manifest digest.
    pub tags: BTreeMap<String, String>,
    /// Digest to media type and bytes, of manifests and indexes.
    pub manifests: BTreeMap<String, (String, Vec<u8>)>,
    /// Digest to bytes, of configs, layers and signatures.
    pub blobs: BTreeMap<String, Vec<u8>>,
}

/// All repositories, by `host/path`; read once.
pub fn load() -> &'static BTreeMap<String, Repository> {
    static LOADED: LazyLock<BTreeMap<String, Repository>> = LazyLock::new(read);
    &LOADED
}

/// One repository of `registry.example.test/prod`.
pub fn prod(situation: &str) -> &'static Repository {
    &load()[&format!("registry.example.test/prod/{situation}")]
}

/// A bundle as a plain file of `bundles/`: by the repository it signs, or `message-keyless`,
/// `message-email`, `message-build` over the bytes of `prod/unsigned:v1`.
pub fn bundle(name: &str) -> Vec<u8> {
    fs::read(folder(&format!("bundles/{name}.json"))).unwrap()
}

/// The `trusted_root.json` of the Sigstore that signed (`local`), or of another one (`foreign`).
pub fn trust_root(name: &str) -> Vec<u8> {
    fs::read(trust_root_path(name)).unwrap()
}

/// Where that trusted root lies.
pub fn trust_root_path(name: &str) -> PathBuf {
    folder(&format!("trust/{name}.json"))
}

/// Where a file of the PKI of one's own lies: `root.pem`, `intermediate.pem`, `foreign-root.pem`,
/// `before.crl`, `team.crl`, `stale.crl`, `root.crl`.
pub fn pki_path(file: &str) -> PathBuf {
    folder("pki").join(file)
}

/// The PEM file of a public key: `build`, `security`, `other`, `p384`, `rsa`, `ed25519`.
pub fn key(name: &str) -> Vec<u8> {
    fs::read(folder(&format!("keys/{name}.pub"))).unwrap()
}

/// A bundle with a signature over the bytes of `prod/unsigned:v1`, made by `cosign sign-blob` of a
/// major version.
pub fn message_bundle(key: &str, version: u8) -> Vec<u8> {
    fs::read(folder(&format!("messages/{key}-v{version}.json"))).unwrap()
}

fn read() -> BTreeMap<String, Repository> {
    let index: Value =
        serde_json::from_slice(&fs::read(folder("images/index.json")).unwrap()).unwrap();
    let mut repositories: BTreeMap<String, Repository> = BTreeMap::new();
    for entry in index["manifests"].as_array().unwrap() {
        let name = entry["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap();
        let (repository, tag) = name.rsplit_once(':').unwrap();
        let (host, path) = repository.split_once('/').unwrap();
        let repository = repositories.entry(repository.to_owned()).or_default();
        (repository.host, repository.path) = (host.to_owned(), path.to_owned());
        repository.tags.insert(tag.to_owned(), entry["digest"].as_str().unwrap().to_owned());
        repository.walk(entry);
    }
    repositories
}

impl Repository {
    /// The bytes of what a tag points at.
    pub fn tagged(&self, tag: &str) -> &[u8] {
        &self.manifests[&self.tags[tag]].1
    }

    /// The layers of the older form's manifest for a digest: payload and annotations of each.
    pub fn signatures(&self, digest: &str) -> Vec<(Vec<u8>, BTreeMap<String, String>)> {
        self.layers_of(digest, "sig")
    }

    /// The same of the older form's attestations: each payload is a DSSE envelope.
    pub fn attestations(&self, digest: &str) -> Vec<(Vec<u8>, BTreeMap<String, String>)> {
        self.layers_of(digest, "att")
    }

    fn layers_of(&self, digest: &str, suffix: &str) -> Vec<(Vec<u8>, BTreeMap<String, String>)> {
        let tag = format!("{}.{suffix}", digest.replace(':', "-"));
        let Some(manifest) = self.tags.get(&tag) else { return Vec::new() };
        let manifest: Value = serde_json::from_slice(&self.manifests[manifest].1).unwrap();
        let layers = manifest["layers"].as_array().unwrap().iter();
        let one = |layer: &Value| {
            let annotations = serde_json::from_value(layer["annotations"].clone()).unwrap();
            (self.blobs[layer["digest"].as_str().unwrap()].clone(), annotations)
        };
        layers.map(one).collect()
    }

    /// The bundles under the fallback tag of a digest.
    pub fn bundles(&self, digest: &str) -> Vec<Vec<u8>> {
        let Some(index) = self.tags.get(&digest.replace(':', "-")) else { return Vec::new() };
        let index: Value = serde_json::from_slice(&self.manifests[index].1).unwrap();
        let one = |entry: &Value| {
            let manifest = &self.manifests[entry["digest"].as_str().unwrap()].1;
            let manifest: Value = serde_json::from_slice(manifest).unwrap();
            self.blobs[manifest["layers"][0]["digest"].as_str().unwrap()].clone()
        };
        index["manifests"].as_array().unwrap().iter().map(one).collect()
    }

    fn walk(&mut self, descriptor: &Value) {
        let digest = descriptor["digest"].as_str().unwrap();
        let bytes = blob(digest);
        let document: Value = serde_json::from_slice(&bytes).unwrap();
        let media_type = descriptor["mediaType"].as_str().unwrap().to_owned();
        self.manifests.insert(digest.to_owned(), (media_type, bytes));
        for child in document["manifests"].as_array().into_iter().flatten() {
            self.walk(child);
        }
        let layers = document["layers"].as_array().into_iter().flatten();
        for held in document.get("config").into_iter().chain(layers) {
            let digest = held["digest"].as_str().unwrap();
            self.blobs.insert(digest.to_owned(), blob(digest));
        }
    }
}

fn blob(digest: &str) -> Vec<u8> {
    fs::read(folder(&format!("images/blobs/{}", digest.replace(':', "/")))).unwrap()
}

fn folder(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}
