//! [`Faults`]: what was met in a log that is no line of it, or of a version that this program does
//! not know. The first few are told one by one, and all are counted.

use crate::audit::read::{Row, UnknownKinds, Unreadable};
use crate::audit::{SCHEMA, SCHEMA_OLDEST};
use crate::cli::terminal::field::counted;
use crate::cli::terminal::screen::{Exit, Screen, plain};

/// Lines that are told one by one: a file that is no log at all has millions.
const TOLD_MOST: u64 = 20;

/// What was met.
#[derive(Debug, Default)]
pub(super) struct Faults {
    unreadable: u64,
    /// The latest of them: of a followed log whose folder is gone it is the same time and again.
    last: Option<Unreadable>,
    unknown: UnknownKinds,
    newer: u64,
    left_out: usize,
}

impl Faults {
    /// A line that cannot be read, or a file that cannot be read further.
    pub(super) fn unreadable(&mut self, unreadable: &Unreadable, screen: &mut Screen) {
        if self.last.as_ref() == Some(unreadable) {
            return;
        }
        self.last = Some(unreadable.clone());
        self.unreadable = self.unreadable.saturating_add(1);
        // Why a file ends early is always told.
        if self.unreadable <= TOLD_MOST || unreadable.why.ends_the_file() {
            screen.complain(&unreadable.to_string());
        }
    }

    /// Looks whether a line is of a kind and a version that this program knows.
    pub(super) fn look_at(&mut self, row: &Row<'_>) {
        if !row.is_typed() {
            self.unknown.count(&plain(row.kind.as_str()));
        }
        let known = u64::from(SCHEMA_OLDEST)..=u64::from(SCHEMA);
        self.newer = self.newer.saturating_add(u64::from(!known.contains(&row.schema.number())));
    }

    /// Older files that are not read, since there are too many.
    pub(super) fn left_out(&mut self, files: usize) {
        self.left_out = files;
    }

    /// Says what was not told yet; the exit code of what was not read.
    pub(super) fn told(&self, screen: &mut Screen) -> Exit {
        let Self { unreadable, unknown, newer, left_out, .. } = self;
        if *unreadable > TOLD_MOST {
            let more = counted(*unreadable - TOLD_MOST, "more line");
            screen.complain(&format!("and {more} that cannot be read"));
        }
        if unknown.total() > 0 {
            let lines = counted(unknown.total(), "line");
            screen.complain(&format!(
                "{lines} of kinds that this version does not know, read by the names of their \
                 fields: {unknown}"
            ));
        }
        if *newer > 0 {
            let lines = counted(*newer, "line");
            screen.complain(&format!(
                "{lines} of a schema other than {SCHEMA_OLDEST} to {SCHEMA}: fields may have another \
                 meaning there; use the program that wrote them"
            ));
        }
        if *left_out > 0 {
            let files = counted(*left_out, "older file");
            screen.complain(&format!(
                "{files} not read, since there are too many: name them with --file"
            ));
        }
        if *unreadable > 0 || *left_out > 0 { Exit::Unable } else { Exit::Done }
    }
}
