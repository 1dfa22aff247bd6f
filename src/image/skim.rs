//! [`skim`]: a document of which one member stays unread: where it stands ([`Span`]), not what it
//! says.
//!
//! An attestation holds a bill of materials of megabytes, of which a policy asks little or nothing.
//! Its text is walked once and never built; what is asked of it later is read from the bytes
//! ([`super::json::parse_kept`]).

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Value;

use super::json::{self, JsonError, Limits};

/// Where one value of a document stands, and how large it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Its bytes.
    pub range: Range<usize>,
    /// What it is.
    pub shape: Shape,
    /// How many values it holds, itself counted and keys not.
    pub values: usize,
    /// How deep it nests; by itself 1.
    pub depth: usize,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `null`
    Null,
    /// `true`, `false`
    Boolean,
    /// A number.
    Number,
    /// A string.
    Text,
    /// An array.
    List,
    /// An object.
    Object,
}

/// Parses one JSON value as [`json::parse`] does, but for the member at this path: that is left
/// out, need only be JSON, and counts for no limit but that of bytes.
///
/// # Errors
/// As [`json::parse`]; bytes that are no UTF-8 are not JSON.
pub fn skim(
    bytes: &[u8],
    limits: Limits,
    path: &[&str],
) -> Result<(Value, Option<Span>), JsonError> {
    if bytes.len() <= limits.bytes
        && let Err(error) = str::from_utf8(bytes)
    {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let lines = good.iter().filter(|byte| **byte == b'\n').count();
        let column = good.iter().rev().take_while(|byte| **byte != b'\n').count();
        return Err(JsonError::Syntax {
            line: lines.saturating_add(1),
            column: column.saturating_add(1),
        });
    }
    let value = json::parse_without(bytes, limits, path)?;
    let mut cursor = Cursor { bytes, at: 0 };
    let found = path.iter().try_for_each(|name| cursor.enter(name)).and_then(|()| cursor.value());
    Ok((value, found))
}

impl Span {
    /// The text that stands there, of the document that it was found in; none where it is no text.
    #[must_use]
    pub fn text<'b>(&self, document: &'b [u8]) -> Option<Cow<'b, str>> {
        let quoted = document.get(self.range.clone()).filter(|_| self.shape == Shape::Text)?;
        if quoted.contains(&b'\\') {
            return serde_json::from_slice(quoted).ok().map(Cow::Owned);
        }
        let inner = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        str::from_utf8(inner).ok().map(Cow::Borrowed)
    }
}

impl Shape {
    /// In words.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }

    fn of(first: u8) -> Self {
        match first {
            b'n' => Self::Null,
            b't' | b'f' => Self::Boolean,
            b'"' => Self::Text,
            b'[' => Self::List,
            b'{' => Self::Object,
            _ => Self::Number,
        }
    }
}

/// Walks a document that is known to be JSON; what is not ends the walk.
struct Cursor<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Cursor<'b> {
    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.step();
        }
    }

    /// Goes to the value of a member of the object that stands here.
    fn enter(&mut self, name: &str) -> Option<()> {
        self.space();
        let mut next = self.byte().filter(|byte| *byte == b'{');
        while next.is_some() {
            self.step();
            self.space();
            let key = self.string()?;
            self.space();
            self.step();
            if is_key(key, name) {
                return Some(());
            }
            self.value()?;
            self.space();
            next = self.byte().filter(|byte| *byte == b',');
        }
        None
    }

    /// Goes behind the string that stands here; none where none does.
    fn string(&mut self) -> Option<&'b [u8]> {
        let start = self.at;
        self.byte().filter(|byte| *byte == b'"')?;
        self.step();
        loop {
            match self.byte()? {
                b'"' => {
                    self.step();
                    return self.bytes.get(start..self.at);
                }
                b'\\' => {
                    self.step();
                    self.step();
                }
                _ => self.step(),
            }
        }
    }

    /// Goes behind the value that stands here.
    fn value(&mut self) -> Option<Span> {
        self.space();
        let start = self.at;
        let shape = Shape::of(self.byte()?);
        let (mut open, mut depth, mut values) = (0_usize, 1_usize, 1_usize);
        loop {
            match self.byte()? {
                b'"' => drop(self.string()?),
                b'{' | b'[' => {
                    open = open.saturating_add(1);
                    self.step();
                    self.space();
                    if !matches!(self.byte()?, b'}' | b']') {
                        values = values.saturating_add(1);
                        depth = depth.max(open.saturating_add(1));
                    }
                }
                b'}' | b']' => {
                    open = open.checked_sub(1)?;
                    self.step();
                }
                b',' => {
                    values = values.saturating_add(1);
                    self.step();
                }
                b':' | b' ' | b'\t' | b'\n' | b'\r' => self.step(),
                _ => self.word(),
            }
            if open == 0 {
                return Some(Span { range: start..self.at, shape, values, depth });
            }
        }
    }

    /// Goes behind a number or a word.
    fn word(&mut self) {
        while self
            .byte()
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
        {
            self.step();
        }
    }
}

