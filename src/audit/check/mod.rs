//! Whether a log is what was written: [`check`] walks its files once and compares every line with
//! what the checkpoints say, [`prove`] and [`consistency`] make what others can check.
//!
//! Each line is hashed and forgotten: of a log of any size one line is held, and eight bytes for each
//! line since the last checkpoint. Where a checkpoint does not fit, `window` names the lines; the
//! walk goes on from what that checkpoint says, so that one wrong line hides no other.

mod fault;
mod files;
mod front;
mod prove;
mod report;
mod said;
mod walk;
mod window;

pub use fault::{Found, LogFault};
pub use files::{LogFiles, files_of, listed};
pub use prove::{ProveError, ProvenRecord, consistency, prove};
pub use report::{Against, LogReport};
pub use walk::{CheckPlan, check};
