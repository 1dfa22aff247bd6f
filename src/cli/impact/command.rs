//! The command, from its options to its exit code.

use clap::{ArgGroup, Args};

use super::affected::Affected;
use super::report::Report;
use super::standing::Standings;
use super::strength::Strength;
use crate::cli::audit::log;
use crate::cli::deny::{self, AddOptions, What, WhatFault};
use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::screen::{Exit, Screen};
use crate::config::Settings;

/// What is asked about, and whether to strike it off.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("denied").required(true).multiple(true))]
pub(in crate::cli) struct Options {
    #[command(flatten)]
    what: What,
    /// Put it on a deny list as well, as sealgate deny add does.
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
/// With --deny that is of `sealgate deny add`.
pub(in crate::cli) fn run(options: &Options, settings: &Settings, screen: &mut Screen) -> Exit {
    found(options, settings, screen).unwrap_or_else(|error| error.say(screen))
}

fn found(
    options: &Options,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Exit, CommandError> {
    let denied = match options.what.denied() {
        Ok(denied) => denied,
        Err(WhatFault::Usage(why)) => return Err(CommandError::usage(why)),
        Err(WhatFault::File(error)) => return Err(error),
    };
    let strength = Strength::of(&denied)?;
    let what = denied.to_string();
    let sets = deny::prospect(denied, settings)?;
    let path = &settings.audit.path;
    let affected = match log::opened(path)? {
        Some(reader) => Affected::of(reader, &strength, screen),
        None => {
            log::tell_none(path, screen);
            Affected::default()
        }
    };
    let standings = Standings::of(affected.images(), &sets, settings);
    let report = Report::new(what, &affected, &standings);
    match screen.is_json() {
        true => screen.json(&report),
        false => report.print(screen),
    }
    let Some(reason) = options.reason.clone().filter(|_| options.deny) else {
        return Ok(report.exit());
    };
    let add = AddOptions::now(options.what.clone(), reason, options.force);
    deny::add(&add, settings, screen)
}
