//! `sealgate impact`: what of this node was admitted on the strength of a key, an identity, an entry
//! of a log, an image or a repository, and what would be admitted without it.
//!
//! The log says what was ever admitted, the runtime what runs, and the evidence that is kept what
//! would be admitted if a deny list named it. With `--deny` it is put on one first, as by
//! `sealgate deny add`. Where a record leaves out what would tell, that is said, and never taken for
//! nothing.

mod affected;
mod carries;
mod command;
mod judging;
mod report;
mod standing;
mod strength;
mod under;

pub(super) use command::{Options, run};
