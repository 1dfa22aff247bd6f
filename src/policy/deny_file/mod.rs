//! [`with_deny_entry`] and [`without_deny_entry`]: the text that a policy file becomes when an entry of a deny list is
//! added to it or taken out.
//!
//! The text is changed line by line, so that the other entries, the other documents and the comments
//! stay as they were written. Then it is read again: where it says anything else than what the file
//! said, with that one entry more or less, it is not given out. Reads and writes no file.

mod entry_text;
mod lines;

use std::collections::BTreeSet;
use std::fmt;

use crate::policy::document::deny_entry::DenyEntry;
use crate::policy::document::deny_list::DenyList;
use crate::policy::document::{Documents, PolicyFile};
use crate::policy::position::Position;
use crate::policy::syntax::error::PolicyError;
use crate::policy::syntax::yaml::{self, Key, Node, Value};
use lines::Lines;

/// What stands at the top of a file that is made for its first entry.
const HEADER: &str = "# What is struck off for every policy at once. Written by sealgate deny, which keeps what else\n\
                      # is written here.\n";
/// What a list is called that is made for its first entry.
const NAME: &str = "denied";

/// Why there is no such text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DenyFileFault {
    /// The file is faulty: nobody knows what it means.
    Faulty(Vec<PolicyError>),
    /// The entry is not written on lines of its own.
    NotOnLines {
        /// The file.
        file: String,
        /// Where the entry is.
        position: Position,
    },
    /// The file has no such entry.
    NoEntry,
}

/// A file as it was read.
struct Read {
    lines: Lines,
    documents: Documents,
    nodes: Vec<Node>,
}

/// What a file says, without its places: the documents that are no deny lists, and each list with
/// its entries.
#[derive(PartialEq)]
struct Meaning {
    others: Vec<String>,
    lists: Vec<(String, Vec<DenyEntry>)>,
}

/// One entry in the tree of its file.
struct Found<'n> {
    document: &'n Node,
    spec: &'n [(Key, Node)],
    key: &'n Key,
    items: &'n [Node],
    number: usize,
}

/// The file with one entry more: in the first deny list that has lines for it, or else in a new one,
/// whose name is none of `taken`. Without a file, what a new one holds.
///
/// # Errors
/// [`DenyFileFault::Faulty`] when the file is, or would be with the entry.
pub fn with_deny_entry(
    file: Option<&PolicyFile>,
    entry: &DenyEntry,
    taken: &BTreeSet<String>,
) -> Result<String, DenyFileFault> {
    let Some(file) = file else {
        return Ok(format!("{HEADER}{}", new_list(&free_name(&[taken]), entry)));
    };
    let read = Read::of(file)?;
    let before = read.meaning();
    for (number, list) in read.documents.deny_lists.iter().enumerate() {
        let mut expected = read.meaning();
        if let Some((_, entries)) = expected.lists.get_mut(number) {
            entries.push(entry.clone());
        }
        if let Some(text) = read.with_item(list, entry)
            && says(file, &text, &expected)
        {
            return Ok(text);
        }
    }
    let own: BTreeSet<String> = read.names().cloned().collect();
    let name = free_name(&[taken, &own]);
    let text = format!("{}---\n{}", read.lines.whole(), new_list(&name, entry));
    let mut expected = before;
    expected.lists.push((name, vec![entry.clone()]));
    if says(file, &text, &expected) {
        return Ok(text);
    }
    // What is wrong with it is the entry's fault: the file by itself is sound.
    Err(match Read::of(&PolicyFile { name: file.name.clone(), bytes: text.into_bytes() }) {
        Err(fault) => fault,
        Ok(_) => DenyFileFault::NoEntry,
    })
}

/// The file without one entry, counted over all of its deny lists from 0; none where nothing is left
/// of it.
///
/// # Errors
/// [`DenyFileFault`] when the file is faulty, has no such entry, or has it on no lines of its own.
pub fn without_deny_entry(
    file: &PolicyFile,
    number: usize,
) -> Result<Option<String>, DenyFileFault> {
    let read = Read::of(file)?;
    let found = read.entry(number).ok_or(DenyFileFault::NoEntry)?;
    let position = found.items.get(found.number).map_or(found.key.position, start);
    let fault = DenyFileFault::NotOnLines { file: file.name.clone(), position };
    let mut expected = read.meaning();
    let mut left = number;
    for (_, entries) in &mut expected.lists {
        if left < entries.len() {
            entries.remove(left);
            break;
        }
        left -= entries.len();
    }
    expected.lists.retain(|(_, entries)| !entries.is_empty());
    if expected.lists.is_empty() && expected.others.is_empty() {
        return Ok(None);
    }
    let text = read.without(&found).ok_or_else(|| fault.clone())?;
    if says(file, &text, &expected) { Ok(Some(text)) } else { Err(fault) }
}

/// What a new list is called: a list of a name that another folder has would replace that one whole.
fn free_name(taken: &[&BTreeSet<String>]) -> String {
    let numbered = (2..).map(|number| format!("{NAME}-{number}"));
    let mut names = std::iter::once(NAME.to_owned()).chain(numbered);
    names.find(|name| !taken.iter().any(|taken| taken.contains(name))).unwrap_or_default()
}

fn new_list(name: &str, entry: &DenyEntry) -> String {
    let items = entry_text::item(entry, 4).concat();
    format!(
        "apiVersion: sealgate/v1\nkind: DenyList\nmetadata: {{name: {name}}}\nspec:\n  {}:\n{items}",
        entry.denied.field()
    )
}

/// Where a value begins: a map with its first key.
fn start(node: &Node) -> Position {
    match &node.value {
        Value::Map(entries) => entries.first().map_or(node.position, |(key, _)| key.position),
        Value::List(_)
        | Value::Text(_)
        | Value::Integer(_)
        | Value::Bool(_)
        | Value::Number
        | Value::Null => node.position,
    }
}

