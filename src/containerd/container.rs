//! [`Container`]: a container as containerd keeps it, with the CRI's own notes on what was asked
//! for ([`CreatedWith`]) and the mounts of its OCI spec.
//!
//! containerd's words, needed to know what to prove; the proof is in [`Proven`](super::Proven).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::images::since_1970;
use super::{Runtime, RuntimeError, error};
use crate::evidence::{Pod, Traits};
use crate::image::Digest;
use crate::proto::containerd::services::containers::v1 as api;

/// The call that fetches a container.
const CALL: &str = "Containers/Get";
/// Where the CRI keeps its notes on a container (containerd, `internal/cri/labels`).
const NOTES: &str = "io.cri-containerd.container.metadata";
/// The annotation that containerd gives to a container that it restores
/// (`internal/cri/server/container_checkpoint_linux.go`).
const RESTORED: &str = "restored";
/// The version of those notes, the same since containerd 1.0
/// (`internal/cri/store/container/metadata.go`).
const NOTES_VERSION: &str = "v1";

/// A container in containerd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// The image name that containerd noted: the first of the image's names, not the one asked for
    /// (fact P7).
    pub image: String,
    /// The snapshotter of its root filesystem.
    pub snapshotter: String,
    /// The key of its snapshot; empty when its root filesystem is none.
    pub snapshot_key: String,
    /// The runtime type, `io.containerd.runc.v2`.
    pub runtime: String,
    /// When containerd made it, since 1970 UTC: containerd's own time, which no client can set.
    pub created: Duration,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The pod, as the CRI wrote it into the OCI spec.
    pub pod: Pod,
    /// The id of the pod's sandbox.
    pub sandbox: Option<String>,
    /// Every mount of the OCI spec.
    pub mounts: Vec<SpecMount>,
    /// What CreateContainer asked for; `None` for a container that was not made through the CRI.
    pub created_with: Option<CreatedWith>,
}

/// One mount of an OCI runtime spec.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SpecMount {
    /// The path in the container.
    pub destination: String,
    /// The path on the host, or the name of the filesystem.
    #[serde(default)]
    pub source: String,
}

/// The CRI's notes on a container: what CreateContainer asked for, and what it was resolved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedWith {
    /// The image id that the CRI resolved the image to.
    pub id: Digest,
    /// `config.image.image` as it reached containerd; of a restored container, as its archive has it.
    pub image: String,
    /// `config.image.user_specified_image`: the pod author's own word (fact C13). None of a restored
    /// container, where containerd notes what the archive says in place of the pod's word.
    pub user_specified_image: Option<String>,
    /// The container's name in the pod.
    pub name: String,
    /// Its image volumes.
    pub volumes: Vec<Volume>,
    /// The annotations of a container that containerd restored from a checkpoint, which are the
    /// archive's; none of any other. Of the checkpoint itself nothing is noted that proves it.
    pub restored: Option<BTreeMap<String, String>>,
}

/// An image volume that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// The path in the container.
    pub container_path: String,
    /// `mounts[].image.image`.
    pub image: String,
    /// `mounts[].image.user_specified_image`.
    pub user_specified_image: Option<String>,
    /// `mounts[].image_sub_path`.
    pub sub_path: Option<String>,
}

impl CreatedWith {
    /// Whether it is noted that containerd restored it from a checkpoint. The maker of any container
    /// can write that.
    #[must_use]
    pub const fn is_restored(&self) -> bool {
        self.restored.is_some()
    }
}

impl Runtime {
    /// A container by its id (`Containers/Get`); `None` when there is none.
    ///
    /// # Errors
    /// [`RuntimeError`] when the runtime did not answer, or when what it keeps cannot be read.
    pub async fn container(&self, id: &str) -> Result<Option<Container>, RuntimeError> {
        let mut client = self.containers();
        let request = api::GetContainerRequest { id: id.to_owned() };
        let answer = error::found(self.call(CALL, client.get(self.native(request))).await)?;
        answer
            .map(|answer| read(answer.container.ok_or_else(|| malformed("no container"))?))
            .transpose()
    }
}

