//! [`Tree`]: a value of a foreign policy with its place; [`Findings`]: everything that is said of a
//! file while it is read.
//!
//! Reading is as strict as the programs' own: a field that is not known is a fault.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fault::{ImportFault, Notice, Omission, Origin, Placed};
use crate::policy::yaml::{Node, Value};

/// Most entries of one list or map: a policy with more is generated, and is generated anew.
pub(super) const ENTRIES_MAX: usize = 1024;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Tree<'n> {
    file: &'n str,
    node: &'n Node,
    field: String,
}

/// The fields of a map that are known.
#[derive(Debug)]
pub(super) struct Known<'n> {
    entries: Vec<(&'n str, Tree<'n>)>,
    origin: Origin,
}

/// What is said of the files, in the order in which it is found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) faults: Vec<Placed<ImportFault>>,
    pub(super) omissions: Vec<Placed<Omission>>,
    pub(super) notices: Vec<Placed<Notice>>,
}

impl Findings {
    pub(super) fn fault(&mut self, origin: Origin, what: ImportFault) {
        self.faults.push(Placed { origin, what });
    }

    pub(super) fn omit(&mut self, origin: Origin, what: Omission) {
        self.omissions.push(Placed { origin, what });
    }

    pub(super) fn notice(&mut self, origin: Origin, what: Notice) {
        self.notices.push(Placed { origin, what });
    }
}

impl<'n> Tree<'n> {
    pub(super) fn new(file: &'n str, node: &'n Node) -> Self {
        Self { file, node, field: String::new() }
    }

    pub(super) fn origin(&self) -> Origin {
        Origin {
            file: self.file.to_owned(),
            position: Some(self.node.position),
            field: self.field.clone(),
        }
    }

    /// Every entry of a map, whatever its name.
    pub(super) fn entries(&self, findings: &mut Findings) -> Option<Vec<(&'n str, Self)>> {
        let Value::Map(entries) = &self.node.value else {
            findings.fault(self.origin(), ImportFault::WrongType { expected: "a map" });
            return None;
        };
        if entries.len() > ENTRIES_MAX {
            let fault = ImportFault::TooMany { what: "entries in one map", limit: ENTRIES_MAX };
            findings.fault(self.origin(), fault);
            return None;
        }
        let below = |name: &str| match (self.field.as_str(), is_plain(name)) {
            ("", _) => name.to_owned(),
            (field, true) => format!("{field}.{name}"),
            (field, false) => format!("{field}[{name:?}]"),
        };
        let named = entries.iter().map(|(key, node)| {
            let tree = Tree { file: self.file, node, field: below(&key.name) };
            (key.name.as_str(), tree)
        });
        Some(named.collect())
    }

