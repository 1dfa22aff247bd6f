//! `sealgate audit show`: one decision whole, with the lines that speak of it; or, by its id, the story
//! of a container.

use clap::Args;

use super::log;
use super::story;
use super::whole;
use crate::audit::DecisionId;
use crate::audit::read::{self, Filter, Next, Row};
use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::screen::{Exit, Screen, escape_json, shown};
use crate::config::Settings;

/// Digits of a container's id that are asked for at least: fewer are the beginning of many.
const PREFIX_MIN: usize = 8;
/// Digits of a whole id, as containerd makes it.
const ID_MAX: usize = 64;

/// What to show.
#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// A decision's id, as `audit tail` and the journal print it, or the runtime's id of a container or
    /// of a pod's sandbox: eight hexadecimal digits of it, or more.
    #[arg(value_name = "ID", value_parser = shown_id)]
    id: ShownId,
}

/// What an id is of.
#[derive(Debug, Clone)]
enum ShownId {
    Decision(DecisionId),
    Container(String),
}

fn shown_id(text: &str) -> Result<ShownId, String> {
    if let Ok(id) = text.parse() {
        return Ok(ShownId::Decision(id));
    }
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex && (PREFIX_MIN..=ID_MAX).contains(&text.len()) {
        return Ok(ShownId::Container(text.to_ascii_lowercase()));
    }
    id(text).map(ShownId::Decision).map_err(|error| {
        format!("{error}, nor {PREFIX_MIN} to {ID_MAX} hexadecimal digits of a container's id")
    })
}

pub(super) fn id(text: &str) -> Result<DecisionId, String> {
    text.parse().map_err(|error: crate::audit::StampError| error.to_string())
}

/// Prints one decision whole, with the lines that speak of it, or the story of a container.
pub(in crate::cli) fn show(options: &Show, settings: &Settings, screen: &mut Screen) -> Exit {
    let shown = match &options.id {
        ShownId::Decision(id) => shown_of(*id, settings, screen),
        ShownId::Container(id) => story::tell(id, settings, screen),
    };
    shown.unwrap_or_else(|error| error.say(screen))
}

fn shown_of(
    id: DecisionId,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Exit, CommandError> {
    let path = &settings.audit.path;
    let mut found = 0_u64;
    let has_packed = read::about(path, id, &mut |text| {
        found += 1;
        print(text, screen);
    });
    if has_packed.map_err(|error| error.to_string())? && found == 0 {
        found = in_packed_files(id, settings, screen)?;
    }
    if found > 0 {
        return Ok(Exit::Done);
    }
    screen.complain(&format!("no decision {id} in {} and its older files", shown(path)));
    Ok(Exit::Refused)
}

/// Looks from the beginning on, line by line: there is no other way through what is packed.
fn in_packed_files(
    id: DecisionId,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<u64, CommandError> {
    let filter = Filter { id: Some(id), ..Filter::default() };
    let Some(reader) = log::opened(&settings.audit.path)? else { return Ok(0) };
    let (mut reader, mut found) = (reader.sifting(&filter), 0);
    loop {
        match reader.next_text() {
            Ok(Next::Line(text)) if Row::parse(&text).is_ok_and(|row| filter.wants(&row)) => {
                found += 1;
                print(&text, screen);
            }
            Ok(Next::Line(_)) => {}
            Ok(Next::Passed) => {
                let (done, all) = reader.progress();
                screen.progress("searching", done, all);
            }
            Ok(Next::End) => break,
            Err(unreadable) => screen.complain(&unreadable.to_string()),
        }
    }
    screen.end_progress();
    Ok(found)
}

fn print(text: &str, screen: &mut Screen) {
    match screen.is_json() {
        true => screen.line(&escape_json(text)),
        false => whole::print(text, screen),
    }
}
