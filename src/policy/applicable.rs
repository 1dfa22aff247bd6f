//! [`Applicable`]: which documents of a set matched; and the index that finds them without reading them all.

use std::collections::HashMap;
use std::sync::Arc;

use crate::evidence::{Name, Pod};

use super::document::Document;
use super::set::Rule;

/// The documents of one set that matched a name and a pod. Two pods with equal values share a verdict, two with
/// different values never do (attack E9).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Applicable {
    generation: Arc<str>,
    documents: Arc<[usize]>,
    /// Whether any of them demands something; the others only deny.
    demanding: bool,
}

/// Documents by the hosts of their patterns.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// For a literal host the documents that name it.
    hosts: HashMap<String, Vec<usize>>,
    /// The documents with a pattern that leaves the host open.
    open: Vec<usize>,
}

impl Applicable {
    pub(super) fn new(generation: Arc<str>, documents: Vec<usize>, demanding: bool) -> Self {
        Self { generation, documents: documents.into(), demanding }
    }

    /// Whether no document matched but such as only deny: nothing may be asked of a registry then.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.demanding
    }

    /// How many documents matched.
    #[must_use]
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// The generation of the set that said so.
    #[must_use]
    pub fn generation(&self) -> &str {
        &self.generation
    }

    /// The numbers of the documents, ascending.
    pub(super) fn documents(&self) -> &[usize] {
        &self.documents
    }
}

impl Index {
    pub(super) fn new<'d>(documents: impl Iterator<Item = &'d Document>) -> Self {
        let mut index = Self::default();
        for (number, document) in documents.enumerate() {
            for pattern in &document.images {
                let numbers = match pattern.host() {
                    Some(host) => index.hosts.entry(host.to_owned()).or_default(),
                    None => &mut index.open,
                };
                if numbers.last() != Some(&number) {
                    numbers.push(number);
                }
            }
        }
        index
    }

    /// The numbers of the documents that match, ascending.
    pub(super) fn matching(&self, rules: &[Rule], name: &Name, pod: &Pod) -> Vec<usize> {
        let Some(folded) = name.repository() else {
            // No name: every enforcing document, whatever its patterns; no permissive one.
            let asks = |rule: &Rule| !rule.document.is_permissive() && in_namespace(&rule.document, pod);
            return rules.iter().enumerate().filter(|(_, rule)| asks(rule)).map(|(number, _)| number).collect();
        };
        let mut numbers: Vec<usize> = self.hosts.get(folded.host()).into_iter().flatten().copied().collect();
        numbers.extend(&self.open);
        numbers.sort_unstable();
        numbers.dedup();
        let folded = folded.to_string();
        let folded: Vec<&str> = folded.split('/').collect();
        numbers.retain(|number| rules.get(*number).is_some_and(|rule| is_about(&rule.document, &folded, pod)));
        numbers
    }
}

fn is_about(document: &Document, folded: &[&str], pod: &Pod) -> bool {
    in_namespace(document, pod)
        && document.images.iter().any(|pattern| pattern.matches(folded))
        && !document.exclude.iter().any(|pattern| pattern.matches(folded))
}

/// A namespace that is not known is in every enforcing document and in no permissive one that asks for one.
fn in_namespace(document: &Document, pod: &Pod) -> bool {
    match &pod.namespace {
        _ if document.namespaces.is_empty() => true,
        Some(namespace) => document.namespaces.iter().any(|pattern| pattern.matches(namespace)),
        None => !document.is_permissive(),
    }
}
