//! [`parse`]: JSON as every reader must understand it alike, or not at all; [`parse_kept`]: a part
//! of data that a signer may fill as they like.
//!
//! Containerd and cosign read JSON with Go's `encoding/json`: keys match without regard to case and
//! the last of two equal keys wins (fact P15). A document in which that could matter is refused
//! here ([`JsonError`]), before anything typed looks at it. Data that no reader gives fields
//! ([`Limits::free`]) may have keys that differ by case. Nothing here knows what the fields mean;
//! what stays unread is found by [`super::skim`].

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How much of a key an error repeats, in characters: enough to find it, too little to fill a log.
const KEY_SHOWN: usize = 64;

/// What a document may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest document, in bytes.
    pub bytes: usize,
    /// Deepest nesting; the outermost value is at depth 1.
    pub depth: usize,
    /// Most values, keys not counted.
    pub values: usize,
    /// Members that hold data, with keys of somebody's choice (labels, paths): below them two keys
    /// may differ by case alone. Go reads such objects as maps, whose keys it tells apart. No key
    /// stands twice there either: of two equal ones Go, Python and JavaScript take the last, others
    /// the first or none.
    pub free: &'static [&'static str],
}

/// What of a value is read; all else is passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// All of it.
    All,
    /// These members of an object, spelt exactly so; of a list, all.
    Members(BTreeMap<String, Self>),
}

/// Why bytes are not a document that all readers understand alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonError {
    /// Longer than this many bytes.
    TooLong(usize),
    /// Nested deeper than this.
    TooDeep(usize),
    /// More values than this.
    TooMany(usize),
    /// Not JSON, or something follows it.
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// One object has this key twice.
    DuplicateKey(String),
    /// One object has two keys that Go takes for the same.
    EqualFold(String, String),
}

/// Parses one JSON value and nothing after it.
///
/// # Errors
/// [`JsonError`] for what is not JSON, exceeds a limit, or could be read in two ways.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<Value, JsonError> {
    read(bytes, limits, Part { free: false, left: &[], keep: &Keep::All })
}

/// Parses of one JSON value, in which keys may differ by case alone, what is kept. A key that is
/// kept stands once; what is passed over counts for no limit but that of bytes.
///
/// # Errors
/// As [`parse`].
pub fn parse_kept(bytes: &[u8], limits: Limits, keep: &Keep) -> Result<Value, JsonError> {
    read(bytes, limits, Part { free: true, left: &[], keep })
}

/// Parses one JSON value but for the member at this path, which is passed over and left out.
pub(super) fn parse_without(
    bytes: &[u8],
    limits: Limits,
    left: &[&str],
) -> Result<Value, JsonError> {
    read(bytes, limits, Part { free: false, left, keep: &Keep::All })
}

fn read(bytes: &[u8], limits: Limits, part: Part<'_>) -> Result<Value, JsonError> {
    if bytes.len() > limits.bytes {
        return Err(JsonError::TooLong(limits.bytes));
    }
    let mut walk = JsonWalk { limits, values: 0, fault: None };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = Node { walk: &mut walk, depth: 1, part }.deserialize(&mut json);
    let value = value.and_then(|value| json.end().map(|()| value));
    match (value, walk.fault) {
        (Ok(value), None) => Ok(value),
        (_, Some(fault)) => Err(fault),
        (Err(error), None) => Err(JsonError::Syntax { line: error.line(), column: error.column() }),
    }
}

/// The key under which Go's `encoding/json` finds a field: equal for all keys that it takes for the
/// same one.
///
/// Coarser than Unicode's simple folding, never finer: every simple fold pair has an equal lower,
/// upper or lower-of-upper form, so `\u{212a}` (Kelvin) folds to `k` and `\u{17f}` (long s) to `s`.
#[must_use]
pub fn fold(key: &str) -> String {
    if key.is_ascii() {
        return key.to_ascii_lowercase();
    }
    let lower = key.chars().flat_map(char::to_lowercase);
    lower.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(limit) => write!(f, "longer than {limit} bytes"),
            Self::TooDeep(limit) => write!(f, "nested deeper than {limit}"),
            Self::TooMany(limit) => write!(f, "more than {limit} values"),
            Self::Syntax { line, column } => {
                write!(f, "not valid JSON at line {line} column {column}")
            }
            Self::DuplicateKey(key) => write!(f, "key \"{}\" stands twice", shown(key)),
            Self::EqualFold(one, other) => {
                write!(f, "keys \"{}\" and \"{}\" differ by case alone", shown(one), shown(other))
            }
        }
    }
}