pub(super) fn read(container: api::Container) -> Result<Container, RuntimeError> {
    let spec = container.spec.as_ref().ok_or_else(|| malformed("no OCI spec"))?;
    let spec: Spec = parse(&spec.value, "an OCI spec that does not parse")?;
    let notes: Option<Notes> = match container.extensions.get(NOTES) {
        Some(notes) => Some(parse(&notes.value, "container notes that do not parse")?),
        None => None,
    };
    let annotation =
        |name: &str| spec.annotations.get(name).cloned().filter(|value| !value.is_empty());
    Ok(Container {
        pod: Pod {
            namespace: annotation("io.kubernetes.cri.sandbox-namespace"),
            name: annotation("io.kubernetes.cri.sandbox-name"),
            uid: annotation("io.kubernetes.cri.sandbox-uid"),
            traits: Traits::default(),
        },
        sandbox: annotation("io.kubernetes.cri.sandbox-id"),
        id: container.id,
        image: container.image,
        snapshotter: container.snapshotter,
        snapshot_key: container.snapshot_key,
        runtime: container.runtime.map(|runtime| runtime.name).unwrap_or_default(),
        created: container.created_at.as_ref().map(since_1970).unwrap_or_default(),
        labels: container.labels,
        mounts: spec.mounts,
        created_with: notes.map(CreatedWith::try_from).transpose()?,
    })
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8], what: &'static str) -> Result<T, RuntimeError> {
    serde_json::from_slice(json).map_err(|_| malformed(what))
}

fn malformed(what: &'static str) -> RuntimeError {
    RuntimeError::Malformed { call: CALL, what }
}

/// The part of an OCI runtime spec that is read. A spec without mounts is none: what it mounts must
/// be known.
#[derive(Deserialize)]
struct Spec {
    mounts: Vec<SpecMount>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// The notes, as containerd's Go writes them.
#[derive(Deserialize)]
struct Notes {
    #[serde(rename = "Version")]
    version: String,
    #[serde(rename = "Metadata")]
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "ImageRef")]
    image_ref: String,
    #[serde(rename = "Config")]
    config: Config,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    metadata: NamedImage,
    #[serde(default)]
    image: Spelled,
    #[serde(default)]
    mounts: Vec<Mount>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
struct NamedImage {
    #[serde(default)]
    name: String,
}

#[derive(Default, Deserialize)]
struct Spelled {
    #[serde(default)]
    image: String,
    #[serde(default)]
    user_specified_image: String,
}

#[derive(Deserialize)]
struct Mount {
    #[serde(default)]
    container_path: String,
    #[serde(default)]
    image: Option<Spelled>,
    #[serde(default)]
    image_sub_path: String,
}

impl TryFrom<Notes> for CreatedWith {
    type Error = RuntimeError;

    fn try_from(notes: Notes) -> Result<Self, RuntimeError> {
        if notes.version != NOTES_VERSION {
            return Err(malformed("container notes of an unknown version"));
        }
        let Config { metadata, image, mounts, annotations } = notes.metadata.config;
        let id = Digest::parse(&notes.metadata.image_ref).map_err(|_| {
            malformed("an image id that is not a sha256 digest in its container notes")
        })?;
        let restored = annotations.filter(|annotations| annotations.contains_key(RESTORED));
        let asked = some(image.user_specified_image).filter(|_| restored.is_none());
        Ok(Self {
            id,
            image: image.image,
            user_specified_image: asked,
            name: metadata.name,
            volumes: mounts.into_iter().filter_map(volume).collect(),
            restored,
        })
    }
}

