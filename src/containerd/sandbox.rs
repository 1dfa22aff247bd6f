//! What containerd makes pods' sandboxes of ([`SandboxSetup`]), bringing that image, and the proof
//! of a sandbox that was made ([`Runtime::prove_sandbox`], [`ShownSandbox`]).
//!
//! containerd chooses the image by itself (fact C9). Its configuration says which: containerd 1.x
//! shows that through the CRI, of 2.x the file is read ([`config_file`](super::config_file)).
//! Nothing here decides.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::{Container, Content, ProofError, Runtime, RuntimeError, config_file, error};
use crate::aside;
use crate::proto::cri::{
    ImageSpec, ListPodSandboxRequest, PodSandboxFilter, PodSandboxState, PodSandboxStateValue,
    PodSandboxStatusRequest, PullImageRequest, RemovePodSandboxRequest, StatusRequest,
    StopPodSandboxRequest,
};

/// The call that shows the configuration.
const STATUS: &str = "Status";
/// The key of the configuration in its answer.
const CONFIG: &str = "config";

/// The label by which a kubelet marks a sandbox with its pod's uid.
const POD_UID: &str = "io.kubernetes.pod.uid";

/// The image that containerd takes where nothing names one, by its major and minor version: what
/// `containerd config default` of that version prints. Versions that are not here must be told
/// about by a configuration.
const DEFAULT_IMAGES: [((u32, u32), &str); 2] =
    [((2, 0), "registry.k8s.io/pause:3.10"), ((2, 1), "registry.k8s.io/pause:3.10")];

/// What pods' sandboxes are made of, by containerd's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxSetup {
    /// The image as it is configured, or why that cannot be told.
    pub image: Result<String, String>,
    /// The runtime handlers by name; empty where the runtime does not show them.
    pub handlers: BTreeMap<String, RuntimeHandler>,
    /// The name of the handler of pods that name none.
    pub default_handler: String,
}

/// A sandbox as the CRI shows it; claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownSandbox {
    /// Its whole id.
    pub id: String,
    /// The runtime handler that was asked for; empty for none.
    pub handler: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// A runtime handler.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RuntimeHandler {
    /// Its runtime type, `io.containerd.runc.v2`.
    pub runtime_type: String,
    /// The snapshotter of its containers; empty for the default one.
    pub snapshotter: String,
    /// What makes its sandboxes: `podsandbox`, which is the default, or the runtime itself, of no
    /// image.
    #[serde(alias = "sandboxMode")]
    pub sandboxer: String,
}

impl RuntimeHandler {
    /// Whether containerd makes its sandboxes of the sandbox image.
    #[must_use]
    pub fn uses_image(&self) -> bool {
        matches!(self.sandboxer.as_str(), "" | "podsandbox")
    }
}

/// The configuration as `Status` shows it, as far as it is read; `null` and absent are the same.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ShownConfig {
    sandbox_image: Option<String>,
    containerd: Option<ShownContainerd>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ShownContainerd {
    default_runtime_name: String,
    runtimes: Option<BTreeMap<String, RuntimeHandler>>,
}

impl Runtime {
    /// What sandboxes are made of now: asked anew each time, since containerd reads its
    /// configuration when it starts, and does not say that it did.
    ///
    /// # Errors
    /// [`RuntimeError`] when the runtime did not answer.
    pub async fn sandbox_setup(&self) -> Result<SandboxSetup, RuntimeError> {
        let mut client = self.cri();
        let request = StatusRequest { verbose: true };
        let mut answer = self.call(STATUS, client.status(self.plain(request))).await?;
        let text = answer.info.remove(CONFIG).unwrap_or_default();
        let shown = if text.is_empty() {
            ShownConfig::default()
        } else {
            let parsed = aside::large(text.len(), move || serde_json::from_str(&text)).await;
            parsed.map_err(|_| RuntimeError::Malformed {
                call: STATUS,
                what: "a configuration that does not parse",
            })?
        };
        let containerd = shown.containerd.unwrap_or_default();
        let shown_image = shown.sandbox_image.filter(|image| !image.is_empty());
        let image = match self.options.sandbox_image.clone().or(shown_image) {
            Some(image) => Ok(image),
            None => self.configured_image().await?,
        };
        Ok(SandboxSetup {
            image,
            handlers: containerd.runtimes.unwrap_or_default(),
            default_handler: containerd.default_runtime_name,
        })
    }