/// Whether a key, as it is written, is this name.
fn is_key(quoted: &[u8], name: &str) -> bool {
    let written = quoted.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    written == Some(name.as_bytes())
        || (quoted.contains(&b'\\')
            && serde_json::from_slice::<String>(quoted).is_ok_and(|key| key == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { bytes: 10_000_000, depth: 4, values: 10, free: &[] };

    fn skimmed(text: &str, path: &[&str]) -> (Value, Option<Span>) {
        skim(text.as_bytes(), LIMITS, path).unwrap()
    }

    fn count(value: &Value) -> (usize, usize) {
        let inner: Vec<_> = match value {
            Value::Array(items) => items.iter().map(count).collect(),
            Value::Object(members) => members.values().map(count).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        };
        (
            1 + inner.iter().map(|(n, _)| n).sum::<usize>(),
            1 + inner.iter().map(|(_, d)| *d).max().unwrap_or(0),
        )
    }

    #[test]
    fn finds_what_it_leaves_and_counts_it() {
        for value in [
            "null",
            "true",
            "-1.5e+3",
            r#""a\"}{\\""#,
            "[]",
            "{}",
            "[[],[1,{}]]",
            r#"{"predicate":{"a":[1,2,{"b":null}]},"c":"}"}"#,
            " [ 1 , [ 2 ] , { } ] ",
            r#"{"a":{"b":{"c":{"d":{"e":[[[[["x"]]]]]}}}}}"#,
        ] {
            for text in [
                format!(r#"{{"a":{{"predicate":1}},"predicate":{value},"z":[1]}}"#),
                format!(r#" {{ "\u0070redicate" : {value} , "a":{{"predicate":1}},"z":[1] }} "#),
                format!("{{\"a\":{{\"predicate\":1}},\"z\":[1],\n\"predicate\":{value}}}\n"),
            ] {
                let (rest, span) = skimmed(&text, &["predicate"]);
                assert_eq!(rest, serde_json::json!({"a": {"predicate": 1}, "z": [1]}), "{text}");
                let span = span.unwrap();
                let found: Value = serde_json::from_str(&text[span.range.clone()]).unwrap();
                assert_eq!(found, serde_json::from_str::<Value>(value).unwrap(), "{text}");
                assert_eq!((span.values, span.depth), count(&found), "{text}");
                assert_eq!(span.text(text.as_bytes()).as_deref(), found.as_str(), "{text}");
            }
        }
    }

    #[test]
    fn finds_what_is_deeper() {
        let path = ["a", "b"];
        let (rest, span) = skimmed(r#"{"b":1,"a":{"c":{"b":2},"b":"x"}}"#, &path);
        assert_eq!(rest, serde_json::json!({"b": 1, "a": {"c": {"b": 2}}}));
        assert_eq!(span.map(|span| (span.shape, span.range)), Some((Shape::Text, 28..31)));
        for none in
            [r#"{"b":1}"#, r#"{"a":[{"b":1}]}"#, r#"{"a":1}"#, "[]", "1", "{}", r#"{"a":{}}"#]
        {
            assert_eq!(skimmed(none, &path).1, None, "{none}");
        }
    }

    /// Attacks A4 and D3: what stands beside it is read as strictly as ever, and it must be JSON
    /// itself.
    #[test]
    fn attack_a4_only_what_is_left_is_free() {
        let outcome = |text: &str| skim(text.as_bytes(), LIMITS, &["p"]).map(|(value, _)| value);
        let fold = |one: &str, other: &str| Err(JsonError::EqualFold(one.into(), other.into()));
        assert!(outcome(r#"{"p":{"a":1,"A":2,"a":3}}"#).is_ok());
        assert_eq!(outcome(r#"{"p":1,"p":2}"#), Err(JsonError::DuplicateKey("p".into())));
        assert_eq!(outcome(r#"{"p":1,"P":2}"#), fold("p", "P"));
        assert_eq!(outcome(r#"{"P":1,"p":2}"#), fold("P", "p"));
        assert_eq!(outcome(r#"{"a":{"x":1,"X":2},"p":2}"#), fold("x", "X"));
        for broken in [
            r#"{"p":}"#,
            r#"{"p":{]}"#,
            r#"{"p":"\x"}"#,
            r#"{"p":1"#,
            r#"{"p":nul}"#,
            "{\"p\":\"\n\"}",
        ] {
            assert!(matches!(outcome(broken), Err(JsonError::Syntax { .. })), "{broken}");
        }
        assert!(matches!(
            skim(b"{\"p\":\"\xff\"}", LIMITS, &["p"]),
            Err(JsonError::Syntax { line: 1, column: 7 })
        ));
        // Neither stack nor memory.
        let deep = format!(r#"{{"p":{}1{}}}"#, "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(skim(deep.as_bytes(), LIMITS, &["p"]).unwrap().1.unwrap().depth, 1_000_001);
    }
}
