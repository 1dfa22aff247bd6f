//! The functions that stand in for CEL's own where those copy or compile without bound: `+`, `in`
//! and `matches`.
//!
//! The checked expression calls them by names that cannot be written in a policy.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cel::common::types::{CelBool, CelList, CelMap, CelNull, CelString, CelUInt, Kind};
use cel::common::value::{CowVal, Val};
use cel::functions::FunctionContext;
use cel::{Context, ExecutionError};
use regex::Regex;

use super::error::Inability;
use crate::policy::sanitize::escaped;

/// `+` between anything but lists.
pub(super) const ADD: &str = "@add";
/// `in`, comparing values of one kind alone.
pub(super) const WITHIN: &str = "@within";
/// `matches`, with the number of a compiled pattern.
pub(super) const MATCHES: &str = "@matches";

/// Longest text that `+` makes, in bytes: names, links and versions.
const JOINED_MAX: usize = 4096;
/// Bytes that patterns read in one evaluation: 256 KiB, some thousand names and links; a slow
/// pattern reads a few megabytes in a second.
const MATCHED_MAX: usize = 256 * 1024;

type Answer<'c, 'v> = Result<CowVal<'c, 'v>, ExecutionError>;
type Function =
    Box<dyn for<'c, 'v> Fn(&mut FunctionContext<'c, 'v>) -> Answer<'c, 'v> + Send + Sync>;

/// Declares the three, with a new allowance for patterns.
pub(super) fn declare(
    context: &mut Context<'_, '_>,
    regexes: &Arc<[Regex]>,
) -> Result<(), Inability> {
    let regexes = Arc::clone(regexes);
    let read = AtomicUsize::new(0);
    let matches: Function = Box::new(move |call| matches(call, &regexes, &read));
    let functions: [(&str, Function); 3] =
        [(ADD, Box::new(add)), (WITHIN, Box::new(within)), (MATCHES, matches)];
    for (name, function) in functions {
        context
            .add_function(name, function)
            .map_err(|e| Inability::Failed(escaped(&e.to_string())))?;
    }
    Ok(())
}

/// What the evaluator said, without the values that it quotes: they may be large, and are not ours.
#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is open, and what is not named quotes values"
)]
pub(super) fn words(error: &ExecutionError) -> String {
    match error {
        ExecutionError::UnexpectedType { .. }
        | ExecutionError::NoSuchOverload(_)
        | ExecutionError::FunctionError { .. }
        | ExecutionError::UndeclaredReference(_)
        | ExecutionError::IndexOutOfBounds(_)
        | ExecutionError::InvalidArgumentCount { .. } => escaped(&error.to_string()),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "division by zero".to_owned()
        }
        ExecutionError::Overflow(operator, ..) => format!("overflow in {operator}"),
        ExecutionError::UnsupportedBinaryOperator(operator, ..) => {
            format!("{operator} of values of the wrong types")
        }
        ExecutionError::ValuesNotComparable(..) => "values that cannot be compared".to_owned(),
        _ => "a value of the wrong type".to_owned(),
    }
}

fn add<'c, 'v>(call: &mut FunctionContext<'c, 'v>) -> Answer<'c, 'v> {
    let args = mem::take(&mut call.args);
    let [left, right] = args.as_slice() else { return Err(failed("+", "takes two values")) };
    if composite(left.as_ref()) || composite(right.as_ref()) {
        return Err(failed("+", "lists and maps are not joined in a condition"));
    }
    if let (Some(l), Some(r)) =
        (left.downcast_ref::<CelString<'_>>(), right.downcast_ref::<CelString<'_>>())
        && l.inner().len().saturating_add(r.inner().len()) > JOINED_MAX
    {
        return Err(failed("+", "the text becomes longer than 4096 bytes"));
    }
    let adder = left.as_adder().ok_or_else(|| failed("+", "values of the wrong types"))?;
    Ok(CowVal::Owned(adder.add(right.as_ref())?.into_owned()))
}

fn within<'c, 'v>(call: &mut FunctionContext<'c, 'v>) -> Answer<'c, 'v> {
    let args = mem::take(&mut call.args);
    let [value, container] = args.as_slice() else { return Err(failed("in", "takes two values")) };
    if composite(value.as_ref()) {
        return Err(failed("in", "a list or map is not looked for in a condition"));
    }
    let found = if let Some(list) = container.downcast_ref::<CelList<'_>>() {
        list.inner()
            .iter()
            .any(|item| alike(value.as_ref(), item.as_ref()) && item.equals(value.as_ref()))
    } else if let Some(map) = container.downcast_ref::<CelMap<'_>>() {
        let container = map.as_container().ok_or_else(|| failed("in", "not a list or map"))?;
        container.contains(value.as_ref())?
    } else {
        return Err(failed("in", "not a list or map"));
    };
    Ok(CowVal::owned(CelBool::from(found)))
}

fn matches<'c, 'v>(
    call: &mut FunctionContext<'c, 'v>,
    regexes: &[Regex],
    read: &AtomicUsize,
) -> Answer<'c, 'v> {
    let args = mem::take(&mut call.args);
    let number = args.first().and_then(|number| number.downcast_ref::<CelUInt>());
    let regex = number.and_then(|n| usize::try_from(*n.inner()).ok()).and_then(|n| regexes.get(n));
    let regex = regex.ok_or_else(|| failed("matches", "no such pattern"))?;
    let text = call.this.as_ref().and_then(|this| this.downcast_ref::<CelString<'_>>());
    let text = text.ok_or_else(|| failed("matches", "not a string"))?.inner();
    let before = read.fetch_add(text.len(), Ordering::Relaxed);
    if before.saturating_add(text.len()) > MATCHED_MAX {
        return Err(failed("matches", "more than 262144 bytes of text to match"));
    }
    Ok(CowVal::owned(CelBool::from(regex.is_match(text))))
}

/// Whether two scalars can be equal: comparing others makes the evaluator copy both.
fn alike(a: &dyn Val, b: &dyn Val) -> bool {
    let number = |kind: Kind| matches!(kind, Kind::Int | Kind::UInt | Kind::Double);
    let (a_kind, b_kind) = (a.get_type().kind(), b.get_type().kind());
    a_kind == b_kind
        && a.downcast_ref::<CelNull>().is_some() == b.downcast_ref::<CelNull>().is_some()
        || number(a_kind) && number(b_kind)
}

fn composite(value: &dyn Val) -> bool {
    value.as_iterable().is_some()
}

fn failed(function: &str, message: &str) -> ExecutionError {
    ExecutionError::function_error(function, message)
}
