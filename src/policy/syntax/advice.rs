//! [`Advice`]: what is odd in a policy, and no error.

use std::fmt;

/// What is odd in a policy, and no error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// A regular expression without `^` and `$` of its own: upstream would match it anywhere in the
    /// text.
    AnchoredHere,
    /// A dot between letters, which any character matches.
    BareDot,
    /// A `*` in a text that is compared to the letter.
    NoWildcard,
    /// A field about evidence in a policy that asks for none: it does nothing.
    NoEvidenceAsked {
        /// The field.
        name: &'static str,
    },
    /// `maxOffline` in a policy that only warns: it refuses nothing, so it does nothing.
    RefusesNothing,
    /// `refreshAfter` is more than `maxOffline`: evidence ends before the registry is asked again
    /// in the background, so that a start waits for the registry, or is refused.
    RefreshBeyondOffline,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnchoredHere => f.write_str(
                "the expression is anchored at both ends here; cosign and policy-controller would \
                 match it anywhere: write ^(?:...)$ if they are to mean the same",
            ),
            Self::BareDot => f.write_str("a dot matches any character; write \\. for a dot"),
            Self::NoWildcard => f.write_str(
                "* is no wildcard here, the text is compared to the letter; a RegExp field has \
                 patterns",
            ),
            Self::NoEvidenceAsked { name } => {
                write!(
                    f,
                    "{name} does nothing here: the policy asks for no signature and no \
                     attestation; remove it"
                )
            }
            Self::RefusesNothing => f.write_str(
                "maxOffline does nothing in a policy that only warns: nothing is refused by it",
            ),
            Self::RefreshBeyondOffline => f.write_str(
                "refreshAfter is more than maxOffline: evidence ends before the registry is asked \
                 again in the background; make refreshAfter the smaller one",
            ),
        }
    }
}
