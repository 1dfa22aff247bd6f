//! [`Pattern`]: a regular expression that is matched against a whole text, whatever is written in
//! it; and what is odd about one ([`Advice`]).
//!
//! Upstream matches anywhere in the text unless `^` and `$` are written (attack B5). Here the
//! expression is compiled by itself first, so that no bracket of it can close ours, and then
//! between `\A` and `\z`, which no flag changes.

use std::convert::Infallible;
use std::fmt;

use regex::{Error, Regex, RegexBuilder};
use regex_syntax::ast::parse::ParserBuilder;
use regex_syntax::ast::{AssertionKind, Ast, LiteralKind, Visitor, visit};

use crate::policy::sanitize::escaped;
use crate::policy::syntax::advice::Advice;

/// Longest expression, in bytes: a workflow's URI has two hundred.
const WRITTEN_MAX: usize = 1024;
/// Largest compiled expression, in bytes: a thousand times what an identity takes, and small enough
/// for hundreds.
const COMPILED_MAX: usize = 256 * 1024;
/// Most memory that one search may take for its automaton, in bytes; beyond it the search is
/// slower, not larger.
const SEARCH_MAX: usize = 256 * 1024;
/// Deepest nesting of groups: more than anybody can read.
const NESTING_MAX: u32 = 32;
/// Longest text that is matched, in bytes; a longer one fits nothing. As long as a text of a policy
/// can be.
const TEXT_MAX: usize = 4096;

/// A regular expression that is anchored at both ends.
#[derive(Debug, Clone)]
pub(in crate::policy) struct Pattern {
    written: String,
    regex: Regex,
    pieces: Vec<Piece>,
}

/// Why a regular expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegExpFault {
    /// Longer than is read.
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// It compiles to more than is kept.
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// No regular expression; what the compiler said.
    Syntax(String),
    /// It cannot be anchored: it ends in a comment (flag `x`).
    Unanchored,
}

/// A part of an expression as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// This character.
    Literal(char),
    /// `.`
    Dot,
    /// `|` outside of all groups.
    Bar,
    /// A bracket around a group.
    Group,
    /// Flags for what follows.
    Flags,
    /// `^` or `\A`: it stands for no character, and neither does the next.
    Begin,
    /// `$` or `\z`.
    End,
    /// Whatever else.
    Other,
}

/// Takes an expression apart, in the order in which it is written.
#[derive(Debug, Default)]
struct Pieces {
    found: Vec<Piece>,
    depth: usize,
}

impl Pattern {
    /// Compiles an expression, anchored.
    ///
    /// # Errors
    /// [`RegExpFault`] says what is wrong with it.
    pub(in crate::policy) fn parse(written: &str) -> Result<Self, RegExpFault> {
        if written.len() > WRITTEN_MAX {
            return Err(RegExpFault::TooLong { limit: WRITTEN_MAX });
        }
        compile(written)?;
        let regex = compile(&format!(r"\A(?:{written})\z")).map_err(|fault| match fault {
            RegExpFault::Syntax(_) => RegExpFault::Unanchored,
            RegExpFault::TooLong { .. }
            | RegExpFault::TooLarge { .. }
            | RegExpFault::Unanchored => fault,
        })?;
        Ok(Self { written: written.to_owned(), regex, pieces: pieces(written)? })
    }

    /// Whether it matches the text from its first to its last character.
    pub(in crate::policy) fn fits(&self, text: &str) -> bool {
        text.len() <= TEXT_MAX && self.regex.is_match(text)
    }

    /// As it was written.
    pub(in crate::policy) fn written(&self) -> &str {
        &self.written
    }

    /// What is odd about it.
    pub(in crate::policy) fn advice(&self) -> Vec<Advice> {
        let mut advice = Vec::new();
        if !self.anchors_itself() || self.pieces.contains(&Piece::Bar) {
            advice.push(Advice::AnchoredHere);
        }
        if self
            .pieces
            .windows(3)
            .any(|three| matches!(three, [before, Piece::Dot, after] if is_word(before) && is_word(after)))
        {
            advice.push(Advice::BareDot);
        }
        advice
    }

    /// Whether the first and the last thing written are anchors.
    fn anchors_itself(&self) -> bool {
        let first = self.pieces.iter().find(|piece| **piece != Piece::Flags);
        first == Some(&Piece::Begin) && self.pieces.last() == Some(&Piece::End)
    }

    /// The texts in it that stand for themselves, a dot between letters among them: what its writer
    /// had in mind.
    pub(in crate::policy) fn runs(&self) -> Vec<String> {
        let parts = self.spoken("\0", "\0");
        parts.split('\0').filter(|run| !run.is_empty()).map(str::to_owned).collect()
    }

    /// The expression as a text, with this in place of whatever does not stand for itself.
    pub(in crate::policy) fn woven(&self, with: &str) -> String {
        self.spoken(with, "")
    }

