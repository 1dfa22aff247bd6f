//! [`Applicable`]: which documents of a set matched; and the [`Index`] that finds them without
//! reading them all.

use std::fmt;
use std::sync::Arc;

use crate::evidence::{Name, Pod};
use crate::image::{Digest, Repository};

use crate::policy::scope::automaton::Automaton;
use crate::policy::scope::document_set::DocumentSet;
use crate::policy::scope::pattern::PatternList;
use crate::policy::scope::pinned::{DigestLists, Digests, Pins};
use crate::policy::scope::regional::{HostScope, is_of_no_region};
use crate::policy::scope::selector_index::SelectorIndex;
use crate::policy::scope::selectors::Selectors;

/// The documents of one set that matched a name and a pod. Two pods with equal values share a
/// verdict, two with different values never do (attack E9). At most 512 bytes of each kind,
/// however many matched.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Applicable {
    generation: Arc<str>,
    documents: Arc<DocumentSet>,
    /// The exceptions that matched, whether they have ended or not.
    exceptions: Arc<DocumentSet>,
    /// Whether any document demands something; the others only deny.
    demanding: bool,
    /// Whether the namespace of the pod is known, or no document asks whether it is.
    namespace_known: bool,
    /// Whether a checkpoint may be restored, by all documents that demand something.
    lets_restore: bool,
}

/// A policy whose patterns match an image's name, and whose namespaces do not have the pod's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherNamespaces {
    /// Its name.
    pub policy: String,
    /// Its `spec.namespaces`, the first few; none where the pod's is one that it excludes.
    pub namespaces: Option<String>,
    /// The pod's namespace, escaped and bounded; none where it is not known.
    pub namespace: Option<String>,
}

/// A policy whose patterns match an image's name, and that is about other pods, other uses of the
/// image, or images with other labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherPods {
    /// Its name.
    pub policy: String,
    /// The field that is not met: `podLabels`.
    pub field: &'static str,
    /// What does not meet it: the pod, or the image.
    pub whose: &'static str,
    /// What stands there, bounded.
    pub wants: String,
}

/// A policy that would match another pod; for people who wonder why none does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elsewhere {
    /// In another namespace.
    Namespaces(OtherNamespaces),
    /// With other labels, annotations or another handler, for another use of the image, or of an image
    /// with other labels.
    Pods(OtherPods),
}

/// What one document is about.
#[derive(Debug, Default)]
pub(in crate::policy) struct Scope {
    pub(in crate::policy) images: PatternList,
    pub(in crate::policy) exclude: PatternList,
    /// The digests of which the image must have one, of what lets through without proof; empty: any.
    pub(in crate::policy) digests: Vec<Digest>,
    /// Empty: every namespace.
    pub(in crate::policy) namespaces: PatternList,
    /// What its images leave open of their hosts.
    pub(in crate::policy) hosts: HostScope,
    /// What else it goes by.
    pub(in crate::policy) selectors: Selectors,
    /// Whether it lets through without proof.
    pub(in crate::policy) is_permissive: bool,
}

/// The patterns of a set's documents, made for looking a name up once, whatever their number.
#[derive(Debug, Default)]
pub(in crate::policy) struct Index {
    images: Automaton,
    exclude: Automaton,
    /// The images that documents name by digest, and those that they take out.
    pinned: Pins,
    unpinned: Pins,
    /// The digests that documents list whatever the name.
    digests: DigestLists,
    namespaces: Automaton,
    /// The documents that name no namespace: they are about all.
    everywhere: DocumentSet,
    /// The documents that do not let through without proof.
    enforcing: DocumentSet,
    /// The documents that let through without proof, and leave open in which region.
    regional: DocumentSet,
    selectors: SelectorIndex,
    documents: usize,
}

impl Applicable {
    pub(in crate::policy) fn new(
        generation: Arc<str>,
        (documents, demanding, lets_restore): (DocumentSet, bool, bool),
        exceptions: DocumentSet,
        namespace_known: bool,
    ) -> Self {
        let (documents, exceptions) = (Arc::new(documents), Arc::new(exceptions));
        Self { generation, documents, exceptions, demanding, lets_restore, namespace_known }
    }

