//! [`folded`]: a line broken at blanks, so that it fits a terminal.

/// Columns below which nothing is broken: a terminal that narrow, or of no known width, is left to
/// break lines by itself.
pub(super) const WIDTH_MIN: usize = 40;
/// What continues a line stands this much further in than it.
const FURTHER: usize = 4;

/// The line in as many as a width asks for, those after the first further in. A word that is wider
/// by itself is not broken, so that it can be copied.
pub(super) fn folded(line: &str, width: Option<usize>) -> String {
    let Some(width) = width.filter(|width| columns(line) > *width) else {
        return line.to_owned();
    };
    let blank: String = line.chars().take_while(|c| *c == ' ').collect();
    // Of a line that begins in the middle of the terminal there would be a narrow pillar.
    let further = (blank.len() + FURTHER).min(width / 2);
    let (mut out, mut used) = (blank, 0);
    let mut is_first = true;
    // Blanks between words are columns of a table: they stay inside a line.
    for piece in line.trim_start_matches(' ').split_inclusive(' ') {
        let word = columns(piece.trim_end_matches(' '));
        if is_first {
            used = out.len();
        } else if word > 0 && used + word > width {
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
            out.push_str(&" ".repeat(further));
            used = further;
        }
        out.push_str(piece);
        used += columns(piece);
        is_first = false;
    }
    out.truncate(out.trim_end_matches(' ').len());
    out
}

/// How many columns a text takes: sequences that set a colour take none.
fn columns(text: &str) -> usize {
    let (mut columns, mut is_colour) = (0, false);
    for c in text.chars() {
        match (is_colour, c) {
            (false, '\u{1b}') => is_colour = true,
            (false, _) => columns += 1,
            (true, 'm') => is_colour = false,
            (true, _) => {}
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_the_terminal_and_is_whole_elsewhere() {
        let line = format!("  {}", "word ".repeat(40));
        assert_eq!(folded(&line, None), line);
        let text = folded(&line, Some(60));
        assert!(text.lines().count() > 3, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("      word")), "{text}");
        assert_eq!(text.split_whitespace().count(), 40);
    }

    #[test]
    fn a_long_word_is_not_broken_and_colours_take_no_room() {
        let digest = "d".repeat(71);
        assert_eq!(
            folded(&format!("image {digest} is"), Some(60)),
            format!("image\n    {digest}\n    is")
        );
        let coloured = format!("\u{1b}[32m{}\u{1b}[0m", "x".repeat(60));
        assert_eq!(folded(&coloured, Some(60)), coloured);
    }

    #[test]
    fn the_columns_of_a_table_stay_inside_a_line() {
        let line = format!("a    b  {}  c", "x".repeat(60));
        assert_eq!(folded(&line, Some(64)), format!("a    b\n    {}\n    c", "x".repeat(60)));
    }
}
