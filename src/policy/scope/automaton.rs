//! [`Automaton`]: many patterns as one: a tree of what they begin with alike, that a name is walked
//! through once.
//!
//! The work is that of the name's length and of the wildcards that it really meets, however many
//! patterns there are. Places in the tree are where a part of some pattern has been read; a `*`
//! stays where it is until its part ends, a `**` until the name does. What a pattern means,
//! `pattern` says; which documents it is of, the tree's ends.

use super::document_set::DocumentSet;
use super::pattern::{ANY_PARTS, ANY_TEXT, END_OF_PART, PatternList};

/// Patterns of documents, by number, as one tree.
#[derive(Debug, Default)]
pub(in crate::policy) struct Automaton {
    nodes: Box<[Node]>,
    /// For each node the first byte of its label: those of the children of one node stand together,
    /// ascending.
    heads: Box<[u8]>,
    /// The labels of all nodes.
    labels: Box<[u8]>,
    /// Documents of ends that are several documents'.
    shared: Vec<Shared>,
}

/// A piece of one or more patterns, and what may come after.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// Where its label begins, and how long that is.
    label: u32,
    length: u16,
    /// How many children it has, and where they are.
    children: u16,
    first: u32,
    ends: Ends,
}

/// Whose pattern ends with a node.
#[derive(Debug, Clone, Copy)]
enum Ends {
    Nobody,
    /// That of the document of this number.
    One(u32),
    /// Those of several documents; where in `shared`.
    Several(u32),
}

/// Several documents: by number while they are few, else as a set, which is smaller then and faster
/// to add.
#[derive(Debug)]
enum Shared {
    Few(Box<[u32]>),
    Many(DocumentSet),
}

/// Where a pattern has been read up to: a node, and how many bytes of its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    node: u32,
    read: u16,
}

/// Where one name's walk is.
struct Walk<'a> {
    automaton: &'a Automaton,
    /// Places that are reached with what was read, each once.
    at: Vec<Place>,
    /// The same, one byte on.
    next: Vec<Place>,
    /// Places after a `*` in the part that is being read, ascending.
    in_text: Vec<Place>,
    /// Places after a `**`.
    in_parts: Vec<Place>,
}

/// One pattern while the tree is made.
struct Entry {
    start: u32,
    length: u16,
    document: u32,
}

/// A node whose label and children are not known yet: which entries lead through it, and how much
/// of these was read.
struct Open {
    node: usize,
    entries: std::ops::Range<usize>,
    depth: usize,
}

struct Builder {
    documents: usize,
    text: Vec<u8>,
    entries: Vec<Entry>,
    nodes: Vec<Node>,
    heads: Vec<u8>,
    labels: Vec<u8>,
    shared: Vec<Shared>,
}

impl Automaton {
    /// Of the patterns of each document, in the order of their numbers. Each list is let go when it
    /// has been read.
    pub(in crate::policy) fn new(lists: impl ExactSizeIterator<Item = PatternList>) -> Self {
        let mut builder = Builder::new(lists.len());
        for (document, list) in lists.enumerate() {
            list.iter().for_each(|pattern| builder.add(pattern, document));
        }
        builder.build()
    }

