//! Commands about this node: whether nothing goes around the gate, what runs, what the gate has in
//! force, and which version of the program is on it.

pub(super) mod canary;
pub(super) mod doctor;
pub(super) mod image_verifier;
mod registries;
pub(super) mod reload;
pub(super) mod running;
pub(super) mod version;
