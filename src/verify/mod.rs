//! Who signed this digest: untrusted bytes, trust and a budget in; [`Signed`], which only success
//! can make, or a [`Fault`] out.
//!
//! Three forms are read: cosign's older simple-signing payload ([`Untrusted::simple_signing`]), the
//! Sigstore bundle ([`Untrusted::bundle`]) and cosign's older attestations
//! ([`Untrusted::attestation`]), made with a key or with a certificate. What a signature is tried
//! with is [`Trust`]: a key, a Sigstore instance ([`TrustRoot`]) or an own certificate authority
//! ([`Authority`]). Whether the signer is one that a policy wants, and whether the payload's
//! `docker-reference` fits, the policy says.

mod claims;
mod cosign;
mod format;
mod pki;
mod primitives;
mod prove;
mod signature;
mod sigstore;
#[cfg(test)]
mod tests;
mod trust;
mod verification_cache;

pub use crate::verify::format::Holds;
pub use crate::verify::pki::AUTHORITY_FILE_MAX;
pub use crate::verify::pki::{
    Authority, AuthorityError, AuthorityExpiry, AuthorityId, CaFault, Part,
};
pub use crate::verify::primitives::budget::Budget;
pub use crate::verify::primitives::certificate::{Certificate, Extension, San};
pub use crate::verify::primitives::demands::{Demands, LogEntry, ProvenTime, TimeSource};
pub use crate::verify::primitives::fault::{Bound, Fault, PredicateError};
pub use crate::verify::primitives::key::{KeyId, PublicKey};
pub use crate::verify::primitives::key_error::KeyError;
pub use crate::verify::primitives::limits::{
    ATTESTATION_MAX, BUNDLE_MAX, PAYLOAD_MAX, SIGNATURE_BUNDLE_MAX,
};
pub use crate::verify::primitives::statement::{PREDICATE_VALUES_MAX, Statement};
pub use crate::verify::signature::format::Format;
pub use crate::verify::signature::untrusted::{Form, Signed, Signer, Untrusted};
pub use crate::verify::sigstore::error::{ROOT_MAX, RootError};
pub use crate::verify::sigstore::root::{RootId, TrustRoot};
pub use crate::verify::trust::{About, Claim, Trust};
pub use crate::verify::verification_cache::VerificationCache;
pub use claims::Claims;
