//! [`Report`]: what `sealgate impact` found, for people and for programs.

use serde::Serialize;

use super::affected::Affected;
use super::judging::WithoutIt;
use super::standing::{Running, Standings, StoodImage};
use crate::cli::deny::{AlreadyDenied, Done};
use crate::cli::terminal::field::{counted, field, some};
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain};

/// What was found.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    what: String,
    /// What was done with --deny; none without it, or where nothing could be.
    deny: Option<&'a Done>,
    /// Where it was denied before.
    denied: Option<&'a AlreadyDenied>,
    decisions: u64,
    images: &'a [StoodImage<'a>],
    /// Those of which it cannot be told whether they rest on it.
    untold: &'a [StoodImage<'a>],
    running: usize,
    /// Decisions about images beyond those that are told apart.
    decisions_left_out: u64,
    unreadable_lines: u64,
    older_files_left_out: usize,
    log_fault: Option<String>,
    runtime_fault: &'a Option<String>,
    evidence_fault: &'a Option<String>,
}

impl<'a> Report<'a> {
    pub(super) fn new(
        (what, deny, denied): (String, Option<&'a Done>, Option<&'a AlreadyDenied>),
        affected: &Affected,
        standings: &'a Standings<'a>,
    ) -> Self {
        Self {
            what,
            deny,
            denied,
            decisions: affected.decisions(),
            images: &standings.images,
            untold: &standings.untold,
            running: standings.running(),
            decisions_left_out: affected.left_out,
            unreadable_lines: affected.unreadable,
            older_files_left_out: affected.files_left_out,
            log_fault: affected.log_fault.clone(),
            runtime_fault: &standings.runtime_fault,
            evidence_fault: &standings.evidence_fault,
        }
    }

    /// 0 when nothing rests on it, 1 when something does, 2 when that could not be told whole.
    pub(super) fn exit(&self) -> Exit {
        let is_whole = self.unreadable_lines == 0
            && self.older_files_left_out == 0
            && self.decisions_left_out == 0
            && self.untold.is_empty()
            && self.log_fault.is_none()
            && self.runtime_fault.is_none()
            && (self.evidence_fault.is_none() || self.images.is_empty());
        match (is_whole, self.images.is_empty()) {
            (false, _) => Exit::Unable,
            (true, true) => Exit::Done,
            (true, false) => Exit::Refused,
        }
    }

    /// Whether a deny list names it by now.
    fn is_denied(&self) -> bool {
        self.denied.is_some() || self.deny.is_some()
    }

    pub(super) fn print(&self, screen: &mut Screen) {
        for stood in self.images.iter().chain(self.untold) {
            print_image(stood, self.is_denied(), screen);
        }
        if let Some(AlreadyDenied { list, file, entry }) = self.denied {
            let (list, file, reason) = (plain(list), plain(file), plain(&entry.reason));
            let since = entry.date;
            screen.line(&format!("denied in list {list} of {file}, since {since}: {reason}"));
        }
        let (decisions, images) =
            (counted(self.decisions, "decision"), counted(self.images.len(), "image"));
        let what = plain(&self.what);
        if self.log_fault.is_some() {
            screen.line(&format!("what rests on {what} cannot be told"));
        } else if self.images.is_empty() && self.untold.is_empty() {
            screen.line(&format!("no admission on record rests on {what}"));
        } else if self.images.is_empty() {
            screen.line(&format!("no admission on record is known to rest on {what}"));
        } else {
            screen.line(&format!("on {what} rest {decisions} about {images}"));
            let of =
                |standing| self.images.iter().filter(|stood| stood.without_it == standing).count();
            let (refused, admitted) = (of(WithoutIt::Refused), of(WithoutIt::Admitted));
            let untold = of(WithoutIt::Untold);
            screen.line(&match self.is_denied() {
                true => format!(
                    "since it is denied {refused} are refused and {admitted} still admitted; of \
                     {untold} the evidence here does not say"
                ),
                false => format!(
                    "without it {refused} would be refused and {admitted} still admitted; of \
                     {untold} the evidence here does not say"
                ),
            });
        }
        if self.runtime_fault.is_none() && !self.images.is_empty() {
            let tone = if self.running > 0 { Tone::Bad } else { Tone::Good };
            let word = screen.tone(tone, &counted(self.running, "container"));
            screen.line(&format!("{word} of them run now"));
        }
        self.tell_what_is_missing(screen);
    }

    fn tell_what_is_missing(&self, screen: &mut Screen) {
        let mut warn = |text: &str| screen.complain(text);
        if !self.untold.is_empty() {
            let all = self.untold.iter().map(|stood| stood.image.decisions);
            let decisions = counted(all.fold(0, u64::saturating_add), "decision");
            let images = counted(self.untold.len(), "image");
            warn(&format!("could not be told: whether {decisions} about {images} rest on it"));
        }
        if self.decisions_left_out > 0 {
            let decisions = counted(self.decisions_left_out, "decision");
            warn(&format!("{decisions} about further images are not listed"));
        }
        if self.unreadable_lines > 0 {
            let lines = counted(self.unreadable_lines, "line");
            warn(&format!("{lines} of the log cannot be read: what they held is not known"));
        }
        if self.older_files_left_out > 0 {
            let files = counted(self.older_files_left_out, "older file");
            warn(&format!("{files} of the log not read, since there are too many"));
        }
        if let Some(why) = &self.log_fault {
            warn(&format!("the log cannot be read: {why}"));
        }
        if let Some(why) = self.runtime_fault {
            warn(&format!("what runs cannot be told: {why}"));
        }
        if let Some(why) = self.evidence_fault.as_ref().filter(|_| !self.images.is_empty()) {
            warn(&format!("what would be admitted without it cannot be told: {why}"));
        }
    }
}

fn print_image(stood: &StoodImage<'_>, is_denied: bool, screen: &mut Screen) {
    let image = stood.image;
    let (tone, word) = match stood.without_it {
        WithoutIt::Refused if is_denied => (Tone::Bad, "refused, since it is denied"),
        WithoutIt::Refused => (Tone::Bad, "would be refused without it"),
        WithoutIt::Untold => (Tone::Warn, "not known whether it would be admitted without it"),
        WithoutIt::Admitted => (Tone::Good, "still admitted without it"),
    };
    let name = image.names.iter().next().unwrap_or(&image.digest);
    screen.line(&plain(name));
    screen.line(&format!("  {}", screen.tone(tone, word)));
    field("why", &stood.why, screen);
    if let Some(why) = &image.untold {
        let word = screen.tone(Tone::Warn, "could not be told whether it rests on it");
        screen.line(&format!("  {word}: {}", plain(why)));
    }
    field("digest", &image.digest, screen);
    if image.names.len() > 1 {
        field("names", &some(&image.names, image.more), screen);
    }
    let decisions = counted(image.decisions, "decision");
    field("admitted", &format!("{decisions} from {} to {}", image.first, image.last), screen);
    field("latest", &image.decision, screen);
    if !image.pods.is_empty() {
        field("pods", &some(&image.pods, image.more), screen);
    }
    for Running { id, container, namespace, pod } in &stood.running {
        let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
        let (namespace, pod) = (or_unknown(namespace), or_unknown(pod));
        field("runs now", &format!("{namespace}/{pod} {container} {id}"), screen);
    }
    screen.line("");
}
