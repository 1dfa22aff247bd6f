//! Lines of the log as the body of a request ([`encode`]), and what is said of the node with them
//! ([`Resource`]).

use std::collections::BTreeMap;

use jiff::Timestamp;
use prost::Message as _;
use serde_json::Value;

use super::attributes::{attributes, key_value};
use super::log_lines::LogLine;
use crate::proto::otlp::{
    AnyValue, ExportLogsServiceRequest, InstrumentationScope, KeyValue, LogRecord,
    Resource as Node, ResourceLogs, ScopeLogs, any_value,
};

/// What the program calls itself.
const NAME: &str = "sealgate";
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How bad a line is: numbers and words of OpenTelemetry's `SeverityNumber`.
const INFO: (i32, &str) = (9, "INFO");
const WARN: (i32, &str) = (13, "WARN");
const ERROR: (i32, &str) = (17, "ERROR");

/// What is said of the node with every batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource(Vec<KeyValue>);

impl Resource {
    /// Of a node of this name, with what the configuration says of it; that replaces what is known
    /// otherwise.
    #[must_use]
    pub fn new(node: &str, configured: &BTreeMap<String, String>) -> Self {
        let known = [
            ("service.name", NAME),
            ("service.version", VERSION),
            ("host.name", node),
            ("k8s.node.name", node),
        ];
        let mut all: BTreeMap<&str, &str> = known.into();
        all.extend(configured.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let text = |value: &str| any_value::Value::StringValue(value.to_owned());
        Self(all.into_iter().map(|(name, value)| key_value(name, text(value))).collect())
    }
}

/// The body of a request with these lines.
pub(super) fn encode(resource: &Resource, lines: &[LogLine], now: Timestamp) -> Vec<u8> {
    let scope = InstrumentationScope { name: NAME.to_owned(), version: VERSION.to_owned() };
    let log_records = lines.iter().map(|line| record(line, now)).collect();
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(Node { attributes: resource.0.clone() }),
            scope_logs: vec![ScopeLogs { scope: Some(scope), log_records }],
        }],
    };
    request.encode_to_vec()
}

fn record(line: &LogLine, now: Timestamp) -> LogRecord {
    let body = any_value::Value::StringValue(line.text.clone());
    let read: Value = serde_json::from_str(&line.text).unwrap_or_default();
    let text = |name: &str| read.get(name).and_then(Value::as_str);
    let time = text("time").and_then(|time| time.parse().ok()).unwrap_or(now);
    let (severity_number, severity_text) = severity(&read);
    LogRecord {
        time_unix_nano: nanoseconds(time),
        severity_number,
        severity_text: severity_text.to_owned(),
        body: Some(AnyValue { value: Some(body) }),
        attributes: attributes(&read),
        observed_time_unix_nano: nanoseconds(now),
        event_name: format!("{NAME}.{}", text("kind").unwrap_or("unreadable")),
    }
}

/// Errors are what was not let through and what raises an alert; warnings what ran without proof, what
/// was found, and what cannot be read.
fn severity(line: &Value) -> (i32, &'static str) {
    let text = |name: &str| line.get(name).and_then(Value::as_str);
    match (text("kind"), text("verdict")) {
        (Some("decision"), Some("admitted")) => INFO,
        (Some("decision"), Some("refused" | "unable" | "unreachable")) => ERROR,
        (Some("decision"), _) | (None, _) => WARN,
        (Some("finding"), _) if line.get("alert").and_then(Value::as_bool) == Some(true) => ERROR,
        (Some("finding"), _) => WARN,
        (Some(_), _) => INFO,
    }
}

/// Since 1970; 0 before.
fn nanoseconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> LogRecord {
        let resource = Resource::new("node-1", &BTreeMap::new());
        let line = LogLine { text: text.to_owned() };
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let bytes = encode(&resource, &[line], now);
        let read = ExportLogsServiceRequest::decode(&*bytes).unwrap();
        read.resource_logs[0].scope_logs[0].log_records[0].clone()
    }

    #[test]
    fn a_line_is_sent_as_it_stands() {
        let text =
            r#"{"kind":"decision","id":"d-1","time":"2026-01-31T12:00:00.5Z","verdict":"refused"}"#;
        let found = decoded(text);
        assert_eq!(found.body.unwrap().value, Some(any_value::Value::StringValue(text.to_owned())));
        assert_eq!(found.time_unix_nano, 1_769_860_800_500_000_000);
        assert_eq!(found.observed_time_unix_nano, 1_700_000_000_000_000_000);
        assert_eq!(found.event_name, "sealgate.decision");
        assert_eq!(found.severity_number, 17);
    }

    #[test]
    fn how_bad_a_line_is() {
        for (text, expected) in [
            (r#"{"kind":"decision","verdict":"admitted"}"#, "INFO"),
            (r#"{"kind":"decision","verdict":"warned"}"#, "WARN"),
            (r#"{"kind":"decision","verdict":"unable"}"#, "ERROR"),
            (r#"{"kind":"finding","alert":true}"#, "ERROR"),
            (r#"{"kind":"finding"}"#, "WARN"),
            (r#"{"kind":"note"}"#, "INFO"),
            ("no JSON", "WARN"),
        ] {
            assert_eq!(decoded(text).severity_text, expected, "{text}");
        }
        assert_eq!(decoded("no JSON").event_name, "sealgate.unreadable");
    }

    #[test]
    fn what_is_configured_of_a_node_replaces_what_is_known() {
        let configured = [("k8s.node.name".to_owned(), "blue".to_owned())].into();
        let Resource(found) = Resource::new("node-1", &configured);
        let names: Vec<&str> = found.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(names, ["host.name", "k8s.node.name", "service.name", "service.version"]);
        let value = found[1].value.clone().unwrap().value;
        assert_eq!(value, Some(any_value::Value::StringValue("blue".to_owned())));
    }
}
