//! [`Coverage`]: whether what asks for proof is about every image, and which exceptions let all of
//! it through.
//!
//! By the patterns as they are written: a pattern is covered by the same one, and by one that ends
//! in `**` and is the beginning of it. Patterns that cover it together, and none alone, do not
//! count.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::document::Document;
use crate::policy::document::exception::Exception;
use crate::policy::scope::pattern::{ANY_PARTS, ANY_TEXT, END_OF_PART};
use crate::policy::scope::pinned::split_pin;
use crate::policy::scope::regional::HostScope;

/// What a pattern of everything below ends in.
const BELOW: [u8; 3] = [ANY_TEXT, END_OF_PART, ANY_PARTS];

/// What documents that ask for proof are about.
#[derive(Debug, Default)]
pub(in crate::policy) struct Coverage {
    /// Whether one of them is about every image in every namespace.
    pub(in crate::policy) is_general: bool,
    /// For each pattern that they have, the exceptions that cover it, by number; nothing where some
    /// pattern has none, or where there is no pattern.
    excepted: Option<BTreeSet<Vec<usize>>>,
}

impl Coverage {
    /// Of these documents, whose patterns are still with them.
    pub(super) fn of<'d>(
        documents: impl Iterator<Item = &'d Document> + Clone,
        exceptions: &[Exception],
    ) -> Self {
        let demanding = || documents.clone().filter(|one| one.demands());
        let is_general = demanding().any(|document| {
            let is_all = |pattern: &str| pattern.bytes().eq([ANY_PARTS]);
            document.exclude.is_empty()
                && document.namespaces.is_empty()
                && document.selectors.is_empty()
                && document.images.iter().any(is_all)
        });
        let by_pattern = by_pattern(exceptions);
        if by_pattern.is_empty() {
            return Self { is_general, excepted: None };
        }
        let covering = |pattern: &str| {
            let (repository, _) = split_pin(pattern);
            let found: BTreeSet<usize> = covers(repository.as_bytes())
                .chain([pattern.as_bytes().to_vec()])
                .filter_map(|cover| by_pattern.get(&cover))
                .flatten()
                .copied()
                .collect();
            (!found.is_empty()).then(|| found.into_iter().collect::<Vec<_>>())
        };
        let patterns = demanding().flat_map(|document| document.images.iter());
        let excepted: Option<BTreeSet<Vec<usize>>> = patterns.map(covering).collect();
        Self { is_general, excepted: excepted.filter(|covered| !covered.is_empty()) }
    }

    /// Whether the exceptions that count let all of it through.
    pub(in crate::policy) fn is_excepted(&self, counts: impl Fn(usize) -> bool) -> bool {
        let is_covered = |covering: &Vec<usize>| covering.iter().any(|number| counts(*number));
        self.excepted.as_ref().is_some_and(|patterns| patterns.iter().all(is_covered))
    }
}

/// The exceptions of each pattern that counts in every namespace.
fn by_pattern(exceptions: &[Exception]) -> BTreeMap<Vec<u8>, Vec<usize>> {
    let mut found: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
    for (number, exception) in exceptions.iter().enumerate() {
        if exception.exclude.is_empty()
            && exception.digests.is_empty()
            && exception.namespaces.is_empty()
            && exception.selectors.is_empty()
            && exception.hosts == HostScope::Literal
        {
            for pattern in exception.images.iter() {
                found.entry(pattern.as_bytes().to_vec()).or_default().push(number);
            }
        }
    }
    found
}

/// What would cover a pattern: itself, and everything below each of its beginnings.
fn covers(pattern: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let ends = pattern.iter().enumerate().filter(|(_, byte)| **byte == END_OF_PART);
    let beginnings = ends.filter_map(|(at, _)| pattern.split_at_checked(at.saturating_add(1)));
    let below = beginnings
        .filter(|(_, rest)| !rest.is_empty())
        .map(|(beginning, _)| [beginning, BELOW.as_slice()].concat());
    std::iter::once(pattern.to_vec()).chain(below)
}
