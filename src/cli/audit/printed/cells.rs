//! [`cells`]: a line of the log in words for people: what goes into the columns of a table, every
//! text of which is harmless.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::table::{Cells, Column};
use crate::audit::read::{Row, Text};
use crate::audit::{SCHEMA, Verdict, read};
use crate::cli::terminal::gate::uptime;
use crate::cli::terminal::screen::{Tone, plain};

/// The columns of a line; `zone` is where its time is shown.
pub(super) fn cells(row: &Row<'_>, node: Option<&str>, zone: &TimeZone) -> Cells {
    let mut cells = Cells { tone: tone(row), ..Cells::default() };
    cells.set(Column::Time, time(row, zone));
    cells.set(Column::Node, plain(row.node.some().or(node).unwrap_or_default()));
    cells.set(Column::Verdict, plain(&verdict(row)));
    cells.set(Column::Call, plain(call(row)));
    cells.set(Column::Image, plain(image(row)));
    cells.set(Column::Pod, pod(row));
    cells.set(Column::Why, why(row));
    cells.set(Column::SignedBy, plain(&signers(row).into_iter().collect::<Vec<_>>().join(", ")));
    cells.set(Column::Id, plain(row.id.as_str()));
    cells
}

fn time(row: &Row<'_>, zone: &TimeZone) -> String {
    let at = row.when().and_then(|at| i64::try_from(at.millis()).ok());
    match at.and_then(|millis| Timestamp::from_millisecond(millis).ok()) {
        Some(at) => at.to_zoned(zone.clone()).datetime().strftime("%Y-%m-%d %H:%M:%S").to_string(),
        None => plain(row.time.as_str()),
    }
}

/// The verdict, in words that tell one that was only observed from one that was carried out; of
/// other lines what they are.
pub(in crate::cli::audit) fn verdict(row: &Row<'_>) -> String {
    match (row.verdict.some().filter(|_| row.is_typed()), row.outcome.some()) {
        (Some(verdict), _) if row.observed.is_true() => format!("observed {verdict}"),
        (Some(verdict), _) => verdict.to_owned(),
        (None, Some(outcome)) => outcome.to_owned(),
        (None, None) => row.kind.to_string(),
    }
}

/// Green is what ran with proof, and nothing else: not what a later version means by the word.
pub(in crate::cli::audit) fn tone(row: &Row<'_>) -> Option<Tone> {
    if !row.is_typed() || row.schema.number() > u64::from(SCHEMA) {
        return None;
    }
    let verdict = match row.kind.as_str() {
        "finding" if row.alert.is_true() => return Some(Tone::Bad),
        "finding" => return Some(Tone::Warn),
        _ if row.outcome.as_str() == "failed" => return Some(Tone::Warn),
        _ => row.known_verdict()?,
    };
    Some(match verdict {
        Verdict::Refused if row.observed.is_true() => Tone::Warn,
        Verdict::Admitted if row.observed.is_true() => Tone::Warn,
        Verdict::Admitted => Tone::Good,
        Verdict::Refused => Tone::Bad,
        Verdict::Warned
        | Verdict::Unmatched
        | Verdict::Unverified
        | Verdict::Excepted
        | Verdict::Unchecked
        | Verdict::Unable
        | Verdict::Unreachable => Tone::Warn,
    })
}

fn call<'r>(row: &'r Row<'_>) -> &'r str {
    let note = row.note.as_object().and_then(|note| note.keys().next()).map(String::as_str);
    let all = [row.finding.some(), note, row.call.some(), row.method.some()];
    all.into_iter().flatten().next().unwrap_or_default()
}

fn image<'r>(row: &'r Row<'_>) -> &'r str {
    let all = [&row.reference, &row.image, &row.digest, &row.container_id];
    all.into_iter().find_map(Text::some).unwrap_or_default()
}

fn pod(row: &Row<'_>) -> String {
    let (namespace, name) = (row.pod.namespace.some(), row.pod.name.some());
    name.map_or_else(String::new, |name| {
        format!("{}/{}", plain(namespace.unwrap_or("?")), plain(name))
    })
}

/// Of an admission the verdict says it, and where the evidence came from is what remains.
fn why(row: &Row<'_>) -> String {
    let is_admission = row.known_verdict().is_some_and(Verdict::is_admission);
    let code = row.reason.code.some().filter(|_| !is_admission).map(plain);
    let said = row.note.as_object().map(|_| plain(&words_of(&row.note)));
    let back = row.supersedes.some().map(|id| format!("takes back {}", plain(id)));
    let repeats = row.repeats.number();
    let repeats = (repeats > 0).then(|| format!("and {repeats} more like it"));
    let parts = [code, said, evidence(row), back, repeats];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Where the evidence came from, and how old it was.
pub(in crate::cli::audit) fn evidence(row: &Row<'_>) -> Option<String> {
    let source = plain(row.source.some()?);
    let age = row.evidence_age_seconds.number();
    // Nothing came, so that nothing has an age.
    let is_unanswered = matches!(row.known_verdict(), Some(Verdict::Unreachable | Verdict::Unable));
    Some(match row.evidence_age_seconds.is_empty() {
        _ if is_unanswered && age == 0 => format!("{source} asked"),
        false => format!("from {source}, {} old", uptime(age)),
        true => format!("from {source}"),
    })
}

/// Everybody who signed, each once.
pub(super) fn signers(row: &Row<'_>) -> BTreeSet<String> {
    row.policies.signers().map(|signer: &read::SignerRow<'_>| signer.who().to_owned()).collect()
}

/// A note in words: each of its fields that says something.
pub(in crate::cli::audit) fn words_of(note: &Value) -> String {
    let one = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let Some((_, fields)) = note.as_object().and_then(|note| note.iter().next()) else {
        return one(note);
    };
    let told = fields.as_object().into_iter().flatten().filter_map(|(name, value)| {
        let text = match value {
            Value::Null => return None,
            Value::Array(all) if all.is_empty() => return None,
            Value::Array(all) => all.iter().map(one).collect::<Vec<_>>().join("; "),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => one(value),
        };
        Some(format!("{name} {text}"))
    });
    told.collect::<Vec<_>>().join(", ")
}