    /// Adds the documents that have a pattern that is the text of these parts, whole.
    pub(in crate::policy) fn add_matching<'t>(
        &self,
        parts: impl Iterator<Item = &'t str>,
        into: &mut DocumentSet,
    ) {
        if self.nodes.is_empty() {
            return;
        }
        let mut walk =
            Walk { automaton: self, at: vec![], next: vec![], in_text: vec![], in_parts: vec![] };
        walk.at.push(Place { node: 0, read: 0 });
        walk.begin_part();
        for part in parts {
            walk.read_part(part.as_bytes());
            walk.end_part();
            walk.begin_part();
        }
        for place in &walk.at {
            self.add_ends(*place, into);
        }
    }

    fn node(&self, place: Place) -> Option<&Node> {
        self.nodes.get(index(place.node))
    }

    /// One byte of a pattern on.
    fn step(&self, place: Place, byte: u8) -> Option<Place> {
        let node = self.node(place)?;
        if place.read < node.length {
            let next = self.labels.get(index(node.label) + usize::from(place.read))?;
            return (*next == byte).then_some(Place { read: place.read + 1, ..place });
        }
        let first = index(node.first);
        let heads = self.heads.get(first..first + usize::from(node.children))?;
        let child = u32::try_from(heads.binary_search(&byte).ok()?).ok()?;
        Some(Place { node: node.first + child, read: 1 })
    }

    /// How many bytes of a text the label goes on with, up to its next wildcard.
    fn literal(&self, place: Place, text: &[u8]) -> u16 {
        let Some(node) = self.node(place) else { return 0 };
        let label = index(node.label);
        let rest =
            self.labels.get(label + usize::from(place.read)..label + usize::from(node.length));
        let alike = rest.unwrap_or_default().iter().zip(text);
        let alike = alike.take_while(|(label, byte)| label == byte && !stands_for_more(**label));
        u16::try_from(alike.count()).unwrap_or(0)
    }

    /// Behind a `*` and behind a `**`, where one comes next.
    fn wildcards(&self, place: Place) -> [Option<Place>; 2] {
        let Some(node) = self.node(place) else { return [None; 2] };
        let next = if place.read < node.length {
            self.labels.get(index(node.label) + usize::from(place.read))
        } else {
            // The children stand in the order of their first bytes, wildcards first.
            self.heads.get(index(node.first)).filter(|_| node.children > 0)
        };
        match next {
            Some(byte) if *byte <= ANY_TEXT.max(ANY_PARTS) => {
                [self.step(place, ANY_TEXT), self.step(place, ANY_PARTS)]
            }
            Some(_) | None => [None; 2],
        }
    }

    fn add_ends(&self, place: Place, into: &mut DocumentSet) {
        let Some(node) = self.node(place).filter(|node| node.length == place.read) else { return };
        match node.ends {
            Ends::Nobody => {}
            Ends::One(document) => into.insert(index(document)),
            Ends::Several(shared) => match self.shared.get(index(shared)) {
                Some(Shared::Few(documents)) => {
                    documents.iter().for_each(|document| into.insert(index(*document)))
                }
                Some(Shared::Many(documents)) => into.add(documents),
                None => {}
            },
        }
    }
}

impl Walk<'_> {
    fn read_part(&mut self, mut part: &[u8]) {
        while let Some((byte, rest)) = part.split_first() {
            if self.at.is_empty() && self.in_text.is_empty() {
                return;
            }
            let literal = self.read_literal(part);
            part = if literal == 0 { rest } else { part.get(literal..).unwrap_or_default() };
            if literal == 0 {
                self.read(*byte);
            }
        }
    }

    /// Reads what comes literally, where one place alone goes on; how many bytes that is. Most of
    /// a name is read so.
    fn read_literal(&mut self, text: &[u8]) -> usize {
        let [place] = self.at.as_mut_slice() else { return 0 };
        if !self.in_text.is_empty() {
            return 0;
        }
        let read = self.automaton.literal(*place, text);
        if read > 0 {
            place.read += read;
            self.enter_wildcards(0);
        }
        usize::from(read)
    }

    /// Reads a byte of a part. Those that stand for something in a pattern stand for themselves in
    /// a name: no pattern has them but behind a wildcard.
    fn read(&mut self, byte: u8) {
        self.next.clear();
        if !stands_for_more(byte) {
            self.advance(byte);
        }
        std::mem::swap(&mut self.at, &mut self.next);
        self.enter_wildcards(0);
    }

    /// What is in a part's `*` ends with it.
    fn end_part(&mut self) {
        self.next.clear();
        self.advance(END_OF_PART);
        self.in_text.clear();
        std::mem::swap(&mut self.at, &mut self.next);
    }

    /// Enters the wildcards that the part may begin with: those after what was read, and those
    /// after each `**` that takes no more.
    fn begin_part(&mut self) {
        self.enter_wildcards(0);
        let mut number = 0;
        // The list grows where a `**` comes right after another.
        while let Some(place) = self.in_parts.get(number).copied() {
            self.at.push(place);
            self.enter_wildcards(self.at.len() - 1);
            number += 1;
        }
    }

    /// One byte on, from where patterns have been read up to and from behind each `*`.
    fn advance(&mut self, byte: u8) {
        for place in self.at.iter().chain(&self.in_text) {
            self.next.extend(self.automaton.step(*place, byte));
        }
    }

    /// Notes the wildcards that come next, of the places from this one on.
    fn enter_wildcards(&mut self, from: usize) {
        for place in self.at.iter().skip(from) {
            let [text, parts] = self.automaton.wildcards(*place);
            if let Some(after) = text
                && let Err(at) = self.in_text.binary_search(&after)
            {
                self.in_text.insert(at, after);
            }
            if let Some(after) = parts
                && !self.in_parts.contains(&after)
            {
                self.in_parts.push(after);
            }
        }
    }
}

