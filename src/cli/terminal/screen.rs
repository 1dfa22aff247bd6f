//! [`Screen`]: printing for people or for programs, with what an attacker wrote made harmless;
//! [`Exit`]: the codes.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

use super::fold::{WIDTH_MIN, folded};

/// Steps in which a bar grows: as often is the line of a terminal written, however much is done.
const PROGRESS_STEPS: u64 = 200;
/// Characters of a whole bar.
const PROGRESS_WIDTH: u64 = 30;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs: one JSON value, or one a line where there are many.
    Json,
    /// SARIF 2.1.0. Of `policy check` alone.
    Sarif,
    /// Workflow commands of GitHub Actions. Of `policy check` alone.
    Github,
    /// Lines for spreadsheets. Of `audit query` alone.
    Csv,
}

/// Whether answers are in colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set to something (no-color.org).
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// How the program ends. The codes beyond 2 are those of sysexits(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: admitted, or done.
    Done,
    /// 1: refused, or what was looked for was found or is not there.
    Refused,
    /// 2: nothing could be decided or done.
    Unable,
    /// 64: the command line is wrong (`EX_USAGE`).
    Usage,
    /// 65: files are faulty: policies, keys, the configuration, cases, manifests (`EX_DATAERR`).
    Faulty,
    /// 66: a file or folder that is named is not there (`EX_NOINPUT`).
    NoInput,
}

impl Exit {
    /// The worse of two ends, for a command about several things: what is refused outweighs what
    /// could not be decided, since it is known.
    #[must_use]
    pub(in crate::cli) fn worse(self, other: Self) -> Self {
        let rank = |exit| match exit {
            Self::Done => 0,
            Self::Unable => 1,
            Self::NoInput => 2,
            Self::Faulty => 3,
            Self::Usage => 4,
            Self::Refused => 5,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Refused => 1,
            Exit::Unable => 2,
            Exit::Usage => 64,
            Exit::Faulty => 65,
            Exit::NoInput => 66,
        })
    }
}

/// A meaning that is shown in colour where there is colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Tone {
    /// As it should be.
    Good,
    /// Refused or broken.
    Bad,
    /// Needs a look.
    Warn,
}

/// How a command was told to print.
#[derive(Debug, Clone, Copy)]
pub struct Printing {
    /// In which form.
    pub output: Output,
    /// In colour or not.
    pub color: Color,
    /// Only what went wrong: the exit code is the answer.
    pub quiet: bool,
}

/// Where answers go.
pub struct Screen {
    output: Output,
    colour: bool,
    quiet: bool,
    /// Whether somebody sees how far long work is.
    watched: bool,
    /// The step of the bar that is on the screen.
    drawn: Option<u64>,
    /// The width of the terminals that standard output and error are; lines are whole elsewhere.
    widths: (Option<usize>, Option<usize>),
    out: Box<dyn Write>,
    err: Box<dyn Write>,
}

impl Screen {
    /// Standard output and error.
    #[must_use]
    pub fn of_terminal(printing: Printing) -> Self {
        let Printing { output, color, quiet } = printing;
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_text = output == Output::Text;
        let colour = is_text
            && match color {
                Color::Auto => !no_colour && io::stdout().is_terminal(),
                Color::Always => true,
                Color::Never => false,
            };
        let out = terminal_size::terminal_size_of(io::stdout()).filter(|_| is_text);
        let err = terminal_size::terminal_size_of(io::stderr());
        let width = |size: Option<(terminal_size::Width, terminal_size::Height)>| {
            size.map(|(width, _)| usize::from(width.0)).filter(|width| *width >= WIDTH_MIN)
        };
        Self {
            output,
            colour,
            quiet,
            watched: is_text && !quiet && io::stderr().is_terminal(),
            drawn: None,
            widths: (width(out), width(err)),
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
        }
    }

    /// How to print.
    pub(in crate::cli) fn output(&self) -> Output {
        self.output
    }