    /// The sandbox image of containerd's configuration file, or of its version.
    async fn configured_image(&self) -> Result<Result<String, String>, RuntimeError> {
        let path = self.options.config.clone();
        match config_file::sandbox_image(path.clone()).await {
            Ok(Some(image)) => return Ok(Ok(image)),
            Ok(None) => {}
            Err(why) => return Ok(Err(why)),
        }
        let version = self.version().await?.version;
        Ok(default_image(&version).ok_or_else(|| {
            format!(
                "{} does not name it, and what containerd {version} takes then is not known",
                path.display()
            )
        }))
    }

    /// Has containerd pull an image by itself, with the credentials of its own configuration (CRI
    /// `PullImage`); what it answers, which is a claim.
    ///
    /// # Errors
    /// [`RuntimeError`] when it could not, or not within `most`.
    pub async fn pull(&self, image: &str, most: Duration) -> Result<String, RuntimeError> {
        const CALL: &str = "PullImage";
        let spec = ImageSpec { image: image.to_owned(), ..ImageSpec::default() };
        let request = PullImageRequest { image: Some(spec), ..PullImageRequest::default() };
        let mut request = self.plain(request);
        request.set_timeout(most);
        let mut client = self.cri_images();
        let answer = tokio::time::timeout(most, client.pull_image(request)).await;
        let answer = answer.map_err(|_| RuntimeError::TimedOut { call: CALL })?;
        Ok(answer.map_err(|status| RuntimeError::from((CALL, status)))?.into_inner().image_ref)
    }

    /// The sandbox of this id, or of the only one that begins so (CRI `PodSandboxStatus`); none when
    /// there is none.
    ///
    /// # Errors
    /// [`RuntimeError`] when the runtime did not answer.
    pub async fn sandbox(&self, id: &str) -> Result<Option<ShownSandbox>, RuntimeError> {
        let mut client = self.cri();
        let request = PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: false };
        let answer = self.call("PodSandboxStatus", client.pod_sandbox_status(self.plain(request)));
        let shown = error::found(answer.await)?.and_then(|answer| answer.status);
        Ok(shown.map(|shown| ShownSandbox {
            id: shown.id,
            handler: shown.runtime_handler,
            labels: shown.labels,
            annotations: shown.annotations,
        }))
    }

    /// The sandboxes of the pod of this uid that are ready (CRI `ListPodSandbox`).
    ///
    /// # Errors
    /// [`RuntimeError`] when the runtime did not answer.
    pub async fn sandboxes_of(&self, uid: &str) -> Result<Vec<ShownSandbox>, RuntimeError> {
        let ready = i32::from(PodSandboxState::SandboxReady);
        let filter = PodSandboxFilter {
            state: Some(PodSandboxStateValue { state: ready }),
            label_selector: [(POD_UID.to_owned(), uid.to_owned())].into(),
            ..PodSandboxFilter::default()
        };
        let mut client = self.cri();
        let request = ListPodSandboxRequest { filter: Some(filter) };
        let listing = client.list_pod_sandbox(self.plain(request));
        let listed = self.call("ListPodSandbox", listing).await?.items;
        let shown = listed.into_iter().map(|listed| ShownSandbox {
            id: listed.id,
            handler: listed.runtime_handler,
            labels: listed.labels,
            annotations: listed.annotations,
        });
        Ok(shown.collect())
    }

    /// Proves that a sandbox was made from this image, by a runtime and on a snapshotter that are
    /// allowed: its root filesystem is a snapshot of the image's layers, and the name that
    /// containerd noted leads to the image, configuration and all. Where that name is gone since,
    /// the layers say it alone.
    ///
    /// # Errors
    /// [`ProofError::Runtime`] when it could not be evaluated; any other when the sandbox is not
    /// what it must be.
    pub async fn prove_sandbox(
        &self,
        sandbox: &Container,
        image: &Content,
    ) -> Result<(), ProofError> {
        let (root, noted) =
            tokio::join!(self.prove_root(sandbox, image.chain_id()), self.record(&sandbox.image));
        root?;
        let Some(noted) = noted? else { return Ok(()) };
        let target = noted.target.digest;
        if target == *image.target() || target == *image.manifest() {
            return Ok(());
        }
        // Boxed, since it is many times larger than all that is around it.
        match Box::pin(self.prove_content(&target, image.id())).await {
            Ok(_same) => Ok(()),
            Err(ProofError::NotThisImage { target, id }) => {
                Err(ProofError::ImageDiffers { expected: id, got: target })
            }
            Err(error) => Err(error),
        }
    }

    /// Stops and removes a sandbox that must not run (CRI `StopPodSandbox`, `RemovePodSandbox`);
    /// one that is gone is removed.
    ///
    /// # Errors
    /// [`RuntimeError`] when the runtime did not answer, or could not: then it may still run.
    pub async fn remove_sandbox(&self, id: &str) -> Result<(), RuntimeError> {
        let mut client = self.cri();
        let stop = StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
        let stopped = self.call("StopPodSandbox", client.stop_pod_sandbox(self.plain(stop))).await;
        error::found(stopped)?;
        let remove = RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
        let removed =
            self.call("RemovePodSandbox", client.remove_pod_sandbox(self.plain(remove))).await;
        error::found(removed).map(|_| ())
    }
}

