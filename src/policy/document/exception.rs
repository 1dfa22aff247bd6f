//! [`Exception`]: images that run without proof until a day, since somebody answers for it; read
//! from a document.
//!
//! Reading only, and without a clock: whether an exception counts is a question of when it is
//! judged, and a set with an exception that has ended loads as before. Otherwise a gate that
//! restarts after that day would have no policies at all.

use jiff::Timestamp;

use super::deny_list::line;
use super::head::Head;
use super::patterns::{every_name, namespaces, patterns};
use super::selectors::{self, selectors};
use crate::image::Digest;
use crate::policy::requirement::digest_list;
use crate::policy::scope::pattern::PatternList;
use crate::policy::scope::regional::HostScope;
use crate::policy::scope::selectors::Selectors;
use crate::policy::syntax::fields::{At, Reader};
use crate::policy::syntax::times;

/// The fields of `spec`.
pub(in crate::policy) const SPEC: &[&str] = &[
    "images",
    "exclude",
    "digests",
    "namespaces",
    "excludeNamespaces",
    "podLabels",
    "podAnnotations",
    "runtimeHandlers",
    "imageLabels",
    "kinds",
    "expires",
    "owner",
    "reason",
];

/// One `Exception`.
#[derive(Debug)]
pub(in crate::policy) struct Exception {
    pub(in crate::policy) head: Head,
    /// None once the set has its index.
    pub(in crate::policy) images: PatternList,
    pub(in crate::policy) exclude: PatternList,
    /// It has no `images`: images of every name with one of its digests.
    pub(in crate::policy) is_of_every_name: bool,
    /// The digests of which the image must have one; empty for any. None once the set has its index.
    pub(in crate::policy) digests: Vec<Digest>,
    /// Empty: every namespace.
    pub(in crate::policy) namespaces: PatternList,
    /// What its images leave open of their hosts.
    pub(in crate::policy) hosts: HostScope,
    /// None once the set has its index.
    pub(in crate::policy) selectors: Selectors,
    pub(in crate::policy) expires: Timestamp,
    pub(in crate::policy) owner: String,
    pub(in crate::policy) reason: String,
}

impl Exception {
    /// Reads `spec`.
    pub(super) fn read(head: Head, spec: &At<'_>, reader: &mut Reader) -> Option<Self> {
        let spec = reader.fields(spec, SPEC)?;
        let digests = spec.get("digests").map(|at| digest_list(at, "digests in one list", reader));
        let is_of_every_name = digests.is_some() && spec.get("images").is_none();
        let images = if is_of_every_name {
            // Content lets itself through: whose registry it is in does not matter.
            Some((every_name(), HostScope::Literal))
        } else {
            let images = reader.required(&spec, "images").cloned();
            images.map(|at| patterns(&at, reader))
        };
        let (exclude, _) = spec.get("exclude").map(|at| patterns(at, reader)).unwrap_or_default();
        let namespaces =
            spec.get("namespaces").map(|at| namespaces(at, reader)).unwrap_or_default();
        let expires =
            reader.required(&spec, "expires").cloned().and_then(|at| times::moment(&at, reader));
        let owner = reader.required(&spec, "owner").cloned().and_then(|at| line(&at, reader));
        let reason = reader.required(&spec, "reason").cloned().and_then(|at| line(&at, reader));
        let selectors = selectors(&spec, reader);
        let (images, hosts) = images?;
        selectors::check_permissive((&selectors, hosts), &spec, reader);
        Some(Self {
            head,
            images,
            exclude,
            is_of_every_name,
            digests: digests.unwrap_or_default(),
            namespaces,
            hosts,
            selectors,
            expires: expires?,
            owner: owner?,
            reason: reason?,
        })
    }
}
