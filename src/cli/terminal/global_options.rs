//! [`GlobalOptions`]: what every command takes, before or after its name.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, ValueEnum as _};

use super::screen::{Color, Output, Printing};
use crate::config;

/// The variable that names the configuration where `--config` does not.
const CONFIG_VARIABLE: &str = "SEALGATE_CONFIG";

/// What the exit codes say, in the help of the program.
pub(in crate::cli) const EXIT_CODES: &str = "Exit codes:\n  \
    0  admitted, or done\n  \
    1  refused; or what was looked for is wrong, or is not there\n  \
    2  unable: nothing could be decided or done (network, gate, permissions)\n  \
    64 the command line is wrong\n  \
    65 files are faulty: policies, keys, the configuration, cases, manifests\n  \
    66 a file or folder that is named is not there";

/// Where the configuration is, and how to print.
#[derive(Debug, Args)]
pub(in crate::cli) struct GlobalOptions {
    /// The configuration file; drop-ins are read from the folder of the same name with `.d`.
    /// Without this, SEALGATE_CONFIG of the environment names it, or it is
    /// /etc/sealgate/config.toml.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to print: for people, or for programs, as one JSON value, or one a line where there are
    /// many.
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORM",
        default_value = "text",
        value_parser = forms(["text", "json"])
    )]
    output: Output,
    /// Print only what went wrong: the exit code is the answer.
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Whether to colour answers: on a terminal (unless NO_COLOR is set), always, or never.
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    color: Color,
}

/// The forms that a command has; those with more than every command have an option of their own.
pub(in crate::cli) fn forms<const N: usize>(
    forms: [&'static str; N],
) -> impl clap::builder::TypedValueParser<Value = Output> {
    PossibleValuesParser::new(forms).try_map(|text| Output::from_str(&text, false))
}

impl GlobalOptions {
    /// The configuration file.
    pub(in crate::cli) fn config(&self) -> PathBuf {
        let named = || std::env::var_os(CONFIG_VARIABLE).filter(|name| !name.is_empty());
        let chosen = self.config.clone().or_else(|| named().map(PathBuf::from));
        chosen.unwrap_or_else(|| config::DEFAULT_PATH.into())
    }

    /// How to print.
    pub(in crate::cli) fn printing(&self) -> Printing {
        Printing { output: self.output, color: self.color, quiet: self.quiet }
    }
}
