//! [`Change`]: what a candidate would make of one item, compared with today; [`ChangeCounts`]: how many
//! decisions, containers and images each kind of change is about.

use std::collections::BTreeSet;

use serde::Serialize;

use super::item::{Item, Prospect, Then};
use super::said::TrialVerdict;
use crate::cli::policy::next_step::next_step;
use crate::image::Digest;

/// What would be otherwise, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ChangeKind {
    /// It is admitted today, or runs, and would be refused.
    WouldRefuse,
    /// It is not admitted today, and would be.
    WouldAdmit,
    /// It is admitted with proof today, and would be without.
    WithoutProof,
    /// What is on this node does not tell whether the candidate admits it.
    CannotTell,
}

impl ChangeKind {
    pub(super) const ALL: [Self; 4] =
        [Self::WouldRefuse, Self::WouldAdmit, Self::WithoutProof, Self::CannotTell];
}

/// One item under both.
#[derive(Debug)]
pub(super) struct Compared<'i> {
    pub(super) item: &'i Item,
    pub(super) today: TrialVerdict,
    pub(super) candidate: TrialVerdict,
    pub(super) kind: Option<ChangeKind>,
}

/// The same for people and programs.
#[derive(Debug, Serialize)]
pub(super) struct Change<'i> {
    pub(super) change: ChangeKind,
    pub(super) image: &'i str,
    pub(super) digest: Option<&'i str>,
    pub(super) namespace: Option<&'i str>,
    pub(super) pods: &'i BTreeSet<String>,
    /// There were more pods than are listed.
    pub(super) more_pods: bool,
    pub(super) decisions: u64,
    pub(super) containers: &'i BTreeSet<String>,
    pub(super) on_node: bool,
    /// The latest decision about it.
    pub(super) then: Option<&'i Then>,
    pub(super) today: &'i TrialVerdict,
    pub(super) candidate: &'i TrialVerdict,
    /// No evidence could change it; otherwise a signature could that is in the registry alone.
    pub(super) certain: bool,
    pub(super) next_step: String,
}

/// How many of something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct ChangeCounts {
    pub(super) all: u64,
    pub(super) would_refuse: u64,
    pub(super) would_admit: u64,
    pub(super) without_proof: u64,
    pub(super) cannot_tell: u64,
}

impl<'i> Compared<'i> {
    pub(super) fn new(item: &'i Item, today: TrialVerdict, candidate: TrialVerdict) -> Self {
        let kind = kind(item, &today, &candidate);
        Self { item, today, candidate, kind }
    }

    /// The evidence of this node admits it today, and does not tell whether the candidate does.
    pub(super) fn is_lost(&self) -> bool {
        self.today.prospect == Prospect::Admitted && self.candidate.prospect == Prospect::Untold
    }

    pub(super) fn change(&self) -> Option<Change<'_>> {
        let change = self.kind?;
        let Self { item, today, candidate, .. } = self;
        Some(Change {
            change,
            image: &item.asked.image,
            digest: item.asked.digest.as_ref().map(Digest::as_str),
            namespace: item.asked.pod.namespace.as_deref(),
            pods: &item.pods,
            more_pods: item.more_pods,
            decisions: item.decisions,
            containers: &item.containers,
            on_node: !item.images.is_empty(),
            then: item.last.as_ref(),
            today,
            candidate,
            certain: candidate.is_certain,
            next_step: step(change, &candidate.code),
        })
    }
}

/// What would be otherwise. Today's is what the evidence says; what that does not tell, the latest
/// decision on record does, which had a registry.
fn kind(item: &Item, today: &TrialVerdict, candidate: &TrialVerdict) -> Option<ChangeKind> {
    let on_record = item.last.as_ref().map_or(Prospect::Untold, |last| last.prospect);
    let before = match today.prospect {
        // What both sets say alike is not the candidate's doing.
        Prospect::Untold if candidate.prospect != Prospect::Untold => on_record,
        told @ (Prospect::Admitted | Prospect::Untold | Prospect::Refused) => told,
    };
    let runs = !item.containers.is_empty();
    match (before, candidate.prospect) {
        (_, Prospect::Untold) => Some(ChangeKind::CannotTell),
        (Prospect::Admitted, Prospect::Refused) => Some(ChangeKind::WouldRefuse),
        (Prospect::Untold, Prospect::Refused) => runs.then_some(ChangeKind::WouldRefuse),
        (Prospect::Refused | Prospect::Untold, Prospect::Admitted) => Some(ChangeKind::WouldAdmit),
        (Prospect::Admitted, Prospect::Admitted) => {
            let is_weaker = today.is_proven() && !candidate.is_proven();
            is_weaker.then_some(ChangeKind::WithoutProof)
        }
        (Prospect::Refused, Prospect::Refused) => None,
    }
}

/// What to do about it.
fn step(kind: ChangeKind, code: &str) -> String {
    match kind {
        ChangeKind::WouldRefuse => next_step(code).unwrap_or_else(|| "see the message".to_owned()),
        ChangeKind::WouldAdmit => {
            "nothing if it is meant; else narrow the document that admits it".to_owned()
        }
        ChangeKind::WithoutProof => {
            "nothing if it is meant; else have a document demand a signature".to_owned()
        }
        ChangeKind::CannotTell => {
            "bring its evidence (sealgate evidence import), or have the gate \
             judge it by the candidate in observe mode (policy.mode)"
                .to_owned()
        }
    }
}

impl Change<'_> {
    /// Whether it is more than that what was refused, or never asked for, cannot be told.
    pub(super) fn is_of_use(&self) -> bool {
        let was_admitted = self.then.is_some_and(|then| then.prospect == Prospect::Admitted);
        self.change != ChangeKind::CannotTell
            || was_admitted
            || self.today.prospect == Prospect::Admitted
            || !self.containers.is_empty()
    }
}

impl ChangeCounts {
    /// ChangeCounts these many of a kind.
    pub(super) fn add(&mut self, kind: ChangeKind, many: u64) {
        let count = match kind {
            ChangeKind::WouldRefuse => &mut self.would_refuse,
            ChangeKind::WouldAdmit => &mut self.would_admit,
            ChangeKind::WithoutProof => &mut self.without_proof,
            ChangeKind::CannotTell => &mut self.cannot_tell,
        };
        *count = count.saturating_add(many);
    }

    /// How many of a kind.
    pub(super) fn of(&self, kind: ChangeKind) -> u64 {
        match kind {
            ChangeKind::WouldRefuse => self.would_refuse,
            ChangeKind::WouldAdmit => self.would_admit,
            ChangeKind::WithoutProof => self.without_proof,
            ChangeKind::CannotTell => self.cannot_tell,
        }
    }
}

#[cfg(test)]
mod tests;
