//! `sealgate audit tail` and `sealgate audit show`.

mod finding;
pub(super) mod log;

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::terminal::command_error::CommandError;
use super::terminal::gate::uptime;
use super::terminal::screen::{Exit, Screen, Tone, plain, shown};
use super::terminal::signer::{self, list, text};
use crate::audit::read::{self, Filter, Line, Reader, Unreadable};
use crate::audit::{DecisionId, Entry, Note, Record, Timestamp, Verdict};
use crate::config::Settings;

/// How often a followed log is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);
/// How many are listed when nothing else is said: a screenful.
const LINES: usize = 20;

/// Which decisions to list.
#[derive(Debug, Args)]
pub(super) struct Tail {
    /// How many of the latest; 20 when left out, and with --since all.
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
    /// Go on printing decisions as they are made.
    #[arg(short, long)]
    follow: bool,
    /// Only what was not let through.
    #[arg(long, conflicts_with = "verdict")]
    refused: bool,
    /// Only what was let through in observe mode, although it would have been refused.
    #[arg(long)]
    observed: bool,
    /// Only this verdict: admitted, warned, unmatched, unverified, excepted, unchecked, refused,
    /// unable or unreachable.
    #[arg(long, value_name = "VERDICT", value_parser = verdict)]
    verdict: Option<Verdict>,
    /// Only what the gate saw beside decisions, like a container that it did not admit.
    #[arg(long, conflicts_with_all = ["verdict", "refused"])]
    findings: bool,
    /// Only images whose reference, digest or id contains this.
    #[arg(long, value_name = "TEXT")]
    image: Option<String>,
    /// Only pods of this namespace.
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Not before this time, as the records write it (2026-01-31T12:00:00.000Z).
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
}

/// Which decision to show.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The decision's id, as `audit tail` and the journal print it.
    #[arg(value_name = "ID", value_parser = id)]
    id: DecisionId,
}

fn verdict(text: &str) -> Result<Verdict, String> {
    let found = Verdict::ALL.into_iter().find(|verdict| verdict.word() == text);
    found.ok_or_else(|| format!("one of {}", Verdict::ALL.map(Verdict::word).join(", ")))
}

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|error: crate::audit::StampError| error.to_string())
}

fn id(text: &str) -> Result<DecisionId, String> {
    text.parse().map_err(|error: crate::audit::StampError| error.to_string())
}

/// Prints the latest decisions, and those to come when asked.
pub(super) fn tail(options: &Tail, settings: &Settings, screen: &mut Screen) -> Exit {
    tailed(options, settings, screen).unwrap_or_else(|error| error.say(screen))
}

fn tailed(options: &Tail, settings: &Settings, screen: &mut Screen) -> Result<Exit, CommandError> {
    let filter = Filter {
        verdict: options.verdict,
        refused: options.refused,
        observed: options.observed,
        findings: options.findings,
        image: options.image.clone(),
        namespace: options.namespace.clone(),
        since: options.since,
        id: None,
    };
    // Without a number, everything since a time is wanted.
    let most = options.lines.or_else(|| options.since.is_none().then_some(LINES));
    let path = &settings.audit.path;
    let mut opened = log::opened(path)?;
    if opened.is_none() {
        log::tell_none(path, screen);
    }
    while options.follow && opened.is_none() {
        std::thread::sleep(FOLLOW_EVERY);
        opened = log::opened(path)?;
    }
    let Some(reader) = opened else { return Ok(Exit::Done) };
    let mut reader = reader.sifting(&filter);
    let backed = most.map_or(Ok(false), |most| reader.back_up(most, &filter));
    let more = backed.map_err(|error| error.to_string())?;
    for line in reader.by_ref().filter(|line| is_wanted(line, &filter)) {
        print(&line, screen);
    }
    if more {
        let most = most.unwrap_or_default();
        screen.complain(&format!(
            "there are more before the latest {most}: -n N or --since TIME shows them"
        ));
    }
    if options.follow {
        follow(&mut reader, &filter, screen);
    }
    Ok(Exit::Done)
}

fn is_wanted(line: &Result<Line, Unreadable>, filter: &Filter) -> bool {
    line.as_ref().map_or(true, |line| filter.wants(&line.entry))
}

/// Prints what is added, until the program is interrupted.
fn follow(reader: &mut Reader, filter: &Filter, screen: &mut Screen) {
    loop {
        for line in reader.by_ref().filter(|line| is_wanted(line, filter)) {
            print(&line, screen);
        }
        std::thread::sleep(FOLLOW_EVERY);
    }
}

