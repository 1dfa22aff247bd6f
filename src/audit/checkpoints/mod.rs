//! Checkpoints: the log's lines are the entries of a Merkle tree ([`tree`]), whose head is signed
//! now and then with the node's key ([`key`]) and written as a line of its own.
//!
//! [`Sealing`] adds what belongs to the lines that are about to be written, and takes note once the
//! disk has them; after a start it finds the tree in the files ([`resume`])
//! and compares it with what is remembered beside the key ([`remembered`]). Of lines that retention
//! removes the hashes stay ([`gone`]). Nothing here is waited for by a decision but a signature in
//! hundreds of lines, some 20 microseconds.

pub(super) mod gone;
pub(super) mod key;
pub(super) mod remembered;
pub(super) mod resume;
mod sealing;
pub(super) mod tree;

pub(super) use sealing::{Sealing, SealingOptions};
