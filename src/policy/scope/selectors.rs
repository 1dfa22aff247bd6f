//! [`Selectors`]: what one document goes by besides images and namespaces: labels and annotations of
//! the pod, its runtime handler, what an image is for, and the labels of the image's config.
//!
//! What is not known of a pod or an image is not absent: [`Selection::Unknown`] is neither yes nor no, and who asks
//! takes it for a match where the document demands, and for none where it lets through.

use std::collections::BTreeSet;

use crate::evidence::{ImageUse, NoteValue, Notes, Traits};
use crate::policy::scope::pattern::{ANY_TEXT, PatternList};

/// What one document goes by. With nothing in it the document is about every pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::policy) struct Selectors {
    /// Namespaces that the document is not about.
    pub(in crate::policy) exclude_namespaces: PatternList,
    /// Labels that a pod must have, all of them.
    pub(in crate::policy) labels: Vec<NoteSelector>,
    /// Annotations that a pod must have, all of them.
    pub(in crate::policy) annotations: Vec<NoteSelector>,
    /// The runtime handlers, any of them; empty for every one.
    pub(in crate::policy) handlers: Vec<TextPattern>,
    /// What images are for, any of them; empty for every use.
    pub(in crate::policy) uses: BTreeSet<ImageUse>,
    /// Labels that the image's config must have, all of them.
    pub(in crate::policy) image_labels: Vec<NoteSelector>,
}

/// One label or annotation with the value that it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) struct NoteSelector {
    pub(in crate::policy) key: String,
    pub(in crate::policy) value: TextPattern,
}

/// A text in which `*` stands for any run of characters, none among others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) struct TextPattern(String);

/// What a selector says of a pod and its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Selection {
    Yes,
    No,
    /// What it goes by is not known.
    Unknown,
}

/// The fields of documents by which pods are selected, and images by their labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::policy) enum SelectorField {
    Labels,
    Annotations,
    Handlers,
    Uses,
    ImageLabels,
}

impl TextPattern {
    pub(in crate::policy) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(in crate::policy) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is no wildcard in it.
    pub(in crate::policy) fn is_literal(&self) -> bool {
        !self.0.bytes().any(|byte| byte == ANY_TEXT)
    }

    /// Whether it matches the whole text: each piece between wildcards at the first place behind the
    /// one before, the last at the end.
    pub(in crate::policy) fn matches(&self, text: &str) -> bool {
        let mut pieces = self.0.split(char::from(ANY_TEXT));
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = text.strip_prefix(first) else { return false };
        let Some(last) = pieces.next_back() else { return rest.is_empty() };
        for piece in pieces {
            let Some((_, behind)) = rest.split_once(piece) else { return false };
            rest = behind;
        }
        rest.ends_with(last)
    }
}

impl NoteSelector {
    fn says(&self, notes: &Notes) -> Selection {
        match notes.get(&self.key) {
            NoteValue::Unknown => Selection::Unknown,
            NoteValue::Absent => Selection::No,
            NoteValue::Is(value) => Selection::of(self.value.matches(value)),
        }
    }
}

impl Selection {
    fn of(is_one: bool) -> Self {
        if is_one { Self::Yes } else { Self::No }
    }

    /// Of two that must both be so.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }

    /// Whether the document counts as matching: what is not known matches what does not let through
    /// without proof, and nothing that does.
    pub(in crate::policy) fn counts(self, is_permissive: bool) -> bool {
        match self {
            Self::Yes => true,
            Self::No => false,
            Self::Unknown => !is_permissive,
        }
    }
}

impl SelectorField {
    pub(in crate::policy) const ALL: [Self; 5] =
        [Self::Uses, Self::Labels, Self::Annotations, Self::Handlers, Self::ImageLabels];
    /// Those that say what a pod's author writes.
    pub(in crate::policy) const OF_PODS: [Self; 3] =
        [Self::Labels, Self::Annotations, Self::Handlers];

    /// Its name in `spec`.
    pub(in crate::policy) const fn name(self) -> &'static str {
        match self {
            Self::Labels => "podLabels",
            Self::Annotations => "podAnnotations",
            Self::Handlers => "runtimeHandlers",
            Self::Uses => "kinds",
            Self::ImageLabels => "imageLabels",
        }
    }

    /// What meets it or does not.
    pub(in crate::policy) const fn whose(self) -> &'static str {
        match self {
            Self::Labels | Self::Annotations | Self::Handlers | Self::Uses => "pod",
            Self::ImageLabels => "image",
        }
    }
}

impl Selectors {
    /// Whether the document is about every pod, and about its images whatever they are for and say.
    pub(in crate::policy) fn is_empty(&self) -> bool {
        let Self { exclude_namespaces, labels, annotations, handlers, uses, image_labels } = self;
        exclude_namespaces.is_empty()
            && labels.is_empty()
            && annotations.is_empty()
            && handlers.is_empty()
            && uses.is_empty()
            && image_labels.is_empty()
    }

    /// Whether it goes by what the author of a pod or of an image writes, and by which field first.
    pub(in crate::policy) fn written_by_authors(&self) -> Option<SelectorField> {
        let mut fields = SelectorField::OF_PODS.into_iter().chain([SelectorField::ImageLabels]);
        fields.find(|field| self.has(*field))
    }

