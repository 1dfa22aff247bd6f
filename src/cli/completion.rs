//! `sealgate completion`: the script by which a shell completes the command line, made from the
//! definition that also parses it.

use clap::{Args, Command, ValueEnum};
use clap_complete::generate;
use clap_complete::shells::{Bash, Fish, Zsh};

use super::terminal::screen::{Exit, Screen};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Shells that there is a script for.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    /// Read at start from `bash-completion/completions`.
    Bash,
    /// Read at start from `zsh/site-functions`.
    Zsh,
    /// Read at start from `fish/vendor_completions.d`.
    Fish,
}

/// Prints the script for a shell.
pub(super) fn run(options: &Options, mut command: Command, screen: &mut Screen) -> Exit {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    match options.shell {
        Shell::Bash => generate(Bash, &mut command, name, &mut script),
        Shell::Zsh => generate(Zsh, &mut command, name, &mut script),
        Shell::Fish => generate(Fish, &mut command, name, &mut script),
    }
    screen.line(String::from_utf8_lossy(&script).trim_end());
    Exit::Done
}
