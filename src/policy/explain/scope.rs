//! [`Deciding`]: which field of a document decided whether it is about an image and a pod.

use serde::Serialize;

use crate::evidence::{Name, Pod};
use crate::image::{Digest, Repository};
use crate::policy::document::Documents;
use crate::policy::sanitize::{bounded, escaped};
use crate::policy::scope::cover::fits;
use crate::policy::scope::document_set::DocumentSet;
use crate::policy::scope::pattern::{PatternList, written};
use crate::policy::scope::pinned::{Digests, as_entry, is_of, split_pin};
use crate::policy::scope::selectors::{Selection, SelectorField, Selectors};
use crate::policy::set::applicable::Index;

/// Patterns of one list that are shown.
const PATTERNS_SHOWN: usize = 3;
/// Longest list of patterns, in bytes.
const LIST_SHOWN: usize = 200;
/// The field of namespaces that a document is not about.
const EXCLUDE_NAMESPACES: &str = "spec.excludeNamespaces";

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
    /// The digests that it lists.
    digests: Vec<Digest>,
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
    index: &'a Index,
    pod: &'a Pod,
    repository: Option<Repository>,
    digests: Digests<'a>,
    images: DocumentSet,
    excluded: DocumentSet,
    inside: DocumentSet,
    matching: DocumentSet,
}

impl Documents {
    /// Their patterns, to explain what matches once they are a set.
    #[must_use]
    pub fn patterns(&self) -> Patterns {
        let policies = self.documents.iter().map(|document| ScopePatterns {
            images: document.images.clone(),
            exclude: document.exclude.clone(),
            digests: Vec::new(),
        });
        let exceptions = self.exceptions.iter().map(|exception| ScopePatterns {
            images: match exception.is_of_every_name {
                true => PatternList::default(),
                false => exception.images.clone(),
            },
            exclude: exception.exclude.clone(),
            digests: exception.digests.clone(),
        });
        Patterns { policies: policies.collect(), exceptions: exceptions.collect() }
    }
}

