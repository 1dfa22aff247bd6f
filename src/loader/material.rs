//! What policies name, from disk: [`keys`], [`certificates`] and [`trust_roots`].

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::error::{FileFault, Problem, RootFault};
use super::files::{self, Owners};
use super::roots::{self, TrustOptions};
use super::shipped::shipped;
use crate::policy::Documents;
use crate::verify::{PublicKey, TrustRoot};

/// Most bytes of one key file that are read; longer than any that is accepted, so that the key's
/// own reader says so.
pub(super) const KEY_MAX: usize = 32 * 1024;
/// Most bytes of one file of certificates or revocation lists; a list of some ten thousand
/// certificates has 1 MiB.
const CERTIFICATES_MAX: usize = 4 * 1024 * 1024;

/// The keys that the policies name, each under its name as written.
pub(super) fn keys(
    documents: &Documents,
    (folder, owners): (&Path, Owners),
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, PublicKey> {
    let mut keys = BTreeMap::new();
    for (name, place) in documents.places_of_keys() {
        // A name with a leading slash replaces the folder; names never climb (the policy's reader
        // sees to that).
        let path = folder.join(&name);
        let key = match files::read_of(&path, KEY_MAX, owners) {
            Ok(bytes) => PublicKey::parse_pem(&bytes).map_err(FileFault::Key),
            Err(fault) => Err(fault),
        };
        match key {
            Ok(key) => {
                keys.insert(name, key);
            }
            Err(fault) => problems.push(Problem::Key { file: path, fault, named_at: place }),
        }
    }
    keys
}

/// The files of certificates and revocation lists that the policies name, each under its name as
/// written. What is in them is read when the policies and they are put together.
pub(super) fn certificates(
    documents: &Documents,
    (folder, owners): (&Path, Owners),
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, Vec<u8>> {
    let mut read = BTreeMap::new();
    for (name, named_at) in documents.places_of_files() {
        let file = folder.join(&name);
        match files::read_of(&file, CERTIFICATES_MAX, owners) {
            Ok(bytes) => drop(read.insert(name, bytes)),
            Err(fault) => problems.push(Problem::Certificates { file, fault, named_at }),
        }
    }
    read
}

/// The trust roots that the policies name, each from the first folder that has it.
pub(super) fn trust_roots(
    documents: &Documents,
    options: &TrustOptions,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, Arc<TrustRoot>> {
    let mut read = BTreeMap::new();
    for (name, named_at) in documents.places_of_roots() {
        let Some((file, bytes)) = roots::read(options, &name) else {
            let is_fetched = shipped(&name).is_some() || options.mirrors.contains_key(&name);
            problems.push(Problem::NoRoot {
                name,
                folders: options.roots.clone(),
                is_fetched,
                named_at,
            });
            continue;
        };
        let root = bytes.map_err(RootFault::File).and_then(|bytes| {
            TrustRoot::parse(&bytes).map_err(|error| RootFault::Content(error.to_string()))
        });
        match root {
            Ok(root) => drop(read.insert(name, Arc::new(root))),
            Err(fault) => problems.push(Problem::Root { name, file, fault, named_at }),
        }
    }
    read
}
