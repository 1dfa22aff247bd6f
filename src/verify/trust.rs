//! [`Trust`]: what a signature is tried with; [`About`] and [`Claim`]: what it must say, and of
//! which digest.

use super::pki::Authority;
use super::primitives::key::PublicKey;
use super::sigstore::root::TrustRoot;
use crate::image::Digest;

/// What a signature is said to be about.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The digest of a manifest or an index.
    pub digest: &'a Digest,
    /// Its bytes, where they are at hand: signatures over the bytes themselves need them. Their
    /// digest is compared.
    pub artifact: Option<&'a [u8]>,
    /// What is to be said about it.
    pub claim: Claim<'a>,
}

/// What a signature is to say: an attestation of one kind never counts as another, nor as a
/// signature on the image (attack B2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim<'a> {
    /// That the signer signed this image: the older payload, a message signature, or the statement
    /// that `cosign sign` makes.
    ImageSignature,
    /// An in-toto statement with one of these predicate types.
    Attestation(&'a [String]),
}

/// Whom a signature is to be by, and what vouches for its time.
#[derive(Debug, Clone, Copy)]
pub enum Trust<'t> {
    /// The holder of a key. The root, where there is one, vouches for times and log entries.
    Key {
        /// The key.
        key: &'t PublicKey,
        /// What vouches for times.
        root: Option<&'t TrustRoot>,
    },
    /// The holder of a certificate of a Sigstore instance, whoever that is.
    Keyless {
        /// The instance.
        root: &'t TrustRoot,
    },
    /// The holder of a certificate of an own authority, whoever that is. Without a proven time the
    /// certificate is judged at now.
    Authority {
        /// The authority.
        authority: &'t Authority,
        /// What vouches for times.
        root: Option<&'t TrustRoot>,
    },
}
