//! The name of what is fetched.

/// The file that is fetched, by Sigstore's convention.
pub const TARGET: &str = "trusted_root.json";
