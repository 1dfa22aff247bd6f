//! Serialises what prints as its text, for records.

use std::fmt;

use serde::Serializer;

/// Serialises what prints as its text.
pub(in crate::policy) fn display<T: fmt::Display, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
