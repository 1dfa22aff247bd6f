//! [`Asked`]: what a policy asks, as a tree, in the words in which a refusal says what is missing.

use serde::Serialize;

use super::denied::Signatures;
use crate::image::Digest;
use crate::policy::evaluate::denial_message::asked;
use crate::policy::requirement::attestor::{Attestor, AttestorKind};
use crate::policy::requirement::slsa::Slsa;
use crate::policy::requirement::solve::Tree;
use crate::policy::requirement::{Demand, Leaf};
use crate::policy::sanitize::{bounded, escaped};
use crate::policy::set::denials::DeniedBy;
use crate::policy::set::{PolicySet, Rule};

/// Longest condition that is shown, in bytes.
const CONDITION_SHOWN: usize = 240;
/// Seconds of a day.
const DAY: i64 = 24 * 60 * 60;

/// What a policy asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum Asked {
    /// Nothing: it accepts anything.
    Anything,
    /// Nothing: it only denies.
    Nothing,
    /// So many of these, by distinct signers.
    AtLeast {
        /// How many.
        count: usize,
        /// Of which.
        of: Vec<Self>,
    },
    /// One requirement.
    Requirement {
        /// Its name.
        name: String,
        /// What: `valid signature by key build.pub (sha256:...)`.
        wants: String,
        /// What must be so beside.
        and: Vec<String>,
        /// Whether the digest that was named is one of those that are listed; none where that is
        /// not the question, or no digest was named.
        #[serde(skip_serializing_if = "Option::is_none")]
        is_met: Option<bool>,
        /// What denies every signer that it takes, so that nothing signed meets it; none where one
        /// is left.
        #[serde(skip_serializing_if = "Option::is_none")]
        denied: Option<DeniedBy>,
    },
}

impl Asked {
    /// Whether anything that is signed could meet it: a digest that is named and not listed is not.
    pub(super) fn can_be_met(&self) -> bool {
        self.is_left(&|one| !matches!(one, Self::Requirement { is_met: Some(false), .. }))
    }

    /// What denies the signers without whom it cannot be met; none where it can be without them.
    pub(super) fn denied(&self) -> Option<&DeniedBy> {
        let is_left = self.is_left(&|one| {
            !matches!(
                one,
                Self::Requirement { is_met: Some(false), .. }
                    | Self::Requirement { denied: Some(_), .. }
            )
        });
        if is_left { None } else { self.first_denied() }
    }

    fn first_denied(&self) -> Option<&DeniedBy> {
        match self {
            Self::Anything | Self::Nothing => None,
            Self::AtLeast { of, .. } => of.iter().find_map(Self::first_denied),
            Self::Requirement { denied, .. } => denied.as_ref(),
        }
    }

    /// Whether enough of it is left where of the requirements those are that `is` says.
    fn is_left(&self, is: &dyn Fn(&Self) -> bool) -> bool {
        match self {
            Self::Anything | Self::Nothing => true,
            Self::AtLeast { count, of } => {
                of.iter().filter(|one| one.is_left(is)).count() >= *count
            }
            Self::Requirement { .. } => is(self),
        }
    }
}

/// What this policy asks of an image of this digest.
pub(super) fn of(set: &PolicySet, rule: &Rule, digest: Option<&Digest>) -> Asked {
    let document = &rule.document;
    if document.only_denies {
        return Asked::Nothing;
    }
    if document.require.accepts_anything {
        return Asked::Anything;
    }
    tree(&document.require.tree, (set, rule), digest)
}

fn tree(tree_of: &Tree, (set, rule): (&PolicySet, &Rule), digest: Option<&Digest>) -> Asked {
    match tree_of {
        Tree::AtLeast(count, of) => {
            let of = of.iter().map(|one| tree(one, (set, rule), digest)).collect();
            Asked::AtLeast { count: *count, of }
        }
        Tree::Leaf(number) => {
            match (rule.document.require.leaves.get(*number), rule.trusts.get(*number)) {
                (Some(leaf), Some(trust)) => Asked::Requirement {
                    name: escaped(&leaf.name),
                    wants: asked(leaf, trust),
                    and: and(leaf),
                    is_met: digest.and_then(|digest| lists(leaf, digest)),
                    denied: set.every_signer_denied((leaf, trust), Signatures::Any),
                },
                _ => Asked::Nothing,
            }
        }
    }
}

fn lists(leaf: &Leaf, digest: &Digest) -> Option<bool> {
    match &leaf.demand {
        Demand::Digest(digests) => Some(digests.contains(digest)),
        Demand::Signature { .. } | Demand::Attestation { .. } => None,
    }
}

/// What must be so beside the signature.
fn and(leaf: &Leaf) -> Vec<String> {
    let mut said = Vec::new();
    match &leaf.demand {
        Demand::Digest(_) => {}
        Demand::Signature { attestor, identity } => {
            said.extend(identity.words());
            said.extend(beside(attestor));
        }
        Demand::Attestation { attestor, constraint } => {
            let slsa = constraint.slsa.as_ref();
            let wishes = Slsa::FIELDS.iter().filter_map(|field| {
                let wanted = slsa?.written(field)?;
                Some(format!("{field} {}", escaped(wanted)))
            });
            said.extend(wishes);
            said.extend(constraint.condition.as_ref().map(|condition| {
                format!("where {}", bounded(escaped(condition.source()), CONDITION_SHOWN))
            }));
            said.extend(beside(attestor));
        }
    }
    said
}

/// What is asked of the evidence beside a signature.
fn beside(attestor: &Attestor) -> Vec<String> {
    let mut said = Vec::new();
    let is_default = |entries: u8| match attestor.kind {
        AttestorKind::Keyless(_) => entries == 1,
        AttestorKind::Key(_) | AttestorKind::Certificate { .. } => entries == 0,
    };
    if let Some(root) = &attestor.root {
        said.push(format!("under trust root {}", escaped(&root.name)));
    }
    if !is_default(attestor.demands.log_entries) {
        said.push(format!("with {} log entries at least", attestor.demands.log_entries));
    }
    if attestor.demands.timestamps > 0 {
        said.push(format!("with {} timestamps at least", attestor.demands.timestamps));
    }
    if let Some(age) = attestor.max_age {
        let seconds = age.as_secs();
        said.push(match seconds % DAY {
            0 => format!("signed at most {} days ago", seconds / DAY),
            _ => format!("signed at most {} hours ago", seconds.div_euclid(60 * 60)),
        });
    }
    said
}
