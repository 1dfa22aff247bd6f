//! The table of fields, held to what the log writes; and the documents, held to the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use sealgate::audit::schema::{FIELDS, FieldShape, KINDS, LogField, json_schema};
use sealgate::audit::{
    Call, CallOutcome, DecisionId, Finding, FindingKind, Log, Noted, Options, OutcomeWord, Pod,
    Reason, Record, Timestamp, Verdict, Writing,
};
use sealgate::evidence::EvidenceSource;
use serde_json::Value;

use crate::validator::fault;
use crate::{clock, folder, options};

/// Where the documents are.
const PAGE: &str = "docs/respond/audit-fields.md";

fn pod() -> Pod {
    let text = |text: &str| Some(text.to_owned());
    Pod { namespace: text("prod"), name: text("app"), uid: text("1") }
}

/// A record with each field that there is.
fn record(id: DecisionId) -> Record {
    let text = |text: &str| Some(text.to_owned());
    let reason = Reason::new("unsigned", "there is no signature");
    Record {
        method: Some("PullArtifact".into()),
        pod: pod(),
        container: text("app"),
        container_id: text("c1"),
        sandbox_id: text("s1"),
        reference: "registry.example.com/app:1".to_owned(),
        image: text("sha256:i"),
        digest: text("sha256:d"),
        image_id: text("sha256:i"),
        platform_manifest: text("sha256:m"),
        observed: true,
        source: Some(EvidenceSource::Registry),
        evidence_age_seconds: Some(1),
        policies: serde_json::json!([{"documents": []}]),
        policy_generation: text("p"),
        trust_generation: text("t"),
        timings: [("decide".into(), 5)].into(),
        repeats: 1,
        repeats_of: Some(id),
        supersedes: Some(id),
        ..Record::new(id, Call::Other, Verdict::Refused, reason)
    }
}

fn outcome(id: DecisionId) -> CallOutcome {
    let text = |text: &str| Some(text.to_owned());
    CallOutcome {
        decision: Some(id),
        also: vec![id],
        call: Some(Call::CreateContainer),
        pod: pod(),
        container: text("app"),
        container_id: text("c1"),
        sandbox_id: text("s1"),
        reference: "registry.example.com/app:1".to_owned(),
        digest: text("sha256:d"),
        image_id: text("sha256:i"),
        platform_manifest: text("sha256:m"),
        reason: Some(Reason::new("UNKNOWN", "no such device")),
        repeats: 1,
        repeats_of: Some(id),
        ..CallOutcome::new(id, OutcomeWord::Failed)
    }
}

fn finding(id: DecisionId) -> Finding {
    let text = |text: &str| Some(text.to_owned());
    Finding {
        alert: true,
        method: text("Exec"),
        pod: pod(),
        container: text("app"),
        container_id: text("c1"),
        sandbox_id: text("s1"),
        image: text("registry.example.com/app:1"),
        digest: text("sha256:d"),
        detail: [("runtime".into(), "io.containerd.runc.v2".to_owned())].into(),
        repeats: 1,
        repeats_of: Some(id),
        ..Finding::new(id, FindingKind::Drift, Reason::new("no-decision", "nobody asked"))
    }
}

