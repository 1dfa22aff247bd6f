//! How the gate tests itself: a pull through the real socket that must be refused ([`pull`]), a
//! signature that must be proven and one that must not ([`Judge`]), and what follows from both and
//! from the node ([`Fault`]).
//!
//! The wiring, the timer and what is read of the node are `daemon/`'s.

mod fault;
mod judge;
mod options;
mod pull;

pub use fault::{Doubt, Fault};
pub use judge::Judge;
pub use options::Options;
pub use pull::{Pulled, fresh_digest, pull};
