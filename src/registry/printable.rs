//! [`printable`]: text from outside, made fit for a message.

/// Longest text of the operating system or the TLS library that is repeated in a message,
/// characters.
const DETAIL_MAX: usize = 200;

/// Text from outside, fit for a log line: printable ASCII, the rest escaped, capped.
pub(super) fn printable(text: &str) -> String {
    let escaped = text.chars().flat_map(|c| match c {
        ' '..='~' => vec![c],
        _ => c.escape_default().collect(),
    });
    escaped.take(DETAIL_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack E3: terminal escapes and newlines from outside.
    #[test]
    fn attack_e3_text_from_outside_is_escaped_and_capped() {
        let text = printable("a\u{1b}[31m\nb\u{202e}é");
        assert_eq!(text, "a\\u{1b}[31m\\nb\\u{202e}\\u{e9}");
        assert_eq!(printable(&"x".repeat(10_000)).len(), DETAIL_MAX);
    }
}
