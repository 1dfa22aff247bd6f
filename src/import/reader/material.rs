//! [`KeyMaterial`]: the keys and certificates that imported policies name; [`Surroundings`]: how an
//! import asks for what is not in its files.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::fault::{ImportFault, Omission, Origin};
use super::tree::{Findings, Tree};
use crate::policy::{Material as PolicyMaterial, PolicyFault};
use crate::verify::{PublicKey, TrustRoot};

/// The folder of keys, below the node's, in which imported files are.
const FOLDER: &str = "imported";
/// Digits of a file's name: of its content's SHA-256.
const DIGITS: usize = 16;

/// How an import asks for what its files name.
pub struct Surroundings<'s> {
    /// The bytes of a file, or what the system said.
    pub read: &'s dyn Fn(&str) -> Result<Vec<u8>, String>,
    /// The trust root of this name, where there is one.
    pub trust_root: &'s dyn Fn(&str) -> Option<Arc<TrustRoot>>,
}

/// Files by the name under which policies name them.
#[derive(Debug, Default)]
pub(in crate::import) struct KeyMaterial {
    keys: BTreeMap<String, (Vec<u8>, PublicKey)>,
    certificates: BTreeMap<String, Vec<u8>>,
}

impl KeyMaterial {
    /// A public key in PEM, and the name that it has here; none where it cannot be used, which is
    /// noted.
    pub(in crate::import) fn key(
        &mut self,
        pem: &[u8],
        origin: Origin,
        findings: &mut Findings,
    ) -> Option<String> {
        match PublicKey::parse_pem(pem) {
            Ok(key) => {
                let name = name(pem, "pub");
                self.keys.insert(name.clone(), (pem.to_owned(), key));
                Some(name)
            }
            Err(error) => {
                let fault = PolicyFault::Syntax(error.to_string());
                findings.omit(origin, Omission::Refused(fault));
                None
            }
        }
    }

    /// Certificates in PEM. Whether they are an authority's is seen when the policy is checked.
    pub(in crate::import) fn certificates(&mut self, pem: Vec<u8>) -> String {
        let name = name(&pem, "pem");
        self.certificates.insert(name.clone(), pem);
        name
    }

    /// Everything, as a set of policies takes it.
    pub(in crate::import) fn as_policies_take_it(&self) -> PolicyMaterial {
        PolicyMaterial {
            keys: self.keys.iter().map(|(name, (_, key))| (name.clone(), key.clone())).collect(),
            files: self.certificates.clone(),
            roots: BTreeMap::new(),
        }
    }

    /// The files.
    pub(in crate::import) fn into_files(self) -> BTreeMap<String, Vec<u8>> {
        let keys = self.keys.into_iter().map(|(name, (pem, _))| (name, pem));
        keys.chain(self.certificates).collect()
    }
}

impl Surroundings<'_> {
    /// A file that a policy names.
    pub(in crate::import) fn file(
        &self,
        at: &Tree<'_>,
        findings: &mut Findings,
    ) -> Option<Vec<u8>> {
        let path = at.text(findings)?;
        match (self.read)(path) {
            Ok(bytes) => Some(bytes),
            Err(why) => {
                findings.fault(at.origin(), ImportFault::Unreadable { path: path.to_owned(), why });
                None
            }
        }
    }
}

fn name(bytes: &[u8], ending: &str) -> String {
    let mut digits = hex::encode(Sha256::digest(bytes));
    digits.truncate(DIGITS);
    format!("{FOLDER}/{digits}.{ending}")
}
