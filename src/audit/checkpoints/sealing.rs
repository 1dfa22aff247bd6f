//! [`Sealing`]: what the writer adds to its lines, and when.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, fs, thread};

use super::gone;
use super::key::{self, KeyFault};
use super::remembered::{self, HeadKeeper, RememberedHead, head_of};
use super::resume::{self, Resumed};
use super::tree::LogTree;
use crate::audit::record::stamp::Ids;
use crate::audit::record::{
    Checkpoint, CheckpointCause, Entry, FoundBehind, HeadNotKept, LogBegan, LogCut, Noted, SCHEMA,
    SignedFacts,
};
use crate::clock::Clock;
use crate::tlog::TreeHead;
use crate::tlog::note::NoteSigner;

/// How long is waited until a key that could not be had is asked for again.
const TRY_EVERY: Duration = Duration::from_secs(10);

/// Where the key is, and how often the log is sealed.
#[derive(Debug, Clone)]
pub(in crate::audit) struct SealingOptions {
    /// The key's file.
    pub(in crate::audit) key: PathBuf,
    /// Records that one checkpoint covers, about.
    pub(in crate::audit) records: u64,
    /// How long a record waits for a checkpoint at most.
    pub(in crate::audit) period: Duration,
    /// The log.
    pub(in crate::audit) log: PathBuf,
}

/// The tree over the log, and the key that signs its heads.
pub(in crate::audit) struct Sealing {
    options: SealingOptions,
    clock: Clock,
    ids: Arc<Mutex<Ids>>,
    /// None until the key could be read and the tree was found.
    sealed: Option<(NoteSigner, LogTree)>,
    /// When the next checkpoint is due: a while after the first record that none covers.
    due: Option<Instant>,
    /// When the journal was last told of one.
    told: Option<Instant>,
    fault: Option<String>,
    /// Not before this is tried again what failed.
    next_try: Option<Instant>,
    hashes_from: Arc<AtomicU64>,
    /// Whether hashes are being kept by a thread of their own.
    folding: Arc<AtomicBool>,
    head: HeadKeeper,
    /// The first entry of each file, the oldest first, as far as they are known.
    files: Vec<u64>,
    /// Whether this process wrote a checkpoint: its first line that is sealed has one before it.
    opened: bool,
    /// Whether it wrote lines before it could seal them.
    wrote_unsealed: bool,
    /// What is to be noted.
    notes: Vec<Noted>,
    /// What the start found missing, in words.
    cut: Option<String>,
    /// Whether a note tells that the head is not kept.
    is_fault_noted: bool,
}

/// Lines as they are written, and what holds once the disk has them.
#[derive(Debug)]
pub(in crate::audit) struct Composed {
    /// The lines with their checkpoints.
    pub(in crate::audit) bytes: Vec<u8>,
    tree: LogTree,
    made: Option<(TreeHead, Checkpoint)>,
    /// The entry that a file begins with.
    begins: Option<u64>,
}

impl Sealing {
    pub(in crate::audit) fn new(
        options: SealingOptions,
        clock: Clock,
        ids: Arc<Mutex<Ids>>,
    ) -> Self {
        let (hashes_from, folding) = (Arc::default(), Arc::default());
        let (sealed, due, told, fault, next_try) = (None, None, None, None, None);
        let (files, notes, cut) = (Vec::new(), Vec::new(), None);
        let (opened, wrote_unsealed, is_fault_noted) = (false, false, false);
        let head = HeadKeeper::new(head_of(&options.key));
        Self {
            options,
            clock,
            ids,
            sealed,
            due,
            told,
            fault,
            next_try,
            hashes_from,
            folding,
            head,
            files,
            opened,
            wrote_unsealed,
            notes,
            cut,
            is_fault_noted,
        }
    }

    /// Whether lines get checkpoints.
    pub(in crate::audit) const fn is_ready(&self) -> bool {
        self.sealed.is_some()
    }

