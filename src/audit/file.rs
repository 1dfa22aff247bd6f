//! [`LogFile`]: the file under the log. Adds whole batches of lines or nothing, begins a new file
//! when one is full, and finds its way back after a crash, a full disk, or someone else's hands.
//!
//! It knows bytes and lines, not what they say.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::mem;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use nix::fcntl::Flock;
use nix::libc;

use super::checkpoints::Sealing;
use super::encode::RECORD_MAX;
use super::error::{Action, AuditError};
use super::lines::lock::lock;
use super::lines::start_of_last_line;
pub(super) use super::lines::{beside, identity};
use super::options::Options;
use super::record::{CheckpointCause, Noted};
use super::state::State;
use crate::clock::Clock;
use crate::file_trust::{self, Above, OwnershipFault};

/// Torn lines kept aside and read back at most, in bytes; one crash leaves one line.
const TORN_MAX: u64 = 1 << 20;
/// Torn lines that are noted each at most; one crash leaves one line. Of more a note tells the number.
const FRAGMENTS_MAX: usize = 64;
/// Tries: ten seconds. A process that was killed lets go when the kernel has taken down its memory,
/// milliseconds later; one that still has the lock after this goes on writing.
const LOCK_TRIES: u32 = 1000;

/// The current file and the names of the older ones. Nothing but this holds the lock.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    folder: PathBuf,
    mode: u32,
    max_bytes: u64,
    keep: u32,
    clock: Clock,
    state: Arc<State>,
    current: Option<Current>,
    undo: Option<Undo>,
    torn: Vec<Torn>,
    /// Whether what an earlier run left torn was read.
    looked_aside: bool,
    lock: Option<Flock<File>>,
    /// None where lines get no checkpoints.
    sealing: Option<Sealing>,
}

/// A line that did not reach its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Torn {
    /// As much of it as a line may have.
    pub(super) bytes: Vec<u8>,
    /// How long it was.
    pub(super) length: u64,
}

#[derive(Debug)]
struct Current {
    file: File,
    identity: (u64, u64),
    /// Bytes that are known to be on disk.
    length: u64,
}

/// A write that failed: what it may have left beyond `length` was never acknowledged and is taken
/// out.
#[derive(Debug, Clone, Copy)]
struct Undo {
    identity: (u64, u64),
    length: u64,
}

impl LogFile {
    /// A file of these options. Touches no disk.
    pub(super) fn new(
        options: &Options,
        state: Arc<State>,
        clock: Clock,
        sealing: Option<Sealing>,
    ) -> Result<Self, AuditError> {
        let path = options.path.clone();
        let folder =
            path.parent().ok_or_else(|| AuditError::NotAFile { path: path.clone() })?.to_owned();
        let (mode, max_bytes, keep) =
            (options.mode, options.max_bytes.get(), options.keep_files.get());
        let (current, undo, torn, looked_aside, lock) = (None, None, Vec::new(), false, None);
        Ok(Self {
            path,
            folder,
            mode,
            max_bytes,
            keep,
            clock,
            state,
            current,
            undo,
            torn,
            looked_aside,
            lock,
            sealing,
        })
    }

    /// Takes the lock, waiting for one who is about to let go, and opens the current file. What
    /// fails here is tried again with each append.
    pub(super) fn open(&mut self) -> Result<(), AuditError> {
        check_folder(&self.folder)?;
        self.hold_lock(LOCK_TRIES)?;
        self.try_open()
    }

    /// The same without waiting.
    pub(super) fn try_open(&mut self) -> Result<(), AuditError> {
        self.ready().map(drop)
    }

    /// Reads the key and finds the tree, unless that is done.
    pub(super) fn prepare_sealing(&mut self) {
        // Another process may still write it.
        let Some(sealing) = self.sealing.as_mut().filter(|_| self.current.is_some()) else {
            return;
        };
        sealing.prepare(&[&self.path, &beside(&self.path, "1")]);
        self.state.unsealed(sealing.fault(), sealing.doubt());
    }

    /// When the next checkpoint is due.
    pub(super) fn checkpoint_due(&self) -> Option<Instant> {
        self.sealing.as_ref().and_then(Sealing::due)
    }

