//! `sealgate policy check`: looks policies over, and says what is wrong where.
//!
//! What there is to say comes from [`crate::loader::Check`]; here are its options, and the forms in
//! which it is said.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::remark::line;
use super::settings::settings;
use super::{github, sarif, text};
use crate::cli::node;
use crate::cli::terminal::command_error::{CommandError, is_folder, is_there};
use crate::cli::terminal::global_options::forms;
use crate::cli::terminal::screen::{Exit, Output, Screen, plain};
use crate::config::Settings;
use crate::errno;
use crate::loader::{Check, CheckSource, Checked, Remark, Severity};
use crate::policy::{FILE_MAX, PolicyFile};
use crate::{daemon, doctor, registry};

/// What stands for standard input.
const STDIN: &str = "-";
/// What standard input is called where a file would be.
const STDIN_NAME: &str = "stdin";

/// What to look at.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Files and folders of documents, and - for standard input; the configured folders when left
    /// out. With a path no configuration is needed.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The folder of keys; the configured one when left out. Where nothing is configured, keys and
    /// what else documents name are looked at with this option alone.
    #[arg(long, value_name = "FOLDER")]
    keys: Option<PathBuf>,
    /// Say as well which images on this node no policy is about. Asks the container runtime.
    #[arg(long)]
    node: bool,
    /// How to print: for people, as one JSON value, as SARIF 2.1.0 for code scanning, or as workflow
    /// commands of GitHub Actions.
    #[arg(
        short,
        long,
        value_name = "FORM",
        default_value = "text",
        value_parser = forms(["text", "json", "sarif", "github"])
    )]
    output: Output,
}

/// The answer for programs.
#[derive(Serialize)]
struct Answer<'a> {
    sound: bool,
    /// Of every kind together.
    documents: usize,
    policies: usize,
    deny_lists: usize,
    denied: usize,
    exceptions: usize,
    generation: Option<&'a str>,
    trust_generation: Option<&'a str>,
    /// Keys, certificates and trust roots were not looked at.
    unread: bool,
    /// What is wrong with the documents kept the check from looking at what they name, and from
    /// warnings that compare them.
    cut_short: bool,
    warnings: Vec<String>,
    unproven: Vec<String>,
    errors: Vec<String>,
    findings: &'a [Remark],
}

/// Reads everything as the gate would and says what is wrong where; 65 when something is.
pub(in crate::cli) fn run(options: &Options, config: &Path, screen: &mut Screen) -> Exit {
    check(options, config, screen).unwrap_or_else(|error| error.say(screen))
}

fn check(options: &Options, config: &Path, screen: &mut Screen) -> Result<Exit, CommandError> {
    for path in options.paths.iter().filter(|path| path.as_path() != Path::new(STDIN)) {
        is_there(path)?;
    }
    options.keys.iter().try_for_each(|folder| is_folder(folder))?;
    let (settings, is_configured) = settings(config, !options.paths.is_empty() && !options.node)?;
    if options.paths.is_empty() {
        let folders = &settings.policy.policies;
        if !folders.all().iter().any(|folder| folder.exists()) {
            is_there(folders.written())?;
        }
    }
    let sources = sources(options, &settings)?;
    let is_in_force = options.paths.is_empty();
    let known = is_in_force.then(|| daemon::known_time(&settings).0).flatten();
    let configured = Some(settings.policy.keys.as_path()).filter(|_| is_configured);
    let check = Check {
        sources,
        keys: options.keys.as_deref().or(configured),
        trust: &settings.trust,
        options: &settings.policy,
        is_in_force,
        // As the gate judges: nothing that ended counts again by a clock that was set back.
        now: known.max(Some(daemon::now())).unwrap_or_default(),
    };
    let mut checked = check.run();
    // What is not the node's own has nothing to do with its registries.
    if is_in_force && options.keys.is_none() {
        let faults = registry::survey(&settings.registry);
        checked.remarks.extend(faults.iter().map(|fault| Remark::warning("registry", fault)));
    }
    if options.node {
        checked.remarks.extend(on_node(&checked, &settings));
    }
    say(&checked, is_in_force, screen);
    Ok(if checked.is_sound() { Exit::Done } else { Exit::Faulty })
}

fn sources(options: &Options, settings: &Settings) -> Result<Vec<CheckSource>, CommandError> {
    if options.paths.is_empty() {
        let folders = settings.policy.policies.all().iter();
        return Ok(folders.cloned().map(CheckSource::Path).collect());
    }
    let source = |path: &PathBuf| {
        if path != Path::new(STDIN) {
            return Ok(CheckSource::Path(path.clone()));
        }
        let mut bytes = Vec::new();
        // One byte more than may be, so that its reader says that it is too much.
        let limit = u64::try_from(FILE_MAX).unwrap_or(u64::MAX).saturating_add(1);
        let read = std::io::stdin().lock().take(limit).read_to_end(&mut bytes);
        read.map_err(|error| CommandError::unread(Path::new("standard input"), &error))?;
        Ok(CheckSource::Read(PolicyFile { name: STDIN_NAME.to_owned(), bytes }))
    };
    options.paths.iter().map(source).collect()
}

/// The images of the node that no policy is about.
fn on_node(checked: &Checked, settings: &Settings) -> Option<Remark> {
    let set = checked.set.as_ref()?;
    match names(settings) {
        Ok(names) => {
            let check = doctor::images(set, &names, daemon::now());
            (check.outcome != doctor::Outcome::Ok)
                .then(|| Remark::warning("no-document", &check.seen))
        }
        Err(why) => {
            let said = format!("the runtime does not say what is on the node: {why}");
            Some(Remark::warning("no-images", &said))
        }
    }
}

fn names(settings: &Settings) -> Result<Vec<String>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| errno::told(&error))?.block_on(node::doctor::names(settings))
}

fn say(checked: &Checked, is_in_force: bool, screen: &mut Screen) {
    if screen.is_quiet() {
        let errors = checked.remarks.iter().filter(|remark| remark.severity == Severity::Error);
        return errors.for_each(|remark| screen.complain(&plain(&line(remark))));
    }
    match screen.output() {
        Output::Text | Output::Csv => text::print(checked, is_in_force, screen),
        Output::Json => screen.json(&answer(checked)),
        Output::Sarif => screen.json(&sarif::of(&checked.remarks)),
        Output::Github => github::print(&checked.remarks, screen),
    }
}

fn answer(checked: &Checked) -> Answer<'_> {
    let set = checked.set.as_ref();
    let of = |severity| {
        let remarks = checked.remarks.iter().filter(move |remark| remark.severity == severity);
        remarks.map(line).collect()
    };
    Answer {
        sound: checked.is_sound(),
        documents: checked.documents.total(),
        policies: checked.documents.policies,
        deny_lists: checked.documents.deny_lists,
        denied: set.map_or(0, |set| set.denied().count()),
        exceptions: checked.documents.exceptions,
        generation: set.map(crate::policy::PolicySet::generation),
        trust_generation: set.map(crate::policy::PolicySet::trust_generation),
        unread: checked.has_unread,
        cut_short: checked.is_cut_short,
        warnings: of(Severity::Warning),
        unproven: set.map(crate::policy::PolicySet::unproven).unwrap_or_default(),
        errors: of(Severity::Error),
        findings: &checked.remarks,
    }
}