    /// Reads the key, and finds the tree in these files, the newest first. What fails is said once,
    /// and tried again with the next call: the log is written all the same.
    pub(in crate::audit) fn prepare(&mut self, newest_first: &[&Path]) {
        let now = self.clock.steady();
        if self.is_ready() || self.next_try.is_some_and(|next| now < next) {
            return;
        }
        self.next_try = Some(now + TRY_EVERY);
        let is_new_key = fs::symlink_metadata(&self.options.key).is_err();
        let signer = match key::signer(&self.options.key) {
            Ok(signer) => signer,
            Err(fault) => return self.complain(&fault),
        };
        let known = self.remembered();
        match resume::resume(
            newest_first,
            signer.verifier(),
            known.as_ref().ok().and_then(Option::as_ref),
        ) {
            Ok(found) => {
                let files = known.as_ref().ok().and_then(Option::as_ref);
                let files = files.map(|head| head.files.as_slice());
                self.files = resume::beginnings(&self.options.log, signer.verifier(), files);
                self.hashes_from.store(found.hashes_from, Ordering::Release);
                self.fault = None;
                self.told_of(&signer, &found, is_new_key, known.map(|known| known.is_some()));
                self.sealed = Some((signer, found.tree));
                self.fold();
            }
            Err(error) => {
                let path = newest_first.first().map(|path| path.to_path_buf()).unwrap_or_default();
                self.complain(&KeyFault::Io { path, kind: error.kind() });
            }
        }
    }

    /// What is remembered of this log; why nothing is, where that cannot be told.
    fn remembered(&self) -> Result<Option<RememberedHead>, String> {
        let path = self.head.path();
        match remembered::read(path) {
            Ok(Some(head)) if head.log != self.options.log => {
                Err(format!("{} is of another log, {}", path.display(), head.log.display()))
            }
            read => read.map_err(|error| remembered::told(path, &error)),
        }
    }

    /// Says what a start found, in the journal and in the log.
    fn told_of(
        &mut self,
        signer: &NoteSigner,
        found: &Resumed,
        is_new_key: bool,
        known: Result<bool, String>,
    ) {
        let (name, entries) = (signer.verifier().to_string(), found.tree.range.size());
        if let Some(other) = &found.other_key {
            tracing::warn!(
                key = name,
                entries,
                "the audit log goes on under a new key; its last checkpoint is by {other:?}"
            );
        } else {
            tracing::info!(key = name, entries, is_new = !found.found, "the audit log is sealed");
        }
        let why = match known {
            Ok(true) => None,
            Ok(false) => {
                found.found.then(|| format!("{} is not there", self.head.path().display()))
            }
            Err(why) => Some(why),
        };
        if let Some(message) = why {
            tracing::warn!("the audit log cannot be compared with what was last signed: {message}");
            self.notes.push(Noted::HeadNotKept(HeadNotKept { message }));
        }
        if !found.found && !is_new_key {
            let reason = "there is a key and no checkpoint of it".to_owned();
            tracing::warn!("the audit log begins anew: {reason}");
            self.notes.push(Noted::LogBegan(LogBegan { reason }));
        }
        if let Some((from, to)) = found.cut {
            let why =
                format!("of {to} entries that were signed, those from {from} on are not there");
            tracing::error!("THE AUDIT LOG WAS CUT WHILE THE GATE WAS DOWN: {why}");
            self.notes.push(Noted::LogCut(LogCut { from, to }));
            self.cut = Some(why);
        }
        if found.behind > 0 && !self.wrote_unsealed {
            let (lines, first_id, stopped) = (found.behind, found.first_behind, found.stopped);
            if stopped {
                let why = format!("{lines} lines stand behind the last one that the gate wrote");
                tracing::error!("THE AUDIT LOG WAS WRITTEN WHILE THE GATE WAS DOWN: {why}");
                self.cut = Some(why);
            } else {
                tracing::info!(lines, "the audit log has lines that no checkpoint covered");
            }
            self.notes.push(Noted::FoundBehind(FoundBehind { lines, first_id, stopped }));
        }
    }

    fn complain(&mut self, fault: &KeyFault) {
        let fault = fault.to_string();
        if self.fault.as_ref() != Some(&fault) {
            tracing::error!(
                "THE AUDIT LOG IS NOT SEALED, what is changed in it would not be noticed: {fault}"
            );
            self.fault = Some(fault);
        }
    }

