//! Which images a document is about: patterns of repositories and namespaces, compiled into one
//! automaton for a whole set.
//!
//! [`crate::policy::set::applicable::Applicable`] names the documents that match an image. Nothing
//! here knows what a document demands.

pub(super) mod automaton;
pub(super) mod cover;
pub(super) mod document_set;
pub(super) mod image_scope;
pub(super) mod pattern;
