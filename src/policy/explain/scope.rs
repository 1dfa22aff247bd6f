//! [`Deciding`]: which field of a document decided whether it is about an image and a pod.

use serde::Serialize;

use crate::evidence::{Name, Pod};
use crate::image::Repository;
use crate::policy::document::Documents;
use crate::policy::sanitize::{bounded, escaped};
use crate::policy::scope::cover::fits;
use crate::policy::scope::document_set::DocumentSet;
use crate::policy::scope::pattern::{PatternList, written};
use crate::policy::set::applicable::Index;

/// Patterns of one list that are shown.
const PATTERNS_SHOWN: usize = 3;
/// Longest list of patterns, in bytes.
const LIST_SHOWN: usize = 200;

/// The patterns of documents, kept from before they are made into a set: that has them as one
/// automaton, and cannot say which of one document's it was.
#[derive(Debug, Default)]
pub struct Patterns {
    pub(super) policies: Vec<ScopePatterns>,
    pub(super) exceptions: Vec<ScopePatterns>,
}

/// Those of one document.
#[derive(Debug)]
pub(super) struct ScopePatterns {
    images: PatternList,
    exclude: PatternList,
}

/// One field that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deciding {
    /// The field: `spec.images[1]`.
    pub field: String,
    /// What stands there, or what is not there; escaped and bounded.
    pub said: String,
}

/// Which documents are about one image and pod, field by field.
pub(super) struct About<'a> {
    repository: Option<Repository>,
    namespace: Option<&'a str>,
    images: DocumentSet,
    excluded: DocumentSet,
    inside: DocumentSet,
}

impl Documents {
    /// Their patterns, to explain what matches once they are a set.
    #[must_use]
    pub fn patterns(&self) -> Patterns {
        let of = |images: &PatternList, exclude: &PatternList| ScopePatterns {
            images: images.clone(),
            exclude: exclude.clone(),
        };
        Patterns {
            policies: self.documents.iter().map(|d| of(&d.images, &d.exclude)).collect(),
            exceptions: self.exceptions.iter().map(|e| of(&e.images, &e.exclude)).collect(),
        }
    }
}

impl<'a> About<'a> {
    pub(super) fn new(index: &Index, name: &Name, pod: &'a Pod) -> Self {
        let (images, excluded) = index.named(name);
        Self {
            repository: name.repository(),
            namespace: pod.namespace.as_deref(),
            images,
            excluded,
            inside: index.inside(pod),
        }
    }

    /// Whether the document of this number is about it, and by which of its fields.
    pub(super) fn decides(
        &self,
        number: usize,
        patterns: Option<&ScopePatterns>,
        namespaces: &PatternList,
    ) -> (bool, Vec<Deciding>) {
        let nothing = PatternList::default();
        let (images, exclude) = patterns.map_or((&nothing, &nothing), |p| (&p.images, &p.exclude));
        if self.repository.as_ref().is_some_and(Repository::is_reserved) {
            let said = "the host is the gate's own; no pattern is about it".to_owned();
            return (false, vec![Deciding { field: "spec.images".to_owned(), said }]);
        }
        if !self.images.has(number) {
            return (false, vec![none_of("spec.images", images)]);
        }
        let text = self.repository.as_ref().map(path).unwrap_or_default();
        if self.excluded.has(number) {
            return (false, self.first("spec.exclude", exclude, &text).into_iter().collect());
        }
        let mut by: Vec<Deciding> = self.first("spec.images", images, &text).into_iter().collect();
        if self.inside.has(number) {
            let namespace = self.namespace.map(|namespace| format!("{namespace}/"));
            by.extend(namespace.and_then(|text| self.first("spec.namespaces", namespaces, &text)));
            return (true, by);
        }
        let Deciding { field, said } = none_of("spec.namespaces", namespaces);
        let said = match self.namespace {
            Some(_) => said,
            None => format!("the pod's namespace is not known; {}", list(namespaces)),
        };
        (false, vec![Deciding { field, said }])
    }

    /// The first pattern that matches.
    fn first(&self, field: &str, patterns: &PatternList, text: &str) -> Option<Deciding> {
        let (number, pattern) =
            patterns.iter().enumerate().find(|(_, pattern)| fits(pattern, text))?;
        Some(Deciding { field: format!("{field}[{number}]"), said: escaped(&written(pattern)) })
    }
}

/// The name as patterns are matched against it.
fn path(repository: &Repository) -> String {
    let folded = repository.folded();
    format!("{}/{}/", folded.host(), folded.path())
}

fn none_of(field: &str, patterns: &PatternList) -> Deciding {
    Deciding { field: field.to_owned(), said: format!("none of {}", list(patterns)) }
}

/// The first few patterns.
fn list(patterns: &PatternList) -> String {
    let mut shown: Vec<String> = patterns.iter().take(PATTERNS_SHOWN).map(written).collect();
    let left = patterns.iter().count().saturating_sub(PATTERNS_SHOWN);
    if left > 0 {
        shown.push(format!("{left} more"));
    }
    bounded(escaped(&shown.join(", ")), LIST_SHOWN)
}