impl<'a> About<'a> {
    pub(super) fn new(
        index: &'a Index,
        (name, digests): (&Name, Digests<'a>),
        pod: &'a Pod,
    ) -> Self {
        let (images, excluded) = index.named(name, digests);
        Self {
            index,
            pod,
            repository: name.repository(),
            digests,
            images,
            excluded,
            inside: index.inside(pod),
            matching: index.matching(name, digests, pod),
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
        let listed = patterns.map(|patterns| patterns.digests.as_slice()).unwrap_or_default();
        if self.repository.as_ref().is_some_and(Repository::is_reserved) {
            let said = "the host is the gate's own; no pattern is about it".to_owned();
            return (false, vec![Deciding { field: "spec.images".to_owned(), said }]);
        }
        let text = self.repository.as_ref().map(as_entry).unwrap_or_default();
        if !self.images.has(number) {
            let by = self.another("spec.images", images, &text);
            return (false, vec![by.unwrap_or_else(|| none_of("spec.images", images))]);
        }
        if self.excluded.has(number) {
            let mut by = self.first("spec.exclude", exclude, &text);
            by.iter_mut().for_each(|by| by.said = format!("takes it out: {}", by.said));
            return (false, by.into_iter().collect());
        }
        if self.index.is_unlisted(number, self.digests) {
            let said = match self.digests {
                Some(_) => "lists other digests",
                None => "lists digests, and the image's digest is not known here",
            };
            let deciding = Deciding { field: "spec.digests".to_owned(), said: said.to_owned() };
            return (false, vec![deciding]);
        }
        let mut by: Vec<Deciding> = self.first("spec.images", images, &text).into_iter().collect();
        by.extend(self.listed(listed));
        let namespace = self.pod.namespace.as_ref().map(|namespace| format!("{namespace}/"));
        let selectors = self.index.selectors().of(number);
        if !self.inside.has(number) {
            return (false, self.outside(namespace.as_deref(), namespaces, selectors));
        }
        by.extend(namespace.and_then(|text| self.first("spec.namespaces", namespaces, &text)));
        let matches = self.matching.has(number);
        let selected = selectors.into_iter().flat_map(|one| self.selected(one, matches));
        if matches {
            by.extend(selected);
            return (true, by);
        }
        (false, selected.collect())
    }

    /// Why a document is not about the pod's namespace.
    fn outside(
        &self,
        namespace: Option<&str>,
        namespaces: &PatternList,
        selectors: Option<&Selectors>,
    ) -> Vec<Deciding> {
        let nothing = PatternList::default();
        let exclude = selectors.map_or(&nothing, |selectors| &selectors.exclude_namespaces);
        let excluded = namespace.and_then(|text| self.first(EXCLUDE_NAMESPACES, exclude, text));
        if let Some(excluded) = excluded {
            return vec![excluded];
        }
        let (field, patterns) = match namespaces.is_empty() {
            true => (EXCLUDE_NAMESPACES, exclude),
            false => ("spec.namespaces", namespaces),
        };
        let Deciding { field, said } = none_of(field, patterns);
        let said = match namespace {
            Some(_) => said,
            None => format!("is limited, and the pod's namespace is not known: {}", list(patterns)),
        };
        vec![Deciding { field, said }]
    }

    /// What the fields say by which a document selects pods, and images by their labels: each of them where it matches, and else
    /// those that are not met.
    fn selected(&self, selectors: &Selectors, matches: bool) -> Vec<Deciding> {
        let of = |field: SelectorField| {
            let said = selectors.of_field(field, &self.pod.traits);
            let is_shown = selectors.has(field) && (matches || said != Selection::Yes);
            is_shown.then(|| {
                let written = bounded(escaped(&selectors.written(field)), LIST_SHOWN);
                let said = match said {
                    Selection::Yes => written,
                    Selection::No => format!("the {} does not meet {written}", field.whose()),
                    Selection::Unknown => format!("not known of the {}: {written}", field.whose()),
                };
                Deciding { field: format!("spec.{}", field.name()), said }
            })
        };
        SelectorField::ALL.into_iter().filter_map(of).collect()
    }

    /// The first pattern that matches, or image by its digest.
    fn first(&self, field: &str, patterns: &PatternList, text: &str) -> Option<Deciding> {
        let is_it = |pattern: &str| match split_pin(pattern) {
            (pattern, None) => fits(pattern, text),
            (name, Some(pin)) => name == text && is_of(pin, self.digests).unwrap_or(true),
        };
        let (number, pattern) = patterns.iter().enumerate().find(|(_, one)| is_it(one))?;
        Some(self.deciding(field, number, pattern))
    }

    /// The first image of this repository by a digest that is another, or of which it is not known
    /// whether it is.
    fn another(&self, field: &str, patterns: &PatternList, text: &str) -> Option<Deciding> {
        let is_of_it =
            |pattern: &str| matches!(split_pin(pattern), (name, Some(_)) if name == text);
        let (number, pattern) = patterns.iter().enumerate().find(|(_, one)| is_of_it(one))?;
        let mut by = self.deciding(field, number, pattern);
        if self.digests.is_some() {
            by.said = format!("names another digest: {}", by.said);
        }
        Some(by)
    }

    /// The first digest that is the image's.
    fn listed(&self, listed: &[Digest]) -> Option<Deciding> {
        let is_it = |digest: &&Digest| self.digests.is_some_and(|own| own.contains(digest));
        let (number, digest) = listed.iter().enumerate().find(|(_, digest)| is_it(digest))?;
        let field = format!("spec.digests[{number}]");
        Some(Deciding { field, said: digest.to_string() })
    }

    fn deciding(&self, field: &str, number: usize, pattern: &str) -> Deciding {
        let is_unknown = split_pin(pattern).1.is_some() && self.digests.is_none();
        let beside = if is_unknown { ", and the image's digest is not known here" } else { "" };
        let said = format!("{}{beside}", escaped(&written(pattern)));
        Deciding { field: format!("{field}[{number}]"), said }
    }
}

fn none_of(field: &str, patterns: &PatternList) -> Deciding {
    Deciding {
        field: field.to_owned(),
        said: format!("has no pattern that matches: {}", list(patterns)),
    }
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
