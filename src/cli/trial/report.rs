//! [`Report`]: what a candidate would change, summed up and printed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::change::{Change, ChangeCounts, ChangeKind, Compared};
use super::history::History;
use super::node::NodeCounts;
use crate::cli::terminal::field::{counted, field, some};
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain};

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Report<'i> {
    pub(super) decisions: ChangeCounts,
    /// Decisions that no policy took, and no policy changes, by their code.
    pub(super) decided_otherwise: BTreeMap<String, u64>,
    /// None where the runtime could not be asked.
    pub(super) containers: Option<ChangeCounts>,
    pub(super) images: Option<ChangeCounts>,
    /// Why the runtime could not be asked.
    pub(super) runtime_error: Option<String>,
    /// Containers that were not made through the CRI, so that they cannot be judged.
    pub(super) containers_unknown: usize,
    pub(super) changes: Vec<Change<'i>>,
    /// Lines of the log that could not be read.
    pub(super) unreadable_lines: u64,
    /// Older files of the log that were not read, since there are too many.
    pub(super) older_files_left_out: usize,
    /// Decisions that were not judged, since there were too many different ones.
    pub(super) decisions_left_out: u64,
    #[serde(skip)]
    exit: Exit,
}

impl<'i> Report<'i> {
    /// Sums up. `node` is what the runtime said, or why it did not.
    pub(super) fn new(
        compared: &'i [Compared<'i>],
        (history, left_out): (History, u64),
        node: Result<NodeCounts, String>,
    ) -> Self {
        let mut decisions = ChangeCounts { all: history.decisions, ..ChangeCounts::default() };
        let (mut containers, mut images) = (ChangeCounts::default(), ChangeCounts::default());
        for kind in ChangeKind::ALL {
            let those = || compared.iter().filter(|one| one.kind == Some(kind)).map(|one| one.item);
            decisions.add(kind, those().map(|item| item.decisions).sum());
            let ids: BTreeSet<&String> = those().flat_map(|item| &item.containers).collect();
            containers.add(kind, count(ids.len()));
            let ids: BTreeSet<_> = those().flat_map(|item| &item.images).collect();
            images.add(kind, count(ids.len()));
        }
        let (counts, runtime_error) = match node {
            Ok(counts) => (Some(counts), None),
            Err(why) => (None, Some(why)),
        };
        let mut changes: Vec<Change<'_>> = compared.iter().filter_map(Compared::change).collect();
        changes.sort_by(|one, two| {
            let order = one.change.cmp(&two.change).then(two.decisions.cmp(&one.decisions));
            order.then(one.image.cmp(two.image))
        });
        let refuses = compared.iter().any(|one| one.kind == Some(ChangeKind::WouldRefuse));
        let loses = compared.iter().any(Compared::is_lost);
        let is_whole = runtime_error.is_none() && left_out == 0 && history.files_left_out == 0;
        let exit = match (refuses, loses || !is_whole) {
            (true, _) => Exit::Refused,
            (false, true) => Exit::Unable,
            (false, false) => Exit::Done,
        };
        Self {
            decisions,
            decided_otherwise: history.elsewise,
            containers: counts
                .map(|node| ChangeCounts { all: count(node.containers), ..containers }),
            images: counts.map(|node| ChangeCounts { all: count(node.images), ..images }),
            runtime_error,
            containers_unknown: counts.map_or(0, |node| node.unknown),
            changes,
            unreadable_lines: history.unreadable,
            older_files_left_out: history.files_left_out,
            decisions_left_out: left_out,
            exit,
        }
    }

    /// 1 where something would be refused, 2 where the candidate cannot be told to admit what today
    /// is admitted, or not everything could be looked at.
    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    pub(super) fn print(&self, screen: &mut Screen) {
        // What nobody admits by the evidence or on record is counted: it would be a long list.
        for change in self.changes.iter().filter(|change| change.is_of_use()) {
            print_change(change, screen);
        }
        for (kind, tone, words) in [
            (ChangeKind::WouldRefuse, Tone::Bad, "would refuse"),
            (ChangeKind::WouldAdmit, Tone::Warn, "would admit what is not admitted today:"),
            (ChangeKind::WithoutProof, Tone::Warn, "would let run without proof"),
            (ChangeKind::CannotTell, Tone::Warn, "cannot be told:"),
        ] {
            if kind != ChangeKind::WouldRefuse && self.numbers(kind).is_none() {
                continue;
            }
            let numbers = self.numbers(kind);
            let tone = numbers.as_ref().map_or(Tone::Good, |_| tone);
            let numbers = numbers.unwrap_or_else(|| self.of(kind));
            screen.line(&screen.tone(tone, &format!("{words} {numbers}")));
        }
        self.print_gaps(screen);
    }

    /// What was not looked at.
    fn print_gaps(&self, screen: &mut Screen) {
        let otherwise: u64 = self.decided_otherwise.values().sum();
        if otherwise > 0 {
            let codes: Vec<&str> = self.decided_otherwise.keys().map(String::as_str).collect();
            let codes = plain(&codes.join(", "));
            screen.line(&format!("{otherwise} decisions rest on no policy ({codes})"));
        }
        let mut gaps = Vec::new();
        if let Some(why) = &self.runtime_error {
            gaps.push(format!("images and running containers are not looked at: {}", plain(why)));
        }
        if self.containers_unknown > 0 {
            let many = self.containers_unknown;
            gaps.push(format!("{many} running containers were not made through the CRI"));
        }
        if self.decisions_left_out > 0 {
            let many = self.decisions_left_out;
            gaps.push(format!("{many} decisions are not judged: too many different images"));
        }
        if self.unreadable_lines > 0 {
            gaps.push(format!("{} lines of the log cannot be read", self.unreadable_lines));
        }
        if self.older_files_left_out > 0 {
            let many = self.older_files_left_out;
            gaps.push(format!("{many} older files of the log are not read: there are too many"));
        }
        for gap in gaps {
            screen.line(&screen.tone(Tone::Warn, &gap));
        }
    }

    /// How many of a kind there are of what; none when there is none.
    fn numbers(&self, kind: ChangeKind) -> Option<String> {
        let has = |counts: &ChangeCounts| counts.of(kind) > 0;
        let other = [&self.containers, &self.images].into_iter().flatten().any(has);
        (has(&self.decisions) || other).then(|| self.of(kind))
    }

    fn of(&self, kind: ChangeKind) -> String {
        let of =
            |counts: &ChangeCounts, what| format!("{} of {} {what}", counts.of(kind), counts.all);
        let decisions = of(&self.decisions, "decisions on record");
        let containers = self.containers.as_ref().map(|counts| of(counts, "running containers"));
        let images = self.images.as_ref().map(|counts| of(counts, "images"));
        std::iter::once(decisions).chain(containers).chain(images).collect::<Vec<_>>().join(", ")
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn print_change(change: &Change<'_>, screen: &mut Screen) {
    let (tone, words) = match change.change {
        ChangeKind::WouldRefuse => (Tone::Bad, "would be refused"),
        ChangeKind::WouldAdmit => (Tone::Warn, "would be admitted"),
        ChangeKind::WithoutProof => (Tone::Warn, "would run without proof"),
        ChangeKind::CannotTell => (Tone::Warn, "cannot be told"),
    };
    let words = screen.tone(tone, words);
    screen.line(&format!("{words}  {}", plain(change.image)));
    let (today, candidate) = (change.today, change.candidate);
    if let Some(digest) = change.digest {
        field("digest", digest, screen);
    }
    if let Some(then) = change.then {
        let told = format!("{} {}, {} ({})", then.verdict, then.code, then.time, then.decision);
        field("then", &told, screen);
    }
    field("today", &format!("{} {}", today.verdict, today.code), screen);
    field("candidate", &format!("{} {}", candidate.verdict, candidate.code), screen);
    field("why", &candidate.message, screen);
    if change.change == ChangeKind::WouldRefuse && !change.certain {
        let text = "by what is kept on this node; a signature that only the registry has would \
                    change it";
        field("rests on", text, screen);
    }
    field("namespace", change.namespace.unwrap_or("not known"), screen);
    if !change.pods.is_empty() {
        field("pods", &some(change.pods, change.more_pods), screen);
    }
    let mut seen = Vec::new();
    if change.decisions > 0 {
        seen.push(counted(change.decisions, "decision"));
    }
    if !change.containers.is_empty() {
        seen.push(counted(change.containers.len(), "running container"));
    }
    if change.on_node {
        seen.push("an image on this node".to_owned());
    }
    field("seen as", &seen.join(", "), screen);
    field("next", &change.next_step, screen);
    screen.line("");
}
