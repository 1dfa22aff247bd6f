//! The form of an `ImagePolicy` and of an `Exception`.

use serde_json::{Value, json};

use super::shape::{
    Field, age, digest, image_pattern, is_true, line, map, moment, reference, set, text_like, with,
    words,
};
use crate::evidence::NOTE_VALUE_MAX;
use crate::policy::document::action::{ACTIONS, ON_UNREACHABLE};
use crate::policy::document::selectors::USES;
use crate::policy::document::{DENY, SPEC, exception as exceptions};

/// `spec` of an `ImagePolicy`.
pub(super) fn image_policy() -> Value {
    let deny = map(
        DENY,
        DENY,
        vec![("digests", set(digest()), "Digests of indexes or of platform manifests.")],
    );
    let mut fields = selecting();
    fields.extend(by_authors(notes, set(text_like("^[A-Za-z0-9._*-]*$"))));
    fields.extend([
        (
            "action",
            words(ACTIONS),
            "What becomes of an image that does not meet the policy: enforce (the default) refuses \
             it, warn admits it and says so in the audit log.",
        ),
        (
            "onUnreachable",
            words(ON_UNREACHABLE),
            "What becomes of an image whose registry cannot be reached: deny (the default) or \
             insecureAdmit, with which whoever cuts the network gets any image in.",
        ),
        (
            "signatureRepository",
            text_like("^[^/@]+(/[^/@:]+)+$"),
            "Signatures are looked for in this repository instead of in the image's own.",
        ),
        (
            "refreshAfter",
            age(),
            "The registry is asked again in the background when evidence is older: 24h, 30d.",
        ),
        (
            "maxOffline",
            age(),
            "Older evidence does not count while the registry cannot be asked: 24h, 30d.",
        ),
        ("deny", deny, "What is refused whoever signed it."),
        (
            "allowCheckpointRestore",
            is_true(),
            "containerd may restore a container from an image that is a checkpoint. Not in a policy \
             that asks for no proof.",
        ),
        ("require", reference("requirement"), "What is demanded of the images."),
    ]);
    with(
        map(SPEC, &["images"], fields),
        json!({"anyOf": [{"required": ["require"]}, {"required": ["deny"]}]}),
    )
}

/// `spec` of an `Exception`.
pub(super) fn exception() -> Value {
    fn never() -> Value {
        json!({"not": {}})
    }
    let mut fields = selecting();
    fields.extend(by_authors(never, never()));
    fields.extend([
        (
            "digests",
            set(digest()),
            "The image has one of these digests, and one of the names in images where there are any.",
        ),
        ("expires", moment(), "When it ends: 2026-02-15T00:00:00Z."),
        ("owner", line(), "Who answers for it."),
        ("reason", line(), "Why the images may run without proof; one line."),
    ]);
    with(
        map(exceptions::SPEC, &["expires", "owner", "reason"], fields),
        json!({"anyOf": [{"required": ["images"]}, {"required": ["digests"]}]}),
    )
}

/// The fields that say which images, namespaces and uses a document is about.
fn selecting() -> Vec<Field> {
    let namespaces = || set(text_like("^[a-z0-9*]([a-z0-9*-]*[a-z0-9*])?$"));
    vec![
        (
            "images",
            set(image_pattern()),
            "Repositories that the document is about: host and path, * within a part, ** for parts. \
             Or one image of a repository: host/path@sha256:...",
        ),
        (
            "exclude",
            set(image_pattern()),
            "Repositories and images that it is not about all the same.",
        ),
        ("namespaces", namespaces(), "Namespaces of the pod; every one when left out."),
        ("excludeNamespaces", namespaces(), "Namespaces of the pod that it is not about."),
        ("kinds", set(words(USES)), "What the image is for; everything when left out."),
    ]
}

/// The fields by which an `ImagePolicy` selects what authors of pods and images write, and nothing that
/// admits without proof can.
fn by_authors(notes: fn() -> Value, handlers: Value) -> [Field; 4] {
    [
        (
            "podLabels",
            notes(),
            "Labels that the pod has, all of them; its author writes them. Not in an Exception.",
        ),
        (
            "podAnnotations",
            notes(),
            "Annotations that the pod has, all of them; its author writes them. Not in an Exception.",
        ),
        (
            "runtimeHandlers",
            handlers,
            "Runtime handlers of RuntimeClasses; \"\" is the default one. Not in an Exception.",
        ),
        (
            "imageLabels",
            notes(),
            "Labels that the image's config has, all of them; the image's author writes them. Not in \
             an Exception.",
        ),
    ]
}

fn notes() -> Value {
    json!({
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {"type": "string", "maxLength": NOTE_VALUE_MAX},
    })
}
