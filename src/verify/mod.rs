//! Who signed this digest: untrusted bytes, trust and a budget in; [`Signed`], which only success can make, or a
//! [`Fault`] out.
//!
//! Three forms are read: cosign's older simple-signing payload ([`Untrusted::simple_signing`]), the Sigstore bundle
//! ([`Untrusted::bundle`]) and cosign's older attestations ([`Untrusted::attestation`]), made with a key or with a
//! certificate. What a signature is tried with is [`Trust`]: a key, a Sigstore instance ([`TrustRoot`]) or an own
//! certificate authority ([`Authority`]). Whether the signer is one that a policy wants, and whether the payload's
//! `docker-reference` fits, the policy says.

mod attached;
mod authority;
mod budget;
mod bundle;
mod certificate;
mod claims;
mod crypto;
mod fault;
mod issuer;
mod key;
mod leaf;
mod legacy;
mod log;
mod memo;
mod pem;
mod proof;
mod prove;
mod root;
mod sct;
mod sigstore;
mod simple;
mod stamp;
mod statement;
#[cfg(test)]
mod tests;
mod untrusted;
mod witness;

pub use authority::{AUTHORITY_FILE_MAX, Authority, AuthorityError, AuthorityExpiry, AuthorityId, CaFault, Part};
pub use budget::Budget;
pub use certificate::{Certificate, Extension, San};
pub use claims::Claims;
pub use fault::{Bound, Fault, Unsaid};
pub use key::{KeyError, KeyId, PublicKey};
pub use legacy::LAYER_ANNOTATIONS;
pub use memo::Proofs;
pub use proof::{About, Claim, Demands, LogEntry, ProvenTime, TimeSource, Trust};
pub use root::{ROOT_MAX, RootError, RootId, TrustRoot};
pub use statement::{PREDICATE_VALUES_MAX, Statement};
pub use untrusted::{ATTESTATION_MAX, BUNDLE_MAX, Form, PAYLOAD_MAX, Signed, Signer, Untrusted};