    fn spoken(&self, open: &str, group: &str) -> String {
        let mut text = String::new();
        let mut is_open = false;
        for (n, piece) in self.pieces.iter().enumerate() {
            match piece {
                Piece::Literal(c) => text.push(*c),
                Piece::Dot if self.pieces.get(n + 1).is_some_and(is_word) => text.push('.'),
                Piece::Dot | Piece::Bar | Piece::Other if is_open => continue,
                Piece::Dot | Piece::Bar | Piece::Other => {
                    text.push_str(open);
                    is_open = true;
                    continue;
                }
                Piece::Group | Piece::Flags => text.push_str(group),
                Piece::Begin | Piece::End => {}
            }
            is_open = false;
        }
        text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

fn compile(text: &str) -> Result<Regex, RegExpFault> {
    let mut builder = RegexBuilder::new(text);
    builder.size_limit(COMPILED_MAX).dfa_size_limit(SEARCH_MAX).nest_limit(NESTING_MAX);
    builder.build().map_err(|error| {
        if matches!(error, Error::CompiledTooBig(_)) {
            return RegExpFault::TooLarge { limit: COMPILED_MAX };
        }
        // The compiler draws the place with lines of its own; the last one says what is wrong.
        RegExpFault::Syntax(error.to_string().lines().last().unwrap_or_default().to_owned())
    })
}

/// The pieces of an expression that compiles. The parser is the compiler's own: it sees the flags,
/// classes, escapes and comments that the compiler sees.
fn pieces(written: &str) -> Result<Vec<Piece>, RegExpFault> {
    let parsed = ParserBuilder::new().nest_limit(NESTING_MAX).build().parse(written);
    let ast = parsed.map_err(|error| RegExpFault::Syntax(error.kind().to_string()))?;
    let Ok(pieces) = visit(&ast, Pieces::default());
    Ok(pieces)
}

impl Visitor for Pieces {
    type Output = Vec<Piece>;
    type Err = Infallible;

    fn finish(self) -> Result<Vec<Piece>, Infallible> {
        Ok(self.found)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Infallible> {
        self.found.push(match ast {
            // A line break, a tab: nobody's name has one.
            Ast::Literal(literal) if matches!(literal.kind, LiteralKind::Special(_)) => {
                Piece::Other
            }
            Ast::Literal(literal) => Piece::Literal(literal.c),
            Ast::Dot(_) => Piece::Dot,
            Ast::Group(_) => {
                self.depth += 1;
                Piece::Group
            }
            Ast::Flags(_) => Piece::Flags,
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::StartLine | AssertionKind::StartText => Piece::Begin,
                AssertionKind::EndLine | AssertionKind::EndText => Piece::End,
                AssertionKind::WordBoundary
                | AssertionKind::NotWordBoundary
                | AssertionKind::WordBoundaryStart
                | AssertionKind::WordBoundaryEnd
                | AssertionKind::WordBoundaryStartAngle
                | AssertionKind::WordBoundaryEndAngle
                | AssertionKind::WordBoundaryStartHalf
                | AssertionKind::WordBoundaryEndHalf => Piece::Other,
            },
            Ast::ClassUnicode(_) | Ast::ClassPerl(_) | Ast::ClassBracketed(_) => Piece::Other,
            Ast::Empty(_) | Ast::Repetition(_) | Ast::Alternation(_) | Ast::Concat(_) => {
                return Ok(());
            }
        });
        Ok(())
    }

    fn visit_post(&mut self, ast: &Ast) -> Result<(), Infallible> {
        match ast {
            Ast::Group(_) => {
                self.depth = self.depth.saturating_sub(1);
                self.found.push(Piece::Group);
            }
            // How often stands behind what it is about.
            Ast::Repetition(_) => self.found.push(Piece::Other),
            Ast::Empty(_)
            | Ast::Flags(_)
            | Ast::Literal(_)
            | Ast::Dot(_)
            | Ast::Assertion(_)
            | Ast::ClassUnicode(_)
            | Ast::ClassPerl(_)
            | Ast::ClassBracketed(_)
            | Ast::Alternation(_)
            | Ast::Concat(_) => {}
        }
        Ok(())
    }

    fn visit_alternation_in(&mut self) -> Result<(), Infallible> {
        self.found.push(if self.depth == 0 { Piece::Bar } else { Piece::Other });
        Ok(())
    }
}

fn is_word(piece: &Piece) -> bool {
    matches!(piece, Piece::Literal(c) if c.is_alphanumeric())
}

impl fmt::Display for RegExpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { limit } => {
                write!(f, "the regular expression is longer than {limit} bytes")
            }
            Self::TooLarge { limit } => write!(
                f,
                "the regular expression compiles to more than {limit} bytes; use smaller \
                 repetitions or [0-9] for \\d"
            ),
            Self::Syntax(said) => write!(f, "not a regular expression: {}", escaped(said)),
            Self::Unanchored => f.write_str(
                "the regular expression cannot be anchored: remove the comment at its end (flag x)",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn fits(written: &str, text: &str) -> bool {
        Pattern::parse(written).unwrap().fits(text)
    }

    /// Attack B5: what upstream would find somewhere in the text.
    #[test]
    fn attack_b5_an_expression_matches_the_whole_text() {
        for written in [
            "acme",
            "^acme",
            "acme$",
            "^acme$",
            r"\Aacme\z",
            "(?i)acme",
            "(?m)acme",
            "(?m)^acme$",
            "(?s)acme",
        ] {
            assert!(fits(written, "acme"), "{written}");
            for text in [
                "acmes", "xacme", "acme\n", "\nacme", "acme\nx", "x\nacme", "acme/x", "x/acme/y",
                "",
            ] {
                assert!(!fits(written, text), "{written} {text:?}");
            }
        }
        assert!(
            fits("a|ab", "ab")
                && !fits("a|ab", "abc")
                && !fits("^a|b$", "ax")
                && !fits("^a|b$", "xb")
        );
        assert!(!fits("acme.*", "x acme") && !fits(".*acme", "acme\nx"));
    }

    /// Attack B5: an expression that is written to break out of the anchors.
    #[test]
    fn attack_b5_no_bracket_comment_or_flag_undoes_the_anchors() {
        for written in [
            "acme)|(?:.*",
            "acme)(",
            ")",
            "(",
            "acme\\",
            "[acme",
            "acme)|.*(?:x",
            "(?x) acme # )|(?:.*",
        ] {
            assert!(Pattern::parse(written).is_err(), "{written}");
        }
        assert_eq!(Pattern::parse("(?x) acme # company").unwrap_err(), RegExpFault::Unanchored);
        assert!(fits("(?x) acme # company\n", "acme"));
        for written in [
            "(?x) acme # )|(?:.*\n",
            "(?mR)acme",
            "(?U)acme",
            "(?x:acme)",
            "(?s-m)acme",
            "(?m)acme$|^acme",
        ] {
            let pattern = Pattern::parse(written).unwrap();
            assert!(pattern.fits("acme"), "{written}");
            for text in ["acmes", "xacme", "acme\r\n", "acme\nx", "x\r\nacme"] {
                assert!(!pattern.fits(text), "{written} {text:?}");
            }
        }
    }

    /// Attack B5: a dot matches any character; whoever writes one is told.
    #[test]
    fn attack_b5_bare_dots_and_missing_anchors_are_told() {
        let advice = |written: &str| Pattern::parse(written).unwrap().advice();
        assert_eq!(advice(r"^https://github\.com/acme/.*$"), []);
        assert_eq!(advice(r"(?i)^a\.b$"), []);
        assert_eq!(advice(r"\Aa[.]b\z"), []);
        assert_eq!(advice("^https://github.com/acme/.*$"), [Advice::BareDot]);
        for written in ["a", "^a", "a$", r"^a\$", "^a|b$", r"\Aa\\z", "(?i)a"] {
            assert_eq!(advice(written), [Advice::AnchoredHere], "{written}");
        }
        assert_eq!(advice("^(a|b)$"), []);
        assert_eq!(advice("(?x) ^ a $ # that is all\n"), []);
        assert_eq!(advice("a.b"), [Advice::AnchoredHere, Advice::BareDot]);
    }

    #[test]
    fn what_is_too_much_is_refused() {
        assert_eq!(
            Pattern::parse(&"a".repeat(1025)).unwrap_err(),
            RegExpFault::TooLong { limit: 1024 }
        );
        assert!(Pattern::parse(&"a".repeat(1024)).is_ok());
        for written in [r"\w{5000}", "(?:a{100}){100}", "((a{50}){50}){50}"] {
            assert_eq!(
                Pattern::parse(written).unwrap_err(),
                RegExpFault::TooLarge { limit: 256 * 1024 },
                "{written}"
            );
        }
        let deep = format!("{}a{}", "(".repeat(40), ")".repeat(40));
        assert!(matches!(Pattern::parse(&deep).unwrap_err(), RegExpFault::Syntax(_)));
        assert!(!fits("a*", &"a".repeat(4097)) && fits("a*", &"a".repeat(4096)));
    }

    #[test]
    fn runs_are_what_stands_for_itself() {
        let runs = |written: &str| Pattern::parse(written).unwrap().runs();
        assert_eq!(runs(r"^https://github\.com/acme.*$"), ["https://github.com/acme"]);
        assert_eq!(runs("https://github.com/(a|b)/x"), ["https://github.com/", "a", "b", "/x"]);
        assert_eq!(runs(r".*@acme\.com"), ["@acme.com"]);
        // Written in other ways, as the compiler reads them.
        assert_eq!(runs(r"github\x2Ecom/\x{61}cme"), ["github.com/acme"]);
        assert_eq!(runs(r"a\pLb[[x]y]c\p{Greek}d"), ["a", "b", "c", "d"]);
        assert_eq!(runs("(?x) a c m e # company\n /x"), ["acme/x"]);
    }

    /// A small expression, to be matched without the crate.
    #[derive(Debug, Clone)]
    enum Small {
        Letter(char),
        Dot,
        Both(Box<Self>, Box<Self>),
        Either(Box<Self>, Box<Self>),
        Many(Box<Self>),
    }

    impl Small {
        /// As it is written, without brackets around an alternation at the top.
        fn written(&self) -> String {
            match self {
                Self::Letter(c) => c.to_string(),
                Self::Dot => ".".to_owned(),
                Self::Both(a, b) => format!("{}{}", a.inner(), b.inner()),
                Self::Either(a, b) => format!("{}|{}", a.inner(), b.inner()),
                Self::Many(a) => format!("(?:{})*", a.written()),
            }
        }

        fn inner(&self) -> String {
            match self {
                Self::Either(..) => format!("({})", self.written()),
                Self::Letter(_) | Self::Dot | Self::Both(..) | Self::Many(_) => self.written(),
            }
        }

        /// Where matches end that begin at these places.
        fn ends(&self, text: &[char], starts: &BTreeSet<usize>) -> BTreeSet<usize> {
            let step = |fits: &dyn Fn(char) -> bool| {
                starts
                    .iter()
                    .filter(|n| text.get(**n).is_some_and(|c| fits(*c)))
                    .map(|n| n + 1)
                    .collect()
            };
            match self {
                Self::Letter(wanted) => step(&|c| c == *wanted),
                Self::Dot => step(&|c| c != '\n'),
                Self::Both(a, b) => b.ends(text, &a.ends(text, starts)),
                Self::Either(a, b) => {
                    a.ends(text, starts).union(&b.ends(text, starts)).copied().collect()
                }
                Self::Many(a) => {
                    let more: BTreeSet<usize> =
                        a.ends(text, starts).union(starts).copied().collect();
                    if more == *starts { more } else { self.ends(text, &more) }
                }
            }
        }
    }

    fn small() -> impl Strategy<Value = Small> {
        let leaf =
            prop_oneof![Just(Small::Letter('a')), Just(Small::Letter('b')), Just(Small::Dot)];
        leaf.prop_recursive(4, 12, 2, |inner| {
            let (a, b) = (inner.clone().prop_map(Box::new), inner.prop_map(Box::new));
            prop_oneof![
                (a.clone(), b.clone()).prop_map(|(a, b)| Small::Both(a, b)),
                (a.clone(), b).prop_map(|(a, b)| Small::Either(a, b)),
                a.prop_map(Small::Many),
            ]
        })
    }

    proptest! {
        /// Attack B5: what fits is what the expression by itself matches whole, to the last
        /// character and no longer, with anchors and flags of its own or without.
        #[test]
        fn attack_b5_nothing_fits_that_is_not_matched_whole(
            small in small(),
            flags in prop_oneof![Just(""), Just("(?m)"), Just("(?U)"), Just("(?mR)")],
            before in prop_oneof![Just(""), Just("^"), Just("\\A")],
            behind in prop_oneof![Just(""), Just("$"), Just("\\z")],
            text in "[ab\n]{0,6}",
        ) {
            let written = format!("{flags}{before}{}{behind}", small.inner());
            let chars: Vec<char> = text.chars().collect();
            let whole = small.ends(&chars, &BTreeSet::from([0])).contains(&chars.len());
            prop_assert_eq!(fits(&written, &text), whole, "{} {:?}", written, text);
            let bare = format!("{flags}{}", small.written());
            prop_assert_eq!(fits(&bare, &text), whole, "{} {:?}", bare, text);
        }

        /// Attack B5: nothing that can be written reaches beyond the ends.
        #[test]
        fn attack_b5_nothing_written_reaches_beyond_the_ends(
            written in "(\\(\\?[imsxUR]\\))?([ab^$|#*+]|\\(|\\)|\\[ab\\]|\\\\[AzbBQE]|\n|\\(\\?[:mx]){0,10}",
            text in "[ab\n#]{0,6}",
        ) {
            // None of these expressions can match the marker: it is at either end only if the ends
            // are not held.
            let Ok(pattern) = Pattern::parse(&written) else { return Ok(()) };
            for longer in [format!("{text}\u{1}"), format!("\u{1}{text}")] {
                prop_assert!(!pattern.fits(&longer), "{} {:?}", written, longer);
            }
        }
    }
}
