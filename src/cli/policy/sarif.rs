//! What there is to say, in the Static Analysis Results Interchange Format, version 2.1.0 (OASIS), as
//! code scanning of forges reads it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::remark::message;
use crate::loader::{Remark, Severity};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// One log with one run.
pub(super) fn of(remarks: &[Remark]) -> Value {
    let codes: BTreeSet<&str> = remarks.iter().map(|remark| remark.code).collect();
    let rules: Vec<Value> = codes.iter().map(|code| json!({ "id": code })).collect();
    let results: Vec<Value> = remarks.iter().map(|remark| result(remark, &codes)).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "sealgate",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(remark: &Remark, codes: &BTreeSet<&str>) -> Value {
    let level = match remark.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut result = json!({
        "ruleId": remark.code,
        "ruleIndex": codes.iter().position(|code| *code == remark.code),
        "level": level,
        "message": {"text": message(remark)},
    });
    if let (Some(file), Value::Object(result)) = (&remark.file, &mut result) {
        let mut place = json!({"artifactLocation": {"uri": uri(file)}});
        if let (Some(line), Some(column), Value::Object(place)) =
            (remark.line, remark.column, &mut place)
        {
            let region = json!({"startLine": line, "startColumn": column});
            place.insert("region".to_owned(), region);
        }
        result.insert("locations".to_owned(), json!([{ "physicalLocation": place }]));
    }
    result
}

/// A path as a URI reference (RFC 3986): relative where the path is.
fn uri(path: &str) -> String {
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.strip_prefix("./").unwrap_or(path).bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte));
            }
            _ => drop(write!(uri, "%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_each_rule_once_and_each_result_with_its_place() {
        let at = |code, line| Remark {
            severity: Severity::Error,
            file: Some("./a b/ü.yaml".to_owned()),
            line: Some(line),
            column: Some(2),
            ..Remark::warning(code, &"x")
        };
        let log = of(&[at("b", 1), at("a", 2), at("b", 3), Remark::warning("c", &"y")]);
        assert_eq!(log["version"], "2.1.0");
        let run = &log["runs"][0];
        assert_eq!(run["tool"]["driver"]["rules"], json!([{"id": "a"}, {"id": "b"}, {"id": "c"}]));
        let first = json!({
            "ruleId": "b",
            "ruleIndex": 1,
            "level": "error",
            "message": {"text": "x"},
            "locations": [{"physicalLocation": {
                "artifactLocation": {"uri": "a%20b/%C3%BC.yaml"},
                "region": {"startLine": 1, "startColumn": 2},
            }}],
        });
        assert_eq!(run["results"][0], first);
        assert_eq!(run["results"][3]["locations"], Value::Null);
        assert_eq!(uri("/etc/a.yaml"), "file:///etc/a.yaml");
    }
}
