//! [`Items`]: the images that are judged under both sets of policies, each once for a namespace,
//! with every decision, container and image of this node that it stands for.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::audit::{Record, Timestamp, Verdict};
use crate::cli::evidence::catalog::Catalog;
use crate::evidence::{Name, Notes, Origin, Pod, Subject};
use crate::image::Digest;

/// Most images and namespaces that are told apart: ten times what a node decides in a month. What
/// comes beyond is counted and said.
const ITEMS_MAX: usize = 100_000;
/// Most pods of one item that are held; what comes beyond is said.
const PODS_MAX: usize = 1000;

/// Whether an image would run, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) enum Prospect {
    /// It would.
    Admitted,
    /// What is on this node does not tell.
    Untold,
    /// It would not.
    Refused,
}

/// What makes two decisions one: the same image under the same names in the same namespace.
/// What else documents go by of a pod is not on record, so that those that demand count. In the order of the digests, so that what is judged one after
/// the other rests on the same evidence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ItemKey {
    digest: Option<Digest>,
    names: Vec<String>,
    namespace: Option<String>,
}

/// What is asked, by a decision on record or for something on the node.
#[derive(Debug, Clone)]
pub(in crate::cli) struct TrialQuestion {
    /// How it was asked for, for people.
    pub(in crate::cli) image: String,
    /// What was decided on; none where that is not known.
    pub(in crate::cli) digest: Option<Digest>,
    /// The pod and the image's labels, as far as they are known; of a pod on record that is its
    /// namespace.
    pub(in crate::cli) pod: Pod,
    /// For each name under which it must pass the subjects of which one must be admitted.
    pub(in crate::cli) names: Vec<Vec<Subject>>,
    /// Digests of which a deny list must name none, beside those.
    pub(in crate::cli) digests: Vec<Digest>,
    /// Why it cannot be told what is asked.
    pub(in crate::cli) fault: Option<String>,
}

/// The latest decision about it.
#[derive(Debug, Clone, Serialize)]
pub(in crate::cli) struct Then {
    pub(in crate::cli) decision: String,
    pub(in crate::cli) time: Timestamp,
    pub(in crate::cli) verdict: Verdict,
    pub(in crate::cli) code: String,
    #[serde(skip)]
    pub(in crate::cli) prospect: Prospect,
}

/// One image in one namespace.
#[derive(Debug)]
pub(in crate::cli) struct Item {
    pub(in crate::cli) asked: TrialQuestion,
    /// Pods as `namespace/name`.
    pub(in crate::cli) pods: BTreeSet<String>,
    pub(in crate::cli) more_pods: bool,
    pub(in crate::cli) decisions: u64,
    pub(in crate::cli) last: Option<Then>,
    /// The ids of the containers of it that run.
    pub(in crate::cli) containers: BTreeSet<String>,
    /// The ids of the images that the runtime has of it.
    pub(in crate::cli) images: BTreeSet<Digest>,
}

/// All of them.
#[derive(Debug, Default)]
pub(in crate::cli) struct Items {
    items: BTreeMap<ItemKey, Item>,
    /// Decisions that are not among them, since there are too many.
    pub(in crate::cli) left_out: u64,
}

impl Items {
    /// The item for what is asked; none when there are too many.
    pub(in crate::cli) fn of(&mut self, asked: TrialQuestion) -> Option<&mut Item> {
        let known = |subjects: &Vec<Subject>| subjects.first().map(|one| one.name.to_string());
        let mut names: Vec<String> = asked.names.iter().filter_map(known).collect();
        names.sort();
        let (digest, namespace) = (asked.digest.clone(), asked.pod.namespace.clone());
        let key = ItemKey { digest, names, namespace };
        if self.items.len() >= ITEMS_MAX && !self.items.contains_key(&key) {
            return None;
        }
        Some(self.items.entry(key).or_insert_with(|| Item::new(asked)))
    }

    pub(in crate::cli) fn iter(&self) -> impl ExactSizeIterator<Item = &Item> {
        self.items.values()
    }

