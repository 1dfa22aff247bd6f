//! [`Authority`]: an own public key infrastructure: CA roots, intermediates and revocation lists.
//!
//! Which certificates it vouches for follows RFC 5280: the path is built and checked by
//! `rustls-webpki`; what that leaves to its caller (the root's own validity and path length, key
//! usage, which list speaks for which certificate) is checked here. Nothing here reads the files.
//! Whose name a certificate carries is not judged.

mod ca;
mod der;
mod error;
mod path;
mod read;
mod revocation;
#[cfg(test)]
mod tests;

use std::fmt;

use rustls_pki_types::TrustAnchor;
use sha2::{Digest as _, Sha256};

use ca::Ca;
pub use error::{AUTHORITY_FILE_MAX, AuthorityError, CaFault, Part};
use revocation::RevocationList;

/// A certificate authority that is not a Sigstore instance's.
pub struct Authority {
    id: AuthorityId,
    roots: Vec<Ca>,
    anchors: Vec<TrustAnchor<'static>>,
    intermediates: Vec<Ca>,
    lists: Vec<RevocationList>,
}

/// What an authority is called in memory and in generations: the SHA-256 over all its certificates
/// and lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AuthorityId(pub(super) [u8; 32]);

/// Something of an authority that ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityExpiry {
    /// Which part of the authority it belongs to.
    pub part: Part,
    /// The subject of a certificate, or the issuer of a list. As it stands there: to be escaped
    /// when it is shown.
    pub name: String,
    /// A certificate's `notAfter` or a list's `nextUpdate`: from then on nothing is accepted on its
    /// word.
    pub at: jiff::Timestamp,
}

impl Authority {
    /// Reads PEM files: each of `roots` and `intermediates` holds one certificate or several, each
    /// of `crls` one list or several. A file may hold one of them in DER instead. At least one
    /// root; all of them certificates of CAs; each list signed by one of them.
    ///
    /// # Errors
    /// [`AuthorityError`] says which file is wrong, and what is wrong with it.
    pub fn parse(
        roots: &[&[u8]],
        intermediates: &[&[u8]],
        crls: &[&[u8]],
    ) -> Result<Self, AuthorityError> {
        let roots = read::certificates(Part::Root, roots)?;
        if roots.is_empty() {
            return Err(AuthorityError::NoRoot);
        }
        let intermediates = read::certificates(Part::Intermediate, intermediates)?;
        let lists = read::lists(crls, &roots, &intermediates)?;
        Ok(Self {
            id: identity(&roots, &intermediates, &lists),
            anchors: roots.iter().map(|root| root.anchor.clone()).collect(),
            roots,
            intermediates,
            lists,
        })
    }

    /// What it is called.
    #[must_use]
    pub fn id(&self) -> AuthorityId {
        self.id
    }

    /// Whether it has revocation lists, so that what it says depends on when it is asked.
    #[must_use]
    pub fn has_lists(&self) -> bool {
        !self.lists.is_empty()
    }

    /// Everything of it that ends, in the order of the files.
    #[must_use]
    pub fn expiries(&self) -> Vec<AuthorityExpiry> {
        let of = |part: Part, ca: &Ca| AuthorityExpiry {
            part,
            name: ca.name.clone(),
            at: ca.validity.1,
        };
        let roots = self.roots.iter().map(|ca| of(Part::Root, ca));
        let intermediates = self.intermediates.iter().map(|ca| of(Part::Intermediate, ca));
        let lists = self.lists.iter().map(|list| AuthorityExpiry {
            part: Part::RevocationList,
            name: list.issuer.clone(),
            at: list.next_update,
        });
        roots.chain(intermediates).chain(lists).collect()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", self.id)
    }
}

impl fmt::Display for AuthorityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

/// Over each part with its kind and its length, so that no two authorities give the same bytes.
fn identity(roots: &[Ca], intermediates: &[Ca], lists: &[RevocationList]) -> AuthorityId {
    let roots = roots.iter().map(|ca| (b"r", ca.der.as_ref()));
    let intermediates = intermediates.iter().map(|ca| (b"i", ca.der.as_ref()));
    let lists = lists.iter().map(|list| (b"l", list.der.as_slice()));
    let mut hash = Sha256::new();
    for (kind, der) in roots.chain(intermediates).chain(lists) {
        hash.update(kind);
        hash.update(der.len().to_string());
        hash.update(b":");
        hash.update(der);
    }
    AuthorityId(hash.finalize().into())
}
