//! `sealgate evidence import`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::columns::form;
use crate::cli::terminal::command_error::{CommandError, is_there};
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain, shown};
use crate::config::Settings;
use crate::daemon;
use crate::evidence_store::layout::{self, Imported};
use crate::evidence_store::{Entry, Store, source_word};
use crate::image::{Reference, Repository};

/// What to read.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// An OCI image layout: a tar file, as `export` writes it, or a folder.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The repository that signatures are from which do not say so, in layouts that other tools
    /// made: where the gate would have looked for them.
    #[arg(long, value_name = "REPOSITORY", value_parser = repository)]
    repository: Option<Repository>,
}

/// What was taken and what was left, for programs.
#[derive(Serialize)]
struct Answer {
    taken: Vec<Taken>,
    left: Vec<Left>,
    left_more: usize,
}

#[derive(Serialize)]
struct Taken {
    digest: String,
    repository: String,
    source: &'static str,
    manifests: usize,
    fetched: jiff::Timestamp,
    names: Vec<String>,
}

#[derive(Serialize)]
struct Left {
    what: String,
    why: String,
}

/// A host and a path, both written, as policies have them.
fn repository(text: &str) -> Result<Repository, String> {
    let as_image = Reference::parse(text).ok().map(|reference| reference.repository());
    match Repository::parse(text) {
        Ok(repository) if Some(repository.folded()) == as_image => Ok(repository),
        Ok(_) | Err(_) => Err(
            "not a repository: host and path, as in registry.example.com/prod/app, without tag or \
             digest"
                .to_owned(),
        ),
    }
}

/// Takes what it can; 1 when there was nothing to take.
pub(super) fn run(
    options: &Options,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Exit, CommandError> {
    is_there(&options.file)?;
    let store = Store::open(settings.evidence.clone()).map_err(|error| error.to_string())?;
    let imported =
        layout::import(&store, &options.file, options.repository.as_ref(), daemon::now());
    let faulty = |error| CommandError::faulty(format!("{}: {error}", shown(&options.file)));
    let imported = imported.map_err(faulty)?;
    told(&imported, screen);
    Ok(if imported.entries.is_empty() { Exit::Refused } else { Exit::Done })
}

fn told(imported: &Imported, screen: &mut Screen) {
    let Imported { entries, skipped, skipped_more } = imported;
    if screen.is_json() {
        let left =
            skipped.iter().map(|(what, why)| Left { what: what.clone(), why: why.to_string() });
        let taken = entries.iter().map(taken).collect();
        return screen.json(&Answer { taken, left: left.collect(), left_more: *skipped_more });
    }
    for entry in entries {
        let word = screen.tone(Tone::Good, "taken");
        let (form, count) = (form(entry.place.source), entry.manifests.len());
        screen.line(&format!("{word}  {}  {form}, {count} of them", entry.place.subject));
        screen.line(&format!("       from {}", plain(&entry.place.repository.to_string())));
        for name in &entry.names {
            screen.line(&format!("       as {}", plain(name)));
        }
    }
    for (what, why) in skipped {
        let word = screen.tone(Tone::Warn, "left");
        screen.line(&format!("{word}   {}", plain(what)));
        screen.line(&format!("       {}", plain(&why.to_string())));
    }
    if *skipped_more > 0 {
        screen.line(&format!("left   {skipped_more} more"));
    }
    if entries.is_empty() {
        screen.complain("nothing was taken");
    }
}

fn taken(entry: &Entry) -> Taken {
    Taken {
        digest: entry.place.subject.to_string(),
        repository: entry.place.repository.to_string(),
        source: source_word(entry.place.source),
        manifests: entry.manifests.len(),
        fetched: entry.fetched,
        names: entry.names.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_written_with_its_host() {
        for text in ["reg.test/a", "reg.test:5000/a/b", "docker.io/library/a", "localhost/a"] {
            assert_eq!(
                repository(text).map(|repository| repository.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in ["", "a", "acme/a", "reg.test/a:1", "reg.test/", "https://reg.test/a"] {
            assert!(repository(text).is_err(), "{text}");
        }
    }
}
