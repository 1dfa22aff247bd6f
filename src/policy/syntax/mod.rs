//! How a policy file is read: strict YAML ([`yaml`]), its fields with their places ([`fields`]),
//! the values that fields of several kinds have (times, regular expressions, names of predicate
//! types), and every error of it ([`error`]).
//!
//! Nothing here knows what a document or a requirement is.

pub(super) mod advice;
pub(super) mod error;
pub(super) mod error_display;
pub(super) mod fields;
pub(super) mod predicate_types;
pub(super) mod regexp;
pub(super) mod times;
pub(super) mod yaml;
