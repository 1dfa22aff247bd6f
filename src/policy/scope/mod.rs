//! Which images and pods a document is about: patterns of repositories and namespaces, compiled into
//! one automaton for a whole set, and what it goes by besides ([`selectors`]).
//!
//! [`crate::policy::set::applicable::Applicable`] names the documents that match an image. Nothing
//! here knows what a document demands.

pub(super) mod automaton;
pub(super) mod cover;
pub(super) mod document_set;
pub(super) mod image_scope;
pub(super) mod pattern;
pub(super) mod pinned;
pub(super) mod regional;
pub(super) mod selector_index;
pub(super) mod selectors;
