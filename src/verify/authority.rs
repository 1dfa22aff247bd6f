//! [`Authority`]: an own public key infrastructure: CA roots, intermediates and revocation lists.
//!
//! Nothing here reads the files.

use std::fmt;

/// A certificate authority that is not a Sigstore instance's.
#[derive(Debug)]
pub struct Authority {
    id: AuthorityId,
}

/// What an authority is called in memory and in generations: the SHA-256 over all its certificates and lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AuthorityId(pub(super) [u8; 32]);

/// Why files are not an authority that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorityError {
    /// No certificate in it.
    NotPem,
}

impl Authority {
    /// Reads PEM files: each of `roots` and `intermediates` holds one certificate or several, each of `crls` one list or
    /// several. At least one root.
    ///
    /// # Errors
    /// [`AuthorityError`] says what is wrong.
    pub fn parse(_roots: &[&[u8]], _intermediates: &[&[u8]], _crls: &[&[u8]]) -> Result<Self, AuthorityError> {
        Err(AuthorityError::NotPem)
    }

    /// What it is called.
    #[must_use]
    pub fn id(&self) -> AuthorityId {
        self.id
    }
}

impl fmt::Display for AuthorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPem => f.write_str("no certificate in it"),
        }
    }
}

impl std::error::Error for AuthorityError {}
