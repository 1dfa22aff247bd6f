//! [`find`]: what is kept about the image that a person means.
//!
//! What a tag means now, the runtime says where it has the image; else the names in the store do. A tag that was asked for
//! as several images is not guessed.

use std::collections::BTreeSet;

use super::tokio_runtime;
use super::wanted::{Wanted, names, same};
use crate::cli::screen::Screen;
use crate::config::Settings;
use crate::image::{Digest, Reference};
use crate::runtime::Runtime;
use crate::store::{Entry, Kept, Store};

/// Digests of several images that are listed for a person to choose from.
const CHOICES_SHOWN: usize = 8;

/// What is kept about one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// What the name points at.
    pub(super) target: Digest,
    /// What it is called: by the person, or in the store.
    pub(super) names: Vec<String>,
    /// At least one.
    pub(super) entries: Vec<Entry>,
}

/// Looks for it; the inner error says why there is nothing.
///
/// # Errors
/// When the store fails.
pub(super) fn find(
    wanted: &Wanted,
    store: &Store,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Result<Found, String>, String> {
    let kept = store.entries().map_err(|error| error.to_string())?;
    let by_name = |reference: &Reference, screen: &mut Screen| {
        let target = named(reference, &kept, settings, screen)?;
        gathered(Some(reference), &target, &kept)
    };
    Ok(match wanted {
        Wanted::Named(reference) => by_name(reference, screen),
        Wanted::Either(digits, reference) if digests(digits, &kept).is_empty() => by_name(reference, screen),
        Wanted::Digits(digits) | Wanted::Either(digits, _) => {
            one(digests(digits, &kept), digits).and_then(|target| gathered(None, &target, &kept))
        }
    })
}

/// The entries about an image and the manifests under it; `called` is what a person calls it.
pub(super) fn gathered(called: Option<&Reference>, target: &Digest, kept: &[Kept]) -> Result<Found, String> {
    let about = kept.iter().map(|kept| &kept.entry).filter(|entry| entry.concerns(&|digest: &Digest| digest == target));
    let entries: Vec<Entry> = about.cloned().collect();
    if entries.is_empty() {
        let called = called.map(|reference| format!("{reference}, ")).unwrap_or_default();
        return Err(nothing(&format!("{called}{target}")));
    }
    let names = match called.filter(|reference| reference.digest().is_none()) {
        Some(reference) => vec![reference.to_string()],
        None => stored(target, &entries),
    };
    Ok(Found { target: target.clone(), names, entries })
}

fn nothing(about: &str) -> String {
    format!("nothing is kept about {about}: admit it on this node first, or fetch it with --fetch")
}

/// The names in the store, where they can mean nothing but this image.
fn stored(target: &Digest, entries: &[Entry]) -> Vec<String> {
    let alone = entries.iter().filter(|entry| entry.targets.iter().all(|other| other == target));
    let tagged = alone.flat_map(names).filter(|name| name.digest().is_none());
    tagged.map(|name| name.to_string()).collect::<BTreeSet<_>>().into_iter().collect()
}

fn named(reference: &Reference, kept: &[Kept], settings: &Settings, screen: &mut Screen) -> Result<Digest, String> {
    if let Some(digest) = reference.digest() {
        return Ok(digest.clone());
    }
    match on_node(reference, settings) {
        Ok(Some(target)) => return Ok(target),
        Ok(None) => {}
        Err(error) => {
            screen
                .complain(&format!("the runtime did not say what {reference} is; the names in the store do: {error}"));
        }
    }
    let is_called_so = |kept: &&Kept| names(&kept.entry).any(|name| same(&name, reference));
    let targets = |kept: &Kept| match kept.entry.targets.is_empty() {
        true => BTreeSet::from([kept.entry.place.subject.clone()]),
        false => kept.entry.targets.clone(),
    };
    let found: BTreeSet<Digest> = kept.iter().filter(is_called_so).flat_map(targets).collect();
    one(found, &reference.to_string())
}

/// What the runtime's record of this tag points at.
fn on_node(reference: &Reference, settings: &Settings) -> Result<Option<Digest>, String> {
    let Some(name) = reference.tag_name() else { return Ok(None) };
    let record = tokio_runtime()?.block_on(async { Runtime::new(settings.runtime.clone()).record(&name).await });
    Ok(record.map_err(|error| error.to_string())?.map(|record| record.target.digest))
}

fn digests(digits: &str, kept: &[Kept]) -> BTreeSet<Digest> {
    let of_entry = |kept: &Kept| [kept.entry.place.subject.clone()].into_iter().chain(kept.entry.targets.clone());
    kept.iter().flat_map(of_entry).filter(|digest| digest.hex().starts_with(digits)).collect()
}

/// The one there is.
fn one(mut found: BTreeSet<Digest>, written: &str) -> Result<Digest, String> {
    match (found.pop_first(), found.len()) {
        (None, _) => {
            Err(format!("nothing is kept about {written}: admit it on this node first, or fetch it with --fetch"))
        }
        (Some(one), 0) => Ok(one),
        (Some(one), _) => {
            let choices: Vec<String> =
                [one].into_iter().chain(found).take(CHOICES_SHOWN).map(|digest| digest.to_string()).collect();
            Err(format!("{written} may be any of several images; name one by its digest: {}", choices.join(", ")))
        }
    }
}
