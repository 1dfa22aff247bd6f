//! [`Reader`] and [`At`]: walking a policy file field by field, strictly, noting every fault with
//! its place.
//!
//! A reader returns `None` where a value cannot be used and goes on, so that one reading tells
//! everything; whoever asks looks at the errors before using anything (nothing is loaded in part).

use std::collections::HashSet;

use super::advice::Advice;
use super::error::{Note, PolicyError, PolicyFault};
use super::suggest::nearest;
use super::yaml::{Key, Node, Value};
use crate::policy::position::Position;

/// Most errors that are kept: more than anybody reads, fewer than a hostile file can cause.
const ERRORS_MAX: usize = 100;
/// Most notes that are kept of one file, for the same reason.
const NOTES_MAX: usize = 100;
/// Longest text value: image names and paths are at most 255 and 4096 bytes.
const TEXT_MAX: usize = 4096;
/// Most regular expressions of one fetched list. Its signer chooses them, the start and each
/// reload compile them again, and each certificate is matched against all of them.
const FETCHED_EXPRESSIONS_MAX: usize = 16;

/// Collects the faults of one file.
#[derive(Debug)]
pub(in crate::policy) struct Reader {
    file: String,
    errors: Vec<PolicyError>,
    notes: Vec<Note>,
    /// How many expressions may still be compiled of a fetched list; none for files of the node.
    expressions_left: Option<usize>,
}

/// What the next regular expression of a file may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum ExpressionRoom {
    /// What one of the node's own files may.
    Usual,
    /// What one of a fetched list may.
    Small,
    /// Nothing: there were this many.
    Spent(usize),
}

/// A value, its place and the path of fields that leads to it.
#[derive(Debug, Clone)]
pub(in crate::policy) struct At<'n> {
    pub(in crate::policy) node: &'n Node,
    pub(in crate::policy) field: String,
}

/// The fields of one map, each at most once and each known.
#[derive(Debug)]
pub(in crate::policy) struct Fields<'n> {
    position: Position,
    field: String,
    entries: Vec<(&'static str, At<'n>)>,
    /// What misspelt fields were likely meant to be: that these are not there is no second fault.
    meant: Vec<&'static str>,
}

impl Reader {
    pub(in crate::policy) fn new(file: &str) -> Self {
        let (errors, notes) = (Vec::new(), Vec::new());
        Self { file: file.to_owned(), errors, notes, expressions_left: None }
    }

    /// Reads a list that was fetched: what its author can make the node do is bounded.
    pub(in crate::policy) fn of_fetched(file: &str) -> Self {
        Self { expressions_left: Some(FETCHED_EXPRESSIONS_MAX), ..Self::new(file) }
    }

    /// Counts an expression, before it is compiled.
    pub(in crate::policy) fn next_expression(&mut self) -> ExpressionRoom {
        match self.expressions_left {
            None => ExpressionRoom::Usual,
            Some(0) => ExpressionRoom::Spent(FETCHED_EXPRESSIONS_MAX),
            Some(left) => {
                self.expressions_left = Some(left - 1);
                ExpressionRoom::Small
            }
        }
    }

    /// What was noted: faults, and what is no fault.
    pub(in crate::policy) fn finish(self) -> (Vec<PolicyError>, Vec<Note>) {
        (self.errors, self.notes)
    }

    pub(in crate::policy) fn file(&self) -> &str {
        &self.file
    }

    /// Notes a fault at a value.
    pub(in crate::policy) fn fault(&mut self, at: &At<'_>, fault: PolicyFault) {
        self.note(Some(at.node.position), at.field.clone(), fault);
    }