    /// Adds a checkpoint, where there are any: the first of this process, the last, and where something
    /// is not covered.
    pub(super) fn seal(&mut self, cause: CheckpointCause) -> Result<(), AuditError> {
        let is_end = cause == CheckpointCause::Stop;
        let is_wanted = |sealing: &Sealing| is_end || sealing.is_unopened() || sealing.is_behind();
        if !self.sealing.as_ref().is_some_and(is_wanted) {
            return Ok(());
        }
        let outcome = self.put(&[], Some(cause));
        if let (Err(_), Some(sealing)) = (&outcome, &mut self.sealing) {
            sealing.postpone();
        }
        outcome
    }

    /// Adds `lines`, each with its newline, and returns when the disk has them. After an error none
    /// of them is in the file.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), AuditError> {
        self.put(lines, None)
    }

    fn put(&mut self, lines: &[u8], cause: Option<CheckpointCause>) -> Result<(), AuditError> {
        let more = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        let length = self.ready()?.length;
        // A checkpoint by itself belongs to the lines before it.
        let is_full = length > 0 && more > 0 && length.saturating_add(more) > self.max_bytes;
        if is_full {
            // A log that cannot be renamed grows on, to twice its size; then it counts as one that
            // cannot be written.
            match self.rotate() {
                Err(error) if length.saturating_add(more) > self.max_bytes.saturating_mul(2) => {
                    return Err(error);
                }
                Err(_) | Ok(()) => {}
            }
        }
        let path = self.path.clone();
        self.prepare_sealing();
        let begins_file = self.ready()?.length == 0;
        let sealing = self.sealing.as_ref();
        let composed = sealing.and_then(|sealing| sealing.compose(lines, begins_file, cause));
        let current = self.ready()?;
        let undo = Undo { identity: current.identity, length: current.length };
        let bytes = composed.as_ref().map_or(lines, |composed| &composed.bytes);
        match write(&mut current.file, bytes) {
            Ok(()) => {
                current.length += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                self.state.flushes.fetch_add(1, Ordering::Relaxed);
                let sealing = self.sealing.as_mut().zip(composed);
                let is_sealed = sealing.is_some();
                if let Some(head) = sealing.and_then(|(sealing, made)| sealing.commit(made)) {
                    self.state.sealed(&head, self.clock.steady());
                }
                self.sealing.iter_mut().filter(|_| !is_sealed).for_each(Sealing::wrote_unsealed);
                Ok(())
            }
            Err((action, error)) => {
                // After a failed flush the kernel may take pages for clean that are not on disk:
                // start from a new descriptor, and from the last length that was acknowledged.
                (self.current, self.undo) = (None, Some(undo));
                let _repaired_now_or_at_the_next_append = self.ready();
                Err(AuditError::io(action, path, &error))
            }
        }
    }

    /// Whether so many more bytes begin a file.
    pub(super) fn begins(&mut self, more: usize) -> bool {
        let (more, max_bytes) = (u64::try_from(more).unwrap_or(u64::MAX), self.max_bytes);
        let is_full = |length: u64| length == 0 || length.saturating_add(more) > max_bytes;
        self.ready().is_ok_and(|current| is_full(current.length))
    }

    /// Bytes that an ordinary user could still write to this file system; nothing when that cannot
    /// be told.
    pub(super) fn free(&self) -> u64 {
        nix::sys::statvfs::statvfs(&self.folder)
            .map_or(0, |space| space.blocks_available().saturating_mul(space.fragment_size()))
    }

    /// What was found and is to be noted: lines that were torn, and what the seal says.
    pub(super) fn tales(&self) -> Vec<Noted> {
        let torn = self.torn.iter().map(|torn| Noted::Recovered {
            fragment: String::from_utf8_lossy(&torn.bytes).into_owned(),
            bytes: torn.length,
        });
        torn.chain(self.sealing.iter().flat_map(Sealing::notes)).collect()
    }

    /// That stands in notes now.
    pub(super) fn tales_are_noted(&mut self) {
        self.sealing.iter_mut().for_each(Sealing::noted);
        if !mem::take(&mut self.torn).is_empty() {
            let _a_second_note_at_worst = fs::remove_file(beside(&self.path, "torn"));
        }
    }

    /// The current file: the one that is open, if its name still leads to it and nobody else
    /// changed its length.
    fn ready(&mut self) -> Result<&mut Current, AuditError> {
        let same = |current: &Current| {
            fs::symlink_metadata(&self.path).is_ok_and(|found| {
                identity(&found) == current.identity && found.len() == current.length
            })
        };
        let kept = match self.current.take() {
            Some(current) if same(&current) => current,
            Some(_) => {
                self.state.disturbed.fetch_add(1, Ordering::Relaxed);
                self.begin()?
            }
            None => self.begin()?,
        };
        Ok(self.current.insert(kept))
    }

    /// Opens the file, or makes it, and repairs its end.
    fn begin(&mut self) -> Result<Current, AuditError> {
        let failed =
            |action| move |path: &Path, error: &io::Error| AuditError::io(action, path, error);
        check_folder(&self.folder)?;
        self.hold_lock(1)?;
        let file = open_plain(&self.path, self.mode)?;
        let metadata = file.metadata().map_err(|error| failed(Action::Open)(&self.path, &error))?;
        if !metadata.is_file() || metadata.nlink() != 1 {
            return Err(AuditError::NotAFile { path: self.path.clone() });
        }
        if metadata.mode() & 0o7777 != self.mode {
            file.set_permissions(Permissions::from_mode(self.mode))
                .map_err(|error| failed(Action::Open)(&self.path, &error))?;
        }
        sync_folder(&self.folder)?;
        let mut current = Current { file, identity: identity(&metadata), length: metadata.len() };
        if let Some(undo) = self
            .undo
            .filter(|undo| undo.identity == current.identity && undo.length < current.length)
        {
            current.cut(undo.length, &self.path)?;
        }
        self.undo = None;
        self.heal(&mut current)?;
        Ok(current)
    }

    /// Takes the lock unless it is held, and reads what an earlier run left torn: before anything
    /// is written. A disk that is too full for the lock's file is written without it, which is
    /// better than no log.
    fn hold_lock(&mut self, tries: u32) -> Result<(), AuditError> {
        if self.lock.is_none() {
            let lock = take_lock(&beside(&self.path, "lock"), tries, &self.state.awaits_lock);
            self.state.awaits_lock.store(false, Ordering::Release);
            self.lock = lock?;
        }
        if !self.looked_aside {
            self.torn = self.kept_aside()?;
            self.looked_aside = true;
        }
        Ok(())
    }

    /// Takes out a last line without an end. It is kept aside first: a crash on the way loses
    /// nothing.
    fn heal(&mut self, current: &mut Current) -> Result<(), AuditError> {
        let failed = |error: io::Error| AuditError::io(Action::Read, &self.path, &error);
        let start = start_of_last_line(&mut current.file, current.length).map_err(failed)?;
        if start == current.length {
            return Ok(());
        }
        let mut bytes = Vec::new();
        current.file.seek(SeekFrom::Start(start)).map_err(failed)?;
        let most = u64::try_from(RECORD_MAX).unwrap_or(u64::MAX);
        (&current.file).take(most).read_to_end(&mut bytes).map_err(failed)?;
        // On a full disk this fails; the line then lives in memory until its note is written.
        let _kept = keep_aside(&beside(&self.path, "torn"), &bytes);
        self.torn.push(Torn { bytes, length: current.length - start });
        self.state.recovered.fetch_add(1, Ordering::Relaxed);
        current.cut(start, &self.path)
    }

    /// Torn lines that an earlier run took out but did not come to note.
    fn kept_aside(&self) -> Result<Vec<Torn>, AuditError> {
        let path = beside(&self.path, "torn");
        if fs::symlink_metadata(&path).is_err() {
            return Ok(Vec::new());
        }
        let mut bytes = Vec::new();
        let file = open_plain(&path, 0o600)?;
        file.take(TORN_MAX)
            .read_to_end(&mut bytes)
            .map_err(|error| AuditError::io(Action::Read, path, &error))?;
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let torn = |line: &[u8]| Torn {
            bytes: line.to_vec(),
            length: u64::try_from(line.len()).unwrap_or(0),
        };
        let mut found: Vec<Torn> = lines.clone().take(FRAGMENTS_MAX).map(torn).collect();
        let rest = lines.skip(FRAGMENTS_MAX);
        let (count, length) =
            rest.fold((0_u64, 0), |(count, all), line| (count + 1, all + torn(line).length));
        let bytes = format!("{count} more fragments").into_bytes();
        found.extend((count > 0).then_some(Torn { bytes, length }));
        Ok(found)
    }

    /// Renames the current file to `.1` and the older ones one further. The first gap ends the
    /// chain, so that a crash between two renames costs no file.
    fn rotate(&mut self) -> Result<(), AuditError> {
        let name = |number: u32| beside(&self.path, &number.to_string());
        let there = |number: u32| fs::symlink_metadata(name(number)).is_ok();
        let failed = |error: io::Error| AuditError::io(Action::Rotate, &self.path, &error);
        let end = (1..self.keep).find(|number| !there(*number)).unwrap_or(self.keep);
        let sealing = self.sealing.as_ref().filter(|sealing| sealing.is_ready() && there(end));
        let goes = sealing.and_then(|sealing| fs::rename(name(end), sealing.gone()).ok());
        for number in (1..end).rev() {
            fs::rename(name(number), name(number + 1)).map_err(failed)?;
        }
        fs::rename(&self.path, name(1)).map_err(failed)?;
        for number in (self.keep.saturating_add(1)..).take_while(|number| there(*number)) {
            fs::remove_file(name(number)).map_err(failed)?;
        }
        self.current = None;
        if let (Some(()), Some(sealing)) = (goes, &mut self.sealing) {
            sealing.remove(&name(end), usize::try_from(end).unwrap_or(usize::MAX));
        }
        self.state.rotations.fetch_add(1, Ordering::Relaxed);
        sync_folder(&self.folder)
    }
}

