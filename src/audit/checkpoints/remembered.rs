//! [`RememberedHead`]: the last checkpoint, in a file beside the key, where who can write the log cannot
//! write; [`HeadKeeper`] writes it, by a thread of its own, so that its disk holds up no record.
//!
//! A start compares the log with it: of a log that was cut, removed or rolled back while the gate was
//! down nothing in the log itself tells.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::lines::{beside, open_part};
use super::super::record::Checkpoint;
use crate::errno;
use crate::file_trust;
use crate::tlog::TreeHead;

/// Bytes of the file at most: a checkpoint has some two thousand, and the beginnings of a thousand
/// files twenty thousand.
const FILE_MAX: u64 = 64 << 10;
/// Beginnings of files that are remembered at most: as many files as a reader opens.
pub(super) const FILES_MAX: usize = 1000;
/// Checkpoints that wait for the disk at most; beyond that the disk counts as one that hangs.
const WAITING_MAX: usize = 8;
/// How long the end of the log waits for the disk: closing has five seconds in all.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// Where the credentials of systemd are: nothing can be written there.
const CREDENTIALS: &str = "/run/credentials";
/// Where the head stands of a key that is such a credential.
const STATE: &str = "/var/lib/sealgate/audit.key";

/// What the gate last signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::audit) struct RememberedHead {
    /// 1.
    pub(super) schema: u32,
    /// Of which log.
    pub(super) log: PathBuf,
    /// The first entry of each file, the oldest first, as far as they are known.
    pub(super) files: Vec<u64>,
    /// The checkpoint; the names of its entries are left out.
    pub(super) checkpoint: Checkpoint,
}

/// Where the last checkpoint by this key is remembered.
pub(in crate::audit) fn head_of(key: &Path) -> PathBuf {
    beside(if key.starts_with(CREDENTIALS) { Path::new(STATE) } else { key }, "head")
}

/// What is remembered; none where nothing is.
///
/// # Errors
/// When it cannot be read, others could have written it (`PermissionDenied`), or it is not what the
/// gate writes (`InvalidData`).
pub(in crate::audit) fn read(path: &Path) -> io::Result<Option<RememberedHead>> {
    let file = match open_part(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    file_trust::check_open(path, &file.metadata()?)
        .map_err(|_| io::Error::from(io::ErrorKind::PermissionDenied))?;
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes)?;
    let read: RememberedHead = serde_json::from_slice(&bytes)?;
    let is_sound = read.checkpoint.claimed().is_some() && read.files.is_sorted();
    if is_sound { Ok(Some(read)) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// What the gate last signed of this log with this key, as is remembered beside the key; none where
/// nothing is.
///
/// # Errors
/// When it cannot be read, or is not what the gate writes.
pub fn remembered_head(key: &Path, log: &Path) -> io::Result<Option<TreeHead>> {
    let head = read(&head_of(key))?.filter(|head| head.log == log);
    Ok(head.and_then(|head| head.checkpoint.claimed()).map(|(head, _)| head))
}

/// Puts it there, durably: a crash leaves what was there before, or this.
fn write(path: &Path, head: &RememberedHead) -> io::Result<()> {
    let new = beside(path, "new");
    let _nothing_there_mostly = fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(head)?)?;
    file.sync_all()?;
    fs::rename(new, path)?;
    File::open(path.parent().unwrap_or_else(|| Path::new("/")))?.sync_all()
}

type HeadMessage = (RememberedHead, SyncSender<()>);

/// Writes what is to be remembered.
#[derive(Debug)]
pub(super) struct HeadKeeper {
    path: PathBuf,
    /// None until something was kept.
    thread: Option<SyncSender<HeadMessage>>,
    fault: Arc<Mutex<Option<String>>>,
}

impl HeadKeeper {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, thread: None, fault: Arc::default() }
    }

    /// Where it is remembered.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Why the last could not be kept.
    pub(super) fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps this; at the end of the log it is waited for, not long.
    pub(super) fn keep(&mut self, head: RememberedHead, is_end: bool) {
        let (path, fault) = (self.path.clone(), Arc::clone(&self.fault));
        let thread = self.thread.get_or_insert_with(|| {
            let (thread, inbox) = mpsc::sync_channel::<HeadMessage>(WAITING_MAX);
            let work = move || {
                while let Ok((mut head, mut reply)) = inbox.recv() {
                    // Of those that wait only the last matters.
                    while let Ok(later) = inbox.try_recv() {
                        (head, reply) = later;
                    }
                    let why = write(&path, &head).err();
                    say(&fault, why.map(|error| told(&path, &error)));
                    let _nobody_may_wait = reply.send(());
                }
            };
            // Without it nothing takes what is sent, and that is said.
            let _spawned = thread::Builder::new().name("audit-head".into()).spawn(work);
            thread
        });
        let (reply, kept) = mpsc::sync_channel(1);
        let is_sent = thread.try_send((head, reply)).is_ok();
        if !is_sent || is_end && kept.recv_timeout(STOP_PATIENCE).is_err() {
            let why = format!("{}: its disk does not answer", self.path.display());
            say(&self.fault, Some(why));
        }
    }
}

/// A fault with the file, in words.
pub(super) fn told(path: &Path, error: &io::Error) -> String {
    format!("{}: {}", path.display(), errno::told(error))
}

/// Says a change, once.
fn say(fault: &Mutex<Option<String>>, now: Option<String>) {
    let mut fault = fault.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(why) = now.as_ref().filter(|why| fault.as_ref() != Some(why)) {
        tracing::error!(
            "the audit log's last checkpoint cannot be remembered, a log that is cut while the gate \
             is down would not be noticed: {why}"
        );
    }
    *fault = now;
}