    /// A map whose fields are all known.
    pub(super) fn known(&self, names: &[&str], findings: &mut Findings) -> Option<Known<'n>> {
        let entries = self.entries(findings)?;
        for (name, at) in entries.iter().filter(|(name, _)| !names.contains(name)) {
            findings.fault(at.origin(), ImportFault::UnknownField { name: (*name).to_owned() });
        }
        Some(Known { entries, origin: self.origin() })
    }

    /// A map of which only these fields matter.
    pub(super) fn some(&self, findings: &mut Findings) -> Option<Known<'n>> {
        let entries = self.entries(findings)?;
        Some(Known { entries, origin: self.origin() })
    }

    /// A map's field, where this is a map that has it. Says nothing.
    pub(super) fn peek(&self, name: &str) -> Option<Self> {
        let Value::Map(entries) = &self.node.value else { return None };
        let (_, node) = entries.iter().find(|(key, _)| key.name == name)?;
        Some(Tree { file: self.file, node, field: name.to_owned() })
    }

    /// Its text, where it is one. Says nothing.
    pub(super) fn peek_text(&self) -> Option<&'n str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            Value::Map(_)
            | Value::List(_)
            | Value::Integer(_)
            | Value::Bool(_)
            | Value::Number
            | Value::Null => None,
        }
    }

    pub(super) fn list(&self, findings: &mut Findings) -> Option<Vec<Self>> {
        let Value::List(items) = &self.node.value else {
            findings.fault(self.origin(), ImportFault::WrongType { expected: "a list" });
            return None;
        };
        if items.len() > ENTRIES_MAX {
            let fault = ImportFault::TooMany { what: "entries in one list", limit: ENTRIES_MAX };
            findings.fault(self.origin(), fault);
            return None;
        }
        let numbered = items.iter().enumerate().map(|(number, node)| Tree {
            file: self.file,
            node,
            field: format!("{}[{number}]", self.field),
        });
        Some(numbered.collect())
    }

    /// A list with at least one entry.
    pub(super) fn filled(&self, findings: &mut Findings) -> Option<Vec<Self>> {
        let list = self.list(findings)?;
        if list.is_empty() {
            findings.fault(self.origin(), ImportFault::Empty);
            return None;
        }
        Some(list)
    }

    pub(super) fn text(&self, findings: &mut Findings) -> Option<&'n str> {
        let text = self.peek_text();
        if text.is_none() {
            findings.fault(self.origin(), ImportFault::WrongType { expected: "text" });
        }
        text
    }

    pub(super) fn truth(&self, findings: &mut Findings) -> Option<bool> {
        let Value::Bool(truth) = self.node.value else {
            findings.fault(self.origin(), ImportFault::WrongType { expected: "true or false" });
            return None;
        };
        Some(truth)
    }

    /// Bytes, written in base64 as Go writes them in JSON.
    pub(super) fn bytes(&self, findings: &mut Findings) -> Option<Vec<u8>> {
        let text: String = self.text(findings)?.chars().filter(|c| !"\r\n".contains(*c)).collect();
        let bytes = STANDARD.decode(text).ok();
        if bytes.is_none() {
            findings.fault(self.origin(), ImportFault::Base64);
        }
        bytes
    }

    /// One of these words.
    pub(super) fn word(
        &self,
        known: &[&'static str],
        findings: &mut Findings,
    ) -> Option<&'static str> {
        let text = self.text(findings)?;
        let word = known.iter().copied().find(|word| *word == text);
        if word.is_none() {
            findings.fault(self.origin(), ImportFault::UnknownValue { got: text.to_owned() });
        }
        word
    }

    /// Whether nothing is in it: null, or a map, list or text without an entry.
    pub(super) fn is_empty(&self) -> bool {
        match &self.node.value {
            Value::Null => true,
            Value::Map(entries) => entries.is_empty(),
            Value::List(items) => items.is_empty(),
            Value::Text(text) => text.is_empty(),
            Value::Integer(_) | Value::Bool(_) | Value::Number => false,
        }
    }
}

impl<'n> Known<'n> {
    pub(super) fn get(&self, name: &str) -> Option<&Tree<'n>> {
        self.entries.iter().find(|(known, _)| *known == name).map(|(_, at)| at)
    }

    /// A field that has something in it: Kubernetes takes an empty one for none.
    pub(super) fn given(&self, name: &str) -> Option<&Tree<'n>> {
        self.get(name).filter(|at| !at.is_empty())
    }

    pub(super) fn required(
        &self,
        name: &'static str,
        findings: &mut Findings,
    ) -> Option<&Tree<'n>> {
        let found = self.get(name);
        if found.is_none() {
            findings.fault(self.origin.clone(), ImportFault::MissingField { name });
        }
        found
    }

    /// The one of these fields that is there; a fault where it is none or several.
    pub(super) fn one_of(
        &self,
        names: &'static [&'static str],
        findings: &mut Findings,
    ) -> Option<(&'static str, &Tree<'n>)> {
        let mut found = names.iter().filter_map(|name| self.given(name).map(|at| (*name, at)));
        match (found.next(), found.next()) {
            (Some(one), None) => Some(one),
            (None, _) | (Some(_), Some(_)) => {
                findings.fault(self.origin.clone(), ImportFault::NotOneOf { expected: names });
                None
            }
        }
    }
}

/// Whether a name can stand behind a dot.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}
