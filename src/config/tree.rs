//! [`Node`]: a TOML value that knows the line it came from. Trees of several files become one by
//! [`Node::merge`].

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place};

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// What TOML knows, but for dates: no option is one.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i128),
    Float(f64),
    Boolean(bool),
    Array(Vec<Node>),
    /// Each key with the place where it is written.
    Table(BTreeMap<String, (Place, Node)>),
}

impl Node {
    /// A table without a key.
    pub(super) fn empty() -> Self {
        let place = Place { file: Arc::from(Path::new("")), line: 0 };
        Self { place, value: Value::Table(BTreeMap::new()) }
    }

    /// The file that says the value of a key, named with its tables.
    pub(super) fn file_of(&self, key: &[&str]) -> Option<&Path> {
        let Some((first, rest)) = key.split_first() else { return Some(&self.place.file) };
        match &self.value {
            Value::Table(table) => table.get(*first)?.1.file_of(rest),
            Value::Text(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Array(_) => None,
        }
    }

    /// Takes over what the later tree has: tables key by key, everything else whole.
    pub(super) fn merge(&mut self, later: Self) {
        match (&mut self.value, later.value) {
            (Value::Table(ours), Value::Table(theirs)) => {
                for (key, (place, node)) in theirs {
                    if let Some((_, known)) = ours.get_mut(&key) {
                        known.merge(node);
                    } else {
                        ours.insert(key, (place, node));
                    }
                }
            }
            (ours, theirs) => {
                self.place = later.place;
                *ours = theirs;
            }
        }
    }
}

/// The tree of one file.
pub(super) fn parse(path: &Path, text: &str) -> Result<Node, ConfigError> {
    let source = Source { file: Arc::from(path), text };
    let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        place: source.place(error.span().map_or(0, |span| span.start)),
        message: error.message().to_owned(),
    })?;
    let start = table.span().start;
    Ok(Node { place: source.place(start), value: source.table(table.get_ref(), "")? })
}

struct Source<'a> {
    file: Arc<Path>,
    text: &'a str,
}

impl Source<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        Place { file: Arc::clone(&self.file), line: before + 1 }
    }

    fn table(&self, table: &DeTable<'_>, key: &str) -> Result<Value, ConfigError> {
        let mut nodes = BTreeMap::new();
        for (name, value) in table {
            let whole = if key.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{key}.{}", name.get_ref())
            };
            let node = self.node(value, &whole)?;
            nodes.insert(name.get_ref().to_string(), (self.place(name.span().start), node));
        }
        Ok(Value::Table(nodes))
    }

    fn node(&self, spanned: &Spanned<DeValue<'_>>, key: &str) -> Result<Node, ConfigError> {
        let place = self.place(spanned.span().start);
        let wrong = |message: String| ConfigError::Value {
            place: place.clone(),
            key: key.to_owned(),
            message,
        };
        let value = match spanned.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
                .map(Value::Integer)
                .map_err(|_| wrong(format!("the number {number} is too large")))?,
            DeValue::Float(number) => Value::Float(
                number
                    .as_str()
                    .parse()
                    .map_err(|_| wrong(format!("{} is no number", number.as_str())))?,
            ),
            DeValue::Boolean(value) => Value::Boolean(*value),
            DeValue::Datetime(_) => {
                let (got, expected) =
                    ("a date".to_owned(), "text, a number, true or false".to_owned());
                return Err(ConfigError::Type { place, key: key.to_owned(), got, expected });
            }
            DeValue::Array(items) => Value::Array(
                items.iter().map(|item| self.node(item, key)).collect::<Result<_, _>>()?,
            ),
            DeValue::Table(table) => self.table(table, key)?,
        };
        Ok(Node { place, value })
    }
}
