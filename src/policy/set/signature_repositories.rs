//! Where the documents that matched have signatures looked for, and how fresh they want evidence to
//! be.

use std::collections::HashSet;

use super::applicable::Applicable;
use super::kinds::DocumentKinds;
use super::{PolicySet, Rule};
use crate::image::Repository;
use crate::policy::document::action::Action;
use crate::policy::document::signature_sources::{Freshness, SIGNATURE_REPOSITORIES_MAX};

impl PolicySet {
    /// The repositories in which these documents have signatures looked for: those that they name,
    /// and the image's own where one of them asks for a signature or an attestation and names none.
    /// Each once, at least one, at most [`SIGNATURE_REPOSITORIES_MAX`]; when there are more, no
    /// denial that rests on what was not found is a refusal.
    #[must_use]
    pub fn signature_repositories(
        &self,
        applicable: &Applicable,
        own: &Repository,
    ) -> Vec<Repository> {
        let mut repositories = self.all_repositories(applicable, own);
        repositories.truncate(SIGNATURE_REPOSITORIES_MAX);
        repositories
    }

    /// How fresh these documents want evidence to be: the least that any of them says. One that
    /// asks for no evidence has no say, and one that only warns has none in `max_offline`: it never
    /// refuses.
    #[must_use]
    pub fn freshness(&self, applicable: &Applicable) -> Freshness {
        let mut least = Freshness::default();
        for Rule { document, .. } in self.matched_of(applicable, &self.kinds.fresh) {
            let Freshness { refresh_after, max_offline } = document.signature_sources.freshness();
            let max_offline = max_offline.filter(|_| document.action == Action::Enforce);
            least = least.least(Freshness { refresh_after, max_offline });
        }
        least
    }

    /// Whether these documents name more repositories than are looked in.
    pub(in crate::policy) fn has_too_many_repositories(
        &self,
        applicable: &Applicable,
        own: &Repository,
    ) -> bool {
        self.all_repositories(applicable, own).len() > SIGNATURE_REPOSITORIES_MAX
    }

    /// In the order of the documents, of which the first that names none stands for all of its
    /// kind.
    fn all_repositories(&self, applicable: &Applicable, own: &Repository) -> Vec<Repository> {
        if !self.made(applicable) {
            return vec![own.clone()];
        }
        let DocumentKinds { own_repository, other_repository, .. } = &self.kinds;
        let first_own = applicable.documents().both(own_repository).next();
        let mut numbers: Vec<usize> =
            applicable.documents().both(other_repository).chain(first_own).collect();
        numbers.sort_unstable();
        let (mut repositories, mut known) = (Vec::new(), HashSet::new());
        for Rule { document, .. } in numbers.into_iter().filter_map(|number| self.rules.get(number))
        {
            let repository = document.signature_sources.repository().unwrap_or(own);
            if known.insert(repository.folded()) {
                repositories.push(repository.clone());
            }
        }
        if repositories.is_empty() {
            repositories.push(own.clone());
        }
        repositories
    }
}
