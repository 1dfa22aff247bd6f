//! [`Applicable`]: which documents of a set matched; and the [`Index`] that finds them without
//! reading them all.

use std::fmt;
use std::sync::Arc;

use crate::evidence::{Name, Pod};

use crate::policy::scope::automaton::Automaton;
use crate::policy::scope::document_set::DocumentSet;
use crate::policy::scope::pattern::PatternList;

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
}

/// A policy whose patterns match an image's name, and whose namespaces do not have the pod's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherNamespaces {
    /// Its name.
    pub policy: String,
    /// Its `spec.namespaces`, the first few.
    pub namespaces: String,
    /// The pod's namespace, escaped and bounded; none where it is not known.
    pub namespace: Option<String>,
}

/// What one document is about.
#[derive(Debug, Default)]
pub(in crate::policy) struct Scope {
    pub(in crate::policy) images: PatternList,
    pub(in crate::policy) exclude: PatternList,
    /// Empty: every namespace.
    pub(in crate::policy) namespaces: PatternList,
    /// Whether it lets through without proof.
    pub(in crate::policy) is_permissive: bool,
}

/// The patterns of a set's documents, made for looking a name up once, whatever their number.
#[derive(Debug, Default)]
pub(in crate::policy) struct Index {
    images: Automaton,
    exclude: Automaton,
    namespaces: Automaton,
    /// The documents that name no namespace: they are about all.
    everywhere: DocumentSet,
    /// The documents that do not let through without proof.
    enforcing: DocumentSet,
    documents: usize,
}

impl Applicable {
    pub(in crate::policy) fn new(
        generation: Arc<str>,
        (documents, demanding): (DocumentSet, bool),
        exceptions: DocumentSet,
    ) -> Self {
        let (documents, exceptions) = (Arc::new(documents), Arc::new(exceptions));
        Self { generation, documents, exceptions, demanding }
    }

    /// Whether nothing matched but documents that only deny: nothing may be asked of a registry
    /// then.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.demanding && self.exceptions.is_empty()
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

impl fmt::Display for OtherNamespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, namespaces, namespace } = self;
        write!(f, "policy \"{policy}\" matches the name, but its spec.namespaces ({namespaces}) ")?;
        match namespace {
            Some(namespace) => write!(f, "do not have the pod's, {namespace}"),
            None => f.write_str("are all that it is about, and the pod's namespace is not known"),
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
        let (mut images, mut exclude, mut namespaces) = (Vec::new(), Vec::new(), Vec::new());
        for scope in scopes {
            images.push(scope.images);
            exclude.push(scope.exclude);
            namespaces.push(scope.namespaces);
        }
        Self {
            images: Automaton::new(images.into_iter()),
            exclude: Automaton::new(exclude.into_iter()),
            namespaces: Automaton::new(namespaces.into_iter()),
            everywhere,
            enforcing,
            documents: count,
        }
    }

    /// The documents that match.
    pub(in crate::policy) fn matching(&self, name: &Name, pod: &Pod) -> DocumentSet {
        let mut found = self.about(name);
        if !found.is_empty() {
            found.keep(&self.inside(pod));
        }
        found
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
        inside
    }

    /// The documents whose images match this name, and those whose exclude does.
    pub(in crate::policy) fn named(&self, name: &Name) -> (DocumentSet, DocumentSet) {
        let (mut images, mut excluded) =
            (DocumentSet::none_of(self.documents), DocumentSet::none_of(self.documents));
        if let Some(folded) = name.repository().filter(|folded| !folded.is_reserved()) {
            let parts = || std::iter::once(folded.host()).chain(folded.path().split('/'));
            self.images.add_matching(parts(), &mut images);
            self.exclude.add_matching(parts(), &mut excluded);
        }
        (images, excluded)
    }

    /// The documents that match in whatever namespace. Without a name that is every enforcing one,
    /// whatever its patterns, and no permissive one.
    pub(super) fn about(&self, name: &Name) -> DocumentSet {
        let Some(folded) = name.repository() else { return self.enforcing.clone() };
        // `**` and other wildcards stand for every host but this one.
        if folded.is_reserved() {
            return DocumentSet::none_of(self.documents);
        }
        let parts = || std::iter::once(folded.host()).chain(folded.path().split('/'));
        let mut found = DocumentSet::none_of(self.documents);
        self.images.add_matching(parts(), &mut found);
        if !found.is_empty() {
            let mut excluded = DocumentSet::none_of(self.documents);
            self.exclude.add_matching(parts(), &mut excluded);
            found.remove(&excluded);
        }
        found
    }
}
