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
    let mut walk = Walk { limits, values: 0, fault: None };
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

struct Walk {
    limits: Limits,
    values: usize,
    fault: Option<JsonError>,
}

impl Walk {
    /// Keeps the reason and stops the parser; the text is never shown.
    fn refuse<E: serde::de::Error>(&mut self, fault: JsonError) -> E {
        self.fault = Some(fault);
        E::custom("refused")
    }
}

struct Node<'w, 'p> {
    walk: &'w mut Walk,
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
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { bytes: 1000, depth: 4, values: 10, free: &["labels"] };

    fn refused(text: &str) -> JsonError {
        parse(text.as_bytes(), LIMITS).unwrap_err()
    }

    #[test]
    fn reads_what_serde_json_reads() {
        let text = r#"{"a":[1,-2,3.5,null,true],"b":{"c":"d\n"}}"#;
        assert_eq!(
            parse(text.as_bytes(), LIMITS).unwrap(),
            serde_json::from_str::<Value>(text).unwrap()
        );
    }

    #[test]
    fn attack_d3_limits_are_exact() {
        assert!(parse(b"[[[1]]]", LIMITS).is_ok());
        assert_eq!(refused("[[[[1]]]]"), JsonError::TooDeep(4));
        assert!(parse(b"[1,1,1,1,1,1,1,1,1]", LIMITS).is_ok());
        assert_eq!(refused("[1,1,1,1,1,1,1,1,1,1]"), JsonError::TooMany(10));
        assert!(parse(format!("\"{}\"", "a".repeat(998)).as_bytes(), LIMITS).is_ok());
        assert_eq!(refused(&format!("\"{}\"", "a".repeat(999))), JsonError::TooLong(1000));
    }

    /// Attack D3: a document of brackets alone must cost neither stack nor memory.
    #[test]
    fn attack_d3_nesting_does_not_reach_the_stack() {
        let limits = Limits { bytes: 10_000_000, ..LIMITS };
        assert_eq!(parse("[".repeat(5_000_000).as_bytes(), limits), Err(JsonError::TooDeep(4)));
        assert_eq!(
            parse("{\"a\":".repeat(1_000_000).as_bytes(), limits),
            Err(JsonError::TooDeep(4))
        );
    }

