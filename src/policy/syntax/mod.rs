//! How a policy file is read: strict YAML ([`yaml`]), its fields with their places ([`fields`]),
//! the values that fields of several kinds have (times, regular expressions, names of predicate
//! types), and every error of it ([`error`]), with what was likely meant ([`suggest`]).
//!
//! Nothing here knows what a document or a requirement is.

pub(super) mod advice;
mod codes;
pub(super) mod error;
pub(super) mod error_display;
pub(super) mod fields;
pub(super) mod foreign;
pub(super) mod locate;
pub(super) mod predicate_types;
pub(super) mod regexp;
pub(super) mod selector_fault;
pub(super) mod suggest;
pub(super) mod times;
pub(crate) mod yaml;
