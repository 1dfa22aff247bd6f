//! [`SelectorIndex`]: the [`Selectors`] of a set's documents, made for looking a pod up once: documents
//! that look for a label which the pod does not have are not looked at.

use std::collections::{BTreeMap, BTreeSet};

use super::automaton::Automaton;
use super::document_set::DocumentSet;
use super::pattern::PatternList;
use super::selectors::{NoteSelector, SelectorField, Selectors, TextPattern};
use crate::evidence::{ImageUse, NoteValue, Notes, Pod, Traits};

/// The selectors of documents, by number.
#[derive(Debug, Default)]
pub(in crate::policy) struct SelectorIndex {
    /// Of those documents that have some.
    selectors: BTreeMap<usize, Selectors>,
    /// Those that do not let through without proof.
    enforcing: DocumentSet,
    exclude_namespaces: Automaton,
    /// Those that let through, and exclude namespaces.
    permissive_excluding: DocumentSet,
    /// For each use those that are about it.
    of_use: [DocumentSet; 3],
    /// Those that are about some uses alone.
    of_some_use: DocumentSet,
    /// Those that go by nothing that the author of a pod or of an image writes.
    of_every_author: DocumentSet,
    labels: Anchors,
    annotations: Anchors,
    image_labels: Anchors,
    handlers: Values,
    /// The keys that documents look for, each once.
    label_keys: Box<[String]>,
    annotation_keys: Box<[String]>,
    image_label_keys: Box<[String]>,
    /// Those that go by labels of the image.
    by_image_labels: DocumentSet,
    /// Whether some document goes by what a pod's author writes, and whether by the handler.
    goes_by: (bool, bool),
    documents: usize,
}

/// Documents by one key that each of them looks for; it may look for more.
#[derive(Debug, Default)]
struct Anchors(BTreeMap<String, Values>);

/// Documents by the value that they look for.
#[derive(Debug, Default)]
struct Values {
    literal: BTreeMap<String, Vec<usize>>,
    patterns: Vec<(TextPattern, usize)>,
    all: Vec<usize>,
}

impl Values {
    fn add(&mut self, value: &TextPattern, number: usize) {
        if self.all.last() != Some(&number) {
            self.all.push(number);
        }
        if value.is_literal() {
            self.literal.entry(value.as_str().to_owned()).or_default().push(number);
        } else {
            self.patterns.push((value.clone(), number));
        }
    }

    /// Those that look for this value.
    fn of<'v>(&'v self, value: &'v str) -> impl Iterator<Item = usize> + 'v {
        let literal = self.literal.get(value).into_iter().flatten().copied();
        let matching = self.patterns.iter().filter(|(pattern, _)| pattern.matches(value));
        literal.chain(matching.map(|(_, number)| *number))
    }
}

impl Anchors {
    /// Adds those that may match to `found`: that look for what the notes have, and those of which it
    /// is not known.
    fn candidates(&self, notes: &Notes, found: &mut BTreeSet<usize>) {
        for (key, values) in &self.0 {
            match notes.get(key) {
                NoteValue::Absent => {}
                NoteValue::Unknown => found.extend(&values.all),
                NoteValue::Is(value) => found.extend(values.of(value)),
            }
        }
    }
}

impl SelectorIndex {
    /// Of these documents, in the order of their numbers, each with whether it lets through without
    /// proof.
    pub(in crate::policy) fn new(documents: Vec<(Selectors, bool)>) -> Self {
        let count = documents.len();
        let is = |test: &dyn Fn(&Selectors, bool) -> bool| {
            let is_one = |number: usize| {
                documents.get(number).is_some_and(|(one, permissive)| test(one, *permissive))
            };
            DocumentSet::of(count, is_one)
        };
        let of_use = ImageUse::ALL
            .map(|image_use| is(&|one, _| one.uses.is_empty() || one.uses.contains(&image_use)));
        let mut index = Self {
            enforcing: is(&|_, is_permissive| !is_permissive),
            permissive_excluding: is(&|one, is_permissive| {
                is_permissive && !one.exclude_namespaces.is_empty()
            }),
            of_use,
            of_some_use: is(&|one, _| !one.uses.is_empty()),
            of_every_author: is(&|one, _| one.written_by_authors().is_none()),
            exclude_namespaces: Automaton::new(
                documents
                    .iter()
                    .map(|(one, _)| one.exclude_namespaces.clone())
                    .collect::<Vec<PatternList>>()
                    .into_iter(),
            ),
            label_keys: keys(documents.iter().flat_map(|(one, _)| &one.labels)),
            annotation_keys: keys(documents.iter().flat_map(|(one, _)| &one.annotations)),
            image_label_keys: keys(documents.iter().flat_map(|(one, _)| &one.image_labels)),
            by_image_labels: is(&|one, _| one.has(SelectorField::ImageLabels)),
            goes_by: (
                documents.iter().any(|(one, _)| one.goes_by_pods()),
                documents.iter().any(|(one, _)| one.has(SelectorField::Handlers)),
            ),
            documents: count,
            ..Self::default()
        };
        for (number, (selectors, _)) in documents.into_iter().enumerate() {
            index.anchor(number, &selectors);
            if !selectors.is_empty() {
                index.selectors.insert(number, selectors);
            }
        }
        index
    }

