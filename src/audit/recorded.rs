//! [`Recorded`]: the proof that a decision is on record.

/// A decision is on record. Only [`Log::append`](super::Log::append) makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a decision may be acted on only when it is recorded"]
pub struct Recorded {
    durable: bool,
}

impl Recorded {
    pub(super) const fn new(durable: bool) -> Self {
        Self { durable }
    }

    /// Whether the decision has a line of its own on disk; otherwise it is counted with others.
    #[must_use]
    pub const fn durable(self) -> bool {
        self.durable
    }
}
