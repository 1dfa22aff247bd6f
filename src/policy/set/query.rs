//! What a set says of the documents that matched an image: what has to be gathered, and which
//! policy would have matched another pod.

use jiff::Timestamp;

use super::PolicySet;
use super::applicable::{Applicable, Elsewhere, OtherNamespaces, OtherPods};
use super::exceptions::{ExceptionEnds, ExceptionNotice};
use super::kinds::{DocumentKinds, Plan};
use crate::evidence::{Name, NoteValue, Notes, Pod};
use crate::policy::document::deny_entry::DenyEntry;
use crate::policy::document::head::ListHead;
use crate::policy::sanitize::{bounded, escaped};
use crate::policy::scope::cover::fits;
use crate::policy::scope::document_set::DocumentSet;
use crate::policy::scope::pattern::END_OF_PART;
use crate::policy::scope::selectors::{Selection, SelectorField, Selectors};

/// Namespaces of a policy that a message shows.
const NAMESPACES_SHOWN: usize = 4;
/// Longest namespace in a message, in bytes: as long as one can be.
const NAMESPACE_SHOWN: usize = 63;
/// Longest text of a field by which pods are selected in a message, in bytes.
const SELECTOR_SHOWN: usize = 160;

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

    /// The deny lists that were fetched, in the order of their names.
    #[must_use]
    pub fn fetched_lists(&self) -> &[ListHead] {
        &self.fetched
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

    /// Whether a document that counts at this time names an image of this name by its digest, or the
    /// digest that the name has: then none that matches before the digest is known does not say that
    /// none will.
    #[must_use]
    pub fn names_digest_of(&self, name: &Name, now: Timestamp) -> bool {
        self.index.pinned(name).next().is_some() || self.exceptions.names_digest_of(name, now)
    }

    /// What there is to say of the exceptions at this time: which end soon, and which admit nothing.
    #[must_use]
    pub fn exception_notices(&self, now: Timestamp) -> Vec<ExceptionNotice> {
        self.exceptions.notices(now)
    }

    /// How the exceptions stand at this time, and when the first that counts ends.
    #[must_use]
    pub fn exception_ends(&self, now: Timestamp) -> ExceptionEnds {
        self.exceptions.ends(now)
    }

    /// How many exceptions there are.
    #[must_use]
    pub fn exceptions(&self) -> usize {
        self.exceptions.len()
    }

    /// The first policy that would have matched another pod, or another use of the image; for people
    /// who wonder why none did.
    #[must_use]
    pub fn elsewhere(&self, name: &Name, pod: &Pod) -> Option<Elsewhere> {
        // Of no digest: what names one is about that image alone.
        let mut elsewhere = self.index.about(name, Some(&[]));
        elsewhere.remove(&self.index.matching(name, Some(&[]), pod));
        let number = elsewhere.both(&self.kinds.demanding).next()?;
        let document = &self.rules.get(number)?.document;
        let policy = document.name.clone();
        if self.index.inside(pod).has(number) {
            let (field, selectors) = self.unmet(number, pod)?;
            let wants = bounded(escaped(&selectors.written(field)), SELECTOR_SHOWN);
            let (field, whose) = (field.name(), field.whose());
            return Some(Elsewhere::Pods(OtherPods { policy, field, whose, wants }));
        }
        let namespace = pod.namespace.as_deref();
        let written = document
            .namespaces
            .iter()
            .map(|namespace| namespace.trim_end_matches(char::from(END_OF_PART)));
        let mut namespaces: Vec<&str> = written.take(NAMESPACES_SHOWN + 1).collect();
        if namespaces.len() > NAMESPACES_SHOWN {
            namespaces.truncate(NAMESPACES_SHOWN);
            namespaces.push("...");
        }
        let is_excluded = document.namespaces.is_empty()
            || namespace.is_some_and(|namespace| {
                let namespace = format!("{namespace}{}", char::from(END_OF_PART));
                document.namespaces.iter().any(|pattern| fits(pattern, &namespace))
            });
        Some(Elsewhere::Namespaces(OtherNamespaces {
            policy,
            namespaces: (!is_excluded).then(|| namespaces.join(", ")),
            namespace: namespace.map(|namespace| bounded(escaped(namespace), NAMESPACE_SHOWN)),
        }))
    }

    /// By which fields a policy of this name is about the pod, besides images and namespaces; none
    /// where it has no such fields.
    pub(in crate::policy) fn selected(&self, policy: &str, pod: &Pod) -> Option<String> {
        let number = self.rules.iter().position(|rule| rule.document.name == policy)?;
        let selectors = self.index.selectors().of(number)?;
        let of = |field: SelectorField| {
            let written = || bounded(escaped(&selectors.written(field)), SELECTOR_SHOWN);
            match selectors.of_field(field, &pod.traits) {
                Selection::Yes if selectors.has(field) => {
                    Some(format!("spec.{} ({})", field.name(), written()))
                }
                Selection::Unknown => Some(format!(
                    "spec.{} ({}), of which nothing is known here",
                    field.name(),
                    written()
                )),
                Selection::Yes | Selection::No => None,
            }
        };
        let fields: Vec<String> = SelectorField::ALL.into_iter().filter_map(of).collect();
        (!fields.is_empty())
            .then(|| format!("policy \"{policy}\" is about it by {}", fields.join(" and ")))
    }

    /// The first field by which the document of this number is not about a pod.
    fn unmet(&self, number: usize, pod: &Pod) -> Option<(SelectorField, &Selectors)> {
        let selectors = self.index.selectors().of(number)?;
        let is_permissive = self.rules.get(number)?.document.is_permissive();
        let unmet = SelectorField::ALL
            .into_iter()
            .find(|field| !selectors.of_field(*field, &pod.traits).counts(is_permissive))?;
        Some((unmet, selectors))
    }

    /// Whether some document goes by labels, annotations or the runtime handler of a pod: then what
    /// the runtime knows of it is worth a question.
    #[must_use]
    pub fn goes_by_pods(&self) -> bool {
        self.index.selectors().goes_by_pods()
    }

    /// Whether some document goes by the runtime handler of a pod.
    #[must_use]
    pub fn goes_by_handlers(&self) -> bool {
        self.index.selectors().goes_by_handlers()
    }

    /// Whether some of these documents goes by labels of the image: then its config is worth a
    /// question. While they are not known, all that do are among those that match, since none of them
    /// lets through without proof.
    #[must_use]
    pub fn goes_by_image_labels(&self, applicable: &Applicable) -> bool {
        let by_labels = self.index.selectors().by_image_labels();
        self.made(applicable) && applicable.documents().meets(by_labels)
    }

    /// Whether the policy of this name goes by labels of images.
    pub(in crate::policy) fn is_by_image_labels(&self, policy: &str) -> bool {
        let number = self.rules.iter().position(|rule| rule.document.name == policy);
        let by_labels = self.index.selectors().by_image_labels();
        number.is_some_and(|number| by_labels.has(number))
    }

    /// Whether some document goes by labels of images.
    #[must_use]
    pub fn looks_at_image_labels(&self) -> bool {
        !self.index.selectors().by_image_labels().is_empty()
    }

    /// Of an image's labels those that documents look for.
    #[must_use]
    pub fn seen_of_image(&self, labels: &Notes) -> Notes {
        labels.only(self.index.selectors().image_label_keys())
    }

    /// Whether everything is known that documents look for in an image's labels.
    #[must_use]
    pub fn is_seen_of_image(&self, labels: &Notes) -> bool {
        let mut keys = self.index.selectors().image_label_keys();
        keys.all(|key| labels.get(key) != NoteValue::Unknown)
    }

    /// As much of a pod, and of the image that it wants, as the documents go by: what a verdict on it is remembered with, to be judged
    /// again under documents that may go by more. That is then not known of it.
    #[must_use]
    pub fn seen_of(&self, pod: &Pod) -> Pod {
        let selectors = self.index.selectors();
        let (labels, annotations) = (selectors.label_keys(), selectors.annotation_keys());
        let traits = pod.traits.only(labels, annotations, selectors.image_label_keys());
        Pod { namespace: pod.namespace.clone(), name: None, uid: None, traits }
    }
}
