//! [`PodOptions`]: the pod that a question is about, and the labels of its image, as far as they are
//! given.

use clap::{Args, ValueEnum};

use crate::cli::terminal::screen::plain;
use crate::evidence::{ImageUse, Notes, Pod, Traits};

/// The pod. What is not given is not known, and then counts for every policy that demands.
#[derive(Debug, Args)]
pub(in crate::cli) struct PodOptions {
    /// The namespace of the pod; without it every policy that enforces and is limited to namespaces
    /// counts.
    #[arg(long, value_name = "NAMESPACE")]
    pub(in crate::cli) namespace: Option<String>,
    /// All labels of the pod, "" for none; without it every policy that enforces and selects by
    /// labels counts.
    #[arg(long, value_name = "KEY=VALUE,...")]
    labels: Option<String>,
    /// All annotations of the pod, "" for none.
    #[arg(long, value_name = "KEY=VALUE,...")]
    annotations: Option<String>,
    /// All labels of the image's config, "" for none; without it every policy that enforces and selects
    /// by labels of images counts.
    #[arg(long, value_name = "KEY=VALUE,...")]
    image_labels: Option<String>,
    /// The runtime handler of the pod, "" for the runtime's default one.
    #[arg(long, value_name = "HANDLER")]
    handler: Option<String>,
    /// What the image is for.
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Option<KindOption>,
}

/// What an image is for, as documents have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KindOption {
    /// A container, an init container or an ephemeral one.
    #[value(name = "container")]
    Container,
    /// An image volume.
    #[value(name = "imageVolume")]
    Volume,
    /// The sandbox of a pod.
    #[value(name = "sandbox")]
    Sandbox,
}

impl PodOptions {
    /// The pod.
    ///
    /// # Errors
    /// In words, for what is no list of `KEY=VALUE`.
    pub(in crate::cli) fn pod(&self) -> Result<Pod, String> {
        let traits = Traits {
            labels: notes(self.labels.as_deref(), "--labels")?,
            annotations: notes(self.annotations.as_deref(), "--annotations")?,
            handler: self.handler.clone(),
            image_use: self.kind.map(|kind| match kind {
                KindOption::Container => ImageUse::Container,
                KindOption::Volume => ImageUse::ImageVolume,
                KindOption::Sandbox => ImageUse::Sandbox,
            }),
            image_labels: notes(self.image_labels.as_deref(), "--image-labels")?,
        };
        Ok(Pod { namespace: self.namespace.clone(), traits, ..Pod::default() })
    }
}

fn notes(list: Option<&str>, option: &str) -> Result<Notes, String> {
    let Some(list) = list else { return Ok(Notes::default()) };
    let mut entries = Vec::new();
    for entry in list.split(',').filter(|entry| !entry.is_empty()) {
        let Some((key, value)) = entry.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(format!("{option}: \"{}\" is not KEY=VALUE", plain(entry)));
        };
        if entries.iter().any(|(known, _)| known == key) {
            return Err(format!("{option}: \"{}\" stands twice", plain(key)));
        }
        entries.push((key.to_owned(), value.to_owned()));
    }
    Ok(Notes::all(entries))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::NoteValue;

    #[test]
    fn what_is_not_given_is_not_known() {
        assert_eq!(notes(None, "--labels").unwrap().get("a"), NoteValue::Unknown);
        assert_eq!(notes(Some(""), "--labels").unwrap().get("a"), NoteValue::Absent);
        let some = notes(Some("a=1,b=x=y,c="), "--labels").unwrap();
        assert_eq!(some.get("b"), NoteValue::Is("x=y"));
        assert_eq!((some.get("c"), some.get("d")), (NoteValue::Is(""), NoteValue::Absent));
        for faulty in ["a", "=1", "a=1,a=2"] {
            assert!(notes(Some(faulty), "--labels").is_err(), "{faulty}");
        }
    }
}
