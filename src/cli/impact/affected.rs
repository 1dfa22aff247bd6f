//! [`Affected`]: the images that were ever admitted on the strength of something, as the log says.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::strength::Strength;
use crate::audit::Timestamp;
use crate::audit::read::{Next, Reader, Row, Text, Why};
use crate::cli::terminal::screen::Screen;

/// Most images that are told apart: a node has some hundred. What comes beyond is counted and said.
const IMAGES_MAX: usize = 10_000;
/// Most names, namespaces, pods and containers of one image that are held, each; what comes beyond
/// is said.
const HELD_MAX: usize = 1000;

/// One image, with every decision about it that counts.
#[derive(Debug, Default, Serialize)]
pub(super) struct AffectedImage {
    /// What it was asked for by.
    pub(super) names: BTreeSet<String>,
    /// What was decided on; empty where the record has none.
    pub(super) digest: String,
    /// The digests of its configs, by which the runtime calls it.
    pub(super) image_ids: BTreeSet<String>,
    pub(super) namespaces: BTreeSet<String>,
    pub(super) pods: BTreeSet<String>,
    /// The runtime's ids of containers that were made of it, as far as the log has them.
    pub(super) containers: BTreeSet<String>,
    /// There are more of these than are listed.
    pub(super) more: bool,
    pub(super) decisions: u64,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    /// The latest of the decisions.
    pub(super) decision: String,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Affected {
    images: BTreeMap<String, AffectedImage>,
    /// Decisions about images beyond those that are told apart.
    pub(super) left_out: u64,
    /// Lines of the log that could not be read.
    pub(super) unreadable: u64,
    /// Older files that were not read.
    pub(super) files_left_out: usize,
}

impl Affected {
    /// Goes through the log.
    pub(super) fn of(reader: Reader, strength: &Strength, screen: &mut Screen) -> Self {
        let mut reader = reader.sifting(strength.filter());
        let files_left_out = reader.files_left_out();
        let mut affected = Self { files_left_out, ..Self::default() };
        loop {
            let unreadable = match reader.next_text() {
                Ok(Next::Line(text)) => match Row::parse(&text) {
                    Ok(row) => {
                        if strength.carries(&row) {
                            affected.add(&row);
                        }
                        continue;
                    }
                    Err(why) => reader.unreadable(Why::Malformed(why)),
                },
                Ok(Next::Passed) => {
                    let (done, all) = reader.progress();
                    screen.progress("reading the log", done, all);
                    continue;
                }
                Ok(Next::End) => break,
                Err(unreadable) => unreadable,
            };
            if affected.unreadable == 0 {
                screen.complain(&unreadable.to_string());
            }
            affected.unreadable = affected.unreadable.saturating_add(1);
        }
        screen.end_progress();
        affected
    }

    /// The images, those of the latest decisions first.
    pub(super) fn images(&self) -> Vec<&AffectedImage> {
        let mut images: Vec<&AffectedImage> = self.images.values().collect();
        images.sort_by(|one, two| two.last.cmp(&one.last).then(one.digest.cmp(&two.digest)));
        images
    }

    /// How many decisions.
    pub(super) fn decisions(&self) -> u64 {
        let all = self.images.values().map(|image| image.decisions);
        all.fold(self.left_out, u64::saturating_add)
    }

    fn add(&mut self, row: &Row<'_>) {
        let decisions = row.repeats.number().max(1);
        let digest = [&row.digest, &row.image_id, &row.reference];
        let digest = digest.into_iter().find_map(|text: &Text<'_>| text.some()).unwrap_or_default();
        if self.images.len() >= IMAGES_MAX && !self.images.contains_key(digest) {
            self.left_out = self.left_out.saturating_add(decisions);
            return;
        }
        let when = row.when().unwrap_or_default();
        let image = self.images.entry(digest.to_owned()).or_insert_with(|| AffectedImage {
            digest: row.digest.to_string(),
            first: when,
            last: when,
            ..AffectedImage::default()
        });
        image.add(row, when, decisions);
    }
}

impl AffectedImage {
    fn add(&mut self, row: &Row<'_>, when: Timestamp, decisions: u64) {
        self.decisions = self.decisions.saturating_add(decisions);
        self.first = self.first.min(when);
        if when >= self.last {
            self.last = when;
            self.decision = row.id.to_string();
        }
        let pod = row
            .pod
            .name
            .some()
            .map(|name| format!("{}/{name}", row.pod.namespace.some().unwrap_or("?")));
        for (held, text) in [
            (&mut self.names, row.reference.some().or_else(|| row.image.some())),
            (&mut self.image_ids, row.image_id.some()),
            (&mut self.namespaces, row.pod.namespace.some()),
            (&mut self.pods, pod.as_deref()),
            (&mut self.containers, row.container_id.some()),
        ] {
            let Some(text) = text.filter(|text| !held.contains(*text)) else { continue };
            if held.len() < HELD_MAX {
                held.insert(text.to_owned());
            } else {
                self.more = true;
            }
        }
    }
}
