//! The `sealgate` binary: hands the command line to the library and returns its exit code.
//!
//! It decides nothing itself.

use std::process::ExitCode;

fn main() -> ExitCode {
    sealgate::cli::main()
}