impl Builder {
    fn new(documents: usize) -> Self {
        let (text, entries, nodes, heads, labels, shared) =
            (vec![], vec![], vec![], vec![], vec![], vec![]);
        Self { documents, text, entries, nodes, heads, labels, shared }
    }

    /// Adds a pattern of a document. One that is too long or too many for the numbers here would be
    /// lost: the limits on policy files (16 MiB together, 255 bytes a pattern) keep far from that.
    fn add(&mut self, pattern: &str, document: usize) {
        let numbers =
            (u32::try_from(self.text.len()), u16::try_from(pattern.len()), u32::try_from(document));
        if let (Ok(start), Ok(length), Ok(document)) = numbers {
            self.entries.push(Entry { start, length, document });
            self.text.extend_from_slice(pattern.as_bytes());
        }
    }

    fn build(mut self) -> Automaton {
        if self.entries.is_empty() {
            return Automaton::default();
        }
        self.push(0);
        let mut open = vec![Open { node: 0, entries: 0..self.entries.len(), depth: 0 }];
        while let Some(next) = open.pop() {
            self.fill(&next, &mut open);
        }
        let Self { nodes, heads, labels, shared, .. } = self;
        Automaton { nodes: nodes.into(), heads: heads.into(), labels: labels.into(), shared }
    }

    fn push(&mut self, head: u8) {
        self.nodes.push(Node { label: 0, length: 0, children: 0, first: 0, ends: Ends::Nobody });
        self.heads.push(head);
    }

    /// Gives a node its label, which is what its entries have alike from where they were read up
    /// to; whose patterns end there; and a child for each byte that comes next.
    fn fill(&mut self, open: &Open, rest: &mut Vec<Open>) {
        let Self { text, entries, labels, .. } = self;
        let Some(entries) = entries.get_mut(open.entries.clone()) else { return };
        let rest_of = |entry: &Entry| {
            let start = index(entry.start);
            text.get(start + open.depth..start + usize::from(entry.length)).unwrap_or_default()
        };
        let Some(first) = entries.first().map(rest_of) else { return };
        let alike = entries.iter().map(|entry| alike(first, rest_of(entry))).min().unwrap_or(0);
        let (label, length) = (number(labels.len()), u16::try_from(alike).unwrap_or(u16::MAX));
        labels.extend(first.iter().take(alike));
        let next = |entry: &Entry| rest_of(entry).get(alike).copied();
        entries.sort_unstable_by_key(|entry| (next(entry), entry.document));
        let ended = entries.partition_point(|entry| next(entry).is_none());
        let mut documents: Vec<u32> =
            entries.iter().take(ended).map(|entry| entry.document).collect();
        documents.dedup();
        let mut begin = open.entries.start + ended;
        let mut children = Vec::new();
        for group in
            entries.get(ended..).unwrap_or_default().chunk_by(|one, two| next(one) == next(two))
        {
            let head = group.first().and_then(next).unwrap_or_default();
            children.push((head, begin..begin + group.len()));
            begin += group.len();
        }
        let at = self.nodes.len();
        let ends = self.ends(documents);
        if let Some(node) = self.nodes.get_mut(open.node) {
            let count = u16::try_from(children.len()).unwrap_or(u16::MAX);
            *node = Node { label, length, children: count, first: number(at), ends };
        }
        for (child, (head, entries)) in children.into_iter().enumerate() {
            self.push(head);
            rest.push(Open { node: at + child, entries, depth: open.depth + alike });
        }
    }

    fn ends(&mut self, documents: Vec<u32>) -> Ends {
        match documents.as_slice() {
            [] => return Ends::Nobody,
            [one] => return Ends::One(*one),
            [..] => {}
        }
        // Four bytes for each number against one bit for each document that there is.
        self.shared.push(if documents.len() > self.documents.div_ceil(32) {
            let mut set = DocumentSet::none_of(self.documents);
            documents.into_iter().for_each(|document| set.insert(index(document)));
            Shared::Many(set)
        } else {
            Shared::Few(documents.into())
        });
        Ends::Several(number(self.shared.len() - 1))
    }
}

/// Whether a byte of a pattern stands for something else than itself.
fn stands_for_more(byte: u8) -> bool {
    matches!(byte, ANY_TEXT | ANY_PARTS | END_OF_PART)
}

/// How many bytes two texts begin with alike.
fn alike(one: &[u8], two: &[u8]) -> usize {
    one.iter().zip(two).take_while(|(one, two)| one == two).count()
}

/// A number of 32 bits as a place in memory; a machine has at least as many.
fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
