//! The command line as people meet it: what is written to the screen, and options that several
//! verbs share.

pub(super) mod field;
pub(super) mod gate;
pub(super) mod no_options;
pub(super) mod screen;
pub(super) mod signer;
