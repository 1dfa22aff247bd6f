//! [`Named`]: a file or a trust root that a policy names, and what such a name may be.

use crate::policy::position::Position;
use crate::policy::syntax::error::PolicyFault;
use crate::policy::syntax::fields::{At, Reader};

/// Longest name of a file (`PATH_MAX` is 4096; this fits any sane path and an error line).
const FILE_NAME_MAX: usize = 255;
/// Longest name of a trust root; it stands in refusals.
const ROOT_NAME_MAX: usize = 63;

/// A file or a trust root that a policy names, with the place that does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) struct Named {
    /// As written.
    pub(in crate::policy) name: String,
    /// Where.
    pub(in crate::policy) position: Position,
    /// Where, as fields.
    pub(in crate::policy) field: String,
}

/// A value that may be left out; none when it is there and cannot be used.
pub(in crate::policy) fn optional<T>(
    at: Option<&At<'_>>,
    reader: &mut Reader,
    read: fn(&At<'_>, &mut Reader) -> Option<T>,
) -> Option<Option<T>> {
    match at {
        Some(at) => read(at, reader).map(Some),
        None => Some(None),
    }
}

pub(in crate::policy) fn named(
    at: &At<'_>,
    reader: &mut Reader,
    is: fn(&str) -> bool,
    fault: fn(&str) -> PolicyFault,
) -> Option<Named> {
    let name = reader.text(at)?;
    if !is(name) {
        reader.fault(at, fault(name));
        return None;
    }
    Some(Named { name: name.to_owned(), position: at.node.position, field: at.field.clone() })
}

/// Absolute, or below the key folder; no part of it `.` or `..`, no character that is none (attack
/// E2).
pub(in crate::policy) fn is_file(name: &str) -> bool {
    let below = name.strip_prefix('/').unwrap_or(name);
    name.len() <= FILE_NAME_MAX
        && !name.chars().any(char::is_control)
        && below.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// As the name of a policy: it becomes a file's name, and never leads out of its folder (attack
/// E2).
pub(in crate::policy) fn is_root(name: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let inner = |b: u8| edge(Some(b)) || b == b'-' || b == b'.';
    name.len() <= ROOT_NAME_MAX
        && edge(name.bytes().next())
        && edge(name.bytes().last())
        && name.bytes().all(inner)
        && !name.ends_with(".json")
}
