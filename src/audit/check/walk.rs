//! [`check`]: one walk over the files of a log.

use std::collections::HashMap;
use std::io;

use super::fault::{Found, LogFault, of_file};
use super::files::{LogFiles, LogPart};
use super::report::{Against, LogReport};
use super::said::{GoneTree, is_newer, time_of};
use super::window::{Odd, Short, compared};
use crate::audit::checkpoints::resume::parsed;
use crate::audit::checkpoints::tree::CHECKPOINT_LINE;
use crate::audit::lines::{LineRead, LogLines};
use crate::audit::record::stamp::Timestamp;
use crate::audit::record::{Checkpoint, CheckpointCause};
use crate::tlog::note::{NoteError, NoteVerifier};
use crate::tlog::{CompactRange, TreeHash, TreeHead};

/// Lines that are remembered since the last checkpoint, to name what was changed: 16 bytes each. A
/// checkpoint names 4096 at most.
const WINDOW_MAX: usize = 1 << 16;
/// Checkpoints whose roots are remembered, to tell one that stands there again from one that says
/// something else: some five megabytes. Of those beyond it is said that they were moved.
const ROOTS_MAX: usize = 1 << 16;
/// Bytes after which progress is told.
const PROGRESS_EVERY: u64 = 8 << 20;

/// What to check a log with.
#[derive(Debug, Clone, Default)]
pub struct CheckPlan {
    /// The key that it must be signed with; without one, the key is that of its first checkpoint.
    pub key: Option<NoteVerifier>,
    /// A checkpoint from elsewhere that the log must go on from.
    pub against: Option<TreeHead>,
    /// Leave out what a checkpoint shows that is not after that one.
    pub since: bool,
    /// What the gate remembers beside its key: the log must reach as far.
    pub remembered: Option<TreeHead>,
    /// A record from before this time must be covered.
    pub covered_before: Option<Timestamp>,
}

/// A line since the last checkpoint.
#[derive(Debug, Clone, Copy)]
struct Seen {
    short: Short,
    file: usize,
    line: u64,
}

/// Where a line is.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineAt {
    pub(super) file: usize,
    pub(super) line: u64,
}

pub(super) struct LogWalk<'w> {
    plan: &'w CheckPlan,
    pub(super) files: &'w LogFiles,
    pub(super) report: LogReport,
    /// The tree over what was read; none before the first checkpoint.
    tree: Option<CompactRange>,
    window: Vec<Seen>,
    /// How many lines there were since the last checkpoint, and records among them.
    since: (u64, u64),
    /// The size at the last checkpoint that holds.
    held: u64,
    /// What the last checkpoint says of retention, and what the one before, which a checkpoint
    /// covers: the first entry that is left, and the first whose hash is kept.
    pub(super) says: Option<(u64, u64)>,
    pub(super) covered_says: Option<(u64, u64)>,
    /// Whether the last checkpoint is the one with which the gate ended the log, as it says signed.
    is_ended: bool,
    /// Whether what the gate remembers is about something else than the log has.
    is_forked: bool,
    /// The root of each checkpoint that holds, by its size, and what names its note.
    roots: HashMap<u64, (TreeHash, Short)>,
    /// When the first record was written that no checkpoint covers.
    waits_since: Option<Timestamp>,
}

/// What names the note of a checkpoint.
fn short_of(note: &str) -> Short {
    TreeHash::of_leaf(note.as_bytes()).short()
}

/// Checks these files. `tell` hears how many bytes were read.
///
/// # Errors
/// When one cannot be read.
pub fn check(
    files: &LogFiles,
    plan: &CheckPlan,
    tell: &mut dyn FnMut(u64),
) -> io::Result<LogReport> {
    let mut walk = LogWalk {
        plan,
        files,
        report: LogReport {
            key: plan.key.clone(),
            key_is_known: plan.key.is_some(),
            ..LogReport::default()
        },
        tree: None,
        window: Vec::new(),
        since: (0, 0),
        held: 0,
        says: None,
        covered_says: None,
        is_ended: false,
        is_forked: false,
        roots: HashMap::new(),
        waits_since: None,
    };
    for (one, with) in &files.exchanged {
        walk.report.add(of_file(LogFault::Exchanged { with: with.clone() }, one));
    }
    if let Some(path) = &files.lacks {
        walk.report.add(of_file(LogFault::NoCurrentFile, path));
    }
    let gone = walk.gone()?;
    let mut done = 0;
    for (file, part) in files.files.iter().enumerate() {
        let before = files.files.get(file.wrapping_sub(1));
        if let Some(with) = before.filter(|before| part.head.is_some() && before.head == part.head)
        {
            let fault = LogFault::FileDoubled { with: with.path.clone() };
            walk.report.add(of_file(fault, &part.path));
            continue;
        }
        walk.file(file, part, &mut done, tell)?;
    }
    walk.finish(gone);
    Ok(walk.report)
}

