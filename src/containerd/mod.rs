//! containerd as a client, over its own socket: what an image is, the proof of it, and its names.
//! [`Runtime`], [`Content`], [`Proven`].
//!
//! Two kinds of answers, never mixed:
//!
//! * **claims**: what containerd says of itself ([`Image`], [`Record`], [`Container`]). A name, a
//!   `repo_digests` entry or an image id in them is evidence of nothing: `ctr image tag` writes any
//!   name over any content (facts C3 to C5).
//! * **proofs**: [`Content`] (bytes read from the content store and hashed here) and [`Proven`]
//!   (the snapshots that a container really has, compared with the ChainID of the hashed config,
//!   fact C6). Only success makes one.
//!
//! What the proof of a container rests on: a committed snapshot whose name is a ChainID was made by
//! containerd's unpacker, which compares each layer with its `diff_id`, and only for the
//! snapshotters and runtimes allowed in [`Options`] (fact P16). Whoever may write to containerd's
//! socket can commit any content under any name; that is root on the node, and outside what a gate
//! can defend.
//!
//! Nothing here judges, asks a registry or keeps state; every call has a time limit, and the
//! connection heals itself.

mod call;
mod channel;
mod config_file;
mod container;
mod content;
mod error;
mod events;
mod images;
mod listing;
mod on_node;
mod options;
mod proof;
mod sandbox;

use std::time::Duration;

use tonic::transport::Channel;

use crate::proto::containerd::services::containers::v1::containers_client::ContainersClient;
use crate::proto::containerd::services::content::v1::content_client::ContentClient;
use crate::proto::containerd::services::events::v1::events_client::EventsClient;
use crate::proto::containerd::services::images::v1::images_client::ImagesClient;
use crate::proto::containerd::services::snapshots::v1::snapshots_client::SnapshotsClient;
use crate::proto::cri::image_service_client::ImageServiceClient;
use crate::proto::cri::runtime_service_client::RuntimeServiceClient;
use crate::proto::cri::{
    ContainerState, ContainerStatusRequest, RemoveContainerRequest, StopContainerRequest,
    VersionRequest,
};

pub use call::NAMESPACE;
pub use container::{Container, CreatedWith, SpecMount, Volume};
pub use content::Content;
pub use error::{ProofError, RuntimeError};
pub use events::{Event, Events, Happened};
pub use images::{Image, Named, Record, Target};
pub use listing::{Kind, Listed, Listing};
pub use on_node::{NodeContainer, NodeImage};
pub use options::Options;
pub use proof::{Expected, ExpectedVolume, Proven};
pub use sandbox::{RuntimeHandler, SandboxSetup, ShownSandbox};

/// containerd, as a client. Cheap to clone; all clones share one connection.
#[derive(Debug, Clone)]
pub struct Runtime {
    channel: Channel,
    options: std::sync::Arc<Options>,
}

/// What the runtime says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its name, `containerd`.
    pub name: String,
    /// Its version, as it spells it.
    pub version: String,
}

impl Runtime {
    /// Makes the client; the first call connects. Must be called inside a tokio runtime.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            channel: channel::lazy(options.socket.clone()),
            options: std::sync::Arc::new(options),
        }
    }

    /// The runtime's name and version (CRI `Version`).
    ///
    /// # Errors
    /// [`RuntimeError`] when the runtime did not answer.
    pub async fn version(&self) -> Result<Version, RuntimeError> {
        let mut client = self.cri();
        let answer =
            self.call("Version", client.version(self.plain(VersionRequest::default()))).await?;
        Ok(Version { name: answer.runtime_name, version: answer.runtime_version })
    }

    /// Removes a container that must not run (CRI `RemoveContainer`); one that is gone is removed.
    ///
    /// # Errors
    /// [`RuntimeError`] when the runtime did not answer, or could not remove it: then it may still
    /// be there.
    pub async fn remove_container(&self, id: &str) -> Result<(), RuntimeError> {
        let mut client = self.cri();
        let request = RemoveContainerRequest { container_id: id.to_owned() };
        let answer =
            self.call("RemoveContainer", client.remove_container(self.plain(request))).await;
        error::found(answer).map(|_| ())
    }

    /// Stops a container (CRI `StopContainer`): it has so long to end by itself, and is killed then.
    /// One that is gone is stopped.
    ///
    /// # Errors
    /// [`RuntimeError`] when the runtime did not answer in that time and the limit of a call, or
    /// could not stop it: then it may still run.
    pub async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), RuntimeError> {
        const CALL: &str = "StopContainer";
        let timeout = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
        let most = grace.saturating_add(self.options.call_timeout());
        let message = StopContainerRequest { container_id: id.to_owned(), timeout };
        let mut request = self.plain(message);
        request.set_timeout(most);
        let mut client = self.cri();
        let answer = tokio::time::timeout(most, client.stop_container(request)).await;
        let answer = answer.map_err(|_| RuntimeError::TimedOut { call: CALL })?;
        let answer = answer.map_err(|status| RuntimeError::from((CALL, status)));
        error::found(answer).map(|_| ())
    }

    /// Whether a container runs (CRI `ContainerStatus`); none where the CRI has none of this id.
    ///
    /// # Errors
    /// [`RuntimeError`] when the runtime did not answer.
    pub async fn is_running(&self, id: &str) -> Result<Option<bool>, RuntimeError> {
        let mut client = self.cri();
        let request = ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
        let answer = self.call("ContainerStatus", client.container_status(self.plain(request)));
        let status = error::found(answer.await)?.and_then(|answer| answer.status);
        // One of which the CRI does not know what it does may run.
        Ok(status.map(|status| match status.state() {
            ContainerState::ContainerRunning | ContainerState::ContainerUnknown => true,
            ContainerState::ContainerCreated | ContainerState::ContainerExited => false,
        }))
    }

    /// The options that it was made with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    fn cri(&self) -> RuntimeServiceClient<Channel> {
        let client = RuntimeServiceClient::new(self.channel.clone());
        client
            .max_decoding_message_size(channel::MESSAGE_MAX)
            .max_encoding_message_size(channel::MESSAGE_MAX)
    }

    fn cri_images(&self) -> ImageServiceClient<Channel> {
        let client = ImageServiceClient::new(self.channel.clone());
        client
            .max_decoding_message_size(channel::MESSAGE_MAX)
            .max_encoding_message_size(channel::MESSAGE_MAX)
    }

    fn images(&self) -> ImagesClient<Channel> {
        ImagesClient::new(self.channel.clone()).max_decoding_message_size(channel::MESSAGE_MAX)
    }

    fn content(&self) -> ContentClient<Channel> {
        ContentClient::new(self.channel.clone()).max_decoding_message_size(channel::MESSAGE_MAX)
    }

    fn containers(&self) -> ContainersClient<Channel> {
        ContainersClient::new(self.channel.clone()).max_decoding_message_size(channel::MESSAGE_MAX)
    }

    fn events_client(&self) -> EventsClient<Channel> {
        EventsClient::new(self.channel.clone()).max_decoding_message_size(channel::EVENT_MAX)
    }

    fn snapshots(&self) -> SnapshotsClient<Channel> {
        SnapshotsClient::new(self.channel.clone()).max_decoding_message_size(channel::MESSAGE_MAX)
    }
}
