//! [`NoOptions`]: of a verb that takes none.

use clap::Args;

/// A command without options of its own.
#[derive(Debug, Args)]
pub(in crate::cli) struct NoOptions {}
