//! [`Matcher`]: a text that is wanted: any, this very one, or one that a regular expression matches
//! whole.

use crate::policy::syntax::advice::Advice;
use crate::policy::syntax::error::PolicyFault;
use crate::policy::syntax::fields::{At, ExpressionRoom, Reader};
use crate::policy::syntax::regexp::Pattern;

/// What is wanted of one text.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::policy) enum Matcher {
    /// Nothing: spelled `insecure...` in a policy, or not asked there.
    Any,
    /// This, to the letter.
    Exact(String),
    /// What this matches from its first to its last character.
    Pattern(Pattern),
}

impl Matcher {
    /// Reads a text that is wanted to the letter.
    pub(in crate::policy) fn exact(at: &At<'_>, reader: &mut Reader) -> Option<Self> {
        let text = filled(at, reader)?;
        if text.contains('*') {
            reader.advise(at, Advice::NoWildcard);
        }
        Some(Self::Exact(text.to_owned()))
    }

    /// Reads a regular expression.
    pub(in crate::policy) fn pattern(at: &At<'_>, reader: &mut Reader) -> Option<Self> {
        let text = filled(at, reader)?;
        let parsed = match reader.next_expression() {
            ExpressionRoom::Usual => Pattern::parse(text),
            ExpressionRoom::Small => Pattern::parse_small(text),
            ExpressionRoom::Spent(limit) => {
                let what = "regular expressions in a fetched list";
                reader.fault(at, PolicyFault::TooMany { what, limit });
                return None;
            }
        };
        match parsed {
            Ok(pattern) => {
                for advice in pattern.advice() {
                    reader.advise(at, advice);
                }
                Some(Self::Pattern(pattern))
            }
            Err(fault) => {
                reader.fault(at, PolicyFault::RegExp(fault));
                None
            }
        }
    }

    /// Whether the text is one that is wanted.
    pub(in crate::policy) fn fits(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(wanted) => wanted == text,
            Self::Pattern(pattern) => pattern.fits(text),
        }
    }

    /// What is wanted, as it was written.
    pub(in crate::policy) fn wanted(&self) -> &str {
        match self {
            Self::Any => "any",
            Self::Exact(wanted) => wanted,
            Self::Pattern(pattern) => pattern.written(),
        }
    }
}

/// A text with something in it.
fn filled<'n>(at: &At<'n>, reader: &mut Reader) -> Option<&'n str> {
    let text = reader.text(at)?;
    if text.is_empty() {
        reader.fault(at, PolicyFault::EmptyText);
        return None;
    }
    Some(text)
}
