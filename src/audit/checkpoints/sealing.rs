//! [`Sealing`]: what the writer adds to its lines, and when.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, fs, io, thread};

use super::gone;
use super::key::{self, KeyFault};
use super::resume::{self, Resumed};
use super::tree::LogTree;
use crate::audit::record::stamp::Ids;
use crate::audit::record::{Checkpoint, CheckpointCause, Entry, SCHEMA};
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
}

/// Lines as they are written, and what holds once the disk has them.
#[derive(Debug)]
pub(in crate::audit) struct Composed {
    /// The lines with their checkpoints.
    pub(in crate::audit) bytes: Vec<u8>,
    tree: LogTree,
    made: Option<(TreeHead, CheckpointCause)>,
}

impl Sealing {
    pub(in crate::audit) fn new(
        options: SealingOptions,
        clock: Clock,
        ids: Arc<Mutex<Ids>>,
    ) -> Self {
        let (hashes_from, folding) = (Arc::default(), Arc::default());
        let (sealed, due, told, fault, next_try) = (None, None, None, None, None);
        Self { options, clock, ids, sealed, due, told, fault, next_try, hashes_from, folding }
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
        let signer = match key::signer(&self.options.key) {
            Ok(signer) => signer,
            Err(fault) => return self.complain(&fault),
        };
        match resume::resume(newest_first, signer.verifier()) {
            Ok(Resumed { tree, hashes_from, other_key, found }) => {
                let (name, entries) = (signer.verifier().to_string(), tree.range.size());
                if let Some(other) = other_key {
                    tracing::warn!(
                        key = name,
                        entries,
                        "the audit log goes on under a new key; its last checkpoint is by {other:?}"
                    );
                } else {
                    tracing::info!(key = name, entries, is_new = !found, "the audit log is sealed");
                }
                self.hashes_from.store(hashes_from, Ordering::Release);
                self.fault = None;
                self.sealed = Some((signer, tree));
                self.fold();
            }
            Err(error) => {
                let path = newest_first.first().map(|path| path.to_path_buf()).unwrap_or_default();
                self.complain(&KeyFault::Io { path, kind: error.kind() });
            }
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

    /// When the next checkpoint is due.
    pub(in crate::audit) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether there are records that no checkpoint covers.
    pub(in crate::audit) fn is_behind(&self) -> bool {
        self.sealed.as_ref().is_some_and(|(_, tree)| tree.uncovered() > 0)
    }

    /// These lines with what belongs to them: a checkpoint before them where they begin a file or are
    /// the first that are sealed, and one behind them where there is a cause or enough has come. None
    /// when nothing is sealed.
    pub(in crate::audit) fn compose(
        &self,
        lines: &[u8],
        begins_file: bool,
        cause: Option<CheckpointCause>,
    ) -> Option<Composed> {
        let (signer, tree) = self.sealed.as_ref()?;
        let mut composed =
            Composed { bytes: Vec::with_capacity(lines.len()), tree: tree.clone(), made: None };
        // The tree begins with a checkpoint: of lines before it nothing can be told.
        let opens = begins_file || tree.range.size() == 0;
        if opens {
            let cause = cause.filter(|cause| *cause == CheckpointCause::Start);
            self.add(&mut composed, signer, cause.unwrap_or(CheckpointCause::File));
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
        let checkpoint = Checkpoint {
            schema: SCHEMA,
            id,
            time: id.time(),
            cause,
            note: signer.sign(&head.to_string()),
            key: signer.verifier().to_string(),
            range: tree.range.nodes().to_vec(),
            entries: tree.take_named(),
            kept_from: tree.kept_from,
            hashes_from: self.hashes_from.load(Ordering::Acquire),
        };
        // It is made of numbers and hashes: nothing in it cannot be written, or is too long.
        if let Ok(mut line) = serde_json::to_vec(&Entry::Checkpoint(Box::new(checkpoint))) {
            line.push(b'\n');
            tree.add_all(&line);
            composed.bytes.extend(line);
            composed.made = Some((head, cause));
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
        let (head, cause) = composed.made?;
        let is_often = matches!(cause, CheckpointCause::Records | CheckpointCause::Time);
        let is_soon = self.told.is_some_and(|told| now < told + self.options.period);
        if !(is_often && is_soon) {
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
    /// its own. `oldest` is the oldest file that stays.
    pub(in crate::audit) fn remove(&mut self, oldest: &Path) {
        if let (Ok(Some(first)), Some((_, tree))) = (first_of(oldest), self.sealed.as_mut()) {
            tree.kept_from = first.max(tree.kept_from);
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

/// The first entry in this file; none where it begins with no checkpoint.
fn first_of(path: &Path) -> io::Result<Option<u64>> {
    let head = resume::first_checkpoint(path)?;
    Ok(head.and_then(|checkpoint| checkpoint.claimed()).map(|(head, _)| head.size))
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing").field("options", &self.options).finish_non_exhaustive()
    }
}
