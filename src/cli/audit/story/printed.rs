//! [`tell`]: prints the story of a container, for people or as one JSON document.

use serde_json::Value;

use super::documents::ThenDocument;
use super::found::{ALIKE_MAX, FoundLines, Sought, gather};
use super::told::{Event, Story};
use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain, shown};
use crate::cli::terminal::signer::{self, text};
use crate::config::Settings;

/// Lines of one document that are printed for people; the JSON has all.
const LINES_MAX: usize = 400;

/// Tells of the container whose id is this or begins so: 1 where there is none, or several.
///
/// # Errors
/// When the log cannot be read.
pub(in crate::cli::audit) fn tell(
    id: &str,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Exit, CommandError> {
    let path = &settings.audit.path;
    let found = match gather(path, id, screen)? {
        Sought::One(found) => found,
        Sought::None => {
            let (id, path) = (plain(id), shown(path));
            screen.complain(&format!("no container {id} in {path} and its older files"));
            return Ok(Exit::Refused);
        }
        Sought::Several(ids) => {
            let more = if ids.len() < ALIKE_MAX { "" } else { " and perhaps more" };
            let ids: Vec<String> = ids.iter().map(|id| plain(id)).collect();
            let ids = ids.join("\n  ");
            screen.complain(&format!(
                "several containers begin with {}, give more of the id:\n  {ids}{more}",
                plain(id)
            ));
            return Ok(Exit::Refused);
        }
    };
    print(&found, settings, screen);
    Ok(Exit::Done)
}

fn print(found: &FoundLines, settings: &Settings, screen: &mut Screen) {
    let story = Story::of(found, &settings.audit.path);
    if screen.is_json() {
        return screen.json(&story);
    }
    print_head(&story, screen);
    print_events(&story, screen);
    print_evidence(&story, screen);
    print_policies(&story, screen);
}

fn print_head(story: &Story, screen: &mut Screen) {
    let id = story.container_id.as_ref().or(story.sandbox_id.as_ref());
    let reference = story.reference.as_deref().unwrap_or("?");
    screen.line(&format!(
        "{} {}  {}",
        story.of,
        plain(id.map_or("?", String::as_str)),
        plain(reference)
    ));
    let mut field = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            screen.line(&format!("  {name:<14} {}", plain(value)));
        }
    };
    field("digest", story.digest.as_deref());
    field("image id", story.image_id.as_deref());
    field("namespace", text(&story.pod, "namespace"));
    field("pod", text(&story.pod, "name"));
    field("pod uid", text(&story.pod, "uid"));
    field("container", story.container.as_deref());
    field("sandbox id", story.sandbox_id.as_deref().filter(|_| story.of == "container"));
    let Some(decision) = &story.decision else {
        let gone = "its decision is not on record any more, or was made by an earlier gate";
        return screen.line(&format!("  {gone}"));
    };
    field("decision", Some(decision));
    let reason = story.reason.as_ref().unwrap_or(&Value::Null);
    let (code, message) = (text(reason, "code"), text(reason, "message"));
    let why = format!("{}: {}", code.unwrap_or("?"), message.unwrap_or_default());
    field("verdict", story.verdict.as_deref());
    field("why", Some(&why));
    let observed = "not carried out: the gate was in observe mode and forwarded the call";
    field("observed", story.observed.then_some(observed));
}

