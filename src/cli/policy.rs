//! `sealgate policy check`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::terminal::screen::{Exit, Screen, Tone, plain};
use crate::config::Settings;
use crate::{loader, registry};

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
        Ok(loaded) => Checked {
            sound: true,
            documents: loaded.policies.len(),
            generation: Some(loaded.policies.generation().to_owned()),
            trust_generation: Some(loaded.policies.trust_generation().to_owned()),
            warnings: loaded.warnings.iter().map(ToString::to_string).collect(),
            unproven: loaded.policies.unproven(),
            errors: Vec::new(),
        },
        Err(error) => Checked {
            sound: false,
            documents: 0,
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
