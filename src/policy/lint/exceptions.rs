//! Exceptions that have ended, that end later than they may, and that end soon.

use jiff::{SignedDuration, Timestamp};

use super::note::note;
use crate::policy::document::Documents;
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
    documents.exceptions.iter().filter_map(of).collect()
}
