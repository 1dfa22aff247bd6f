//! What a set says of the documents that matched an image: what has to be gathered, and which
//! policy would have matched in another namespace.

use jiff::Timestamp;

use super::PolicySet;
use super::applicable::{Applicable, OtherNamespaces};
use super::exceptions::ExceptionNotice;
use super::kinds::{DocumentKinds, Plan};
use crate::evidence::{Name, Pod};
use crate::policy::document::deny_entry::DenyEntry;
use crate::policy::sanitize::{bounded, escaped};
use crate::policy::scope::document_set::DocumentSet;
use crate::policy::scope::pattern::END_OF_PART;

/// Namespaces of a policy that a message shows.
const NAMESPACES_SHOWN: usize = 4;
/// Longest namespace in a message, in bytes: as long as one can be.
const NAMESPACE_SHOWN: usize = 63;

impl PolicySet {
    /// What has to be gathered to judge these documents.
    #[must_use]
    pub fn plan(&self, applicable: &Applicable) -> Plan {
        let some = |kind: &DocumentSet| self.made(applicable) && applicable.documents().meets(kind);
        let DocumentKinds { signatures, certificates, names_tag, attestations, .. } = &self.kinds;
        Plan {
            signatures: some(signatures),
            certificates: some(certificates),
            names_tag: some(names_tag),
            attestations: some(attestations),
        }
    }
}

impl PolicySet {
    /// Every entry of every deny list, in the order of the files: the list, the file, the entry.
    pub fn denied(&self) -> impl Iterator<Item = (&str, &str, &DenyEntry)> {
        let entries = self.denials.entries().iter();
        entries.map(|listed| (listed.list.as_str(), listed.file.as_str(), &listed.entry))
    }

    /// Whether an exception counts at this time for what matched: then nothing has to be asked of a
    /// registry.
    #[must_use]
    pub fn is_excepted(&self, applicable: &Applicable, now: Timestamp) -> bool {
        self.made(applicable) && self.exceptions.in_force(applicable.exceptions(), now).is_some()
    }

    /// Whether nothing that matched demands anything, and no exception that did counts at this time:
    /// then nothing may be asked of a registry, also where an exception has named it and has ended.
    #[must_use]
    pub fn is_unmatched(&self, applicable: &Applicable, now: Timestamp) -> bool {
        !applicable.demands() && !self.is_excepted(applicable, now)
    }

    /// What there is to say of the exceptions at this time: which end soon, and which admit nothing.
    #[must_use]
    pub fn exception_notices(&self, now: Timestamp) -> Vec<ExceptionNotice> {
        self.exceptions.notices(now)
    }

    /// How many exceptions there are.
    #[must_use]
    pub fn exceptions(&self) -> usize {
        self.exceptions.len()
    }

    /// The first policy that would have matched in another namespace; for people who wonder why
    /// none did.
    #[must_use]
    pub fn elsewhere(&self, name: &Name, pod: &Pod) -> Option<OtherNamespaces> {
        let mut elsewhere = self.index.about(name);
        elsewhere.remove(&self.index.inside(pod));
        let document = &self.rules.get(elsewhere.both(&self.kinds.demanding).next()?)?.document;
        let written = document
            .namespaces
            .iter()
            .map(|namespace| namespace.trim_end_matches(char::from(END_OF_PART)));
        let mut namespaces: Vec<&str> = written.take(NAMESPACES_SHOWN + 1).collect();
        if namespaces.len() > NAMESPACES_SHOWN {
            namespaces.truncate(NAMESPACES_SHOWN);
            namespaces.push("...");
        }
        Some(OtherNamespaces {
            policy: document.name.clone(),
            namespaces: namespaces.join(", "),
            namespace: pod
                .namespace
                .as_deref()
                .map(|namespace| bounded(escaped(namespace), NAMESPACE_SHOWN)),
        })
    }
}
