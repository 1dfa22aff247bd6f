//! [`Limits`] of one decision and [`MemoryOptions`], as the configuration gives them.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::sources::Bounds;
use crate::verify::Budget;

/// Longest time that any option here means, in seconds: ten years, beyond which a point in time
/// cannot be relied on to be expressible. What is set longer means this.
const SECONDS_MAX: u64 = 10 * 365 * 86_400;

/// Largest predicate that can be read, in MiB: what `src/verify` and the store take.
const ATTESTATION_MIB_MAX: u64 = 32;

/// Longest part of a decision's time that is left when the registry's turn ends: to judge what
/// came, or what is kept on this node, and to answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// Who waits for less than this part of a decision's time does not end the registry's turn for
/// others who ask the same.
const HURRY: u32 = 10;

/// Time limits of decisions, and how many may be under way.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Longest time for one decision, in seconds: resolve, gather and judge. Signatures are a few
    /// KiB; a registry that needs longer than this is treated as unreachable.
    pub decision_seconds: u64,
    /// Least time, in seconds, that must be left of the caller's deadline for a call to be
    /// forwarded: a CreateContainer that times out inside containerd can leave its name reserved
    /// for ever (fact P11). Of a deadline shorter than twice this, half must be left.
    pub forward_reserve_seconds: u64,
    /// Most decisions that ask registries at once; others wait for a seat. Those about one registry
    /// have at most a quarter while others wait. What memory or disk decides needs none.
    pub decisions_at_once: NonZeroUsize,
    /// Most signatures and attestations of one place that are read; where there are more, and none
    /// of those that are read suffices, the image is *unable*. The newest come first, and every
    /// third from the other end.
    pub signatures: NonZeroUsize,
    /// Most signature checks of one decision: a public-key operation of some 0.1 ms each. A keyless
    /// signature takes about a dozen and a half, one by a key one for each scheme.
    pub signature_checks: u32,
    /// Largest predicate of an attestation, in MiB; a bundle with it has a third more. At most 32.
    /// Two of those above 3 MiB are read at once on a node, each of which takes up to six times as
    /// much memory.
    pub attestation_mib: u64,
}

/// Sizes and lifetimes of what is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryOptions {
    /// Most verdicts. A node runs at most some hundred images; an entry takes about 1 KiB.
    pub verdicts: NonZeroUsize,
    /// Most pieces of evidence; a signature with its payload takes about 1 KiB, none more than 64
    /// KiB. Of larger ones (attestations) 16 are kept beside, at most 1 MiB each.
    pub evidence: NonZeroUsize,
    /// Most proofs of signatures: what a certificate, a log and a timestamp prove of an unchanged
    /// signature under an unchanged trust root is not computed again. An entry takes about 2 KiB;
    /// an attestation is held with its statement.
    pub proofs: NonZeroUsize,
    /// Seconds for which an admission is remembered. A change of policy or keys ends it at once.
    pub admitted_seconds: u64,
    /// Seconds for which a refusal is remembered: short, since signing the image and waiting is a
    /// way out.
    pub refused_seconds: u64,
    /// Seconds for which evidence is kept, so that a change of policy is judged without the
    /// network.
    pub evidence_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            decision_seconds: 30,
            forward_reserve_seconds: 10,
            decisions_at_once: count(64),
            signatures: count(1024),
            signature_checks: Budget::DEFAULT,
            attestation_mib: 16,
        }
    }
}

impl Limits {
    /// Longest time for one decision.
    #[must_use]
    pub fn decision(&self) -> Duration {
        seconds(self.decision_seconds.max(1))
    }

    /// When the registry's turn ends in a decision that begins `now` and must be made by
    /// `deadline`: before that, so that a registry which says nothing makes an answer,
    /// *unreachable* or from what is kept, and not a missed deadline.
    pub(crate) fn registry_until(&self, now: Instant, deadline: Instant) -> Instant {
        let own = self.decision();
        let left = deadline.saturating_duration_since(now).min(own);
        let turn = if left < own / HURRY { own } else { left };
        now + turn.saturating_sub((turn / 10).min(ANSWER_MAX))
    }

    /// How much one decision reads.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds::new(self.signatures.get(), self.attestation_mib.min(ATTESTATION_MIB_MAX))
    }

    /// How much of a caller's deadline must be left for its call to be forwarded.
    #[must_use]
    pub fn reserve_of(&self, deadline: Duration) -> Duration {
        Duration::from_secs(self.forward_reserve_seconds).min(deadline / 2)
    }

    /// Most decisions under way at once.
    #[must_use]
    pub fn decisions_at_once(&self) -> NonZeroUsize {
        self.decisions_at_once
    }
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self {
            verdicts: count(1024),
            evidence: count(512),
            proofs: count(2048),
            admitted_seconds: 86_400,
            refused_seconds: 10,
            evidence_seconds: 7 * 86_400,
        }
    }
}

impl MemoryOptions {
    /// Most verdicts.
    #[must_use]
    pub fn verdicts(&self) -> NonZeroUsize {
        self.verdicts
    }

    /// Most pieces of evidence.
    #[must_use]
    pub fn evidence(&self) -> NonZeroUsize {
        self.evidence
    }

    /// Most proofs of signatures.
    #[must_use]
    pub fn proofs(&self) -> NonZeroUsize {
        self.proofs
    }

    /// Most contents whose proof is remembered: one for every verdict.
    #[must_use]
    pub fn contents(&self) -> NonZeroUsize {
        self.verdicts()
    }

    /// How long an admission is remembered.
    #[must_use]
    pub fn admitted_ttl(&self) -> Duration {
        seconds(self.admitted_seconds)
    }

    /// How long a refusal is remembered.
    #[must_use]
    pub fn refused_ttl(&self) -> Duration {
        seconds(self.refused_seconds)
    }

    /// How long evidence is kept.
    #[must_use]
    pub fn evidence_ttl(&self) -> Duration {
        seconds(self.evidence_seconds)
    }
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number.min(SECONDS_MAX))
}

/// A count that is not zero.
fn count(at_least_one: usize) -> NonZeroUsize {
    NonZeroUsize::new(at_least_one).unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registrys_turn_ends_before_the_decision_must_be_made() {
        let limits = |decision_seconds| Limits { decision_seconds, ..Limits::default() };
        let now = crate::daemon::CLOCK.steady();
        let turn = |decision, left| {
            let until = limits(decision).registry_until(now, now + Duration::from_millis(left));
            u64::try_from(until.duration_since(now).as_millis()).unwrap()
        };
        assert_eq!([turn(30, 30_000), turn(5, 5_000), turn(30, 10_000)], [29_000, 4_500, 9_000]);
        // More than a decision may take changes nothing, and one in a hurry ends nobody else's
        // decision.
        assert_eq!([turn(30, 120_000), turn(30, 1_000), turn(30, 0)], [29_000, 29_000, 29_000]);
    }
}
