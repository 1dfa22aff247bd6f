//! `sealgate evidence`: what is kept on this node to judge images with no network;
//! [`EvidenceCommand`].
//!
//! Works on the store's files, beside a gate that runs. What is kept is untrusted: here it is
//! listed, copied and checked, and what it says of itself is called a claim.

pub(super) mod catalog;
mod columns;
mod export;
mod fetch;
mod finding;
mod import;
mod list;
pub(super) mod offline;
pub(super) mod on_node;
mod prune;
mod show;
mod verify;
mod wanted;

use clap::Subcommand;

use crate::cli::terminal::no_options::NoOptions;
use crate::cli::terminal::screen::{Exit, Screen};
use crate::config::Settings;

/// What to do with what is kept.
#[derive(Debug, Subcommand)]
pub(super) enum EvidenceCommand {
    /// What is kept, the most recently used first.
    #[command(
        after_help = "Examples:\n  sealgate evidence list\n  sealgate evidence list --output json \
            | jq .digest"
    )]
    List(NoOptions),
    /// Everything that is kept about an image: places, files, and what the signatures claim.
    /// Nothing is judged.
    #[command(after_help = "Examples:\n  \
        sealgate evidence show sha256:0123…\n  sealgate evidence show \
        registry.example.com/prod/app:1.2")]
    Show(show::Options),
    /// Write what is kept about images to a tar file, an OCI image layout, for a node without a
    /// registry.
    ///
    /// oras, skopeo and cosign read it as well. It holds the signatures and the images' manifests,
    /// not the images.
    #[command(after_help = "Examples:\n  \
        sealgate evidence export registry.example.com/prod/app:1.2 --out app.tar\n  \
        sealgate evidence export --fetch registry.example.com/prod/db:7 --out db.tar")]
    Export(export::Options),
    /// Keep what such a file, or another OCI image layout, holds of evidence. It is judged when it
    /// is used.
    #[command(after_help = "Examples:\n  \
        sealgate evidence import app.tar\n  \
        sealgate evidence import --repository registry.example.com/prod/app ./layout")]
    Import(import::Options),
    /// Hash every file again, and judge what is kept under today's policies with no network.
    /// Changes nothing.
    #[command(after_help = "Examples:\n  sealgate evidence verify\n  sealgate evidence verify \
            sha256:0123…")]
    Verify(verify::Options),
    /// Remove what was not used for long, what is beyond the bytes allowed, and what nothing names;
    /// never what an image on the node needs.
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
    done.unwrap_or_else(|error| error.say(screen))
}