    /// Whether the namespace of the pod is known, or no document asks whether it is.
    pub(in crate::policy) fn is_of_known_namespace(&self) -> bool {
        self.namespace_known
    }

    /// Whether nothing matched but documents that only deny: nothing may be asked of a registry
    /// then.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.demanding && self.exceptions.is_empty()
    }

    /// Whether every document that matched and asks for proof lets the runtime restore a
    /// container from the image, where it is a checkpoint; there is one at least.
    #[must_use]
    pub fn lets_restore(&self) -> bool {
        self.lets_restore
    }

    /// Whether a document matched that demands something.
    pub(in crate::policy) fn demands(&self) -> bool {
        self.demanding
    }

    /// The exceptions that matched, by number.
    pub(in crate::policy) fn exceptions(&self) -> &DocumentSet {
        &self.exceptions
    }

    /// How many documents matched.
    #[must_use]
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// The generation of the set that said so.
    #[must_use]
    pub fn generation(&self) -> &str {
        &self.generation
    }

    /// The documents, by number.
    pub(in crate::policy) fn documents(&self) -> &DocumentSet {
        &self.documents
    }
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespaces(OtherNamespaces { policy, namespaces, namespace }) => {
                write!(f, "policy \"{policy}\" matches the name, but its spec.")?;
                match (namespaces, namespace) {
                    (Some(namespaces), Some(namespace)) => {
                        write!(f, "namespaces ({namespaces}) do not have the pod's, {namespace}")
                    }
                    (Some(namespaces), None) => write!(
                        f,
                        "namespaces ({namespaces}) are all that it is about, and the pod's \
                         namespace is not known"
                    ),
                    (None, Some(namespace)) => {
                        write!(f, "excludeNamespaces have the pod's, {namespace}")
                    }
                    (None, None) => f.write_str(
                        "excludeNamespaces leave some out, and the pod's namespace is not known",
                    ),
                }
            }
            Self::Pods(OtherPods { policy, field, whose, wants }) => write!(
                f,
                "policy \"{policy}\" matches the name, but the {whose} does not meet its \
                 spec.{field} ({wants})"
            ),
        }
    }
}

impl Index {
    /// Of these documents, in the order of their numbers.
    pub(in crate::policy) fn new(scopes: Vec<Scope>) -> Self {
        let count = scopes.len();
        let is = |test: fn(&Scope) -> bool| {
            DocumentSet::of(count, |number| scopes.get(number).is_some_and(test))
        };
        let everywhere = is(|scope| scope.namespaces.is_empty());
        let enforcing = is(|scope| !scope.is_permissive);
        let regional = is(|scope| scope.is_permissive && scope.hosts != HostScope::Literal);
        let pinned = Pins::new(scopes.iter().map(|scope| &scope.images));
        let unpinned = Pins::new(scopes.iter().map(|scope| &scope.exclude));
        let digests = DigestLists::new(scopes.iter().map(|scope| scope.digests.as_slice()));
        let (mut images, mut exclude, mut namespaces) = (Vec::new(), Vec::new(), Vec::new());
        let mut selectors = Vec::new();
        for scope in scopes {
            selectors.push((scope.selectors, scope.is_permissive));
            images.push(scope.images.unpinned());
            exclude.push(scope.exclude.unpinned());
            namespaces.push(scope.namespaces);
        }
        Self {
            images: Automaton::new(images.into_iter()),
            exclude: Automaton::new(exclude.into_iter()),
            pinned,
            unpinned,
            digests,
            namespaces: Automaton::new(namespaces.into_iter()),
            everywhere,
            enforcing,
            regional,
            selectors: SelectorIndex::new(selectors),
            documents: count,
        }
    }

    /// The documents that match. Of those that name a digest, while that of the image is not known,
    /// every enforcing one does and no permissive one.
    pub(in crate::policy) fn matching(
        &self,
        name: &Name,
        digests: Digests<'_>,
        pod: &Pod,
    ) -> DocumentSet {
        let mut found = self.about(name, digests);
        if !found.is_empty() {
            found.keep(&self.inside(pod));
            self.selectors.keep_selected(pod, &mut found);
        }
        found
    }

