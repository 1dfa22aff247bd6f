//! [`Tree`]: a value of a foreign policy with its place; [`Findings`]: everything that is said of a
//! file while it is read.
//!
//! Reading is as strict as the programs' own: a field that is not known is a fault.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fault::{ImportFault, Notice, Omission, Origin, Placed};
use crate::policy::yaml::{Node, Value};

/// Most entries of one list or map: a policy with more is generated, and is generated anew.
pub(in crate::import) const ENTRIES_MAX: usize = 1024;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(in crate::import) struct Tree<'n> {
    file: &'n str,
    node: &'n Node,
    field: String,
}

/// The fields of a map that are known.
#[derive(Debug)]
pub(in crate::import) struct Known<'n> {
    entries: Vec<(&'n str, Tree<'n>)>,
    origin: Origin,
}

/// What is said of the files, in the order in which it is found.
#[derive(Debug, Default)]
pub(in crate::import) struct Findings {
    pub(in crate::import) faults: Vec<Placed<ImportFault>>,
    pub(in crate::import) omissions: Vec<Placed<Omission>>,
    pub(in crate::import) notices: Vec<Placed<Notice>>,
}

impl Findings {
    pub(in crate::import) fn fault(&mut self, origin: Origin, what: ImportFault) {
        self.faults.push(Placed { origin, what });
    }

    pub(in crate::import) fn omit(&mut self, origin: Origin, what: Omission) {
        self.omissions.push(Placed { origin, what });
    }

    /// Whether what selects was left out, beyond so many first omissions.
    pub(in crate::import) fn leaves_selector(&self, before: usize) -> bool {
        self.omissions.iter().skip(before).any(|omission| omission.what == Omission::Selector)
    }

    pub(in crate::import) fn notice(&mut self, origin: Origin, what: Notice) {
        self.notices.push(Placed { origin, what });
    }
}

impl<'n> Tree<'n> {
    pub(in crate::import) fn new(file: &'n str, node: &'n Node) -> Self {
        Self { file, node, field: String::new() }
    }

    /// The documents of a list as kubectl prints one; itself where it is none.
    pub(in crate::import) fn expanded(self) -> Vec<Self> {
        let is_list = self.peek("kind").and_then(|at| at.peek_text()) == Some("List");
        let items = self.peek("items").filter(|_| is_list);
        let Some(Value::List(items)) = items.map(|at| &at.node.value) else { return vec![self] };
        let numbered = items.iter().enumerate().map(|(number, node)| Self {
            file: self.file,
            node,
            field: format!("items[{number}]"),
        });
        numbered.collect()
    }

    pub(in crate::import) fn origin(&self) -> Origin {
        Origin {
            file: self.file.to_owned(),
            position: Some(self.node.position),
            field: self.field.clone(),
        }
    }

    /// Every entry of a map, whatever its name.
    pub(in crate::import) fn entries(
        &self,
        findings: &mut Findings,
    ) -> Option<Vec<(&'n str, Self)>> {
        let Value::Map(entries) = &self.node.value else {
            findings.fault(self.origin(), ImportFault::WrongType { expected: "a map" });
            return None;
        };
        self.few(entries.len(), "entries in one map", findings)?;
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
    pub(in crate::import) fn known(
        &self,
        names: &[&str],
        findings: &mut Findings,
    ) -> Option<Known<'n>> {
        let entries = self.entries(findings)?;
        for (name, at) in entries.iter().filter(|(name, _)| !names.contains(name)) {
            findings.fault(at.origin(), ImportFault::UnknownField { name: (*name).to_owned() });
        }
        Some(Known { entries, origin: self.origin() })
    }

