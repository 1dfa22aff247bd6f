//! Cosign's older form: simple-signing payloads, and what the annotations of a layer hold beside
//! the signature.

pub(super) mod annotations;
pub(super) mod simple_signing;
