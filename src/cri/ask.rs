//! What is asked of the gate: [`PullRequest`], [`LocalImageRequest`], and the [`Call`] that brought
//! it.
//!
//! These are the caller's words, untrusted. One function derives the names an image must pass under
//! from them ([`asked_names`]), so that no decision is made on one field and acted on another
//! (attack A5).

use std::time::Instant;

use bytes::Bytes;

use super::{Refusal, canary};
pub use crate::audit::Call;
use crate::containerd::{CreatedWith, Image};
use crate::evidence::{ImageUse, Name, Notes, Pod, Subject};
use crate::image::{Digest, Reference, ReferenceError};
use crate::registry::{Access, AuthConfig, Credentials, CredentialsError};

/// Most names under which one image must pass, and most digests that are tried under one name. A
/// real image has a handful; each costs a judgement.
pub(super) const NAMES_MAX: usize = 32;

/// An image that is to be pulled.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// The reference as the caller wrote it.
    pub image: String,
    /// The pod it is for, as far as the request says.
    pub pod: Pod,
    /// The caller's credentials, for the registry of the image alone.
    pub auth: Option<AuthConfig>,
    /// When the decision must be made at the latest.
    pub deadline: Instant,
}

impl PullRequest {
    /// The credentials as the registry client uses them: given for the host of `reference`, unless
    /// they name another.
    ///
    /// # Errors
    /// [`CredentialsError`] when they cannot be used.
    pub fn access(&self, reference: &Reference) -> Result<Access, CredentialsError> {
        let Some(auth) = &self.auth else { return Ok(Access::default()) };
        Credentials::from_auth_config(auth, reference.runtime_repository().host()).map(Access::new)
    }
}

/// An image that is in the runtime's store and is to run or to be mounted.
#[derive(Debug, Clone)]
pub struct LocalImageRequest {
    /// Which call asks.
    pub call: Call,
    /// `image.image`: an id, an id prefix or a name (fact C2).
    pub image: String,
    /// `image.user_specified_image`: the pod's own string, empty in old kubelets (fact C1).
    pub user_specified: String,
    /// The pod.
    pub pod: Pod,
    /// The container's name in the pod.
    pub container: String,
    /// When the decision must be made at the latest.
    pub deadline: Instant,
}

impl LocalImageRequest {
    /// The same, for the pod as it is known by now; what the image is for stays.
    #[must_use]
    pub fn of_pod(mut self, known: &Pod) -> Self {
        let image_use = self.pod.traits.image_use;
        self.pod = known.clone();
        self.pod.traits.image_use = image_use;
        self
    }
}

/// What CreateContainer asked of a container that is there: the id that was resolved, under the
/// pod's own word for it, and the images of its volumes.
#[must_use]
pub fn asked_before(pod: &Pod, created: &CreatedWith, deadline: Instant) -> Vec<LocalImageRequest> {
    let ask = |image_use, image: &str, user_specified: Option<&String>| LocalImageRequest {
        call: Call::StartContainer,
        image: image.to_owned(),
        user_specified: user_specified.cloned().unwrap_or_default(),
        pod: used_for(image_use, pod),
        container: created.name.clone(),
        deadline,
    };
    let own = ask(ImageUse::Container, created.id.as_str(), created.user_specified_image.as_ref());
    let volumes = created.volumes.iter();
    let volumes = volumes.map(|volume| {
        ask(ImageUse::ImageVolume, &volume.image, volume.user_specified_image.as_ref())
    });
    std::iter::once(own).chain(volumes).collect()
}

/// The pod, as one that wants an image for this.
#[must_use]
pub fn used_for(image_use: ImageUse, pod: &Pod) -> Pod {
    let mut pod = pod.clone();
    pod.traits.image_use = Some(image_use);
    pod
}

/// The pod, as one that wants an image with these labels.
#[must_use]
pub(in crate::cri) fn labelled(pod: &Pod, labels: &Notes) -> Pod {
    let mut pod = pod.clone();
    pod.traits.image_labels = labels.clone();
    pod
}

/// An image that is to be pulled, as far as it is known.
pub(in crate::cri) struct ImageToPull<'a> {
    /// How it was asked for, and what that means.
    pub(in crate::cri) wanted: (&'a Reference, &'a Subject),
    /// What the name points at, where that is at hand.
    pub(in crate::cri) bytes: Option<&'a Bytes>,
    pub(in crate::cri) access: &'a Access,
    pub(in crate::cri) deadline: Instant,
}

/// What a CRI image string is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageString {
    /// A full id, with or without `sha256:`.
    Id(Digest),
    /// Hexadecimal digits alone: part of an id, or a short name. Only the runtime can say which, so
    /// it counts as an id: every name that the runtime lists for what it finds must pass, the short
    /// name among them.
    Prefix,
    /// A name.
    Name(Reference),
}