    #[test]
    fn attack_a4_keys_that_go_takes_for_one() {
        assert_eq!(refused(r#"{"a":1,"a":1}"#), JsonError::DuplicateKey("a".into()));
        assert_eq!(refused(r#"{"a":1,"\u0061":1}"#), JsonError::DuplicateKey("a".into()));
        for (one, other) in
            [("ab", "aB"), ("k", "\u{212a}"), ("s", "\u{17f}"), ("k", "K"), ("µ", "Μ"), ("ß", "ẞ")]
        {
            let text = format!(r#"{{"x":{{"{one}":1,"{other}":2}}}}"#);
            assert_eq!(
                refused(&text),
                JsonError::EqualFold(one.into(), other.into()),
                "{one} {other}"
            );
        }
        assert!(parse(r#"{"a":{"b":1},"b":{"A":1}}"#.as_bytes(), LIMITS).is_ok());
    }

    /// The orbits of Unicode's simple folding with more than two members, and those where no single
    /// mapping suffices.
    #[test]
    fn folding_is_never_finer_than_simple_folding() {
        for orbit in [
            "Kk\u{212a}",
            "Ssſ",
            "ÅåÅ",
            "µΜμ",
            "ΘθϑϴΘ",
            "Ωωω",
            "Σσς",
            "Ṡṡẛ",
            "ΙιΙ\u{345}\u{1fbe}",
            "\u{1c4}\u{1c5}\u{1c6}",
            "ᾈᾀ",
        ] {
            let mut folded: Vec<_> = orbit.chars().map(|c| fold(&c.to_string())).collect();
            folded.dedup();
            assert_eq!(folded.len(), 1, "{orbit}: {folded:?}");
        }
        assert_eq!(fold("\u{390}"), fold("\u{1fd3}"));
        assert_eq!(fold("\u{fb05}"), fold("\u{fb06}"));
        assert_eq!(fold("\u{13a0}"), fold("\u{ab70}"));
    }

    #[test]
    fn free_data_may_have_keys_that_differ_by_case() {
        assert!(parse(br#"{"labels":{"A":"1","a":"2"}}"#, LIMITS).is_ok());
        assert!(parse(br#"{"labels":{"x":{"A":"1","a":"2"}}}"#, LIMITS).is_ok());
        assert!(parse(br#"{"labels":[{"A":"1","a":"2"}]}"#, LIMITS).is_ok());
        assert_eq!(refused(r#"{"labels":{"a":"1","a":"2"}}"#), JsonError::DuplicateKey("a".into()));
        // Beside it, and below what only looks like it.
        assert_eq!(
            refused(r#"{"labels":{},"Labels":{}}"#),
            JsonError::EqualFold("labels".into(), "Labels".into())
        );
        assert_eq!(refused(r#"{"x":{"A":1,"a":2}}"#), JsonError::EqualFold("A".into(), "a".into()));
        assert_eq!(
            refused(r#"{"Labels":{"A":1,"a":2}}"#),
            JsonError::EqualFold("A".into(), "a".into())
        );
    }

    /// Attack A4: what is read stands once and under its own spelling, whatever stands beside it.
    #[test]
    fn attack_a4_what_is_kept_is_never_ambiguous() {
        let mut keep = Keep::nothing();
        keep.add(&["a".to_owned(), "b".to_owned()]);
        keep.add(&["l".to_owned()]);
        let kept = |text: &str| parse_kept(text.as_bytes(), LIMITS, &keep);
        let read = |text: &str| serde_json::from_str::<Value>(text);
        assert_eq!(
            kept(r#"{"A":{"b":1},"a":{"B":2,"b":3,"c":4}}"#).ok(),
            read(r#"{"a":{"b":3}}"#).ok()
        );
        assert_eq!(kept(r#"{"A":{"b":1}}"#).ok(), read("{}").ok());
        assert_eq!(kept(r#"{"x":1,"x":2,"a":{"c":1,"c":2}}"#).ok(), read(r#"{"a":{}}"#).ok());
        assert_eq!(kept(r#"{"a":{"b":1,"b":1}}"#), Err(JsonError::DuplicateKey("b".into())));
        assert_eq!(kept(r#"{"a":{"b":1},"\u0061":{}}"#), Err(JsonError::DuplicateKey("a".into())));
        assert_eq!(kept(r#"{"l":[{"x":1,"x":1}]}"#), Err(JsonError::DuplicateKey("x".into())));
        assert!(kept(r#"{"l":[{"x":1,"X":1}]}"#).is_ok());
        // What is passed over counts for no limit, and is JSON all the same.
        assert!(
            kept(&format!(
                r#"{{"x":{}1{},"y":[{}1]}}"#,
                "[".repeat(99),
                "]".repeat(99),
                "1,".repeat(99)
            ))
            .is_ok()
        );
        for broken in
            [r#"{"x":{]}}"#, r#"{"x":[1,]}"#, r#"{"x":"\q"}"#, r#"{"x":01}"#, r#"{"x":1}}"#]
        {
            assert!(matches!(kept(broken), Err(JsonError::Syntax { .. })), "{broken}");
        }
        assert_eq!(kept(r#"{"l":[1,1,1,1,1,1,1,1,1]}"#), Err(JsonError::TooMany(10)));
        assert_eq!(kept(r#"{"l":[[[1]]]}"#), Err(JsonError::TooDeep(4)));
    }

    #[test]
    fn one_value_and_nothing_after_it() {
        for text in
            ["", "{}{}", "{} x", "{\"a\":1,}", "\u{feff}{}", "{\"a\":\"\\ud800\"}", "nul", "1e999"]
        {
            assert!(matches!(refused(text), JsonError::Syntax { .. }), "{text:?}");
        }
        assert!(parse(b"\"\xff\"", LIMITS).is_err());
        assert!(parse(b" {} \n", LIMITS).is_ok());
    }

    #[test]
    fn attack_e3_errors_escape_what_they_show() {
        let text = refused("{\"\\u001b[31m\\n\":1,\"\\u001b[31m\\n\":1}").to_string();
        assert!(!text.contains('\u{1b}') && !text.contains('\n'), "{text}");
    }
}