fn print_events(story: &Story, screen: &mut Screen) {
    screen.line("what happened");
    let wide = |of: &dyn Fn(&Event) -> usize| story.events.iter().map(of).max().unwrap_or(0);
    let call = |event: &Event| plain(event.call.as_deref().unwrap_or(&event.kind));
    let calls = wide(&|event| call(event).chars().count());
    let words = wide(&|event| plain(&event.what).chars().count());
    for event in &story.events {
        let (call, what) = (call(event), plain(&event.what));
        let by = event.decision.as_ref().map_or_else(String::new, |by| format!("by {by}"));
        let why = match (event.kind.as_str(), &event.code, &event.message) {
            ("decision", Some(code), _) => code.clone(),
            (_, Some(code), Some(message)) => format!("{code}: {message}"),
            (_, _, _) => String::new(),
        };
        let more = (event.repeats > 0).then(|| format!("and {} more", event.repeats));
        let rest = [by, why, more.unwrap_or_default()].join("  ");
        let rest = plain(rest.trim());
        let line = format!(
            "  {}  {call:<calls$}  {what:<words$}  {}",
            plain(&event.time),
            plain(&event.id)
        );
        screen.line(format!("{line}  {rest}").trim_end());
    }
    if story.left_out > 0 {
        screen.line(&format!(
            "  and {} lines more: sealgate audit query --container",
            story.left_out
        ));
    }
}

fn print_evidence(story: &Story, screen: &mut Screen) {
    if story.decision.is_none() {
        return;
    }
    screen.line("who signed it");
    for signer in &story.signers {
        signer::print(&signer.signer, 2, screen);
    }
    if story.signers.is_empty() {
        screen.line("  nobody of whom the record knows");
    }
    let from = story.source.as_deref().unwrap_or("nowhere");
    let age =
        story.evidence_age_seconds.map(|age| format!(", {age} s after the registry showed it"));
    screen.line(&format!("what was looked at, from {}{}", plain(from), age.unwrap_or_default()));
    for looked in &story.looked_at {
        let part = |value: &Option<String>| plain(value.as_deref().unwrap_or("?"));
        let why =
            looked.finding.as_ref().map_or_else(String::new, |why| format!(": {}", plain(why)));
        screen.line(&format!("  {}", part(&looked.item)));
        screen.line(&format!("    in {}: {}{why}", part(&looked.place), part(&looked.outcome)));
    }
    if story.looked_at.is_empty() {
        screen.line("  nothing of which the record knows");
    }
}

fn print_policies(story: &Story, screen: &mut Screen) {
    let Some(generation) = &story.policy_generation else { return };
    let keys = story.trust_generation.as_deref().unwrap_or("?");
    screen.line(&format!(
        "under which policies: generation {}, keys {}",
        plain(generation),
        plain(keys)
    ));
    for document in &story.policies {
        print_policy(document, screen);
    }
    if story.policies.is_empty() {
        screen.line("  none matched");
    }
}

fn print_policy(document: &ThenDocument, screen: &mut Screen) {
    let (tone, word) = match (document.satisfied, document.action.as_deref()) {
        (Some(true), _) => (Tone::Good, "satisfied"),
        (Some(false), Some("warn")) => (Tone::Warn, "not satisfied, warns only"),
        (Some(false), _) => (Tone::Bad, "not satisfied"),
        (None, _) => (Tone::Warn, "used"),
    };
    let word = screen.tone(tone, word);
    screen.line(&format!("  {}: {word}", plain(&document.document)));
    if let (Some(file), Some(digest)) = (&document.file, &document.digest) {
        let lines = document.lines.map(|(first, last)| format!(", lines {first} to {last}"));
        let (file, digest) = (plain(file), plain(digest));
        screen.line(&format!("    {file}{}, {digest}", lines.unwrap_or_default()));
    }
    if document.named_in_log == Some(false) {
        let other = "the log's note of what came in force does not name this file";
        screen.line(&format!("    {}", screen.tone(Tone::Bad, other)));
    }
    if let Some(why) = &document.no_text {
        screen
            .line(&format!("    {}", screen.tone(Tone::Warn, &format!("no text: {}", plain(why)))));
    }
    let first = document.lines.map_or(1, |(first, _)| first);
    let all = document.text.as_deref().unwrap_or_default();
    let mut lines = all.lines().enumerate();
    for (number, line) in lines.by_ref().take(LINES_MAX) {
        screen.lines(&format!("    {:>5} | {}\n", first + number, plain(line)));
    }
    let rest = lines.count();
    if rest > 0 {
        screen.line(&format!("    and {rest} lines more: --output json has all"));
    }
}
