//! What every format is made of: keys and checks with them, certificates, statements, what evidence
//! is asked for ([`demands::Demands`]), and why a signature does not count ([`fault::Fault`]).
//!
//! Nothing here knows a format.

pub(in crate::verify) mod budget;
pub(in crate::verify) mod certificate;
pub(in crate::verify) mod content;
pub(in crate::verify) mod crypto;
pub(in crate::verify) mod demands;
pub(in crate::verify) mod fault;
pub(in crate::verify) mod json;
pub(in crate::verify) mod key;
pub(in crate::verify) mod key_error;
pub(in crate::verify) mod leaf;
pub(in crate::verify) mod limits;
pub(in crate::verify) mod pem;
pub(in crate::verify) mod statement;
