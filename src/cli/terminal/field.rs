//! [`field`]: a name and its text, in lines that fit a terminal; [`some`]: a few of many names;
//! [`counted`]: how many there are.

use std::collections::BTreeSet;
use std::fmt::Display;

use super::screen::{Screen, plain};

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
