//! Gathering evidence about one digest from its repository, in [`Round`]s: one for each place where cosign and others
//! leave it.
//!
//! Every place that was looked in is recorded with what came of it, so that a denial can say where nothing was found and
//! where nothing could be known. Nothing is judged here; what comes back is untrusted bytes.
//!
//! In series a round costs three requests at most: the list, the bundle's manifest, the bundle; or the tag and its
//! layers. What these hold is asked for side by side. Requests, with `n` bundles or signatures: with a referrers endpoint
//! `1 + 2n`; without one `2 + 2n` (the endpoint that is not there and the fallback tag are asked side by side); of an
//! older form `1 + n`. A bundle whose signature is over the manifest's own bytes costs one more for these, unless they
//! are at hand.

mod bundles;
mod carrying;
mod keeping;
mod layers;
mod reading;

use bytes::Bytes;

pub use keeping::{Keep, kept, to_keep};
pub use reading::Reading;

use crate::evidence::{Evidence, Outcome, Place, Source};
use crate::image::{Digest, Repository};
use crate::policy::Plan;
use crate::registry::{Class, Fetched, RegistryError, Support};

/// Most signature manifests (bundles) that are read for one digest: cosign itself stops at 100 signatures, and a real
/// image carries a handful. What is beyond is reported as unable, so that hiding a good one is no silent refusal.
pub const MAX_BUNDLES: usize = 32;
/// Most layers of a `.sig` or `.att` manifest that are read; same reason.
pub const MAX_SIGNATURES: usize = 64;
/// Largest manifest around a bundle: one has a layer and a few annotations, under 2 KiB. Of the largest that images may have
/// two would use up what one decision may read.
pub const MAX_MANIFEST_BYTES: u64 = 32 << 10;
/// Largest bundle or envelope: a key-signed one is under 2 KiB, a keyless one with its certificate and log proof under
/// 20 KiB; one with a bill of materials has megabytes.
pub const MAX_BUNDLE_BYTES: u64 = 4 << 20;
/// Largest bundle where no attestation is wanted: three times what a signature takes. Larger ones would only use up what
/// the other places need.
pub const MAX_SIGNATURE_BYTES: u64 = 64 << 10;
/// Largest simple-signing payload: real ones are some 250 bytes; annotations by the signer may add some.
pub const MAX_PAYLOAD_BYTES: u64 = 64 << 10;

/// One place in which evidence on one digest is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Round {
    /// Sigstore bundles, as referrers or under the fallback tag.
    Bundles,
    /// Cosign's older form of signatures, under the tag `sha256-<hex>.sig`.
    Signatures,
    /// Cosign's older form of attestations, under the tag `sha256-<hex>.att`.
    Attestations,
}

impl Round {
    /// All rounds.
    pub const ALL: [Self; 3] = [Self::Bundles, Self::Signatures, Self::Attestations];

    /// The round that looks in such places.
    #[must_use]
    pub fn of(source: Source) -> Self {
        match source {
            Source::Referrers | Source::FallbackTag => Self::Bundles,
            Source::SignatureTag => Self::Signatures,
            Source::AttestationTag => Self::Attestations,
        }
    }

    /// The rounds that may hold what is wanted, in the order in which they are asked: those of one step side by side, a
    /// step only when the one before did not suffice.
    ///
    /// Where keys alone are wanted the likelier place is asked first, which spares a request. Where certificates or
    /// attestations are, an image often has bundles of one signer and the older form of another: all places are asked at
    /// once, so that the one that matters is never a second look.
    #[must_use]
    pub fn steps(plan: Plan) -> Vec<Vec<Self>> {
        let mut rounds = vec![Self::Bundles];
        rounds.extend(plan.signatures.then_some(Self::Signatures));
        rounds.extend(plan.attestations.then_some(Self::Attestations));
        if is_hasty(plan) { vec![rounds] } else { rounds.into_iter().map(|round| vec![round]).collect() }
    }
}

/// Whether a request more is better than a round trip more.
fn is_hasty(plan: Plan) -> bool {
    plan.attestations || plan.certificates
}

/// What is looked for, and on what.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The repository to ask.
    pub repository: &'a Repository,
    /// The digest that the evidence is to be about.
    pub digest: &'a Digest,
    /// The manifest or index of this digest, where it is at hand.
    pub bytes: Option<&'a Bytes>,
    /// What can count at all.
    pub plan: Plan,
    /// What is known about the registry.
    pub hint: Hint,
}

