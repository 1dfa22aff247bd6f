//! [`fault`]: whether a value has the form that a JSON Schema says, for the keywords that ours is
//! made of. A keyword that is not known here fails the test, so that none is passed over.

use regex::Regex;
use serde_json::{Map, Value};

/// Where and by which keyword a value differs from the schema; none where it fits.
pub(super) fn fault(root: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    if let Value::Bool(fits) = schema {
        return (!fits).then(|| format!("{at}: not allowed"));
    }
    let keywords = schema.as_object().unwrap();
    keywords.iter().find_map(|(keyword, rule)| {
        of_parts(root, schema, (keyword, rule), value, at)
            .unwrap_or_else(|| of_value(root, (keyword, rule), value, at))
    })
}

/// Keywords about what is in a value or beside it; none for any other.
#[allow(clippy::option_option, reason = "no fault, and no keyword of these")]
fn of_parts(
    root: &Value,
    schema: &Value,
    (keyword, rule): (&str, &Value),
    value: &Value,
    at: &str,
) -> Option<Option<String>> {
    let inner = |schema: &Value| fault(root, schema, value, at);
    let found = match keyword {
        "$schema" | "$defs" | "title" | "description" | "then" => None,
        "$ref" => {
            let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
            inner(root.get("$defs").and_then(|all| all.get(name)).unwrap())
        }
        "allOf" => rule.as_array().unwrap().iter().find_map(inner),
        "if" => inner(rule).is_none().then(|| inner(&schema["then"])).flatten(),
        "items" => value
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
            .find_map(|(number, item)| fault(root, rule, item, &format!("{at}[{number}]"))),
        "properties" => entries(value)
            .find_map(|(name, value)| fault(root, rule.get(name)?, value, &format!("{at}.{name}"))),
        "additionalProperties" => {
            let known =
                |name: &str| schema.get("properties").is_some_and(|all| all.get(name).is_some());
            entries(value)
                .filter(|(name, _)| !known(name))
                .find_map(|(name, value)| fault(root, rule, value, &format!("{at}.{name}")))
        }
        _ => return None,
    };
    Some(found)
}

/// Keywords about a value by itself.
fn of_value(
    root: &Value,
    (keyword, rule): (&str, &Value),
    value: &Value,
    at: &str,
) -> Option<String> {
    let fitting = || {
        let all = rule.as_array().unwrap().iter();
        all.filter(|schema| fault(root, schema, value, at).is_none()).count()
    };
    let limit = || rule.as_u64().unwrap();
    let characters = || value.as_str().map(|text| u64::try_from(text.chars().count()).unwrap());
    let number = || value.as_i64().map(i128::from);
    let items = || value.as_array().map(|items| u64::try_from(items.len()).unwrap());
    let fields = || value.as_object().map(|fields| u64::try_from(fields.len()).unwrap());
    let fits = match keyword {
        "type" => is_of(rule.as_str().unwrap(), value),
        "enum" => rule.as_array().unwrap().contains(value),
        "const" => rule == value,
        "pattern" => {
            let pattern = Regex::new(rule.as_str().unwrap()).unwrap();
            value.as_str().is_none_or(|text| pattern.is_match(text))
        }
        "minLength" => characters().is_none_or(|count| count >= limit()),
        "maxLength" => characters().is_none_or(|count| count <= limit()),
        "minimum" => number().is_none_or(|number| number >= i128::from(limit())),
        "maximum" => number().is_none_or(|number| number <= i128::from(limit())),
        "minItems" => items().is_none_or(|count| count >= limit()),
        "uniqueItems" => value.as_array().is_none_or(|items| {
            (1..).zip(items).all(|(next, item)| !items.iter().skip(next).any(|other| other == item))
        }),
        "minProperties" => fields().is_none_or(|count| count >= limit()),
        "maxProperties" => fields().is_none_or(|count| count <= limit()),
        "required" => value.as_object().is_none_or(|fields| {
            rule.as_array().unwrap().iter().all(|name| fields.contains_key(name.as_str().unwrap()))
        }),
        "not" => fault(root, rule, value, at).is_some(),
        "oneOf" => fitting() == 1,
        "anyOf" => fitting() > 0,
        _ => panic!("{keyword} is not known here"),
    };
    (!fits).then(|| format!("{at}: {keyword} {rule}"))
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        _ => panic!("{kind} is not known here"),
    }
}
