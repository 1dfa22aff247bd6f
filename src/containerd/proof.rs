//! [`Proven`]: a container whose root filesystem and image volumes are snapshots of the admitted
//! images, proven after it was made (fact C6).
//!
//! The runtime finds an image by one of its names once more when it makes a container, so the id
//! that was forwarded does not say what was mounted; the parents of the snapshots do.
//!
//! Pods with user namespaces: where the snapshotter maps ids itself (containerd 2.x on a kernel
//! with id-mapped mounts, which is what Kubernetes asks for), the parent is the image's own and the
//! proof holds. Where containerd makes a remapped copy of the layers instead (1.7 does:
//! `<ChainID>-<uid>-<gid>`; 2.x without id-mapped mounts), that copy is the parent and the
//! container is refused: the copy's own parent would say no more than that *something* was put on
//! top of the image, as any derived image does.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Container, ProofError, Runtime, error};
use crate::image::Digest;
use crate::proto::containerd::services::snapshots::v1::StatSnapshotRequest;

/// The folder in the CRI's state under which image volumes are mounted,
/// `…/image-volumes/<sandbox>/<manifest>`, a path that is also the key of the snapshot (containerd,
/// `internal/cri/server/container_image_mount.go`).
const VOLUMES: &str = "/image-volumes/";

/// What a container must be made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The id of the image that was admitted ([`Content::id`](super::Content::id)): the CRI's own
    /// note must say so too.
    pub image: Digest,
    /// The ChainID of the image that was admitted
    /// ([`Content::chain_id`](super::Content::chain_id)).
    pub root: Digest,
    /// The id of the sandbox that it must be in, where that is known: the one that was proven.
    pub sandbox: Option<String>,
    /// Every image volume that was admitted; the container may have no other.
    pub volumes: Vec<ExpectedVolume>,
}

/// An image volume that was admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedVolume {
    /// The path in the container, as CreateContainer has it.
    pub container_path: String,
    /// The ChainID of the image that was admitted for it.
    pub chain_id: Digest,
}

/// A container whose snapshots are what was [`Expected`]. Only [`Runtime::prove_container`] makes
/// one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a container may start only when it was proven"]
pub struct Proven {
    container: String,
    created: Duration,
    root: Digest,
    restored: Option<BTreeMap<String, String>>,
}

impl Proven {
    /// The container's id.
    #[must_use]
    pub fn container(&self) -> &str {
        &self.container
    }

    /// When containerd made it, since 1970 UTC.
    #[must_use]
    pub const fn created(&self) -> Duration {
        self.created
    }

    /// The ChainID that its root filesystem was made from.
    #[must_use]
    pub fn root(&self) -> &Digest {
        &self.root
    }

    /// Its annotations where containerd restored it from a checkpoint, which has them and the
    /// memory of its processes: then more goes on in it than its root filesystem says (fact C8).
    #[must_use]
    pub const fn restored(&self) -> Option<&BTreeMap<String, String>> {
        self.restored.as_ref()
    }
}

impl Runtime {
    /// Proves what a container is made of: two calls at the same time, and one more for each image
    /// volume.
    ///
    /// # Errors
    /// [`ProofError::Runtime`] when it could not be evaluated; any other when the container is not
    /// what it must be.
    pub async fn prove_container(
        &self,
        id: &str,
        expected: &Expected,
    ) -> Result<Proven, ProofError> {
        // The CRI keys a container's snapshot by the container's id, and most nodes have one
        // snapshotter: ask for that one while the container is fetched, and take the answer only if
        // it is the one the container names.
        let likely = (self.options.snapshotters.first().map_or("", String::as_str), id);
        let (container, parent) = tokio::join!(self.container(id), self.parent(likely.0, likely.1));
        let container = container?.ok_or_else(|| ProofError::ContainerMissing(id.to_owned()))?;
        let known = (container.snapshotter.as_str(), container.snapshot_key.as_str()) == likely;
        self.prove_with(&container, expected, known.then_some(parent)).await
    }

    /// As [`Runtime::prove_container`], of a container that was just fetched.
    ///
    /// # Errors
    /// The same.
    pub async fn prove(
        &self,
        container: &Container,
        expected: &Expected,
    ) -> Result<Proven, ProofError> {
        self.prove_with(container, expected, None).await
    }

    async fn prove_with(
        &self,
        container: &Container,
        expected: &Expected,
        parent: Option<Result<String, ProofError>>,
    ) -> Result<Proven, ProofError> {
        self.allowed(container)?;
        let volumes = volumes(container, &expected.volumes)?;
        let parent = match parent {
            Some(parent) => parent?,
            None => self.parent(&container.snapshotter, &container.snapshot_key).await?,
        };
        same(parent, &expected.root)?;
        for (key, chain_id) in volumes {
            same(self.parent(&container.snapshotter, key).await?, chain_id)?;
        }
        noted(container, &expected.image)?;
        inside(container, expected.sandbox.as_deref())?;
        Ok(Proven {
            container: container.id.clone(),
            created: container.created,
            root: expected.root.clone(),
            restored: container.created_with.as_ref().and_then(|it| it.restored.clone()),
        })
    }