/// What this version takes where its configuration names nothing.
fn default_image(version: &str) -> Option<String> {
    let mut parts = version.trim_start_matches('v').split('.');
    let version = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let known = DEFAULT_IMAGES.iter().find(|(known, _)| *known == version);
    known.map(|(_, image)| (*image).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_version_takes_by_itself_is_known_of_those_that_were_looked_at() {
        let usual = Some("registry.k8s.io/pause:3.10".to_owned());
        assert_eq!(default_image("v2.1.9"), usual);
        assert_eq!(default_image("2.0.2~ds1"), usual);
        for version in ["v2.9.0", "1.7.24", "", "v2"] {
            assert_eq!(default_image(version), None, "{version}");
        }
    }

    /// As containerd 1.6 and 2.1 print it, cut.
    #[test]
    fn the_configuration_is_read_as_it_is_shown() {
        let old = r#"{"containerd": {"snapshotter": "native", "defaultRuntimeName": "runc",
            "runtimes": {"runc": {"runtimeType": "io.containerd.runc.v2", "options": null}}},
            "sandboxImage": "reg.example/pause:1", "cni": {}}"#;
        let shown: ShownConfig = serde_json::from_str(old).unwrap();
        assert_eq!(shown.sandbox_image.as_deref(), Some("reg.example/pause:1"));
        let new = r#"{"containerd": {"defaultRuntimeName": "runc", "runtimes": {"kata":
            {"runtimeType": "io.containerd.kata.v2", "snapshotter": "nydus", "sandboxer": "shim"}}},
            "cni": null}"#;
        let shown: ShownConfig = serde_json::from_str(new).unwrap();
        assert_eq!(shown.sandbox_image, None);
        let containerd = shown.containerd.unwrap();
        assert_eq!(containerd.default_runtime_name, "runc");
        let kata = containerd.runtimes.unwrap().remove("kata").unwrap();
        assert_eq!((kata.snapshotter.as_str(), kata.uses_image()), ("nydus", false));
        assert!(RuntimeHandler::default().uses_image());
        let none: ShownConfig = serde_json::from_str(r#"{"containerd": null}"#).unwrap();
        assert!(none.containerd.is_none());
    }
}
