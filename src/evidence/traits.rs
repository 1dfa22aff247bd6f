//! [`Traits`]: what documents go by of a pod besides its namespace, and of the image that it wants, as
//! far as it is known.
//!
//! What is not known is never taken for absent: [`NoteValue`] keeps the two apart. Nothing here
//! says whether it is true; that is for who asks the runtime.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::image::ImageConfig;

/// Longest value of a label or an annotation that is kept, in bytes: no document looks for a longer
/// one, and what is longer is not known. A label's value has 63 at most, some annotations are files.
pub const NOTE_VALUE_MAX: usize = 1024;
/// Most labels or annotations of a pod or an image, and most bytes that are kept of them: Kubernetes
/// allows 256 KiB of annotations. Of one with more none is known.
const NOTES_MAX: usize = 4096;
const NOTES_BYTES_MAX: usize = 256 * 1024;
/// Most keys that are kept of a pod or an image beside a verdict ([`Traits::only`]): documents look at a few.
const KEPT_MAX: usize = 32;

/// What is known of a pod, and of what it wants an image for; nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Traits {
    /// Its labels.
    pub labels: Notes,
    /// Its annotations.
    pub annotations: Notes,
    /// The runtime handler of its sandbox; empty for the runtime's default one.
    pub handler: Option<String>,
    /// What the image is for.
    pub image_use: Option<ImageUse>,
    /// The labels of the image's config, as they were proven: its author writes them.
    pub image_labels: Notes,
}

/// What an image is for. A kubelet does not tell a runtime which containers are init containers or
/// ephemeral ones: all are containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ImageUse {
    /// A container's root filesystem.
    Container,
    /// A volume of a container.
    ImageVolume,
    /// A pod's sandbox.
    Sandbox,
}

/// Labels or annotations: all of a pod or of an image, those of some keys, or nothing that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Notes {
    known: Arc<BTreeMap<String, NoteEntry>>,
    /// Whether a key that is not here is not there.
    is_whole: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum NoteEntry {
    Absent,
    /// It is there, with a value that is too long to be kept.
    Untold,
    Is(String),
}

/// What is known of one label or annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteValue<'n> {
    /// Nothing.
    Unknown,
    /// It is not there.
    Absent,
    /// Its value.
    Is(&'n str),
}

impl Notes {
    /// All that a pod or an image has. A key that stands twice makes them unknown, since two readers may take
    /// two values; so do more than there may be.
    pub fn all(entries: impl IntoIterator<Item = (String, String)>) -> Self {
        let (mut known, mut bytes) = (BTreeMap::new(), 0usize);
        for (key, value) in entries {
            let is_long = value.len() > NOTE_VALUE_MAX;
            bytes = bytes.saturating_add(key.len());
            bytes = bytes.saturating_add(if is_long { 0 } else { value.len() });
            let noted = if is_long { NoteEntry::Untold } else { NoteEntry::Is(value) };
            let is_twice = known.insert(key, noted).is_some();
            if is_twice || known.len() > NOTES_MAX || bytes > NOTES_BYTES_MAX {
                return Self::default();
            }
        }
        Self { known: Arc::new(known), is_whole: true }
    }

    /// The labels of an image, by its config.
    #[must_use]
    pub fn of_image(config: &ImageConfig) -> Self {
        let labels = config.labels().map(|labels| {
            Self::all(labels.iter().map(|(key, value)| (key.clone(), value.clone())))
        });
        labels.unwrap_or_default()
    }