impl ImageString {
    /// Reads the forms that CreateContainer accepts (fact C2); a path is none of them (facts C8,
    /// C12).
    ///
    /// # Errors
    /// [`ReferenceError`] when it is neither an id nor a name.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let bare = text.strip_prefix("sha256:").unwrap_or(text);
        if let Ok(digest) = Digest::parse(&format!("sha256:{bare}")) {
            return Ok(Self::Id(digest));
        }
        if is_short_hex(bare) {
            return Ok(Self::Prefix);
        }
        Reference::parse(text).map(Self::Name)
    }
}

fn is_short_hex(text: &str) -> bool {
    !text.is_empty()
        && text.len() < 64
        && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The names that the caller used, in the order of their weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskedNames {
    /// These names, each of which must pass.
    Named(Vec<Reference>),
    /// An id alone: every name that the runtime lists for it must pass (fact C13).
    ByIdAlone,
}

/// Which names a local image must pass under: the pod's own string when it is a name, and the image
/// string itself when that is another name.
///
/// # Errors
/// [`ReferenceError`] when a string is neither an id nor a name.
pub fn asked_names(ask: &LocalImageRequest) -> Result<AskedNames, ReferenceError> {
    let mut names = Vec::new();
    for text in [ask.user_specified.as_str(), ask.image.as_str()] {
        if text.is_empty() {
            continue;
        }
        if let ImageString::Name(reference) = ImageString::parse(text)?
            && !names.contains(&reference)
        {
            names.push(reference);
        }
    }
    Ok(if names.is_empty() { AskedNames::ByIdAlone } else { AskedNames::Named(names) })
}

/// Which names must pass: the ones asked for, or for an id alone every one that the runtime lists
/// (fact C13).
pub(super) fn names_to_pass(asked: &AskedNames, image: &Image) -> Result<Vec<Name>, Refusal> {
    if let AskedNames::Named(names) = asked {
        return Ok(names.iter().cloned().map(Name::Known).collect());
    }
    let mut names: Vec<Name> = Vec::new();
    for text in image.tags.iter().chain(&image.digests) {
        // A name that cannot be read matches like one that is not known: every enforcing document.
        let name = Reference::parse(text).map_or(Name::Unknown, Name::Known);
        if let Name::Known(reference) = &name {
            canary::not_reserved(reference)?;
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.len() > NAMES_MAX {
        return Err(Refusal::TooMany {
            what: "names of one image",
            got: names.len(),
            limit: NAMES_MAX,
        });
    }
    if names.is_empty() {
        names.push(Name::Unknown);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(image: &str, user_specified: &str) -> LocalImageRequest {
        LocalImageRequest {
            call: Call::CreateContainer,
            image: image.to_owned(),
            user_specified: user_specified.to_owned(),
            pod: Pod::default(),
            container: "c".to_owned(),
            deadline: crate::daemon::CLOCK.steady(),
        }
    }

    #[test]
    fn an_id_takes_its_name_from_the_pods_own_string() {
        let id = Digest::of(b"x");
        let app = Reference::parse("reg.example/app:1").unwrap();
        assert_eq!(
            asked_names(&ask(id.as_str(), "reg.example/app:1")),
            Ok(AskedNames::Named(vec![app]))
        );
        assert_eq!(asked_names(&ask(id.as_str(), "")), Ok(AskedNames::ByIdAlone));
        assert_eq!(asked_names(&ask(id.hex(), id.as_str())), Ok(AskedNames::ByIdAlone));
    }

    /// Attack A5: one name to be decided on, another to act on. Both must pass.
    #[test]
    fn attack_a5_two_names_must_both_pass() {
        let names =
            ["reg.example/good:1", "reg.example/bad:1"].map(|text| Reference::parse(text).unwrap());
        let got = asked_names(&ask("reg.example/bad:1", "reg.example/good:1"));
        assert_eq!(got, Ok(AskedNames::Named(names.to_vec())));
    }

    /// Attack A8: an id prefix means whatever the runtime finds; it never counts as a name of the
    /// asker's choice.
    #[test]
    fn attack_a8_an_id_prefix_is_no_name() {
        assert_eq!(asked_names(&ask("0123456789ab", "")), Ok(AskedNames::ByIdAlone));
        assert_eq!(asked_names(&ask("sha256:0123", "")), Ok(AskedNames::ByIdAlone));
    }

    /// Facts C8 and C12: a path is neither an id nor a name.
    #[test]
    fn attack_a8_paths_are_refused() {
        for path in ["/tmp/checkpoint.tar", "./x", "../x", "a/../b"] {
            assert!(asked_names(&ask(path, "")).is_err(), "{path}");
            assert!(asked_names(&ask("reg.example/a", path)).is_err(), "{path}");
        }
    }
}
