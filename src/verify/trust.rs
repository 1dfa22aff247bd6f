//! [`Trust`]: what a signature is tried with, and how long what it proves holds; [`About`] and [`Claim`]: what it must say, and of
//! which digest.

use super::pki::{Authority, AuthorityId};
use super::primitives::demands::ProvenTime;
use super::primitives::key::{KeyId, PublicKey};
use super::sigstore::root::{RootId, TrustRoot};
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

/// What tells a trust from every other under which a proof is remembered.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::verify) enum TrustId {
    Key(KeyId, RootId),
    Keyless(RootId),
    Authority(AuthorityId, RootId),
}

impl<'t> Trust<'t> {
    /// What vouches for times and log entries.
    pub(in crate::verify) fn root(&self) -> Option<&'t TrustRoot> {
        match self {
            Trust::Key { root, .. } | Trust::Authority { root, .. } => *root,
            Trust::Keyless { root } => Some(root),
        }
    }

    /// Its id; none where no proof is remembered: a key by itself costs less than looking up, and an
    /// authority by itself judges at now.
    pub(in crate::verify) fn id(&self) -> Option<TrustId> {
        match self {
            Trust::Key { key, root } => root.map(|root| TrustId::Key(key.id().clone(), root.id())),
            Trust::Keyless { root } => Some(TrustId::Keyless(root.id())),
            Trust::Authority { authority, root } => {
                root.map(|root| TrustId::Authority(authority.id(), root.id()))
            }
        }
    }

    /// Whether a proof with these proven times holds at every later moment too.
    pub(in crate::verify) fn lasts(&self, times: &[ProvenTime]) -> bool {
        match self {
            Trust::Key { .. } | Trust::Keyless { .. } => true,
            Trust::Authority { authority, .. } => !authority.has_lists() && !times.is_empty(),
        }
    }
}
