//! Policies that accept anything, and those of them that do nothing: another policy demands
//! something of the same images, and every policy that matches must be met.

use super::note::note;
use crate::policy::document::action::Action;
use crate::policy::document::{Document, Documents};
use crate::policy::scope::automaton::Automaton;
use crate::policy::scope::cover::Comparison;
use crate::policy::scope::document_set::DocumentSet;
use crate::policy::scope::pattern::{ANY_PARTS, END_OF_PART, PatternList};
use crate::policy::scope::pinned::split_pin;
use crate::policy::syntax::advice::Advice;
use crate::policy::syntax::error::Note;

/// Most policies that one pattern is compared with: those that match an image like it.
const COMPARED_MAX: usize = 32;
/// What is put in the place of a `*`: a text that no pattern is about.
const SAMPLE: &str = "0kx41v0";

pub(super) fn lints(documents: &Documents, compare: &mut Comparison) -> Vec<Note> {
    let documents = documents.documents.as_slice();
    if !documents.iter().any(accepts) {
        return Vec::new();
    }
    let lists = documents.iter().map(|document| match demands(document) {
        true => document.images.clone().unpinned(),
        false => PatternList::default(),
    });
    let demanding = Automaton::new(lists);
    let exemptions = documents.iter().filter(|document| accepts(document));
    exemptions.flat_map(|exemption| of(exemption, (documents, &demanding), compare)).collect()
}

fn accepts(document: &Document) -> bool {
    document.require.accepts_anything && !document.only_denies
}

fn demands(document: &Document) -> bool {
    document.action == Action::Enforce && !document.require.accepts_anything
}

fn of(
    exemption: &Document,
    (documents, demanding): (&[Document], &Automaton),
    compare: &mut Comparison,
) -> Vec<Note> {
    let at = (exemption.file.as_str(), exemption.position);
    let mut notes = Vec::new();
    for (number, pattern) in exemption.images.iter().enumerate() {
        // A policy that matches whatever the pattern does matches this.
        let sample = split_pin(pattern).0.replace('*', SAMPLE).replace(char::from(ANY_PARTS), "");
        let mut near = DocumentSet::none_of(documents.len());
        demanding.add_matching(sample.split_terminator(char::from(END_OF_PART)), &mut near);
        let mut near = near.iter().take(COMPARED_MAX).filter_map(|n| documents.get(n));
        if let Some(other) = near.find(|other| overrides(other, exemption, pattern, compare)) {
            let advice = Advice::Overridden { by: other.name.clone() };
            notes.push(note(at, format!("spec.images[{number}]"), advice));
        }
    }
    // One of which nothing counts lets nothing through either.
    if notes.len() < exemption.images.iter().count() {
        let field = "spec.require.insecureAcceptAnything".to_owned();
        notes.push(note(at, field, Advice::AcceptsAnything));
    }
    notes
}

/// Whether another document demands something of every image that the pattern matches, wherever the
/// exemption counts.
fn overrides(
    other: &Document,
    exemption: &Document,
    pattern: &str,
    compare: &mut Comparison,
) -> bool {
    let inside = other.namespaces.is_empty()
        || !exemption.namespaces.is_empty()
            && exemption
                .namespaces
                .iter()
                .all(|narrow| other.namespaces.iter().any(|wide| compare.covers(wide, narrow)));
    inside
        && other.selectors.is_empty()
        && other.images.iter().any(|wide| compare.covers(wide, pattern))
        && !other.exclude.iter().any(|excluded| compare.meets(excluded, pattern))
}
