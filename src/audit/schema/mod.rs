//! [`json_schema`]: the form of a line of the log as a JSON Schema (2020-12), made of the table of
//! fields ([`FIELDS`]) that also says by which names OpenTelemetry and ECS have each of them.
//!
//! The table is held to what the log writes, and the manual to the table, by `tests/audit/schema.rs`.
//! The schema takes fields that it does not know: newer versions may write them.

mod fields;
mod words;

pub use fields::{FIELDS, FieldShape, LogField};
use serde_json::{Map, Value, json};
use words::words;

use super::record::SCHEMA;

/// A moment as the log writes it.
const TIME: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z$";

/// The kinds of lines.
pub const KINDS: [&str; 6] = ["decision", "outcome", "finding", "note", "head", "checkpoint"];

/// The schema of a line as this version writes it.
#[must_use]
pub fn json_schema() -> Value {
    let kinds: Vec<Value> = KINDS.iter().map(|kind| of_kind(kind)).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of Sealgate's audit log",
        "type": "object",
        "required": ["kind", "schema", "id", "time"],
        "properties": { "kind": {"enum": KINDS}, "schema": {"const": SCHEMA} },
        "allOf": kinds,
    })
}

/// What a line of one kind is.
fn of_kind(kind: &str) -> Value {
    let mut of = object(kind, "");
    if let Some(properties) = of.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("kind".to_owned(), json!({"const": kind}));
    }
    json!({"if": {"properties": {"kind": {"const": kind}}}, "then": of})
}

/// The object at this path of a line of this kind; the line itself at the empty one.
fn object(kind: &str, path: &str) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in FIELDS.iter().filter(|field| field.kinds.contains(&kind)) {
        let inner = match path {
            "" => Some(field.name),
            path => field.name.strip_prefix(path).and_then(|rest| rest.strip_prefix('.')),
        };
        let Some(name) = inner.filter(|name| !name.contains('.')) else { continue };
        properties.insert(name.to_owned(), value(kind, field));
        if field.always {
            required.push(name);
        }
    }
    json!({"type": "object", "properties": properties, "required": required})
}

fn value(kind: &str, field: &LogField) -> Value {
    let id = json!({"type": "string", "pattern": "^[0-9a-f]{12}-[0-9a-f]{8}-[0-9a-f]{8}$"});
    let number = json!({"type": "integer", "minimum": 0});
    let mut of = match field.shape {
        FieldShape::Text => json!({"type": "string"}),
        FieldShape::TextOrNull => json!({"anyOf": [{"type": "string"}, {"const": null}]}),
        FieldShape::Word => json!({"enum": words(field.name)}),
        FieldShape::Id => id,
        FieldShape::Ids => json!({"type": "array", "items": id}),
        FieldShape::Time => json!({"type": "string", "pattern": TIME}),
        FieldShape::Number => number,
        FieldShape::Truth => json!({"enum": [true, false]}),
        FieldShape::Object => object(kind, field.name),
        FieldShape::List => json!({"type": "array", "items": {"type": "string"}}),
        FieldShape::Texts => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        FieldShape::Numbers => json!({"type": "object", "additionalProperties": number}),
        FieldShape::OneKey => json!({"type": "object", "minProperties": 1, "maxProperties": 1}),
        FieldShape::Reports => {
            json!({"anyOf": [{"type": "array"}, {"type": "object"}, {"const": null}]})
        }
    };
    if let Some(of) = of.as_object_mut() {
        of.insert("description".to_owned(), field.about.into());
    }
    of
}
