//! [`Entry`]: what one place held, as it stands in a file. Strict JSON of a known version; nothing
//! in it is believed beyond its form.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::error::{Broken, Unfit};
use crate::evidence::{Place, Source};
use crate::image::json::{self, Limits};
use crate::image::{Digest, Reference, Repository};

/// The form that is written, and the only one that is read.
const VERSION: u64 = 1;
/// Most manifests of an entry: twice what is read of one place when evidence is gathered.
pub const MANIFESTS_MAX: usize = 64;
/// Most other blobs of an entry: the layers of an older form (64 are read), or a bundle for each
/// manifest, and the subject; the double of both together.
pub const BLOBS_MAX: usize = 256;
/// Most targets: a manifest for one platform that stands in more indexes than this is a base image
/// that each build lists anew; the newest are kept.
pub const TARGETS_MAX: usize = 256;
/// Most names; they are for people.
pub const NAMES_MAX: usize = 32;
/// Longest name: repository (255), tag (128) and digest (71) with what stands between.
const NAME_MAX: usize = 456;
/// Longest file: all lists full, 75 bytes for each digest, and the rest; rounded up.
pub(super) const FILE_MAX: u64 = 96 << 10;

/// Depth: texts in lists in an object. Values: all lists full, and the fields.
const LIMITS: Limits = Limits {
    bytes: 96 << 10,
    depth: 3,
    values: MANIFESTS_MAX + BLOBS_MAX + TARGETS_MAX + NAMES_MAX + 16,
    free: &[],
};

/// What one place held when it was last looked in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub place: Place,
    /// When the place last showed it.
    pub fetched: Timestamp,
    /// The manifests that carry signatures, in the order found; at most [`MANIFESTS_MAX`].
    pub manifests: Vec<Digest>,
    /// Everything that is needed beside these: payloads, bundles, envelopes, the subject's own
    /// manifest or index; at most [`BLOBS_MAX`].
    pub blobs: BTreeSet<Digest>,
    /// The images (targets: what a name points at) whose admission rested on it; at most
    /// [`TARGETS_MAX`].
    pub targets: BTreeSet<Digest>,
    /// References that it was asked for by, for people; the newest last, at most [`NAMES_MAX`].
    pub names: Vec<String>,
}

/// The file; the order of its fields is theirs here.
#[derive(Serialize)]
struct EntryDocument<'a> {
    version: u64,
    repository: String,
    subject: &'a str,
    source: &'static str,
    fetched: Timestamp,
    manifests: Vec<&'a str>,
    blobs: Vec<&'a str>,
    targets: Vec<&'a str>,
    names: &'a [String],
}

/// The names of [`EntryDocument`]'s fields.
const FIELDS: [&str; 9] = [
    "version",
    "repository",
    "subject",
    "source",
    "fetched",
    "manifests",
    "blobs",
    "targets",
    "names",
];

impl Entry {
    /// Every blob that it needs: the manifests and what they lead to.
    pub fn contents(&self) -> impl Iterator<Item = &Digest> {
        self.manifests.iter().chain(&self.blobs)
    }

    /// Whether it is about one of these images: their digest is its subject, or one of its targets.
    pub fn concerns(&self, is_one: &dyn Fn(&Digest) -> bool) -> bool {
        is_one(&self.place.subject) || self.targets.iter().any(is_one)
    }

    /// Refuses what would not be read back.
    pub(super) fn check(&self) -> Result<(), Unfit> {
        if self.manifests.is_empty() {
            return Err(Unfit::Empty);
        }
        let lists = [
            ("manifests", self.manifests.len(), MANIFESTS_MAX),
            ("blobs", self.blobs.len(), BLOBS_MAX),
            ("targets", self.targets.len(), TARGETS_MAX),
        ];
        match lists.into_iter().find(|(_, length, limit)| length > limit) {
            Some((list, _, limit)) => Err(Unfit::TooMany { list, limit }),
            None => Ok(()),
        }
    }

    /// This entry with the targets, names and manifest of the subject that an earlier one of the
    /// same place has as well. Where there are too many targets, its own go first, then those that
    /// `is_needed`. What is no reference is no name.
    pub(super) fn merged(
        &self,
        earlier: Option<&Self>,
        is_needed: &dyn Fn(&Digest) -> bool,
    ) -> Self {
        let mut entry = self.clone();
        let before = earlier.map(|entry| entry.targets.clone()).unwrap_or_default();
        let (needed, others): (Vec<_>, Vec<_>) =
            before.into_iter().partition(|target| is_needed(target));
        for target in needed.into_iter().chain(others) {
            if entry.targets.len() < TARGETS_MAX {
                entry.targets.insert(target);
            }
        }
        // The image's own manifest is not at hand each time that its evidence is put.
        if let Some(earlier) = earlier
            && earlier.blobs.contains(&self.place.subject)
            && entry.blobs.len() < BLOBS_MAX
        {
            entry.blobs.insert(self.place.subject.clone());
        }
        let names = earlier
            .map(|entry| entry.names.as_slice())
            .unwrap_or_default()
            .iter()
            .chain(&self.names);
        entry.names = last_of_each(names.filter(|name| is_name(name)));
        entry
    }

