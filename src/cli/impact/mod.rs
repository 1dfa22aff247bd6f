//! `sealgate impact`: what of this node was admitted on the strength of a key, an identity, an entry
//! of a log, an image or a repository, and what would be admitted without it.
//!
//! The log says what was ever admitted, the runtime what runs, and the evidence that is kept what
//! would be admitted if a deny list named it. With `--deny` it is put on one, as by
//! `sealgate deny add`.

mod affected;
mod command;
mod report;
mod standing;
mod strength;

pub(super) use command::{Options, run};
