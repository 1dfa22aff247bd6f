//! The form of a requirement: thresholds, signatures and attestations, and by whom they are.

use serde_json::{Value, json};

use super::shape::{
    Field, age, digest, is_true, list, map, moment, one_of, reference, set, single, text, with,
    words,
};
use crate::policy::requirement::attestor::{self, WITNESSES_MAX};
use crate::policy::requirement::certificate_identity as identities;
use crate::policy::requirement::predicate_constraint as constraint;
use crate::policy::requirement::slsa::Slsa;
use crate::policy::requirement::{
    AT_LEAST, ATTESTATION, BESIDE, DIGEST, FIELDS, KINDS, beside, keys, signed_identity,
};
use crate::policy::syntax::predicate_types::short_names;

/// A requirement of any kind; what may stand beside each is the reader's rule.
pub(super) fn requirement() -> Value {
    let nested = || list(reference("requirement"));
    let at_least = map(
        AT_LEAST,
        AT_LEAST,
        vec![
            ("count", json!({"type": "integer", "minimum": 1}), "How many of them must be met."),
            ("of", nested(), "Requirements; distinct signers must meet those that count."),
        ],
    );
    let any_of = vec![("anyOf", set(digest()), "The image's digest, or that of its manifest.")];
    let mut fields = vec![
        ("all", nested(), "All of these must be met, by distinct signers."),
        ("any", nested(), "One of these must be met."),
        ("atLeast", at_least, "So many of these must be met, by distinct signers."),
        ("attestation", attestation(), "A signed statement about the image."),
        (
            "digest",
            map(DIGEST, DIGEST, any_of),
            "The image is one of these; no signature is needed.",
        ),
        ("insecureAcceptAnything", is_true(), "Anything runs. Alone below spec.require."),
        ("name", text(), "What refusals and records call the requirement."),
        ("signedIdentity", signed_identity(), "Which name the signature must carry."),
        ("maxSignatureAge", age(), "Older signatures, by their proven time, do not count: 90d."),
    ];
    fields.extend(attestors());
    let rules: Vec<Value> = KINDS.iter().map(|kind| rule(kind)).collect();
    with(with(map(FIELDS, &[], fields), one_of(KINDS)), json!({"allOf": rules}))
}

/// What stands beside a requirement of this kind, and what does not.
fn rule(kind: &str) -> Value {
    let allowed = beside(kind);
    let no: serde_json::Map<String, Value> = BESIDE
        .iter()
        .filter(|name| !allowed.contains(name))
        .map(|name| ((*name).to_owned(), Value::Bool(false)))
        .collect();
    // Only a list of digests may go without a name of its own.
    let named = kind != "digest" && allowed.contains(&"name");
    let required: &[&str] = if named { &["name"] } else { &[] };
    json!({"if": {"required": [kind]}, "then": {"properties": no, "required": required}})
}

/// By whom an attestation is to be.
pub(super) fn attestor() -> Value {
    single(map(attestor::KINDS, &[], attestors()))
}

fn attestors() -> Vec<Field> {
    vec![
        ("key", key(), "A signature by any of these keys."),
        ("keyless", keyless(), "A signature by an identity that a Sigstore instance vouches for."),
        ("certificate", certificate(), "A signature with a certificate of your own authority."),
    ]
}

fn witnesses(log_entries_from: u8) -> [Field; 2] {
    let count = |from: u8| json!({"type": "integer", "minimum": from, "maximum": WITNESSES_MAX});
    [
        ("minLogEntries", count(log_entries_from), "Entries in distinct transparency logs."),
        ("minTimestamps", count(0), "Timestamps of distinct authorities."),
    ]
}

const TRUST_ROOT: &str = "The trust root, by the name of its file without .json.";

fn key() -> Value {
    let file = map(
        keys::KEY_FILE,
        &["file"],
        vec![
            ("file", text(), "A file below the folder of keys."),
            ("notBefore", moment(), "Signatures before this do not count."),
            ("notAfter", moment(), "Signatures after this do not count."),
        ],
    );
    let files = list(json!({"anyOf": [text(), file]}));
    let mut fields = vec![
        ("files", files, "Files below the folder of keys; any one of these keys."),
        ("pem", json!({"anyOf": [text(), set(text())]}), "Keys in PEM, in the policy itself."),
        ("trustRoot", text(), TRUST_ROOT),
    ];
    fields.extend(witnesses(0));
    with(
        map(attestor::KEY, &[], fields),
        json!({"anyOf": [{"required": ["files"]}, {"required": ["pem"]}]}),
    )
}

fn keyless() -> Value {
    let mut fields = vec![
        ("trustRoot", text(), "The trust root; public-good when left out."),
        ("identities", list(reference("identity")), "Any one of these."),
        ("insecureIgnoreTlog", is_true(), "No log entry is asked for; a timestamp is."),
        ("insecureIgnoreSCT", is_true(), "No certificate timestamp is asked for."),
    ];
    fields.extend(witnesses(1));
    map(attestor::KEYLESS, &["identities"], fields)
}

