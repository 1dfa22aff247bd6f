//! [`Audit`]: how the audit log does.

use super::exposition::{count_of, one};

/// The audit log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Audit {
    /// Whether the last record could be written, and none is overdue.
    pub healthy: bool,
    /// Whether nobody else could write it.
    pub safe: bool,
    /// Lines that are on disk since the start.
    pub written: u64,
    /// Decisions that were counted with others instead of written since the start.
    pub counted: u64,
    /// Records that could not be written since the start.
    pub failed: u64,
    /// Records that the disk did not take in time since the start.
    pub late: u64,
    /// Times the file was found gone, replaced or cut by someone else since the start.
    pub disturbed: u64,
    /// Records that wait for the disk.
    pub waiting: u64,
    /// The most records that may wait.
    pub waiting_limit: u64,
    /// The entries that the last checkpoint is about, and the seconds since it was made; none
    /// before the first.
    pub checkpoint: Option<(u64, u64)>,
}

impl Audit {
    pub(super) fn write(&self, text: &mut String) {
        let mut each = |name: &str, kind: &str, help: &str, count: u64| {
            one(text, name, kind, help, count_of(count));
        };
        let help = "1 when the last record of the audit log could be written and none is overdue.";
        each("sealgate_audit_healthy", "gauge", help, u64::from(self.healthy));
        let help = "1 when nobody but root could write the audit log.";
        each("sealgate_audit_safe", "gauge", help, u64::from(self.safe));
        let help = "Lines that the audit log has on disk since the start.";
        each("sealgate_audit_written_records_total", "counter", help, self.written);
        let help = "Decisions that the audit log counted with others like them since the start, \
            instead of writing them again.";
        each("sealgate_audit_counted_records_total", "counter", help, self.counted);
        let help = "Records that could not be written since the start.";
        each("sealgate_audit_failed_records_total", "counter", help, self.failed);
        let help = "Records that the disk did not take in time since the start; they are written \
            when it does.";
        each("sealgate_audit_late_records_total", "counter", help, self.late);
        let help = "Times the file of the audit log was found gone, replaced or cut by someone \
            else since the start.";
        each("sealgate_audit_disturbed_total", "counter", help, self.disturbed);
        let help = "Records that wait for the disk.";
        each("sealgate_audit_waiting_records", "gauge", help, self.waiting);
        let help = "The most records that may wait for the disk.";
        each("sealgate_audit_waiting_records_limit", "gauge", help, self.waiting_limit);
        if let Some((entries, seconds)) = self.checkpoint {
            let help = "Entries of the audit log that its last checkpoint is about.";
            each("sealgate_audit_checkpoint_entries", "gauge", help, entries);
            let help = "Seconds since the last checkpoint of the audit log.";
            each("sealgate_audit_checkpoint_age_seconds", "gauge", help, seconds);
        }
    }
}
