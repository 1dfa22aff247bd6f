//! The `sealgate` binary: hands the command line to the library and returns its exit code.
//!
//! It decides nothing itself. It also names the allocator of the whole process.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Gives back what a flood took, within seconds and in whichever order it was freed.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    sealgate::cli::main()
}
