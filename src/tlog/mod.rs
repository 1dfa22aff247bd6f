//! A transparency log, without its files: the Merkle tree over its entries ([`CompactRange`]), what
//! is signed of it ([`TreeHead`], [`note`]) and what can be shown of it ([`proof`]).
//!
//! The tree is RFC 6962's with SHA-256; checkpoints, signed notes and proofs are C2SP's
//! (`tlog-checkpoint`, `signed-note`, `tlog-proof`), so that programs of others read them. Pure:
//! nothing here reads a file or knows what an entry says.

mod hash;
mod head;
pub mod note;
pub mod proof;
mod range;

pub use hash::{HASH_LEN, HashError, TreeHash};
pub use head::{ENTRIES_MAX, HeadError, TreeHead, extensions};
pub use range::CompactRange;
