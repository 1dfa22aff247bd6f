//! The command, from its options to its exit code.

use clap::{ArgGroup, Args};

use super::affected::Affected;
use super::report::Report;
use super::standing::Standings;
use super::strength::Strength;
use super::under::NodeDocuments;
use crate::cli::audit::log;
use crate::cli::deny::{self, AddOptions, What};
use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::screen::{Exit, Screen};
use crate::config::Settings;

/// What is asked about, and whether to strike it off.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("denied").required(true).multiple(true))]
pub(in crate::cli) struct Options {
    #[command(flatten)]
    what: What,
    /// Put it on a deny list first, as sealgate deny add does.
    #[arg(long, requires = "reason")]
    deny: bool,
    /// Why, on one line: refusals say it.
    #[arg(long, value_name = "TEXT", requires = "deny")]
    reason: Option<String>,
    /// Deny it although that strikes off every image or every signer.
    #[arg(long, requires = "deny")]
    force: bool,
}

/// Prints what rests on it; 0 when nothing does, 1 when something does, 2 when that cannot be told.
/// With --deny that is of `sealgate deny add`, and the entry is written before anything is looked up.
pub(in crate::cli) fn run(options: &Options, settings: &Settings, screen: &mut Screen) -> Exit {
    found(options, settings, screen).unwrap_or_else(|error| error.say(screen))
}

fn found(
    options: &Options,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Exit, CommandError> {
    let denied = deny::denied_on_node(&options.what, settings)?;
    let strength = Strength::of(&denied)?;
    let what = denied.to_string();
    // What would be without the entry, before there is one.
    let prospect = deny::prospect(denied, settings)?;
    let ended = match options.reason.clone().filter(|_| options.deny) {
        Some(reason) => {
            let add = AddOptions::now(options.what.clone(), reason, options.force);
            Some(deny::add(&add, settings, screen)?)
        }
        None => None,
    };
    let exit = ended.as_ref().map(|ended| ended.exit);
    let done = ended.as_ref().and_then(|ended| ended.done.as_ref());
    if let Some(done) = done.filter(|_| !screen.is_json()) {
        done.print(screen);
        screen.line("");
    }
    let path = &settings.audit.path;
    let mut affected = match log::opened(path) {
        Ok(Some(reader)) => Affected::of(reader, &strength, screen),
        Ok(None) => {
            log::tell_none(path, screen);
            Affected::default()
        }
        // What was denied is to be said all the same.
        Err(error) if ended.is_some() => Affected::of_no_log(error.why()),
        Err(error) => return Err(error),
    };
    if let Some(digests) = strength.digests().filter(|_| affected.is_open()) {
        let node = NodeDocuments::of(digests, settings);
        affected.resolve(&mut |image| node.tell(image));
    }
    let images = affected.images().into_iter().chain(affected.untold()).collect();
    let standings = Standings::of(images, &prospect, settings);
    let report = Report::new((what, done, prospect.already.as_ref()), &affected, &standings);
    match screen.is_json() {
        true => screen.json(&report),
        false => report.print(screen),
    }
    Ok(exit.unwrap_or_else(|| report.exit()))
}

#[cfg(test)]
mod tests;
