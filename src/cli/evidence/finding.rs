//! [`find`]: what is kept about the image that a person means.
//!
//! What a tag means now, the runtime says where it has the image; else the names in the store do. A
//! tag that was asked for as several images is not guessed.

use std::collections::BTreeSet;

use super::catalog::Catalog;
use super::on_node::tokio_runtime;
use super::wanted::{Wanted, names};
use crate::cli::terminal::screen::Screen;
use crate::config::Settings;
use crate::containerd::Runtime;
use crate::evidence_store::{Entry, Kept};
use crate::image::{Digest, Reference};

/// Digests of several images that are listed for a person to choose from.
const CHOICES_SHOWN: usize = 8;

/// What is kept about one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeptAbout {
    /// What the name points at.
    pub(super) target: Digest,
    /// What it is called: by the person, or in the store.
    pub(super) names: Vec<String>,
    /// At least one.
    pub(super) entries: Vec<Entry>,
}

/// The runtime of this node, that knows what a tag means here.
pub(super) struct NodeRuntime<'s> {
    settings: &'s Settings,
    asking: Option<(tokio::runtime::Runtime, Runtime)>,
    has_failed: bool,
}

/// Looks for it.
///
/// # Errors
/// Why there is nothing.
pub(super) fn find(
    wanted: &Wanted,
    catalog: &Catalog,
    node: &mut NodeRuntime<'_>,
    screen: &mut Screen,
) -> Result<KeptAbout, String> {
    let mut by_name = |reference: &Reference| {
        let target = named(reference, catalog, node, screen)?;
        gathered(Some(reference), &target, catalog)
    };
    match wanted {
        Wanted::Named(reference) => by_name(reference),
        Wanted::Either(digits, reference) if catalog.beginning_with(digits).is_empty() => {
            by_name(reference)
        }
        Wanted::Digits(digits) | Wanted::Either(digits, _) => {
            one(catalog.beginning_with(digits), digits)
                .and_then(|target| gathered(None, &target, catalog))
        }
    }
}

/// Everything that is kept, image by image, each once.
pub(super) fn all(catalog: &Catalog) -> Vec<KeptAbout> {
    let mut targets = BTreeSet::new();
    for Kept { entry, .. } in catalog.entries() {
        match entry.targets.is_empty() {
            true => targets.extend([&entry.place.subject]),
            false => targets.extend(&entry.targets),
        }
    }
    targets.into_iter().filter_map(|target| gathered(None, target, catalog).ok()).collect()
}

/// The entries about an image and the manifests under it; `called` is what a person calls it.
pub(super) fn gathered(
    called: Option<&Reference>,
    target: &Digest,
    catalog: &Catalog,
) -> Result<KeptAbout, String> {
    let entries: Vec<Entry> = catalog.about(target).map(|kept| kept.entry.clone()).collect();
    if entries.is_empty() {
        let called = called.map(|reference| format!("{reference}, ")).unwrap_or_default();
        return Err(nothing(&format!("{called}{target}")));
    }
    let names = match called.filter(|reference| reference.digest().is_none()) {
        Some(reference) => vec![reference.to_string()],
        None => stored(target, &entries),
    };
    Ok(KeptAbout { target: target.clone(), names, entries })
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

fn named(
    reference: &Reference,
    catalog: &Catalog,
    node: &mut NodeRuntime<'_>,
    screen: &mut Screen,
) -> Result<Digest, String> {
    if let Some(digest) = reference.digest() {
        return Ok(digest.clone());
    }
    if let Some(target) = node.target_of(reference, screen) {
        return Ok(target);
    }
    let targets = |kept: &Kept| match kept.entry.targets.is_empty() {
        true => BTreeSet::from([kept.entry.place.subject.clone()]),
        false => kept.entry.targets.clone(),
    };
    let found: BTreeSet<Digest> = catalog.called(reference).flat_map(targets).collect();
    one(found, &reference.to_string())
}

impl<'s> NodeRuntime<'s> {
    /// Of this configuration; nothing is asked yet.
    pub(super) fn new(settings: &'s Settings) -> Self {
        Self { settings, asking: None, has_failed: false }
    }

    /// What the runtime's record of this tag points at. When it does not answer that is told, and
    /// it is not asked again.
    fn target_of(&mut self, reference: &Reference, screen: &mut Screen) -> Option<Digest> {
        let name = reference.tag_name().filter(|_| !self.has_failed)?;
        match self.record(&name) {
            Ok(target) => target,
            Err(error) => {
                self.has_failed = true;
                let asked = format!("the runtime did not say what {reference} is");
                screen.complain(&format!(
                    "{asked}; the names in the store do, for all that is asked: {error}"
                ));
                None
            }
        }
    }

    fn record(&mut self, name: &str) -> Result<Option<Digest>, String> {
        let (thread, runtime) = match self.asking.take() {
            Some(asking) => asking,
            None => {
                let thread = tokio_runtime()?;
                let runtime =
                    thread.block_on(async { Runtime::new(self.settings.runtime.clone()) });
                (thread, runtime)
            }
        };
        let record = thread.block_on(runtime.record(name)).map_err(|error| error.to_string())?;
        self.asking = Some((thread, runtime));
        Ok(record.map(|record| record.target.digest))
    }
}

/// The one there is.
fn one(mut found: BTreeSet<Digest>, written: &str) -> Result<Digest, String> {
    match (found.pop_first(), found.len()) {
        (None, _) => Err(format!(
            "nothing is kept about {written}: admit it on this node first, or fetch it with --fetch"
        )),
        (Some(one), 0) => Ok(one),
        (Some(one), _) => {
            let choices: Vec<String> = [one]
                .into_iter()
                .chain(found)
                .take(CHOICES_SHOWN)
                .map(|digest| digest.to_string())
                .collect();
            Err(format!(
                "{written} may be any of several images; name one by its digest: {}",
                choices.join(", ")
            ))
        }
    }
}
