//! `sealgate policy check`; `sealgate policy observed` stands in a file of its own.

mod next_step;
pub(super) mod observed;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::terminal::screen::{Exit, Screen, Tone, plain};
use crate::config::Settings;
use crate::policy::ExceptionNotice;
use crate::{daemon, loader, registry};

/// What to look at.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The folder of documents; the configured one when left out.
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// The folder of keys; the configured one when left out.
    #[arg(long, value_name = "FOLDER")]
    keys: Option<PathBuf>,
}

#[derive(Serialize)]
struct Checked {
    sound: bool,
    documents: usize,
    denied: usize,
    exceptions: usize,
    generation: Option<String>,
    trust_generation: Option<String>,
    warnings: Vec<String>,
    unproven: Vec<String>,
    errors: Vec<String>,
}

/// Reads everything as the gate would and says what is wrong where.
pub(super) fn check(options: &Options, settings: &Settings, screen: &mut Screen) -> Exit {
    let mut policy = settings.policy.clone();
    policy.policies = options.folder.clone().unwrap_or(policy.policies);
    policy.keys = options.keys.clone().unwrap_or(policy.keys);
    let mut checked = match loader::load(&policy, &settings.trust) {
        Ok(loaded) => of(&loaded, settings),
        Err(error) => Checked {
            sound: false,
            documents: 0,
            denied: 0,
            exceptions: 0,
            generation: None,
            trust_generation: None,
            warnings: Vec::new(),
            unproven: Vec::new(),
            errors: error.problems.iter().map(ToString::to_string).collect(),
        },
    };
    // What is not the node's own has nothing to do with its registries.
    if options.folder.is_none() && options.keys.is_none() {
        checked
            .warnings
            .extend(registry::survey(&settings.registry).iter().map(ToString::to_string));
    }
    if screen.is_json() {
        screen.json(&checked);
    } else {
        print(&checked, screen);
    }
    if checked.sound { Exit::Done } else { Exit::Refused }
}

fn of(loaded: &loader::Loaded, settings: &Settings) -> Checked {
    let set = &loaded.policies;
    // As the gate judges: nothing that ended counts again by a clock that was set back.
    let now = daemon::known_time(settings).0.max(Some(daemon::now())).unwrap_or_default();
    let (mut warnings, mut errors): (Vec<String>, Vec<String>) =
        (loaded.warnings.iter().map(ToString::to_string).collect(), Vec::new());
    for notice in set.exception_notices(now) {
        match notice {
            ExceptionNotice::EndsSoon(text) => warnings.push(text),
            // The set loads, for a gate that restarts; the exception admits nothing.
            ExceptionNotice::NotInForce(text) => errors.push(text),
        }
    }
    Checked {
        sound: errors.is_empty(),
        documents: set.len(),
        denied: set.denied().count(),
        exceptions: set.exceptions(),
        generation: Some(set.generation().to_owned()),
        trust_generation: Some(set.trust_generation().to_owned()),
        warnings,
        unproven: set.unproven(),
        errors,
    }
}

fn print(checked: &Checked, screen: &mut Screen) {
    for error in &checked.errors {
        let bad = screen.tone(Tone::Bad, "error:");
        screen.line(&format!("{bad} {}", plain(error)));
    }
    for warning in &checked.warnings {
        let warn = screen.tone(Tone::Warn, "warning:");
        screen.line(&format!("{warn} {}", plain(warning)));
    }
    for sentence in &checked.unproven {
        let warn = screen.tone(Tone::Warn, &plain(sentence));
        screen.line(&warn);
    }
    if checked.sound {
        let good = screen.tone(Tone::Good, "sound:");
        let generation = checked.generation.as_deref().unwrap_or_default();
        screen.line(&format!("{good} {} documents, generation {generation}", checked.documents));
    } else {
        let count = checked.errors.len();
        let errors = if count == 1 { "error" } else { "errors" };
        screen.line(&format!("{count} {errors}; a gate that is running keeps the set it has"));
    }
}
