//! [`seen`]: the values of what an expression names, for the refusal of one that is false.
//!
//! Nothing is decided by it. What stands in a predicate is its author's: each value is escaped, and
//! bounded before it is written.

use std::fmt::Write as _;

use cel::common::ast::{Expr, IdedExpr};
use jiff::Timestamp;
use serde_json::Value;

use super::check::path;
use crate::policy::sanitize::{bounded, escaped};

/// Most values that are shown: more than this is read in the attestation itself.
const VALUES_SHOWN: usize = 5;
/// Longest value that is shown, in bytes: a date, a version, a builder's id.
const VALUE_SHOWN: usize = 80;
/// Most elements of a list, and members of an object, that are shown.
const ELEMENTS_SHOWN: usize = 3;
/// Levels of lists and objects that are shown.
const LEVELS_SHOWN: usize = 2;

/// `predicate.scanner.name is "trivy"`: for each path that the expression names outside of its
/// loops, in its order and each once.
pub(super) fn seen(
    expression: &IdedExpr,
    (predicate, predicate_type): (&Value, &str),
    now: Timestamp,
) -> Vec<String> {
    let mut paths = Vec::new();
    collect(expression, &mut paths);
    let said = |(root, fields): &(String, Vec<String>)| match root.as_str() {
        "predicate" => {
            let mut value = Some(predicate);
            for field in fields {
                value = value.and_then(|value| value.get(field));
            }
            let written =
                [vec![root.as_str()], fields.iter().map(String::as_str).collect()].concat();
            let value = value.map_or_else(|| "not there".to_owned(), shown);
            Some(format!("{} is {value}", bounded(escaped(&written.join(".")), VALUE_SHOWN)))
        }
        "predicateType" => {
            Some(format!("predicateType is {}", bounded(escaped(predicate_type), VALUE_SHOWN)))
        }
        "now" => Some(format!("now is {now}")),
        // The variable of a loop.
        _ => None,
    };
    paths.iter().filter_map(said).take(VALUES_SHOWN).collect()
}

/// The paths in an expression. Its depth was bounded when it was read.
fn collect(node: &IdedExpr, paths: &mut Vec<(String, Vec<String>)>) {
    if let Some(found) = path(node) {
        if !paths.contains(&found) {
            paths.push(found);
        }
        return;
    }
    match &node.expr {
        Expr::Call(call) => {
            call.target.iter().for_each(|target| collect(target, paths));
            call.args.iter().for_each(|arg| collect(arg, paths));
        }
        Expr::Select(select) => collect(&select.operand, paths),
        // What its body names is of its own variable.
        Expr::Comprehension(comprehension) => collect(&comprehension.iter_range, paths),
        Expr::Ident(_)
        | Expr::List(_)
        | Expr::Literal(_)
        | Expr::Map(_)
        | Expr::Struct(_)
        | Expr::Unspecified => {}
    }
}

fn shown(value: &Value) -> String {
    let mut text = String::new();
    write_value(value, LEVELS_SHOWN, &mut text);
    bounded(text, VALUE_SHOWN)
}

/// Writes the beginning of a value, and no more of it than is shown.
fn write_value(value: &Value, levels: usize, text: &mut String) {
    if text.len() > VALUE_SHOWN {
        return;
    }
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(answer) => text.push_str(if *answer { "true" } else { "false" }),
        Value::Number(number) => text.push_str(&escaped(&number.to_string())),
        Value::String(said) => {
            let _ = write!(text, "\"{}\"", escaped(said));
        }
        Value::Array(items) => {
            let _ = write!(text, "a list of {}", items.len());
            write_parts(items.iter().map(|item| ("", item)), items.len(), levels, text);
        }
        Value::Object(fields) => {
            text.push_str("an object");
            let parts = fields.iter().map(|(name, field)| (name.as_str(), field));
            write_parts(parts, fields.len(), levels, text);
        }
    }
}

fn write_parts<'v>(
    parts: impl Iterator<Item = (&'v str, &'v Value)>,
    count: usize,
    levels: usize,
    text: &mut String,
) {
    let Some(levels) = levels.checked_sub(1).filter(|_| count > 0) else { return };
    text.push_str(" (");
    for (number, (name, part)) in parts.take(ELEMENTS_SHOWN).enumerate() {
        let comma = if number > 0 { ", " } else { "" };
        let colon = if name.is_empty() { "" } else { ": " };
        let _ = write!(text, "{comma}{}{colon}", escaped(name));
        write_value(part, levels, text);
    }
    text.push_str(if count > ELEMENTS_SHOWN { ", ...)" } else { ")" });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Condition;
    use super::*;

    fn seen_by(expression: &str, predicate: &Value) -> Vec<String> {
        let condition = Condition::parse(expression).unwrap();
        condition.seen((predicate, "https://example.com/scan"), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_false_condition_shows_each_value_that_it_names() {
        let predicate = json!({
            "scanner": {"name": "trivy", "version": 3},
            "findings": [{"severity": "HIGH"}, {"severity": "LOW"}, 1, 2],
        });
        assert_eq!(
            seen_by(
                "predicate.scanner.name == \"grype\" || (predicate.scanner.version > 4 && \
                 has(predicate.approved)) || predicate.scanner.name.startsWith(\"x\")",
                &predicate
            ),
            [
                "predicate.scanner.name is \"trivy\"",
                "predicate.scanner.version is 3",
                "predicate.approved is not there"
            ]
        );
        assert_eq!(
            seen_by("predicate.findings.all(f, f.severity == \"LOW\")", &predicate),
            ["predicate.findings is a list of 4 (an object (severity: \"HIGH\"), \
                 an object (severity: \"LOW\"), 1, ...)"]
        );
        assert_eq!(
            seen_by(
                "predicateType == \"x\" && now < timestamp(\"1960-01-01T00:00:00Z\")",
                &predicate
            ),
            ["predicateType is https://example.com/scan", "now is 1970-01-01T00:00:00Z"]
        );
    }

    /// Attack E3: what stands in an attestation has no power over a line, and no length.
    #[test]
    fn attack_e3_values_of_a_false_condition_are_escaped_and_bounded() {
        let long = "\u{1b}[2J\n".repeat(10_000);
        let deep = json!([[[[[[[[[long.clone()]]]]]]]]]);
        let predicate = json!({"a": long, "b": deep, "c": {long.clone(): long.clone()}});
        let expression =
            "size(predicate.a) == 1 || size(predicate.b) == 7 || size(predicate.c) == 7";
        let seen = seen_by(expression, &predicate);
        assert_eq!(seen.len(), 3, "{seen:?}");
        for value in seen {
            assert!(value.len() <= 2 * VALUE_SHOWN + 8, "{value}");
            assert!(value.bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{value:?}");
        }
        let many: Vec<String> = (0..20).map(|n| format!("predicate.f{n} == 1")).collect();
        assert_eq!(seen_by(&many.join(" || "), &json!({})).len(), VALUES_SHOWN);
    }
}