/// Prints one decision whole, with the records that speak of it.
pub(super) fn show(options: &Show, settings: &Settings, screen: &mut Screen) -> Exit {
    let mut found = false;
    let searched = read::about(&settings.audit.path, options.id, &mut |line| {
        found = true;
        match &line.entry {
            _ if screen.is_json() => screen.line(&line.text),
            Entry::Decision(record) => print_whole(record, screen),
            Entry::Note(note) => print_note(note, screen),
            Entry::Finding(found) => finding::print_whole(found, screen),
        }
    });
    if let Err(error) = searched {
        screen.complain(&error.to_string());
        return Exit::Unable;
    }
    if found {
        Exit::Done
    } else {
        screen.complain(&format!(
            "no decision {} in {} and its older files",
            options.id,
            shown(&settings.audit.path)
        ));
        Exit::Refused
    }
}

/// One decision a line: what a tired person needs to find the one to show.
fn print(line: &Result<Line, Unreadable>, screen: &mut Screen) {
    match line {
        Err(error) => screen.complain(&error.to_string()),
        Ok(line) if screen.is_json() => screen.line(&line.text),
        Ok(Line { entry: Entry::Note(note), .. }) => print_note(note, screen),
        Ok(Line { entry: Entry::Finding(found), .. }) => finding::print(found, screen),
        Ok(Line { entry: Entry::Decision(record), .. }) => {
            let verdict = screen.tone(tone_of(record), &format!("{:<11}", verdict_of(record)));
            let pod = record.pod.name.as_deref().map_or_else(String::new, |name| {
                format!(
                    "  {}/{}",
                    plain(record.pod.namespace.as_deref().unwrap_or("?")),
                    plain(name)
                )
            });
            let repeats = if record.repeats > 0 {
                format!("  and {} more like it", record.repeats)
            } else {
                String::new()
            };
            // Of an admission the verdict says it.
            let is_said = record.verdict.is_admission();
            let why =
                if is_said { String::new() } else { format!("  {}", plain(&record.reason.code)) };
            let what = plain(&record.reference);
            let source = evidence(record).map_or_else(String::new, |told| format!("  {told}"));
            screen.line(&format!(
                "{} {}  {verdict} {:<15} {what}{pod}{why}{source}{repeats}",
                record.time,
                record.id,
                record.call.to_string()
            ));
        }
    }
}

/// Where the evidence came from, and how old it was.
fn evidence(record: &Record) -> Option<String> {
    let source = record.source?;
    // Nothing came, so that nothing has an age.
    let is_unanswered = matches!(record.verdict, Verdict::Unreachable | Verdict::Unable);
    if is_unanswered && record.evidence_age_seconds.is_none_or(|seconds| seconds == 0) {
        return Some(format!("{source} asked"));
    }
    Some(match record.evidence_age_seconds {
        Some(seconds) => format!("from {source}, {} old", uptime(seconds)),
        None => format!("from {source}"),
    })
}

/// The verdict, in words that tell one that was only observed from one that was carried out.
fn verdict_of(record: &Record) -> String {
    match record.observed {
        true => format!("observed {}", record.verdict),
        false => record.verdict.to_string(),
    }
}

fn tone_of(record: &Record) -> Tone {
    match record.verdict {
        Verdict::Refused if record.observed => Tone::Warn,
        Verdict::Admitted => Tone::Good,
        Verdict::Refused => Tone::Bad,
        Verdict::Warned
        | Verdict::Unmatched
        | Verdict::Unverified
        | Verdict::Excepted
        | Verdict::Unchecked
        | Verdict::Unable
        | Verdict::Unreachable => Tone::Warn,
    }
}

fn print_note(note: &Note, screen: &mut Screen) {
    let said = serde_json::to_value(&note.note).unwrap_or_default();
    screen.line(&format!("{} {}  note        {}", note.time, note.id, plain(&words_of(&said))));
}

/// A note in words: what happened, and each of its fields that says something.
fn words_of(note: &Value) -> String {
    let one = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let Some((kind, fields)) = note.as_object().and_then(|note| note.iter().next()) else {
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
    format!("{kind:<15} {}", told.collect::<Vec<_>>().join(", "))
}

fn print_whole(record: &Record, screen: &mut Screen) {
    let verdict = screen.tone(tone_of(record), &verdict_of(record));
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
    field("namespace", record.pod.namespace.clone());
    field("pod", record.pod.name.clone());
    field("pod uid", record.pod.uid.clone());
    field("container", record.container.clone());
    field("container id", record.container_id.clone());
    field("from memory", record.cached.then(|| "yes".to_owned()));
    field("evidence", evidence(record));
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