    /// The file's bytes.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let texts = |digests: &mut dyn Iterator<Item = &Digest>| {
            digests.map(|digest| digest.to_string()).collect()
        };
        let (manifests, blobs, targets): (Vec<String>, Vec<String>, Vec<String>) = (
            texts(&mut self.manifests.iter()),
            texts(&mut self.blobs.iter()),
            texts(&mut self.targets.iter()),
        );
        let file = EntryDocument {
            version: VERSION,
            repository: self.place.repository.to_string(),
            subject: self.place.subject.as_str(),
            source: source_word(self.place.source),
            fetched: self.fetched,
            manifests: manifests.iter().map(String::as_str).collect(),
            blobs: blobs.iter().map(String::as_str).collect(),
            targets: targets.iter().map(String::as_str).collect(),
            names: &self.names,
        };
        // Strings and numbers alone: this cannot fail, and an empty file would be broken, not
        // wrong.
        serde_json::to_vec(&file).unwrap_or_default()
    }

    /// Reads a file's bytes.
    pub(super) fn parse(untrusted: &[u8]) -> Result<Self, Broken> {
        let value = json::parse(untrusted, LIMITS).map_err(Broken::Json)?;
        let fields = value.as_object().ok_or(Broken::Field("entry"))?;
        let version =
            fields.get("version").and_then(Value::as_u64).ok_or(Broken::Field("version"))?;
        if version != VERSION {
            return Err(Broken::Version(version));
        }
        if fields.len() != FIELDS.len() || fields.keys().any(|key| !FIELDS.contains(&key.as_str()))
        {
            return Err(Broken::Field("entry"));
        }
        let place = Place {
            repository: Repository::parse(text(fields, "repository")?)
                .map_err(|_| Broken::Field("repository"))?,
            subject: Digest::parse(text(fields, "subject")?)
                .map_err(|_| Broken::Field("subject"))?,
            source: source_of(text(fields, "source")?).ok_or(Broken::Field("source"))?,
        };
        let fetched = text(fields, "fetched")?;
        let entry = Self {
            place,
            fetched: fetched.parse().map_err(|_| Broken::Field("fetched"))?,
            manifests: digests(fields, "manifests", MANIFESTS_MAX)?,
            blobs: each_once(digests(fields, "blobs", BLOBS_MAX)?, "blobs")?,
            targets: each_once(digests(fields, "targets", TARGETS_MAX)?, "targets")?,
            names: names(fields)?,
        };
        if entry.manifests.is_empty() { Err(Broken::Field("manifests")) } else { Ok(entry) }
    }
}

/// The word for a way in which signatures hang on a digest, in files and in layouts.
#[must_use]
pub const fn source_word(source: Source) -> &'static str {
    match source {
        Source::Referrers => "referrers",
        Source::FallbackTag => "fallback-tag",
        Source::SignatureTag => "signature-tag",
        Source::AttestationTag => "attestation-tag",
    }
}

/// The way that a word of [`source_word`] stands for.
#[must_use]
pub fn source_of(word: &str) -> Option<Source> {
    [Source::Referrers, Source::FallbackTag, Source::SignatureTag, Source::AttestationTag]
        .into_iter()
        .find(|source| source_word(*source) == word)
}

/// The file name of a place, its folder apart: nothing of what it is made of can reach into the
/// path (attack E2).
pub(super) fn file_name(place: &Place) -> String {
    let whole = format!("{}\n{}\n{}", place.repository, place.subject, source_word(place.source));
    format!("{}.json", Digest::of(whole.as_bytes()).hex())
}

fn text<'v>(fields: &'v Map<String, Value>, name: &'static str) -> Result<&'v str, Broken> {
    fields.get(name).and_then(Value::as_str).ok_or(Broken::Field(name))
}

fn list<'v>(
    fields: &'v Map<String, Value>,
    name: &'static str,
    most: usize,
) -> Result<&'v [Value], Broken> {
    let list = fields.get(name).and_then(Value::as_array).ok_or(Broken::Field(name))?;
    if list.len() > most { Err(Broken::Field(name)) } else { Ok(list) }
}

fn digests(
    fields: &Map<String, Value>,
    name: &'static str,
    most: usize,
) -> Result<Vec<Digest>, Broken> {
    let digest = |value: &Value| {
        value.as_str().and_then(|text| Digest::parse(text).ok()).ok_or(Broken::Field(name))
    };
    list(fields, name, most)?.iter().map(digest).collect()
}

fn each_once(digests: Vec<Digest>, name: &'static str) -> Result<BTreeSet<Digest>, Broken> {
    let length = digests.len();
    let set: BTreeSet<Digest> = digests.into_iter().collect();
    if set.len() == length { Ok(set) } else { Err(Broken::Field(name)) }
}

fn names(fields: &Map<String, Value>) -> Result<Vec<String>, Broken> {
    let name = |value: &Value| value.as_str().filter(|text| is_name(text)).map(str::to_owned);
    list(fields, "names", NAMES_MAX)?
        .iter()
        .map(|value| name(value).ok_or(Broken::Field("names")))
        .collect()
}

fn is_name(text: &str) -> bool {
    text.len() <= NAME_MAX && Reference::parse(text).is_ok()
}

/// Each name where it stands last, the last [`NAMES_MAX`] of them.
fn last_of_each<'a>(names: impl DoubleEndedIterator<Item = &'a String>) -> Vec<String> {
    let mut newest_first: Vec<String> = Vec::new();
    for name in names.rev() {
        if newest_first.len() < NAMES_MAX && !newest_first.contains(name) {
            newest_first.push(name.clone());
        }
    }
    newest_first.reverse();
    newest_first
}