    /// Notes a fault anywhere.
    pub(in crate::policy) fn note(
        &mut self,
        position: Option<Position>,
        field: String,
        fault: PolicyFault,
    ) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(PolicyError { file: self.file.clone(), position, field, fault });
        }
    }

    /// Notes what is odd about a value, and no fault.
    pub(in crate::policy) fn advise(&mut self, at: &At<'_>, advice: Advice) {
        if self.notes.len() < NOTES_MAX {
            let (file, field) = (self.file.clone(), at.field.clone());
            self.notes.push(Note { file, position: at.node.position, field, advice });
        }
    }

    /// The map's fields. Those that are not `expected` are faults, and so are those that stand
    /// twice.
    pub(in crate::policy) fn fields<'n>(
        &mut self,
        at: &At<'n>,
        expected: &'static [&'static str],
    ) -> Option<Fields<'n>> {
        let Value::Map(entries) = &at.node.value else {
            self.wrong(at, "a map");
            return None;
        };
        let mut fields = Fields {
            position: at.node.position,
            field: at.field.clone(),
            entries: Vec::new(),
            meant: Vec::new(),
        };
        for (key, node) in entries {
            self.take(&mut fields, key, node, expected);
        }
        Some(fields)
    }

    /// The map's fields, of which there is at least one.
    pub(in crate::policy) fn some_fields<'n>(
        &mut self,
        at: &At<'n>,
        expected: &'static [&'static str],
    ) -> Option<Fields<'n>> {
        let fields = self.fields(at, expected)?;
        if matches!(&at.node.value, Value::Map(entries) if entries.is_empty()) {
            self.fault(at, PolicyFault::EmptyList);
            return None;
        }
        Some(fields)
    }

    fn take<'n>(
        &mut self,
        fields: &mut Fields<'n>,
        key: &Key,
        node: &'n Node,
        expected: &'static [&'static str],
    ) {
        let field = join(&fields.field, &key.name);
        let Some(name) = expected.iter().find(|name| **name == key.name) else {
            fields.meant.extend(nearest(&key.name, expected.iter().copied()));
            let fault = PolicyFault::UnknownField { name: key.name.clone(), expected };
            return self.note(Some(key.position), field, fault);
        };
        if fields.get(name).is_some() {
            let fault = PolicyFault::DuplicateField { name: key.name.clone() };
            return self.note(Some(key.position), field, fault);
        }
        fields.entries.push((name, At { node, field }));
    }

    /// A field that must be there.
    pub(in crate::policy) fn required<'f, 'n>(
        &mut self,
        fields: &'f Fields<'n>,
        name: &'static str,
    ) -> Option<&'f At<'n>> {
        let found = fields.get(name);
        if found.is_none() && !fields.means(&[name]) {
            self.note(
                Some(fields.position),
                fields.field.clone(),
                PolicyFault::MissingField { name },
            );
        }
        found
    }

    /// A list with something in it, and no more than `limit`.
    pub(in crate::policy) fn list<'n>(
        &mut self,
        at: &At<'n>,
        what: &'static str,
        limit: usize,
    ) -> Option<Vec<At<'n>>> {
        let Value::List(nodes) = &at.node.value else {
            self.wrong(at, "a list ([a, b], or one - per line)");
            return None;
        };
        if nodes.is_empty() {
            self.fault(at, PolicyFault::EmptyList);
            return None;
        }
        if nodes.len() > limit {
            self.fault(at, PolicyFault::TooMany { what, limit });
            return None;
        }
        let item = |(n, node)| At { node, field: format!("{}[{n}]", at.field) };
        Some(nodes.iter().enumerate().map(item).collect())
    }

    /// A list of texts, none twice.
    pub(in crate::policy) fn texts<'n>(
        &mut self,
        at: &At<'n>,
        what: &'static str,
        limit: usize,
    ) -> Vec<(At<'n>, &'n str)> {
        let mut texts: Vec<(At<'n>, &str)> = Vec::new();
        let mut known = HashSet::new();
        for item in self.list(at, what, limit).into_iter().flatten() {
            let Some(text) = self.text(&item) else { continue };
            if known.insert(text) {
                texts.push((item, text));
            } else {
                self.fault(&item, PolicyFault::DuplicateEntry { value: text.to_owned() });
            }
        }
        texts
    }

    /// A text.
    pub(in crate::policy) fn text<'n>(&mut self, at: &At<'n>) -> Option<&'n str> {
        match &at.node.value {
            Value::Text(text) if text.len() > TEXT_MAX => {
                self.fault(at, PolicyFault::TooMany { what: "bytes in one text", limit: TEXT_MAX });
                None
            }
            Value::Text(text) => Some(text),
            Value::Map(_) | Value::List(_) | Value::Null => {
                self.wrong(at, "text");
                None
            }
            Value::Integer(_) | Value::Number | Value::Bool(_) => {
                self.wrong(at, "text (in quotes when it looks like a number or a truth value)");
                None
            }
        }
    }

    /// `true`, for a field that is true or not there.
    pub(in crate::policy) fn is_true(&mut self, fields: &Fields<'_>, name: &'static str) -> bool {
        let Some(at) = fields.get(name) else { return false };
        let is_true = matches!(at.node.value, Value::Bool(true));
        if !is_true {
            self.fault(at, PolicyFault::NotTrue { name });
        }
        is_true
    }

    /// A number from `from` to `to`.
    pub(in crate::policy) fn number(&mut self, at: &At<'_>, from: u8, to: u8) -> Option<u8> {
        let Value::Integer(got) = at.node.value else {
            self.wrong(at, "a number");
            return None;
        };
        let number = u8::try_from(got).ok().filter(|number| (from..=to).contains(number));
        if number.is_none() {
            self.fault(at, PolicyFault::Range { got, from, to });
        }
        number
    }

    /// Which one of these fields is there; a fault when it is none or several.
    pub(in crate::policy) fn one_of(
        &mut self,
        fields: &Fields<'_>,
        expected: &'static [&'static str],
    ) -> Option<&'static str> {
        let found: Vec<&'static str> =
            expected.iter().copied().filter(|name| fields.get(name).is_some()).collect();
        if let [one] = found.as_slice() {
            return Some(one);
        }
        if found.is_empty() && fields.means(expected) {
            return None;
        }
        self.note(
            Some(fields.position),
            fields.field.clone(),
            PolicyFault::OneOf { expected, found },
        );
        None
    }

    /// One of the known words.
    pub(in crate::policy) fn word(
        &mut self,
        at: &At<'_>,
        expected: &'static [&'static str],
    ) -> Option<&'static str> {
        let text = self.text(at)?;
        let found = expected.iter().copied().find(|word| *word == text);
        if found.is_none() {
            self.fault(at, PolicyFault::UnknownWord { got: text.to_owned(), expected });
        }
        found
    }

    /// Notes a value of the wrong kind.
    pub(in crate::policy) fn wrong(&mut self, at: &At<'_>, expected: &'static str) {
        self.fault(at, PolicyFault::WrongType { expected, got: at.node.value.kind() });
    }
}

impl<'n> Fields<'n> {
    /// Where the map stands.
    pub(in crate::policy) fn position(&self) -> Position {
        self.position
    }

    /// The path of fields that leads to the map.
    pub(in crate::policy) fn field(&self) -> &str {
        &self.field
    }

    /// The fields that are there, in the order written.
    pub(in crate::policy) fn iter(&self) -> impl Iterator<Item = (&'static str, &At<'n>)> {
        self.entries.iter().map(|(name, at)| (*name, at))
    }

    /// Whether a field that is misspelt was likely meant to be one of these: then it is told that it
    /// is misspelt, and not that they are missing as well.
    pub(in crate::policy) fn means(&self, names: &[&str]) -> bool {
        self.meant.iter().any(|meant| names.contains(meant))
    }

    /// The field, when it is there.
    pub(in crate::policy) fn get(&self, name: &str) -> Option<&At<'n>> {
        self.entries.iter().find(|(known, _)| *known == name).map(|(_, at)| at)
    }
}

/// `a` and `b` as `a.b`.
fn join(field: &str, name: &str) -> String {
    if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") }
}
