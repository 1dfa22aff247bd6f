//! [`Done`]: what a change of a deny list came to, for people and for programs; [`Ended`]: with the
//! exit code.

use serde::Serialize;

use super::who_runs::WhoRuns;
use crate::cli::terminal::gate::print_in_force;
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain};
use crate::control::Reloaded;
use crate::policy::DenyEntry;

/// What was done.
#[derive(Serialize)]
pub(in crate::cli) struct Done {
    pub(super) entry: DenyEntry,
    pub(super) file: String,
    pub(super) written: bool,
    /// None where nothing was written.
    pub(super) in_force: Option<bool>,
    pub(super) not_in_force: Option<String>,
    pub(super) gate: Option<Box<Reloaded>>,
    #[serde(flatten)]
    pub(super) who_runs: Option<WhoRuns>,
    #[serde(skip)]
    pub(super) how: How,
}

/// What it is in words.
pub(super) enum How {
    /// A file was written, or would be in earnest: with this word before the entry.
    Written { verb: &'static str, is_dry: bool },
    /// The files said it already.
    Already,
}

/// How the command ended; with nothing done where it could not be, which was said.
pub(in crate::cli) struct Ended {
    /// The code.
    pub(in crate::cli) exit: Exit,
    /// What was done.
    pub(in crate::cli) done: Option<Done>,
}

impl Ended {
    /// Nothing was done.
    pub(super) fn with_nothing(exit: Exit) -> Self {
        Self { exit, done: None }
    }

    /// Prints it, and gives the code.
    pub(super) fn tell(self, screen: &mut Screen) -> Exit {
        match &self.done {
            Some(done) if screen.is_json() => screen.json(done),
            Some(done) => done.print(screen),
            None => {}
        }
        self.exit
    }
}

impl Done {
    /// Prints it for people.
    pub(in crate::cli) fn print(&self, screen: &mut Screen) {
        match self.how {
            How::Already => {
                if let Some(why) = &self.not_in_force {
                    screen.complain(&format!("NOT KNOWN TO BE IN FORCE: {why}"));
                }
                if let Some(gate) = &self.gate {
                    print_in_force(gate, screen);
                }
            }
            How::Written { verb, is_dry } => self.print_written((verb, is_dry), screen),
        }
    }

    fn print_written(&self, (verb, is_dry): (&str, bool), screen: &mut Screen) {
        let entry = &self.entry;
        let tone = if is_dry { Tone::Warn } else { Tone::Good };
        let verb = screen.tone(tone, if is_dry { "dry run:" } else { verb });
        let (what, reason) = (plain(&entry.denied.to_string()), plain(&entry.reason));
        screen.line(&format!("{verb} {what}, since {}: {reason}", entry.date));
        let would = if is_dry { "would be written to" } else { "written to" };
        screen.line(&format!("{would} {}", plain(&self.file)));
        if let Some(gate) = &self.gate {
            print_in_force(gate, screen);
        }
        if let Some(who_runs) = &self.who_runs {
            who_runs.print(screen);
        }
        if let Some(why) = &self.not_in_force {
            screen.complain(&format!("written, and NOT KNOWN TO BE IN FORCE: {why}"));
        }
    }
}
