//! The form of a `PolicyTest`: the cases of `sealgate policy test`.

use serde_json::{Value, json};

use super::shape::{digest, is_true, list, map, moment, text, with, words};
use crate::policy::document::selectors::USES;
use crate::policy::document::test_case::{CASE, SPEC, VERDICTS};

/// `spec` of a `PolicyTest`.
pub(super) fn policy_test() -> Value {
    let notes = || json!({"type": "object", "additionalProperties": {"type": "string"}});
    let fields = vec![
        ("name", text(), "Its name, no two alike in one file."),
        ("image", text(), "The image, as a pod would name it."),
        ("digest", digest(), "What the name points at; left out where the image has it."),
        ("platformManifest", digest(), "The manifest under an index that the node would run."),
        ("namespace", json!({"type": "string"}), "The pod's namespace; not known when left out."),
        ("podLabels", notes(), "All labels of the pod; {} for none, not known when left out."),
        ("podAnnotations", notes(), "All annotations of the pod; {} for none."),
        ("imageLabels", notes(), "All labels of the image's config; {} for none."),
        (
            "runtimeHandler",
            json!({"type": "string"}),
            "The pod's runtime handler; \"\" is the default.",
        ),
        ("kind", words(USES), "What the image is for; not known when left out."),
        ("at", moment(), "When it is judged: 2026-01-31T12:00:00Z."),
        ("evidence", text(), "What sealgate evidence export wrote, below the folder of the case."),
        ("unsigned", is_true(), "Every place was looked in, and there is nothing."),
        ("unreachable", is_true(), "The registry was asked, and could not be reached."),
        ("verdict", words(VERDICTS), "What the policies must say."),
        ("code", json!({"type": "string"}), "The reason code; any when left out."),
    ];
    let beside = |name: &str| json!({"not": {"required": ["unsigned", name]}});
    let case = with(
        map(CASE, &["name", "image", "at", "verdict"], fields),
        json!({"allOf": [beside("evidence"), beside("unreachable")]}),
    );
    map(SPEC, SPEC, vec![("cases", list(case), "Each is judged by itself.")])
}
