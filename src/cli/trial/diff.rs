//! `sealgate policy diff`: what would change if a candidate were in force: for every decision on
//! record, every running container and every image of this node, by the evidence that is on it.
//!
//! It reads the log, the store and the runtime by itself, asks neither the gate nor a registry, and
//! changes nothing.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::change::Compared;
use super::history;
use super::item::Items;
use super::node::NodeImages;
use super::report::Report;
use super::said::Trial;
use crate::audit::Timestamp;
use crate::audit::read::Filter;
use crate::cli::evidence::catalog::Catalog;
use crate::cli::evidence::offline::KeptJudge;
use crate::cli::evidence::on_node::{existing, tokio_runtime};
use crate::cli::policy::settings::{keys_hint, with_keys_hint};
use crate::cli::terminal::command_error::{CommandError, is_folder, is_there};
use crate::cli::terminal::screen::{Exit, Screen, shown};
use crate::config::Settings;
use crate::daemon;
use crate::loader::{self, LoadError, Loaded};
use crate::policy::PolicySet;

/// What to compare with today's policies.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// A folder of documents that would replace the operator's whole (`/etc/sealgate/policies`,
    /// where policy.policies does not say otherwise); or files, each of which would replace the one
    /// of its name there, or be added.
    #[arg(value_name = "CANDIDATE", required = true)]
    candidate: Vec<PathBuf>,
    /// The folder of keys of the candidate; the configured one when left out.
    #[arg(long, value_name = "FOLDER")]
    keys: Option<PathBuf>,
    /// Decisions not before this time, as the records write it (2026-01-31T12:00:00.000Z).
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
}

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|error: crate::audit::StampError| error.to_string())
}

/// The policies that are compared.
struct Sets {
    today: Arc<PolicySet>,
    candidate: Arc<PolicySet>,
}

/// Compares and prints; 1 when something that runs or was admitted would be refused, 2 when that
/// cannot be told, 65 when the candidate or today's files are faulty.
pub(in crate::cli) fn run(options: &Options, settings: &Settings, screen: &mut Screen) -> Exit {
    let sets = match sets(options, settings) {
        Ok(sets) => sets,
        Err(error) => return error.say(screen),
    };
    compare(options, settings, &sets, screen).unwrap_or_else(|error| error.say(screen))
}

fn sets(options: &Options, settings: &Settings) -> Result<Sets, CommandError> {
    options.candidate.iter().try_for_each(|path| is_there(path))?;
    options.keys.iter().try_for_each(|folder| is_folder(folder))?;
    let told = |what: &'static str| move |error: LoadError| CommandError::from(error).after(what);
    let candidate = candidate(options, settings)?;
    let hint = keys_hint(options.candidate.first().map(PathBuf::as_path), options.keys.as_deref());
    let candidate =
        candidate.map_err(|error| with_keys_hint(error, hint).after("the candidate is faulty:"))?;
    if candidate.policies.is_empty() {
        let folder: Vec<String> = options.candidate.iter().map(|path| shown(path)).collect();
        return Err(CommandError::faulty(format!(
            "the candidate is faulty:\n{}: no policy is in it; files that end in .yaml, .yml or \
             .json are read, and no subfolder",
            folder.join(", ")
        )));
    }
    let today = loader::load(&settings.policy, &settings.trust)
        .map_err(told("today's policies are faulty, so that there is nothing to compare with:"))?;
    Ok(Sets { today: Arc::new(today.policies), candidate: Arc::new(candidate.policies) })
}

/// The candidate, or what is wrong with its files; the outer error says why they are none.
fn candidate(
    options: &Options,
    settings: &Settings,
) -> Result<Result<Loaded, LoadError>, CommandError> {
    let usage = |why: String| Err(CommandError::usage(why));
    let mut policy = settings.policy.clone();
    policy.keys = options.keys.clone().unwrap_or(policy.keys);
    if let [folder] = options.candidate.as_slice()
        && folder.is_dir()
    {
        policy.policies = policy.policies.with_written(folder);
        return Ok(loader::load(&policy, &settings.trust));
    }
    let mut names = std::collections::BTreeSet::new();
    for file in &options.candidate {
        let shown = shown(file);
        if file.is_dir() {
            return usage(format!("{shown} is a folder: name one folder alone, or files"));
        }
        let Some(name) = file.file_name() else {
            return usage(format!("{shown} has no name"));
        };
        if !names.insert(name) {
            return usage(format!("two of the files are called {}", name.to_string_lossy()));
        }
        if !loader::is_policy_file(file) {
            return usage(format!(
                "{shown} is no policy file: its name must end with .yaml, .yml or .json and not \
                 begin with a dot"
            ));
        }
    }
    Ok(loader::load_with_files(&policy, &settings.trust, &options.candidate))
}

fn compare(
    options: &Options,
    settings: &Settings,
    sets: &Sets,
    screen: &mut Screen,
) -> Result<Exit, CommandError> {
    let store = existing(&settings.evidence)?;
    let catalog = store.as_ref().map_or_else(|| Ok(Catalog::empty()), Catalog::of)?;
    let runtime = tokio_runtime()?;
    // Within, since the client of the runtime is made for it.
    let gate = {
        let _within = runtime.enter();
        daemon::gate(settings).map_err(|error| error.to_string())?.0
    };
    let (images, listed) = match runtime.block_on(NodeImages::listed(&gate)) {
        Ok(images) => (images, Ok(())),
        Err(error) => (NodeImages::default(), Err(error.to_string())),
    };
    let mut items = Items::default();
    let filter = Filter { since: options.since, ..Filter::default() };
    let history = history::read(settings, &filter, (&catalog, &images), (&mut items, screen))?;
    let by_labels = sets.today.looks_at_image_labels() || sets.candidate.looks_at_image_labels();
    let node = listed.map(|()| runtime.block_on(images.add((&gate, by_labels), &mut items)));
    let trial = Trial::new(KeptJudge::new(settings, store.as_ref()), &catalog);
    let all = u64::try_from(items.iter().len()).unwrap_or(u64::MAX);
    let mut compared = Vec::new();
    for (item, done) in items.iter().zip(1..) {
        let (today, then) =
            (trial.judge(&sets.today, &item.asked), trial.judge(&sets.candidate, &item.asked));
        compared.push(Compared::new(item, today, then));
        screen.progress("judging", done, all);
    }
    screen.end_progress();
    let report = Report::new(&compared, (history, items.left_out), node);
    if screen.is_json() {
        screen.json(&report);
    } else {
        report.print(screen);
    }
    Ok(report.exit())
}
