//! Who signed this digest: untrusted bytes, a key and a budget in; [`Signed`], which only success can make, or a
//! [`Fault`] out.
//!
//! Two forms are read: cosign's older simple-signing payload ([`Untrusted::simple_signing`]) and the Sigstore bundle
//! ([`Untrusted::bundle`]), both made with a key. Whether the signer is one that a policy wants, and whether the
//! payload's `docker-reference` fits, the policy says. Certificates and transparency logs are not consulted: a log
//! entry in a key-signed bundle proves nothing without a trust root, and is only refused where it contradicts the
//! signature beside it.

mod budget;
mod bundle;
mod crypto;
mod fault;
mod key;
mod log;
mod simple;
mod statement;
mod untrusted;

pub use budget::Budget;
pub use fault::Fault;
pub use key::{KeyError, KeyId, PublicKey};
pub use untrusted::{BUNDLE_MAX, Form, PAYLOAD_MAX, Signed, Untrusted};