    /// What the documents go by besides images and namespaces.
    pub(in crate::policy) fn selectors(&self) -> &SelectorIndex {
        &self.selectors
    }

    /// The documents that are about the pod's namespace.
    pub(in crate::policy) fn inside(&self, pod: &Pod) -> DocumentSet {
        let mut inside = self.everywhere.clone();
        match &pod.namespace {
            Some(namespace) => {
                self.namespaces.add_matching(std::iter::once(namespace.as_str()), &mut inside)
            }
            // A namespace that is not known is in every enforcing document and in no permissive one
            // that asks for one.
            None => inside.add(&self.enforcing),
        }
        self.selectors.keep_inside(pod.namespace.as_deref(), &mut inside);
        inside
    }

    /// The documents whose images match this name, and those whose exclude does.
    pub(in crate::policy) fn named(
        &self,
        name: &Name,
        digests: Digests<'_>,
    ) -> (DocumentSet, DocumentSet) {
        match name.repository().filter(|folded| !folded.is_reserved()) {
            Some(folded) => (self.listing(&folded, digests), self.excluding(&folded, digests)),
            None => (DocumentSet::none_of(self.documents), DocumentSet::none_of(self.documents)),
        }
    }

    /// The documents that name an image of this name by its digest, by number.
    pub(in crate::policy) fn pinned(&self, name: &Name) -> impl Iterator<Item = usize> {
        name.repository()
            .into_iter()
            .flat_map(|folded| self.pinned.about(&folded).collect::<Vec<_>>())
    }

    /// The documents that list this digest whatever the name, by number.
    pub(in crate::policy) fn listing_digest(&self, digest: &Digest) -> impl Iterator<Item = usize> {
        self.digests.of(digest)
    }

    /// Whether the document of this number lists digests, and none of these; none where they are not
    /// known.
    pub(in crate::policy) fn is_unlisted(&self, number: usize, digests: Digests<'_>) -> bool {
        let mut one = DocumentSet::none_of(self.documents);
        one.insert(number);
        self.digests.keep(digests, &mut one);
        one.is_empty()
    }

    fn listing(&self, folded: &Repository, digests: Digests<'_>) -> DocumentSet {
        let mut found = DocumentSet::none_of(self.documents);
        self.images.add_matching(parts(folded), &mut found);
        self.without_region(folded.host(), &mut found);
        self.pinned.add(folded, digests, |number| self.enforcing.has(number), &mut found);
        found
    }

    fn excluding(&self, folded: &Repository, digests: Digests<'_>) -> DocumentSet {
        let mut found = DocumentSet::none_of(self.documents);
        self.exclude.add_matching(parts(folded), &mut found);
        self.unpinned.add(folded, digests, |number| !self.enforcing.has(number), &mut found);
        found
    }

    /// Takes away the documents that let through in whatever region, where the host is in none.
    fn without_region(&self, host: &str, found: &mut DocumentSet) {
        if found.meets(&self.regional) && is_of_no_region(host) {
            found.remove(&self.regional);
        }
    }

    /// The documents that match in whatever namespace. Without a name that is every enforcing one,
    /// whatever its patterns, and no permissive one.
    pub(super) fn about(&self, name: &Name, digests: Digests<'_>) -> DocumentSet {
        let Some(folded) = name.repository() else { return self.enforcing.clone() };
        // `**` and other wildcards stand for every host but this one.
        if folded.is_reserved() {
            return DocumentSet::none_of(self.documents);
        }
        let mut found = self.listing(&folded, digests);
        if !found.is_empty() {
            found.remove(&self.excluding(&folded, digests));
            self.digests.keep(digests, &mut found);
        }
        found
    }
}

/// A name as automata read it.
fn parts(folded: &Repository) -> impl Iterator<Item = &str> {
    std::iter::once(folded.host()).chain(folded.path().split('/'))
}
