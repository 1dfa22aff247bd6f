//! [`escaped`] and [`bounded`]: attacker text made fit for one line of a log, an error message or a
//! terminal.
//!
//! Registries, images and pods choose names; control characters, terminal escapes and text that
//! reorders itself must not reach a reader as what they are (attack E3).

/// Longest line that a refusal prints, in bytes. The kubelet puts it into an event, which the API
/// server cuts at 1024 bytes (Kubernetes, events API, `note`).
pub(super) const LINE_MAX: usize = 1024;
/// Longest single value inside such a line: no one name may push the others out.
pub(super) const VALUE_MAX: usize = 300;

/// The text with everything but printable ASCII written as an escape, cut at [`VALUE_MAX`] bytes.
pub(super) fn escaped(untrusted: &str) -> String {
    let mut line = String::with_capacity(untrusted.len().min(VALUE_MAX));
    for c in untrusted.chars() {
        if c == ' ' || c.is_ascii_graphic() {
            line.push(c);
        } else {
            line.extend(c.escape_default());
        }
        if line.len() > VALUE_MAX {
            return bounded(line, VALUE_MAX);
        }
    }
    line
}

/// The text cut at `limit` bytes, with `...` where something was cut. Only for text that is already
/// ASCII.
pub(super) fn bounded(mut text: String, limit: usize) -> String {
    if text.len() <= limit {
        return text;
    }
    let mut end = limit.saturating_sub(3);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.truncate(end);
    text.push_str("...");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack E3: terminal escapes, newlines and right-to-left marks in names.
    #[test]
    fn attack_e3_escapes_all_but_printable_ascii() {
        let hostile = "a\u{1b}[31m\nb\r\0\u{202e}é\u{7f}";
        let line = escaped(hostile);
        assert!(line.bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{line:?}");
        assert_eq!(line, "a\\u{1b}[31m\\nb\\r\\u{0}\\u{202e}\\u{e9}\\u{7f}");
    }

    #[test]
    fn attack_e3_bounds_length() {
        let line = escaped(&"\u{1b}".repeat(10_000));
        assert!(line.len() <= VALUE_MAX);
        assert!(line.ends_with("..."));
        assert_eq!(bounded("abc".to_owned(), 3), "abc");
        assert_eq!(bounded("abcdef".to_owned(), 5), "ab...");
    }
}
