//! `sealgate audit show`: one decision whole, with the lines that speak of it.

use clap::Args;

use super::log;
use super::whole;
use crate::audit::DecisionId;
use crate::audit::read::{self, Filter, Next, Row};
use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::screen::{Exit, Screen, escape_json, shown};
use crate::config::Settings;

/// Which decision to show.
#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// The decision's id, as `audit tail` and the journal print it.
    #[arg(value_name = "ID", value_parser = id)]
    id: DecisionId,
}

pub(super) fn id(text: &str) -> Result<DecisionId, String> {
    text.parse().map_err(|error: crate::audit::StampError| error.to_string())
}

/// Prints one decision whole, with the lines that speak of it.
pub(in crate::cli) fn show(options: &Show, settings: &Settings, screen: &mut Screen) -> Exit {
    shown_of(options, settings, screen).unwrap_or_else(|error| error.say(screen))
}

fn shown_of(
    options: &Show,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Exit, CommandError> {
    let path = &settings.audit.path;
    let mut found = 0_u64;
    let has_packed = read::about(path, options.id, &mut |text| {
        found += 1;
        print(text, screen);
    });
    if has_packed.map_err(|error| error.to_string())? && found == 0 {
        found = in_packed_files(options.id, settings, screen)?;
    }
    if found > 0 {
        return Ok(Exit::Done);
    }
    screen.complain(&format!("no decision {} in {} and its older files", options.id, shown(path)));
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
