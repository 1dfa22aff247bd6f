//! [`ATTRIBUTES`]: by which names a collector has the fields of a line.
//!
//! Names are those of OpenTelemetry's semantic conventions where they have one, and `sealgate.` and
//! the field's path where they have none.

use serde_json::Value;

use crate::proto::otlp::{AnyValue, KeyValue, any_value};

/// Longest value of an attribute, in bytes; what is longer is in the body, whole.
const VALUE_MAX: usize = 1024;

/// A field of a line and the attribute that it becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute {
    /// The field's path in the line, its parts joined by dots.
    pub field: &'static str,
    /// The attribute's name.
    pub name: &'static str,
}

const fn of(field: &'static str, name: &'static str) -> Attribute {
    Attribute { field, name }
}

/// The fields that become attributes. The rest of a line is in the body.
pub const ATTRIBUTES: &[Attribute] = &[
    of("id", "log.record.uid"),
    of("kind", "sealgate.kind"),
    of("call", "sealgate.call"),
    of("verdict", "sealgate.verdict"),
    of("observed", "sealgate.observed"),
    of("reason.code", "sealgate.reason.code"),
    of("source", "sealgate.source"),
    of("policy_generation", "sealgate.policy_generation"),
    of("trust_generation", "sealgate.trust_generation"),
    of("repeats", "sealgate.repeats"),
    of("finding", "sealgate.finding"),
    of("alert", "sealgate.alert"),
    of("reference", "container.image.name"),
    of("digest", "oci.manifest.digest"),
    of("image_id", "container.image.id"),
    of("container", "k8s.container.name"),
    of("container_id", "container.id"),
    of("pod.name", "k8s.pod.name"),
    of("pod.namespace", "k8s.namespace.name"),
    of("pod.uid", "k8s.pod.uid"),
];

/// The attributes of a line.
pub(super) fn attributes(line: &Value) -> Vec<KeyValue> {
    let found = ATTRIBUTES.iter().filter_map(|attribute| {
        let mut parts = attribute.field.split('.');
        let value = parts.try_fold(line, |value, part| value.get(part))?;
        Some(key_value(attribute.name, any_of(value)?))
    });
    found.collect()
}

/// An attribute of this name.
pub(super) fn key_value(name: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

fn any_of(value: &Value) -> Option<any_value::Value> {
    match value {
        Value::String(text) => Some(any_value::Value::StringValue(cut(text, VALUE_MAX).to_owned())),
        Value::Bool(is) => Some(any_value::Value::BoolValue(*is)),
        Value::Number(number) => number.as_i64().map(any_value::Value::IntValue),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// As much of a text as so many bytes hold.
pub(super) fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    if text.len() > most { text.get(..end).unwrap_or_default() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_found_by_their_path() {
        let line = json!({
            "id": "d-1", "verdict": "refused", "reason": {"code": "no-signature"}, "repeats": 2,
            "observed": true, "pod": {"name": "web", "namespace": null}, "reference": "é".repeat(1024),
        });
        let found = attributes(&line);
        let names: Vec<&str> = found.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(
            names,
            [
                "log.record.uid",
                "sealgate.verdict",
                "sealgate.observed",
                "sealgate.reason.code",
                "sealgate.repeats",
                "container.image.name",
                "k8s.pod.name"
            ]
        );
        let value = |name: &str| {
            let found = found.iter().find(|one| one.key == name).unwrap();
            found.value.as_ref().unwrap().value.clone().unwrap()
        };
        assert_eq!(value("sealgate.repeats"), any_value::Value::IntValue(2));
        assert_eq!(value("sealgate.observed"), any_value::Value::BoolValue(true));
        let expected = any_value::Value::StringValue("é".repeat(VALUE_MAX / 2));
        assert_eq!(value("container.image.name"), expected);
    }
}
