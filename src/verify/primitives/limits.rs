//! How long a signature of each format may be.

/// Longest simple-signing payload, in bytes: three short fields and the signer's own `-a` pairs;
/// cosign's are under 500 bytes without those.
pub const PAYLOAD_MAX: usize = 64 * 1024;
/// Longest bundle that can be read, in bytes: an attestation with a bill of materials of 32 MiB, in
/// base64, and what is around it. How much is fetched, the fetching room bounds. While one is read,
/// its statement is held beside it, once.
pub const BUNDLE_MAX: usize = 48 * 1024 * 1024;
/// Largest bundle that is fetched where no attestation is wanted, in bytes: three times what a
/// signature takes. Larger ones would only use up what the other places need.
pub const SIGNATURE_BUNDLE_MAX: usize = 64 * 1024;
/// Longest envelope of an older attestation, in bytes; as long as a bundle.
pub const ATTESTATION_MAX: usize = BUNDLE_MAX;
