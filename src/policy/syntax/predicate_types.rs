//! [`SHORT_NAMES`]: the names that stand for predicate types in a policy.

/// The kinds of attestation by the names of cosign's `--type`, with the predicate types that it
/// writes for them.
pub(in crate::policy) const SHORT_NAMES: &[(&str, &str)] = &[
    ("slsaprovenance", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance02", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance1", "https://slsa.dev/provenance/v1"),
    ("spdx", "https://spdx.dev/Document"),
    ("spdxjson", "https://spdx.dev/Document"),
    ("cyclonedx", "https://cyclonedx.org/bom"),
    ("vuln", "https://cosign.sigstore.dev/attestation/vuln/v1"),
    ("openvex", "https://openvex.dev/ns"),
    ("link", "https://in-toto.io/Link/v1"),
    ("custom", "https://cosign.sigstore.dev/attestation/v1"),
];

/// The names that stand for a predicate type.
pub(in crate::policy) fn short_names() -> impl Iterator<Item = &'static str> {
    SHORT_NAMES.iter().map(|(word, _)| *word)
}
