//! [`Exporter`]: takes batches from the log, has the collector take them, and keeps the cursor.
//!
//! A batch that is not taken is sent again, with pauses that grow; nothing behind it overtakes it.
//! Where the collector does not take a batch as it is, its halves are sent. A line that it does not
//! take by itself, while it takes others of the same batch, is left out and told; where it takes
//! none of a batch, the lines are not to blame, and nothing is left out.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::batch::{Resource, encode};
use super::collector::{Accepted, Collector, SendFault};
use super::cursor::{CursorError, CursorFile, ExportCursor};
use super::log_lines::{LogLine, LogLines, Unforeseen};

/// How often the log is looked at for new lines.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The first pause before a batch is sent again, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The longest pause that a collector can ask for.
const ASKED_MAX: Duration = Duration::from_secs(3600);

/// How long to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportMode {
    /// To the end of the log, or to the first batch that is not taken.
    Once,
    /// For ever.
    Follow,
}

/// What the journal is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportEvent {
    /// Lines were taken.
    Sent {
        /// How many.
        lines: usize,
    },
    /// A batch was not taken, and is sent again.
    NotTaken {
        /// Why.
        fault: SendFault,
        /// After how long.
        pause: Duration,
    },
    /// Lines that the collector does not take are left out.
    LeftOut {
        /// Why.
        fault: SendFault,
        /// How many.
        lines: usize,
    },
    /// The collector took a batch and says that it rejected lines of it, or a warning.
    Partial {
        /// How many lines.
        rejected: u64,
        /// What it says.
        said: String,
    },
    /// Something about the files.
    Log(Unforeseen),
}

/// Why it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportError {
    /// The cursor could not be kept.
    Cursor(CursorError),
    /// The log could not be read.
    Log(io::ErrorKind),
    /// A batch was not taken, and nobody asked for more tries.
    NotTaken(SendFault),
}

/// What sends the log.
#[derive(Debug)]
pub struct Exporter {
    lines: LogLines,
    collector: Collector,
    resource: Resource,
    cursor: CursorFile,
    now: fn() -> Timestamp,
}

/// What became of a batch.
struct Delivered {
    left_out: Vec<SendFault>,
    taken: usize,
    warnings: Vec<Accepted>,
}

impl Exporter {
    /// Goes on where the cursor says, with this clock.
    ///
    /// # Errors
    /// [`CursorError`] when that cannot be told.
    pub fn new(
        log: &Path,
        cursor: CursorFile,
        collector: Collector,
        resource: Resource,
        now: fn() -> Timestamp,
    ) -> Result<Self, CursorError> {
        let lines = LogLines::new(log, cursor.load()?);
        Ok(Self { lines, collector, resource, cursor, now })
    }