impl LogWalk<'_> {
    /// Compares the tree with the checkpoint that was given, where it is as large.
    pub(super) fn meet(&mut self, tree: &CompactRange) {
        if let Some(head) = self.plan.remembered.as_ref().filter(|head| head.size == tree.size()) {
            self.is_forked |= head.root != tree.root();
        }
        let Some(head) = &self.plan.against else { return };
        if head.size == tree.size() && self.report.against != Some(Against::Differs) {
            let is_same = head.root == tree.root();
            self.report.against = Some(if is_same { Against::Continues } else { Against::Differs });
        }
    }

    fn file(
        &mut self,
        file: usize,
        part: &LogPart,
        done: &mut u64,
        tell: &mut dyn FnMut(u64),
    ) -> io::Result<()> {
        let mut lines = LogLines::open(&part.path)?;
        let mut line = 0;
        let is_last = file + 1 == self.files.files.len();
        while let Some((read, bytes)) = lines.step()? {
            line += 1;
            let at = LineAt { file, line };
            match read {
                LineRead::Line(text) if text.starts_with(CHECKPOINT_LINE) => {
                    self.checkpoint(text, at)
                }
                LineRead::Line(text) => self.leaf(text, at),
                LineRead::TooLong => {
                    self.find(LogFault::TooLong, at, None);
                    self.leaf(b"", at);
                }
                LineRead::Torn(bytes) if is_last => {
                    self.report.unfinished = u64::try_from(bytes).unwrap_or(u64::MAX);
                }
                LineRead::Torn(bytes) => {
                    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
                    self.find(LogFault::Torn { bytes }, at, None);
                }
            }
            let before = *done / PROGRESS_EVERY;
            *done += bytes;
            if *done / PROGRESS_EVERY > before {
                tell(*done);
            }
        }
        Ok(())
    }

    pub(super) fn find(&mut self, fault: LogFault, at: LineAt, entry: Option<u64>) {
        let file = self.files.files.get(at.file).map(|part| part.path.clone()).unwrap_or_default();
        self.report.add(Found { fault, file, line: at.line, entry, shown_at: None });
    }

    fn leaf(&mut self, line: &[u8], at: LineAt) {
        let hash = TreeHash::of_leaf(line);
        self.report.lines += 1;
        self.since.0 += 1;
        if !line.starts_with(CHECKPOINT_LINE) {
            self.waits_since = if self.since.1 == 0 { time_of(line) } else { self.waits_since };
            self.since.1 += 1;
        }
        if is_newer(line) {
            self.report.newer += 1;
            let path = self.files.files.get(at.file).map(|part| part.path.clone());
            self.report.found_newer =
                self.report.found_newer.take().or_else(|| path.map(|path| (path, at.line)));
        }
        if self.window.len() < WINDOW_MAX {
            self.window.push(Seen { short: hash.short(), file: at.file, line: at.line });
        }
        if let Some(mut tree) = self.tree.take() {
            if !tree.push(hash) {
                self.find(LogFault::CheckpointInvalid, at, None);
            }
            self.meet(&tree);
            self.tree = Some(tree);
        }
    }

    fn checkpoint(&mut self, line: &[u8], at: LineAt) {
        if let Some(checkpoint) = parsed(line) {
            self.weigh(&checkpoint, at);
        } else if !is_newer(line) {
            self.find(LogFault::CheckpointInvalid, at, None);
        }
        self.leaf(line, at);
    }

    /// Takes a checkpoint for what it is worth.
    fn weigh(&mut self, checkpoint: &Checkpoint, at: LineAt) {
        let Some((head, range)) = checkpoint.claimed() else {
            return self.find(LogFault::CheckpointInvalid, at, None);
        };
        let continues = self
            .tree
            .as_ref()
            .is_some_and(|tree| tree.size() == head.size && tree.root() == head.root);
        let own = checkpoint.key.parse::<NoteVerifier>().ok();
        let own = own.filter(|own| own.open(&checkpoint.note).is_ok());
        // The key that was asked for, where it signed, whatever came before.
        let asked = self.plan.key.clone().filter(|key| key.open(&checkpoint.note).is_ok());
        let key = asked.or_else(|| self.report.key.clone()).or_else(|| own.clone());
        match key.as_ref().map(|key| key.open(&checkpoint.note)) {
            Some(Ok(_)) => self.report.key = key,
            Some(Err(NoteError::NotSigned { .. })) if own.is_some() => {
                if !continues && self.tree.is_some() {
                    let fault = LogFault::ForeignCheckpoint { origin: head.origin };
                    return self.find(fault, at, Some(head.size));
                }
                let fault = LogFault::OtherKey { key: checkpoint.key.clone() };
                self.find(fault, at, Some(head.size));
                self.report.key = own;
            }
            Some(Err(_)) | None => return self.find(LogFault::CheckpointInvalid, at, None),
        }
        // One that was written before stands here again, or the key signed something else.
        let known = self.roots.get(&head.size);
        // A log that begins anew begins with a checkpoint of its own.
        let is_again = known.is_some_and(|(_, note)| *note == short_of(&checkpoint.note));
        let is_old = self.report.checkpoints > 0 && head.size > 0 && head.size <= self.held;
        if !continues && (is_old || is_again) {
            let fault = match known {
                Some((root, _)) if *root == head.root => LogFault::Doubled,
                Some(_) => LogFault::Forked,
                None => LogFault::Reordered,
            };
            return self.find(fault, at, Some(head.size));
        }
        self.settle(checkpoint, (head, range), continues, at);
    }

    /// What is before this checkpoint is what it says, or not.
    fn settle(
        &mut self,
        checkpoint: &Checkpoint,
        (head, range): (TreeHead, CompactRange),
        continues: bool,
        at: LineAt,
    ) {
        let found = self.report.found.len();
        let lines = self.since.0;
        let facts = checkpoint.facts();
        if continues {
            self.report.covered += lines;
            self.covered_says = self.says;
            // A gate that starts writes a checkpoint before anything else, and ends the log with one.
            let starts = facts.is_some_and(|facts| facts.cause == CheckpointCause::Start);
            if let (true, true, more @ 1..) = (self.is_ended, starts, lines.saturating_sub(1)) {
                self.find(LogFault::BehindStop { lines: more }, at, Some(self.held + 1));
            }
        } else if self.tree.is_none() {
            self.begin(checkpoint, &head, at);
        } else if head.size == 0 {
            self.find(LogFault::BegunAnew, at, Some(0));
        } else {
            self.name(checkpoint, &head, at);
        }
        for found in self.report.found.iter_mut().skip(found) {
            found.shown_at = Some(head.size);
        }
        self.meet(&range);
        self.tree = Some(range);
        self.window.clear();
        self.since = (0, 0);
        self.held = head.size;
        self.is_ended = facts.is_some_and(|facts| facts.cause == CheckpointCause::Stop);
        self.says = Some((checkpoint.kept_from, checkpoint.hashes_from));
        if facts.is_some() {
            self.covered_says = self.says;
        }
        if self.roots.len() < ROOTS_MAX {
            self.roots.insert(head.size, (head.root, short_of(&checkpoint.note)));
        }
        self.report.time_is_signed = facts.is_some();
        self.report.checkpoints += 1;
        self.report.last = Some(head);
        self.report.note = Some(checkpoint.note.clone());
        self.report.last_time = Some(checkpoint.time);
    }

    /// The first checkpoint of the log.
    fn begin(&mut self, checkpoint: &Checkpoint, head: &TreeHead, at: LineAt) {
        let lines = self.since.0;
        self.report.first = Some(head.size);
        if lines == 0 {
            return;
        }
        if head.size == 0 {
            self.report.before = lines;
            return;
        }
        let there: Vec<Short> = self.window.iter().map(|seen| seen.short).collect();
        let named = checkpoint.named();
        if named.ends_with(&there) && u64::try_from(there.len()) == Ok(lines) {
            // Nothing is wrong with them but what they stand for: what was before them is gone.
            self.report.covered += lines;
            self.report.first = Some(head.size - lines);
        }
        self.find(LogFault::Headless { lines }, LineAt { line: 1, ..at }, Some(head.size));
    }

    /// Names what is not as this checkpoint says.
    fn name(&mut self, checkpoint: &Checkpoint, head: &TreeHead, at: LineAt) {
        let named = checkpoint.named();
        let (lines, written) = (self.since.0, head.size.saturating_sub(self.held));
        let count = |many: usize| u64::try_from(many).unwrap_or(u64::MAX);
        let is_known = count(self.window.len()) == lines;
        let there: Vec<Short> = self.window.iter().map(|seen| seen.short).collect();
        // Of the lines that it names: where a checkpoint before it does not count, those are fewer
        // than there are.
        let skipped = there.len().saturating_sub(named.len());
        let odd = match () {
            () if !is_known => Vec::new(),
            () if count(named.len()) == written => compared(&there, &named),
            () if written == lines && !named.is_empty() => {
                compared(there.get(skipped..).unwrap_or_default(), &named)
            }
            () => Vec::new(),
        };
        let skipped = if count(named.len()) == written { 0 } else { skipped };
        if odd.is_empty() {
            return match written.checked_sub(lines).filter(|missing| *missing > 0) {
                Some(count) => {
                    self.find(LogFault::Missing { count }, at, Some(self.held + lines));
                }
                None => self.find(LogFault::Unlike { lines }, at, Some(self.held)),
            };
        }
        self.report.covered += lines.saturating_sub(count(odd.len()));
        for odd in odd {
            let (fault, place, entry) = match odd {
                Odd::Changed { at, entry } => (LogFault::Changed, at, Some(entry)),
                Odd::Missing { at, entry, count: many } => {
                    (LogFault::Missing { count: count(many) }, at, Some(entry))
                }
                Odd::Added { at } => (LogFault::Added, at, None),
                Odd::Doubled { at } => (LogFault::Doubled, at, None),
                Odd::Reordered { at, entry } => (LogFault::Reordered, at, Some(entry)),
            };
            let entry = entry.map(|entry| self.held + count(skipped + entry));
            let seen = self.window.get(skipped + place);
            let place = seen.map(|seen| LineAt { file: seen.file, line: seen.line });
            self.find(fault, place.unwrap_or(at), entry);
        }
    }

    /// What can be told only when everything was read.
    fn finish(&mut self, gone: Option<GoneTree>) {
        self.report.behind = self.since.1;
        if self.tree.is_none() {
            (self.report.before, self.report.behind) = (self.report.lines, 0);
            let is_known = gone.is_some() || self.plan.remembered.is_some();
            if let (true, Some(part)) = (is_known, self.files.files.last()) {
                self.report.add(of_file(LogFault::NoCheckpoint, &part.path));
            }
        }
        self.ends_where_it_did();
        let waits = self.waits_since.filter(|_| self.report.behind > 0);
        self.report.overdue =
            waits.filter(|since| self.plan.covered_before.is_some_and(|before| *since < before));
        if self.files.is_whole {
            self.front(gone);
        }
        let size = self.tree.as_ref().map(CompactRange::size);
        if let (Some(head), None) = (&self.plan.against, self.report.against) {
            let is_beyond = size.is_some_and(|size| head.size > size);
            self.report.against = Some(if is_beyond { Against::CutOff } else { Against::Unknown });
        }
        if let (true, Some(head)) = (self.plan.since, &self.plan.against) {
            let is_new = |found: &Found| found.shown_at.is_none_or(|size| size > head.size);
            self.report.found.retain(is_new);
        }
    }
    /// Whether the log reaches as far as what the gate remembers, and is about the same.
    fn ends_where_it_did(&mut self) {
        let (Some(head), Some(part)) = (&self.plan.remembered, self.files.files.last()) else {
            return;
        };
        let Some(size) = self.tree.as_ref().map(CompactRange::size) else { return };
        if size < head.size {
            let fault = LogFault::CutOff { entries: head.size - size };
            self.report.add(of_file(fault, &part.path));
        } else if self.is_forked {
            self.report.add(of_file(LogFault::Forked, &part.path));
        }
    }
}