impl Current {
    fn cut(&mut self, length: u64, path: &Path) -> Result<(), AuditError> {
        self.file
            .set_len(length)
            .map_err(|error| AuditError::io(Action::Truncate, path, &error))?;
        self.file.sync_data().map_err(|error| AuditError::io(Action::Sync, path, &error))?;
        self.length = length;
        Ok(())
    }
}

fn write(file: &mut File, lines: &[u8]) -> Result<(), (Action, io::Error)> {
    file.write_all(lines).map_err(|error| (Action::Write, error))?;
    file.sync_data().map_err(|error| (Action::Sync, error))
}

/// Opens a file of ours for appending, or makes it. A symbolic link is not followed, another's file
/// is not used.
fn open_plain(path: &Path, mode: u32) -> Result<File, AuditError> {
    let mut how = OpenOptions::new();
    how.read(true)
        .append(true)
        .create(true)
        .mode(mode)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = how.open(path).map_err(|error| {
        let another_kind = error.raw_os_error() == Some(libc::ELOOP)
            || error.kind() == io::ErrorKind::IsADirectory;
        if another_kind {
            AuditError::NotAFile { path: path.into() }
        } else {
            AuditError::io(Action::Open, path, &error)
        }
    })?;
    let metadata = file.metadata().map_err(|error| AuditError::io(Action::Open, path, &error))?;
    file_trust::check_open(path, &metadata).map_err(AuditError::Unsafe)?;
    Ok(file)
}

