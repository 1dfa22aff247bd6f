//! [`Recorded`]: the proof that a decision is on record.

use super::stamp::DecisionId;

/// A decision is on record. Only the log makes one, when it has appended the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a decision may be acted on only when it is recorded"]
pub struct Recorded {
    durable: bool,
    id: DecisionId,
}

impl Recorded {
    pub(in crate::audit) const fn new(durable: bool, id: DecisionId) -> Self {
        Self { durable, id }
    }

    /// The decision that has the record: of one that was counted with those like it, the first of
    /// them. Its own where it is only tallied.
    #[must_use]
    pub const fn id(self) -> DecisionId {
        self.id
    }

    /// Whether the decision has a line of its own on disk; otherwise it is counted with others.
    #[must_use]
    pub const fn durable(self) -> bool {
        self.durable
    }
}
