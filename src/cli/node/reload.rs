//! `sealgate reload`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use serde::Serialize;

use crate::cli::terminal::gate::{ask_daemon, complain_of, print_in_force};
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain};
use crate::config::Settings;
use crate::control::{Answer, Faults, Reloaded, Request};

/// How to reload.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Take a set without the policies of this folder, which has none left. Without this the gate
    /// keeps what it has: an empty folder is more often a mount that went away. May be given several
    /// times.
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    allow_empty: Vec<PathBuf>,
    /// Let this fetched deny list go, which the configuration does not name any more, or by whose
    /// keys it is not signed: nothing of it denies until it is fetched again. May be given several
    /// times.
    #[arg(long, value_name = "LIST")]
    allow_lost_list: Vec<String>,
}

/// What came of it, for programs.
#[derive(Serialize)]
struct ReloadOutcome<'a> {
    reloaded: bool,
    #[serde(flatten)]
    in_force: Option<&'a Reloaded>,
    #[serde(flatten)]
    faults: Option<&'a Faults>,
}

/// Has the running gate read its policies and keys again, and prints what is in force then; 1 when
/// they are faulty.
pub(in crate::cli) fn run(options: &Options, settings: &Settings, screen: &mut Screen) -> Exit {
    let (folders, lists) = (options.allow_empty.clone(), options.allow_lost_list.clone());
    let request = match folders.is_empty() && lists.is_empty() {
        true => Request::Reload,
        false => Request::ReloadLettingGo { folders, lists },
    };
    match ask_daemon(settings, request) {
        Ok(Answer::Reloaded(reloaded)) => {
            if screen.is_json() {
                let in_force = Some(&*reloaded);
                screen.json(&ReloadOutcome { reloaded: true, in_force, faults: None });
            } else {
                print_in_force(&reloaded, screen);
            }
            Exit::Done
        }
        Ok(Answer::Faulty(faults)) => {
            if screen.is_quiet() {
                screen.complain(&faults.to_string());
            } else if screen.is_json() {
                screen.json(&ReloadOutcome {
                    reloaded: false,
                    in_force: None,
                    faults: Some(&faults),
                });
            } else {
                print_faults(&faults, screen);
            }
            Exit::Refused
        }
        other => complain_of(other, "not reloaded", screen),
    }
}

fn print_faults(faults: &Faults, screen: &mut Screen) {
    for fault in &faults.faults {
        let bad = screen.tone(Tone::Bad, "error:");
        screen.line(&format!("{bad} {}", plain(fault)));
    }
    if faults.more > 0 {
        screen.line(&format!("and {} more; sealgate policy check tells all", faults.more));
    }
    let bad = screen.tone(Tone::Bad, "not reloaded:");
    screen.line(&format!("{bad} what was in force before still is"));
}
