//! Commands about this node: whether nothing goes around the gate, what runs, and what the gate has
//! in force.

pub(super) mod canary;
pub(super) mod doctor;
pub(super) mod image_verifier;
mod registries;
pub(super) mod reload;
pub(super) mod running;
