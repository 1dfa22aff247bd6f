//! Words for humans: the command line, its help, its exit codes ([`Exit`]) and how answers are
//! printed ([`Screen`]).
//!
//! Every command works on what the library gives; nothing here decides about an image.

mod audit;
mod cache;
mod clock;
mod completion;
mod deny;
mod evidence;
mod impact;
mod init;
mod node;
mod of_audit;
mod of_policies;
mod policy;
mod status;
mod terminal;
mod trial;
mod trust;
mod verify;
mod verify_bundle;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use deny::DenyCommand;
use evidence::EvidenceCommand;
use node::running;
use of_audit::AuditCommand;
use of_policies::{KeysCommand, PolicyCommand};
pub use terminal::screen::{Color, Exit, Output, Printing, Screen};

use terminal::command_error::CommandError;
use terminal::global_options::{EXIT_CODES, GlobalOptions};
use terminal::no_options::NoOptions;
use trial::{diff, test};

use crate::config::{self, Settings};
use crate::daemon::{self, DaemonError};

/// What the program is, in its help.
#[derive(Debug, Parser)]
#[command(
    name = "sealgate",
    version,
    about = "A gate between the kubelet and containerd: nothing unverified runs",
    after_help = format!("Examples:\n  \
        sealgate verify registry.example.com/prod/app:1.2    would this image be admitted, and \
        why\n  \
        sealgate policy check                                is the policy folder sound\n  \
        sealgate audit tail --refused                        what was refused lately\n  \
        sealgate evidence list                               what is kept for when the network is \
        away\n  \
        sealgate status                                      how the running gate is\n\n\
        {EXIT_CODES}")
)]
struct Cli {
    #[command(flatten)]
    global: GlobalOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the CRI and gate it. What sealgate.service runs.
    ///
    /// Exit code 65 where the configuration or the policies are faulty, 66 where they are not there, 2
    /// where it cannot start otherwise.
    #[command(after_help = "Examples:\n  sealgate run\n  sealgate run --config ./config.toml")]
    Run,
    /// Decide about images as the gate would, from here and now, and say why.
    ///
    /// Asks the registry with this node's credentials and judges under this node's policies, or
    /// those that are named. Nothing is pulled, nothing is remembered, nothing is recorded. Exit code
    /// 1 where one is refused, else 2 where one could not be decided on.
    #[command(after_help = "Examples:\n  \
        sealgate verify registry.example.com/prod/app:1.2\n  \
        sealgate verify --namespace prod-eu registry.example.com/prod/app@sha256:0123…\n  \
        sealgate verify -f deployment.yaml --policies ./policies --keys ./keys\n  \
        sealgate verify --local registry.example.com/prod/app:1.2\n  \
        sealgate verify -o json registry.example.com/prod/app:1.2 | jq .policies")]
    Verify(verify::Options),
    /// Judge a Sigstore bundle in hand: who signed this file, when, and in which log it is.
    ///
    /// Needs no configuration and no network, and judges under no policy. The bundle must have an
    /// entry in a log of the trusted root, and every entry of such a log must hold. Timestamps that
    /// do not hold and entries of other logs count for nothing.
    #[command(after_help = "Examples:\n  \
        sealgate verify-bundle --bundle app.sigstore.json \\\n    \
        --certificate-identity release@acme.example \\\n    \
        --certificate-oidc-issuer https://accounts.google.com app.tar.gz\n  \
        sealgate verify-bundle --bundle app.sigstore.json --key cosign.pub sha256:0123…")]
    VerifyBundle(verify_bundle::Options),
    /// Look at policy documents.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Keys of the policies.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Read the record of every decision.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// How the running gate is.
    #[command(after_help = "Examples:\n  sealgate status\n  sealgate status --output json | jq \
            .policy.generation")]
    Status,
    /// Have the running gate read its policies, keys and trust roots again, wait for it, and print
    /// what is in force then.
    ///
    /// The whole set is taken, or nothing: where a file is faulty, the faults are printed with file
    /// and line, and what was in force before stays. systemctl reload sealgate does the same. Exit
    /// code 1 with faults, 2 when the gate could not be asked.
    #[command(after_help = "Examples:\n  sealgate reload\n  sealgate reload --output json | jq \
            .policy.generation\n  sealgate reload --allow-empty /etc/sealgate/policies\n  sealgate \
            reload --allow-lost-list fleet")]
    Reload(node::reload::Options),
    /// Look over this node: whether everything is in its place, and nothing goes around the gate.
    ///
    /// One line for each matter, ok, warn or fail, with the file and line where it was found and what
    /// mends it. Changes nothing. Useful before the kubelet is switched over to the gate and after.
    /// Exit code 1 when a line fails.
    #[command(
        after_help = "Examples:\n  sudo sealgate doctor\n  sudo sealgate doctor --network\n  sudo sealgate doctor --output json \
            | jq '.[] | select(.outcome != \"ok\")'"
    )]
    Doctor(node::doctor::Options),
    /// Have the running gate test itself: an unsigned image must be refused on the kubelet's socket.
    ///
    /// The gate does so by itself once a minute (canary.every_seconds). Exit code 1 when something
    /// speaks against it: another process on the socket, policies that admit everything, a kubelet
    /// that uses another socket or does not call.
    #[command(after_help = "Examples:\n  sealgate canary\n  sealgate canary --output json | jq \
            .doubts")]
    Canary(NoOptions),
    /// Answer containerd's image verifier (bindir), by what the running gate decides.
    ///
    /// containerd 2.0 and later asks each program in its folder before the transfer service pulls:
    /// put the program there under the name sealgate-image-verifier. Exit code 0 when the image may
    /// be pulled; the reason is on standard output.
    #[command(after_help = "Examples:\n  \
        ln -s /usr/bin/sealgate /opt/containerd/image-verifier/bin/sealgate-image-verifier\n  \
        sealgate image-verifier -name registry.example.com/prod/app:1.2 -digest sha256:0123… \\\n    \
        -stdin-media-type application/vnd.oci.descriptor.v1+json < descriptor.json")]
    ImageVerifier(node::image_verifier::Options),
    /// Have the running gate go over every container and image of the runtime, and show how each
    /// stands: admitted, would be refused now, started before the gate, went around it.
    ///
    /// Evidence on this node decides first; registries are asked behind all calls about what it does
    /// not tell. Nothing is stopped.
    #[command(
        after_help = "Examples:\n  sealgate running\n  sealgate running --all --output json | \
            jq '.rows[] | select(.standing == \"would-be-refused\")'"
    )]
    Running(running::Options),
    /// What the running gate remembers.
    #[command(subcommand)]
    Cache(CacheCommand),
    /// The time as of which the gate judges.
    #[command(subcommand)]
    Clock(ClockCommand),
    /// Trust roots: the authorities and logs behind keyless signatures.
    #[command(subcommand)]
    Trust(TrustCommand),
    /// What is struck off for every policy at once.
    #[command(subcommand)]
    Deny(DenyCommand),
    /// What of this node was admitted on the strength of a key, an identity, a certificate, an entry of
    /// a log, an image or a repository: what was ever, what runs now, and what would still be admitted
    /// without it.
    ///
    /// Reads the log, the runtime's list and the evidence on this node, and asks no registry. With
    /// --deny it is put on a deny list first, as by sealgate deny add, with its exit codes. Otherwise exit
    /// code 0: nothing rests on it; 1: something does; 2: it cannot be told whole.
    #[command(
        override_usage = "sealgate impact <WHAT> [--deny --reason <TEXT>] [OPTIONS]\n\n  \
        WHAT is one of the options that name what is asked about",
        after_help = "Examples:\n  \
        sealgate impact --key build.pub\n  \
        sealgate impact --fingerprint sha256:0123… --deny --reason INC-4711\n  \
        sealgate impact --identity release@acme.example --output json | jq '.images[].running'"
    )]
    Impact(Box<impact::Options>),
    /// Evidence on this node: the signatures by which images start with no network.
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Print the script by which a shell completes this command line. `make install` puts those of
    /// bash, zsh and fish where the shells look.
    #[command(after_help = "Examples:\n  source <(sealgate completion bash)")]
    Completion(completion::Options),
    /// Which version this is, of which commit, and made by which compiler.
    #[command(
        after_help = "Examples:\n  sealgate version\n  sealgate version --output json | jq -r \
            .commit"
    )]
    Version(NoOptions),
}