    /// Proves that a container's root filesystem is made from the layers of this ChainID, by a
    /// runtime and on a snapshotter that are allowed; looks at nothing else of it.
    ///
    /// # Errors
    /// As [`Runtime::prove_container`].
    pub(super) async fn prove_root(
        &self,
        container: &Container,
        root: &Digest,
    ) -> Result<(), ProofError> {
        self.allowed(container)?;
        same(self.parent(&container.snapshotter, &container.snapshot_key).await?, root)
    }

    fn allowed(&self, container: &Container) -> Result<(), ProofError> {
        if !self.options.runtimes.contains(&container.runtime) {
            return Err(ProofError::RuntimeNotAllowed(container.runtime.clone()));
        }
        if container.snapshot_key.is_empty() {
            return Err(ProofError::NoSnapshot(container.id.clone()));
        }
        if !self.options.snapshotters.contains(&container.snapshotter) {
            return Err(ProofError::SnapshotterNotAllowed(container.snapshotter.clone()));
        }
        Ok(())
    }

    /// What a snapshot was made from; empty for nothing.
    async fn parent(&self, snapshotter: &str, key: &str) -> Result<String, ProofError> {
        let mut client = self.snapshots();
        let request =
            StatSnapshotRequest { snapshotter: snapshotter.to_owned(), key: key.to_owned() };
        let answer =
            error::found(self.call("Snapshots/Stat", client.stat(self.native(request))).await)?;
        let info = answer.and_then(|answer| answer.info).ok_or_else(|| {
            ProofError::SnapshotMissing { snapshotter: snapshotter.to_owned(), key: key.to_owned() }
        })?;
        Ok(info.parent)
    }
}

/// What the CRI wrote down when it made the container: which image it took it from. Its status and
/// a start after a restart of the gate go by that.
fn noted(container: &Container, image: &Digest) -> Result<(), ProofError> {
    match &container.created_with {
        Some(created) if created.id == *image => Ok(()),
        Some(created) => {
            Err(ProofError::ImageDiffers { expected: image.clone(), got: created.id.clone() })
        }
        None => Err(ProofError::NoNotes(container.id.clone())),
    }
}

/// In which sandbox it is, by what the CRI wrote into its spec.
fn inside(container: &Container, sandbox: Option<&str>) -> Result<(), ProofError> {
    match sandbox {
        Some(expected) if container.sandbox.as_deref() != Some(expected) => {
            Err(ProofError::SandboxDiffers {
                expected: expected.to_owned(),
                got: container.sandbox.clone().unwrap_or_default(),
            })
        }
        Some(_) | None => Ok(()),
    }
}

fn same(parent: String, chain_id: &Digest) -> Result<(), ProofError> {
    if parent == chain_id.as_str() {
        Ok(())
    } else {
        Err(ProofError::ParentDiffers { expected: chain_id.clone(), got: parent })
    }
}

/// The snapshot key of each volume with the ChainID that it must have; refuses a volume that is
/// missing, and one that was not expected.
fn volumes<'a>(
    container: &'a Container,
    expected: &'a [ExpectedVolume],
) -> Result<Vec<(&'a str, &'a Digest)>, ProofError> {
    for mount in &container.mounts {
        let foreseen =
            expected.iter().any(|volume| same_path(&volume.container_path, &mount.destination));
        if mount.source.contains(VOLUMES) && !foreseen {
            return Err(ProofError::VolumeUnexpected(mount.destination.clone()));
        }
    }
    let key = |volume: &'a ExpectedVolume| {
        let missing = || ProofError::VolumeMissing(volume.container_path.clone());
        let mut there = container
            .mounts
            .iter()
            .filter(|mount| same_path(&volume.container_path, &mount.destination));
        match (there.next(), there.next()) {
            (Some(mount), None) => {
                snapshot_key(&mount.source, container.sandbox.as_deref()).ok_or_else(missing)
            }
            // None, or two of which one hides the other.
            _ => Err(missing()),
        }
    };
    expected.iter().map(|volume| Ok((key(volume)?, &volume.chain_id))).collect()
}

/// The part of a mount's source that is the snapshot's key: up to the manifest's 64 digits, without
/// a path inside the image. `None` for anything else.
fn snapshot_key<'a>(source: &'a str, sandbox: Option<&str>) -> Option<&'a str> {
    let sandbox = sandbox.filter(|id| !id.is_empty() && !id.contains('/'))?;
    let (_, rest) = source.split_once(VOLUMES)?;
    let rest = rest.strip_prefix(sandbox)?.strip_prefix('/')?;
    let manifest = rest.split('/').next()?;
    Digest::parse(&format!("sha256:{manifest}")).ok()?;
    let beyond = rest.len() - manifest.len();
    // What follows must not lead out of the image again.
    if source.split('/').any(|part| part == ".." || part == ".") {
        return None;
    }
    source.get(..source.len() - beyond)
}

