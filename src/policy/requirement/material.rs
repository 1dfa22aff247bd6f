//! [`Material`]: what the documents name and somebody else has read: keys, certificates, revocation
//! lists, trust roots.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::verify::{PublicKey, TrustRoot};

/// Everything that documents name, each under its name as written.
#[derive(Debug, Clone, Default)]
pub struct Material {
    /// Keys, by file.
    pub keys: BTreeMap<String, PublicKey>,
    /// Certificates and revocation lists (PEM), by file.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Trust roots, by name.
    pub roots: BTreeMap<String, Arc<TrustRoot>>,
}

impl FromIterator<(String, PublicKey)> for Material {
    fn from_iter<I: IntoIterator<Item = (String, PublicKey)>>(keys: I) -> Self {
        Self { keys: keys.into_iter().collect(), ..Self::default() }
    }
}
