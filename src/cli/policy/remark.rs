//! A remark in words, which the forms of an answer share: [`line`] is its [`place`] and its
//! [`message`].

use crate::loader::Remark;

/// A remark on one line, with its place.
pub(super) fn line(remark: &Remark) -> String {
    format!("{}{}", place(remark), message(remark))
}

/// `file:line:column: `, as far as it is known.
pub(super) fn place(remark: &Remark) -> String {
    let Some(file) = &remark.file else { return String::new() };
    match (remark.line, remark.column) {
        (Some(line), Some(column)) => format!("{file}:{line}:{column}: "),
        _ => format!("{file}: "),
    }
}

/// What is wrong, with the field.
pub(super) fn message(remark: &Remark) -> String {
    match remark.field.as_str() {
        "" => remark.message.clone(),
        field => format!("{field}: {}", remark.message),
    }
}
