//! [`Head`]: what every kind of document has, its name and its place; [`ListHead`]: what a fetched
//! list says of itself besides.

use jiff::Timestamp;

use crate::policy::position::Position;

/// What every kind of document has.
#[derive(Debug, Clone)]
pub(in crate::policy) struct Head {
    pub(in crate::policy) name: String,
    pub(in crate::policy) file: String,
    pub(in crate::policy) position: Position,
}

/// What a fetched list says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListHead {
    /// Its name.
    pub name: String,
    /// Where it came from, as the configuration has it.
    pub source: String,
    /// Which one it is; a later one has a higher number. At least 1.
    pub version: u64,
    /// When it was made.
    pub issued: Timestamp,
    /// Until when there should be another one. It denies all the same after that.
    pub expires: Timestamp,
    /// How many entries it has.
    pub entries: usize,
}
