//! [`AuditCommand`]: what can be asked of the record of every decision, and which command does it.

use clap::Subcommand;

use super::audit;
use super::init;
use super::terminal::no_options::NoOptions;
use super::terminal::screen::{Exit, Screen};
use crate::config::Settings;

/// What to ask of the record.
#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// The latest decisions.
    #[command(after_help = "Examples:\n  \
        sealgate audit tail\n  sealgate audit tail -n 50 --refused\n  sealgate audit tail --follow \
        --output json")]
    Tail(Box<audit::Tail>),
    /// Ask the log: by time, image, digest, pod, container, signer, verdict and more, over its older
    /// files and over the logs of other nodes.
    ///
    /// Prints every line for which all that is asked holds, the oldest first. Exit code 0 when there
    /// is one, 1 when there is none, 2 when something could not be read, whatever was found, 66 when
    /// a file that is named is not there.
    #[command(after_help = "Examples:\n  \
        sealgate audit query --since 2h --refused\n  \
        sealgate audit query --since 'fri 18:00' --until 'sat 06:00' --namespace prod\n  \
        sealgate audit query --digest sha256:3c7f --output csv > who-ran-it.csv\n  \
        sealgate audit query --key leaked.pub --file node-*/audit.jsonl\n  \
        zcat old.jsonl.gz | sealgate audit query --file - --code unsigned")]
    Query(Box<audit::Query>),
    /// One decision, whole.
    #[command(after_help = "Examples:\n  sealgate audit show 019aa3f5c6d1-00000007-5b1e22c4")]
    Show(audit::Show),
    /// The form of a line of the log, as a JSON Schema.
    #[command(after_help = "Examples:\n  sealgate audit schema > audit.schema.json")]
    Schema(NoOptions),
}

impl AuditCommand {
    /// Whether it is about other logs than this node's.
    pub(super) fn is_elsewhere(&self) -> bool {
        match self {
            Self::Query(query) => query.is_elsewhere(),
            Self::Tail(_)
            | Self::Show(_)
            | Self::Schema(_) => false,
        }
    }
}

/// Does it.
pub(super) fn run(command: &AuditCommand, settings: &Settings, screen: &mut Screen) -> Exit {
    match command {
        AuditCommand::Tail(options) => audit::tail(options, settings, screen),
        AuditCommand::Query(options) => audit::query(options, settings, screen),
        AuditCommand::Show(options) => audit::show(options, settings, screen),
        AuditCommand::Schema(NoOptions {}) => init::schema::log(screen),
    }
}
