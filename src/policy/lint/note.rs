//! [`note`]: how the lints make a [`Note`].

use crate::policy::position::Position;
use crate::policy::syntax::advice::Advice;
use crate::policy::syntax::error::Note;

/// Something about a field of a document.
pub(super) fn note((file, position): (&str, Position), field: String, advice: Advice) -> Note {
    Note { file: file.to_owned(), position, field, advice }
}