/// Looks in one place.
pub async fn gather(reading: &Reading, wanted: Wanted<'_>, round: Round) -> Evidence {
    let mut look = Look { reading, wanted, evidence: Evidence::default(), artifact: tokio::sync::OnceCell::new() };
    match round {
        Round::Bundles => look.bundles().await,
        Round::Signatures => look.layers(Source::SignatureTag).await,
        Round::Attestations => look.layers(Source::AttestationTag).await,
    }
    look.evidence
}

/// What is known beforehand about the registry's referrers endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// It is there: the fallback tag need not be asked.
    Endpoint,
    /// It seems to be there: the fallback tag is asked only where a request more is better than a round trip more.
    LikelyEndpoint,
    /// Nothing, or there is none: ask both places side by side.
    AskBoth,
}

impl Hint {
    /// What the memory of the host says, or else the manner of its answer: a registry that introduces itself as the
    /// classic docker one (`Docker-Distribution-Api-Version`) has no endpoint in its released versions. A wrong guess
    /// costs one request or one round trip, never a wrong answer.
    #[must_use]
    pub fn of(support: Support, resolved: Option<&Fetched>) -> Self {
        match (support, resolved) {
            (Support::Endpoint, _) => Self::Endpoint,
            (Support::None, _) | (Support::Unknown, None) => Self::AskBoth,
            (Support::Unknown, Some(fetched)) if fetched.docker_distribution => Self::AskBoth,
            (Support::Unknown, Some(_)) => Self::LikelyEndpoint,
        }
    }

    fn asks_both(self, plan: Plan) -> bool {
        match self {
            Self::Endpoint => false,
            Self::LikelyEndpoint => is_hasty(plan),
            Self::AskBoth => true,
        }
    }
}

/// One look-up under way.
struct Look<'a> {
    reading: &'a Reading,
    wanted: Wanted<'a>,
    evidence: Evidence,
    /// The bytes of what the evidence is to be about, asked for at most once.
    artifact: tokio::sync::OnceCell<Result<Bytes, Outcome>>,
}

impl Look<'_> {
    fn place(&self, source: Source) -> Place {
        Place { repository: self.wanted.repository.clone(), subject: self.wanted.digest.clone(), source }
    }

    fn looked(&mut self, source: Source, outcome: Outcome) {
        self.evidence.looked.push((self.place(source), outcome));
    }

    fn unable(&mut self, source: Source, why: &str) {
        self.looked(source, Outcome::Unable(why.to_owned()));
    }

    /// Absent, unreachable and unable are three different answers, and this is where a registry's become them.
    fn failed(&mut self, source: Source, error: &RegistryError) {
        let outcome = match error.class() {
            Class::Absent => Outcome::Absent,
            Class::Unreachable => Outcome::Unreachable(error.to_string()),
            Class::Unable => Outcome::Unable(error.to_string()),
        };
        self.looked(source, outcome);
    }
}

/// What is listed and then not there is not absent: the registry contradicts itself, and nothing is known.
fn withheld(error: &RegistryError) -> Outcome {
    match error.class() {
        Class::Absent => Outcome::Unable(format!("listed, but not given: {error}")),
        Class::Unreachable => Outcome::Unreachable(error.to_string()),
        Class::Unable => Outcome::Unable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(signatures: bool, certificates: bool, attestations: bool) -> Plan {
        Plan { signatures, certificates, attestations, names_tag: false }
    }

    #[test]
    fn only_places_that_can_count_are_asked() {
        use Round::{Attestations, Bundles, Signatures};
        assert_eq!(Round::steps(plan(true, false, false)), [vec![Bundles], vec![Signatures]]);
        assert_eq!(Round::steps(plan(true, true, false)), [vec![Bundles, Signatures]]);
        assert_eq!(Round::steps(plan(false, true, true)), [vec![Bundles, Attestations]]);
        assert_eq!(Round::steps(plan(true, false, true)), [vec![Bundles, Signatures, Attestations]]);
    }

    #[test]
    fn a_guess_is_relied_on_only_where_a_round_trip_may_be_lost() {
        assert!(!Hint::LikelyEndpoint.asks_both(plan(true, false, false)));
        assert!(Hint::LikelyEndpoint.asks_both(plan(true, true, false)));
        assert!(Hint::LikelyEndpoint.asks_both(plan(false, false, true)));
        assert!(!Hint::Endpoint.asks_both(plan(true, true, true)));
        assert!(Hint::AskBoth.asks_both(plan(true, false, false)));
    }
}