    /// Why there are no checkpoints, in words.
    pub(in crate::audit) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// What is wrong with what is sealed, in words: what a start missed, or that a start could not.
    pub(in crate::audit) fn doubt(&self) -> Option<String> {
        let kept = || self.head.fault().map(|why| format!("cannot be remembered: {why}"));
        self.cut.clone().or_else(kept)
    }

    /// What is to be noted, until [`noted`](Self::noted).
    pub(in crate::audit) fn notes(&self) -> Vec<Noted> {
        let fault = self.head.fault().filter(|_| !self.is_fault_noted);
        let fault = fault.map(|message| Noted::HeadNotKept(HeadNotKept { message }));
        self.notes.iter().cloned().chain(fault).collect()
    }

    /// The notes are in the log.
    pub(in crate::audit) fn noted(&mut self) {
        self.notes.clear();
        self.is_fault_noted = self.head.fault().is_some();
    }

    /// Lines were written that are not sealed.
    pub(in crate::audit) const fn wrote_unsealed(&mut self) {
        self.wrote_unsealed = true;
    }

    /// Whether there is no checkpoint of this process yet.
    pub(in crate::audit) const fn is_unopened(&self) -> bool {
        !self.opened
    }

    /// When the next checkpoint is due.
    pub(in crate::audit) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether there are records that no checkpoint covers.
    pub(in crate::audit) fn is_behind(&self) -> bool {
        self.sealed.as_ref().is_some_and(|(_, tree)| tree.uncovered() > 0)
    }

    /// These lines with what belongs to them: a checkpoint before them where they begin a file or are
    /// the first of this process, and one behind them where there is a cause or enough has come. None
    /// when nothing is sealed.
    pub(in crate::audit) fn compose(
        &self,
        lines: &[u8],
        begins_file: bool,
        cause: Option<CheckpointCause>,
    ) -> Option<Composed> {
        let (signer, tree) = self.sealed.as_ref()?;
        let mut composed = Composed {
            bytes: Vec::with_capacity(lines.len()),
            tree: tree.clone(),
            made: None,
            begins: None,
        };
        // What a process writes begins with a checkpoint: of a new tree nothing before it can be told,
        // and of an old one everything between is what the start found.
        let opens = begins_file || !self.opened;
        if opens {
            composed.begins = begins_file.then(|| tree.range.size());
            let cause = match (self.opened, self.wrote_unsealed) {
                (true, _) => CheckpointCause::File,
                (false, true) => CheckpointCause::Time,
                (false, false) => CheckpointCause::Start,
            };
            self.add(&mut composed, signer, cause);
        }
        composed.tree.add_all(lines);
        composed.bytes.extend(lines);
        let is_enough = composed.tree.uncovered() >= self.options.records;
        let cause = cause.or_else(|| is_enough.then_some(CheckpointCause::Records));
        if let Some(cause) = cause.filter(|_| !opens || !lines.is_empty()) {
            self.add(&mut composed, signer, cause);
        }
        Some(composed)
    }

    fn add(&self, composed: &mut Composed, signer: &NoteSigner, cause: CheckpointCause) {
        let id = self.ids.lock().unwrap_or_else(PoisonError::into_inner).next(self.clock.unix());
        let tree = &mut composed.tree;
        let origin = signer.verifier().name().to_owned();
        let head = TreeHead { origin, size: tree.range.size(), root: tree.range.root() };
        let hashes_from = self.hashes_from.load(Ordering::Acquire);
        let facts = SignedFacts { kept_from: tree.kept_from, hashes_from, time: id.time(), cause };
        let checkpoint = Checkpoint {
            schema: SCHEMA,
            id,
            time: id.time(),
            cause,
            note: signer.sign(&format!("{head}{facts}")),
            key: signer.verifier().to_string(),
            range: tree.range.nodes().to_vec(),
            entries: tree.take_named(),
            kept_from: tree.kept_from,
            hashes_from,
        };
        // It is made of numbers and hashes: nothing in it cannot be written, or is too long.
        let entry = Entry::Checkpoint(Box::new(checkpoint));
        if let (Ok(mut line), Entry::Checkpoint(checkpoint)) = (serde_json::to_vec(&entry), entry) {
            line.push(b'\n');
            tree.add_all(&line);
            composed.bytes.extend(line);
            composed.made = Some((head, *checkpoint));
        }
    }

