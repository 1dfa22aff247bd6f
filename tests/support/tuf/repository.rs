//! [`Repository`]: a TUF repository with keys of its own, as a mirror serves it; any part of it can
//! be made wrong.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sigstore_crypto::{KeyPair, sha256, sha512};
use sigstore_tuf::canonical_json::to_canonical_bytes;

/// After every test.
pub const LATER: &str = "2999-01-01T00:00:00Z";
/// Before every test.
pub const LONG_AGO: &str = "2001-01-01T00:00:00Z";

/// A key and its id.
pub struct Key {
    pair: KeyPair,
    id: String,
}

impl Key {
    pub fn new() -> Self {
        let pair = KeyPair::generate_ecdsa_p256().unwrap();
        let id = sha256(pair.public_key_der().unwrap().to_pem().as_bytes()).to_hex();
        Self { pair, id }
    }

    fn entry(&self) -> Value {
        let public = self.pair.public_key_der().unwrap().to_pem();
        json!({"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": public}})
    }

    fn signature(&self, signed: &Value) -> Value {
        let signature = self.pair.sign(&to_canonical_bytes(signed).unwrap()).unwrap();
        json!({"keyid": self.id, "sig": hex::encode(signature.as_bytes())})
    }
}

/// Versions, ends and content of what is published.
pub struct Repository {
    /// Signs roots.
    pub root_key: Key,
    /// Signs the rest.
    pub role_key: Key,
    /// The roots, from version 1.
    roots: Vec<Vec<u8>>,
    /// Version of timestamp, snapshot and targets.
    pub version: u64,
    /// When the timestamp expires.
    pub timestamp_expires: &'static str,
    /// When snapshot and targets expire.
    pub expires: &'static str,
    /// `trusted_root.json`.
    pub target: Vec<u8>,
}

impl Repository {
    pub fn new(target: &[u8]) -> Self {
        let mut repository = Self {
            root_key: Key::new(),
            role_key: Key::new(),
            roots: Vec::new(),
            version: 1,
            timestamp_expires: LATER,
            expires: LATER,
            target: target.to_vec(),
        };
        repository.add_root(LATER);
        repository
    }

    /// The first root: what an operator begins with.
    pub fn first_root(&self) -> Vec<u8> {
        self.roots[0].clone()
    }

    /// A new root with the keys as they are, signed by the root key.
    pub fn add_root(&mut self, expires: &str) {
        let role = |key: &Key| json!({"keyids": [key.id], "threshold": 1});
        let signed = json!({
            "_type": "root", "spec_version": "1.0.0", "version": self.roots.len() + 1, "expires": expires,
            "consistent_snapshot": true,
            "keys": {&self.root_key.id: self.root_key.entry(), &self.role_key.id: self.role_key.entry()},
            "roles": {
                "root": role(&self.root_key), "timestamp": role(&self.role_key),
                "snapshot": role(&self.role_key), "targets": role(&self.role_key),
            },
        });
        self.roots.push(envelope(&signed, &self.root_key));
    }

    /// The files that a mirror serves, by path.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let (version, key) = (self.version, &self.role_key);
        let hash = sha256(&self.target).to_hex();
        let hashes = json!({"sha256": hash, "sha512": sha512(&self.target).to_hex()});
        let target = json!({"trusted_root.json": {"length": self.target.len(), "hashes": hashes}});
        let role = |kind: &str, expires: &str, field: &str, value: Value| {
            let spec = "1.0.0";
            let signed = json!({"_type": kind, "spec_version": spec, "version": version, "expires": expires, field: value});
            envelope(&signed, key)
        };
        let pinned = |name: &str, bytes: &[u8]| {
            let hashes = json!({"sha256": sha256(bytes).to_hex()});
            json!({name: {"version": version, "length": bytes.len(), "hashes": hashes}})
        };
        let targets = role("targets", self.expires, "targets", target);
        let snapshot = role("snapshot", self.expires, "meta", pinned("targets.json", &targets));
        let timestamp =
            role("timestamp", self.timestamp_expires, "meta", pinned("snapshot.json", &snapshot));
        let mut files = BTreeMap::from([
            ("/timestamp.json".to_owned(), timestamp),
            (format!("/{version}.snapshot.json"), snapshot),
            (format!("/{version}.targets.json"), targets),
            (format!("/targets/{hash}.trusted_root.json"), self.target.clone()),
        ]);
        files.extend(
            self.roots
                .iter()
                .enumerate()
                .map(|(n, root)| (format!("/{}.root.json", n + 1), root.clone())),
        );
        files
    }
}

fn envelope(signed: &Value, key: &Key) -> Vec<u8> {
    serde_json::to_vec(&json!({"signed": signed, "signatures": [key.signature(signed)]})).unwrap()
}
