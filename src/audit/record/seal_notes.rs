//! What the log notes of its own seal after a start: [`LogBegan`], [`LogCut`], [`FoundBehind`] and
//! [`HeadNotKept`].

use serde::{Deserialize, Serialize};

use super::stamp::DecisionId;

/// There was a key and no checkpoint of it: the log begins, although it was sealed before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogBegan {
    /// Why, in words.
    pub reason: String,
}

/// The gate had signed more of the log than it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogCut {
    /// The first entry that is not as it was, by the checkpoints that are left.
    pub from: u64,
    /// How many entries there were.
    pub to: u64,
}

/// Lines stood behind the last checkpoint when the gate started: no checkpoint shows whether they are
/// as they were written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundBehind {
    /// How many.
    pub lines: u64,
    /// The id of the first of them, where it has one.
    pub first_id: Option<DecisionId>,
    /// Whether the gate had ended the log, so that no gate wrote them that seals it.
    pub stopped: bool,
}

/// The last checkpoint is not remembered beside the key, so that a log that is cut or removed while the
/// gate is down would not be noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadNotKept {
    /// Why.
    pub message: String,
}