fn volume(mount: Mount) -> Option<Volume> {
    let image = mount.image?;
    Some(Volume {
        container_path: mount.container_path,
        image: image.image,
        user_specified_image: some(image.user_specified_image),
        sub_path: some(mount.image_sub_path),
    })
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::wellknown::Any;
    use serde_json::{Value, json};

    fn stored(spec: &Value, notes: &[u8]) -> Result<Container, RuntimeError> {
        let any = |value: &[u8]| Any { type_url: String::new(), value: value.to_vec() };
        read(api::Container {
            id: "c".to_owned(),
            spec: Some(any(spec.to_string().as_bytes())),
            extensions: [(NOTES.to_owned(), any(notes))].into(),
            ..api::Container::default()
        })
    }

    fn notes() -> Value {
        let image = json!({"image": "sha256:asked", "user_specified_image": "app:1"});
        json!({"Version": "v1", "Metadata": {
            "ID": "c", "SandboxID": "s", "ImageRef": Digest::of(b"config").to_string(),
            "Config": {
                "metadata": {"name": "main"}, "image": image,
                "mounts": [
                    {"container_path": "/etc/hosts", "host_path": "/x"},
                    {"container_path": "/data", "image": {"image": "sha256:data"}, "image_sub_path": "sub"},
                ],
            },
        }})
    }

    #[test]
    fn reads_what_a_container_was_created_with() {
        let spec = json!({
            "ociVersion": "1.1.0",
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}, {"destination": "/tmp"}],
            "annotations": {
                "io.kubernetes.cri.sandbox-id": "s", "io.kubernetes.cri.sandbox-name": "web",
                "io.kubernetes.cri.sandbox-namespace": "prod", "io.kubernetes.cri.sandbox-uid": "",
            },
        });
        let container = stored(&spec, notes().to_string().as_bytes()).unwrap();
        let pod = Pod {
            namespace: Some("prod".to_owned()),
            name: Some("web".to_owned()),
            ..Pod::default()
        };
        assert_eq!(
            (container.pod, container.sandbox.as_deref(), container.mounts.len()),
            (pod, Some("s"), 2)
        );
        let volume = Volume {
            container_path: "/data".to_owned(),
            image: "sha256:data".to_owned(),
            user_specified_image: None,
            sub_path: Some("sub".to_owned()),
        };
        let created = CreatedWith {
            id: Digest::of(b"config"),
            image: "sha256:asked".to_owned(),
            user_specified_image: Some("app:1".to_owned()),
            name: "main".to_owned(),
            volumes: vec![volume],
            restored: None,
        };
        assert_eq!(container.created_with, Some(created));
    }

    /// Attack F: containerd notes the image that the archive of a checkpoint names, and its
    /// annotations, in place of what the pod asked for.
    #[test]
    fn attack_f_the_archive_of_a_checkpoint_says_nothing_of_what_was_asked_for() {
        let spec = json!({"mounts": []});
        let created = |annotations: Value| {
            let mut notes = notes();
            notes["Metadata"]["Config"]["annotations"] = annotations;
            let container = stored(&spec, notes.to_string().as_bytes()).unwrap();
            container.created_with.unwrap()
        };
        let restored = created(json!({"restored": "true", "a": "b"}));
        assert_eq!((restored.is_restored(), &restored.user_specified_image), (true, &None));
        assert_eq!(restored.restored.unwrap().get("a").map(String::as_str), Some("b"));
        for other in [json!({"a": "restored"}), json!({}), json!(null)] {
            let other = created(other);
            let asked = other.user_specified_image.as_deref();
            assert_eq!((other.is_restored(), asked), (false, Some("app:1")));
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_guessed() {
        let spec = json!({"mounts": []});
        let what = |result: Result<Container, RuntimeError>| match result {
            Err(RuntimeError::Malformed { what, .. }) => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(what(stored(&spec, b"{")), "container notes that do not parse");
        let mut next = notes();
        next["Version"] = json!("v2");
        assert_eq!(
            what(stored(&spec, next.to_string().as_bytes())),
            "container notes of an unknown version"
        );
        let mut named = notes();
        named["Metadata"]["ImageRef"] = json!("app:1");
        let named = what(stored(&spec, named.to_string().as_bytes()));
        assert_eq!(named, "an image id that is not a sha256 digest in its container notes");
        for spec in [json!([]), json!({}), json!({"mounts": [{}]})] {
            assert_eq!(what(stored(&spec, b"{}")), "an OCI spec that does not parse");
        }
        assert_eq!(what(read(api::Container::default())), "no OCI spec");
    }
}
