//! Reading a JSON object strictly: no member but those that are known, each of the type that it
//! must have.

use serde_json::{Map, Value};

use super::fault::{Fault, beyond};
use crate::image::json::JsonError;

/// What the strict reader refused, in the words of this room.
pub(in crate::verify) fn fault(error: JsonError) -> Fault {
    match error {
        JsonError::TooLong(limit) => beyond("bytes", limit),
        JsonError::TooDeep(limit) => beyond("levels", limit),
        JsonError::TooMany(limit) => beyond("values", limit),
        JsonError::Syntax { .. } | JsonError::DuplicateKey(_) | JsonError::EqualFold(..) => {
            Fault::Json
        }
    }
}

/// Refuses members with any other name.
pub(in crate::verify) fn only(object: &Map<String, Value>, names: &[&str]) -> Result<(), Fault> {
    let known = object.keys().all(|key| names.contains(&key.as_str()));
    if known { Ok(()) } else { Err(Fault::UnknownField) }
}

pub(in crate::verify) fn object<'v>(
    parent: &'v Map<String, Value>,
    name: &str,
) -> Result<&'v Map<String, Value>, Fault> {
    parent.get(name).and_then(Value::as_object).ok_or(Fault::Malformed)
}

pub(in crate::verify) fn text<'v>(
    parent: &'v Map<String, Value>,
    name: &str,
) -> Result<&'v str, Fault> {
    parent.get(name).and_then(Value::as_str).ok_or(Fault::Malformed)
}