    /// Sends what there is and, following, what is added; each batch is told when it was taken.
    ///
    /// May be dropped at any time: what was not kept as sent is sent again.
    ///
    /// # Errors
    /// [`ExportError`].
    pub async fn run(
        &mut self,
        mode: ExportMode,
        mut tell: impl FnMut(ExportEvent),
    ) -> Result<(), ExportError> {
        let mut pause = PAUSE.0;
        loop {
            let batch = self.lines.next_batch().map_err(|error| ExportError::Log(error.kind()))?;
            batch.unforeseen.into_iter().map(ExportEvent::Log).for_each(&mut tell);
            let Some(cursor) = batch.cursor else {
                match mode {
                    ExportMode::Once => return Ok(()),
                    ExportMode::Follow => tokio::time::sleep(LOOK_EVERY).await,
                }
                continue;
            };
            match self.deliver(&batch.lines).await {
                Ok(delivered) => {
                    self.settle(cursor)?;
                    delivered.tell(&mut tell);
                    pause = PAUSE.0;
                }
                Err(fault) if mode == ExportMode::Once => return Err(ExportError::NotTaken(fault)),
                Err(fault) => {
                    let now = pause_of(&fault, pause);
                    tell(ExportEvent::NotTaken { fault, pause: now });
                    tokio::time::sleep(now).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        }
    }

    fn settle(&mut self, cursor: ExportCursor) -> Result<(), ExportError> {
        self.cursor.keep(&cursor).map_err(ExportError::Cursor)?;
        self.lines.advance(cursor);
        Ok(())
    }

    /// Sends lines, in halves where the whole is not taken; at most twice as many requests as lines.
    async fn deliver(&self, lines: &[LogLine]) -> Result<Delivered, SendFault> {
        let mut delivered = Delivered { left_out: Vec::new(), taken: 0, warnings: Vec::new() };
        let mut waiting = vec![lines];
        while let Some(lines) = waiting.pop() {
            let now = (self.now)();
            let body = Bytes::from(encode(&self.resource, lines, now));
            match self.collector.send(body, now).await {
                Ok(accepted) => {
                    delivered.taken += lines.len();
                    delivered.warnings.push(accepted);
                }
                Err(fault @ SendFault::NotThis { .. }) if lines.len() < 2 => {
                    delivered.left_out.push(fault);
                }
                Err(SendFault::NotThis { .. }) => {
                    let (first, second) = lines.split_at(lines.len() / 2);
                    waiting.extend([second, first]);
                }
                Err(
                    fault @ (SendFault::Unreachable(_)
                    | SendFault::Later { .. }
                    | SendFault::Nothing { .. }),
                ) => return Err(fault),
            }
        }
        match delivered.left_out.first() {
            Some(fault) if delivered.taken == 0 => Err(fault.clone()),
            Some(_) | None => Ok(delivered),
        }
    }
}

impl Delivered {
    fn tell(self, tell: &mut impl FnMut(ExportEvent)) {
        tell(ExportEvent::Sent { lines: self.taken });
        for Accepted { rejected, said } in self.warnings {
            if rejected > 0 || !said.is_empty() {
                tell(ExportEvent::Partial { rejected, said });
            }
        }
        let lines = self.left_out.len();
        if let Some(fault) = self.left_out.into_iter().next() {
            tell(ExportEvent::LeftOut { fault, lines });
        }
    }
}

/// For how long to wait before the batch is sent again.
fn pause_of(fault: &SendFault, pause: Duration) -> Duration {
    match fault {
        SendFault::Later { after: Some(after), .. } => pause.max((*after).min(ASKED_MAX)),
        // Somebody has to change a setting there or here.
        SendFault::Nothing { .. } => PAUSE.1,
        SendFault::Later { after: None, .. }
        | SendFault::Unreachable(_)
        | SendFault::NotThis { .. } => pause,
    }
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cursor(error) => write!(f, "{error}"),
            Self::Log(kind) => write!(f, "the audit log cannot be read: {kind}"),
            Self::NotTaken(fault) => write!(f, "{fault}"),
        }
    }
}

impl std::error::Error for ExportError {}

impl fmt::Display for ExportEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent { lines } => write!(f, "sent {lines} lines of the audit log"),
            Self::NotTaken { fault, pause } => {
                write!(f, "{fault}; trying again in {} s", pause.as_secs())
            }
            Self::LeftOut { fault, lines } => {
                write!(f, "left out {lines} lines of the audit log: {fault}")
            }
            Self::Partial { rejected: 0, said } => write!(f, "the collector warns: {said}"),
            Self::Partial { rejected, said } => {
                write!(f, "the collector rejected {rejected} lines that it had taken: {said}")
            }
            Self::Log(Unforeseen::Gone) => f.write_str(
                "lines of the audit log were removed by its rotation before they were sent: raise \
                 audit.keep_files, or see why the collector was away for so long",
            ),
            Self::Log(Unforeseen::Changed(file)) => write!(
                f,
                "{} is not what was sent of it: it is sent again from its beginning",
                file.display()
            ),
            Self::Log(Unforeseen::TooLong(file)) => write!(
                f,
                "{} has a line that no gate writes, longer than a mebibyte: its beginning is sent",
                file.display()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_what_the_collector_asks() {
        let second = Duration::from_secs(1);
        let later = |after| SendFault::Later { status: 429, after };
        assert_eq!(pause_of(&later(None), second), second);
        assert_eq!(pause_of(&later(Some(30 * second)), second), 30 * second);
        assert_eq!(pause_of(&later(Some(second)), 8 * second), 8 * second);
        assert_eq!(pause_of(&later(Some(Duration::MAX)), second), ASKED_MAX);
        let wrong = SendFault::Nothing { status: 401, said: String::new() };
        assert_eq!(pause_of(&wrong, second), PAUSE.1);
    }
}