fn certificate() -> Value {
    let subject = map(
        identities::OWN,
        &[],
        vec![
            ("email", text(), "An e-mail address, to the letter."),
            ("host", text(), "A host, to the letter."),
            ("uri", text(), "A URI, to the letter."),
            ("emailRegExp", text(), "An expression that matches the whole e-mail address."),
            ("hostRegExp", text(), "An expression that matches the whole host."),
            ("uriRegExp", text(), "An expression that matches the whole URI."),
        ],
    );
    let files = || set(text());
    let mut fields = vec![
        ("roots", files(), "Files with the authority's certificates, below the folder of keys."),
        ("intermediates", files(), "Files with the certificates between."),
        ("crls", files(), "Files with revocation lists."),
        ("subjects", list(single(subject)), "Whose certificate; any one of these."),
        ("insecureAnySubject", is_true(), "Whoever has a certificate of the authority."),
        ("trustRoot", text(), TRUST_ROOT),
    ];
    fields.extend(witnesses(0));
    with(
        map(attestor::CERTIFICATE, &["roots"], fields),
        one_of(&["subjects", "insecureAnySubject"]),
    )
}

/// One identity of a keyless signature.
pub(super) fn identity() -> Value {
    let extension = |name: &&'static str| -> Field {
        (name, text(), "An extension of Fulcio's certificates, by its name in its documentation.")
    };
    let extensions = || {
        let fields = identities::EXTENSIONS.iter().map(extension).collect();
        with(map(identities::EXTENSIONS, &[], fields), json!({"minProperties": 1}))
    };
    let fields = vec![
        ("issuer", text(), "Who vouches for the holder, to the letter: a URL."),
        ("issuerRegExp", text(), "The same as an expression that matches the whole text."),
        ("insecureAnyIssuer", is_true(), "Whoever vouches."),
        ("subject", text(), "The holder, to the letter: an e-mail address, the URI of a workflow."),
        ("subjectRegExp", text(), "The same as an expression that matches the whole text."),
        ("insecureAnySubject", is_true(), "Whoever the issuer vouches for."),
        ("subjectKind", words(identities::SUBJECT_KINDS), "Of which kind the subject's name is."),
        ("extensions", extensions(), "What the certificate must say besides, to the letter."),
        ("extensionsRegExp", extensions(), "The same as expressions that match the whole text."),
    ];
    let both = [one_of(identities::ISSUER), one_of(identities::SUBJECT)];
    with(map(identities::FIELDS, &[], fields), json!({"allOf": both}))
}

fn signed_identity() -> Value {
    let remap = map(
        signed_identity::REMAP,
        signed_identity::REMAP,
        vec![
            ("prefix", text(), "How the name of the image begins."),
            ("signedPrefix", text(), "How the name in the signature begins instead."),
        ],
    );
    let fields = vec![
        ("exactRepository", text(), "The signature names this repository."),
        ("exactReference", text(), "The signature names this repository with this tag or digest."),
        ("remap", remap, "The signature names the image with another beginning."),
    ];
    let named = single(map(signed_identity::FIELDS, &[], fields));
    json!({"anyOf": [words(signed_identity::WORDS), named]})
}

fn attestation() -> Value {
    let short: Vec<&str> = short_names().collect();
    let kind = || json!({"anyOf": [words(&short), {"type": "string", "pattern": "[:/]"}]});
    let fields = vec![
        ("predicateType", kind(), "Of which kind it is: a word of cosign's --type, or a URI."),
        ("predicateTypes", set(kind()), "Of which kinds it may be; any one of these."),
        ("slsa", slsa(), "It is a SLSA provenance, and says this."),
        ("by", reference("attestor"), "By whom it is signed."),
        ("where", text(), "What must be true of it, in CEL: size(predicate.packages) > 0."),
        ("maxAge", age(), "Older ones, by their proven time, do not count: 30d."),
    ];
    with(map(ATTESTATION, &["by"], fields), one_of(constraint::KINDS))
}

fn slsa() -> Value {
    let fields = vec![
        ("builder", text(), "The builder's id; without @, any version of it."),
        ("source", text(), "The URL of the repository, without a ref."),
        ("ref", text(), "The whole ref: refs/tags/v1.0."),
        ("branch", text(), "The branch, without refs/heads/."),
        ("tag", text(), "The tag, without refs/tags/."),
        ("workflow", text(), "The path of the workflow: .github/workflows/release.yml."),
        ("commit", text(), "The whole commit id."),
        ("buildType", text(), "The URI of the build type."),
    ];
    with(map(Slsa::FIELDS, &[], fields), json!({"minProperties": 1}))
}
