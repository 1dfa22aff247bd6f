//! Evidence in, verdict out: [`case::Case`] holds the documents that match an image against its
//! evidence.
//!
//! The result of each requirement and document, the denial message and the report are here. Nothing
//! is fetched, and no clock is read.

pub(super) mod acceptance;
pub(super) mod case;
pub(super) mod context;
pub(super) mod denial_message;
pub(super) mod finding;
pub(super) mod judge;
pub(super) mod permit;
pub(super) mod policy_result;
pub(super) mod report;
pub(super) mod requirement_result;
pub(super) mod serialize;
pub(super) mod signer;
mod struck_off;