    /// A map of which only these fields matter.
    pub(in crate::import) fn some(&self, findings: &mut Findings) -> Option<Known<'n>> {
        let entries = self.entries(findings)?;
        Some(Known { entries, origin: self.origin() })
    }

    /// A map's field, where this is a map that has it. Says nothing.
    pub(in crate::import) fn peek(&self, name: &str) -> Option<Self> {
        let Value::Map(entries) = &self.node.value else { return None };
        let (_, node) = entries.iter().find(|(key, _)| key.name == name)?;
        Some(Tree { file: self.file, node, field: name.to_owned() })
    }

    /// No more than there may be.
    fn few(&self, count: usize, what: &'static str, findings: &mut Findings) -> Option<()> {
        if count <= ENTRIES_MAX {
            return Some(());
        }
        findings.fault(self.origin(), ImportFault::TooMany { what, limit: ENTRIES_MAX });
        None
    }

    /// Its text, where it is one. Says nothing.
    pub(in crate::import) fn peek_text(&self) -> Option<&'n str> {
        self.node.value.text()
    }

    /// Its texts, where it is a list of nothing else. Says nothing.
    pub(in crate::import) fn peek_texts(&self) -> Option<Vec<&'n str>> {
        let Value::List(items) = &self.node.value else { return None };
        items.iter().map(|node| node.value.text()).collect()
    }

    /// The names of its fields, where it is a map. Says nothing.
    pub(in crate::import) fn names(&self) -> Option<Vec<&'n str>> {
        let Value::Map(entries) = &self.node.value else { return None };
        Some(entries.iter().map(|(key, _)| key.name.as_str()).collect())
    }

    /// Every text of a field of this name, however deep. Says nothing.
    pub(in crate::import) fn texts_of(&self, name: &str, found: &mut Vec<&'n str>) {
        let below = |node| Tree { file: self.file, node, field: String::new() };
        match &self.node.value {
            Value::Map(entries) => {
                for (key, node) in entries {
                    let at = below(node);
                    found
                        .extend(at.peek_text().filter(|text| key.name == name && !text.is_empty()));
                    at.texts_of(name, found);
                }
            }
            Value::List(items) => {
                items.iter().for_each(|node| below(node).texts_of(name, found));
            }
            Value::Text(_) | Value::Integer(_) | Value::Bool(_) | Value::Number | Value::Null => {}
        }
    }

    /// A number of things.
    pub(in crate::import) fn count(&self, findings: &mut Findings) -> Option<usize> {
        let count = self.node.value.integer().and_then(|number| usize::try_from(number).ok());
        if count.is_none() {
            findings
                .fault(self.origin(), ImportFault::WrongType { expected: "a number from 0 on" });
        }
        count
    }

    pub(in crate::import) fn list(&self, findings: &mut Findings) -> Option<Vec<Self>> {
        let Value::List(items) = &self.node.value else {
            findings.fault(self.origin(), ImportFault::WrongType { expected: "a list" });
            return None;
        };
        self.few(items.len(), "entries in one list", findings)?;
        let numbered = items.iter().enumerate().map(|(number, node)| Tree {
            file: self.file,
            node,
            field: format!("{}[{number}]", self.field),
        });
        Some(numbered.collect())
    }

    /// A list with at least one entry.
    pub(in crate::import) fn filled(&self, findings: &mut Findings) -> Option<Vec<Self>> {
        let list = self.list(findings)?;
        if list.is_empty() {
            findings.fault(self.origin(), ImportFault::Empty);
            return None;
        }
        Some(list)
    }

    pub(in crate::import) fn text(&self, findings: &mut Findings) -> Option<&'n str> {
        let text = self.peek_text();
        if text.is_none() {
            findings.fault(self.origin(), ImportFault::WrongType { expected: "text" });
        }
        text
    }

    pub(in crate::import) fn truth(&self, findings: &mut Findings) -> Option<bool> {
        let Value::Bool(truth) = self.node.value else {
            findings.fault(self.origin(), ImportFault::WrongType { expected: "true or false" });
            return None;
        };
        Some(truth)
    }

    /// Bytes, written in base64 as Go writes them in JSON.
    pub(in crate::import) fn bytes(&self, findings: &mut Findings) -> Option<Vec<u8>> {
        let text: String = self.text(findings)?.chars().filter(|c| !"\r\n".contains(*c)).collect();
        let bytes = STANDARD.decode(text).ok();
        if bytes.is_none() {
            findings.fault(self.origin(), ImportFault::Base64);
        }
        bytes
    }

    /// One of these words.
    pub(in crate::import) fn word(
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
    pub(in crate::import) fn is_empty(&self) -> bool {
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
    pub(in crate::import) fn get(&self, name: &str) -> Option<&Tree<'n>> {
        self.entries.iter().find(|(known, _)| *known == name).map(|(_, at)| at)
    }

    /// A field that has something in it: Kubernetes takes an empty one for none.
    pub(in crate::import) fn given(&self, name: &str) -> Option<&Tree<'n>> {
        self.get(name).filter(|at| !at.is_empty())
    }

    pub(in crate::import) fn required(
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
    pub(in crate::import) fn one_of(
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
