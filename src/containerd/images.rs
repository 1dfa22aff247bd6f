//! What an image is called: asked of the CRI ([`Image`]) and of containerd's own records
//! ([`Record`]), and written there.
//!
//! All of it claims, none of it proof (facts C3 to C5): see [`Content`](super::Content) for that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tonic::Code;

use super::{Runtime, RuntimeError, error};
use crate::image::Digest;
use crate::proto::containerd::services::images::v1 as api;
use crate::proto::containerd::types::Descriptor;
use crate::proto::cri::{ImageSpec, ImageStatusRequest, ListImagesRequest};
use crate::proto::wellknown::{FieldMask, Timestamp};

/// The label that the CRI puts on images it manages; it would add it by itself (fact P3).
const MANAGED: (&str, &str) = ("io.cri-containerd.image", "managed");
/// The label by which containerd knows an image that is not to be collected, and its value.
const PINNED: (&str, &str) = ("io.cri-containerd.pinned", "pinned");
/// How often a name that comes and goes meanwhile is written again: only another client that
/// removes it at the same moment makes a second try needed.
const NAME_TRIES: usize = 3;
/// Most records of images that are read at once. A node's kubelet begins to remove images long
/// before it has hundreds, each with up to three names; the size of one message (fact H3) allows
/// some fifty thousand.
const RECORDS_MAX: usize = 1 << 15;
/// The call that lists them.
const LIST: &str = "Images/List";
/// First pause between looks at the CRI: it sees a new name in under half a millisecond (fact P2).
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// Longest pause between looks.
const LOOK_AGAIN_MAX: Duration = Duration::from_millis(64);

/// An image as the CRI shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its id: the digest of its config, by the runtime's word.
    pub id: Digest,
    /// Its tags, canonical names.
    pub tags: Vec<String>,
    /// Its `repository@digest` names. False ones are possible (fact C5).
    pub digests: Vec<String>,
}

/// A name in containerd's own records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The name.
    pub name: String,
    /// What it points at.
    pub target: Target,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it was first written, since 1970 UTC.
    pub created: Option<Duration>,
    /// When it was last written, since 1970 UTC.
    pub updated: Option<Duration>,
}

/// The descriptor of an index or a manifest in a [`Record`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its media type, as containerd was told when it was pulled.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: i64,
}

/// What naming an image took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// The name was new.
    Created,
    /// The name meant other content before.
    Retargeted,
    /// The name meant this content already; nothing was written.
    Already,
}

impl Record {
    /// Whether the kubelet does not collect its image ([`Runtime::pin`]).
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.labels.get(PINNED.0).is_some_and(|value| value == PINNED.1)
    }
}

impl Runtime {
    /// What the CRI knows under a name, an id, or the beginning of an id (`ImageStatus`); `None`
    /// when nothing.
    ///
    /// # Errors
    /// [`RuntimeError`] when the runtime did not answer.
    pub async fn identify(&self, image: &str) -> Result<Option<Image>, RuntimeError> {
        const CALL: &str = "ImageStatus";
        let spec = ImageSpec { image: image.to_owned(), ..ImageSpec::default() };
        let request = ImageStatusRequest { image: Some(spec), verbose: false };
        let mut client = self.cri_images();
        let answer = self.call(CALL, client.image_status(self.plain(request))).await;
        let Some(image) = error::found(answer)?.and_then(|answer| answer.image) else {
            return Ok(None);
        };
        let id = Digest::parse(&image.id).map_err(|_| RuntimeError::Malformed {
            call: CALL,
            what: "an image id that is not a sha256 digest",
        })?;
        Ok(Some(Image { id, tags: image.repo_tags, digests: image.repo_digests }))
    }

    /// Every name under which the CRI lists an image (`ListImages`): tags, and `repository@digest`
    /// names.
    ///
    /// # Errors
    /// [`RuntimeError`] when the runtime did not answer.
    pub async fn names(&self) -> Result<Vec<String>, RuntimeError> {
        let mut client = self.cri_images();
        let request = self.plain(ListImagesRequest::default());
        let answer = self.call("ListImages", client.list_images(request)).await?;
        let names =
            |image: crate::proto::cri::Image| image.repo_tags.into_iter().chain(image.repo_digests);
        Ok(answer.images.into_iter().flat_map(names).collect())
    }

    /// containerd's own record of exactly this name (`Images/Get`); `None` when there is none.
    ///
    /// # Errors
    /// [`RuntimeError`] when the runtime did not answer.
    pub async fn record(&self, name: &str) -> Result<Option<Record>, RuntimeError> {
        const CALL: &str = "Images/Get";
        let mut client = self.images();
        let request = api::GetImageRequest { name: name.to_owned() };
        let Some(answer) = error::found(self.call(CALL, client.get(self.native(request))).await)?
        else {
            return Ok(None);
        };
        let image = answer.image.ok_or(RuntimeError::Malformed { call: CALL, what: "no image" })?;
        let target =
            image.target.ok_or(RuntimeError::Malformed { call: CALL, what: "no target" })?;
        let digest = Digest::parse(&target.digest).map_err(|_| RuntimeError::Malformed {
            call: CALL,
            what: "a target that is not a sha256 digest",
        })?;
        Ok(Some(Record {
            name: image.name,
            target: Target { media_type: target.media_type, digest, size: target.size },
            labels: image.labels,
            created: image.created_at.as_ref().map(since_1970),
            updated: image.updated_at.as_ref().map(since_1970),
        }))
    }

