//! [`Affected`]: the images that were ever admitted on the strength of something, as the log says, and
//! those of which it does not say whether they were; [`Under`]: what else says of a manifest.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::carries::Carries;
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
    /// Why it cannot be told whether they rest on it; none where they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) untold: Option<String>,
    /// Every decision was about a sandbox.
    #[serde(skip)]
    pub(super) is_of_sandboxes: bool,
}

/// Whether a manifest that is asked about is what ran of a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Under {
    Ran,
    No,
    /// It cannot be told; why.
    Untold(String),
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Affected {
    images: BTreeMap<String, AffectedImage>,
    /// Those whose records leave out what would tell.
    untold: BTreeMap<String, AffectedImage>,
    /// Those of which no record that was read so far says which manifest ran.
    open: BTreeMap<String, AffectedImage>,
    /// The digests of which a record says that another manifest ran.
    others: BTreeSet<String>,
    /// Decisions about images beyond those that are told apart.
    pub(super) left_out: u64,
    /// Lines of the log that could not be read.
    pub(super) unreadable: u64,
    /// Older files that were not read.
    pub(super) files_left_out: usize,
    /// Why nothing was read.
    pub(super) log_fault: Option<String>,
}

impl Affected {
    /// Goes through the log.
    pub(super) fn of(reader: Reader, strength: &Strength, screen: &mut Screen) -> Self {
        let mut reader = reader.sifting(strength.filter());
        let files_left_out = reader.files_left_out();
        let mut affected = Self { files_left_out, ..Self::default() };
        loop {
            let unreadable = match reader.next_text() {
                Ok(Next::Line(text)) if !strength.may_be(&text) => continue,
                Ok(Next::Line(text)) => match Row::parse(&text) {
                    Ok(row) => {
                        affected.take(&row, strength.carries(&row, &text));
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

    /// Nothing is known, since the log cannot be read.
    pub(super) fn of_no_log(why: &str) -> Self {
        Self { log_fault: Some(why.to_owned()), ..Self::default() }
    }

    /// Whether there are images of which no record says which manifest ran.
    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Tells of the images of which no record says which manifest ran, by what else is known of them.
    pub(super) fn resolve(&mut self, tell: &mut dyn FnMut(&AffectedImage) -> Under) {
        for (key, mut image) in std::mem::take(&mut self.open) {
            let under = if self.images.contains_key(&key) {
                Under::Ran
            } else if self.others.contains(&key) {
                Under::No
            } else {
                tell(&image)
            };
            match under {
                Under::Ran => self.images.entry(key).or_default().merge(image),
                Under::No => {}
                Under::Untold(why) => {
                    image.untold = Some(why);
                    self.untold.entry(key).or_default().merge(image);
                }
            }
        }
    }

    /// The images, those of the latest decisions first.
    pub(super) fn images(&self) -> Vec<&AffectedImage> {
        latest_first(&self.images)
    }

    /// Those of which it cannot be told.
    pub(super) fn untold(&self) -> Vec<&AffectedImage> {
        latest_first(&self.untold)
    }

    /// How many decisions.
    pub(super) fn decisions(&self) -> u64 {
        let all = self.images.values().map(|image| image.decisions);
        all.fold(self.left_out, u64::saturating_add)
    }

    fn take(&mut self, row: &Row<'_>, carries: Carries) {
        match carries {
            Carries::No => {}
            Carries::OtherManifest(_) => {
                if self.others.len() < IMAGES_MAX {
                    self.others.insert(row.digest.to_string());
                }
            }
            Carries::Yes => add(row, (&mut self.images, &mut self.left_out), None),
            Carries::Untold(why) => {
                add(row, (&mut self.untold, &mut self.left_out), Some(why));
            }
            Carries::UntoldManifest => add(row, (&mut self.open, &mut self.left_out), None),
        }
    }
}

fn latest_first(images: &BTreeMap<String, AffectedImage>) -> Vec<&AffectedImage> {
    let mut images: Vec<&AffectedImage> = images.values().collect();
    images.sort_by(|one, two| two.last.cmp(&one.last).then(one.digest.cmp(&two.digest)));
    images
}

/// Adds a decision to its image; to what is left out where there are too many.
fn add(
    row: &Row<'_>,
    (images, left_out): (&mut BTreeMap<String, AffectedImage>, &mut u64),
    untold: Option<&str>,
) {
    let decisions = row.repeats.number().max(1);
    let digest = [&row.digest, &row.image_id, &row.reference];
    let digest = digest.into_iter().find_map(|text: &Text<'_>| text.some()).unwrap_or_default();
    if images.len() >= IMAGES_MAX && !images.contains_key(digest) {
        *left_out = left_out.saturating_add(decisions);
        return;
    }
    let when = row.when().unwrap_or_default();
    let image = images.entry(digest.to_owned()).or_insert_with(|| AffectedImage {
        digest: row.digest.to_string(),
        first: when,
        last: when,
        untold: untold.map(str::to_owned),
        is_of_sandboxes: true,
        ..AffectedImage::default()
    });
    image.add(row, when, decisions);
}

impl AffectedImage {
    fn add(&mut self, row: &Row<'_>, when: Timestamp, decisions: u64) {
        self.decisions = self.decisions.saturating_add(decisions);
        self.first = self.first.min(when);
        self.is_of_sandboxes &= row.call.as_str() == "RunPodSandbox";
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

    /// With the decisions of another of the same digest; of an empty one it is that.
    fn merge(&mut self, other: Self) {
        if self.decisions == 0 {
            *self = other;
            return;
        }
        self.decisions = self.decisions.saturating_add(other.decisions);
        self.first = self.first.min(other.first);
        self.is_of_sandboxes &= other.is_of_sandboxes;
        if other.last > self.last {
            (self.last, self.decision) = (other.last, other.decision);
        }
        self.more |= other.more;
        for (held, more) in [
            (&mut self.names, other.names),
            (&mut self.image_ids, other.image_ids),
            (&mut self.namespaces, other.namespaces),
            (&mut self.pods, other.pods),
            (&mut self.containers, other.containers),
        ] {
            held.extend(more);
            while held.len() > HELD_MAX {
                self.more = true;
                held.pop_last();
            }
        }
    }
}
