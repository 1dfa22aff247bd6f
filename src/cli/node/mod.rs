//! Commands about the node as it is: whether nothing goes around the gate.

pub(super) mod canary;
pub(super) mod doctor;
pub(super) mod image_verifier;
mod registries;
