//! `sealgate evidence verify`: every file hashed again, every signature parsed, every image judged
//! as the gate would with no network.

use std::collections::HashSet;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::catalog::Catalog;
use super::offline::{self, Judged, Judgement};
use super::on_node::existing;
use super::show;
use super::wanted::Wanted;
use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain, shown};
use crate::config::Settings;
use crate::evidence_store::{BLOB_MAX, Kept, Store};
use crate::image::Digest;
use crate::loader;
use crate::sources;

/// What to verify.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Digests, first digits of digests, or image names; everything that is kept when left out.
    #[arg(value_name = "DIGEST_OR_IMAGE", value_parser = Wanted::parse)]
    what: Vec<Wanted>,
    /// The namespace of the pods; without it every policy that is limited to namespaces counts.
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
}

/// One finding, for programs.
#[derive(Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
enum VerifyLine {
    /// A file that counts as not there.
    BrokenFile { path: String, why: String },
    /// Something that an entry needs and that is not there.
    MissingFile { digest: String, place: String },
    /// A signature that cannot be read.
    BrokenSignature { item: String, place: String, why: String },
    /// An image, judged.
    Image(Judged),
    /// All of it.
    Summary { files: u64, entries: usize, images: usize, broken: u64, not_admitted: usize },
}

/// What was counted.
#[derive(Default)]
struct Counted {
    files: u64,
    broken: u64,
    images: usize,
    not_admitted: usize,
    /// Blobs that are whole.
    whole: HashSet<Digest>,
}

/// Verifies; 1 when a file is broken, a signature cannot be read, or an image would not be
/// admitted.
pub(super) fn run(
    options: &Options,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Exit, CommandError> {
    let loaded = loader::load(&settings.policy, &settings.trust)?;
    let Some(store) = existing(&settings.evidence)? else {
        screen.complain(&format!(
            "nothing is kept: there is no folder {}",
            shown(&settings.evidence.path)
        ));
        return Ok(Exit::Done);
    };
    let mut counted = Counted::default();
    check_files(&store, &mut counted, screen)?;
    let catalog = Catalog::of(&store)?;
    let is_wanted = |kept: &&Kept| {
        options.what.is_empty() || options.what.iter().any(|what| what.is_about(&kept.entry))
    };
    let wanted: Vec<&Kept> = catalog.entries().iter().filter(is_wanted).collect();
    for (kept, done) in wanted.iter().zip(1..) {
        check_entry(&store, kept, &mut counted, screen);
        screen.progress("reading signatures", done, count(wanted.len()));
    }
    let set = Arc::new(loaded.policies);
    let judgement = Judgement::new(settings, set, &store, options.namespace.clone());
    let images = offline::images(&catalog, &|kept| is_wanted(&kept));
    for (image, done) in images.iter().zip(1..) {
        screen.progress("judging", done, count(images.len()));
        let judged = judgement.judge(image, &catalog);
        counted.images += 1;
        counted.not_admitted += usize::from(!judged.is_admitted());
        told(&VerifyLine::Image(judged), screen);
    }
    let Counted { files, broken, images, not_admitted, .. } = counted;
    told(
        &VerifyLine::Summary { files, entries: wanted.len(), images, broken, not_admitted },
        screen,
    );
    let missed = !options.what.is_empty() && wanted.is_empty();
    if missed {
        screen.complain("nothing is kept about it");
    }
    Ok(if broken > 0 || not_admitted > 0 || missed { Exit::Refused } else { Exit::Done })
}

/// Hashes every file of the store.
fn check_files(store: &Store, counted: &mut Counted, screen: &mut Screen) -> Result<(), String> {
    let all = store.counts().files;
    let checked = store.check(&mut |path, fault| {
        counted.files += 1;
        screen.progress("hashing", counted.files, all);
        match fault {
            Some(why) => {
                counted.broken += 1;
                told(
                    &VerifyLine::BrokenFile {
                        path: path.display().to_string(),
                        why: why.to_string(),
                    },
                    screen,
                );
            }
            None => {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                counted.whole.extend(Digest::parse(&format!("sha256:{name}")));
            }
        }
    });
    screen.end_progress();
    checked.map_err(|error| error.to_string())
}

/// Looks for everything that an entry needs, and parses its signatures.
fn check_entry(store: &Store, kept: &Kept, counted: &mut Counted, screen: &mut Screen) {
    let place = || kept.entry.place.to_string();
    for digest in kept.entry.contents() {
        // What was put since the files were looked at is looked at now.
        if counted.whole.contains(digest) || matches!(store.read(digest, BLOB_MAX), Ok(Some(_))) {
            continue;
        }
        counted.broken += 1;
        told(&VerifyLine::MissingFile { digest: digest.to_string(), place: place() }, screen);
    }
    for item in sources::kept(store, &kept.entry, show::EVERYTHING).items {
        if let Err(fault) = show::read(&item) {
            counted.broken += 1;
            let (item, why) = (item.digest.to_string(), fault.to_string());
            told(&VerifyLine::BrokenSignature { item, place: place(), why }, screen);
        }
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn told(finding: &VerifyLine, screen: &mut Screen) {
    if screen.is_json() {
        return screen.json(finding);
    }
    match finding {
        VerifyLine::BrokenFile { path, why } => bad(screen, "broken file:", path, why),
        VerifyLine::MissingFile { digest, place } => bad(screen, "missing file:", digest, place),
        VerifyLine::BrokenSignature { item, place, why } => {
            bad(screen, "cannot be read:", &format!("{item} of {place}"), why)
        }
        VerifyLine::Image(judged) => judged.print(screen),
        VerifyLine::Summary { files, entries, images, broken, not_admitted } => {
            let tone = if *broken > 0 || *not_admitted > 0 { Tone::Bad } else { Tone::Good };
            let sum = format!(
                "{files} files, {entries} entries, {images} images; {broken} broken, \
                 {not_admitted} not admitted"
            );
            let sum = screen.tone(tone, &sum);
            screen.line(&sum);
        }
    }
}

fn bad(screen: &mut Screen, word: &str, what: &str, why: &str) {
    let word = screen.tone(Tone::Bad, word);
    screen.line(&format!("{word} {}", plain(what)));
    screen.line(&format!("  {}", plain(why)));
}
