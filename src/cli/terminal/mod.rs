//! The command line as people meet it: what is written to the screen, and options that several
//! verbs share.

pub(super) mod command_error;
pub(super) mod field;
mod fold;
pub(super) mod gate;
pub(super) mod global_options;
pub(super) mod key_file;
pub(super) mod no_options;
pub(super) mod screen;
pub(super) mod signer;
