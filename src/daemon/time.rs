//! The time as of which the gate judges: how it is kept, and how an operator lowers it; the zone in
//! which people read the clock.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{CLOCK, Daemon};
use crate::audit::{self, Noted};
use crate::control::Answer;
use crate::floor;

/// How often the latest time on record is put on disk, when there was a record. What a crash loses
/// of it is known from the log's last change, unless the clock was set back in the same minute.
const KEEP_EVERY: Duration = Duration::from_secs(60);
/// How long the end waits for it to be put there: a disk that does not answer must not hold it up.
const KEEP_LIMIT: Duration = Duration::from_secs(2);

/// Where the zone of the node is.
const LOCAL: &str = "/etc/localtime";
/// Where the zones are by their names.
const ZONES: &str = "/usr/share/zoneinfo";
/// Most bytes of a zone's file: the largest has some four thousand.
const ZONE_MAX: u64 = 64 << 10;

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

/// The zone that `TZ` names, or else that of the node; UTC where there is none that can be read.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the one room where the environment is read")]
pub fn time_zone() -> TimeZone {
    let named = std::env::var("TZ").ok().filter(|name| !name.is_empty());
    let zone = match named {
        Some(name) => by_name(name.trim_start_matches(':')),
        None => of_file(Path::new(LOCAL), None).ok(),
    };
    zone.unwrap_or(TimeZone::UTC)
}

/// The zone of a name (`Europe/Berlin`), or of a rule (`CET-1CEST,M3.5.0,M10.5.0/3`).
fn by_name(name: &str) -> Option<TimeZone> {
    let is_below = !name.starts_with('/') && !name.split('/').any(|part| part == "..");
    let file = || of_file(&PathBuf::from(ZONES).join(name), Some(name)).ok();
    let found = if is_below { file() } else { None };
    found.or_else(|| TimeZone::posix(name).ok())
}

fn of_file(path: &Path, name: Option<&str>) -> io::Result<TimeZone> {
    let mut bytes = Vec::new();
    File::open(path)?.take(ZONE_MAX).read_to_end(&mut bytes)?;
    let linked = std::fs::canonicalize(path).unwrap_or_default();
    let of_link = linked.strip_prefix(ZONES).ok().and_then(Path::to_str);
    let name = name.or(of_link).unwrap_or("local");
    TimeZone::tzif(name, &bytes).map_err(|error| io::Error::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_known_by_its_name_and_by_its_rule_and_no_other_file_is_read() {
        let at: Timestamp = "2026-07-01T12:00:00Z".parse().unwrap();
        let offset = |zone: &TimeZone| zone.to_offset(at).seconds();
        assert_eq!(offset(&by_name("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()), 7200);
        for name in ["../../../etc/hostname", "/etc/localtime", "no/such", ""] {
            assert!(by_name(name).is_none(), "{name}");
        }
        if let Some(zone) = by_name("Asia/Kolkata") {
            assert_eq!(offset(&zone), 19_800);
        }
        let _ = time_zone();
    }
}
