//! [`Node`]: a policy file as a tree in which every value knows its place. YAML, of which JSON is a
//! part.
//!
//! The tree is plain: no anchors, aliases, merge keys or tags, no key twice, so that what a reader
//! of the file sees is what is meant. Nothing here knows what a policy is.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Error, Spanned};

use super::error::PolicyFault;
use crate::policy::position::Position;

/// Most documents in one file: a folder of files is easier to read than one file of thousands.
pub(crate) const FILE_DOCUMENTS_MAX: usize = 1024;
/// Deepest nesting of lists and maps: eight levels of thresholds take three each, the frame around
/// them three, an attestation's identity with its extensions in the innermost of them nine.
const DEPTH_MAX: usize = 40;
/// Most values in one file: 1 MiB of text holds fewer than this in any policy that says something.
const NODES_MAX: usize = 200_000;

/// A value with its place.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) position: Position,
    pub(crate) value: Value,
}

/// What a value is.
#[derive(Debug)]
pub(crate) enum Value {
    Map(Vec<(Key, Node)>),
    List(Vec<Node>),
    Text(String),
    Integer(u64),
    Bool(bool),
    /// A negative or broken number: nothing in a policy is one.
    Number,
    Null,
}

/// A field's name with its place.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) position: Position,
    pub(crate) name: String,
}

impl Value {
    /// What it is, in words for an error.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Map(_) => "a map",
            Self::List(_) => "a list",
            Self::Text(_) => "text",
            Self::Integer(_) | Self::Number => "a number",
            Self::Bool(_) => "true or false",
            Self::Null => "nothing",
        }
    }

    /// The text, where it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The number, where it is one from 0 on.
    pub(crate) fn integer(&self) -> Option<u64> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }
}

/// Reads every document of a file.
///
/// # Errors
/// The parser's first fault, with its place when it has one.
pub(crate) fn documents(text: &str) -> Result<Vec<Node>, (Option<Position>, PolicyFault)> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: FILE_DOCUMENTS_MAX,
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_anchors: 0,
            max_aliases: 0,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        reject_unsupported_tags: true,
        strict_booleans: true,
        emit_comments: false,
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| fault(&error))
}

fn fault(error: &Error) -> (Option<Position>, PolicyFault) {
    let error = error.without_snippet();
    let position = error.location().map(|location| at(&location));
    let position = position.filter(|position| position.line > 0);
    if let Error::DuplicateMappingKey { key, .. } = error {
        return (position, PolicyFault::DuplicateField { name: key.clone().unwrap_or_default() });
    }
    if let Error::Budget { breach, .. } = error {
        return (position, breached(breach));
    }
    let not_plain = matches!(
        error,
        Error::MergeKeyNotAllowed { .. }
            | Error::UnsupportedTag { .. }
            | Error::AliasError { .. }
            | Error::UnknownAnchor { .. }
            | Error::RecursiveReferencesRequireWeakTypes { .. }
    );
    let fault =
        if not_plain { PolicyFault::NotPlain } else { PolicyFault::Syntax(error.to_string()) };
    (position, fault)
}

fn breached(breach: &BudgetBreach) -> PolicyFault {
    if matches!(
        breach,
        BudgetBreach::Anchors { .. }
            | BudgetBreach::Aliases { .. }
            | BudgetBreach::MergeKeys { .. }
    ) {
        return PolicyFault::NotPlain;
    }
    if matches!(breach, BudgetBreach::Documents { .. }) {
        return PolicyFault::TooMany { what: "documents in one file", limit: FILE_DOCUMENTS_MAX };
    }
    if matches!(breach, BudgetBreach::Depth { .. }) {
        return PolicyFault::TooMany { what: "levels of nesting", limit: DEPTH_MAX };
    }
    PolicyFault::TooMany { what: "values in one file", limit: NODES_MAX }
}

