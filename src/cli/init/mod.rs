//! `sealgate policy init`: policies to begin with: ready sets by name, or drafts from what is on this
//! node and who signed it.
//!
//! A draft is a beginning for people, not a decision: it names who signed what is there, and whether
//! that is who should have is for its reader to say. [`schema`] prints the form of the documents, for
//! those who write them in an editor.

mod attestor;
pub(super) mod command;
mod draft;
mod files;
mod found;
mod from_node;
mod probe;
pub(super) mod schema;
mod sets;
mod unsigned;
