//! [`TrustRoot`]: a Sigstore `trusted_root.json`, parsed and prepared: certificate authorities, certificate logs,
//! transparency logs and timestamp authorities with the windows in which each may speak.
//!
//! Nothing here reads the file.

use std::fmt;

use sha2::{Digest as _, Sha256};
use sigstore_trust_root::TrustedRoot;
use sigstore_verify::Verifier;

/// Longest file, in bytes: the public-good instance's has 7 KB.
pub const ROOT_MAX: usize = 1024 * 1024;

/// What a Sigstore instance is trusted by.
pub struct TrustRoot {
    id: RootId,
    root: TrustedRoot,
    verifier: Verifier,
}

/// What a trust root is called in memory and in generations: the SHA-256 of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RootId([u8; 32]);

/// Why a file is not a trust root that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootError {
    /// Longer than [`ROOT_MAX`].
    TooLong,
    /// Not a trusted root in Sigstore's format.
    Malformed(String),
    /// A key or certificate in it cannot be used.
    Unusable(String),
}

impl TrustRoot {
    /// Reads a `trusted_root.json` (sigstore/protobuf-specs, `sigstore_trustroot.proto`, in its JSON form).
    ///
    /// # Errors
    /// [`RootError`] says what is wrong with it.
    pub fn parse(json: &[u8]) -> Result<Self, RootError> {
        if json.len() > ROOT_MAX {
            return Err(RootError::TooLong);
        }
        let text = str::from_utf8(json).map_err(|error| RootError::Malformed(error.to_string()))?;
        let root = TrustedRoot::from_json(text).map_err(|error| RootError::Malformed(error.to_string()))?;
        let verifier = Verifier::new(&root).map_err(|error| RootError::Unusable(error.to_string()))?;
        Ok(Self { id: RootId(Sha256::digest(json).into()), root, verifier })
    }

    /// What it is called.
    #[must_use]
    pub fn id(&self) -> RootId {
        self.id
    }

    pub(super) fn root(&self) -> &TrustedRoot {
        &self.root
    }

    pub(super) fn verifier(&self) -> &Verifier {
        &self.verifier
    }
}

impl fmt::Debug for TrustRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustRoot({})", self.id)
    }
}

impl fmt::Display for RootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Display for RootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "longer than {ROOT_MAX} bytes, which no trust root is"),
            Self::Malformed(why) => write!(f, "not a Sigstore trusted root: {}", why.escape_default()),
            Self::Unusable(why) => write!(f, "a trusted root that cannot be used: {}", why.escape_default()),
        }
    }
}

impl std::error::Error for RootError {}
