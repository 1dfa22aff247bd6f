//! The search for evidence about one digest in a registry: [`look`] looks in one of the places where
//! cosign and others leave it, and [`Search`] in all of them, the likely ones first and side by
//! side.
//!
//! Every place that was looked in is recorded with what came of it, so that a denial can say where
//! nothing was found and where nothing could be known. Nothing is judged here; what comes back is
//! untrusted bytes.
//!
//! In series a place costs three requests at most: the list, the manifest of what it lists, the
//! bundle; or the tag and its layers. What these hold is asked for side by side. Requests, with `n`
//! bundles or signatures: `1 + 2n` for what refers to the subject, `1 + n` under the older tags;
//! `1` where there is nothing. A bundle whose signature is over the manifest's own bytes costs one
//! more for these, unless they are at hand.
//!
//! A place may hold thousands. It is read step by step ([`Backlog`]), what is wanted first
//! (`order`); each step is judged before the next, and what did not help is dropped. They cost
//! time, and neither memory nor a verdict.

mod backlog;
mod forms;
mod lookup;
mod order;
mod place_search;
mod places;
mod reading;
mod signature_manifest;
mod steps;

pub use backlog::Backlog;
pub use forms::{Forms, Hint};
pub use lookup::{PlaceFindings, PlaceQuery};
pub use place_search::{Search, Sought};
pub use places::{go_on, look};
pub use reading::{
    Bounds, HUGE, MAX_FALLBACK_INDEX_BYTES, MAX_LAYERS_MANIFEST_BYTES, MAX_MANIFEST_BYTES, Reading,
    Room, Turns,
};
pub(super) use reading::{LARGE, LARGE_BYTES_MAX};
pub use signature_manifest::FetchedItem;
pub(super) use signature_manifest::{Contents, Layer, evidence};
