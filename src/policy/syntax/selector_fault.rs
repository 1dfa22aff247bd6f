//! [`SelectorFault`]: what can be wrong with the fields by which a document selects pods, and images
//! by their labels.

use std::fmt;

use crate::policy::sanitize::escaped;

/// What can be wrong with `podLabels`, `podAnnotations`, `runtimeHandlers`, `imageLabels` and `kinds`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectorFault {
    /// A document that lets images through without proof goes by what the author of a pod or of an
    /// image writes: every author could write it.
    WrittenByAuthors {
        /// The field.
        field: &'static str,
    },
    /// Not the key of a label or an annotation.
    Key {
        /// As written.
        got: String,
    },
    /// Not the key of an image's label.
    ImageKey {
        /// As written.
        got: String,
    },
    /// A value that no label, annotation or runtime handler can have.
    Value {
        /// As written.
        got: String,
    },
    /// A kind of container that a kubelet does not tell the runtime.
    UntoldUse {
        /// As written.
        got: String,
    },
}

impl SelectorFault {
    /// A fixed word, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::WrittenByAuthors { .. } => "written-by-authors",
            Self::Key { .. } | Self::ImageKey { .. } => "selector-key",
            Self::Value { .. } => "selector-value",
            Self::UntoldUse { .. } => "untold-kind",
        }
    }
}

impl fmt::Display for SelectorFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrittenByAuthors { field } => {
                let whose = if *field == "imageLabels" { "image" } else { "pod" };
                write!(
                    f,
                    "a document that admits without proof (warn, insecureAcceptAnything, an \
                     Exception) cannot select by {field}: the author of any {whose} can write that; \
                     select by images and namespaces"
                )
            }
            Self::Key { got } => write!(
                f,
                "\"{}\" is no key of a label or an annotation: [prefix/]name, with at most 63 \
                 letters, digits, -, _ and . in the name",
                escaped(got)
            ),
            Self::ImageKey { got } => write!(
                f,
                "\"{}\" is no key of an image's label: printable ASCII without spaces and *, at most \
                 317 bytes",
                escaped(got)
            ),
            Self::Value { got } => write!(
                f,
                "no label, annotation or runtime handler can be \"{}\"; * stands for any \
                 text",
                escaped(got)
            ),
            Self::UntoldUse { got } => write!(
                f,
                "\"{}\" is no kind: a kubelet does not tell the runtime which containers are init \
                 containers or ephemeral ones; write container, which all of them are",
                escaped(got)
            ),
        }
    }
}
