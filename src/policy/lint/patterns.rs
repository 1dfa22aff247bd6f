//! Patterns of one document that do nothing: an exclude that excludes none of its images, and images
//! that its exclude takes out again.

use super::note::note;
use crate::policy::document::Documents;
use crate::policy::position::Position;
use crate::policy::scope::cover::Comparison;
use crate::policy::scope::pattern::{PatternList, written};
use crate::policy::syntax::advice::Advice;
use crate::policy::syntax::error::Note;

/// Most pairs of patterns of one document that are compared; of a list that is longer nothing is
/// said.
const PAIRS_MAX: usize = 64 * 1024;

pub(super) fn lints(documents: &Documents, compare: &mut Comparison) -> Vec<Note> {
    let policies = documents.documents.iter();
    let policies = policies.map(|d| ((d.file.as_str(), d.position), (&d.images, &d.exclude)));
    let exceptions = documents.exceptions.iter();
    let exceptions =
        exceptions.map(|e| ((e.head.file.as_str(), e.head.position), (&e.images, &e.exclude)));
    policies.chain(exceptions).flat_map(|(at, scope)| of(at, scope, compare)).collect()
}

fn of(
    at: (&str, Position),
    (images, exclude): (&PatternList, &PatternList),
    compare: &mut Comparison,
) -> Vec<Note> {
    let mut notes = Vec::new();
    let pairs = images.iter().count().saturating_mul(exclude.iter().count());
    if pairs == 0 || pairs > PAIRS_MAX {
        return notes;
    }
    for (number, excluded) in exclude.iter().enumerate() {
        if !images.iter().any(|pattern| compare.meets(pattern, excluded)) {
            notes.push(note(at, format!("spec.exclude[{number}]"), Advice::DeadExclude));
        }
    }
    for (number, pattern) in images.iter().enumerate() {
        if let Some(by) = exclude.iter().find(|excluded| compare.covers(excluded, pattern)) {
            let advice = Advice::DeadPattern { exclude: written(by) };
            notes.push(note(at, format!("spec.images[{number}]"), advice));
        }
    }
    notes
}
