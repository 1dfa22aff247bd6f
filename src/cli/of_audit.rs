//! [`AuditCommand`]: what can be asked of the record of every decision, and which command does it.

use clap::Subcommand;

use super::audit;
use super::init;
use super::terminal::no_options::NoOptions;
use super::terminal::screen::{Exit, Screen};
use super::trial::replay;
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
    /// Judge decisions on record again, by the evidence on this node under the policies and keys of
    /// today, and print what would be decided otherwise.
    ///
    /// The same image under the same names in the same namespace is judged once, and compared with
    /// the latest decision about it. Asks no registry and changes nothing. Exit code 0: nothing
    /// differs; 1: something does, or there is no such decision; 2: it cannot be told.
    #[command(after_help = "Examples:\n  \
        sealgate audit replay --since yesterday\n  \
        sealgate audit replay 019aa3f5c6d1-00000007-5b1e22c4")]
    Replay(replay::Options),
    /// One decision, whole; or, by its id, the story of a container: image, who signed it, what was
    /// looked at, under which policy in its text of then, and what happened when.
    #[command(after_help = "Examples:\n  sealgate audit show 019aa3f5c6d1-00000007-5b1e22c4\n  \
        sealgate audit show 3f2a9c41d07b")]
    Show(audit::Show),
    /// Whether the log is what was written: what was changed, cut, moved, doubled or is missing.
    ///
    /// Exit code 1 where something is, 2 where it cannot be told, as of a log without checkpoints.
    #[command(
        after_help = "Examples:\n  sealgate audit verify\n  sealgate audit verify --checkpoint \
        kept.checkpoint\n  sealgate audit verify --key node7.vkey --file node7/audit.jsonl.1 --file \
        node7/audit.jsonl"
    )]
    Verify(audit::verify::Verify),
    /// A proof that a record is in the log, which others check without it.
    #[command(
        after_help = "Examples:\n  sealgate audit prove 019aa3f5c6d1-00000007-5b1e22c4 --out \
        record.tlog-proof --line record.json"
    )]
    Prove(audit::prove::Prove),
    /// A proof that nothing before a checkpoint was changed until a later one.
    #[command(after_help = "Examples:\n  sealgate audit consistency monday.checkpoint \
        friday.checkpoint")]
    Consistency(audit::prove::Consistency),
    /// Send the log to a collector of logs, over OTLP: what it does not have yet.
    ///
    /// Sends the log's lines as they stand, in their order, each at least once, to otlp.endpoint of the
    /// configuration. Exit code 2 when the collector does not take them.
    #[command(after_help = "Examples:\n  sealgate audit export\n  sealgate audit export --follow")]
    Export(audit::export::Export),
    /// The form of a line of the log, as a JSON Schema.
    #[command(after_help = "Examples:\n  sealgate audit schema > audit.schema.json")]
    Schema(NoOptions),
}

impl AuditCommand {
    /// Whether it is about other logs than this node's.
    pub(super) fn is_elsewhere(&self) -> bool {
        match self {
            Self::Query(query) => query.is_elsewhere(),
            Self::Verify(options) => options.is_elsewhere(),
            Self::Tail(_)
            | Self::Replay(_)
            | Self::Show(_)
            | Self::Export(_)
            | Self::Schema(_)
            | Self::Prove(_)
            | Self::Consistency(_) => false,
        }
    }
}

/// Does it.
pub(super) fn run(command: &AuditCommand, settings: &Settings, screen: &mut Screen) -> Exit {
    match command {
        AuditCommand::Tail(options) => audit::tail(options, settings, screen),
        AuditCommand::Query(options) => audit::query(options, settings, screen),
        AuditCommand::Replay(options) => replay::run(options, settings, screen),
        AuditCommand::Show(options) => audit::show(options, settings, screen),
        AuditCommand::Verify(options) => audit::verify::run(options, settings, screen),
        AuditCommand::Prove(options) => audit::prove::run(options, settings, screen),
        AuditCommand::Consistency(options) => audit::prove::consistency(options, settings, screen),
        AuditCommand::Export(options) => audit::export::run(options, settings, screen),
        AuditCommand::Schema(NoOptions {}) => init::schema::log(screen),
    }
}
