//! [`Verdict`]: what was decided, in words that never stand in for each other. An image that runs
//! without proof has a word of its own, and is not called admitted.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The policies are satisfied, and at least one of them asked for proof.
    Admitted,
    /// Let through, although a policy that only warns is not satisfied.
    Warned,
    /// Let through, although no policy matches: `policy.unmatched` says so.
    Unmatched,
    /// Let through by policies that accept anything: nothing was asked for.
    Unverified,
    /// Let through by an exception, though the policies are not satisfied: somebody answers for it
    /// until a day.
    Excepted,
    /// Let through although nobody could check it: a registry could not be reached, and the policies
    /// say `onUnreachable: insecureAdmit`.
    Unchecked,
    /// Evaluated, and not satisfied.
    Refused,
    /// Could not be evaluated: something is there and cannot be read or may not be.
    Unable,
    /// Could not be evaluated: a registry or the runtime was out of reach.
    Unreachable,
}

impl Verdict {
    /// Every verdict, those that let an image run first.
    pub const ALL: [Self; 9] = [
        Self::Admitted,
        Self::Warned,
        Self::Unmatched,
        Self::Unverified,
        Self::Excepted,
        Self::Unchecked,
        Self::Refused,
        Self::Unable,
        Self::Unreachable,
    ];

    /// Whether it lets the image run, with proof or without.
    #[must_use]
    pub const fn is_admission(self) -> bool {
        match self {
            Self::Admitted
            | Self::Warned
            | Self::Unmatched
            | Self::Unverified
            | Self::Excepted
            | Self::Unchecked => true,
            Self::Refused | Self::Unable | Self::Unreachable => false,
        }
    }

    /// The word that records, the journal and people use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Warned => "warned",
            Self::Unmatched => "unmatched",
            Self::Unverified => "unverified",
            Self::Excepted => "excepted",
            Self::Unchecked => "unchecked",
            Self::Refused => "refused",
            Self::Unable => "unable",
            Self::Unreachable => "unreachable",
        }
    }
}

/// What became of a call: its verdict, and whether that was only observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::audit) struct Ended {
    pub(in crate::audit) verdict: Verdict,
    pub(in crate::audit) observed: bool,
}

impl Ended {
    /// Whether the image was let through: by the verdict, or since the gate only observed.
    pub(in crate::audit) const fn lets_through(self) -> bool {
        self.verdict.is_admission() || self.observed
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
