//! The form of a `DenyList`: the entries of each of its lists.

use serde_json::{Value, json};

use super::shape::{
    Field, digest, line, list, map, moment, repository_pattern, set, text, text_like, with,
};
use crate::policy::document::deny_list::{SPEC, entry_fields};

/// `spec` of a `DenyList`; one that is published may have nothing in it.
pub(super) fn deny_list() -> Value {
    let entry = |kind: &str, required: &[&str], mut fields: Vec<Field>| {
        fields.push(("reason", line(), "Why; one line, which refusals show."));
        fields.push(("date", moment(), "Since when. Nothing is decided by it."));
        map(entry_fields(kind), &[required, &["reason", "date"]].concat(), fields)
    };
    let after = "What was signed until then still counts; nothing when left out.";
    let digests = entry(
        "digests",
        &["digest"],
        vec![
            ("digest", digest(), "The digest of an index or of a manifest."),
            ("manifests", set(digest()), "Manifests under the index that are denied too."),
        ],
    );
    let repositories = entry(
        "repositories",
        &["pattern"],
        vec![("pattern", repository_pattern(), "Repositories: host and path, with * and **.")],
    );
    let of_key = "SHA-256 of the key's SubjectPublicKeyInfo, as sealgate keys list shows it.";
    let keys = entry(
        "keys",
        &["fingerprint"],
        vec![("fingerprint", fingerprint(), of_key), ("signedAfter", moment(), after)],
    );
    let of_certificate = "SHA-256 of the certificate in DER.";
    let certificates = entry(
        "certificates",
        &["fingerprint"],
        vec![("fingerprint", fingerprint(), of_certificate)],
    );
    let log_indexes = entry(
        "logIndexes",
        &["index"],
        vec![
            ("index", json!({"type": "integer", "minimum": 0}), "The number of the log entry."),
            ("log", text(), "The log, by its URL in the trust root; any when left out."),
        ],
    );
    let fields = vec![
        ("digests", list(digests), "Images that are refused, whatever signatures they have."),
        ("repositories", list(repositories), "Whatever has such a name is refused."),
        ("keys", list(keys), "Signatures of these keys do not count."),
        ("identities", list(identities(entry)), "Signatures of these holders do not count."),
        ("certificates", list(certificates), "Signatures with these certificates do not count."),
        ("logIndexes", list(log_indexes), "Signatures with these log entries do not count."),
    ];
    map(SPEC, &[], fields)
}

fn identities(entry: impl Fn(&str, &[&str], Vec<Field>) -> Value) -> Value {
    let fields = vec![
        ("issuer", text(), "Who vouched for the holder, to the letter."),
        ("issuerRegExp", text(), "The same as an expression that matches the whole text."),
        ("subject", text(), "The holder's name, to the letter."),
        ("subjectRegExp", text(), "The same as an expression that matches the whole text."),
        ("signedAfter", moment(), "What was signed until then still counts."),
    ];
    let of = |names: &[&str]| {
        let each: Vec<Value> = names.iter().map(|name| json!({"required": [name]})).collect();
        json!(each)
    };
    let both = |one: &str, other: &str| json!({"not": {"required": [one, other]}});
    with(
        entry("identities", &[], fields),
        json!({
            "anyOf": of(&["issuer", "issuerRegExp", "subject", "subjectRegExp"]),
            "allOf": [both("issuer", "issuerRegExp"), both("subject", "subjectRegExp")],
        }),
    )
}

/// With or without `sha256:`, in pairs with colons or without, in upper or lower case.
fn fingerprint() -> Value {
    text_like("^([sS][hH][aA]256:)?([0-9a-fA-F]{64}|([0-9a-fA-F]{2}:){31}[0-9a-fA-F]{2})$")
}
