//! Trying policies before they are in force: what a candidate would change on this node ([`diff`]),
//! and whether they say of recorded cases what they must ([`test`]); and judging what is on record
//! again ([`replay`]).
//!
//! Everything is judged by the gate's own judge, from evidence on this node and with no network.
//! Nothing is changed.

mod change;
pub(super) mod diff;
mod history;
pub(super) mod item;
mod junit;
pub(super) mod node;
pub(super) mod replay;
mod report;
mod said;
pub(super) mod scratch;
pub(super) mod test;
mod tested;