    /// What is known of this key.
    #[must_use]
    pub fn get(&self, key: &str) -> NoteValue<'_> {
        match self.known.get(key) {
            Some(NoteEntry::Is(value)) => NoteValue::Is(value),
            Some(NoteEntry::Absent) => NoteValue::Absent,
            Some(NoteEntry::Untold) => NoteValue::Unknown,
            None if self.is_whole => NoteValue::Absent,
            None => NoteValue::Unknown,
        }
    }

    /// What is known of these keys alone, the first few of them.
    #[must_use]
    pub fn only<'k>(&self, keys: impl Iterator<Item = &'k str>) -> Self {
        let noted = |key: &str| match self.get(key) {
            NoteValue::Unknown => None,
            NoteValue::Absent => Some(NoteEntry::Absent),
            NoteValue::Is(value) => Some(NoteEntry::Is(value.to_owned())),
        };
        let known: BTreeMap<String, NoteEntry> =
            keys.take(KEPT_MAX).filter_map(|key| Some((key.to_owned(), noted(key)?))).collect();
        Self { known: Arc::new(known), is_whole: false }
    }
}

impl Traits {
    /// The same as far as documents look at it that go by these labels, these annotations and these
    /// labels of the image; what they do not look at is not known in it.
    #[must_use]
    pub fn only<'k>(
        &self,
        labels: impl Iterator<Item = &'k str>,
        annotations: impl Iterator<Item = &'k str>,
        image_labels: impl Iterator<Item = &'k str>,
    ) -> Self {
        Self {
            labels: self.labels.only(labels),
            annotations: self.annotations.only(annotations),
            handler: self.handler.clone().filter(|handler| handler.len() <= NOTE_VALUE_MAX),
            image_use: self.image_use,
            image_labels: self.image_labels.only(image_labels),
        }
    }
}

impl ImageUse {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Container, Self::ImageVolume, Self::Sandbox];

    /// The word for it in documents.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::ImageVolume => "imageVolume",
            Self::Sandbox => "sandbox",
        }
    }

    /// The use of this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|image_use| image_use.word() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(entries: &[(&str, &str)]) -> Notes {
        Notes::all(entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn what_is_not_known_is_not_absent() {
        let all = notes(&[("a", "1"), ("b", "")]);
        assert_eq!(all.get("a"), NoteValue::Is("1"));
        assert_eq!(all.get("b"), NoteValue::Is(""));
        assert_eq!(all.get("c"), NoteValue::Absent);
        assert_eq!(Notes::default().get("a"), NoteValue::Unknown);
        let some = all.only(["a", "c"].into_iter());
        assert_eq!(some.get("a"), NoteValue::Is("1"));
        assert_eq!(some.get("c"), NoteValue::Absent);
        assert_eq!(some.get("b"), NoteValue::Unknown, "nobody looked at it");
        let again = some.only(["a", "b", "c", "d"].into_iter());
        assert_eq!((again.get("b"), again.get("d")), (NoteValue::Unknown, NoteValue::Unknown));
        assert_eq!(again.get("c"), NoteValue::Absent);
    }

    /// A build's own notes are larger than any label that a document looks for, and hide none.
    #[test]
    fn long_values_do_not_hide_the_others() {
        let long = "x".repeat(NOTES_BYTES_MAX);
        let notes = notes(&[("io.buildpacks.build.metadata", long.as_str()), ("tier", "pci")]);
        assert_eq!(notes.get("tier"), NoteValue::Is("pci"));
        assert_eq!(notes.get("io.buildpacks.build.metadata"), NoteValue::Unknown);
    }

    /// Attack D2: a key that stands twice is read in two ways by two readers.
    #[test]
    fn attack_d2_notes_that_cannot_be_told_are_unknown() {
        assert_eq!(notes(&[("a", "1"), ("a", "2")]).get("b"), NoteValue::Unknown);
        let long = "x".repeat(NOTE_VALUE_MAX + 1);
        let with_long = notes(&[("a", long.as_str()), ("b", "1")]);
        assert_eq!(with_long.get("a"), NoteValue::Unknown);
        assert_eq!(
            (with_long.get("b"), with_long.get("c")),
            (NoteValue::Is("1"), NoteValue::Absent)
        );
        assert_eq!(with_long.only(["a"].into_iter()).get("a"), NoteValue::Unknown);
        let many = (0..=NOTES_MAX).map(|n| (n.to_string(), String::new()));
        assert_eq!(Notes::all(many).get("none"), NoteValue::Unknown);
    }
}
