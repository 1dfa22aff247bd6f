//! Exceptions that have ended, that end later than they may, that end soon, and that list what is
//! denied all the same.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::note::note;
use crate::image::Digest;
use crate::policy::document::Documents;
use crate::policy::document::deny_entry::Denied;
use crate::policy::set::exceptions::{ExceptionStanding, standing};
use crate::policy::syntax::advice::Advice;
use crate::policy::syntax::error::Note;

pub(super) fn lints(documents: &Documents, now: Timestamp, span: SignedDuration) -> Vec<Note> {
    let of = |exception: &crate::policy::document::exception::Exception| {
        let end = exception.expires;
        let advice = match standing(end, now, span) {
            ExceptionStanding::InForce => return None,
            ExceptionStanding::EndsSoon => Advice::ExceptionEndsSoon { end },
            ExceptionStanding::Ended => Advice::ExceptionEnded { end },
            ExceptionStanding::TooLong => Advice::ExceptionTooLong { days: span.as_hours() / 24 },
        };
        let head = &exception.head;
        Some(note((&head.file, head.position), "spec.expires".to_owned(), advice))
    };
    let ends = documents.exceptions.iter().filter_map(of);
    ends.chain(denied(documents)).collect()
}

/// Digests that exceptions list and that a deny list denies everywhere: no exception admits them.
fn denied(documents: &Documents) -> Vec<Note> {
    let mut denied: BTreeMap<&Digest, &str> = BTreeMap::new();
    for list in &documents.deny_lists {
        for read in &list.entries {
            let Denied::Digest { digest, manifests } = &read.entry.denied else { continue };
            for digest in manifests.iter().chain([digest]) {
                denied.entry(digest).or_insert(&list.head.name);
            }
        }
    }
    let mut notes = Vec::new();
    for exception in &documents.exceptions {
        let head = &exception.head;
        for (number, digest) in exception.digests.iter().enumerate() {
            let Some(by) = denied.get(digest) else { continue };
            let advice = Advice::ExceptionDenied { by: (*by).to_owned() };
            let field = format!("spec.digests[{number}]");
            notes.push(note((&head.file, head.position), field, advice));
        }
    }
    notes
}