    /// Whether it goes by what a pod's author writes.
    pub(in crate::policy) fn goes_by_pods(&self) -> bool {
        SelectorField::OF_PODS.into_iter().any(|field| self.has(field))
    }

    /// Whether it goes by this field.
    pub(in crate::policy) fn has(&self, field: SelectorField) -> bool {
        match field {
            SelectorField::Labels => !self.labels.is_empty(),
            SelectorField::Annotations => !self.annotations.is_empty(),
            SelectorField::Handlers => !self.handlers.is_empty(),
            SelectorField::Uses => !self.uses.is_empty(),
            SelectorField::ImageLabels => !self.image_labels.is_empty(),
        }
    }

    /// What all of its fields say of a pod and its image, but the namespaces.
    pub(in crate::policy) fn says(&self, traits: &Traits) -> Selection {
        SelectorField::ALL
            .into_iter()
            .map(|field| self.of_field(field, traits))
            .fold(Selection::Yes, Selection::and)
    }

    /// What one field says of a pod; yes where the document does not have it.
    pub(in crate::policy) fn of_field(&self, field: SelectorField, traits: &Traits) -> Selection {
        let notes = |selectors: &[NoteSelector], notes: &Notes| {
            selectors
                .iter()
                .map(|selector| selector.says(notes))
                .fold(Selection::Yes, Selection::and)
        };
        match field {
            SelectorField::Labels => notes(&self.labels, &traits.labels),
            SelectorField::Annotations => notes(&self.annotations, &traits.annotations),
            SelectorField::ImageLabels => notes(&self.image_labels, &traits.image_labels),
            SelectorField::Handlers if self.handlers.is_empty() => Selection::Yes,
            SelectorField::Handlers => {
                traits.handler.as_ref().map_or(Selection::Unknown, |handler| {
                    Selection::of(self.handlers.iter().any(|pattern| pattern.matches(handler)))
                })
            }
            SelectorField::Uses if self.uses.is_empty() => Selection::Yes,
            SelectorField::Uses => traits.image_use.map_or(Selection::Unknown, |image_use| {
                Selection::of(self.uses.contains(&image_use))
            }),
        }
    }

    /// What stands in one field, for people.
    pub(in crate::policy) fn written(&self, field: SelectorField) -> String {
        let notes = |selectors: &[NoteSelector]| {
            let one =
                |selector: &NoteSelector| format!("{}={}", selector.key, selector.value.as_str());
            selectors.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        match field {
            SelectorField::Labels => notes(&self.labels),
            SelectorField::Annotations => notes(&self.annotations),
            SelectorField::ImageLabels => notes(&self.image_labels),
            SelectorField::Handlers => {
                let one = |handler: &TextPattern| match handler.as_str() {
                    "" => "\"\"".to_owned(),
                    text => text.to_owned(),
                };
                self.handlers.iter().map(one).collect::<Vec<_>>().join(", ")
            }
            SelectorField::Uses => {
                self.uses.iter().map(|one| one.word()).collect::<Vec<_>>().join(", ")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn notes(entries: &[(&str, &str)]) -> Notes {
        Notes::all(entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())))
    }

    fn selector(key: &str, value: &str) -> NoteSelector {
        NoteSelector { key: key.to_owned(), value: TextPattern::new(value) }
    }

    #[test]
    fn every_label_must_be_there_and_any_handler_is_enough() {
        let selectors = Selectors {
            labels: vec![selector("tier", "prod-*"), selector("app", "*")],
            handlers: vec![TextPattern::new("kata*"), TextPattern::new("")],
            ..Selectors::default()
        };
        let traits = |labels: &[(&str, &str)], handler: Option<&str>| Traits {
            labels: notes(labels),
            handler: handler.map(str::to_owned),
            ..Traits::default()
        };
        let all = [("tier", "prod-eu"), ("app", "")];
        assert_eq!(selectors.says(&traits(&all, Some("kata-qemu"))), Selection::Yes);
        assert_eq!(selectors.says(&traits(&all, Some(""))), Selection::Yes);
        assert_eq!(selectors.says(&traits(&all, Some("runc"))), Selection::No);
        assert_eq!(selectors.says(&traits(&all[..1], Some(""))), Selection::No);
        assert_eq!(selectors.says(&traits(&all, None)), Selection::Unknown);
        // What is certain comes before what is not known.
        assert_eq!(selectors.says(&traits(&all[..1], None)), Selection::No);
        assert_eq!(selectors.says(&Traits::default()), Selection::Unknown);
        assert_eq!(Selectors::default().says(&Traits::default()), Selection::Yes);
    }

    #[test]
    fn what_is_not_known_counts_where_something_is_demanded() {
        assert!(Selection::Unknown.counts(false) && !Selection::Unknown.counts(true));
        assert!(Selection::Yes.counts(true) && !Selection::No.counts(false));
    }

    /// What a pattern means, from the words of the manual alone: every way to split the text.
    fn says(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|at| says(rest, &text[at..])),
            Some((byte, rest)) => text.first() == Some(byte) && says(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_it_says(pattern in "[ab*]{0,7}", text in "[ab]{0,8}") {
            let expected = says(pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(TextPattern::new(&pattern).matches(&text), expected);
        }
    }
}
