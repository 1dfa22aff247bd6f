//! Commands about this node: whether nothing goes around the gate, and what runs.

pub(super) mod canary;
pub(super) mod doctor;
pub(super) mod image_verifier;
mod registries;
pub(super) mod running;