    /// What every name in containerd's records points at (`Images/List`): the targets of all images
    /// on the node. What is under a target, a manifest under its index, is not listed by itself;
    /// nor is what is named by another digest than a SHA-256, of which nothing here knows anything.
    ///
    /// # Errors
    /// [`RuntimeError`] when the runtime did not answer, or with more than 32768 names, or with one
    /// that points nowhere: a list that leaves out an image would be a wrong answer.
    pub async fn present(&self) -> Result<BTreeSet<Digest>, RuntimeError> {
        let mut client = self.images();
        let request = self.native(api::ListImagesRequest { filters: Vec::new() });
        targets(self.call(LIST, client.list(request)).await?.images)
    }

    /// The names of each image that the CRI knows by its id, in the order of the ids: containerd
    /// keeps a record of that name (`Images/List`).
    ///
    /// # Errors
    /// As of [`present`](Self::present).
    pub async fn names_by_id(&self) -> Result<BTreeMap<Digest, Vec<String>>, RuntimeError> {
        let mut client = self.images();
        let request = self.native(api::ListImagesRequest { filters: Vec::new() });
        by_id(self.call(LIST, client.list(request)).await?.images)
    }

    /// Makes `name` mean `target` (`Images/Create`, or `Images/Update` where the name exists, facts
    /// P2 and P3). `name` must be canonical
    /// ([`Reference::tag_name`](crate::image::Reference::tag_name)); `target` is taken from the
    /// [`Record`] of the same image under `repository@digest`. The CRI sees it a moment later:
    /// [`Runtime::await_named`].
    ///
    /// # Errors
    /// [`RuntimeError`] when it could not be written, or when it is not known whether it was.
    pub async fn name(&self, name: &str, target: &Target) -> Result<Named, RuntimeError> {
        let mut last = None;
        for _ in 0..NAME_TRIES {
            match self.record(name).await? {
                Some(record) if record.target.digest == target.digest => return Ok(Named::Already),
                Some(_) => match error::found(self.retarget(name, target).await)? {
                    Some(()) => return Ok(Named::Retargeted),
                    None => last = Some(Code::NotFound),
                },
                None => match self.create(name, target).await {
                    Err(RuntimeError::Refused { code: Code::AlreadyExists, .. }) => {
                        last = Some(Code::AlreadyExists)
                    }
                    answer => return answer.map(|()| Named::Created),
                },
            }
        }
        Err(RuntimeError::Refused {
            call: "Images/Create",
            code: last.unwrap_or(Code::Aborted),
            untrusted_message: format!(
                "the name came and went {NAME_TRIES} times while it was written"
            ),
        })
    }

    /// Waits until the CRI says that `name` is the image `id` (fact P2).
    ///
    /// # Errors
    /// [`RuntimeError::NameNotSeen`] when it does not say so in
    /// [`Options::name_timeout_ms`](super::Options); any other when it did not answer.
    pub async fn await_named(&self, name: &str, id: &Digest) -> Result<(), RuntimeError> {
        let mut got = None;
        let looking = async {
            let mut pause = LOOK_AGAIN;
            // Ends with the time limit around it.
            loop {
                got = self.identify(name).await?.map(|image| image.id);
                if got.as_ref() == Some(id) {
                    return Ok(());
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LOOK_AGAIN_MAX);
            }
        };
        let seen = tokio::time::timeout(self.options.name_timeout(), looking).await;
        seen.unwrap_or_else(|_| {
            Err(RuntimeError::NameNotSeen { name: name.to_owned(), id: id.clone(), got })
        })
    }

    /// Deletes the record of exactly this name and waits until content that nothing else needs is
    /// gone (`Images/Delete`); `false` when there was none.
    ///
    /// # Errors
    /// [`RuntimeError`] when it could not be deleted, or when it is not known whether it was.
    pub async fn forget(&self, name: &str) -> Result<bool, RuntimeError> {
        let mut client = self.images();
        let request = api::DeleteImageRequest { name: name.to_owned(), sync: true };
        let answer = self.call("Images/Delete", client.delete(self.native(request))).await;
        Ok(error::found(answer)?.is_some())
    }

    /// Marks the record of exactly this name as one that the kubelet does not collect when the disk
    /// is full (fact: containerd 1.7 and newer show it as `pinned`; 1.6 ignores the mark).
    ///
    /// # Errors
    /// [`RuntimeError`] when it could not be written, or when it is not known whether it was.
    pub async fn pin(&self, name: &str, target: &Target) -> Result<(), RuntimeError> {
        let mut pinned = image(name, target);
        pinned.labels.insert(PINNED.0.to_owned(), PINNED.1.to_owned());
        let update_mask = Some(FieldMask { paths: vec![format!("labels.{}", PINNED.0)] });
        let request = api::UpdateImageRequest { image: Some(pinned), update_mask };
        let mut client = self.images();
        self.call("Images/Update", client.update(self.native(request))).await.map(|_| ())
    }

