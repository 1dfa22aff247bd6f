//! What this node has: the store, and the images that the runtime has.

use std::collections::BTreeSet;

use crate::cli::terminal::screen::{Screen, shown};
use crate::config::Settings;
use crate::containerd::Runtime;
use crate::errno;
use crate::evidence_store::{Options, Store};
use crate::image::Digest;

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
