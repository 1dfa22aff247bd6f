//! Evidence in an OCI image layout (image-spec, image-layout.md): [`export()`] writes one as a tar
//! file, [`import()`] reads one, a tar file or a folder.
//!
//! A layout is a folder of blobs by digest with an `index.json` that lists manifests. Each manifest
//! that carries signatures is listed with annotations that say where it was found, so that another
//! node can keep it as its own; the images themselves are listed by name where their manifests are
//! known. What an image is made of (its config, its layers) is no evidence and is not in it.
//!
//! oras and skopeo read it as any layout. Cosign's `--local-image` finds the first image in it and
//! the signatures and attestations of the older forms on that, by their annotation `kind` (cosign,
//! `pkg/oci/layout`).
//!
//! What is imported is untrusted: nothing is unpacked, nothing is kept that was not hashed, and it
//! is judged like all evidence when it is used. A compressed archive is refused.

mod archive;
mod claims;
mod error;
mod export;
mod import;
mod imported;
mod index;
mod layout_files;

pub use error::{ArchiveFault, LayoutError, Skipped};
pub use export::{Exported, export};
pub use import::import;
pub use imported::Imported;

/// The file that says that a folder is a layout.
const LAYOUT_FILE: &str = "oci-layout";
/// The file that lists the manifests.
const INDEX_FILE: &str = "index.json";
/// The one version of layouts.
const LAYOUT_VERSION: &str = "1.0.0";
/// Longest `index.json`: that of a store as full as the defaults allow, about a kilobyte for each
/// of 20,000 images.
const INDEX_MAX: u64 = 24 << 20;

/// The repository in which a manifest was found.
const REPOSITORY: &str = "io.sealgate.evidence.repository";
/// The digest about which it was found.
const SUBJECT: &str = "io.sealgate.evidence.subject";
/// How it was found, a word of [`super::source_word`].
const SOURCE: &str = "io.sealgate.evidence.source";
/// When it was last found, RFC 3339.
const FETCHED: &str = "io.sealgate.evidence.fetched";
/// The images whose admission rested on it, with commas between.
const TARGETS: &str = "io.sealgate.evidence.targets";

/// What an image is called in a layout (image-spec, annotations.md).
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// What a manifest is to cosign, and the words for it (cosign, `pkg/oci/layout/index.go`).
const KIND: &str = "kind";
const KIND_IMAGE: &str = "dev.cosignproject.cosign/image";
const KIND_INDEX: &str = "dev.cosignproject.cosign/imageIndex";
const KIND_SIGNATURES: &str = "dev.cosignproject.cosign/sigs";
const KIND_ATTESTATIONS: &str = "dev.cosignproject.cosign/atts";

#[cfg(test)]
mod tests;
