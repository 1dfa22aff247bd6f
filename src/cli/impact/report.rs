//! [`Report`]: what `sealgate impact` found, for people and for programs.

use serde::Serialize;

use super::affected::Affected;
use super::standing::{Running, Standings, StoodImage, WithoutIt};
use crate::cli::terminal::field::{counted, field, some};
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain};

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    what: String,
    decisions: u64,
    images: &'a [StoodImage<'a>],
    running: usize,
    /// Decisions about images beyond those that are told apart.
    decisions_left_out: u64,
    unreadable_lines: u64,
    older_files_left_out: usize,
    runtime_fault: &'a Option<String>,
    evidence_fault: &'a Option<String>,
}

impl<'a> Report<'a> {
    pub(super) fn new(what: String, affected: &Affected, standings: &'a Standings<'a>) -> Self {
        Self {
            what,
            decisions: affected.decisions(),
            images: &standings.images,
            running: standings.running(),
            decisions_left_out: affected.left_out,
            unreadable_lines: affected.unreadable,
            older_files_left_out: affected.files_left_out,
            runtime_fault: &standings.runtime_fault,
            evidence_fault: &standings.evidence_fault,
        }
    }

    /// 0 when nothing rests on it, 1 when something does, 2 when that could not be told whole.
    pub(super) fn exit(&self) -> Exit {
        let is_whole = self.unreadable_lines == 0
            && self.older_files_left_out == 0
            && self.decisions_left_out == 0
            && self.runtime_fault.is_none()
            && (self.evidence_fault.is_none() || self.images.is_empty());
        match (is_whole, self.images.is_empty()) {
            (false, _) => Exit::Unable,
            (true, true) => Exit::Done,
            (true, false) => Exit::Refused,
        }
    }

    pub(super) fn print(&self, screen: &mut Screen) {
        for stood in self.images {
            print_image(stood, screen);
        }
        let (decisions, images) =
            (counted(self.decisions, "decision"), counted(self.images.len(), "image"));
        let what = plain(&self.what);
        if self.images.is_empty() {
            screen.line(&format!("no admission on record rests on {what}"));
        } else {
            screen.line(&format!("on {what} rest {decisions} about {images}"));
            let of =
                |standing| self.images.iter().filter(|stood| stood.without_it == standing).count();
            screen.line(&format!(
                "without it {} would be refused and {} still admitted; of {} the evidence here does \
                 not say",
                of(WithoutIt::Refused),
                of(WithoutIt::Admitted),
                of(WithoutIt::Untold)
            ));
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
        if let Some(why) = self.runtime_fault {
            warn(&format!("what runs cannot be told: {why}"));
        }
        if let Some(why) = self.evidence_fault.as_ref().filter(|_| !self.images.is_empty()) {
            warn(&format!("what would be admitted without it cannot be told: {why}"));
        }
    }
}

fn print_image(stood: &StoodImage<'_>, screen: &mut Screen) {
    let image = stood.image;
    let (tone, word) = match stood.without_it {
        WithoutIt::Refused => (Tone::Bad, "would be refused without it"),
        WithoutIt::Untold => (Tone::Warn, "not known whether it would be admitted without it"),
        WithoutIt::Admitted => (Tone::Good, "still admitted without it"),
    };
    let name = image.names.iter().next().unwrap_or(&image.digest);
    screen.line(&plain(name));
    screen.line(&format!("  {}", screen.tone(tone, word)));
    field("why", &stood.why, screen);
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
