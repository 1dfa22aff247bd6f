//! [`ConditionError`]: why an expression cannot be used; [`Unmet`]: why a predicate does not meet
//! one.

use std::fmt;

use crate::policy::position::Position;
use crate::policy::sanitize::escaped;

/// Longest expression in bytes: a page of text, and the bound of everything that is multiplied by
/// its length.
pub(in crate::policy) const SOURCE_MAX: usize = 4096;

/// Why an expression cannot be used, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionError {
    /// Line and column inside the expression; none when the fault is the whole's.
    pub position: Option<Position>,
    /// What is wrong.
    pub fault: ConditionFault,
}

/// What can be wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConditionFault {
    /// Nothing there.
    Empty,
    /// Longer than is read.
    TooLong {
        /// Its bytes.
        bytes: usize,
    },
    /// More operators or nodes than are read.
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Brackets, or operations inside of operations, deeper than is read.
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// Not CEL; what the parser said.
    Syntax(String),
    /// A variable that does not exist.
    UnknownVariable(String),
    /// A function that does not exist here, or not with these arguments.
    UnknownFunction(String),
    /// The body of a loop names a variable from outside of it.
    OuterVariable(String),
    /// A loop variable with the name of a variable that exists.
    Shadows(String),
    /// A loop over something else than a path into the predicate or into the loop's own variable.
    Range,
    /// A list of something else than constants, a map, a message or an optional value.
    Construction,
    /// The argument of `matches` or `duration` is not a constant.
    NotConstant(&'static str),
    /// A pattern that is not anchored at both ends.
    NotAnchored,
    /// A pattern that cannot be used; why.
    Pattern(String),
    /// Not a duration: numbers with a unit out of h, m, s, ms, us, ns.
    Duration(String),
}

/// Why a predicate does not meet the condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) enum Unmet {
    /// Evaluated, and false.
    False {
        /// The first comparison with a constant that differs, when the condition is one or several
        /// joined by `&&`.
        found: Option<Comparison>,
    },
    /// Could not be evaluated: neither true nor false.
    Unable(Inability),
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) struct Comparison {
    /// What was looked at, as written: `predicate.x.y`.
    pub(in crate::policy) expression: String,
    /// Its value, fit for a message.
    pub(in crate::policy) got: String,
    /// The constant that was wanted.
    pub(in crate::policy) want: String,
}

/// Why a condition could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) enum Inability {
    /// A field, key or element that is not there.
    Missing(String),
    /// The evaluation failed: wrong type, overflow, division by zero, not a timestamp; what the
    /// evaluator said.
    Failed(String),
    /// The result is no boolean.
    NotBoolean,
    /// More of something in the predicate than is looked at.
    TooLarge {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

impl fmt::Display for ConditionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(Position { line, column }) => {
                write!(f, "in the condition, {line}:{column}: {}", self.fault)
            }
            None => write!(f, "in the condition: {}", self.fault),
        }
    }
}

impl std::error::Error for ConditionError {}

impl fmt::Display for ConditionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the expression is empty"),
            Self::TooLong { bytes } => {
                write!(f, "the expression has {bytes} bytes; at most {SOURCE_MAX} are read")
            }
            Self::TooLarge { limit } => {
                write!(f, "the expression has more than {limit} operators; split the condition")
            }
            Self::TooDeep { limit } => {
                write!(f, "the expression nests deeper than {limit}; split the condition")
            }
            Self::Syntax(said) => write!(f, "not CEL: {}", escaped(said)),
            Self::UnknownVariable(name) => {
                write!(
                    f,
                    "there is no variable \"{}\"; there are predicate, predicateType and now",
                    escaped(name)
                )
            }
            Self::UnknownFunction(name) => {
                write!(f, "\"{}\" cannot be called like this in a condition", escaped(name))
            }
            Self::OuterVariable(name) => write!(
                f,
                "the body of a loop names \"{}\"; it may name its own variable and now alone, so \
                 that the work stays in proportion to the predicate",
                escaped(name)
            ),
            Self::Shadows(name) => {
                write!(f, "the loop variable \"{}\" hides a variable; rename it", escaped(name))
            }
            Self::Range => f.write_str(
                "a loop goes over a path into the predicate, or into the variable of the loop \
                 around it, and map yields a path",
            ),
            Self::Construction => f.write_str(
                "lists hold constants alone; maps, messages, bytes and optional values are not \
                 accepted",
            ),
            Self::NotConstant(name) => {
                write!(f, "the argument of {name} must be a constant string")
            }
            Self::NotAnchored => f.write_str(
                "the pattern of matches must start with ^ and end with $, with alternatives in \
                 parentheses; write .* where any text may stand",
            ),
            Self::Pattern(why) => {
                write!(f, "the pattern of matches cannot be used: {}", escaped(why))
            }
            Self::Duration(text) => {
                write!(
                    f,
                    "\"{}\" is not a duration, such as 36h or 1h30m (units h, m, s, ms, us, ns)",
                    escaped(text)
                )
            }
        }
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::False { found: Some(Comparison { expression, got, want }) } => {
                write!(f, "{expression} is {got}, wanted {want}")
            }
            Self::False { found: None } => f.write_str("the condition is false for this predicate"),
            Self::Unable(why) => write!(f, "the condition could not be evaluated: {why}"),
        }
    }
}

impl fmt::Display for Inability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(key) => write!(f, "the predicate has no \"{key}\""),
            Self::Failed(said) => f.write_str(said),
            Self::NotBoolean => f.write_str("its result is neither true nor false"),
            Self::TooLarge { what, limit } => {
                write!(f, "the predicate has more than {limit} {what}")
            }
        }
    }
}
