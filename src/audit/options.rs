//! [`Options`]: where the log is, how large it may grow, and what a failure of it means.

use std::fs;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::checkpoints::SealingOptions;
use super::encode::RECORD_MAX;
use super::error::AuditError;
use crate::file_trust::{self, Above, OwnershipFault};

/// The permissions that a log may have: the owner writes, the group reads at most.
const MODE_MAX: u32 = 0o640;

/// Options of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The file. Older ones stand beside it with `.1`, `.2` … added, the newest of them `.1`.
    pub path: PathBuf,
    /// Permission bits of the file, written in TOML as `0o600`; 0640 lets a log shipper's group
    /// read it. No bit beyond those is accepted.
    pub mode: u32,
    /// Bytes at which a new file is begun; at least 65536, the largest record. 64 MiB is some 50
    /// 000 decisions, and still opens in any editor.
    pub max_bytes: NonZeroU64,
    /// Older files kept; the oldest is removed when there is one more. With the current file that
    /// is 576 MiB.
    pub keep_files: NonZeroU32,
    /// What happens to requests while the log cannot be written.
    pub on_failure: OnFailure,
    /// Bytes that must remain free on the file system for a refusal to be written; what is left
    /// belongs to admissions. 64 MiB is as many admissions again as one file holds.
    pub reserve_bytes: u64,
    /// Bytes of refusals written per hour at most, averaged over an hour; beyond that they are
    /// counted. 4 MiB is some 2000 an hour, and keeps a flood from rotating away what was admitted
    /// in less than five days.
    pub refusal_bytes_per_hour: NonZeroU64,
    /// Seconds for which decisions like one already written are counted instead of written. 60: one
    /// record for what a crash-looping deployment asks in a minute.
    pub repeat_seconds: NonZeroU64,
    /// Different refusals, and as many different admissions, watched for repeats at once; beyond
    /// that refusals are only counted and admissions written each. 1024, at about 2 KiB each.
    pub repeat_entries: NonZeroUsize,
    /// Records waiting to be written at most, of which refusals may be half; beyond that appending
    /// fails at once. 1024 is ten times the calls that the kubelet has in flight.
    pub queue_records: NonZeroUsize,
    /// Milliseconds for which a decision waits until its record is on disk; beyond that it counts
    /// as one that could not be recorded, and its record waits for the disk. 2000: a disk that is
    /// well takes milliseconds, and a kubelet gives up on a container after two minutes.
    pub append_ms: NonZeroU64,
    /// The file with the key that signs checkpoints, made at the first start; empty for a log
    /// without checkpoints. A credential of systemd is named by its path and only read.
    pub checkpoint_key: PathBuf,
    /// Records after which a checkpoint is made, about. 256: of each a checkpoint has 11 bytes, and
    /// a signature takes some 20 microseconds.
    pub checkpoint_records: NonZeroU64,
    /// Seconds after which a record is covered by a checkpoint at the latest. 60: what is cut off
    /// behind the last one does not show, and a checkpoint takes some 1 KiB.
    pub checkpoint_seconds: NonZeroU64,
}

/// What happens to requests while a decision cannot be recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// New images are refused; those admitted before still start, and are counted.
    #[default]
    RefuseNew,
    /// Whatever the policies admit is admitted, and counted.
    AdmitAll,
    /// Everything is refused.
    RefuseAll,
}

impl Options {
    /// When the log was last written, by the clock of that moment; none where there is no log yet.
    #[must_use]
    pub fn last_change(&self) -> Option<std::time::SystemTime> {
        self.path.metadata().and_then(|metadata| metadata.modified()).ok()
    }

    /// Who else could write the log or its folder by now, in words; none when nobody can.
    pub(super) fn exposed(&self) -> Option<String> {
        let folder = file_trust::check(self.path.parent().unwrap_or(&self.path), Above::GroupToo);
        let file = |()| match fs::symlink_metadata(&self.path) {
            Ok(metadata) => file_trust::check_open(&self.path, &metadata),
            // It is made again with the next record.
            Err(_) => Ok(()),
        };
        match folder.and_then(file) {
            Ok(()) | Err(OwnershipFault::Unreadable { .. }) => None,
            Err(fault) => Some(fault.to_string()),
        }
    }

    /// For how long a decision waits until its record is on disk.
    #[must_use]
    pub const fn patience(&self) -> Duration {
        Duration::from_millis(self.append_ms.get())
    }

    /// What is sealed with what, and how often.
    pub(super) fn sealing(&self) -> SealingOptions {
        SealingOptions {
            key: self.checkpoint_key.clone(),
            records: self.checkpoint_records.get(),
            period: Duration::from_secs(self.checkpoint_seconds.get()),
            log: self.path.clone(),
        }
    }

    /// For how long refusals like one already written are counted.
    #[must_use]
    pub const fn repeat_window(&self) -> Duration {
        Duration::from_secs(self.repeat_seconds.get())
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`AuditError::Mode`], [`AuditError::TooSmall`] or [`AuditError::NotAFile`] for a path
    /// without a file name.
    pub fn check(&self) -> Result<(), AuditError> {
        if self.mode & !MODE_MAX != 0 || self.mode & 0o200 == 0 {
            return Err(AuditError::Mode { mode: self.mode });
        }
        let least = u64::try_from(RECORD_MAX).unwrap_or(u64::MAX);
        if self.max_bytes.get() < least {
            return Err(AuditError::TooSmall { max_bytes: self.max_bytes.get(), least });
        }
        if !self.path.is_absolute() || self.path.file_name().is_none() {
            return Err(AuditError::NotAFile { path: self.path.clone() });
        }
        Ok(())
    }
}

impl Default for Options {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            path: PathBuf::from("/var/log/sealgate/audit.jsonl"),
            mode: 0o600,
            max_bytes: NonZeroU64::MIN.saturating_add(64 * MIB - 1),
            keep_files: NonZeroU32::MIN.saturating_add(7),
            on_failure: OnFailure::RefuseNew,
            reserve_bytes: 64 * MIB,
            refusal_bytes_per_hour: NonZeroU64::MIN.saturating_add(4 * MIB - 1),
            repeat_seconds: NonZeroU64::MIN.saturating_add(59),
            repeat_entries: NonZeroUsize::MIN.saturating_add(1023),
            queue_records: NonZeroUsize::MIN.saturating_add(1023),
            append_ms: NonZeroU64::MIN.saturating_add(1999),
            checkpoint_key: PathBuf::from("/var/lib/sealgate/audit.key"),
            checkpoint_records: NonZeroU64::MIN.saturating_add(255),
            checkpoint_seconds: NonZeroU64::MIN.saturating_add(59),
        }
    }
}
