//! `sealgate audit prove`: a proof that a record is in the log, for somebody else; and `sealgate
//! audit consistency`: a proof that nothing before a checkpoint was changed since.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::verify;
use crate::audit::DecisionId;
use crate::audit::check::{self, ProveError};
use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::screen::{Exit, Screen, shown};
use crate::config::Settings;

/// What to prove.
#[derive(Debug, Args)]
pub(in crate::cli) struct Prove {
    /// The record's id, as `audit tail` and the journal print it.
    #[arg(value_name = "RECORD", value_parser = super::show::id)]
    record: DecisionId,
    /// Where to write the proof (c2sp.org/tlog-proof); to standard output without it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where to write the line of the record: whoever checks the proof needs its bytes.
    #[arg(long, value_name = "FILE")]
    line: Option<PathBuf>,
    /// The node's public key, as NAME+ID+KEY, or its key's file; the node's own without it.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// What to compare.
#[derive(Debug, Args)]
pub(in crate::cli) struct Consistency {
    /// The earlier checkpoint.
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The later one.
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// Where to write the proof, in the form that a witness takes (c2sp.org/tlog-witness); to
    /// standard output without it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The node's public key, as NAME+ID+KEY, or its key's file; the node's own without it.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// Proves that a record is in the log.
pub(in crate::cli) fn run(options: &Prove, settings: &Settings, screen: &mut Screen) -> Exit {
    proven(options, settings, screen).unwrap_or_else(|error| error.say(screen))
}

fn proven(options: &Prove, settings: &Settings, screen: &mut Screen) -> Result<Exit, CommandError> {
    let files = verify::files(&[], settings)?;
    let key = known_key(options.key.as_deref(), settings)?;
    let proven = match check::prove(&files, &key, options.record) {
        Ok(proven) => proven,
        Err(error) => return told(&error, screen),
    };
    if let Some(path) = &options.line {
        fs::write(path, &proven.line).map_err(|error| CommandError::unwritten(path, &error))?;
    }
    put(options.out.as_deref(), &proven.proof.to_string(), screen)
}

/// Proves that one checkpoint grew out of another.
pub(in crate::cli) fn consistency(
    options: &Consistency,
    settings: &Settings,
    screen: &mut Screen,
) -> Exit {
    consistent(options, settings, screen).unwrap_or_else(|error| error.say(screen))
}

fn consistent(
    options: &Consistency,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Exit, CommandError> {
    let files = verify::files(&[], settings)?;
    let key = known_key(options.key.as_deref(), settings)?;
    let (_, old) = verify::checkpoint(&options.old, Some(&key))?;
    let (note, new) = verify::checkpoint(&options.new, Some(&key))?;
    if old.size > new.size {
        let why = format!(
            "{} is about more entries ({}) than {} ({}): the earlier checkpoint goes first",
            shown(&options.old),
            old.size,
            shown(&options.new),
            new.size
        );
        return Err(CommandError::usage(why));
    }
    let hashes = match check::consistency(&files, &old, &new) {
        Ok(hashes) => hashes,
        Err(error) => return told(&error, screen),
    };
    let mut text = format!("old {}\n", old.size);
    for hash in hashes {
        let _to_memory = writeln!(text, "{hash}");
    }
    let _to_memory = write!(text, "\n{note}");
    put(options.out.as_deref(), &text, screen)
}

fn known_key(
    named: Option<&Path>,
    settings: &Settings,
) -> Result<crate::audit::NoteVerifier, CommandError> {
    let own = settings.audit.checkpoint_key.as_path();
    let why = format!("there is no key {}: name the node's with --key", shown(own));
    verify::key(named, Some(own))?.ok_or_else(|| CommandError::no_input(why))
}

/// What is not there, or not as it was, is refused; what cannot be told is not.
fn told(error: &ProveError, screen: &mut Screen) -> Result<Exit, CommandError> {
    screen.complain(&error.to_string());
    Ok(match error {
        ProveError::NotFound | ProveError::Broken => Exit::Refused,
        ProveError::Io(_) | ProveError::NotCovered | ProveError::Gone => Exit::Unable,
    })
}

fn put(out: Option<&Path>, text: &str, screen: &mut Screen) -> Result<Exit, CommandError> {
    match out {
        Some(path) => {
            fs::write(path, text).map_err(|error| CommandError::unwritten(path, &error))?;
        }
        None => screen.document(text),
    }
    Ok(Exit::Done)
}
