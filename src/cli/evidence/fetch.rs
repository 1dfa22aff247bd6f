//! What `export --fetch` asks of registries: the evidence of images that nothing is kept about
//! ([`admit`]), and the small files beside it that other tools read ([`complete`]).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::finding::KeptAbout;
use super::on_node::tokio_runtime;
use super::wanted::Wanted;
use crate::cli::terminal::screen::Screen;
use crate::config::Settings;
use crate::cri::ask::PullRequest;
use crate::cri::{Ending, Timings};
use crate::daemon::{self, CLOCK};
use crate::evidence::Pod;
use crate::evidence_store::{BLOB_MAX, Store};
use crate::image::{CONFIG_MAX, Descriptor, Digest, Document, Reference, Repository};
use crate::registry::{Access, Registry, Session};

/// Most files that are fetched beside the evidence of one export: the manifest, its children and a
/// config for each.
const FILES_MAX: usize = 256;

/// Decides about an image as the gate would, which keeps its evidence when it is admitted: what its
/// name points at; the inner error says why there is none.
///
/// # Errors
/// When nothing could be decided.
pub(super) fn admit<'w>(
    wanted: &'w Wanted,
    settings: &Settings,
) -> Result<Result<(&'w Reference, Digest), String>, String> {
    let Some(reference) = wanted.reference() else {
        return Ok(Err(
            "a digest alone cannot be fetched: name the image with its repository".to_owned()
        ));
    };
    let admitted = tokio_runtime()?.block_on(admitted(reference, settings))?;
    Ok(admitted.map(|target| (reference, target)))
}

async fn admitted(
    reference: &Reference,
    settings: &Settings,
) -> Result<Result<Digest, String>, String> {
    let (gate, _) = daemon::gate(settings).map_err(|error| error.to_string())?;
    let store = Store::open(settings.evidence.clone()).map_err(|error| error.to_string())?;
    gate.open_store(Arc::new(store));
    let deadline = CLOCK.steady() + gate.limits().decision() + Duration::from_secs(1);
    let ask =
        PullRequest { image: reference.to_string(), pod: Pod::default(), auth: None, deadline };
    match gate.admit_pull(&ask, &mut Timings::start(CLOCK)).await {
        Ok(permit) => Ok(Ok(permit.admission().permit().subject().target.clone())),
        Err(refusal) => match refusal.ending() {
            Ending::Refused => Ok(Err(format!("{reference} is not admitted here: {refusal}"))),
            Ending::Unable | Ending::Unreachable => {
                Err(format!("{reference} could not be fetched: {refusal}"))
            }
        },
    }
}

/// The images' own manifests, and the configs of these and of the manifests around signatures, as
/// far as they are not in the store. One that cannot be had is told, and left out.
pub(super) fn complete(
    found: &[KeptAbout],
    store: &Store,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Vec<(Digest, Bytes)>, String> {
    let registry = Arc::new(
        Registry::new(settings.registry.clone(), CLOCK).map_err(|error| error.to_string())?,
    );
    tokio_runtime()?.block_on(async {
        let session =
            registry.session(&Access::default(), CLOCK.steady() + registry.session_time());
        let mut completing =
            Completing { store, session, extra: Vec::new(), tried: BTreeSet::new(), screen };
        for found in found {
            completing.image(found).await;
            for entry in &found.entries {
                for manifest in &entry.manifests {
                    completing.document(&entry.place.repository, manifest).await;
                }
            }
        }
        Ok(completing.extra)
    })
}

struct Completing<'c> {
    store: &'c Store,
    session: Session,
    extra: Vec<(Digest, Bytes)>,
    tried: BTreeSet<Digest>,
    screen: &'c mut Screen,
}

impl Completing<'_> {
    /// The image and the manifests under it that have signatures, from the repositories of its
    /// names.
    async fn image(&mut self, found: &KeptAbout) {
        let named = found.names.first().and_then(|name| Reference::parse(name).ok());
        let named = named.map(|reference| reference.runtime_repository().clone());
        let repository =
            named.or_else(|| found.entries.first().map(|entry| entry.place.repository.clone()));
        let Some(repository) = repository else { return };
        let subjects = found.entries.iter().map(|entry| &entry.place.subject);
        let digests: BTreeSet<&Digest> = subjects.chain([&found.target]).collect();
        for digest in digests {
            self.document(&repository, digest).await;
        }
    }

    /// A manifest or index, and the config of a manifest.
    async fn document(&mut self, repository: &Repository, digest: &Digest) {
        if !self.tried.insert(digest.clone()) {
            return;
        }
        let bytes = match self.store.read(digest, BLOB_MAX) {
            Ok(Some(bytes)) => bytes,
            Ok(None) | Err(_) => match self.session.manifest(repository, digest).await {
                Ok(fetched) => {
                    self.extra.push((digest.clone(), fetched.bytes.clone()));
                    fetched.bytes
                }
                Err(error) => return self.screen.complain(&format!("left out: {error}")),
            },
        };
        if let Ok(Document::Manifest(manifest)) = Document::parse(&bytes) {
            self.config(repository, &manifest.config).await;
        }
    }

    async fn config(&mut self, repository: &Repository, config: &Descriptor) {
        let limit = u64::try_from(CONFIG_MAX).unwrap_or(u64::MAX);
        let is_known =
            config.digest == Digest::of(b"{}") || !self.tried.insert(config.digest.clone());
        if is_known
            || self.extra.len() >= FILES_MAX
            || matches!(self.store.read(&config.digest, limit), Ok(Some(_)))
        {
            return;
        }
        match self.session.blob(repository, &config.digest, config.size, limit).await {
            Ok(bytes) => self.extra.push((config.digest.clone(), bytes)),
            Err(error) => self.screen.complain(&format!("left out: {error}")),
        }
    }
}
