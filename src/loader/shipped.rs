//! [`Shipped`]: the trust roots that come with the program, as Sigstore published them; the same
//! files are in `packaging/trust`.
//!
//! They are the beginning, not the present: `sealgate trust update` fetches what is published now.
//! Nothing here decides which root is used; that is where a file of its name is found first.

use std::sync::Arc;

use super::error::Problem;
use crate::policy::Material;
use crate::verify::TrustRoot;

/// One Sigstore instance that is known without being configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shipped {
    /// What policies call it.
    pub name: &'static str,
    /// Its `trusted_root.json` at the time of the build.
    pub trusted_root: &'static str,
    /// The TUF root that its updates are checked from.
    pub tuf_root: &'static str,
    /// Where its updates are published.
    pub mirror: &'static str,
}

/// Sigstore's public-good instance and its staging instance.
const SHIPPED: [Shipped; 2] = [
    Shipped {
        name: "public-good",
        trusted_root: include_str!("../../packaging/trust/public-good.json"),
        tuf_root: include_str!("../../packaging/trust/public-good.root.json"),
        mirror: "https://tuf-repo-cdn.sigstore.dev",
    },
    Shipped {
        name: "staging",
        trusted_root: include_str!("../../packaging/trust/staging.json"),
        tuf_root: include_str!("../../packaging/trust/staging.root.json"),
        mirror: "https://tuf-repo-cdn.sigstage.dev",
    },
];

/// The shipped root of this name.
#[must_use]
pub fn shipped(name: &str) -> Option<Shipped> {
    SHIPPED.into_iter().find(|shipped| shipped.name == name)
}

/// Where no gate is installed, the roots that the program comes with stand for its own.
pub(super) fn take_shipped(problems: &mut Vec<Problem>, material: &mut Material) {
    problems.retain(|problem| match problem {
        Problem::NoRoot { name, .. } => match shipped_root(name) {
            Some(root) => {
                material.roots.insert(name.clone(), root);
                false
            }
            None => true,
        },
        Problem::Policy(_)
        | Problem::File { .. }
        | Problem::DenyList { .. }
        | Problem::Key { .. }
        | Problem::Certificates { .. }
        | Problem::Root { .. }
        | Problem::ListSigner { .. } => true,
    });
}

fn shipped_root(name: &str) -> Option<Arc<TrustRoot>> {
    TrustRoot::parse(shipped(name)?.trusted_root.as_bytes()).ok().map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_roots_are_those_that_sigstore_published() {
        let good = shipped("public-good").unwrap();
        assert_eq!(good.trusted_root, sigstore_trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT);
        let staging = shipped("staging").unwrap();
        assert_eq!(staging.trusted_root, sigstore_trust_root::SIGSTORE_STAGING_TRUSTED_ROOT);
        assert_eq!(shipped("acme"), None);
    }

    /// Each is signed by its own keys, and its file can be used as it is.
    #[test]
    fn the_shipped_files_are_good() {
        for shipped in SHIPPED {
            let set =
                sigstore_tuf::TrustedMetadataSet::from_root(shipped.tuf_root.as_bytes()).unwrap();
            assert!(set.root().version >= 15, "{}", shipped.name);
            assert!(
                crate::loader::parse_root(shipped.trusted_root.as_bytes()).is_ok(),
                "{}",
                shipped.name
            );
        }
    }
}
