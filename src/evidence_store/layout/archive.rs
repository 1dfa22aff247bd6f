//! [`Members`]: where in a tar file the files of a layout are. Nothing is unpacked; only headers
//! are read.
//!
//! Extensions under which two readers could see two archives (long names, sparse files, other
//! sizes) are refused, never followed. Members that are not part of a layout are passed over
//! unread.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;

use bytes::Bytes;
use tar::{Archive, Entry, EntryType, PaxExtensions};

use super::error::{ArchiveFault, LayoutError};
use super::{INDEX_FILE, LAYOUT_FILE};
use crate::image::Digest;

/// Most members: a layout of a full store has fewer, and so has one of several hundred whole
/// images.
pub(super) const MEMBERS_MAX: usize = 1 << 17;
/// Longest extension header that is looked into: times and owners take some hundred bytes.
const EXTENSION_MAX: u64 = 64 << 10;
/// Extensions that change what a reader sees (POSIX.1-2001 pax; GNU tar's sparse files).
const TELLING: [&str; 3] = ["path", "linkpath", "size"];
const SPARSE: &str = "GNU.sparse";

/// The files of a layout in an archive.
#[derive(Debug)]
pub(super) struct Members {
    file: File,
    blobs: BTreeMap<Digest, MemberRange>,
    layout: Option<MemberRange>,
    index: Option<MemberRange>,
}

/// Where a member's bytes are.
#[derive(Debug, Clone, Copy)]
pub(super) struct MemberRange {
    offset: u64,
    pub(super) size: u64,
}

/// What a member is to a layout.
enum Role {
    Layout,
    Index,
    Blob(Digest),
    Other,
}

impl Members {
    /// Looks through an archive.
    pub(super) fn of(file: File) -> Result<Self, LayoutError> {
        let length = file.metadata().map_err(|_| ArchiveFault::Truncated)?.len();
        let reader = file.try_clone().map_err(|_| ArchiveFault::Truncated)?;
        let mut members = Self { file, blobs: BTreeMap::new(), layout: None, index: None };
        let mut archive = Archive::new(reader);
        // Raw: the library follows no extension, and so reads none into memory.
        let entries = archive.entries_with_seek().map_err(|_| ArchiveFault::Header)?.raw(true);
        for (count, entry) in entries.enumerate() {
            if count >= MEMBERS_MAX {
                let limit = u64::try_from(MEMBERS_MAX).unwrap_or(u64::MAX);
                return Err(LayoutError::TooMany { what: "members", limit });
            }
            let mut entry = entry.map_err(|_| ArchiveFault::Header)?;
            let place = MemberRange { offset: entry.raw_file_position(), size: entry.size() };
            if place.offset.checked_add(place.size).is_none_or(|end| end > length) {
                return Err(ArchiveFault::Truncated.into());
            }
            members.add(&mut entry, place)?;
        }
        Ok(members)
    }

    /// The bytes of `oci-layout`, of at most `limit`.
    pub(super) fn layout(&self, limit: u64) -> Option<Bytes> {
        self.layout.and_then(|place| self.read(place, limit))
    }

    /// The bytes of `index.json`, of at most `limit`.
    pub(super) fn index(&self, limit: u64) -> Option<Bytes> {
        self.index.and_then(|place| self.read(place, limit))
    }

    /// Where the bytes are that are said to have a digest.
    pub(super) fn find(&self, digest: &Digest) -> Option<MemberRange> {
        self.blobs.get(digest).copied()
    }

    /// The bytes of a member of at most `limit`; none where it is longer, or the file has changed.
    pub(super) fn read(&self, place: MemberRange, limit: u64) -> Option<Bytes> {
        let size = usize::try_from(place.size).ok().filter(|_| place.size <= limit)?;
        let mut bytes = vec![0; size];
        self.file.read_exact_at(&mut bytes, place.offset).ok()?;
        Some(bytes.into())
    }

    fn add(&mut self, entry: &mut Entry<'_, File>, place: MemberRange) -> Result<(), ArchiveFault> {
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XHeader | EntryType::XGlobalHeader) {
            return check_extension(entry);
        }
        if matches!(kind, EntryType::GNULongName | EntryType::GNULongLink | EntryType::GNUSparse) {
            return Err(ArchiveFault::Extension);
        }
        let name = name(&entry.header().path_bytes())?;
        let role = role(&name);
        if matches!(role, Role::Other) {
            return Ok(());
        }
        if !kind.is_file() {
            return Err(ArchiveFault::Kind(name));
        }
        let earlier = match role {
            Role::Layout => self.layout.replace(place),
            Role::Index => self.index.replace(place),
            Role::Blob(digest) => self.blobs.insert(digest, place),
            Role::Other => None,
        };
        if earlier.is_some() { Err(ArchiveFault::Twice(name)) } else { Ok(()) }
    }
}

/// Accepts extensions that say nothing about name, size or content.
fn check_extension(entry: &mut Entry<'_, File>) -> Result<(), ArchiveFault> {
    let mut bytes = Vec::new();
    let read = entry.take(EXTENSION_MAX.saturating_add(1)).read_to_end(&mut bytes);
    if read.is_err() || u64::try_from(bytes.len()).map_or(true, |length| length > EXTENSION_MAX) {
        return Err(ArchiveFault::Extension);
    }
    for extension in PaxExtensions::new(&bytes) {
        let extension = extension.map_err(|_| ArchiveFault::Extension)?;
        let key = extension.key().map_err(|_| ArchiveFault::Extension)?;
        if TELLING.contains(&key) || key.starts_with(SPARSE) {
            return Err(ArchiveFault::Extension);
        }
    }
    Ok(())
}

/// A member's name without `./` before it and `/` after it.
fn name(bytes: &[u8]) -> Result<String, ArchiveFault> {
    let text = String::from_utf8_lossy(bytes);
    let is_text = std::str::from_utf8(bytes).is_ok() && !text.contains('\0');
    let leads_out = text.starts_with('/') || text.split('/').any(|part| part == "..");
    if !is_text || leads_out {
        return Err(ArchiveFault::Name(text.into_owned()));
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    Ok(parts.join("/"))
}

fn role(name: &str) -> Role {
    if name == LAYOUT_FILE {
        Role::Layout
    } else if name == INDEX_FILE {
        Role::Index
    } else {
        let digest = name
            .strip_prefix("blobs/sha256/")
            .and_then(|hex| Digest::parse(&format!("sha256:{hex}")).ok());
        digest.map_or(Role::Other, Role::Blob)
    }
}
