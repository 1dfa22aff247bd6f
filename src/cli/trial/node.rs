//! [`NodeImages`]: the images and the running containers of this node, as the runtime says and its
//! content proves.

use std::collections::{BTreeMap, BTreeSet};

use super::item::{Items, TrialQuestion};
use crate::containerd::RuntimeError;
use crate::cri::ask::{Call, LocalImageRequest, asked_before};
use crate::cri::{Gate, LocalSubjects, Refusal};
use crate::daemon::CLOCK;
use crate::evidence::{Name, Notes, Pod, Traits};
use crate::image::{Digest, Reference};

/// The images of the runtime's and what runs.
#[derive(Debug, Default)]
pub(in crate::cli) struct NodeImages {
    /// The names of each, tags first.
    images: BTreeMap<Digest, Vec<String>>,
    running: Vec<Running>,
}

/// A container that runs: what asked for its images.
#[derive(Debug)]
struct Running {
    id: String,
    asks: Vec<LocalImageRequest>,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::cli) struct NodeCounts {
    pub(in crate::cli) containers: usize,
    pub(in crate::cli) images: usize,
    /// Containers that were not made through the CRI, so that nothing says what was asked for.
    pub(in crate::cli) unknown: usize,
}

impl NodeImages {
    /// What the runtime lists.
    ///
    /// # Errors
    /// [`RuntimeError`] when it cannot be asked.
    pub(in crate::cli) async fn listed(gate: &Gate) -> Result<Self, RuntimeError> {
        let runtime = gate.runtime();
        let what = "an image id that is not a sha256 digest";
        let malformed = || RuntimeError::Malformed { call: "ListImages", what };
        let mut images = BTreeMap::new();
        for image in runtime.node_images().await? {
            let id = Digest::parse(&image.id).map_err(|_| malformed())?;
            images.insert(id, image.names);
        }
        let mut running = Vec::new();
        for id in runtime.node_containers().await?.into_iter().map(|running| running.id) {
            // One that ended meanwhile does not run.
            let Some(container) = runtime.container(&id).await? else { continue };
            let created = container.created_with.as_ref();
            let asks = created.map(|made| asked_before(&container.pod, made, CLOCK.steady()));
            running.push(Running { id, asks: asks.unwrap_or_default() });
        }
        Ok(Self { images, running })
    }

    /// The names that the runtime lists for an image.
    pub(in crate::cli) fn names(&self, id: &Digest) -> Vec<Name> {
        let mut names = Vec::new();
        for text in self.images.get(id).into_iter().flatten() {
            let name = Reference::parse(text).map_or(Name::Unknown, Name::Known);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Notes at every item of an image that the runtime has which labels its config has.
    pub(in crate::cli) async fn note_labels(&self, gate: &Gate, items: &mut Items) {
        for (id, names) in &self.images {
            items.are_on_node((id, &digests(id, names)), &gate.labels_of(id).await);
        }
    }

    /// Adds every running container, and every image that nothing else is about: of such the
    /// namespace is not known, and every policy that enforces in some counts.
    /// `by_labels` says whether some policy looks at the labels of images.
    pub(in crate::cli) async fn add(
        &self,
        (gate, by_labels): (&Gate, bool),
        items: &mut Items,
    ) -> NodeCounts {
        let mut counts = NodeCounts { images: self.images.len(), ..NodeCounts::default() };
        for Running { id, asks } in &self.running {
            counts.containers += 1;
            counts.unknown += usize::from(asks.is_empty());
            for ask in asks {
                let asked = asked(ask, gate.local_subjects(ask).await);
                let (exact, also) = (asked.names.clone(), asked.digests.clone());
                let labels = asked.pod.traits.image_labels.clone();
                let Some(item) = items.of(asked) else { continue };
                item.containers.insert(id.clone());
                item.pod(ask.pod.namespace.as_deref(), ask.pod.name.as_deref());
                // What the runtime's content proves is more than what the log says.
                if !exact.is_empty() {
                    item.asked.names = exact;
                    item.asked.pod.traits.image_labels = labels;
                }
                item.also(also);
            }
        }
        for (id, names) in &self.images {
            let labels = if by_labels { gate.labels_of(id).await } else { Notes::default() };
            if items.are_on_node((id, &digests(id, names)), &labels) {
                continue;
            }
            let ask = LocalImageRequest {
                call: Call::CreateContainer,
                image: id.to_string(),
                user_specified: String::new(),
                pod: Pod::default(),
                container: String::new(),
                deadline: CLOCK.steady(),
            };
            let mut asked = asked(&ask, gate.local_subjects(&ask).await);
            if let Some(name) = names.first() {
                asked.image.clone_from(name);
            }
            if let Some(item) = items.of(asked) {
                item.images.insert(id.clone());
            }
        }
        counts
    }
}

/// The id of an image and the digests under which the runtime lists it.
fn digests(id: &Digest, names: &[String]) -> BTreeSet<Digest> {
    let names = names.iter().filter_map(|name| Reference::parse(name).ok());
    let listed = names.filter_map(|name| name.digest().cloned());
    listed.chain([id.clone()]).collect()
}

fn asked(ask: &LocalImageRequest, subjects: Result<LocalSubjects, Refusal>) -> TrialQuestion {
    let (subjects, fault) = match subjects {
        Ok(subjects) => (subjects, None),
        Err(refusal) => {
            let (names, digests, labels) = (Vec::new(), Vec::new(), Notes::default());
            (LocalSubjects { names, digests, labels }, Some(refusal.to_string()))
        }
    };
    let first = subjects.names.first().and_then(|subjects| subjects.first());
    let word = if ask.user_specified.is_empty() { &ask.image } else { &ask.user_specified };
    // Older runtimes keep no more of what was asked than the id; the name says more to people.
    let name = first.map(|subject| &subject.name).filter(|_| Digest::parse(word).is_ok());
    let image = match name {
        Some(Name::Known(reference)) => reference.to_string(),
        Some(Name::Unknown) | None => word.clone(),
    };
    TrialQuestion {
        image,
        digest: first.map(|subject| subject.target.clone()),
        pod: Pod {
            namespace: ask.pod.namespace.clone(),
            traits: Traits { image_labels: subjects.labels, ..Traits::default() },
            ..Pod::default()
        },
        names: subjects.names,
        digests: subjects.digests,
        fault,
    }
}
