//! [`Case`]: what one evaluation is given.

use crate::evidence::{Evidence, Subject};
use crate::policy::set::applicable::Applicable;
use crate::verify::VerificationCache;

/// What is judged.
#[derive(Debug, Clone, Copy)]
pub struct Case<'c> {
    /// What is about to run.
    pub subject: &'c Subject,
    /// The documents that matched, from this very set.
    pub applicable: &'c Applicable,
    /// What was gathered, about the target and about the child.
    pub evidence: &'c [&'c Evidence],
    /// When it is judged.
    pub now: jiff::Timestamp,
    /// What was proven before.
    pub proofs: &'c VerificationCache,
}
