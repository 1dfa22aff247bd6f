//! What is sound in a set of documents and likely wrong: [`Documents::lints`], and what shows only
//! once the keys are known, [`Documents::weak_keys`].
//!
//! Pure, like the rest of the room, and for people who look over their policies: no gate asks for
//! it when it loads them. What one value says by itself, its reader advises on
//! ([`Advice`](crate::policy::Advice)); here is what takes two values, two documents, or the time.

mod authors;
mod exceptions;
mod exemptions;
mod identities;
mod keys;
mod note;
mod patterns;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::document::Documents;
use super::requirement::material::Material;
use super::scope::cover::Comparison;
use super::syntax::error::Note;
use super::syntax::locate::Places;

impl Documents {
    /// What is sound and likely wrong, as of this time, in the order of the documents. An exception
    /// may end so far ahead. Each stands at its document; [`located`] finds its own place.
    #[must_use]
    pub fn lints(&self, now: Timestamp, span: SignedDuration) -> Vec<Note> {
        let mut compare = Comparison::default();
        let mut notes = patterns::lints(self, &mut compare);
        notes.extend(exemptions::lints(self, &mut compare));
        notes.extend(authors::lints(self, &mut compare));
        notes.extend(identities::lints(self));
        notes.extend(exceptions::lints(self, now, span));
        notes
    }

    /// The keys that are accepted and shorter than is recommended, where the documents name them
    /// first.
    #[must_use]
    pub fn weak_keys(&self, material: &Material) -> Vec<Note> {
        keys::lints(self, material)
    }
}

/// Puts what [`Documents::lints`] said where its fields stand. `text` gives a file's text; what is
/// in none of these stays at its document.
#[must_use]
pub fn located<'t>(mut notes: Vec<Note>, text: impl Fn(&str) -> Option<&'t str>) -> Vec<Note> {
    let mut files: BTreeMap<String, Option<Places>> = BTreeMap::new();
    for note in &mut notes {
        let places =
            files.entry(note.file.clone()).or_insert_with(|| text(&note.file).and_then(Places::of));
        if let Some(at) = places.as_ref().and_then(|places| places.find(note.position, &note.field))
        {
            note.position = at;
        }
    }
    notes
}