/// Whether the text is a policy file that says this. The order of the entries within a list is that
/// of its kinds, and says nothing.
fn says(file: &PolicyFile, text: &str, expected: &Meaning) -> bool {
    let file = PolicyFile { name: file.name.clone(), bytes: text.as_bytes().to_vec() };
    let Ok(read) = Read::of(&file) else { return false };
    let sorted = |meaning: Meaning| {
        let Meaning { others, mut lists } = meaning;
        for (_, entries) in &mut lists {
            entries.sort_by_cached_key(|entry| format!("{entry:?}"));
        }
        Meaning { others, lists }
    };
    let (others, lists) = (expected.others.clone(), expected.lists.clone());
    sorted(read.meaning()) == sorted(Meaning { others, lists })
}

impl Read {
    fn of(file: &PolicyFile) -> Result<Self, DenyFileFault> {
        let documents =
            Documents::parse(std::slice::from_ref(file)).map_err(DenyFileFault::Faulty)?;
        // It is text, and YAML: its documents were read.
        let text = String::from_utf8_lossy(&file.bytes);
        let nodes = yaml::documents(&text).unwrap_or_default();
        Ok(Self { lines: Lines::of(&text), documents, nodes })
    }

    fn meaning(&self) -> Meaning {
        let lists = &self.documents.deny_lists;
        let is_list = |node: &&Node| lists.iter().any(|list| list.head.position == node.position);
        let others = self.nodes.iter().filter(|node| !is_list(node)).map(plain).collect();
        let entries =
            |list: &DenyList| list.entries.iter().map(|read| read.entry.clone()).collect();
        let lists = lists.iter().map(|list| (list.head.name.clone(), entries(list))).collect();
        Meaning { others, lists }
    }

    /// The names of its documents.
    fn names(&self) -> impl Iterator<Item = &String> {
        let policies = self.documents.documents.iter().map(|document| &document.name);
        let lists = self.documents.deny_lists.iter().map(|list| &list.head.name);
        let exceptions = self.documents.exceptions.iter().map(|exception| &exception.head.name);
        policies.chain(lists).chain(exceptions)
    }

    /// The document of a list, and its `spec`.
    fn tree(&self, list: &DenyList) -> Option<(&Node, &[(Key, Node)])> {
        let document = self.nodes.iter().find(|node| node.position == list.head.position)?;
        let Value::Map(fields) = &document.value else { return None };
        let (_, spec) = fields.iter().find(|(key, _)| key.name == "spec")?;
        let Value::Map(spec) = &spec.value else { return None };
        Some((document, spec))
    }

    /// The entry of this number, over all lists.
    fn entry(&self, number: usize) -> Option<Found<'_>> {
        let mut left = number;
        for list in &self.documents.deny_lists {
            let (document, spec) = self.tree(list)?;
            for (key, node) in spec {
                let Value::List(items) = &node.value else { return None };
                if left < items.len() {
                    return Some(Found { document, spec, key, items, number: left });
                }
                left -= items.len();
            }
        }
        None
    }

    /// The text with the entry in this list; none where the list has no lines for it.
    fn with_item(&self, list: &DenyList, entry: &DenyEntry) -> Option<String> {
        let (_, spec) = self.tree(list)?;
        let field = entry.denied.field();
        if let Some((_, node)) = spec.iter().find(|(key, _)| key.name == field) {
            let Value::List(items) = &node.value else { return None };
            let (first, indent) = self.lines.item(start(items.last()?))?;
            let at = self.lines.end_of_block(first, indent);
            return Some(self.lines.with(at, &entry_text::item(entry, indent)));
        }
        let (key, _) = spec.first()?;
        let (first, indent) = self.lines.key(key.position)?;
        let at = self.lines.end_of_block(first, indent.checked_sub(1)?);
        let mut new = vec![format!("{:indent$}{field}:\n", "")];
        new.extend(entry_text::item(entry, indent + 2));
        Some(self.lines.with(at, &new))
    }

    /// The text without what was found; none where it has no lines of its own.
    fn without(&self, found: &Found<'_>) -> Option<String> {
        let Found { document, spec, key, items, number } = found;
        if spec.len() == 1 && items.len() == 1 {
            let (first, end) = self.lines.document(start(document))?;
            return Some(self.lines.without(first, end));
        }
        let (first, indent) = self.lines.item(start(items.get(*number)?))?;
        let end = self.lines.end_of_block(first, indent);
        if items.len() > 1 {
            return Some(self.lines.without(first, end));
        }
        let (first, _) = self.lines.key(key.position)?;
        Some(self.lines.without(first, end))
    }
}

/// A value without its places.
fn plain(node: &Node) -> String {
    match &node.value {
        Value::Map(entries) => {
            let fields =
                entries.iter().map(|(key, node)| format!("{:?}: {}", key.name, plain(node)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::List(items) => {
            format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(", "))
        }
        value @ (Value::Text(_)
        | Value::Integer(_)
        | Value::Bool(_)
        | Value::Number
        | Value::Null) => format!("{value:?}"),
    }
}

impl fmt::Display for DenyFileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Faulty(errors) => {
                let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
                f.write_str(&errors.join("\n"))
            }
            Self::NotOnLines { file, position: Position { line, column } } => write!(
                f,
                "{}:{line}:{column}: the entry does not stand on lines of its own; take it out with \
                 an editor",
                file.escape_default()
            ),
            Self::NoEntry => f.write_str("the file has no such entry"),
        }
    }
}

impl std::error::Error for DenyFileFault {}

#[cfg(test)]
mod tests;