#[derive(Debug, Subcommand)]
enum CacheCommand {
    /// Forget every verdict, and doubt the evidence on disk: the next decision about each image
    /// asks the registry first.
    #[command(after_help = "Examples:\n  sealgate cache flush")]
    Flush(NoOptions),
}

#[derive(Debug, Subcommand)]
enum ClockCommand {
    /// Have the running gate judge as of what the node's clock says, although decisions were
    /// recorded at a later time.
    ///
    /// The gate judges nothing as of an earlier time than that of its latest record, so that what
    /// ended stays ended when the clock is set back. Where the clock was ahead once and is right
    /// now, that time lies in the future, and keys count as ended that have not. Look at the clock
    /// first; the audit log keeps a note of this.
    #[command(after_help = "Examples:\n  timedatectl && sealgate clock lower")]
    Lower(NoOptions),
}

#[derive(Debug, Subcommand)]
enum TrustCommand {
    /// Fetch what is published now of one trust root, or of all that the configuration names, check
    /// it and put it in place.
    ///
    /// Whatever goes wrong, the root in place stays. The running gate takes a new one at its next
    /// reload.
    #[command(after_help = "Examples:\n  \
        sealgate trust update\n  \
        sealgate trust update --name acme --mirror https://tuf.acme.example --root acme.root.json")]
    Update(trust::Update),
    /// Every trust root that policies can name: where it is, what is in it, until when.
    #[command(
        after_help = "Examples:\n  sealgate trust list\n  sealgate trust list --output json | jq \
            .name"
    )]
    List(NoOptions),
}

