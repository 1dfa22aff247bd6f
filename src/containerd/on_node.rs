//! [`NodeImage`], [`NodeContainer`]: the images on the node and the containers that run, as the CRI
//! lists them. For people; nothing is decided by what is claimed here.

use super::{Runtime, RuntimeError};
use crate::proto::cri::{
    ContainerFilter, ContainerState, ContainerStateValue, ListContainersRequest, ListImagesRequest,
};

/// The labels by which the kubelet says whose a container is.
const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
const POD_NAME: &str = "io.kubernetes.pod.name";

/// An image on the node, as the CRI lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeImage {
    /// Its id, as the runtime spells it.
    pub id: String,
    /// Its names: tags, and `repository@digest` names.
    pub names: Vec<String>,
}

/// A container that runs, as the CRI lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeContainer {
    /// The runtime's id of it.
    pub id: String,
    /// Its name in the pod.
    pub name: String,
    /// The pod's namespace and name, where the kubelet's labels say them.
    pub pod: Option<(String, String)>,
    /// The id of its image.
    pub image: String,
}

impl Runtime {
    /// Every image that the CRI lists (`ListImages`).
    ///
    /// # Errors
    /// [`RuntimeError`] when the runtime did not answer.
    pub async fn node_images(&self) -> Result<Vec<NodeImage>, RuntimeError> {
        let mut client = self.cri_images();
        let request = self.plain(ListImagesRequest::default());
        let answer = self.call("ListImages", client.list_images(request)).await?;
        let images = answer.images.into_iter().map(|image| NodeImage {
            id: image.id,
            names: image.repo_tags.into_iter().chain(image.repo_digests).collect(),
        });
        Ok(images.collect())
    }

    /// Every container that runs (`ListContainers`).
    ///
    /// # Errors
    /// [`RuntimeError`] when the runtime did not answer.
    pub async fn node_containers(&self) -> Result<Vec<NodeContainer>, RuntimeError> {
        let mut client = self.cri();
        let state = Some(ContainerStateValue { state: ContainerState::ContainerRunning.into() });
        let filter = Some(ContainerFilter { state, ..ContainerFilter::default() });
        let request = self.plain(ListContainersRequest { filter });
        let answer = self.call("ListContainers", client.list_containers(request)).await?;
        let containers = answer.containers.into_iter().map(|container| {
            let label = |name: &str| container.labels.get(name).cloned();
            // `image_ref` is the id in every containerd; `image_id` came later.
            let image = Some(container.image_ref.clone()).filter(|id| !id.is_empty());
            NodeContainer {
                pod: label(POD_NAMESPACE).zip(label(POD_NAME)),
                name: container.metadata.map(|metadata| metadata.name).unwrap_or_default(),
                image: image.unwrap_or_else(|| container.image_id.clone()),
                id: container.id,
            }
        });
        Ok(containers.collect())
    }
}
