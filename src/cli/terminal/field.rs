//! [`field`]: a name and its text, in lines that fit a terminal; [`some`]: a few of many names;
//! [`counted`]: how many there are; [`documents`]: of documents, by their kinds.

use std::collections::BTreeSet;
use std::fmt::Display;

use super::screen::{Screen, plain};
use crate::policy::DocumentCounts;

/// How wide a line is at most where the terminal does not say, but for a word that is longer by
/// itself.
pub(in crate::cli) const WIDTH: usize = 80;
/// Names that text lists; the others are counted.
const NAMED: usize = 6;
/// Where the text of a field begins.
const INDENT: usize = 14;

/// Prints one field, its text broken at blanks so that it fits the terminal.
pub(in crate::cli) fn field(name: &str, text: &str, screen: &mut Screen) {
    let (text, width) = (plain(text), screen.width().unwrap_or(WIDTH));
    let mut line = format!("  {name:<12}");
    let mut is_empty = true;
    for word in text.split_whitespace() {
        let length = line.chars().count() + 1 + word.chars().count();
        if !is_empty && length > width {
            screen.line(line.trim_end());
            (line, is_empty) = (" ".repeat(INDENT), true);
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    screen.line(line.trim_end());
}

/// `1 document`, `2 documents`.
pub(in crate::cli) fn counted<N: PartialEq + From<u8> + Display>(count: N, what: &str) -> String {
    if count == N::from(1) { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// `2 documents`; `3 documents (2 policies, 1 deny list)` where not all are policies.
pub(in crate::cli) fn documents(counts: DocumentCounts) -> String {
    let all = counted(counts.total(), "document");
    match counts.total() == counts.policies {
        true => all,
        false => format!("{all} ({})", kinds(counts)),
    }
}

/// `2 policies, 1 deny list`.
pub(in crate::cli) fn kinds(counts: DocumentCounts) -> String {
    let of = |count: usize, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{count} {many}")),
    };
    let parts = [
        of(counts.policies, "policy", "policies"),
        of(counts.deny_lists, "deny list", "deny lists"),
        of(counts.exceptions, "exception", "exceptions"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The first few names, and how many more there are; `more`: and others that are not held.
pub(in crate::cli) fn some(names: &BTreeSet<String>, more: bool) -> String {
    let shown: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    let others = names.len().saturating_sub(shown.len());
    match (shown.is_empty(), others, more) {
        (true, _, _) => "not known".to_owned(),
        (false, 0, false) => shown.join(", "),
        (false, _, false) => format!("{} and {others} more", shown.join(", ")),
        (false, _, true) => format!("{} and more than {others} more", shown.join(", ")),
    }
}
