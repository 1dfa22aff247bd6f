//! What the CRI lists: every image with all its names, and the containers that run.
//!
//! Claims like all of the runtime's words (facts C3 to C5).

use super::{Image, Runtime, RuntimeError};
use crate::image::Digest;
use crate::proto::cri::{
    ContainerFilter, ContainerState, ContainerStateValue, ListContainersRequest, ListImagesRequest,
};

impl Runtime {
    /// Every image (`ListImages`).
    ///
    /// # Errors
    /// [`RuntimeError`] when the runtime did not answer, or lists an image without an id.
    pub async fn listed_images(&self) -> Result<Vec<Image>, RuntimeError> {
        const CALL: &str = "ListImages";
        let mut client = self.cri_images();
        let request = self.plain(ListImagesRequest::default());
        let answer = self.call(CALL, client.list_images(request)).await?;
        let read = |image: crate::proto::cri::Image| {
            let what = "an image id that is not a sha256 digest";
            let id = Digest::parse(&image.id)
                .map_err(|_| RuntimeError::Malformed { call: CALL, what })?;
            Ok(Image { id, tags: image.repo_tags, digests: image.repo_digests })
        };
        answer.images.into_iter().map(read).collect()
    }

    /// The ids of the containers that run (`ListContainers`), sandboxes left out.
    ///
    /// # Errors
    /// [`RuntimeError`] when the runtime did not answer.
    pub async fn running(&self) -> Result<Vec<String>, RuntimeError> {
        let state = ContainerStateValue { state: ContainerState::ContainerRunning.into() };
        let filter = ContainerFilter { state: Some(state), ..ContainerFilter::default() };
        let mut client = self.cri();
        let request = self.plain(ListContainersRequest { filter: Some(filter) });
        let answer = self.call("ListContainers", client.list_containers(request)).await?;
        Ok(answer.containers.into_iter().map(|container| container.id).collect())
    }
}
