//! [`EvidenceProvenance`]: where the evidence of a decision came from, and how old it is.
//!
//! How old it may be is decided where it is used.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where evidence came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EvidenceSource {
    /// From memory: the verdict itself, or the evidence that it was made of.
    Memory,
    /// From the evidence store on this node.
    Evidence,
    /// From a registry, for this decision.
    Registry,
}

/// Where evidence came from, and when its place last showed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvidenceProvenance {
    /// Where this decision had it from.
    pub source: EvidenceSource,
    /// When it was fetched from its registry.
    pub fetched: Timestamp,
}

impl EvidenceProvenance {
    /// As an answer has it: where the verdict is `cached`, the evidence is from memory too.
    #[must_use]
    pub fn of_answer(self, cached: bool) -> Self {
        if cached { Self { source: EvidenceSource::Memory, ..self } } else { self }
    }
}

impl fmt::Display for EvidenceSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Evidence => "evidence",
            Self::Registry => "registry",
        })
    }
}
