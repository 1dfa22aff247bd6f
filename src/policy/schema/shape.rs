//! What the schema is made of: maps with the fields of a reader, lists, and texts of one form.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A field's name, what its value may be, and what an editor shows of it.
pub(super) type Field = (&'static str, Value, &'static str);

/// A map with the fields that a reader `knows` and no others. One that is not described may be
/// anything, so that the schema never refuses what the reader takes.
pub(super) fn map(knows: &[&str], required: &[&str], described: Vec<Field>) -> Value {
    let mut described: BTreeMap<&str, Value> = described
        .into_iter()
        .map(|(name, value, about)| (name, with(value, json!({"description": about}))))
        .collect();
    let field = |name: &&str| {
        let value = described.remove(*name).unwrap_or(Value::Bool(true));
        ((*name).to_owned(), value)
    };
    let fields: Map<String, Value> = knows.iter().map(field).collect();
    let mut map = json!({"type": "object", "additionalProperties": false, "properties": fields});
    if !required.is_empty() {
        map = with(map, json!({"required": required}));
    }
    map
}

/// The same with more said of it.
pub(super) fn with(mut value: Value, more: Value) -> Value {
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

/// A map of which one field is there.
pub(super) fn single(map: Value) -> Value {
    with(map, json!({"minProperties": 1, "maxProperties": 1}))
}

/// That exactly one of these fields is there, and others beside it.
pub(super) fn one_of(names: &[&str]) -> Value {
    let each: Vec<Value> = names.iter().map(|name| json!({"required": [name]})).collect();
    json!({"oneOf": each})
}

/// What stands in `$defs` under this name.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

/// One of these words.
pub(super) fn words(words: &[&str]) -> Value {
    json!({"enum": words})
}

/// A text with something in it.
pub(super) fn text() -> Value {
    json!({"type": "string", "minLength": 1})
}

/// A text that an expression matches, which holds what its reader takes.
pub(super) fn text_like(expression: &str) -> Value {
    json!({"type": "string", "pattern": expression})
}

/// One line of text for people.
pub(super) fn line() -> Value {
    text_like("\\S")
}

/// A list with something in it.
pub(super) fn list(item: Value) -> Value {
    json!({"type": "array", "minItems": 1, "items": item})
}

/// A list with something in it, and nothing twice.
pub(super) fn set(item: Value) -> Value {
    with(list(item), json!({"uniqueItems": true}))
}

/// `true`, in a field that is true or not there.
pub(super) fn is_true() -> Value {
    json!({"const": true})
}

/// Date, time and offset (RFC 3339).
pub(super) fn moment() -> Value {
    text_like(
        "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$",
    )
}

/// `90d`, `12h`, `30m`.
pub(super) fn age() -> Value {
    text_like("^[1-9][0-9]*[dhm]$")
}

/// The digest of an index or a manifest.
pub(super) fn digest() -> Value {
    text_like("^sha256:[0-9a-f]{64}$")
}

/// A repository pattern, or one repository with a digest; no tag.
pub(super) fn image_pattern() -> Value {
    text_like("^([*][*]|[^/@]+(/[^/@:]+)+|[^/@*]+(/[^/@:*]+)+@sha256:[0-9a-f]{64})$")
}

/// A repository pattern: a host and a path, or `**`; no tag and no digest.
pub(super) fn repository_pattern() -> Value {
    text_like("^([*][*]|[^/@]+(/[^/@:]+)+)$")
}
