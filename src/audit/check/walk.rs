//! [`check`]: one walk over the files of a log.

use std::io;

use super::fault::{Found, LogFault, of_file};
use super::files::{LogFiles, LogPart};

use super::report::{Against, LogReport};
use super::window::{Odd, Short, compared};
use crate::audit::checkpoints::gone::GoneHashes;
use crate::audit::checkpoints::resume::parsed;
use crate::audit::checkpoints::tree::CHECKPOINT_LINE;
use crate::audit::lines::{LineRead, LogLines};
use crate::audit::record::{Checkpoint, SCHEMA};
use crate::tlog::note::{NoteError, NoteVerifier};
use crate::tlog::{CompactRange, TreeHash, TreeHead};

/// Lines that are remembered since the last checkpoint, to name what was changed: 16 bytes each. A
/// checkpoint names 4096 at most.
const WINDOW_MAX: usize = 1 << 16;
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
struct LineAt {
    file: usize,
    line: u64,
}

struct LogWalk<'w> {
    plan: &'w CheckPlan,
    files: &'w LogFiles,
    report: LogReport,
    /// The tree over what was read; none before the first checkpoint.
    tree: Option<CompactRange>,
    window: Vec<Seen>,
    /// How many lines there were since the last checkpoint, and records among them.
    since: (u64, u64),
    /// The size at the last checkpoint that holds.
    held: u64,
    /// What the last checkpoint says of retention, and what the one before, which a checkpoint
    /// covers: the first entry that is left, and the first whose hash is kept.
    says: Option<(u64, u64)>,
    covered_says: Option<(u64, u64)>,
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

/// What the hashes of removed records lead to.
struct GoneTree {
    first: u64,
    end: u64,
    /// The root where the first file that is there begins, if they lead so far.
    root: Option<TreeHash>,
}

impl LogWalk<'_> {
    /// Goes through the hashes of what is gone.
    fn gone(&mut self) -> io::Result<Option<GoneTree>> {
        let Some(path) = &self.files.hashes else { return Ok(None) };
        let hashes = match GoneHashes::open(path) {
            Ok(hashes) => hashes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.report.add(of_file(LogFault::HashesChanged, path));
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let begins = self.files.files.iter().find_map(|part| part.first).unwrap_or(u64::MAX);
        let (first, end, mut tree) = (hashes.first(), hashes.end(), hashes.before().clone());
        self.meet(&tree);
        for hash in hashes {
            if tree.size() >= begins {
                break;
            }
            tree.push(hash?);
            self.meet(&tree);
        }
        let root = (tree.size() == begins).then(|| tree.root());
        Ok(Some(GoneTree { first, end, root }))
    }

    /// Compares the tree with the checkpoint that was given, where it is as large.
    fn meet(&mut self, tree: &CompactRange) {
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

    fn find(&mut self, fault: LogFault, at: LineAt, entry: Option<u64>) {
        let file = self.files.files.get(at.file).map(|part| part.path.clone()).unwrap_or_default();
        self.report.add(Found { fault, file, line: at.line, entry, shown_at: None });
    }

    fn leaf(&mut self, line: &[u8], at: LineAt) {
        let hash = TreeHash::of_leaf(line);
        self.report.lines += 1;
        self.since.0 += 1;
        self.since.1 += u64::from(!line.starts_with(CHECKPOINT_LINE));
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
            tree.push(hash);
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
        // One that was written before stands here again: a line like another.
        if self.report.checkpoints > 0 && head.size > 0 && head.size <= self.held && !continues {
            return;
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
        if continues {
            self.report.covered += lines;
            self.covered_says = self.says;
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
        self.says = Some((checkpoint.kept_from, checkpoint.hashes_from));
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
            if let (Some(_), Some(part)) = (&gone, self.files.files.last()) {
                self.report.add(of_file(LogFault::NoCheckpoint, &part.path));
            }
        }
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

    /// Whether the log begins where retention left it.
    fn front(&mut self, gone: Option<GoneTree>) {
        let files = self.files;
        let (Some(begins), Some(part)) = (self.report.first, files.files.first()) else { return };
        let hashes = files.hashes.clone().unwrap_or_default();
        let (kept, hashed) = self.covered_says.or(self.says).unwrap_or_default();
        let (said, _) = self.says.unwrap_or_default();
        if begins > kept {
            if begins <= said {
                self.report.unsettled = begins - kept;
            } else {
                let count = begins - kept.max(said);
                let at = LineAt { file: 0, line: 1 };
                self.find(LogFault::Missing { count }, at, Some(kept.max(said)));
            }
        }
        match gone {
            Some(GoneTree { root: Some(root), .. }) => {
                let is_same = self.head_root(part) == Some(root);
                if !is_same {
                    self.report.add(of_file(LogFault::HashesChanged, &hashes));
                }
            }
            // They end before what is there: retention was cut off, or somebody removed more.
            Some(GoneTree { end, .. }) if end < begins && end < kept => {
                self.report.add(of_file(LogFault::HashesMissing, &hashes));
            }
            Some(GoneTree { first, .. }) if first > hashed && kept > 0 => {
                self.report.add(of_file(LogFault::HashesMissing, &hashes));
            }
            None if hashed < kept && kept <= begins => {
                self.report.add(of_file(LogFault::HashesMissing, &hashes));
            }
            Some(_) | None => {}
        }
    }

    /// The root where this file begins.
    fn head_root(&self, part: &LogPart) -> Option<TreeHash> {
        let mut lines = LogLines::open(&part.path).ok()?;
        let Some((LineRead::Line(line), _)) = lines.step().ok()? else { return None };
        parsed(line)?.claimed().map(|(head, _)| head.root)
    }
}

/// Whether a line has a newer schema than this program knows.
fn is_newer(line: &[u8]) -> bool {
    schema_of(line).is_some_and(|schema| schema > u64::from(SCHEMA))
}

/// The schema of a line, from its beginning: the log writes it second.
fn schema_of(line: &[u8]) -> Option<u64> {
    let head = line.get(..line.len().min(64))?;
    let key = b"\"schema\":";
    let at = head.windows(key.len()).position(|part| part == key)?;
    let digits = head.get(at + key.len()..)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
}
