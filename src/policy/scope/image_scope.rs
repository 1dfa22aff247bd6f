//! [`ImageScope`]: some images and namespaces, named by the patterns that policies are written
//! with, for options that make an exception of them. It judges nothing.

use std::fmt;

use super::automaton::Automaton;
use super::document_set::DocumentSet;
use super::pattern::{Hosts, NamespacePattern, PatternList, RepositoryPattern};
use crate::image::Repository;
use crate::policy::syntax::error::PatternFault;

/// Images under some repositories, in some namespaces.
#[derive(Debug)]
pub struct ImageScope {
    /// None: of every name.
    images: Option<Automaton>,
    /// None: in every namespace.
    namespaces: Option<Automaton>,
}

/// Why patterns make no scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScopeFault {
    /// Neither images nor namespaces: it would be about everything.
    Unbounded,
    /// A pattern of images.
    Image {
        /// As written.
        pattern: String,
        /// What is wrong with it.
        fault: PatternFault,
    },
    /// A pattern that no namespace could match.
    Namespace {
        /// As written.
        pattern: String,
    },
}

impl fmt::Display for ScopeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unbounded => f.write_str("name namespaces, images or both"),
            Self::Image { pattern, fault } => write!(f, "{pattern:?}: {fault}"),
            Self::Namespace { pattern } => {
                write!(f, "{pattern:?} cannot match a namespace (lower case, digits, - and *)")
            }
        }
    }
}

impl ImageScope {
    /// A scope of these patterns, as `spec.images` and `spec.namespaces` of a policy have them. An
    /// empty list stands for all; both may not be empty.
    ///
    /// # Errors
    /// [`ScopeFault`] for the first pattern that cannot be meant.
    pub fn new(images: &[String], namespaces: &[String]) -> Result<Self, ScopeFault> {
        if images.is_empty() && namespaces.is_empty() {
            return Err(ScopeFault::Unbounded);
        }
        let (mut repositories, mut inside) = (PatternList::default(), PatternList::default());
        let mut hosts = Hosts::default();
        for pattern in images {
            let read = RepositoryPattern::parse(pattern, &mut hosts)
                .map_err(|fault| ScopeFault::Image { pattern: pattern.clone(), fault })?;
            repositories.push(read.as_str());
        }
        for pattern in namespaces {
            let read = NamespacePattern::parse(pattern)
                .ok_or_else(|| ScopeFault::Namespace { pattern: pattern.clone() })?;
            inside.push(read.as_str());
        }
        let made =
            |list: PatternList| (!list.is_empty()).then(|| Automaton::new(std::iter::once(list)));
        Ok(Self { images: made(repositories), namespaces: made(inside) })
    }

    /// Whether it has all of these names, in this namespace. What is not known is in no scope that
    /// asks for it.
    #[must_use]
    pub fn has(&self, names: &[Repository], namespace: Option<&str>) -> bool {
        let in_namespace = self.namespaces.as_ref().is_none_or(|patterns| {
            namespace.is_some_and(|name| matches(patterns, std::iter::once(name)))
        });
        let in_images = self.images.as_ref().is_none_or(|patterns| {
            let is_in = |name: &Repository| {
                let folded = name.folded();
                let parts = std::iter::once(folded.host()).chain(folded.path().split('/'));
                matches(patterns, parts)
            };
            !names.is_empty() && names.iter().all(is_in)
        });
        in_namespace && in_images
    }
}

fn matches<'t>(patterns: &Automaton, parts: impl Iterator<Item = &'t str>) -> bool {
    let mut found = DocumentSet::none_of(1);
    patterns.add_matching(parts, &mut found);
    !found.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(images: &[&str], namespaces: &[&str]) -> Result<ImageScope, ScopeFault> {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        ImageScope::new(&owned(images), &owned(namespaces))
    }

    fn names(texts: &[&str]) -> Vec<Repository> {
        texts.iter().map(|text| Repository::parse(text).unwrap()).collect()
    }

    #[test]
    fn an_entry_may_name_images_namespaces_or_both() {
        let both = scope(&["reg.example/net/**"], &["kube-*"]).unwrap();
        let agent = names(&["reg.example/net/cni"]);
        assert!(both.has(&agent, Some("kube-system")));
        assert!(!both.has(&agent, Some("default")) && !both.has(&agent, None));
        assert!(!both.has(&names(&["reg.example/other"]), Some("kube-system")));
        assert!(scope(&[], &["kube-system"]).unwrap().has(&[], Some("kube-system")));
        assert!(scope(&["reg.example/net/**"], &[]).unwrap().has(&agent, None));
    }

    /// Attack A5: of two names, one that is allowed does not vouch for the other; and no name at
    /// all is no name that is allowed.
    #[test]
    fn attack_a5_every_name_must_be_allowed() {
        let scope = scope(&["reg.example/net/**"], &[]).unwrap();
        assert!(!scope.has(&names(&["reg.example/net/cni", "evil.example/x"]), None));
        assert!(!scope.has(&[], None));
    }

    #[test]
    fn what_cannot_be_meant_is_an_error() {
        assert_eq!(scope(&[], &[]).unwrap_err(), ScopeFault::Unbounded);
        assert!(matches!(scope(&["cni"], &[]), Err(ScopeFault::Image { .. })));
        assert!(matches!(scope(&[], &["Kube"]), Err(ScopeFault::Namespace { .. })));
    }
}
