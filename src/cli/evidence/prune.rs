//! `sealgate evidence prune`.

use std::collections::BTreeSet;

use clap::Args;
use serde::Serialize;

use super::on_node::{existing, present};
use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::screen::{Exit, Screen, plain};
use crate::config::Settings;
use crate::daemon;
use crate::evidence_store::Evicted;
use crate::image::Digest;

/// What to remove.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Remove what was not used for so many days; evidence.max_unused_days when left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    unused_days: Option<u32>,
    /// Remove the least recently used until there are at most so many bytes; evidence.max_bytes
    /// when left out.
    #[arg(long, value_name = "N")]
    max_bytes: Option<u64>,
    /// Say what would go, and leave it.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask the runtime which images are on the node, and remove what they need as well: they
    /// start again only once their registry was asked.
    #[arg(long)]
    even_needed: bool,
}

#[derive(Serialize)]
struct Pruned {
    dry_run: bool,
    entries: u64,
    blobs: u64,
    remains: u64,
    bytes: u64,
}

/// Removes, and says how much; 2 when it is not known what is needed.
pub(super) fn run(
    options: &Options,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Exit, CommandError> {
    let needed = if options.even_needed {
        BTreeSet::new()
    } else {
        present(settings).map_err(|error| {
            format!(
                "nothing was removed: the runtime did not say which images are on the node, and \
                 what they need must stay (--even-needed removes that too): {error}"
            )
        })?
    };
    let mut bounds = settings.evidence.clone();
    bounds.max_unused_days = options.unused_days.unwrap_or(bounds.max_unused_days);
    bounds.max_bytes = options.max_bytes.unwrap_or(bounds.max_bytes);
    let Some(store) = existing(&bounds)? else {
        let path = plain(&bounds.path.display().to_string());
        screen.complain(&format!("nothing is kept: there is no folder {path}"));
        return Ok(Exit::Done);
    };
    let is_needed = |digest: &Digest| needed.contains(digest);
    let evicted = match options.dry_run {
        true => store.evictable(&is_needed, daemon::now()),
        false => store.evict(&is_needed, daemon::now()),
    };
    told(&evicted.map_err(|error| error.to_string())?, options.dry_run, screen);
    Ok(Exit::Done)
}

fn told(evicted: &Evicted, dry_run: bool, screen: &mut Screen) {
    let Evicted { entries, blobs, remains, bytes } = *evicted;
    if screen.is_json() {
        return screen.json(&Pruned { dry_run, entries, blobs, remains, bytes });
    }
    let done = if dry_run { "would be removed" } else { "removed" };
    screen.line(&format!(
        "{done}: {entries} entries, {blobs} blobs, {remains} remains of writes; {bytes} bytes"
    ));
}
