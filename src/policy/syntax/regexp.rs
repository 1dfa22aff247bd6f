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
use regex_syntax::ast::{
    AssertionKind, Ast, ClassSetBinaryOp, ClassSetItem, Flag, Flags, GroupKind, LiteralKind,
    RepetitionKind, Visitor, visit,
};

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
/// Longest expression of a fetched list, in bytes: a workflow's URI has two hundred.
const SMALL_WRITTEN_MAX: usize = 256;
/// Largest compiled expression of a fetched list, in bytes: sixteen times what an identity takes.
/// With it the costliest expressions of as many lists as there may be were compiled in half a second
/// to a second, and took 26 MiB, measured.
const SMALL_COMPILED_MAX: usize = 64 * 1024;
/// Longest text that is matched, in bytes; a longer one fits nothing. As long as a text of a policy
/// can be.
const TEXT_MAX: usize = 4096;

/// A regular expression that is anchored at both ends.
#[derive(Debug, Clone)]
pub(in crate::policy) struct Pattern {
    written: String,
    regex: Regex,
    pieces: Vec<Piece>,
    has_glob: bool,
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
    /// Its classes would be folded to either case one by one, of all characters that there are: that
    /// takes a second, whatever comes out of it. Of a fetched list alone.
    Costly,
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
    /// Whether a `*` stands behind a character that stands for itself.
    has_glob: bool,
}

impl Pattern {
    /// Compiles an expression, anchored.
    ///
    /// # Errors
    /// [`RegExpFault`] says what is wrong with it.
    pub(in crate::policy) fn parse(written: &str) -> Result<Self, RegExpFault> {
        Self::parse_within(written, WRITTEN_MAX, COMPILED_MAX)
    }

    /// Compiles an expression of a fetched list, anchored.
    ///
    /// # Errors
    /// [`RegExpFault`] says what is wrong with it.
    pub(in crate::policy) fn parse_small(written: &str) -> Result<Self, RegExpFault> {
        if written.len() > SMALL_WRITTEN_MAX {
            return Err(RegExpFault::TooLong { limit: SMALL_WRITTEN_MAX });
        }
        let Ok(folding) = visit(&parsed(written)?, Folding::default());
        if folding.has_flag && folding.is_wide {
            return Err(RegExpFault::Costly);
        }
        Self::parse_within(written, SMALL_WRITTEN_MAX, SMALL_COMPILED_MAX)
    }

    fn parse_within(
        written: &str,
        written_max: usize,
        compiled_max: usize,
    ) -> Result<Self, RegExpFault> {
        if written.len() > written_max {
            return Err(RegExpFault::TooLong { limit: written_max });
        }
        let compile = |text: &str| compile(text, compiled_max);
        compile(written)?;
        let regex = compile(&format!(r"\A(?:{written})\z")).map_err(|fault| match fault {
            RegExpFault::Syntax(_) => RegExpFault::Unanchored,
            RegExpFault::TooLong { .. }
            | RegExpFault::TooLarge { .. }
            | RegExpFault::Costly
            | RegExpFault::Unanchored => fault,
        })?;
        let Pieces { found, has_glob, .. } = pieces(written)?;
        Ok(Self { written: written.to_owned(), regex, pieces: found, has_glob })
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
        if self.has_glob {
            advice.push(Advice::GlobInRegExp);
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

fn compile(text: &str, limit: usize) -> Result<Regex, RegExpFault> {
    let mut builder = RegexBuilder::new(text);
    builder.size_limit(limit).dfa_size_limit(SEARCH_MAX.min(limit)).nest_limit(NESTING_MAX);
    builder.build().map_err(|error| {
        if matches!(error, Error::CompiledTooBig(_)) {
            return RegExpFault::TooLarge { limit };
        }
        // The compiler draws the place with lines of its own; the last one says what is wrong.
        RegExpFault::Syntax(error.to_string().lines().last().unwrap_or_default().to_owned())
    })
}

/// The pieces of an expression that compiles. The parser is the compiler's own: it sees the flags,
/// classes, escapes and comments that the compiler sees.
fn pieces(written: &str) -> Result<Pieces, RegExpFault> {
    let Ok(pieces) = visit(&parsed(written)?, Pieces::default());
    Ok(pieces)
}

fn parsed(written: &str) -> Result<Ast, RegExpFault> {
    let parsed = ParserBuilder::new().nest_limit(NESTING_MAX).build().parse(written);
    parsed.map_err(|error| RegExpFault::Syntax(error.kind().to_string()))
}

impl Visitor for Pieces {
    type Output = Self;
    type Err = Infallible;

    fn finish(self) -> Result<Self, Infallible> {
        Ok(self)
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
            Ast::Repetition(repetition) => {
                // In a glob nothing stands before it.
                self.has_glob |= repetition.op.kind == RepetitionKind::ZeroOrMore
                    && matches!(*repetition.ast, Ast::Literal(_));
                return Ok(());
            }
            Ast::Empty(_) | Ast::Alternation(_) | Ast::Concat(_) => return Ok(()),
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

/// Whether an expression folds classes to either case, and classes of how many characters. The
/// compiler's limit of size does not see that work: what comes out of it can be small.
#[derive(Debug, Default)]
struct Folding {
    has_flag: bool,
    is_wide: bool,
}

impl Folding {
    fn look_for_flag(&mut self, flags: &Flags) {
        self.has_flag |= flags.flag_state(Flag::CaseInsensitive).is_some();
    }
}

impl Visitor for Folding {
    type Output = Self;
    type Err = Infallible;

    fn finish(self) -> Result<Self, Infallible> {
        Ok(self)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Infallible> {
        match ast {
            Ast::Flags(set) => self.look_for_flag(&set.flags),
            Ast::Group(group) => {
                if let GroupKind::NonCapturing(flags) = &group.kind {
                    self.look_for_flag(flags);
                }
            }
            Ast::ClassUnicode(_) => self.is_wide = true,
            // The compiler takes `\w`, `\d` and `\s` by themselves as they are.
            Ast::ClassPerl(_)
            | Ast::ClassBracketed(_)
            | Ast::Empty(_)
            | Ast::Literal(_)
            | Ast::Dot(_)
            | Ast::Assertion(_)
            | Ast::Repetition(_)
            | Ast::Alternation(_)
            | Ast::Concat(_) => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Infallible> {
        self.is_wide |= match item {
            ClassSetItem::Range(range) => !range.end.c.is_ascii(),
            ClassSetItem::Ascii(class) => class.negated,
            ClassSetItem::Unicode(_) | ClassSetItem::Perl(_) | ClassSetItem::Bracketed(_) => true,
            ClassSetItem::Empty(_) | ClassSetItem::Literal(_) | ClassSetItem::Union(_) => false,
        };
        Ok(())
    }

    fn visit_class_set_binary_op_pre(&mut self, _: &ClassSetBinaryOp) -> Result<(), Infallible> {
        self.is_wide = true;
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
            Self::Costly => f.write_str(
                "the regular expression of a fetched list has the flag i beside a class that is \
                 more than ASCII characters and ranges of them; write (?i)[a-z0-9]",
            ),
            Self::Syntax(said) => {
                write!(f, "not a regular expression: {}", escaped(said))?;
                // A glob that begins with a star.
                let is_glob = said.contains("repetition operator missing expression");
                if is_glob { f.write_str("; a * for any text is written .*") } else { Ok(()) }
            }
            Self::Unanchored => f.write_str(
                "the regular expression cannot be anchored: remove the comment at its end (flag x)",
            ),
        }
    }
}

#[cfg(test)]
mod tests;
