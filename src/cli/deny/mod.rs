//! `sealgate deny`: what is struck off for every policy at once, added to, listed and taken back.
//!
//! Writes one file in the folder of policies, as an operator would with an editor, and has the
//! running gate take it. Lists that are fetched are the gate's own to keep; here they are listed,
//! fetched now, and let go back.

mod add;
mod done;
mod entry;
mod fetched;
mod list;
mod manifests;
mod place;
mod prospect;
mod remove;
mod who_runs;

pub(super) use add::{Options as AddOptions, add};
use clap::Subcommand;
pub(super) use done::Done;
pub(super) use entry::What;
pub(super) use manifests::denied_on_node;
pub(super) use prospect::{AlreadyDenied, Prospect, prospect};

use super::terminal::no_options::NoOptions;
use super::terminal::screen::{Exit, Screen};
use crate::config::Settings;

/// What to do with deny lists.
#[derive(Debug, Subcommand)]
pub(super) enum DenyCommand {
    /// Strike something off: an image, a repository, or whatever a key, an identity or a certificate
    /// signed. In force when this returns with exit code 0, for images that were admitted before, too.
    ///
    /// Writes deny.yaml in the folder of policies, checks the whole set before it does, has the
    /// running gate take it, and says what on this node would be refused now. The gate stops no
    /// container that runs. Exit code 65: the files would be faulty, and nothing was written; 2:
    /// it could not be written, or is not known to be in force.
    #[command(
        override_usage = "sealgate deny add --reason <TEXT> <WHAT> [OPTIONS]\n\n  \
        WHAT is one of the options that name what is denied; an identity and an issuer may\n  \
        stand together",
        after_help = "Examples:\n  \
        sealgate deny add --digest sha256:0123… --with-manifests --reason CVE-2026-1234\n  \
        sealgate deny add --key build.pub --signed-after 2026-01-30T00:00:00Z --reason 'leaked'\n  \
        sealgate deny add --issuer https://token.actions.githubusercontent.com \\\n    \
        --identity-regexp '^https://github\\.com/acme/app/.*$' --reason 'taken over'\n  \
        sealgate deny add --repository 'registry.example.com/retired/**' --reason retired --dry-run"
    )]
    Add(Box<add::Options>),
    /// Every entry of every deny list, in the folder of policies and fetched.
    #[command(
        after_help = "Examples:\n  sealgate deny list\n  sealgate deny list --output json | jq \
            -r .reason"
    )]
    List(NoOptions),
    /// Take an entry back: by its number in the list, or by the digest, pattern, fingerprint, issuer
    /// or subject that it has.
    ///
    /// Exit code 1: there is no such entry, or several. 65: the files would be faulty, and nothing was
    /// written. 2: it could not be written, or is not known to be in force.
    #[command(after_help = "Examples:\n  sealgate deny remove 3\n  sealgate deny remove \
            sha256:0123…")]
    Remove(remove::Options),
    /// Fetch the lists of policy.deny_lists now, and say what came.
    ///
    /// The running gate fetches each at its times; this does so at once. Exit code 1: a list came and
    /// was refused (not signed, older than one that was taken, faulty), or there is no list NAME; 2: it could not be had, or is
    /// not in force. What was in force before stays.
    #[command(after_help = "Examples:\n  sealgate deny fetch\n  sealgate deny fetch fleet")]
    Fetch(fetched::FetchOptions),
    /// Take an older version of a fetched list: one was signed by mistake.
    ///
    /// The gate takes no list that is older than one it took. After this it takes the version that is
    /// named, or a later one; it is on record with its reason. Exit code 1: there is no such list, no
    /// version of it was taken, or none as new as the one that is named.
    #[command(after_help = "Examples:\n  sealgate deny lower fleet --to 41 \\\n    \
        --reason '42 was signed by mistake'")]
    Lower(fetched::LowerOptions),
}

/// Does it.
pub(super) fn run(command: &DenyCommand, settings: &Settings, screen: &mut Screen) -> Exit {
    let done = match command {
        DenyCommand::Add(options) => add::run(options, settings, screen),
        DenyCommand::List(NoOptions {}) => list::run(settings, screen),
        DenyCommand::Remove(options) => remove::run(options, settings, screen),
        DenyCommand::Fetch(options) => Ok(fetched::fetch(options, settings, screen)),
        DenyCommand::Lower(options) => Ok(fetched::lower(options, settings, screen)),
    };
    done.unwrap_or_else(|error| error.say(screen))
}
