//! [`Standings`]: what would become of each affected image without what it rests on, by the evidence
//! that is kept; [`Running`]: the containers of it that run.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::affected::AffectedImage;
use crate::cli::evidence::catalog::Catalog;
use crate::cli::evidence::offline::{Judgement, KeptImage};
use crate::cli::evidence::on_node::{existing, tokio_runtime};
use crate::config::Settings;
use crate::containerd::{NodeContainer, Runtime};
use crate::evidence_store::Store;
use crate::image::Digest;
use crate::policy::PolicySet;

/// What would become of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum WithoutIt {
    /// It would be refused.
    Refused,
    /// The evidence on this node does not say.
    Untold,
    /// It would still be admitted.
    Admitted,
}

/// A container that runs.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Running {
    pub(super) id: String,
    pub(super) container: String,
    pub(super) namespace: Option<String>,
    pub(super) pod: Option<String>,
}

/// An image with what would become of it, and why where it would not be admitted.
#[derive(Debug, Serialize)]
pub(super) struct StoodImage<'a> {
    #[serde(flatten)]
    pub(super) image: &'a AffectedImage,
    pub(super) without_it: WithoutIt,
    pub(super) why: String,
    pub(super) running: Vec<Running>,
}

/// The images, and what could not be found out.
#[derive(Debug)]
pub(super) struct Standings<'a> {
    pub(super) images: Vec<StoodImage<'a>>,
    /// Why nothing is known of what runs.
    pub(super) runtime_fault: Option<String>,
    /// Why nothing could be judged.
    pub(super) evidence_fault: Option<String>,
}

impl<'a> Standings<'a> {
    /// Judges each, under the set as it is and as it would be.
    pub(super) fn of(
        images: Vec<&'a AffectedImage>,
        sets: &[Arc<PolicySet>; 2],
        settings: &Settings,
    ) -> Self {
        let (mut containers, runtime_fault) = match running(settings) {
            Ok(containers) => (containers, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        let opened = existing(&settings.evidence)
            .and_then(|store| store.ok_or_else(|| "there is no evidence on this node".to_owned()));
        let judged = opened.and_then(|store| judged(&images, sets, &store, settings));
        let (judged, evidence_fault) = match judged {
            Ok(judged) => (judged, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        let mut judged = judged.into_iter();
        let images = images.into_iter().map(|image| {
            let (without_it, why) = judged.next().unwrap_or((WithoutIt::Untold, String::new()));
            let (of_it, others) = containers.drain(..).partition(|one| is_of(one, image));
            containers = others;
            let of_it: Vec<NodeContainer> = of_it;
            StoodImage { image, without_it, why, running: of_it.into_iter().map(told).collect() }
        });
        let images = images.collect();
        Self { images, runtime_fault, evidence_fault }
    }

    /// How many containers of them run.
    pub(super) fn running(&self) -> usize {
        self.images.iter().map(|stood| stood.running.len()).sum()
    }
}

fn running(settings: &Settings) -> Result<Vec<NodeContainer>, String> {
    let runtime = tokio_runtime()?;
    runtime.block_on(async {
        let containerd = Runtime::new(settings.runtime.clone());
        containerd.node_containers().await.map_err(|error| error.to_string())
    })
}

/// By the id of the container, where the log has it; by that of the image otherwise.
fn is_of(container: &NodeContainer, image: &AffectedImage) -> bool {
    image.containers.contains(&container.id) || image.image_ids.contains(&container.image)
}

fn told(container: NodeContainer) -> Running {
    let (namespace, pod) = container.pod.unzip();
    Running { id: container.id, container: container.name, namespace, pod }
}

fn judged(
    images: &[&AffectedImage],
    [before, after]: &[Arc<PolicySet>; 2],
    store: &Store,
    settings: &Settings,
) -> Result<Vec<(WithoutIt, String)>, String> {
    let catalog = Catalog::of(store)?;
    let mut judgements: BTreeMap<Option<&String>, [Judgement<'_>; 2]> = BTreeMap::new();
    let mut stood = Vec::new();
    for image in images {
        // Of a pull no namespace is known.
        let nowhere = image.namespaces.is_empty().then_some(None);
        let mut worst = (WithoutIt::Admitted, String::new());
        for namespace in image.namespaces.iter().map(Some).chain(nowhere) {
            let both = judgements.entry(namespace).or_insert_with(|| {
                [before, after]
                    .map(|set| Judgement::new(settings, Arc::clone(set), store, namespace.cloned()))
            });
            let one = standing(image, both, &catalog);
            if one.0 < worst.0 {
                worst = one;
            }
        }
        stood.push(worst);
    }
    Ok(stood)
}

/// Under each name that it was asked for by: all of them must pass.
fn standing(
    image: &AffectedImage,
    [before, after]: &[Judgement<'_>; 2],
    catalog: &Catalog,
) -> (WithoutIt, String) {
    let Ok(digest) = Digest::parse(&image.digest) else {
        return (WithoutIt::Untold, "the record has no digest of it".to_owned());
    };
    let mut worst = (WithoutIt::Admitted, String::new());
    let names = image.names.iter().filter(|name| Digest::parse(name).is_err());
    let mut is_named = false;
    for name in names {
        is_named = true;
        let image = KeptImage::named(name, &digest, catalog);
        let then = after.judge(&image, catalog);
        if then.is_admitted() {
            continue;
        }
        let is_refused = then.is_struck_off() || before.judge(&image, catalog).is_admitted();
        let (_, _, why) = then.told();
        let standing = if is_refused { WithoutIt::Refused } else { WithoutIt::Untold };
        if standing < worst.0 {
            worst = (standing, why);
        }
    }
    if is_named { worst } else { (WithoutIt::Untold, "the records have no name of it".to_owned()) }
}
