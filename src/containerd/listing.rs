//! [`Listing`]: every container of a namespace, one after the other; [`Listed`]: one of them, also
//! where what containerd keeps of it is not what the CRI would have written.

use std::collections::BTreeMap;
use std::time::Duration;

use tonic::Streaming;

use super::images::since_1970;
use super::{Container, Runtime, RuntimeError, container, error};
use crate::image::Digest;
use crate::proto::containerd::services::containers::v1 as api;
use crate::proto::containerd::services::images::v1::GetImageRequest;

/// The call that lists them.
const CALL: &str = "Containers/ListStream";
/// Most containers of one namespace: a node of the largest kind has some 1000, sandboxes and ended
/// ones included.
const CONTAINERS_MAX: usize = 1 << 14;
/// The label by which the CRI says what its containers are (containerd, `internal/cri/labels`).
const KIND: &str = "io.cri-containerd.kind";

/// A container, by containerd's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// containerd's namespace.
    pub namespace: String,
    /// Its id.
    pub id: String,
    /// The image's name, as its maker wrote it.
    pub image: String,
    /// The runtime type.
    pub runtime: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When containerd made it, since 1970 UTC.
    pub created: Duration,
    /// All of it; the error where what is kept of it cannot be read.
    pub container: Result<Container, RuntimeError>,
}

/// What a container says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A container of a pod.
    Container,
    /// A pod's sandbox.
    Sandbox,
    /// Neither: it was not made through the CRI.
    Other,
}

/// The containers of one namespace.
#[derive(Debug)]
pub struct Listing {
    stream: Streaming<api::ListContainerMessage>,
    namespace: String,
    limit: Duration,
    left: usize,
}

impl Runtime {
    /// Every container of a namespace, in containerd's order (`Containers/ListStream`): one at a
    /// time, so that a full node takes no more memory than an empty one.
    ///
    /// # Errors
    /// [`RuntimeError`] when the runtime did not answer.
    pub async fn containers_in(&self, namespace: &str) -> Result<Listing, RuntimeError> {
        let mut client = self.containers();
        let request = self.native_in(namespace, api::ListContainersRequest { filters: Vec::new() });
        let stream = self.call(CALL, client.list_stream(request)).await?;
        let (namespace, limit) = (namespace.to_owned(), self.options.call_timeout());
        Ok(Listing { stream, namespace, limit, left: CONTAINERS_MAX })
    }

    /// One container of a namespace (`Containers/Get`); `None` when there is none.
    ///
    /// # Errors
    /// [`RuntimeError`] when the runtime did not answer.
    pub async fn listed(&self, namespace: &str, id: &str) -> Result<Option<Listed>, RuntimeError> {
        let mut client = self.containers();
        let request = self.native_in(namespace, api::GetContainerRequest { id: id.to_owned() });
        let answer = error::found(self.call("Containers/Get", client.get(request)).await)?;
        Ok(answer.and_then(|answer| answer.container).map(|found| Listed::of(namespace, found)))
    }

    /// What a name points at in a namespace; `None` where that is nothing, or no SHA-256.
    ///
    /// # Errors
    /// [`RuntimeError`] when the runtime did not answer.
    pub async fn digest_in(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Digest>, RuntimeError> {
        let mut client = self.images();
        let request = self.native_in(namespace, GetImageRequest { name: name.to_owned() });
        let answer = error::found(self.call("Images/Get", client.get(request)).await)?;
        let target = answer.and_then(|answer| answer.image).and_then(|image| image.target);
        Ok(target.and_then(|target| Digest::parse(&target.digest).ok()))
    }
}

impl Listing {
    /// The next container.
    ///
    /// # Errors
    /// [`RuntimeError`] when the runtime did not go on, or after 16384 containers: a list that
    /// leaves out one would be a wrong answer.
    pub async fn next(&mut self) -> Result<Option<Listed>, RuntimeError> {
        let next = tokio::time::timeout(self.limit, self.stream.message()).await;
        let next = next.map_err(|_| RuntimeError::TimedOut { call: CALL })?;
        let Some(message) = next.map_err(|status| RuntimeError::from((CALL, status)))? else {
            return Ok(None);
        };
        self.left = self.left.checked_sub(1).ok_or(RuntimeError::Malformed {
            call: CALL,
            what: "more than 16384 containers in one namespace",
        })?;
        let found = message.container;
        let found =
            found.ok_or(RuntimeError::Malformed { call: CALL, what: "no container in a list" })?;
        Ok(Some(Listed::of(&self.namespace, found)))
    }
}

impl Listed {
    fn of(namespace: &str, found: api::Container) -> Self {
        Self {
            namespace: namespace.to_owned(),
            id: found.id.clone(),
            image: found.image.clone(),
            runtime: found.runtime.as_ref().map(|runtime| runtime.name.clone()).unwrap_or_default(),
            labels: found.labels.clone(),
            created: found.created_at.as_ref().map(since_1970).unwrap_or_default(),
            container: container::read(found),
        }
    }

    /// What it says that it is, by its label, which whoever made it wrote.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.labels.get(KIND).map(String::as_str) {
            Some("container") => Kind::Container,
            Some("sandbox") => Kind::Sandbox,
            Some(_) | None => Kind::Other,
        }
    }

    /// A label, where it is set.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The id of its sandbox, by the CRI's note in its OCI spec.
    #[must_use]
    pub fn sandbox(&self) -> Option<&str> {
        self.container.as_ref().ok().and_then(|container| container.sandbox.as_deref())
    }
}
