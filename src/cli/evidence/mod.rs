//! `sealgate evidence`: what is kept on this node to judge images with no network; [`EvidenceCommand`].
//!
//! Works on the store's files, beside a gate that runs. What is kept is untrusted: here it is listed, copied and checked,
//! and what it says of itself is called a claim.

mod catalog;
mod export;
mod fetch;
mod finding;
mod import;
mod list;
mod offline;
mod prune;
mod show;
mod verify;
mod wanted;

use std::collections::BTreeSet;

use clap::Subcommand;
use jiff::Timestamp;

use super::NoOptions;
use super::screen::{Exit, Screen};
use crate::config::Settings;
use crate::containerd::Runtime;
use crate::evidence::Source;
use crate::evidence_store::{Options, Store};
use crate::image::Digest;

/// How wide a line is at most, but for a name or digest that is longer by itself.
const WIDTH: usize = 80;
/// Digits of a digest in a table: enough to tell images apart, and to name one to `show`.
const SHORT: usize = 12;

/// What to do with what is kept.
#[derive(Debug, Subcommand)]
pub(super) enum EvidenceCommand {
    /// What is kept, the most recently used first.
    #[command(after_help = "Examples:\n  sealgate evidence list\n  sealgate evidence list --output json | jq .digest")]
    List(NoOptions),
    /// Everything that is kept about an image: places, files, and what the signatures claim. Nothing is judged.
    #[command(after_help = "Examples:\n  \
        sealgate evidence show sha256:0123…\n  sealgate evidence show registry.example.com/prod/app:1.2")]
    Show(show::Options),
    /// Write what is kept about images to a tar file, an OCI image layout, for a node without a registry.
    ///
    /// oras, skopeo and cosign read it as well. It holds the signatures and the images' manifests, not the images.
    #[command(after_help = "Examples:\n  \
        sealgate evidence export registry.example.com/prod/app:1.2 -o app.tar\n  \
        sealgate evidence export --fetch registry.example.com/prod/db:7 -o db.tar")]
    Export(export::Options),
    /// Keep what such a file, or another OCI image layout, holds of evidence. It is judged when it is used.
    #[command(after_help = "Examples:\n  \
        sealgate evidence import app.tar\n  \
        sealgate evidence import --repository registry.example.com/prod/app ./layout")]
    Import(import::Options),
    /// Hash every file again, and judge what is kept under today's policies with no network. Changes nothing.
    #[command(after_help = "Examples:\n  sealgate evidence verify\n  sealgate evidence verify sha256:0123…")]
    Verify(verify::Options),
    /// Remove what was not used for long, what is beyond the bytes allowed, and what nothing names; never what an image
    /// on the node needs.
    #[command(after_help = "Examples:\n  \
        sealgate evidence prune\n  sealgate evidence prune --unused-days 7 --dry-run")]
    Prune(prune::Options),
}

/// Does it.
pub(super) fn run(command: &EvidenceCommand, settings: &Settings, screen: &mut Screen) -> Exit {
    let done = match command {
        EvidenceCommand::List(NoOptions {}) => list::run(settings, screen),
        EvidenceCommand::Show(options) => show::run(options, settings, screen),
        EvidenceCommand::Export(options) => export::run(options, settings, screen),
        EvidenceCommand::Import(options) => import::run(options, settings, screen),
        EvidenceCommand::Verify(options) => verify::run(options, settings, screen),
        EvidenceCommand::Prune(options) => prune::run(options, settings, screen),
    };
    done.unwrap_or_else(|why| {
        screen.complain(&why);
        Exit::Unable
    })
}

/// The store, when there is one: looking does not make it.
fn existing(options: &Options) -> Result<Option<Store>, String> {
    let is_there = options.path.try_exists();
    if !is_there.map_err(|error| format!("{}: {error}", options.path.display()))? {
        return Ok(None);
    }
    Store::open(options.clone()).map(Some).map_err(|error| error.to_string())
}

/// Says how many files count as not there: what is listed is not all that was kept.
fn tell_broken(store: &Store, screen: &mut Screen) {
    match store.counts().broken {
        0 => {}
        broken => screen.complain(&format!("{broken} files count as not there; sealgate evidence verify names them")),
    }
}

/// The targets of the images on the node, as the runtime says.
fn present(settings: &Settings) -> Result<BTreeSet<Digest>, String> {
    let runtime = tokio_runtime()?;
    let asked = runtime.block_on(async { Runtime::new(settings.runtime.clone()).present().await });
    asked.map_err(|error| error.to_string())
}

fn tokio_runtime() -> Result<tokio::runtime::Runtime, String> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().map_err(|error| format!("no runtime for the requests: {error}"))
}

/// How long ago something was, in the one unit that says most.
fn ago(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The first digits of a digest.
fn short(digest: &Digest) -> String {
    digest.hex().chars().take(SHORT).collect()
}

/// At most so many characters, the beginning left out: the end of a repository says more.
fn shortened(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    ['…'].into_iter().chain(text.chars().skip(length + 1 - width.max(1))).collect()
}

/// The form in which a place holds evidence, in a word.
fn form(source: Source) -> &'static str {
    match source {
        Source::Referrers => "bundles",
        Source::FallbackTag => "bundles-tag",
        Source::SignatureTag => "signatures",
        Source::AttestationTag => "attested",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_one_unit() {
        let then: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        for (now, text) in [
            ("2026-02-01T00:00:00Z", "0 s"),
            ("2026-03-01T00:00:59Z", "59 s"),
            ("2026-03-01T00:59:59Z", "59 min"),
            ("2026-03-01T23:59:59Z", "23 h"),
            ("2026-03-31T01:00:00Z", "30 d"),
        ] {
            assert_eq!(ago(now.parse().unwrap(), then), text);
        }
    }

    #[test]
    fn the_end_of_a_long_name_is_kept() {
        assert_eq!(shortened("registry.example/a", 18), "registry.example/a");
        assert_eq!(shortened("registry.example/größe", 10), "…ple/größe");
        assert_eq!(shortened("abc", 1), "…");
        assert_eq!(shortened("abc", 0), "…");
    }
}