    /// Notes at every item of an image that the runtime has it under this id and with these labels;
    /// whether there is one.
    pub(in crate::cli) fn are_on_node(
        &mut self,
        (id, digests): (&Digest, &BTreeSet<Digest>),
        labels: &Notes,
    ) -> bool {
        let is_it = |item: &&mut Item| {
            let own = item.asked.digest.iter().chain(&item.asked.digests);
            own.into_iter().any(|digest| digests.contains(digest))
        };
        let mut found = false;
        for item in self.items.values_mut().filter(|item| is_it(item)) {
            item.images.insert(id.clone());
            item.asked.pod.traits.image_labels = labels.clone();
            found = true;
        }
        found
    }
}

impl Item {
    fn new(asked: TrialQuestion) -> Self {
        Self {
            asked,
            pods: BTreeSet::new(),
            more_pods: false,
            decisions: 0,
            last: None,
            containers: BTreeSet::new(),
            images: BTreeSet::new(),
        }
    }

    /// Notes a pod of it.
    pub(in crate::cli) fn pod(&mut self, namespace: Option<&str>, name: Option<&str>) {
        let Some(name) = name else { return };
        let pod = format!("{}/{name}", namespace.unwrap_or("?"));
        if self.pods.len() < PODS_MAX || self.pods.contains(&pod) {
            self.pods.insert(pod);
        } else {
            self.more_pods = true;
        }
    }

    /// Notes a decision; the latest is what is known of it.
    pub(in crate::cli) fn decided(&mut self, record: &Record, prospect: Prospect) {
        self.decisions = self.decisions.saturating_add(record.repeats.max(1));
        self.pod(record.pod.namespace.as_deref(), record.pod.name.as_deref());
        if self.last.as_ref().is_none_or(|last| last.time <= record.time) {
            self.last = Some(Then {
                decision: record.id.to_string(),
                time: record.time,
                verdict: record.verdict,
                code: record.reason.code.to_string(),
                prospect,
            });
        }
    }

    /// Notes digests that a deny list may name.
    pub(in crate::cli) fn also(&mut self, digests: impl IntoIterator<Item = Digest>) {
        for digest in digests {
            if !self.asked.digests.contains(&digest) {
                self.asked.digests.push(digest);
            }
        }
    }
}

/// The subjects that a decision on this name and digest may have been about: which manifest under
/// an index this node runs, and whether a manifest was chosen from an index, is not on record. What
/// is kept says which there are.
pub(in crate::cli) fn subjects(
    name: &Name,
    target: &Digest,
    origin: Origin,
    catalog: &Catalog,
) -> Vec<Subject> {
    let subject = |target: &Digest, child: Option<&Digest>| Subject {
        name: name.clone(),
        target: target.clone(),
        child: child.cloned(),
        origin,
    };
    let children = catalog.children_of(target);
    let mut all: Vec<Subject> = children.iter().map(|child| subject(target, Some(child))).collect();
    if all.is_empty() {
        all.push(subject(target, None));
    }
    let by_tag = matches!(name, Name::Known(reference) if reference.digest().is_none());
    if by_tag {
        let indexes: BTreeSet<&Digest> = catalog
            .of_subject(target)
            .flat_map(|kept| &kept.entry.targets)
            .filter(|index| *index != target)
            .collect();
        all.extend(indexes.into_iter().map(|index| subject(index, Some(target))));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::NoteValue;
    use crate::image::Reference;

    /// What a decision on record was about is judged by the labels of the image that the node has, and
    /// of no other.
    #[test]
    fn what_is_on_record_has_the_labels_of_what_is_on_the_node() {
        let mut items = Items::default();
        for word in ["here", "gone"] {
            let target = Digest::of(word.as_bytes());
            let name = Name::Known(Reference::parse("reg.test/app:1").unwrap());
            let (child, origin) = (None, Origin::Kept);
            items.of(TrialQuestion {
                image: word.to_owned(),
                digest: Some(target.clone()),
                pod: Pod::default(),
                names: vec![vec![Subject { name, target, child, origin }]],
                digests: Vec::new(),
                fault: None,
            });
        }
        let (id, digest) = (Digest::of(b"id"), Digest::of(b"here"));
        let labels = Notes::all([("tier".to_owned(), "pci".to_owned())]);
        assert!(items.are_on_node((&id, &[digest.clone()].into()), &labels));
        for item in items.iter() {
            let is_here = item.asked.digest.as_ref() == Some(&digest);
            let known = item.asked.pod.traits.image_labels.get("tier");
            let expected = if is_here { NoteValue::Is("pci") } else { NoteValue::Unknown };
            assert_eq!((known, item.images.is_empty()), (expected, !is_here));
        }
    }
}
