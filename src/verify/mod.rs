//! Who signed this digest: untrusted bytes, trust and a budget in; [`Signed`], which only success can make, or a
//! [`Fault`] out.
//!
//! Three forms are read: cosign's older simple-signing payload ([`Untrusted::simple_signing`]), the Sigstore bundle
//! ([`Untrusted::bundle`]) and cosign's older attestations ([`Untrusted::attestation`]), made with a key or with a
//! certificate. What a signature is tried with is [`Trust`]: a key, a Sigstore instance ([`TrustRoot`]) or an own
//! certificate authority ([`Authority`]). Whether the signer is one that a policy wants, and whether the payload's
//! `docker-reference` fits, the policy says.

mod attached;
mod budget;
mod certificate;
mod claims;
mod cosign;
mod crypto;
mod fault;
mod key;
mod leaf;
mod pem;
mod pki;
mod proof;
mod prove;
mod sigstore;
mod statement;
#[cfg(test)]
mod tests;
mod untrusted;
mod verification_cache;

pub use crate::verify::cosign::annotations::LAYER_ANNOTATIONS;
pub use crate::verify::pki::{
    AUTHORITY_FILE_MAX, Authority, AuthorityError, AuthorityExpiry, AuthorityId, CaFault, Part,
};
pub use crate::verify::sigstore::root::{ROOT_MAX, RootError, RootId, TrustRoot};
pub use crate::verify::verification_cache::VerificationCache;
pub use budget::Budget;
pub use certificate::{Certificate, Extension, San};
pub use claims::Claims;
pub use fault::{Bound, Fault, PredicateError};
pub use key::{KeyError, KeyId, PublicKey};
pub use proof::{About, Claim, Demands, LogEntry, ProvenTime, TimeSource, Trust};
pub use statement::{PREDICATE_VALUES_MAX, Statement};
pub use untrusted::{ATTESTATION_MAX, BUNDLE_MAX, Form, PAYLOAD_MAX, Signed, Signer, Untrusted};
