//! From a tree to settings, so that an error knows its key and its line.
//!
//! The rooms' options derive `Deserialize`; this is the other half, over [`Node`]. It reports what
//! serde found as data (unknown key and the known ones, type found and expected) instead of text.

use std::collections::btree_map;
use std::fmt::{self, Display};
use std::slice;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{
    self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use strsim::osa_distance;

use super::error::{ConfigError, Place};
use super::tree::{Node, Value};

/// How many letters may differ between a key and the one that was meant: two slips, where two
/// neighbours that are swapped count as one.
const NEAR: usize = 2;

/// The settings that a tree spells out, defaults for the rest.
pub(super) fn settings<'de, T: Deserialize<'de>>(node: &'de Node) -> Result<T, ConfigError> {
    T::deserialize(At { node, key: String::new() }).map_err(|fault| fault.located(&node.place, ""))
}

/// A value and the key that it stands under.
struct At<'a> {
    node: &'a Node,
    key: String,
}

/// What serde found, located as soon as the place is known.
#[derive(Debug)]
enum Fault {
    UnknownKey { key: String, known: Vec<String> },
    Type { got: String, expected: String },
    Value(String),
    Located(Box<ConfigError>),
}

impl Fault {
    fn located(self, place: &Place, key: &str) -> ConfigError {
        let (place, key) = (place.clone(), key.to_owned());
        match self {
            Self::UnknownKey { key: name, known } => {
                let nearest = known.iter().map(|other| (osa_distance(&name, other), other)).min();
                let near = nearest
                    .filter(|(distance, _)| *distance <= NEAR)
                    .map(|(_, other)| other.clone());
                ConfigError::UnknownKey { place, key, nearest: near, known }
            }
            Self::Type { got, expected } => ConfigError::Type { place, key, got, expected },
            Self::Value(message) => ConfigError::Value { place, key, message },
            Self::Located(error) => *error,
        }
    }

    fn at(self, place: &Place, key: &str) -> Self {
        Self::Located(Box::new(self.located(place, key)))
    }
}

impl<'de> Deserializer<'de> for At<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Self { node, key } = self;
        let result = match &node.value {
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::Integer(number) => match (u64::try_from(*number), i64::try_from(*number)) {
                (Ok(number), _) => visitor.visit_u64(number),
                (Err(_), Ok(number)) => visitor.visit_i64(number),
                (Err(_), Err(_)) => visitor.visit_i128(*number),
            },
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(value) => visitor.visit_bool(*value),
            Value::Array(items) => visitor.visit_seq(Items { items: items.iter(), key: &key }),
            Value::Table(table) => {
                visitor.visit_map(Keys { keys: table.iter(), value: None, key: &key })
            }
        };
        result.map_err(|fault| fault.at(&node.place, &key))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let Self { node, key } = self;
        let result = match &node.value {
            Value::Text(text) => {
                visitor.visit_enum::<StrDeserializer<'_, Fault>>(text.as_str().into_deserializer())
            }
            Value::Table(table) => {
                let keys = Keys { keys: table.iter(), value: None, key: &key };
                MapAccessDeserializer::new(keys).deserialize_enum(name, variants, visitor)
            }
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Array(_) => {
                return At { node, key }.deserialize_any(visitor);
            }
        };
        result.map_err(|fault| fault.at(&node.place, &key))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct Items<'a, 'k> {
    items: slice::Iter<'a, Node>,
    key: &'k str,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        self.items
            .next()
            .map(|node| seed.deserialize(At { node, key: self.key.to_owned() }))
            .transpose()
    }
}

struct Keys<'a, 'k> {
    keys: btree_map::Iter<'a, String, (Place, Node)>,
    value: Option<At<'a>>,
    key: &'k str,
}

impl<'de> MapAccess<'de> for Keys<'de, '_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some((name, (place, node))) = self.keys.next() else { return Ok(None) };
        let key = if self.key.is_empty() { name.clone() } else { format!("{}.{name}", self.key) };
        let name: StrDeserializer<'_, Fault> = name.as_str().into_deserializer();
        let found = seed.deserialize(name).map_err(|fault| fault.at(place, &key))?;
        self.value = Some(At { node, key });
        Ok(Some(found))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        let value = self
            .value
            .take()
            .ok_or_else(|| Fault::Value("a value was asked for before its key".to_owned()))?;
        seed.deserialize(value)
    }
}

impl de::Error for Fault {
    fn custom<T: Display>(message: T) -> Self {
        Self::Value(message.to_string())
    }

    fn invalid_type(got: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Type { got: got.to_string(), expected: expected.to_string() }
    }

    fn invalid_value(got: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Value(format!("{got} cannot be, expected {expected}"))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let known = expected.iter().map(|name| (*name).to_owned()).collect();
        Self::UnknownKey { key: field.to_owned(), known }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::Value(format!("{variant:?} cannot be, expected one of {}", expected.join(", ")))
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (from, to, expected) in [
            ("", "", 0),
            ("path", "path", 0),
            ("pth", "path", 1),
            ("paht", "path", 1),
            ("pathh", "path", 1),
            ("pith", "path", 1),
            ("", "path", 4),
            ("path", "", 4),
            ("max_size", "max_bytes", 4),
            ("keep_file", "keep_files", 1),
        ] {
            assert_eq!(osa_distance(from, to), expected, "{from} {to}");
        }
    }
}