fn at(location: &serde_saphyr::Location) -> Position {
    Position { line: location.line(), column: location.column() }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { position: at(&spanned.referenced), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<String>::deserialize(deserializer)?;
        Ok(Self { position: at(&spanned.referenced), name: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::Integer(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(u64::try_from(v).map_or(Value::Number, Value::Integer))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::Text(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::Text(v))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = seq.next_element()? {
            list.push(node);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (u64, PolicyFault) {
        let (position, fault) = documents(text).unwrap_err();
        (position.map_or(0, |position| position.line), fault)
    }

    #[test]
    fn every_value_knows_its_place() {
        let nodes = documents("a: 1\nb:\n  - x\n  - {c: true}\n---\nd: null\n").unwrap();
        assert_eq!(nodes.len(), 2);
        let Value::Map(entries) = &nodes[0].value else { panic!("{nodes:?}") };
        assert_eq!(
            (entries[1].0.name.as_str(), entries[1].0.position),
            ("b", Position { line: 2, column: 1 })
        );
        let Value::List(list) = &entries[1].1.value else { panic!("{entries:?}") };
        assert_eq!(list[0].position, Position { line: 3, column: 5 });
        let Value::Map(inner) = &list[1].value else { panic!("{list:?}") };
        assert_eq!(inner[0].0.position, Position { line: 4, column: 6 });
        assert!(matches!(inner[0].1.value, Value::Bool(true)));
        assert_eq!(nodes[1].position.line, 6);
    }

    #[test]
    fn json_is_read_as_it_is_written_by_programs() {
        let nodes =
            documents("{\n\t\"a\":[\"x\",\"\\u0079\\/\"],\n\t\"b\":{\"c\":2}\n}\n").unwrap();
        let Value::Map(entries) = &nodes[0].value else { panic!("{nodes:?}") };
        let Value::List(list) = &entries[0].1.value else { panic!("{entries:?}") };
        assert!(matches!(&list[1].value, Value::Text(text) if text == "y/"));
    }

    #[test]
    fn attack_b4_a_key_that_stands_twice_is_refused() {
        assert_eq!(
            refused("a: 1\na: 2\n"),
            (2, PolicyFault::DuplicateField { name: "a".to_owned() })
        );
        assert_eq!(
            refused("{\"a\": 1, \"b\": 2, \"a\": 1}"),
            (1, PolicyFault::DuplicateField { name: "a".to_owned() })
        );
        assert_eq!(
            refused("x:\n  a: 1\n  \"a\": 2\n"),
            (3, PolicyFault::DuplicateField { name: "a".to_owned() })
        );
    }

    #[test]
    fn what_is_not_plain_is_refused() {
        for text in
            ["a: &x 1\nb: 2\n", "a: &x 1\nb: *x\n", "a: *y\n", "<<: {a: 1}\n", "a: !thing 1\n"]
        {
            assert_eq!(refused(text).1, PolicyFault::NotPlain, "{text}");
        }
    }

    #[test]
    fn yes_and_on_are_text() {
        let nodes = documents("a: yes\nb: on\n").unwrap();
        let Value::Map(entries) = &nodes[0].value else { panic!("{nodes:?}") };
        assert!(matches!(&entries[0].1.value, Value::Text(text) if text == "yes"));
        assert!(matches!(&entries[1].1.value, Value::Text(text) if text == "on"));
    }

    #[test]
    fn attack_d3_depth_and_counts_have_a_limit() {
        let deep = format!("{}{}", "[".repeat(50), "]".repeat(50));
        assert!(matches!(refused(&deep).1, PolicyFault::TooMany { .. } | PolicyFault::Syntax(_)));
        let many = "a: 1\n---\n".repeat(FILE_DOCUMENTS_MAX + 1);
        assert!(matches!(
            refused(&many).1,
            PolicyFault::TooMany { what: "documents in one file", .. }
        ));
        let wide = format!("[{}]", "1,".repeat(NODES_MAX + 1));
        assert!(matches!(
            refused(&wide).1,
            PolicyFault::TooMany { what: "values in one file", .. }
        ));
    }

    #[test]
    fn trailing_junk_is_refused() {
        for text in ["{\"a\": 1} x", "{\"a\": 1}}", "a: 1\n...\njunk: [", "a: 1\n b: 2\n"] {
            assert!(documents(text).is_err(), "{text}");
        }
    }
}