    /// The disk has these lines. What was signed, if anything was.
    pub(in crate::audit) fn commit(&mut self, composed: Composed) -> Option<TreeHead> {
        let now = self.clock.steady();
        let (_, tree) = self.sealed.as_mut()?;
        *tree = composed.tree;
        if tree.uncovered() == 0 {
            self.due = None;
        } else if composed.made.is_some() || self.due.is_none() {
            self.due = Some(now + self.options.period);
        }
        self.files.extend(composed.begins);
        self.files.drain(..self.files.len().saturating_sub(remembered::FILES_MAX));
        let (head, checkpoint) = composed.made?;
        let cause = checkpoint.cause;
        self.opened = true;
        let is_often = matches!(cause, CheckpointCause::Records | CheckpointCause::Time);
        let is_soon = self.told.is_some_and(|told| now < told + self.options.period);
        if !(is_often && is_soon) || composed.begins.is_some() {
            let checkpoint = Checkpoint { entries: String::new(), ..checkpoint };
            let (log, files) = (self.options.log.clone(), self.files.clone());
            let kept = RememberedHead { schema: 1, log, files, checkpoint };
            self.head.keep(kept, cause == CheckpointCause::Stop);

            self.told = Some(now);
            let TreeHead { origin, size, root } = &head;
            tracing::info!(origin, size, %root, cause = cause.word(), "audit checkpoint");
        }
        Some(head)
    }

    /// A checkpoint that was due could not be written: not before a while again.
    pub(in crate::audit) fn postpone(&mut self) {
        self.due = self.due.map(|_| self.clock.steady() + self.options.period);
    }

    /// What is called so is removed by retention: the hashes of its lines are kept, by a thread of
    /// its own. `older` files stay beside the one that is begun next, the oldest of them `oldest`.
    pub(in crate::audit) fn remove(&mut self, oldest: &Path, older: usize) {
        if let Some((signer, tree)) = self.sealed.as_mut() {
            // Where the file began that stays, as was remembered: what it says itself counts where that
            // is less, since somebody took others, and where nothing was remembered of it.
            let known = self.files.len().checked_sub(older);
            self.files.drain(..known.unwrap_or(0));
            let begun = self.files.first().copied();
            let said = resume::first_of(oldest, signer.verifier());
            let first = match (known, said) {
                (Some(_), Some(said)) => begun.map(|begun| begun.min(said)),
                (Some(_), None) => begun,
                (None, said) => said.filter(|said| begun.is_none_or(|begun| *said <= begun)),
            };
            tree.kept_from = first.unwrap_or(0).max(tree.kept_from);
        }
        self.fold();
    }

    fn fold(&self) {
        let (hashes, gone) = (gone::hashes_of(&self.options.log), self.gone());
        let is_there = fs::symlink_metadata(&gone).is_ok();
        if !is_there || self.folding.swap(true, Ordering::AcqRel) {
            return;
        }
        let (hashes_from, folding) = (Arc::clone(&self.hashes_from), Arc::clone(&self.folding));
        let work = move || {
            let outcome = gone::fold(&gone, &hashes).and_then(|first| {
                fs::remove_file(&gone)?;
                Ok(first.map(|first| hashes_from.store(first, Ordering::Release)))
            });
            if let Err(error) = outcome {
                tracing::warn!(
                    "the hashes of the audit log's oldest file could not be kept, checkpoints of \
                     its time cannot be compared: {error}"
                );
            }
            folding.store(false, Ordering::Release);
        };
        if thread::Builder::new().name("audit-fold".into()).spawn(work).is_err() {
            self.folding.store(false, Ordering::Release);
        }
    }

    /// The name under which a file waits to be removed.
    pub(in crate::audit) fn gone(&self) -> PathBuf {
        gone::gone_of(&self.options.log)
    }
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing").field("options", &self.options).finish_non_exhaustive()
    }
}
