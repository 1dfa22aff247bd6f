//! [`Imported`]: what came of an import.

use super::error::Skipped;
use crate::evidence_store::Entry;

/// Reasons that are kept for people; the rest is counted.
const REASONS_MAX: usize = 256;

/// What came of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// What was put, as it was put.
    pub entries: Vec<Entry>,
    /// What was passed over (a digest, as it stands in the layout), and why; the first few hundred.
    pub skipped: Vec<(String, Skipped)>,
    /// How many more were.
    pub skipped_more: usize,
}

impl Imported {
    /// Notes what was passed over.
    pub(super) fn skip(&mut self, what: &str, why: Skipped) {
        if self.skipped.len() < REASONS_MAX {
            // Untrusted, and shown to people: no longer than a digest.
            self.skipped.push((what.chars().take(80).collect(), why));
        } else {
            self.skipped_more = self.skipped_more.saturating_add(1);
        }
    }
}