/// Whether two container paths are the same, as Go's `filepath.Clean` would have them; anything
/// unusual is not.
fn same_path(asked: &str, mounted: &str) -> bool {
    let parts = |path: &str| -> Option<Vec<String>> {
        let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
        let parts: Vec<String> = parts.map(str::to_owned).collect();
        (!parts.iter().any(|part| part == "..")).then_some(parts)
    };
    parts(asked).is_some() && parts(asked) == parts(mounted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containerd::{CreatedWith, SpecMount};
    use crate::evidence::Pod;

    const SANDBOX: &str = "88ac4f37";

    fn chain(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn place(manifest: &str) -> String {
        format!("/run/cri/image-volumes/{SANDBOX}/{}", chain(manifest).hex())
    }

    fn with_mounts(mounts: &[(&str, &str)]) -> Container {
        let mount = |(destination, source): &(&str, &str)| SpecMount {
            destination: (*destination).to_owned(),
            source: (*source).to_owned(),
        };
        Container {
            created: Duration::ZERO,
            id: "c".to_owned(),
            image: String::new(),
            snapshotter: "overlayfs".to_owned(),
            snapshot_key: "c".to_owned(),
            runtime: "io.containerd.runc.v2".to_owned(),
            labels: [].into(),
            pod: Pod::default(),
            sandbox: Some(SANDBOX.to_owned()),
            mounts: mounts.iter().map(mount).collect(),
            created_with: None,
        }
    }

    fn expected(path: &str) -> [ExpectedVolume; 1] {
        [ExpectedVolume { container_path: path.to_owned(), chain_id: chain("layers") }]
    }

    fn check(mounts: &[(&str, &str)], path: &str) -> Result<String, ProofError> {
        volumes(&with_mounts(mounts), &expected(path)).map(|found| found[0].0.to_owned())
    }

    #[test]
    fn the_key_of_a_volume_is_the_place_where_its_image_is_mounted() {
        let place = place("m");
        let inside = format!("{place}/sub/folder");
        assert_eq!(check(&[("/data", &place)], "/data"), Ok(place.clone()));
        assert_eq!(check(&[("data/", &place)], "data"), Ok(place.clone()));
        assert_eq!(check(&[("/proc", "proc"), ("/data", &inside)], "/data//"), Ok(place));
    }

    /// Attack A9: the layers are the admitted image's, and containerd's note says that it is
    /// another one's container.
    #[test]
    fn attack_a9_a_container_that_is_noted_as_another_images_is_not_proven() {
        let mut container = with_mounts(&[]);
        assert_eq!(noted(&container, &chain("id")), Err(ProofError::NoNotes("c".to_owned())));
        let note = |id: Digest| CreatedWith {
            id,
            image: String::new(),
            user_specified_image: None,
            name: String::new(),
            volumes: Vec::new(),
            restored: None,
        };
        container.created_with = Some(note(chain("id")));
        assert_eq!(noted(&container, &chain("id")), Ok(()));
        container.created_with = Some(note(chain("other")));
        let differs = ProofError::ImageDiffers { expected: chain("id"), got: chain("other") };
        assert_eq!(noted(&container, &chain("id")), Err(differs));
    }

    /// Attack A9: a container in a sandbox that nobody proved.
    #[test]
    fn attack_a9_a_container_in_another_sandbox_is_not_proven() {
        let mut container = with_mounts(&[]);
        assert_eq!(inside(&container, None), Ok(()));
        assert_eq!(inside(&container, Some(SANDBOX)), Ok(()));
        let differs = |got: &str| {
            let (expected, got) = ("another".to_owned(), got.to_owned());
            Err(ProofError::SandboxDiffers { expected, got })
        };
        assert_eq!(inside(&container, Some("another")), differs(SANDBOX));
        container.sandbox = None;
        assert_eq!(inside(&container, Some("another")), differs(""));
    }

    /// Attack A9: what is mounted in a volume's place is not an image volume, or not only that.
    #[test]
    fn attack_a9_what_only_looks_like_a_volume_is_not_one() {
        let place = place("m");
        let of_another_pod = place.replace(SANDBOX, "another");
        let out = format!("{place}/../../other");
        let short = format!("/run/cri/image-volumes/{SANDBOX}/abc");
        let missing = Err(ProofError::VolumeMissing("/data".to_owned()));
        for source in ["/etc", "", &of_another_pod, &out, &short, "/image-volumes/"] {
            assert_eq!(check(&[("/data", source)], "/data"), missing, "{source}");
        }
        assert_eq!(
            check(&[("/data", &place), ("/data/", "/etc")], "/data"),
            missing,
            "one hides the other"
        );
        assert_eq!(
            check(&[("/data/..", &place)], "/data"),
            Err(ProofError::VolumeUnexpected("/data/..".to_owned()))
        );
        let unexpected = Err(ProofError::VolumeUnexpected("/more".to_owned()));
        assert_eq!(check(&[("/data", &place), ("/more", &place)], "/data"), unexpected);
        assert_eq!(check(&[("/data", &place), ("/more", &of_another_pod)], "/data"), unexpected);
        let mut lost = with_mounts(&[("/data", &place)]);
        lost.sandbox = None;
        assert_eq!(volumes(&lost, &expected("/data")).map(|_| ()), missing.map(|_| ()));
    }
}
