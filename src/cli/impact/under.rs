//! [`NodeDocuments`]: whether a manifest that is asked about is what ran of a digest, by the content
//! that the runtime has and by the evidence that is kept; for records that do not say it.

use std::collections::{BTreeMap, BTreeSet};

use super::affected::{AffectedImage, Under};
use crate::cli::evidence::catalog::Catalog;
use crate::cli::evidence::on_node::{NodeContent, existing};
use crate::config::Settings;
use crate::image::{Digest, Document, Index};

/// Most indexes under one that are read: real ones have none.
const INDEXES_MAX: usize = 128;

/// What is known of the digests that are asked about.
pub(super) struct NodeDocuments<'d> {
    asked: &'d BTreeSet<Digest>,
    node: Result<NodeContent, String>,
    /// The configs of those that the runtime has.
    configs: BTreeMap<&'d Digest, Digest>,
    catalog: Option<Catalog>,
}

/// What of an index there is to see.
enum Seen {
    /// These of the digests that are asked about are in it.
    Lists(BTreeSet<Digest>),
    /// It is not on the node, and nothing that is kept says what was in it.
    NotHere,
}

impl<'d> NodeDocuments<'d> {
    /// What the runtime and the store have.
    pub(super) fn of(asked: &'d BTreeSet<Digest>, settings: &Settings) -> Self {
        let node = NodeContent::of(settings);
        let config = |digest: &Digest| match node.as_ref().ok()?.document(digest) {
            Ok(Some(Document::Manifest(manifest))) => Some(manifest.config.digest),
            Ok(Some(Document::Index(_)) | None) | Err(_) => None,
        };
        let configs = asked.iter().filter_map(|digest| Some((digest, config(digest)?))).collect();
        let store = existing(&settings.evidence).ok().flatten();
        let catalog = store.and_then(|store| Catalog::of(&store).ok());
        Self { asked, node, configs, catalog }
    }

    /// Whether one of them is what ran of this image.
    pub(super) fn tell(&self, image: &AffectedImage) -> Under {
        let Ok(digest) = Digest::parse(&image.digest) else {
            return Under::Untold("the record has no digest of it".to_owned());
        };
        match self.seen(&digest) {
            Ok(Seen::Lists(listed)) if listed.is_empty() => Under::No,
            Ok(Seen::Lists(listed)) => self.ran(&listed, image).unwrap_or_else(|| {
                let why = "it is listed, and the record is of before records said which manifest \
                           of an index ran";
                Under::Untold(why.to_owned())
            }),
            Ok(Seen::NotHere) => self.ran(self.asked, image).unwrap_or_else(|| {
                let why = "the record does not say which manifest ran, and what the digest names \
                           is not on this node any more";
                Under::Untold(why.to_owned())
            }),
            Err(why) => Under::Untold(format!("what the digest names cannot be read: {why}")),
        }
    }

    /// By the configs: a record has that of what ran. None where one of either is not known.
    fn ran(&self, of: &BTreeSet<Digest>, image: &AffectedImage) -> Option<Under> {
        if image.image_ids.is_empty() {
            return None;
        }
        let configs: Option<Vec<&Digest>> = of.iter().map(|one| self.configs.get(one)).collect();
        let known = self.configs.iter().filter(|(digest, _)| of.contains(**digest));
        if known.into_iter().any(|(_, config)| image.image_ids.contains(config.as_str())) {
            return Some(Under::Ran);
        }
        configs.map(|_| Under::No)
    }

    fn seen(&self, digest: &Digest) -> Result<Seen, String> {
        let document = match &self.node {
            Ok(node) => node.document(digest),
            Err(why) => Err(why.clone()),
        };
        let kept = self.kept_under(digest);
        match document {
            Ok(Some(Document::Manifest(_))) => Ok(Seen::Lists(BTreeSet::new())),
            Ok(Some(Document::Index(index))) => {
                let mut listed = self.listed(index)?;
                listed.extend(kept);
                Ok(Seen::Lists(listed))
            }
            Ok(None) if kept.is_empty() => Ok(Seen::NotHere),
            Err(why) if kept.is_empty() => Err(why),
            Ok(None) | Err(_) => Ok(Seen::Lists(kept)),
        }
    }

    /// Those that an index lists, itself or by the indexes under it.
    fn listed(&self, index: Index) -> Result<BTreeSet<Digest>, String> {
        let (mut listed, mut read) = (BTreeSet::new(), 0);
        let mut indexes = vec![index];
        while let Some(index) = indexes.pop() {
            for one in index.manifests {
                if self.asked.contains(&one.digest) {
                    listed.insert(one.digest);
                } else if is_index(&one.media_type) {
                    read += 1;
                    let under = match &self.node {
                        Ok(node) if read <= INDEXES_MAX => node.document(&one.digest)?,
                        Ok(_) => return Err(format!("more than {INDEXES_MAX} indexes are in it")),
                        Err(why) => return Err(why.clone()),
                    };
                    match under {
                        Some(Document::Index(index)) => indexes.push(index),
                        Some(Document::Manifest(_)) => {}
                        None => return Err("an index in it is not on this node".to_owned()),
                    }
                }
            }
        }
        Ok(listed)
    }

    /// Those on which evidence is kept that was looked for because of this digest.
    fn kept_under(&self, digest: &Digest) -> BTreeSet<Digest> {
        let kept = self.catalog.as_ref().map(|catalog| catalog.children_of(digest));
        kept.into_iter().flatten().filter(|one| self.asked.contains(one)).collect()
    }
}

/// Whether a descriptor says that it is of an index, in OCI's words or in Docker's.
fn is_index(media_type: &str) -> bool {
    media_type.ends_with(".image.index.v1+json") || media_type.ends_with(".manifest.list.v2+json")
}

#[cfg(test)]
mod tests;
