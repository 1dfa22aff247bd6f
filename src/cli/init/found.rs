//! [`FoundImage`]: an image of this node under one repository, and who is known to have signed it.

use std::collections::{BTreeMap, BTreeSet};

use super::attestor::DraftAttestor;
use crate::evidence::{Name, Subject};
use crate::image::Digest;

/// An image in a repository.
#[derive(Debug, Clone, Default)]
pub(super) struct FoundImage {
    /// The names that it has there, with their tags.
    pub(super) names: BTreeSet<String>,
    /// For each name under which it must pass the subjects of which one must be admitted.
    pub(super) asked: Vec<Vec<Subject>>,
    /// Who signed it.
    pub(super) signers: BTreeSet<DraftAttestor>,
    /// Why nobody is known to have.
    pub(super) why: Option<String>,
}

/// All of them, by repository and digest.
pub(super) type FoundImages = BTreeMap<(String, Digest), FoundImage>;

/// Adds an image under the names of which each must pass; says of which nothing can be told, since
/// they are no names.
pub(super) fn add(found: &mut FoundImages, names: &[Vec<Subject>]) -> usize {
    let mut unnamed = 0;
    for subjects in names {
        let Some(first) = subjects.first() else { continue };
        let (Some(repository), Name::Known(reference)) = (first.name.repository(), &first.name)
        else {
            unnamed += 1;
            continue;
        };
        let key = (repository.to_string(), first.target.clone());
        let image = found.entry(key).or_default();
        image.names.insert(reference.to_string());
        if !image.asked.contains(subjects) {
            image.asked.push(subjects.clone());
        }
    }
    unnamed
}
