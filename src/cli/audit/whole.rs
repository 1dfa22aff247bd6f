//! A line of the log with everything that it has: a decision, a finding, a note, and lines of other
//! kinds by the names of their fields.

use serde_json::Value;

use super::finding;
use super::outcome;
use super::printed::{evidence, tone, verdict, words_of};
use crate::audit::read::Row;
use crate::audit::{CallOutcome, Finding, Note, Record};
use crate::cli::terminal::screen::{Screen, Tone, plain};
use crate::cli::terminal::signer::{self, list, text};

/// Prints a line of the log whole.
pub(super) fn print(line: &str, screen: &mut Screen) {
    let Ok(row) = Row::parse(line) else { return };
    let unread = |error: serde_json::Error| error.to_string();
    let printed = match row.kind.as_str() {
        "decision" => serde_json::from_str::<Record>(line)
            .map(|record| print_record(&record.renewed(), &row, screen))
            .map_err(unread),
        "finding" => serde_json::from_str::<Finding>(line)
            .map(|found| finding::print_whole(&found, screen))
            .map_err(unread),
        "outcome" => serde_json::from_str::<CallOutcome>(line)
            .map(|told| outcome::print_whole(&told, screen))
            .map_err(unread),
        "note" => serde_json::from_str::<Note>(line)
            .map(|note| print_note(&note, &row, screen))
            .map_err(unread),
        _ => Err(String::new()),
    };
    if printed.is_err() {
        print_fields(line, &row, screen);
    }
}

fn print_note(note: &Note, row: &Row<'_>, screen: &mut Screen) {
    let kind = row.note.as_object().and_then(|note| note.keys().next());
    let said = format!("{:<15} {}", kind.map_or("", String::as_str), words_of(&row.note));
    screen.line(&format!("{} {}  note        {}", note.time, note.id, plain(&said)));
}

/// A line of another kind, or of another version, as it stands.
fn print_fields(line: &str, row: &Row<'_>, screen: &mut Screen) {
    let word = plain(&verdict(row));
    let word = tone(row).map_or_else(|| word.clone(), |tone| screen.tone(tone, &word));
    screen.line(&format!("{word}  {}", plain(row.kind.as_str())));
    let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(line) else { return };
    for (name, value) in &fields {
        match value {
            Value::Object(parts) => {
                for (part, value) in parts {
                    print_field(&format!("{name} {part}"), value, screen);
                }
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => print_field(name, value, screen),
        }
    }
}

fn print_field(name: &str, value: &Value, screen: &mut Screen) {
    let said = match value {
        Value::Null => return,
        Value::String(text) if text.is_empty() => return,
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    screen.line(&format!("  {:<14} {}", plain(&name.replace('_', " ")), plain(&said)));
}

fn print_record(record: &Record, row: &Row<'_>, screen: &mut Screen) {
    let verdict = screen.tone(tone(row).unwrap_or(Tone::Warn), &verdict(row));
    screen.line(&format!("{verdict}  {}  {}", record.call, plain(&record.reference)));
    let mut field = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            screen.line(&format!("  {name:<14} {}", plain(&value)));
        }
    };
    let observed = "not carried out: the gate was in observe mode and forwarded the call";
    field("verdict", record.observed.then(|| observed.to_owned()));
    field("decision", Some(record.id.to_string()));
    field("time", Some(record.time.to_string()));
    field("why", Some(format!("{}: {}", record.reason.code, record.reason.message)));
    field("asked as", record.image.clone());
    field("digest", record.digest.clone());
    field("image id", record.image_id.clone());
    field("manifest", record.platform_manifest.clone());
    field("namespace", record.pod.namespace.clone());
    field("pod", record.pod.name.clone());
    field("pod uid", record.pod.uid.clone());
    field("container", record.container.clone());
    field("container id", record.container_id.clone());
    field("sandbox id", record.sandbox_id.clone());
    field("from memory", record.cached.then(|| "yes".to_owned()));
    field("evidence", evidence(row));
    field("policies", record.policy_generation.clone());
    field("keys", record.trust_generation.clone());
    field("takes back", record.supersedes.map(|id| id.to_string()));
    field("repeats", record.repeats_of.map(|id| format!("{} more like {id}", record.repeats)));
    let timings =
        record.timings.iter().map(|(phase, took)| format!("{phase} {took} µs")).collect::<Vec<_>>();
    field("took", Some(timings.join(", ")));
    if record.policies.get("cut").is_some() {
        screen.line("  policies: left out, the record would have been too long");
    }
    for report in record.policies.as_array().into_iter().flatten() {
        for document in list(report, "documents") {
            print_document(document, screen);
        }
    }
}

/// What a policy asked and what came of it.
fn print_document(document: &Value, screen: &mut Screen) {
    let is =
        |value: &Value, field: &str| value.get(field).and_then(Value::as_bool).unwrap_or(false);
    let (tone, word) = match (is(document, "satisfied"), text(document, "action")) {
        (true, _) => (Tone::Good, "satisfied"),
        (false, Some("warn")) => (Tone::Warn, "not satisfied, warns only"),
        (false, _) => (Tone::Bad, "not satisfied"),
    };
    let word = screen.tone(tone, word);
    screen.line(&format!("  policy {}: {word}", plain(text(document, "policy").unwrap_or("?"))));
    for requirement in list(document, "requirements") {
        let word = if is(requirement, "satisfied") { "met" } else { "not met" };
        screen.line(&format!("    {}: {word}", plain(text(requirement, "name").unwrap_or("?"))));
        for signer in list(requirement, "signers") {
            signer::print(signer, 6, screen);
        }
        for fate in list(requirement, "fates") {
            print_fate(fate, screen);
        }
    }
}

/// What became of one signature: where it is, and everything that the record says of it.
fn print_fate(fate: &Value, screen: &mut Screen) {
    screen.line(&format!("      {}", plain(text(fate, "item").unwrap_or("?"))));
    screen.line(&format!("        in {}", plain(text(fate, "place").unwrap_or("?"))));
    let outcome = text(fate, "outcome").unwrap_or("?");
    if outcome == "signed" {
        let holder = || text(fate.get("certificate")?, "subject");
        let who = text(fate, "file").or_else(holder).or_else(|| text(fate, "key"));
        let who = who.unwrap_or("?");
        return screen.line(&format!("        counts, signed by {}", plain(who)));
    }
    screen.line(&format!(
        "        {}: {}",
        plain(outcome),
        plain(text(fate, "finding").unwrap_or("?"))
    ));
    let told = ["item", "place", "outcome", "finding"];
    for (name, value) in
        fate.as_object().into_iter().flatten().filter(|(name, _)| !told.contains(&name.as_str()))
    {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        screen.line(&format!("          {}: {}", plain(name), plain(&value)));
    }
}