    /// Whether nothing but what went wrong is said.
    pub(in crate::cli) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether a program reads.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    /// How wide the terminal is to which answers go; none where they go elsewhere.
    pub(in crate::cli) fn width(&self) -> Option<usize> {
        self.widths.0
    }

    /// Prints one line for people; what is in it must be trusted or made harmless, as `plain` makes
    /// it. What is wider than the terminal is broken at blanks.
    ///
    /// A reader that went away (`| head`) is no error of ours.
    pub fn line(&mut self, text: &str) {
        self.end_progress();
        if !self.quiet {
            let lines: Vec<String> =
                text.split('\n').map(|line| folded(line, self.widths.0)).collect();
            drop(writeln!(self.out, "{}", lines.join("\n")));
        }
    }

    /// Prints a file's text as it is, for people who save or paste it: no line is broken. What is in
    /// it must be trusted or made harmless.
    pub(in crate::cli) fn document(&mut self, text: &str) {
        self.end_progress();
        if !self.quiet {
            drop(writeln!(self.out, "{}", text.trim_end_matches('\n')));
        }
    }

    /// Prints lines as they are, many at once; what is in them must be trusted or made harmless.
    /// Whether somebody reads on: a reader that went away (`| head`) needs no more.
    pub(in crate::cli) fn lines(&mut self, text: &str) -> bool {
        self.end_progress();
        self.quiet || self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).is_ok()
    }

    /// Prints one JSON value and a newline.
    pub fn json<T: Serialize>(&mut self, value: &T) {
        if self.quiet {
            return;
        }
        if let Ok(text) = serde_json::to_string(value) {
            drop(writeln!(self.out, "{}", escape_json(&text)));
        }
    }

    /// Prints what went wrong, for people, beside the answers.
    pub fn complain(&mut self, text: &str) {
        self.end_progress();
        let text = format!("sealgate: {}", plain_lines(text));
        let lines: Vec<String> = text.lines().map(|line| folded(line, self.widths.1)).collect();
        drop(writeln!(self.err, "{}", lines.join("\n")));
    }

    /// Shows how far long work is as a bar, on the last line of a terminal; nowhere else. `what`
    /// must be trusted.
    pub(in crate::cli) fn progress(&mut self, what: &str, done: u64, all: u64) {
        let step =
            done.saturating_mul(PROGRESS_STEPS).checked_div(all).unwrap_or(0).min(PROGRESS_STEPS);
        if !self.watched || self.drawn == Some(step) {
            return;
        }
        self.drawn = Some(step);
        let filled = usize::try_from(step * PROGRESS_WIDTH / PROGRESS_STEPS).unwrap_or(0);
        let (bar, width) = ("#".repeat(filled), usize::try_from(PROGRESS_WIDTH).unwrap_or(0));
        drop(write!(self.err, "\r\x1b[K{what} [{bar:<width$}] {done} of {all}"));
        drop(self.err.flush());
    }

    /// Takes that line away again.
    pub(in crate::cli) fn end_progress(&mut self) {
        if self.drawn.take().is_some() {
            drop(write!(self.err, "\r\x1b[K"));
            drop(self.err.flush());
        }
    }

    /// The text in the colour of its meaning, where there is colour.
    #[must_use]
    pub(in crate::cli) fn tone(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Warn => "33",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen")
            .field("output", &self.output)
            .field("colour", &self.colour)
            .finish_non_exhaustive()
    }
}

/// What an attacker may have written, on one line and without power over the terminal (attack E3):
/// control characters, line breaks and characters that change the direction of text are shown as
/// escapes.
#[must_use]
pub(in crate::cli) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmless(c) {
            out.push(c);
        } else {
            out.extend(c.escape_unicode());
        }
    }
    out
}

/// A path on one line: a file may be called anything.
#[must_use]
pub(in crate::cli) fn shown(path: &Path) -> String {
    plain(&path.display().to_string())
}

