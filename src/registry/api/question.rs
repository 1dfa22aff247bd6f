//! What hosts are asked: [`Wanted`], and the grammar of tags.

use super::referrers::Filter;
use crate::image::Digest;
use crate::registry::hosts::host::Host;

/// What is asked for, the same of every host.
pub(in crate::registry) enum Wanted<'a> {
    Manifest { digest: &'a Digest, limit: u64 },
    Tag { tag: &'a str, limit: u64 },
    Blob { digest: &'a Digest, size: u64 },
    Referrers { digest: &'a Digest, filter: Filter },
}

impl Wanted<'_> {
    /// A tag's meaning is asked only of hosts that may say it (hosts.md, "capabilities").
    pub(in crate::registry) fn may_come_from(&self, host: &Host) -> bool {
        match self {
            Self::Manifest { .. } | Self::Blob { .. } | Self::Referrers { .. } => host.pull,
            Self::Tag { .. } => host.resolve,
        }
    }
}

/// The grammar of tags (distribution-spec, "Pulling manifests"): nothing else goes into a URL
/// (attack E2).
pub(in crate::registry) fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}