    async fn create(&self, name: &str, target: &Target) -> Result<(), RuntimeError> {
        let mut client = self.images();
        let request = api::CreateImageRequest { image: Some(image(name, target)) };
        self.call("Images/Create", client.create(self.native(request))).await.map(|_| ())
    }

    async fn retarget(&self, name: &str, target: &Target) -> Result<(), RuntimeError> {
        let mut client = self.images();
        let update_mask = Some(FieldMask { paths: vec!["target".to_owned()] });
        let request = api::UpdateImageRequest { image: Some(image(name, target)), update_mask };
        self.call("Images/Update", client.update(self.native(request))).await.map(|_| ())
    }
}

/// Of several images with one id, as one config in two manifests, the names are together.
fn by_id(images: Vec<api::Image>) -> Result<BTreeMap<Digest, Vec<String>>, RuntimeError> {
    if images.len() > RECORDS_MAX {
        return Err(RuntimeError::Malformed {
            call: LIST,
            what: "more than 32768 names of images",
        });
    }
    let (mut names, mut ids): (BTreeMap<String, Vec<String>>, BTreeMap<Digest, BTreeSet<String>>) =
        Default::default();
    for image in images {
        let target = image.target.map(|target| target.digest).unwrap_or_default();
        match Digest::parse(&image.name) {
            Ok(id) => drop(ids.entry(id).or_default().insert(target)),
            Err(_) => names.entry(target).or_default().push(image.name),
        }
    }
    let named = |targets: BTreeSet<String>| {
        let mut all: Vec<String> =
            targets.iter().filter_map(|target| names.get(target)).flatten().cloned().collect();
        all.sort();
        all
    };
    Ok(ids.into_iter().map(|(id, targets)| (id, named(targets))).collect())
}

fn targets(images: Vec<api::Image>) -> Result<BTreeSet<Digest>, RuntimeError> {
    if images.len() > RECORDS_MAX {
        return Err(RuntimeError::Malformed {
            call: LIST,
            what: "more than 32768 names of images",
        });
    }
    let mut targets = BTreeSet::new();
    for image in images {
        let target = image
            .target
            .ok_or(RuntimeError::Malformed { call: LIST, what: "an image without a target" })?;
        targets.extend(Digest::parse(&target.digest).ok());
    }
    Ok(targets)
}

fn image(name: &str, target: &Target) -> api::Image {
    let target = Descriptor {
        media_type: target.media_type.clone(),
        digest: target.digest.to_string(),
        size: target.size,
        ..Descriptor::default()
    };
    let labels = [(MANAGED.0.to_owned(), MANAGED.1.to_owned())].into();
    api::Image { name: name.to_owned(), target: Some(target), labels, ..api::Image::default() }
}

/// Time before 1970 and nonsense read as zero: nothing rests on it.
pub(super) fn since_1970(time: &Timestamp) -> Duration {
    Duration::new(
        u64::try_from(time.seconds).unwrap_or(0),
        u32::try_from(time.nanos).unwrap_or(0).min(999_999_999),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(number: usize, digest: &str) -> api::Image {
        let target = Target { media_type: String::new(), digest: Digest::of(b"x"), size: 1 };
        let mut image = image(&format!("reg.test/app:{number}"), &target);
        image.target.as_mut().unwrap().digest = digest.to_owned();
        image
    }

    #[test]
    fn targets_are_listed_once_and_other_digests_are_left_out() {
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        let other = format!("sha512:{}", "a".repeat(128));
        let images = [one.as_str(), two.as_str(), one.as_str(), &other]
            .into_iter()
            .enumerate()
            .map(|(n, d)| named(n, d));
        assert_eq!(targets(images.collect()), Ok(BTreeSet::from([one, two])));
        assert_eq!(targets(Vec::new()), Ok(BTreeSet::new()));
    }

    /// Attack D1, and no wrong answer: a list that cannot be read whole is none.
    #[test]
    fn attack_d1_a_list_that_is_too_long_or_has_a_hole_is_an_error() {
        let digest = Digest::of(b"one");
        let full: Vec<_> = (0..RECORDS_MAX).map(|n| named(n, digest.as_str())).collect();
        assert_eq!(targets(full.clone()).unwrap().len(), 1);
        let more = full.into_iter().chain([named(0, digest.as_str())]).collect();
        let malformed = |what| Err(RuntimeError::Malformed { call: LIST, what });
        assert_eq!(targets(more), malformed("more than 32768 names of images"));
        let hole = api::Image { target: None, ..named(1, digest.as_str()) };
        assert_eq!(
            targets(vec![named(0, digest.as_str()), hole]),
            malformed("an image without a target")
        );
    }
}
