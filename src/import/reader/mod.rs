//! What the readers of the formats share: values with their places ([`tree`]), what is said of them
//! ([`fault`]), patterns of images, expressions, identities and keys, and the [`draft`] of a policy
//! that they make. Knows no format.

pub(super) mod draft;
pub(super) mod fault;
pub(super) mod holders;
pub(super) mod host;
pub(super) mod material;
pub(super) mod pattern;
pub(super) mod public_instance;
mod regexp;
pub(super) mod tree;
