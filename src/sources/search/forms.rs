//! Where evidence is likely to be: [`Hint`], what is known of a registry beforehand, and [`Forms`],
//! in which forms it admitted so far. From both follows the order in which places are asked.
//!
//! Both are guesses. A wrong one costs a round trip or a request, once; whatever they say, a
//! refusal has looked in every place.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;

use crate::evidence::Source;
use crate::image::Repository;
use crate::policy::Plan;
use crate::registry::{Fetched, Support};

/// Registry hosts whose forms are remembered at once; the least recently used one is dropped. A
/// node pulls from tens of hosts, not hundreds.
const HOSTS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// What is known beforehand about the registry's referrers endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// It is there: the fallback tag need not be asked.
    Endpoint,
    /// It seems to be there: the fallback tag is asked when it says that it is not.
    LikelyEndpoint,
    /// Nothing: both places are asked side by side.
    AskBoth,
    /// It seems not to be there: the fallback tag is asked, and the endpoint before anything is
    /// refused.
    LikelyNone,
    /// It said lately that it is not there: the same.
    None,
}

impl Hint {
    /// What the memory of the host says, or else the manner of its answer: a registry that
    /// introduces itself as the classic docker one (`Docker-Distribution-Api-Version`) has no
    /// endpoint in its released versions.
    #[must_use]
    pub fn of(support: Support, resolved: Option<&Fetched>) -> Self {
        match (support, resolved) {
            (Support::Endpoint, _) => Self::Endpoint,
            (Support::None, _) => Self::None,
            (Support::Unknown, None) => Self::AskBoth,
            (Support::Unknown, Some(fetched)) if fetched.docker_distribution => Self::LikelyNone,
            (Support::Unknown, Some(_)) => Self::LikelyEndpoint,
        }
    }

    /// With where bundles admitted before; what the registry said of itself lately counts more.
    fn with(self, habit: Habit) -> Self {
        match (self, habit.bundles) {
            (Self::Endpoint | Self::None, _) | (_, None) => self,
            (_, Some(Source::Referrers)) => Self::LikelyEndpoint,
            (_, Some(Source::FallbackTag | Source::SignatureTag | Source::AttestationTag)) => {
                Self::LikelyNone
            }
        }
    }

    /// The places of bundles that are asked first.
    fn bundles(self) -> &'static [Source] {
        match self {
            Self::Endpoint | Self::LikelyEndpoint => &[Source::Referrers],
            Self::AskBoth => &[Source::Referrers, Source::FallbackTag],
            Self::LikelyNone | Self::None => &[Source::FallbackTag],
        }
    }
}

/// In which forms images of a registry were admitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Habit {
    /// By bundles: where the latest was.
    bundles: Option<Source>,
    /// By signatures of the older form.
    signatures: bool,
    /// By attestations of the older form.
    attestations: bool,
}

impl Habit {
    fn learn(&mut self, source: Source) {
        match source {
            Source::Referrers | Source::FallbackTag => self.bundles = Some(source),
            Source::SignatureTag => self.signatures = true,
            Source::AttestationTag => self.attestations = true,
        }
    }

    /// The place of the one form that admitted so far, of those that can count.
    fn only(self, plan: Plan) -> Option<Source> {
        let signatures = (self.signatures && plan.signatures).then_some(Source::SignatureTag);
        let attestations =
            (self.attestations && plan.attestations).then_some(Source::AttestationTag);
        let mut known = self.bundles.into_iter().chain(signatures).chain(attestations);
        match (known.next(), known.next()) {
            (Some(only), None) => Some(only),
            (None | Some(_), _) => None,
        }
    }
}

/// The memory of forms, by registry host. Only what admitted is learnt: nobody whom no policy
/// trusts can fill it.
#[derive(Debug)]
pub struct Forms {
    hosts: Mutex<LruCache<String, Habit>>,
}

impl Default for Forms {
    fn default() -> Self {
        Self { hosts: Mutex::new(LruCache::new(HOSTS_MAX)) }
    }
}

impl Forms {
    /// Notes that evidence from this place admitted an image.
    pub fn learn(&self, repository: &Repository, source: Source) {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.get_or_insert_mut(repository.host().to_owned(), Habit::default).learn(source);
    }

    pub(crate) fn of(&self, repository: &Repository) -> Habit {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.get(repository.host()).copied().unwrap_or_default()
    }
}

