//! [`Claims`]: what a signature of which nothing is proven says of itself, for people who look at
//! evidence.
//!
//! Anybody can write any of it. Nothing may be decided by it.

use super::primitives::certificate::Certificate;
use super::primitives::content::Content;
use super::signature::untrusted::Material;
use super::signature::untrusted::{Form, Untrusted};
use crate::image::Digest;

/// What an unproven signature says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims<'u> {
    /// In which form it is.
    pub form: Form,
    /// The digests that it says it is about, at most eight; none where it is over the bytes
    /// themselves.
    pub digests: Vec<&'u Digest>,
    /// The name that it gives the image.
    pub reference: Option<&'u str>,
    /// Which kind of statement it says it is.
    pub predicate_type: Option<&'u str>,
    /// The certificate that came with it; none where a key is said to have signed, which the
    /// signature does not name.
    pub certificate: Option<&'u Certificate>,
}

/// Most digests that are listed: a release's provenance names thousands, and one is the image.
const DIGESTS_MAX: usize = 8;

impl Untrusted {
    /// What it says of itself.
    #[must_use]
    pub fn claims(&self) -> Claims<'_> {
        let (digests, reference) = match &self.content {
            Content::Payload { digest, reference, .. } => (vec![digest], Some(reference.as_str())),
            Content::Statement { subjects, .. } => {
                (subjects.sha256.iter().take(DIGESTS_MAX).collect(), None)
            }
            Content::Artifact { .. } => (Vec::new(), None),
        };
        let certificate = match &self.material {
            Material::Key => None,
            Material::Certificate(leaf) => Some(&*leaf.claims),
        };
        Claims {
            form: self.form(),
            digests,
            reference,
            predicate_type: self.predicate_type(),
            certificate,
        }
    }
}