impl std::error::Error for JsonError {}

/// Untrusted text for people: escaped, and cut to [`KEY_SHOWN`].
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(KEY_SHOWN).flat_map(char::escape_default).collect()
}

struct JsonWalk {
    limits: Limits,
    values: usize,
    fault: Option<JsonError>,
}

impl JsonWalk {
    /// Keeps the reason and stops the parser; the text is never shown.
    fn refuse<E: serde::de::Error>(&mut self, fault: JsonError) -> E {
        self.fault = Some(fault);
        E::custom("refused")
    }
}

struct Node<'w, 'p> {
    walk: &'w mut JsonWalk,
    depth: usize,
    part: Part<'p>,
}

/// How one value is read.
#[derive(Clone, Copy)]
struct Part<'p> {
    /// Its keys may differ by case alone.
    free: bool,
    /// The path to what is left out.
    left: &'p [&'p str],
    keep: &'p Keep,
}

impl<'p> Part<'p> {
    /// How the member of this name is read; none for one that is passed over.
    fn member(self, name: &str, limits: &Limits) -> Option<Self> {
        let left = match self.left.split_first() {
            Some((first, [])) if *first == name => return None,
            Some((first, rest)) if *first == name => rest,
            Some(_) | None => &[],
        };
        let keep = match self.keep {
            Keep::All => &Keep::All,
            Keep::Members(members) => members.get(name)?,
        };
        Some(Self { free: self.free || limits.free.contains(&name), left, keep })
    }

    /// How what is in a list is read.
    fn element(self) -> Self {
        Self { left: &[], keep: &Keep::All, ..self }
    }
}

impl Keep {
    /// Nothing yet.
    #[must_use]
    pub const fn nothing() -> Self {
        Self::Members(BTreeMap::new())
    }

    /// Keeps what is at this path too.
    pub fn add(&mut self, path: &[String]) {
        let Self::Members(members) = self else { return };
        match path.split_first() {
            None => *self = Self::All,
            Some((name, rest)) => {
                members.entry(name.clone()).or_insert_with(Self::nothing).add(rest)
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.depth > self.walk.limits.depth {
            let limit = self.walk.limits.depth;
            return Err(self.walk.refuse(JsonError::TooDeep(limit)));
        }
        self.walk.values = self.walk.values.saturating_add(1);
        if self.walk.values > self.walk.limits.values {
            let limit = self.walk.limits.values;
            return Err(self.walk.refuse(JsonError::TooMany(limit)));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        let (depth, part) = (self.depth.saturating_add(1), self.part.element());
        while let Some(item) =
            access.next_element_seed(Node { walk: &mut *self.walk, depth, part })?
        {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        let mut members = Map::new();
        let depth = self.depth.saturating_add(1);
        while let Some(key) = access.next_key::<String>()? {
            let part = self.part.member(&key, &self.walk.limits);
            if part.is_none() && self.part.left.is_empty() {
                // Nobody reads it, so that nothing in it can be read in two ways.
                access.next_value::<IgnoredAny>()?;
                continue;
            }
            let folded = if self.part.free { key.clone() } else { fold(&key) };
            if let Some(earlier) = seen.insert(folded, key.clone()) {
                let duplicate = earlier == key;
                let fault = if duplicate {
                    JsonError::DuplicateKey(key)
                } else {
                    JsonError::EqualFold(earlier, key)
                };
                return Err(self.walk.refuse(fault));
            }
            match part {
                Some(part) => {
                    let value =
                        access.next_value_seed(Node { walk: &mut *self.walk, depth, part })?;
                    members.insert(key, value);
                }
                None => {
                    access.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests;
