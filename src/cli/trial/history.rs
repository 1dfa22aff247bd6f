//! [`History`]: the decisions on record, as what they asked.

use std::collections::BTreeMap;

use super::item::{Items, Prospect, TrialQuestion, subjects};
use super::node::NodeImages;
use crate::audit::read::{Filter, Reader};
use crate::audit::{Call, Entry, Record, Verdict};
use crate::cli::audit::log;
use crate::cli::evidence::catalog::Catalog;
use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::screen::Screen;
use crate::config::Settings;
use crate::cri::ask::{AskedNames, LocalImageRequest, asked_names};
use crate::daemon::CLOCK;
use crate::evidence::{Name, Origin, Pod};
use crate::image::{Digest, Reference};

/// The code of an image that no registry brought.
const NO_ORIGIN: &str = "no-origin";
/// The code of what the gate refuses before it asks what the name means.
const NO_POLICY: &str = "no-policy";
/// What stands for a digest that nobody found out: no image has it.
const NOBODYS: &[u8] = b"sealgate: a digest that is not known";

/// What the log holds.
#[derive(Debug, Default)]
pub(super) struct History {
    /// All decisions, with those that stand for repeats.
    pub(super) decisions: u64,
    /// Of them those that no policy decided, by their code.
    pub(super) elsewise: BTreeMap<String, u64>,
    /// Lines that could not be read.
    pub(super) unreadable: u64,
    /// Older files that were not read, since there are too many.
    pub(super) files_left_out: usize,
}

/// Adds every decision on record that is wanted to the items.
///
/// # Errors
/// When the log cannot be read.
pub(super) fn read(
    settings: &Settings,
    filter: &Filter,
    (catalog, images): (&Catalog, &NodeImages),
    (items, screen): (&mut Items, &mut Screen),
) -> Result<History, CommandError> {
    let path = &settings.audit.path;
    let opened = log::opened(path)?;
    if opened.is_none() {
        log::tell_none(path, screen);
    }
    let files_left_out = opened.as_ref().map_or(0, Reader::files_left_out);
    let mut history = History { files_left_out, ..History::default() };
    for line in opened.into_iter().flat_map(|reader| reader.sifting(filter)) {
        match line {
            Ok(line) if !filter.wants(&line.row()) => {}
            Ok(line) => {
                if let Entry::Decision(record) = &line.entry {
                    history.add(record, (catalog, images), items);
                }
            }
            Err(error) => {
                history.unreadable = history.unreadable.saturating_add(1);
                screen.complain(&error.to_string());
            }
        }
    }
    Ok(history)
}

impl History {
    fn add(&mut self, record: &Record, from: (&Catalog, &NodeImages), items: &mut Items) {
        let many = record.repeats.max(1);
        self.decisions = self.decisions.saturating_add(many);
        let Some(prospect) = prospect(record) else {
            let code = record.reason.code.to_string();
            let count = self.elsewise.entry(code).or_default();
            *count = count.saturating_add(many);
            return;
        };
        match items.of(asked(record, from)) {
            Some(item) => {
                item.decided(record, prospect);
                item.also(local_digests(record));
            }
            None => items.left_out = items.left_out.saturating_add(many),
        }
    }
}

/// How it stood; none where that was no matter of policies: what a setting forbids, or a request
/// that cannot be read, stays refused under every set.
fn prospect(record: &Record) -> Option<Prospect> {
    if record.verdict.is_admission() {
        return Some(Prospect::Admitted);
    }
    let judged = record.policies.as_array().is_some_and(|reports| !reports.is_empty());
    let by_policies = judged || record.reason.code == NO_POLICY;
    if record.verdict == Verdict::Refused {
        return by_policies.then_some(Prospect::Refused);
    }
    Some(Prospect::Untold)
}

/// The id and the digest of an image that was in the runtime's store.
fn local_digests(record: &Record) -> Vec<Digest> {
    if record.call == Call::PullImage {
        return Vec::new();
    }
    let digests = [&record.image_id, &record.digest].into_iter().flatten();
    digests.filter_map(|digest| Digest::parse(digest).ok()).collect()
}

fn asked(record: &Record, (catalog, images): (&Catalog, &NodeImages)) -> TrialQuestion {
    let decided = record.digest.as_ref().and_then(|digest| Digest::parse(digest).ok());
    let names = names(record, decided.as_ref(), (catalog, images));
    let by_digest = || {
        names.iter().flatten().find_map(|name| match name {
            Name::Known(reference) => reference.digest().cloned(),
            Name::Unknown => None,
        })
    };
    let digest = decided.or_else(by_digest);
    let target = digest.clone().unwrap_or_else(|| Digest::of(NOBODYS));
    let origin = if record.reason.code == NO_ORIGIN { Origin::Local } else { Origin::Registry };
    let of_name = |name: &Name| subjects(name, &target, origin, catalog);
    let known = [Some(&record.reference), record.image.as_ref(), record.image_id.as_ref()];
    let known = known.into_iter().flatten().find(|name| !name.is_empty());
    TrialQuestion {
        image: known.cloned().unwrap_or_else(|| "(no image named)".to_owned()),
        digest,
        pod: Pod { namespace: record.pod.namespace.clone(), ..Pod::default() },
        names: names.iter().flatten().map(of_name).collect(),
        digests: Vec::new(),
        fault: names.err(),
    }
}

/// The names under which it must pass, by the same rule as in a decision; of an id alone those that
/// the runtime lists, or what is kept says.
fn names(
    record: &Record,
    digest: Option<&Digest>,
    (catalog, images): (&Catalog, &NodeImages),
) -> Result<Vec<Name>, String> {
    if record.call == Call::PullImage {
        let reference = Reference::parse(&record.reference).map_err(|error| error.to_string())?;
        return Ok(vec![Name::Known(reference)]);
    }
    let ask = LocalImageRequest {
        call: record.call,
        image: record.image.clone().unwrap_or_else(|| record.reference.clone()),
        user_specified: record.reference.clone(),
        pod: Pod::default(),
        container: String::new(),
        deadline: CLOCK.steady(),
    };
    let known = |reference| Name::Known(reference);
    if let AskedNames::Named(names) = asked_names(&ask).map_err(|error| error.to_string())? {
        return Ok(names.into_iter().map(known).collect());
    }
    let id = record.image_id.as_ref().and_then(|id| Digest::parse(id).ok());
    let mut names = id.map(|id| images.names(&id)).unwrap_or_default();
    if names.is_empty() {
        let about = digest.into_iter().flat_map(|digest| catalog.about(digest));
        let kept = about.flat_map(|kept| &kept.entry.names);
        for name in kept.filter_map(|name| Reference::parse(name).ok()).map(known) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    if names.is_empty() {
        names.push(Name::Unknown);
    }
    Ok(names)
}