/// Runs the program and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    daemon::hide_memory();
    let cli = match Cli::try_parse_from(arguments(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            // The message repeats the argument, which may come from a record that an attacker wrote
            // (attack E3).
            let words = error.render().to_string();
            let (output, color, quiet) = (Output::Text, Color::Auto, false);
            Screen::of_terminal(Printing { output, color, quiet })
                .complain(words.trim_start_matches("error: ").trim_end());
            return Exit::Usage.into();
        }
        Err(help) => {
            // Nowhere to say that the terminal is gone.
            drop(help.print());
            return Exit::Done.into();
        }
    };
    let mut screen = Screen::of_terminal(cli.global.printing());
    let config = cli.global.config();
    if let Some(exit) = run_without_settings(&cli.command, &config, &mut screen) {
        return exit.into();
    }
    let exit = match settings(&cli.command, &config) {
        Ok(mut settings) => {
            settings.registry.inherit(&daemon::environment());
            run(cli.command, &settings, &config, &mut screen)
        }
        Err(error) if matches!(cli.command, Command::ImageVerifier(_)) => {
            node::image_verifier::say(Exit::Unable, &error.to_string(), &mut screen)
        }
        Err(error) => CommandError::from(error).say(&mut screen),
    };
    exit.into()
}

/// Runs the commands that need no configuration, and so are not kept from their work by a faulty
/// one; none for any other.
fn run_without_settings(command: &Command, config: &Path, screen: &mut Screen) -> Option<Exit> {
    match command {
        Command::VerifyBundle(options) => Some(verify_bundle::run(options, screen)),
        Command::Completion(options) => Some(completion::run(options, Cli::command(), screen)),
        Command::Verify(options) => Some(verify::run(options, config, screen)),
        Command::Version(NoOptions {}) => Some(node::version::run(screen)),
        Command::Policy(PolicyCommand::Check(options)) => {
            Some(policy::check::run(options, config, screen))
        }
        Command::Policy(PolicyCommand::Import(options)) => {
            Some(policy::import::run(options, screen))
        }
        Command::Policy(PolicyCommand::Explain(options)) => {
            Some(policy::explain::run(options, config, screen))
        }
        Command::Policy(PolicyCommand::Schema(NoOptions {})) => {
            Some(init::schema::policies(screen))
        }
        Command::Audit(AuditCommand::Schema(NoOptions {})) => Some(init::schema::log(screen)),
        Command::Run
        | Command::Policy(
            PolicyCommand::Observed(_)
            | PolicyCommand::Diff(_)
            | PolicyCommand::Test(_)
            | PolicyCommand::Init(_)
            | PolicyCommand::List(_),
        )
        | Command::Keys(_)
        | Command::Audit(_)
        | Command::Status
        | Command::Reload(_)
        | Command::Doctor(_)
        | Command::Canary(_)
        | Command::ImageVerifier(_)
        | Command::Running(_)
        | Command::Cache(_)
        | Command::Clock(_)
        | Command::Trust(_)
        | Command::Deny(_)
        | Command::Impact(_)
        | Command::Evidence(_) => None,
    }
}

/// The command line; containerd runs its image verifiers with arguments of its own.
fn arguments(given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = given.collect();
    let program = arguments.first().map(Path::new).and_then(Path::file_name);
    if program.is_some_and(|name| name == node::image_verifier::PROGRAM) {
        arguments.insert(1, "image-verifier".into());
    }
    arguments
}

/// The configuration; the defaults where there is none, for cases and for logs of other nodes, which
/// are not about this one, and for policies to begin with.
fn settings(command: &Command, config: &Path) -> Result<Settings, config::ConfigError> {
    let needs_none =
        matches!(command, Command::Policy(PolicyCommand::Test(_) | PolicyCommand::Init(_)))
            || matches!(command, Command::Audit(command) if command.is_elsewhere());
    if needs_none && matches!(config.try_exists(), Ok(false)) {
        return config::parse(&[]);
    }
    config::load(config)
}

