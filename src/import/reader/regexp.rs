//! Regular expressions of Go that match anywhere in a text, as expressions here, which match the
//! whole of it and are read by another engine.
//!
//! What both engines write alike and read otherwise is rewritten or left out: `\d`, `\w` and `\s`
//! are ASCII in Go, and a bracket inside a class is a character there.

use super::draft::NameMatch;
use super::fault::Omission;

/// What is at a place of an expression.
#[derive(Debug, Default)]
struct Scan {
    in_class: bool,
    depth: usize,
    /// A `|` outside of all groups.
    has_bar: bool,
    /// The last character was a `$` that is no literal.
    ends_anchored: bool,
}

/// An expression that matches the whole text exactly where the given one matches in it. A beginning
/// that is a URL's is taken for the text's.
pub(in crate::import) fn whole(go: &str) -> Result<NameMatch, Omission> {
    if matches!(go, "" | ".*" | ".+" | "^.*$" | "^.+$" | "^.*" | ".*$") {
        return Ok(NameMatch::Any);
    }
    let (text, scan) = rewritten(go)?;
    let begins = (go.starts_with('^') || go.starts_with("https://")) && !scan.has_bar;
    let ends = scan.ends_anchored && !scan.has_bar;
    let inner = if scan.has_bar { format!("(?:{text})") } else { text };
    let before = if begins || inner.starts_with(".*") { "" } else { ".*" };
    let after = if ends || inner.ends_with(".*") { "" } else { ".*" };
    Ok(NameMatch::RegExp(format!("{before}{inner}{after}")))
}

fn rewritten(go: &str) -> Result<(String, Scan), Omission> {
    let mut out = String::with_capacity(go.len());
    let mut scan = Scan::default();
    let mut chars = go.chars().peekable();
    while let Some(c) = chars.next() {
        scan.ends_anchored = false;
        match c {
            '\\' => {
                let Some(escaped) = chars.next() else {
                    return Err(part("a backslash at the end"));
                };
                let class = match escaped {
                    'd' => "0-9",
                    'w' => "0-9A-Za-z_",
                    's' => r"\t\n\f\r ",
                    'D' | 'W' | 'S' | 'b' | 'B' => return Err(part("\\D, \\W, \\S, \\b or \\B")),
                    // Go reads these as the characters, the engine here as bounds of words.
                    '<' | '>' => return Err(part("\\< or \\>")),
                    'p' | 'P' | 'Q' | 'C' => return Err(part("\\p, \\Q or \\C")),
                    other => {
                        out.push('\\');
                        out.push(other);
                        continue;
                    }
                };
                // What is a class here has no place in a range, unless the dash is the last.
                let mut ahead = chars.clone();
                if scan.in_class && ahead.next() == Some('-') && ahead.next() != Some(']') {
                    return Err(part("a class before a dash inside brackets"));
                }
                let text = if scan.in_class { class.to_owned() } else { format!("[{class}]") };
                out.push_str(&text);
                continue;
            }
            '[' if scan.in_class => return Err(part("a bracket inside brackets")),
            '[' => scan.in_class = true,
            ']' => scan.in_class = false,
            '&' | '~' | '-' if scan.in_class && chars.peek() == Some(&c) => {
                return Err(part("&&, ~~ or -- inside brackets"));
            }
            '(' if !scan.in_class => {
                // A group with flags may change what the rest means.
                let mut ahead = chars.clone();
                if ahead.next() == Some('?') && ahead.next() != Some(':') {
                    return Err(part("a group with flags or a name"));
                }
                scan.depth += 1;
            }
            ')' if !scan.in_class => scan.depth = scan.depth.saturating_sub(1),
            '|' if !scan.in_class && scan.depth == 0 => scan.has_bar = true,
            '$' if !scan.in_class => scan.ends_anchored = scan.depth == 0,
            _ => {}
        }
        out.push(c);
    }
    Ok((out, scan))
}

fn part(part: &'static str) -> Omission {
    Omission::RegExp { part }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_match_where_they_matched() {
        for (go, here) in [
            ("^https://github\\.com/acme/.*$", "^https://github\\.com/acme/.*$"),
            ("https://github.com/acme/app/x.yml", "https://github.com/acme/app/x.yml.*"),
            (".*@acme\\.example", ".*@acme\\.example.*"),
            ("@acme\\.example$", ".*@acme\\.example$"),
            ("^a@x$|^b@x$", ".*(?:^a@x$|^b@x$).*"),
            ("^(a|b)@x$", "^(a|b)@x$"),
            ("^v\\d+[\\w.-]$", "^v[0-9]+[0-9A-Za-z_.-]$"),
            ("^[\\d-]$", "^[0-9-]$"),
            ("^\\d-z$", "^[0-9]-z$"),
            ("^a\\$", "^a\\$.*"),
            ("^[a$]", "^[a$].*"),
        ] {
            assert_eq!(whole(go), Ok(NameMatch::RegExp(here.to_owned())), "{go}");
        }
        assert_eq!(whole(".*"), Ok(NameMatch::Any));
    }

    #[test]
    fn what_is_read_otherwise_is_left_out() {
        for go in [
            "^\\D$",
            "\\bx",
            "[[:alpha:]]",
            "[a&&b]",
            "(?i)acme",
            "a\\",
            "\\pL",
            "\\Qa\\E",
            "a\\<b",
            "a\\>",
            "[\\<]",
            "[\\s-z]",
            "[a\\d-.]",
            "[\\w-\\d]",
        ] {
            assert!(matches!(whole(go), Err(Omission::RegExp { .. })), "{go}");
        }
    }
}
