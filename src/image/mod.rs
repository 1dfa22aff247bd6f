//! What an image is called and what it is made of: [`Reference`], [`Repository`], [`Digest`],
//! [`Document`], [`ImageConfig`], [`Platform`].
//!
//! Parsing only. Nothing here reads a file, asks a registry or decides anything.

mod config;
mod digest;
mod document;
mod error;
mod fields;
pub mod json;
mod platform;
mod reference;
pub mod skim;

pub use config::{CONFIG_MAX, ImageConfig};
pub use digest::{Digest, DigestError};
pub use document::{
    CHECKPOINT_ANNOTATION, DOCUMENT_MAX, Descriptor, Document, ENTRIES_MAX, Index, Manifest,
};
pub use error::{ChooseError, DocumentError};
pub use platform::Platform;
pub use reference::{
    DOCKER_HUB_NAMES, RESERVED_HOST, Reference, ReferenceError, Repository, folded_host,
    is_component, is_reserved_host,
};
