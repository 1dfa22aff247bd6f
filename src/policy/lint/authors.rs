//! Policies that demand something of pods, or of images, that say so of themselves alone: their author
//! leaves such a policy by not saying it.

use super::note::note;
use crate::policy::document::{Document, Documents};
use crate::policy::scope::cover::Comparison;
use crate::policy::syntax::advice::Advice;
use crate::policy::syntax::error::Note;

/// Most policies that one is compared with; of a set with more of them nothing is taken for covered.
const COMPARED_MAX: usize = 256;

pub(super) fn lints(documents: &Documents, compare: &mut Comparison) -> Vec<Note> {
    let general: Vec<&Document> = documents
        .documents
        .iter()
        .filter(|one| one.demands() && one.selectors.written_by_authors().is_none())
        .take(COMPARED_MAX)
        .collect();
    let mut notes = Vec::new();
    for document in documents.documents.iter().filter(|document| document.demands()) {
        let Some(field) = document.selectors.written_by_authors() else { continue };
        let is_demanded = |pattern: &str, compare: &mut Comparison| {
            general.iter().filter(|other| is_as_wide(other, document)).any(|other| {
                other.images.iter().any(|wide| compare.covers(wide, pattern))
                    && !other.exclude.iter().any(|excluded| compare.meets(excluded, pattern))
            })
        };
        if document.images.iter().all(|pattern| is_demanded(pattern, compare)) {
            continue;
        }
        let (at, field) = ((document.file.as_str(), document.position), field.name());
        notes.push(note(at, format!("spec.{field}"), Advice::LeftByAuthors { field }));
    }
    notes
}

/// Whether a policy that goes by nothing that authors write is about every pod and use that another
/// is about.
fn is_as_wide(general: &Document, other: &Document) -> bool {
    let (wide, narrow) = (&general.selectors, &other.selectors);
    let namespaces = general.namespaces.is_empty() || general.namespaces == other.namespaces;
    let excluded =
        wide.exclude_namespaces.is_empty() || wide.exclude_namespaces == narrow.exclude_namespaces;
    let uses =
        wide.uses.is_empty() || (!narrow.uses.is_empty() && narrow.uses.is_subset(&wide.uses));
    namespaces && excluded && uses
}
