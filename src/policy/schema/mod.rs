//! [`json_schema`]: the form of every kind of document as a JSON Schema (2020-12), for editors.
//!
//! The fields are those of the tables that the readers go by, so that none is forgotten. The schema
//! is about form alone and takes whatever a reader takes; that patterns can match, that keys suffice
//! and that what a document names is there, the readers and `sealgate policy check` say.

mod documents;
mod entries;
mod requirement;
mod shape;
mod test_case;

use serde_json::{Value, json};

use crate::policy::document::kind::{KINDS, VERSIONS};
use crate::policy::document::{patterns, reader, test_case as cases};
use shape::{map, moment, reference, text_like, words};

/// What tells the head of a list that is published from that of a file: the readers differ.
const PUBLISHED: [&str; 3] = ["version", "issued", "expires"];

/// The schema of a document: a file of several is held to it document by document.
#[must_use]
pub fn json_schema() -> Value {
    let kinds: Vec<&str> = KINDS.iter().chain(cases::KINDS).copied().collect();
    let fields = vec![
        ("apiVersion", words(VERSIONS), "The version of the policy language."),
        ("kind", words(&kinds), "What the document is."),
        ("metadata", json!({"type": "object"}), "Its name."),
        ("spec", json!({"type": "object"}), "What it says."),
    ];
    let form = map(reader::FIELDS, reader::FIELDS, fields);
    let entries = json!({"$ref": "#/$defs/denyList", "minProperties": 1});
    let spec = |name: &str| reference(name);
    let own = || reference("metadata");
    shape::with(
        form,
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Documents of Sealgate",
            "allOf": [
                when("ImagePolicy", None, own(), spec("imagePolicy")),
                when("Exception", None, own(), spec("exception")),
                when("PolicyTest", None, own(), spec("policyTest")),
                when("DenyList", Some(false), own(), entries),
                when("DenyList", Some(true), reference("publishedMetadata"), spec("denyList")),
            ],
            "$defs": {
                "metadata": metadata(),
                "publishedMetadata": published_metadata(),
                "imagePolicy": documents::image_policy(),
                "exception": documents::exception(),
                "denyList": entries::deny_list(),
                "policyTest": test_case::policy_test(),
                "requirement": requirement::requirement(),
                "attestor": requirement::attestor(),
                "identity": requirement::identity(),
            },
        }),
    )
}

/// What the head and the body of a document of one kind are. `published` tells a list with the head
/// of one that is published from one without.
fn when(kind: &str, published: Option<bool>, metadata: Value, spec: Value) -> Value {
    let has_head: Vec<Value> = PUBLISHED.iter().map(|name| json!({"required": [name]})).collect();
    let head = match published {
        Some(true) => json!({"anyOf": has_head}),
        Some(false) => json!({"not": {"anyOf": has_head}}),
        None => Value::Bool(true),
    };
    json!({
        "if": {"required": ["kind"], "properties": {"kind": {"const": kind}, "metadata": head}},
        "then": {"properties": {"metadata": metadata, "spec": spec}},
    })
}

fn name() -> Value {
    shape::with(
        text_like("^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"),
        json!({"maxLength": patterns::NAME_MAX}),
    )
}

fn metadata() -> Value {
    let about = "Unique among the documents of its kind; it stands in every refusal and record.";
    map(patterns::METADATA, patterns::METADATA, vec![("name", name(), about)])
}

fn published_metadata() -> Value {
    use crate::policy::document::fetched_list::METADATA;
    let version = json!({"type": "integer", "minimum": 1});
    let fields = vec![
        ("name", name(), "Unique among the lists that a node fetches."),
        ("version", version, "Higher each time; the gate takes no lower one than it took."),
        ("issued", moment(), "When the list was made."),
        ("expires", moment(), "When a newer list is due. It denies all the same after that."),
    ];
    map(METADATA, METADATA, fields)
}