/// Locks a file of its own, since the log's changes with each rotation and the folder can be locked
/// by whoever may read it. None on a full disk.
fn take_lock(
    path: &Path,
    tries: u32,
    awaits: &AtomicBool,
) -> Result<Option<Flock<File>>, AuditError> {
    let file = match open_plain(path, 0o600) {
        Ok(file) => file,
        Err(AuditError::Full { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let held = lock(file, tries, awaits);
    let held = held.map_err(|errno| AuditError::io(Action::Lock, path, &errno.into()))?;
    held.map_or_else(|| Err(AuditError::InUse { path: path.into() }), |held| Ok(Some(held)))
}

/// Whoever can write the folder can take files out of it.
fn check_folder(folder: &Path) -> Result<(), AuditError> {
    file_trust::check(folder, Above::GroupToo).map_err(|fault| match fault {
        OwnershipFault::Unreadable { path, kind } => {
            AuditError::Io { action: Action::Open, path, kind }
        }
        OwnershipFault::Owner { .. } | OwnershipFault::Writable { .. } => AuditError::Unsafe(fault),
    })
}

fn sync_folder(folder: &Path) -> Result<(), AuditError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| AuditError::io(Action::Sync, folder, &error))
}

fn keep_aside(path: &Path, line: &[u8]) -> Result<(), AuditError> {
    let mut file = open_plain(path, 0o600)?;
    file.write_all(line)
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        .map_err(|error| AuditError::io(Action::Write, path, &error))
}
