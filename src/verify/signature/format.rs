//! [`Format`]: the names of the formats of signatures in a registry. What is known of each is in
//! [`crate::verify::format`].

/// A format of signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The Sigstore bundle, JSON: a signature on an image, or an attestation.
    Bundle,
    /// Cosign's older form: a simple-signing payload, with its signature in the layer's
    /// annotations.
    SimpleSigning,
    /// Cosign's older form of an attestation: a DSSE envelope, JSON.
    Envelope,
}
