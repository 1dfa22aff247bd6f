//! [`Refused`]: a refusal that is on record, in the words that the client is told.

use std::fmt;

use crate::audit::DecisionId;
use crate::cri::Refusal;

/// A refusal that is on record. Where the log cannot be written it stands all the same, and the
/// journal has it.
#[must_use]
#[derive(Debug)]
pub struct Refused {
    refusal: Refusal,
    /// The decision by which it is found in the log; none of a decision that was lost.
    decision: Option<DecisionId>,
}

impl Refused {
    /// Of what is on record as this decision.
    pub(super) const fn new(refusal: Refusal, decision: Option<DecisionId>) -> Self {
        Self { refusal, decision }
    }

    /// The decision ended in a panic before it was recorded; the panic is in the journal.
    pub(in crate::cri) const fn lost() -> Self {
        Self { refusal: Refusal::Lost, decision: None }
    }

    /// The reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.refusal.code()
    }

    pub(super) const fn refusal(&self) -> &Refusal {
        &self.refusal
    }

    pub(in crate::cri) fn into_refusal(self) -> Refusal {
        self.refusal
    }
}

impl fmt::Display for Refused {
    /// Why, and where the record of it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.decision {
            Some(decision) => write!(f, "{} [decision {decision}]", self.refusal),
            None => self.refusal.fmt(f),
        }
    }
}
