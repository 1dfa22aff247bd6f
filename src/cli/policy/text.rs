//! What there is to say, for people: each remark with the line that it is about, and a caret below
//! the place.

use super::remark::{message, place};
use crate::cli::terminal::field::{counted, documents};
use crate::cli::terminal::screen::{Screen, Tone, plain};
use crate::loader::{Checked, Remark, Severity};

/// Most remarks that are shown: more than anybody reads at once. The other forms have them all.
const SHOWN_MAX: usize = 500;
/// Characters of a source line that are shown: with the number before it, a line of a terminal.
const WIDTH: usize = 88;

/// Prints them, and the sentence at the end.
pub(super) fn print(checked: &Checked, is_in_force: bool, screen: &mut Screen) {
    for remark in checked.remarks.iter().take(SHOWN_MAX) {
        let text = remark.file.as_ref().and_then(|file| checked.texts.get(file));
        show(remark, text.map(String::as_str), screen);
    }
    let left = checked.remarks.len().saturating_sub(SHOWN_MAX);
    if left > 0 {
        screen.line(&format!("and {left} more; --output json has all"));
    }
    for sentence in checked.set.iter().flat_map(crate::policy::PolicySet::unproven) {
        let warn = screen.tone(Tone::Warn, &plain(&sentence));
        screen.line(&warn);
    }
    if checked.has_unread {
        let text = "keys, certificates and trust roots were not looked at: name their folder with \
                    --keys";
        screen.line(&screen.tone(Tone::Warn, text));
    }
    sum(checked, is_in_force, screen);
}

fn sum(checked: &Checked, is_in_force: bool, screen: &mut Screen) {
    if checked.is_sound() {
        let good = screen.tone(Tone::Good, "sound:");
        let generation =
            checked.set.as_ref().map(|set| format!(", generation {}", set.generation()));
        let generation = generation.unwrap_or_default();
        let documents = documents(checked.documents);
        return screen.line(&format!("{good} {documents}{generation}"));
    }
    if checked.is_cut_short {
        let text = "what the documents name, and how they agree, was not looked at: mend this, and \
                    check again";
        screen.line(&screen.tone(Tone::Warn, text));
    }
    let is_error = |remark: &&Remark| remark.severity == Severity::Error;
    let errors = counted(checked.remarks.iter().filter(is_error).count(), "error");
    let running = if is_in_force { "; a gate that is running keeps the set it has" } else { "" };
    screen.line(&format!("{errors}{running}"));
}

fn show(remark: &Remark, text: Option<&str>, screen: &mut Screen) {
    let (tone, word) = match remark.severity {
        Severity::Error => (Tone::Bad, "error:"),
        Severity::Warning => (Tone::Warn, "warning:"),
    };
    let word = screen.tone(tone, word);
    let (place, message) = (plain(&place(remark)), plain(&message(remark)));
    screen.line(&format!("{place}{word} {message} [{}]", remark.code));
    let (Some(text), Some(line), Some(column)) = (text, remark.line, remark.column) else { return };
    if let Some((shown, before, length)) = excerpt(text, line, column) {
        screen.line(&format!("{line:>6} | {shown}"));
        let caret = screen.tone(tone, &"^".repeat(length));
        screen.line(&format!("{:>6} | {:before$}{caret}", "", ""));
    }
}

/// A line of a text, made harmless and cut to what fits; how many characters stand before the place
/// in it, and how many what stands there has.
fn excerpt(text: &str, line: u64, column: u64) -> Option<(String, usize, usize)> {
    let number = usize::try_from(line).ok()?.checked_sub(1)?;
    let at = usize::try_from(column).ok()?.checked_sub(1)?;
    let whole: Vec<char> = text.lines().nth(number)?.chars().collect();
    // The place in the middle, where the line is longer than is shown.
    let start = if at > WIDTH * 2 / 3 { at - WIDTH / 2 } else { 0 };
    let cut = whole.get(start..(start + WIDTH).min(whole.len()))?;
    let show = |chars: &[char]| {
        let tabless = chars.iter().map(|c| if *c == '\t' { ' ' } else { *c });
        plain(&tabless.collect::<String>())
    };
    let inside = (at - start).min(cut.len());
    let (before, from) = cut.split_at_checked(inside)?;
    let length = show(from.get(..token(from))?).chars().count().max(1);
    let before = show(before).chars().count();
    Some((show(cut).trim_end().to_owned(), before, length))
}

/// How many characters the value or the field's name has that begins here.
fn token(from: &[char]) -> usize {
    let quote = from.first().filter(|c| matches!(c, '"' | '\''));
    if let Some(quote) = quote {
        let end = from.iter().skip(1).position(|c| c == quote);
        return end.map_or(from.len(), |end| end + 2);
    }
    let ends = |c: &char| c.is_whitespace() || matches!(c, ',' | ']' | '}' | '[' | '{');
    let length = from.iter().position(ends).unwrap_or(from.len());
    let is_name = length > 0 && from.get(length - 1) == Some(&':');
    (length - usize::from(is_name)).max(1).min(from.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn under(text: &str, line: u64, column: u64) -> (String, String) {
        let (shown, before, length) = excerpt(text, line, column).unwrap();
        let under: String = shown.chars().skip(before).take(length).collect();
        (shown, under)
    }

    #[test]
    fn the_caret_is_below_what_stands_there() {
        let text = "a: 1\n  imagse: [\"x y\", z]\n\tb: {c: d}\n";
        assert_eq!(under(text, 2, 3).1, "imagse");
        assert_eq!(under(text, 2, 12).1, "\"x y\"");
        assert_eq!(under(text, 2, 19).1, "z");
        assert_eq!(under(text, 2, 11).1, "[");
        assert_eq!(under(text, 3, 9).1, "d");
        assert_eq!(excerpt(text, 9, 1), None);
        assert_eq!(excerpt(text, 0, 0), None);
        assert_eq!(excerpt(text, 1, 100), None);
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let text = format!("{}needle, {}", "x, ".repeat(100_000), "y".repeat(1000));
        let (shown, under) = under(&text, 1, 300_001);
        assert_eq!((under.as_str(), shown.chars().count() <= WIDTH), ("needle", true));
    }

    /// Attack E3: what stands in a file has no power over the terminal, and moves no caret.
    #[test]
    fn attack_e3_a_source_line_is_made_harmless() {
        let (shown, under) = under("a\u{1b}[2J: \u{202e}b", 1, 8);
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown}");
        assert_eq!(under, "\\u{202e}b");
    }
}
