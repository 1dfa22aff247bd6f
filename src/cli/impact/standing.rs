//! [`Standings`]: what would become of each affected image without what it rests on, by the evidence
//! that is kept; [`Running`]: the containers of it that run.

use serde::Serialize;

use super::affected::AffectedImage;
use super::judging::{ImpactJudge, WithoutIt};
use crate::cli::deny::Prospect;
use crate::cli::evidence::catalog::Catalog;
use crate::cli::evidence::on_node::{existing, tokio_runtime};
use crate::config::Settings;
use crate::containerd::{NodeContainer, Runtime};

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
    /// Those of which it cannot be told whether they rest on it.
    pub(super) untold: Vec<StoodImage<'a>>,
    /// Why nothing is known of what runs.
    pub(super) runtime_fault: Option<String>,
    /// Why nothing could be judged.
    pub(super) evidence_fault: Option<String>,
}

impl<'a> Standings<'a> {
    /// Judges each, under the set without the entry and with it.
    pub(super) fn of(
        images: Vec<&'a AffectedImage>,
        prospect: &Prospect,
        settings: &Settings,
    ) -> Self {
        let (mut containers, runtime_fault) = match running(settings) {
            Ok(containers) => (containers, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        let opened = existing(&settings.evidence)
            .and_then(|store| store.ok_or_else(|| "there is no evidence on this node".to_owned()));
        let judged = opened.and_then(|store| {
            let catalog = Catalog::of(&store)?;
            let judging = ImpactJudge::of((&store, &catalog), prospect, settings);
            Ok(images.iter().map(|image| judging.standing(image)).collect::<Vec<_>>())
        });
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
        let (untold, images) = images.partition(|stood| stood.image.untold.is_some());
        Self { images, untold, runtime_fault, evidence_fault }
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
