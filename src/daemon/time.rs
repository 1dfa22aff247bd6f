//! The time as of which the gate judges: how it is kept, and how an operator lowers it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{CLOCK, Daemon};
use crate::audit::{self, Noted};
use crate::control::Answer;
use crate::floor;

/// How often the latest time on record is put on disk, when there was a record. What a crash loses
/// of it is known from the log's last change, unless the clock was set back in the same minute.
const KEEP_EVERY: Duration = Duration::from_secs(60);
/// How long the end waits for it to be put there: a disk that does not answer must not hold it up.
const KEEP_LIMIT: Duration = Duration::from_secs(2);

impl Daemon {
    /// Keeps the latest time on record on disk, while the gate runs.
    pub(super) async fn keep_time(self: Arc<Self>) {
        let mut kept = self.gate.floor().latest();
        loop {
            tokio::time::sleep(KEEP_EVERY).await;
            let latest = self.gate.floor().latest();
            if latest != kept && self.put_time(latest).await {
                kept = latest;
            }
        }
    }

    /// The same once, for the end.
    pub(super) async fn end_time(&self) {
        let latest = self.gate.floor().latest();
        if latest > Timestamp::MIN
            && tokio::time::timeout(KEEP_LIMIT, self.put_time(latest)).await.is_err()
        {
            tracing::warn!("the latest time on record could not be kept: its disk does not answer");
        }
    }

    async fn put_time(&self, time: Timestamp) -> bool {
        let path = self.settings.clock.file.clone();
        let written = tokio::task::spawn_blocking(move || floor::write(&path, time)).await;
        let Ok(written) = written else { return false };
        let is_kept = written.is_ok();
        self.note_floor(written);
        is_kept
    }

    /// Remembers how that went, and says a change of it once.
    pub(super) fn note_floor(&self, written: Result<(), floor::FloorError>) {
        let mut before = self.floor_error.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let error = written.err().map(|error| error.to_string());
        if let Some(error) = error.as_ref().filter(|error| before.as_ref() != Some(error)) {
            tracing::warn!("what ended may count again if the clock is set back: {error}");
        }
        *before = error;
    }

    /// An operator says that the clock is right and was ahead before: on record first.
    pub(super) async fn lower_clock(&self) -> Answer {
        let floor = self.gate.floor();
        let (from, to) = (floor.latest(), CLOCK.now());
        if from <= to {
            return Answer::NotDone(format!(
                "the clock says {to:.0} and nothing was recorded after that"
            ));
        }
        let noted = Noted::ClockLowered { from: stamp(from), to: stamp(to) };
        if let Err(error) = self.recorder.log().note(noted).await {
            return Answer::NotDone(format!("it cannot be put on record: {error}"));
        }
        floor.lower(to);
        self.recorder.log().restart_ids();
        tracing::warn!(
            "an operator lowered the time as of which is judged from {from:.0} to {to:.0}"
        );
        if tokio::time::timeout(KEEP_LIMIT, self.put_time(to)).await != Ok(true) {
            return Answer::NotDone(format!(
                "it is lowered until the next start, and could not be kept: {}",
                self.settings.clock.file.display()
            ));
        }
        Answer::ClockLowered { from: format!("{from:.0}"), to: format!("{to:.0}") }
    }
}

fn stamp(time: Timestamp) -> audit::Timestamp {
    audit::Timestamp::from_unix(Duration::try_from(time.as_duration()).unwrap_or_default())
}
