//! What this node has: the store, the images that the runtime has, and [`NodeContent`]: documents and
//! configs of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::cli::terminal::screen::{Screen, shown};
use crate::config::Settings;
use crate::containerd::Runtime;
use crate::errno;
use crate::evidence_store::{Options, Store};
use crate::image::{CONFIG_MAX, DOCUMENT_MAX, Digest, Document, ImageConfig};

/// The store, when there is one: looking does not make it.
pub(in crate::cli) fn existing(options: &Options) -> Result<Option<Store>, String> {
    let is_there = options.path.try_exists();
    if !is_there.map_err(|error| format!("{}: {}", shown(&options.path), errno::told(&error)))? {
        return Ok(None);
    }
    Store::open(options.clone()).map(Some).map_err(|error| error.to_string())
}

/// Says how many files count as not there: what is listed is not all that was kept.
pub(super) fn tell_broken(store: &Store, screen: &mut Screen) {
    match store.counts().broken {
        0 => {}
        broken => screen.complain(&format!(
            "{broken} files count as not there; sealgate evidence verify names them"
        )),
    }
}

/// The targets of the images on the node, as the runtime says.
pub(super) fn present(settings: &Settings) -> Result<BTreeSet<Digest>, String> {
    let runtime = tokio_runtime()?;
    let asked = runtime.block_on(async { Runtime::new(settings.runtime.clone()).present().await });
    asked.map_err(|error| error.to_string())
}

/// Runs the requests of one command.
pub(in crate::cli) fn tokio_runtime() -> Result<tokio::runtime::Runtime, String> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let built = builder.enable_all().build();
    built.map_err(|error| format!("no runtime for the requests: {}", errno::told(&error)))
}

/// What is in the runtime's content store, each piece hashed as it is read.
pub(in crate::cli) struct NodeContent {
    requests: tokio::runtime::Runtime,
    runtime: Runtime,
}

impl NodeContent {
    /// Of the configured runtime.
    ///
    /// # Errors
    /// When no request can be made at all.
    pub(in crate::cli) fn of(settings: &Settings) -> Result<Self, String> {
        let requests = tokio_runtime()?;
        let runtime = {
            let _within = requests.enter();
            Runtime::new(settings.runtime.clone())
        };
        Ok(Self { requests, runtime })
    }

    /// A manifest or an index; none where it is not there.
    ///
    /// # Errors
    /// When the runtime does not answer, or what it has is none.
    pub(in crate::cli) fn document(&self, digest: &Digest) -> Result<Option<Document>, String> {
        let read = self.requests.block_on(self.runtime.read_content(digest, DOCUMENT_MAX));
        let Some(bytes) = read.map_err(|error| error.to_string())? else { return Ok(None) };
        Document::parse(&bytes).map(Some).map_err(|error| format!("{digest}: {error}"))
    }

    /// The labels of a config; none where it is not there, or they could be read in two ways.
    ///
    /// # Errors
    /// When the runtime does not answer, or what it has is no config.
    pub(in crate::cli) fn labels(
        &self,
        config: &Digest,
    ) -> Result<Option<BTreeMap<String, String>>, String> {
        let read = self.requests.block_on(self.runtime.read_content(config, CONFIG_MAX));
        let Some(bytes) = read.map_err(|error| error.to_string())? else { return Ok(None) };
        let parsed = ImageConfig::parse(&bytes).map_err(|error| format!("{config}: {error}"))?;
        Ok(parsed.labels().cloned())
    }
}