fn run(command: Command, settings: &Settings, path: &Path, screen: &mut Screen) -> Exit {
    match command {
        Command::Run => match daemon::run(settings, path) {
            Ok(()) => Exit::Done,
            Err(error) => {
                screen.complain(&error.to_string());
                match error {
                    DaemonError::Policy(faults) => CommandError::from(faults).exit(),
                    DaemonError::Part { .. } => Exit::Unable,
                }
            }
        },
        Command::Verify(options) => verify::run(&options, path, screen),
        Command::VerifyBundle(options) => verify_bundle::run(&options, screen),
        Command::Policy(PolicyCommand::Check(options)) => {
            policy::check::run(&options, path, screen)
        }
        Command::Policy(PolicyCommand::Explain(options)) => {
            policy::explain::run(&options, path, screen)
        }
        Command::Policy(PolicyCommand::Observed(options)) => {
            policy::observed::run(&options, settings, screen)
        }
        Command::Policy(PolicyCommand::Import(options)) => policy::import::run(&options, screen),
        Command::Policy(PolicyCommand::Diff(options)) => diff::run(&options, settings, screen),
        Command::Policy(PolicyCommand::Test(options)) => test::run(&options, settings, screen),
        Command::Policy(PolicyCommand::Init(options)) => {
            init::command::run(&options, settings, screen)
        }
        Command::Policy(PolicyCommand::List(NoOptions {})) => policy::list::run(settings, screen),
        Command::Policy(PolicyCommand::Schema(NoOptions {})) => init::schema::policies(screen),
        Command::Keys(KeysCommand::List(NoOptions {})) => policy::keys::run(settings, screen),
        Command::Audit(command) => of_audit::run(&command, settings, screen),
        Command::Status => status::run(settings, screen),
        Command::Reload(options) => node::reload::run(&options, settings, screen),
        Command::Doctor(options) => node::doctor::run(&options, settings, screen),
        Command::Canary(NoOptions {}) => node::canary::run(settings, screen),
        Command::ImageVerifier(options) => node::image_verifier::run(&options, settings, screen),
        Command::Running(options) => running::run(&options, settings, screen),
        Command::Cache(CacheCommand::Flush(NoOptions {})) => cache::flush(settings, screen),
        Command::Clock(ClockCommand::Lower(NoOptions {})) => clock::lower(settings, screen),
        Command::Trust(TrustCommand::Update(options)) => trust::update(&options, settings, screen),
        Command::Deny(command) => deny::run(&command, settings, screen),
        Command::Impact(options) => impact::run(&options, settings, screen),
        Command::Evidence(command) => evidence::run(&command, settings, screen),
        Command::Trust(TrustCommand::List(NoOptions {})) => trust::list(settings, screen),
        Command::Completion(options) => completion::run(&options, Cli::command(), screen),
        Command::Version(NoOptions {}) => node::version::run(screen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Command, clap::Error> {
        Cli::try_parse_from(arguments(words.iter().map(OsString::from))).map(|cli| cli.command)
    }

    #[test]
    fn every_command_takes_the_same_options_before_and_after_its_name() {
        Cli::command().debug_assert();
        let printing = |words: &[&str]| {
            let all = ["sealgate"].iter().chain(words).map(OsString::from);
            Cli::try_parse_from(all).map(|cli| cli.global.printing())
        };
        for words in [["-o", "json", "-q", "status"], ["status", "--quiet", "-o", "json"]] {
            let printing = printing(&words).unwrap();
            assert!(printing.quiet && printing.output == Output::Json, "{words:?}");
        }
        let check = printing(&["policy", "check", "--color", "never", "-o", "sarif", "."]).unwrap();
        assert_eq!((check.output, check.color), (Output::Sarif, Color::Never));
        for form in ["sarif", "github"] {
            assert!(printing(&["-o", form, "status"]).is_err(), "{form}");
        }
    }

    #[test]
    fn the_program_is_a_verifier_by_its_name_with_containerds_own_arguments() {
        let words = ["-name", "a.test/x:1", "-digest", "sha256:0", "-stdin-media-type", "x"];
        let by_name = "/opt/containerd/image-verifier/bin/sealgate-image-verifier";
        for program in [&[by_name][..], &["sealgate", "image-verifier"]] {
            let command = parsed(&[program, &words].concat()).unwrap();
            assert!(matches!(command, Command::ImageVerifier(_)), "{command:?}");
        }
        assert!(parsed(&[&["sealgate"][..], &words].concat()).is_err());
    }
}