/// Lines of each kind as the log writes them: with all that they can have, and with the least.
async fn written(with_all: bool) -> Vec<Value> {
    let dir = folder();
    let options = Options { checkpoint_key: dir.path().join("key"), ..options(dir.path()) };
    let writing = Writing::default();
    let log = Log::open_sealed(options.clone(), clock(), Some(writing)).unwrap();
    let id = log.next_id();
    let (record, outcome, finding) = if with_all {
        (record(id), outcome(id), finding(id))
    } else {
        (
            Record::new(id, Call::PullImage, Verdict::Admitted, Reason::new("satisfied", "it is")),
            CallOutcome::new(id, OutcomeWord::Removed),
            Finding::new(id, FindingKind::Canary, Reason::new("socket", "gone")),
        )
    };
    let _recorded = log.append(record).await.unwrap();
    let _recorded = log.find(finding).unwrap().await.unwrap();
    log.tell(outcome).unwrap();
    let lowered = Noted::ClockLowered { from: Timestamp::default(), to: Timestamp::default() };
    log.note(lowered).await.unwrap();
    log.close().await.unwrap();
    let text = fs::read_to_string(&options.path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The paths of the fields of a line, as far as the table follows them.
fn paths(line: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (name, value) in line.as_object().unwrap() {
        found.insert(name.clone());
        let is_object =
            FIELDS.iter().any(|field| field.name == name && field.shape == FieldShape::Object);
        if is_object {
            found.extend(value.as_object().unwrap().keys().map(|inner| format!("{name}.{inner}")));
        }
    }
    found
}

/// Each field that a line can have is in the table, and no other.
#[tokio::test]
async fn the_table_has_each_field_that_the_log_writes_and_no_other() {
    let lines = written(true).await;
    let kinds: BTreeSet<&str> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, KINDS.into_iter().collect(), "a line of each kind");
    for line in &lines {
        let kind = line["kind"].as_str().unwrap();
        let table = FIELDS.iter().filter(|field| field.kinds.contains(&kind));
        let table: BTreeSet<String> = table.map(|field| field.name.to_owned()).collect();
        assert_eq!(paths(line), table, "{kind}");
    }
}

#[tokio::test]
async fn the_schema_takes_what_the_log_writes_and_refuses_what_it_never_does() {
    let schema = json_schema();
    for line in written(true).await.iter().chain(&written(false).await) {
        assert_eq!(fault(&schema, &schema, line, "line"), None, "{line:#}");
        for (name, wrong) in [
            ("kind", Value::from("confession")),
            ("schema", Value::from(2)),
            ("id", Value::from("1")),
            ("time", Value::from("yesterday")),
        ] {
            let mut other = line.clone();
            other[name] = wrong;
            assert!(fault(&schema, &schema, &other, "line").is_some(), "{name} of {line:#}");
            other.as_object_mut().unwrap().remove(name);
            assert!(fault(&schema, &schema, &other, "line").is_some(), "{line:#} without {name}");
        }
        let mut newer = line.clone();
        newer["of_a_newer_version"] = Value::from(1);
        assert_eq!(
            fault(&schema, &schema, &newer, "line"),
            None,
            "readers ignore what they do not know"
        );
    }
}

/// No two fields of one kind have one name elsewhere, but where that has no other.
#[test]
fn a_name_elsewhere_means_one_field() {
    for kind in KINDS {
        let names_of: [fn(&LogField) -> &'static str; 2] = [|field| field.otel, |field| field.ecs];
        for of in names_of {
            let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for field in FIELDS.iter().filter(|field| field.kinds.contains(&kind)) {
                names.entry(of(field)).or_default().push(field.name);
            }
            let shared: Vec<_> = names.iter().filter(|(_, fields)| fields.len() > 1).collect();
            assert!(shared.is_empty(), "{kind}: {shared:?}");
        }
    }
    for field in FIELDS.iter().filter(|field| field.otel.starts_with("sealgate.")) {
        assert_eq!(field.otel, format!("sealgate.{}", field.name));
    }
}

/// `UPDATE=1` writes the page anew.
#[test]
fn the_page_of_fields_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let mut table = String::from(
        "| field | lines | OpenTelemetry | ECS | what it says |\n|---|---|---|---|---|\n",
    );
    for field in FIELDS {
        let kinds = if field.kinds.len() == KINDS.len() {
            "all".to_owned()
        } else {
            field.kinds.join(", ")
        };
        writeln!(
            table,
            "| `{}` | {kinds} | `{}` | `{}` | {} |",
            field.name, field.otel, field.ecs, field.about
        )
        .unwrap();
    }
    let page = fs::read_to_string(&path).unwrap();
    let (before, _) = page.split_once("| field |").unwrap();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, format!("{before}{table}")).unwrap();
        return;
    }
    assert_eq!(
        page,
        format!("{before}{table}"),
        "UPDATE=1 cargo test --test audit -- the_page_of_fields"
    );
}

/// The manual has each field.
#[test]
fn the_manual_has_each_field() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/man/sealgate-audit.5");
    let manual = fs::read_to_string(path).unwrap();
    for field in FIELDS {
        let name = field.name.rsplit('.').next().unwrap();
        assert!(manual.contains(name), "{}", field.name);
    }
}
