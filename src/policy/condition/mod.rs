//! [`Condition`]: what an attestation must say: a CEL expression over its predicate, read strictly
//! and of bounded work.
//!
//! Three variables: `predicate` (the statement's predicate), `predicateType` (string) and `now`
//! (timestamp: the time of the decision). No I/O, no clock, no environment. What may be called, all
//! else is an error when the policy is read: `&& || ! ?: == != < <= > >= + - * / % in`, `has`,
//! `all`, `exists`, `exists_one`, `filter`, `map`, `size`, `contains`, `startsWith`, `endsWith`,
//! `matches`, `timestamp`, `duration`, `string`, `int`, `uint`, `double`.
//!
//! # Bounded work
//! The evaluator counts nothing, so the rules make the work linear in the expression times the
//! predicate:
//! * a loop goes over a path into the predicate or into the variable of the loop around it
//!   (filtered or mapped to a path of its elements), and its body names its own variable and `now`
//!   alone;
//! * lists in an expression hold constants; maps, messages and optional values are not accepted;
//!   `+` joins no lists and no long strings;
//! * a pattern of `matches` is a constant, anchored at both ends, compiled once; a duration is a
//!   constant;
//! * only what the expression names of a predicate is looked at, and its values times the loops are
//!   capped.
//!
//! # Three answers
//! `holds` gives success, [`Unmet::False`] or [`Unmet::Unable`]; a missing field, a wrong type, an
//! overflow or a result that is no boolean is *unable*, never true and never false. As CEL defines
//! it, `&&`, `||`, `all` and `exists` do not depend on order: `true || error` is true, `false &&
//! error` is false, since the failing side could change nothing.

mod check;
pub(super) mod error;
mod functions;
mod predicate;
#[cfg(test)]
mod tests;
mod values;

use std::fmt;
use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::common::types::{CelBool, CelDouble, CelInt, CelNull, CelString, CelUInt};
use cel::common::value::Val;
use cel::{Context, Env, Value};
use regex::Regex;

use super::sanitize::escaped;
use crate::image::json::Keep;
use check::Checked;
use error::{Comparison, ConditionError, Inability, Unmet};
pub(super) use predicate::VALUES_MAX;

/// An expression that was read and found fit: of bounded work, naming only what exists.
#[derive(Clone)]
pub(super) struct Condition(Arc<Inner>);

struct Inner {
    source: String,
    expression: IdedExpr,
    env: Arc<Env>,
    regexes: Arc<[Regex]>,
    wanted: Keep,
    weight: usize,
}

impl Condition {
    /// Reads an expression.
    ///
    /// # Errors
    /// [`ConditionError`] says what is wrong, and where when it is one place.
    pub(super) fn parse(source: &str) -> Result<Self, ConditionError> {
        let env = Env::stdlib().with_optional_support(false);
        let Checked { expression, regexes, wanted, weight } = check::check(source)?;
        Ok(Self(Arc::new(Inner {
            source: source.to_owned(),
            expression,
            env: Arc::new(env),
            regexes: regexes.into(),
            wanted,
            weight,
        })))
    }

    /// The expression as written.
    pub(super) fn source(&self) -> &str {
        &self.0.source
    }

    /// What of a predicate it names; none where it is about no predicate at all.
    pub(super) fn wanted(&self) -> Option<&Keep> {
        Some(&self.0.wanted).filter(|wanted| **wanted != Keep::nothing())
    }

    /// Whether it may depend on the time of the decision: the word `now` stands in it.
    pub(super) fn names_now(&self) -> bool {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        self.source().split(|c: char| !is_part(c)).any(|word| word == "now")
    }

    /// The values of what it names, for people: escaped, bounded and in the order of the expression.
    pub(super) fn seen(
        &self,
        untrusted: (&serde_json::Value, &str),
        now: jiff::Timestamp,
    ) -> Vec<String> {
        values::seen(&self.0.expression, untrusted, now)
    }

    /// Whether the predicate meets the condition at `now`.
    ///
    /// # Errors
    /// [`Unmet`]: false, or could not be evaluated.
    pub(super) fn holds(
        &self,
        untrusted_predicate: &serde_json::Value,
        predicate_type: &str,
        now: jiff::Timestamp,
    ) -> Result<(), Unmet> {
        let inner = &*self.0;
        let predicate = predicate::convert(untrusted_predicate, &inner.wanted, inner.weight)
            .map_err(Unmet::Unable)?;
        let mut context = Context::with_env(Arc::clone(&inner.env));
        functions::declare(&mut context, &inner.regexes).map_err(Unmet::Unable)?;
        context.add_variable_as_val("predicate", predicate);
        context.add_variable_as_val("predicateType", Box::new(CelString::from(predicate_type)));
        let now_call = timestamp_call(now);
        let now = value(&now_call, &context).map_err(Unmet::Unable)?;
        context.add_variable_as_val("now", now);
        let answer = value(&inner.expression, &context).map_err(Unmet::Unable)?;
        match answer.downcast_ref::<CelBool>().map(|b| *b.inner()) {
            Some(true) => Ok(()),
            Some(false) => Err(Unmet::False { found: difference(&inner.expression, &context) }),
            None => Err(Unmet::Unable(Inability::NotBoolean)),
        }
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source
    }
}

