//! `sealgate evidence list`.

use serde::Serialize;

use super::columns::{SHORT, WIDTH, ago, form, short, shortened};
use super::on_node::{existing, present, tell_broken};
use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::screen::{Exit, Screen, plain};
use crate::config::Settings;
use crate::daemon;
use crate::evidence::Source;
use crate::evidence_store::{BLOB_MAX, Entry, Kept, Store, source_word};
use crate::image::{Digest, Document};

/// Names that one line of the table has; all are in `show`.
const NAMES_SHOWN: usize = 1;

/// One entry, for programs.
#[derive(Serialize)]
struct TableLine {
    digest: String,
    repository: String,
    source: &'static str,
    signatures: Option<usize>,
    fetched: jiff::Timestamp,
    used: jiff::Timestamp,
    bytes: u64,
    needed: Option<bool>,
    targets: Vec<String>,
    names: Vec<String>,
}

/// Prints every entry.
pub(super) fn run(settings: &Settings, screen: &mut Screen) -> Result<Exit, CommandError> {
    let path = settings.evidence.path.display().to_string();
    let Some(store) = existing(&settings.evidence)? else {
        screen.complain(&format!("nothing is kept: there is no folder {path}"));
        return Ok(Exit::Done);
    };
    let present = present(settings).map_err(|error| {
        screen.complain(&format!("the runtime did not say which images are here: {error}"));
    });
    let present = present.ok();
    let mut is_first = true;
    let listed = store.each_entry(&mut |kept| {
        if std::mem::take(&mut is_first) && !screen.is_json() {
            screen.line(&row([
                "DIGEST",
                "FORM",
                "COUNT",
                "FETCHED",
                "USED",
                "NEEDED",
                "REPOSITORY",
            ]));
        }
        let needed = present
            .as_ref()
            .map(|present| kept.entry.concerns(&|digest: &Digest| present.contains(digest)));
        let signatures = count(&store, &kept.entry);
        if screen.is_json() {
            screen.json(&line(&kept, needed, signatures));
        } else {
            print(&kept, needed, signatures, screen);
        }
    });
    if is_first && listed.is_ok() {
        screen.complain(&format!("nothing is kept in {path}"));
    }
    tell_broken(&store, screen);
    listed.map_err(|error| error.to_string())?;
    Ok(Exit::Done)
}

/// How many signatures an entry's manifests list; none when one of them cannot be read.
pub(super) fn count(store: &Store, entry: &Entry) -> Option<usize> {
    match entry.place.source {
        Source::Referrers | Source::FallbackTag => Some(entry.manifests.len()),
        Source::SignatureTag | Source::AttestationTag => {
            let layers =
                |digest: &Digest| match Document::parse(&store.read(digest, BLOB_MAX).ok()??)
                    .ok()?
                {
                    Document::Manifest(manifest) => Some(manifest.layers.len()),
                    Document::Index(_) => None,
                };
            entry.manifests.iter().map(layers).sum()
        }
    }
}

fn line(kept: &Kept, needed: Option<bool>, signatures: Option<usize>) -> TableLine {
    let Kept { entry, used, bytes } = kept;
    TableLine {
        digest: entry.place.subject.to_string(),
        repository: entry.place.repository.to_string(),
        source: source_word(entry.place.source),
        signatures,
        fetched: entry.fetched,
        used: *used,
        bytes: *bytes,
        needed,
        targets: entry.targets.iter().map(ToString::to_string).collect(),
        names: entry.names.clone(),
    }
}

fn print(kept: &Kept, needed: Option<bool>, signatures: Option<usize>, screen: &mut Screen) {
    let now = daemon::now();
    let entry = &kept.entry;
    let needed = match needed {
        Some(true) => "yes",
        Some(false) => "no",
        None => "?",
    };
    let count = signatures.map_or_else(|| "?".to_owned(), |count| count.to_string());
    let repository = plain(&entry.place.repository.to_string());
    let (fetched, used) = (ago(now, entry.fetched), ago(now, kept.used));
    let digest = short(&entry.place.subject);
    screen.line(&row([
        &digest,
        form(entry.place.source),
        &count,
        &fetched,
        &used,
        needed,
        &repository,
    ]));
    for name in entry.names.iter().rev().take(NAMES_SHOWN) {
        let more = match entry.names.len().saturating_sub(NAMES_SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let room = WIDTH - SHORT - 5 - more.len();
        screen.line(&format!("{:SHORT$}  as {}{more}", "", shortened(&plain(name), room)));
    }
}

/// One line of the table, as wide as a terminal.
fn row([digest, form, count, fetched, used, needed, repository]: [&str; 7]) -> String {
    let front =
        format!("{digest:SHORT$}  {form:<11}  {count:>5}  {fetched:>7}  {used:>6}  {needed:<6}  ");
    let room = WIDTH.saturating_sub(front.chars().count());
    format!("{front}{}", shortened(repository, room)).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_fits_a_terminal() {
        let header = row(["DIGEST", "FORM", "COUNT", "FETCHED", "USED", "NEEDED", "REPOSITORY"]);
        assert_eq!(header, "DIGEST        FORM         COUNT  FETCHED    USED  NEEDED  REPOSITORY");
        let long = "registry.example.com/department/team/application";
        let line = row(["0123456789ab", "bundles-tag", "99999", "365 d", "59 min", "yes", long]);
        assert_eq!(line.chars().count(), WIDTH);
        assert!(line.ends_with("…ent/team/application"), "{line}");
    }
}