/// As [`plain`], keeping line breaks.
fn plain_lines(text: &str) -> String {
    text.split('\n').map(plain).collect::<Vec<_>>().join("\n")
}

/// A JSON text with the same escaped in it, as JSON does.
#[must_use]
pub(in crate::cli) fn escape_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmless(c) {
            out.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

fn is_harmless(c: char) -> bool {
    let steers = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    // Letters and marks that nobody sees: two names that differ by one look the same.
    let is_unseen = matches!(c,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}');
    !c.is_control() && !steers && !is_unseen
}

/// What was printed, for tests.
#[cfg(test)]
#[derive(Clone, Default)]
pub(in crate::cli) struct Printed(std::rc::Rc<std::cell::RefCell<Vec<u8>>>);

#[cfg(test)]
impl Printed {
    pub(in crate::cli) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.borrow()).into_owned()
    }
}

#[cfg(test)]
impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
impl Screen {
    /// A screen whose answers and complaints a test can read.
    pub(in crate::cli) fn into_memory(output: Output) -> (Self, Printed) {
        let printed = Printed::default();
        let (out, err) = (Box::new(printed.clone()), Box::new(printed.clone()));
        let (colour, quiet, watched, drawn, widths) = (false, false, false, None, (None, None));
        (Self { output, colour, quiet, watched, drawn, widths, out, err }, printed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_screen_has_what_went_wrong_alone() {
        let (mut screen, printed) = Screen::into_memory(Output::Text);
        screen.quiet = true;
        screen.line("admitted");
        screen.json(&"admitted");
        screen.complain("no such file");
        assert_eq!(printed.text(), "sealgate: no such file\n");
    }

    #[test]
    fn a_complaint_of_more_than_a_line_fits_the_terminal() {
        let (mut screen, printed) = Screen::into_memory(Output::Text);
        screen.widths = (Some(60), Some(60));
        screen.complain(&format!("one\n{}", "word ".repeat(40)));
        let text = printed.text();
        assert!(text.lines().count() > 3 && text.starts_with("sealgate: one\nword word"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 60), "{text}");
    }

    #[test]
    fn a_document_is_whole_and_lines_are_broken_one_by_one() {
        let (mut screen, printed) = Screen::into_memory(Output::Text);
        screen.widths = (Some(60), Some(60));
        let yaml = format!("spec:\n  images:\n    - \"a\"   # {}\n", "word ".repeat(40).trim_end());
        screen.document(&yaml);
        assert_eq!(printed.text(), yaml);
        let (mut screen, printed) = Screen::into_memory(Output::Text);
        screen.widths = (Some(60), Some(60));
        screen.line(&["word ".repeat(9).trim_end(); 3].join("\n"));
        assert_eq!(printed.text().lines().count(), 3, "{}", printed.text());
    }

    /// Attack E3: terminal escapes and newlines from references, certificate subjects and
    /// annotations.
    #[test]
    fn attack_e3_what_is_shown_has_no_power_over_the_terminal() {
        assert_eq!(plain("a\x1b[2Jb\nc\u{202e}d\u{9b}"), "a\\u{1b}[2Jb\\u{a}c\\u{202e}d\\u{9b}");
        assert_eq!(
            plain("a\u{3164}b\u{2800}c\u{fe0f}"),
            "a\\u{3164}b\\u{2800}c\\u{fe0f}",
            "letters that nobody sees"
        );
        assert_eq!(
            plain("a\u{ad}b\u{180e}c\u{e0041}\u{fff9}"),
            "a\\u{ad}b\\u{180e}c\\u{e0041}\\u{fff9}"
        );
        assert_eq!(plain("reg.example/größe:1"), "reg.example/größe:1");
        assert_eq!(escape_json("\"a\u{202e}\u{7f}\""), "\"a\\u202e\\u007f\"");
    }
}