impl Eq for Condition {}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.0.source).finish()
    }
}

/// The time as the expression that evaluates to it: the evaluator's own reader decides what a
/// timestamp is.
fn timestamp_call(now: jiff::Timestamp) -> IdedExpr {
    let text = IdedExpr {
        id: 0,
        expr: Expr::Literal(LiteralValue::String(CelString::from(now.to_string()))),
    };
    IdedExpr {
        id: 0,
        expr: Expr::Call(CallExpr {
            func_name: "timestamp".to_owned(),
            target: None,
            args: vec![text],
        }),
    }
}

fn value<'v>(
    expression: &IdedExpr,
    context: &Context<'_, 'v>,
) -> Result<Box<dyn Val + 'v>, Inability> {
    match Value::resolve_val(expression, context) {
        Ok(value) => Ok(value.into_owned()),
        Err(cel::ExecutionError::NoSuchKey(key)) => Err(Inability::Missing(escaped(&key))),
        Err(error) => Err(Inability::Failed(functions::words(&error))),
    }
}

/// The first of the conditions joined by `&&` that compares with a constant and differs.
fn difference(expression: &IdedExpr, context: &Context<'_, '_>) -> Option<Comparison> {
    let Expr::Call(call) = &expression.expr else { return None };
    match (call.func_name.as_str(), call.args.as_slice()) {
        (operators::LOGICAL_AND, terms) => terms.iter().find_map(|term| difference(term, context)),
        (operators::EQUALS, [left, right]) => match (&left.expr, &right.expr) {
            (_, Expr::Literal(want)) => compared(left, want, context),
            (Expr::Literal(want), _) => compared(right, want, context),
            _ => None,
        },
        _ => None,
    }
}

fn compared(side: &IdedExpr, want: &LiteralValue, context: &Context<'_, '_>) -> Option<Comparison> {
    let got = Value::resolve_val(side, context).ok()?;
    let want = want.to_val();
    (!got.equals(want.as_ref())).then(|| Comparison {
        expression: written(side),
        got: shown(got.as_ref()),
        want: shown(want.as_ref()),
    })
}

/// A path as it is written; of anything else, what it is.
fn written(expression: &IdedExpr) -> String {
    match &expression.expr {
        Expr::Ident(name) => escaped(name),
        Expr::Select(select) if !select.test => {
            format!("{}.{}", written(&select.operand), escaped(&select.field))
        }
        Expr::Literal(literal) => shown(literal.to_val().as_ref()),
        Expr::Call(call) => match (call.func_name.as_str(), &call.target, call.args.as_slice()) {
            (operators::INDEX, None, [of, index]) => format!("{}[{}]", written(of), written(index)),
            (name, Some(target), args) if !name.starts_with('@') => {
                let args: Vec<String> = args.iter().map(written).collect();
                format!("{}.{name}({})", written(target), args.join(", "))
            }
            (name, None, args) if name.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                let args: Vec<String> = args.iter().map(written).collect();
                format!("{name}({})", args.join(", "))
            }
            _ => "(a value)".to_owned(),
        },
        Expr::Unspecified
        | Expr::Comprehension(_)
        | Expr::List(_)
        | Expr::Map(_)
        | Expr::Select(_)
        | Expr::Struct(_) => "(a value)".to_owned(),
    }
}

/// A value as it is shown: scalars in full (cut where long), the rest by type.
fn shown(value: &dyn Val) -> String {
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        return format!("\"{}\"", escaped(text.inner()));
    }
    if let Some(number) = value.downcast_ref::<CelInt>() {
        return number.inner().to_string();
    }
    if let Some(number) = value.downcast_ref::<CelUInt>() {
        return number.inner().to_string();
    }
    if let Some(number) = value.downcast_ref::<CelDouble>() {
        return number.inner().to_string();
    }
    if let Some(answer) = value.downcast_ref::<CelBool>() {
        return answer.inner().to_string();
    }
    if value.downcast_ref::<CelNull>().is_some() {
        return "null".to_owned();
    }
    format!("a {}", escaped(value.get_type().name()))
}