    fn anchor(&mut self, number: usize, selectors: &Selectors) {
        if let Some(label) = selectors.labels.first() {
            self.labels.0.entry(label.key.clone()).or_default().add(&label.value, number);
        } else if let Some(note) = selectors.annotations.first() {
            self.annotations.0.entry(note.key.clone()).or_default().add(&note.value, number);
        } else if let Some(label) = selectors.image_labels.first() {
            self.image_labels.0.entry(label.key.clone()).or_default().add(&label.value, number);
        } else {
            selectors.handlers.iter().for_each(|handler| self.handlers.add(handler, number));
        }
    }

    /// What a document goes by; none where that is nothing.
    pub(in crate::policy) fn of(&self, number: usize) -> Option<&Selectors> {
        self.selectors.get(&number)
    }

    /// Whether some document goes by what a pod's author writes.
    pub(in crate::policy) fn goes_by_pods(&self) -> bool {
        self.goes_by.0
    }

    /// Whether some document goes by the runtime handler.
    pub(in crate::policy) fn goes_by_handlers(&self) -> bool {
        self.goes_by.1
    }

    /// The keys of labels that documents look for.
    pub(in crate::policy) fn label_keys(&self) -> impl Iterator<Item = &str> {
        self.label_keys.iter().map(String::as_str)
    }

    /// The keys of annotations that documents look for.
    pub(in crate::policy) fn annotation_keys(&self) -> impl Iterator<Item = &str> {
        self.annotation_keys.iter().map(String::as_str)
    }

    /// The keys of labels of images that documents look for.
    pub(in crate::policy) fn image_label_keys(&self) -> impl Iterator<Item = &str> {
        self.image_label_keys.iter().map(String::as_str)
    }

    /// The documents that go by labels of the image.
    pub(in crate::policy) fn by_image_labels(&self) -> &DocumentSet {
        &self.by_image_labels
    }

    /// Takes away the documents that exclude the pod's namespace; where that is not known, those that
    /// let through and exclude some.
    pub(in crate::policy) fn keep_inside(&self, namespace: Option<&str>, found: &mut DocumentSet) {
        if self.selectors.is_empty() {
            return;
        }
        match namespace {
            Some(namespace) => {
                let mut excluded = DocumentSet::none_of(self.documents);
                self.exclude_namespaces.add_matching(std::iter::once(namespace), &mut excluded);
                found.remove(&excluded);
            }
            None => found.remove(&self.permissive_excluding),
        }
    }

    /// Takes away the documents whose selectors the pod does not meet.
    pub(in crate::policy) fn keep_selected(&self, pod: &Pod, found: &mut DocumentSet) {
        if self.selectors.is_empty() || found.is_empty() {
            return;
        }
        self.keep_of_use(pod.traits.image_use, found);
        let mut selected = self.of_every_author.clone();
        for number in self.candidates(&pod.traits) {
            let is_permissive = !self.enforcing.has(number);
            let selectors = self.selectors.get(&number).filter(|_| found.has(number));
            if selectors.is_some_and(|one| one.says(&pod.traits).counts(is_permissive)) {
                selected.insert(number);
            }
        }
        found.keep(&selected);
    }

    fn keep_of_use(&self, image_use: Option<ImageUse>, found: &mut DocumentSet) {
        let position =
            image_use.and_then(|image_use| ImageUse::ALL.iter().position(|one| *one == image_use));
        match position.and_then(|at| self.of_use.get(at)) {
            Some(of_use) => found.keep(of_use),
            // Every enforcing one counts, and of the others those that are about every use.
            None => {
                let mut permissive = self.of_some_use.clone();
                permissive.remove(&self.enforcing);
                found.remove(&permissive);
            }
        }
    }

    /// The documents that go by what the author of a pod or of an image writes and may match.
    fn candidates(&self, traits: &Traits) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        self.labels.candidates(&traits.labels, &mut found);
        self.annotations.candidates(&traits.annotations, &mut found);
        self.image_labels.candidates(&traits.image_labels, &mut found);
        match &traits.handler {
            Some(handler) => found.extend(self.handlers.of(handler)),
            None => found.extend(&self.handlers.all),
        }
        found
    }
}

fn keys<'s>(selectors: impl Iterator<Item = &'s NoteSelector>) -> Box<[String]> {
    let keys: BTreeSet<String> = selectors.map(|selector| selector.key.clone()).collect();
    keys.into_iter().collect()
}