/// The places that may hold what is wanted, in the order in which they are asked: those of one wave
/// side by side, a wave only when those before did not suffice.
///
/// Where one form alone admitted so far its place is asked alone, which spares the requests to the
/// others. Where there seems to be no endpoint it is asked last: that spares a request of all that
/// admit, and costs one of those that do not.
pub(crate) fn waves(plan: Plan, hint: Hint, habit: Habit) -> Vec<Vec<Source>> {
    let hint = hint.with(habit);
    let mut first = hint.bundles().to_vec();
    first.extend(plan.signatures.then_some(Source::SignatureTag));
    first.extend(plan.attestations.then_some(Source::AttestationTag));
    let last =
        if first.contains(&Source::Referrers) { Vec::new() } else { vec![Source::Referrers] };
    let only: Vec<Source> =
        habit.only(plan).into_iter().filter(|source| first.contains(source)).collect();
    first.retain(|source| !only.contains(source));
    [only, first, last].into_iter().filter(|wave| !wave.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use Source::{AttestationTag as A, FallbackTag as F, Referrers as R, SignatureTag as S};

    use super::*;
    use crate::image::Reference;

    const KEYS: Plan =
        Plan { signatures: true, certificates: false, attestations: false, names_tag: false };
    const PROVENANCE: Plan =
        Plan { signatures: false, certificates: true, attestations: true, names_tag: false };
    const HINTS: [Hint; 5] =
        [Hint::Endpoint, Hint::LikelyEndpoint, Hint::AskBoth, Hint::LikelyNone, Hint::None];

    fn habit(sources: &[Source]) -> Habit {
        let mut habit = Habit::default();
        sources.iter().for_each(|source| habit.learn(*source));
        habit
    }

    #[test]
    fn places_are_asked_side_by_side_and_only_those_that_can_count() {
        let unknown = habit(&[]);
        assert_eq!(waves(KEYS, Hint::Endpoint, unknown), [vec![R, S]]);
        assert_eq!(waves(KEYS, Hint::LikelyEndpoint, unknown), [vec![R, S]]);
        assert_eq!(waves(KEYS, Hint::AskBoth, unknown), [vec![R, F, S]]);
        assert_eq!(waves(KEYS, Hint::LikelyNone, unknown), [vec![F, S], vec![R]]);
        assert_eq!(waves(KEYS, Hint::None, unknown), [vec![F, S], vec![R]]);
        assert_eq!(waves(PROVENANCE, Hint::Endpoint, unknown), [vec![R, A]]);
        let both = Plan { attestations: true, ..KEYS };
        assert_eq!(waves(both, Hint::None, unknown), [vec![F, S, A], vec![R]]);
    }

    #[test]
    fn the_one_form_that_admitted_so_far_is_asked_for_alone_first() {
        assert_eq!(waves(KEYS, Hint::None, habit(&[S])), [vec![S], vec![F], vec![R]]);
        assert_eq!(waves(KEYS, Hint::AskBoth, habit(&[S])), [vec![S], vec![R, F]]);
        assert_eq!(waves(KEYS, Hint::None, habit(&[F])), [vec![F], vec![S], vec![R]]);
        assert_eq!(waves(KEYS, Hint::Endpoint, habit(&[R])), [vec![R], vec![S]]);
        assert_eq!(
            waves(KEYS, Hint::LikelyNone, habit(&[R])),
            [vec![R], vec![S]],
            "what admitted says more"
        );
        assert_eq!(waves(KEYS, Hint::LikelyNone, habit(&[R, S])), [vec![R, S]], "both did");
        assert_eq!(
            waves(PROVENANCE, Hint::Endpoint, habit(&[S])),
            [vec![R, A]],
            "another form than can count"
        );
        assert_eq!(waves(PROVENANCE, Hint::None, habit(&[A])), [vec![A], vec![F], vec![R]]);
        assert_eq!(
            waves(KEYS, Hint::Endpoint, habit(&[F])),
            [vec![R, S]],
            "it has an endpoint by now"
        );
        assert_eq!(
            waves(KEYS, Hint::None, habit(&[R])),
            [vec![F, S], vec![R]],
            "it has none any more"
        );
    }

    /// Whatever is guessed, every place is in some wave; the fallback tag also where the endpoint
    /// answers for it.
    #[test]
    fn every_guess_leads_to_every_place() {
        for hint in HINTS {
            for known in [&[][..], &[R], &[F], &[S], &[A], &[R, S], &[F, S, A]] {
                let asked: Vec<Source> = waves(KEYS, hint, habit(known)).concat();
                assert!(
                    asked.contains(&R) && asked.contains(&S) && !asked.contains(&A),
                    "{hint:?} {known:?} {asked:?}"
                );
                let asked: Vec<Source> = waves(PROVENANCE, hint, habit(known)).concat();
                assert!(
                    asked.contains(&R) && asked.contains(&A) && !asked.contains(&S),
                    "{hint:?} {known:?} {asked:?}"
                );
            }
        }
    }

    #[test]
    fn forms_are_remembered_by_host_and_boundedly() {
        let forms = Forms::default();
        let repository = |text: &str| Reference::parse(text).unwrap().runtime_repository().clone();
        forms.learn(&repository("a.example/x:1"), S);
        assert_eq!(forms.of(&repository("a.example/y:1")), habit(&[S]));
        assert_eq!(forms.of(&repository("b.example/x:1")), habit(&[]));
        for number in 0..HOSTS_MAX.get() {
            forms.learn(&repository(&format!("h{number}.example/x:1")), F);
        }
        assert_eq!(forms.of(&repository("a.example/x:1")), habit(&[]));
    }
}
