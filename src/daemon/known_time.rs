//! The time as of which the gate judges: what is known of it at the start.

use jiff::Timestamp;

use crate::audit;
use crate::config::Settings;
use crate::cri::Gate;
use crate::floor;

/// How far the clock may be behind without a word: clocks are corrected by less all the time.
const BEHIND: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);
/// The latest time that this node recorded anything, by what is on disk, and what is wrong with
/// that: the file, or the last change of the log if that is later.
#[must_use]
pub fn known_time(settings: &Settings) -> (Option<Timestamp>, Option<floor::FloorError>) {
    let (kept, error) = match floor::read(&settings.clock.file) {
        Ok(kept) => (kept, None),
        Err(error) => (None, Some(error)),
    };
    let changed = settings.audit.last_change().and_then(|time| Timestamp::try_from(time).ok());
    (kept.max(changed), error)
}

/// What to say of a clock that is not believed; `says` is what it says.
pub(super) fn clock_warning(gate: &Gate, says: Timestamp) -> Option<String> {
    let known = gate.floor().latest();
    let behind = known.duration_since(says);
    (behind > BEHIND).then(|| {
        format!(
            "the clock says {says:.0}, but decisions were recorded until {known:.0}: what ends is \
             judged as of then; set the clock, or run sealgate clock lower if it is right and was \
             ahead before"
        )
    })
}

/// What to put on record of a clock that is not believed.
pub(super) fn clock_behind(gate: &Gate, says: Timestamp) -> Option<audit::Noted> {
    let known = gate.floor().latest();
    let is_behind = known.duration_since(says) > BEHIND;
    is_behind.then(|| audit::Noted::ClockBehind { says: stamp(says), known: stamp(known) })
}

/// As records have it.
fn stamp(time: Timestamp) -> audit::Timestamp {
    let since = u64::try_from(time.as_millisecond()).unwrap_or_default();
    audit::Timestamp::from_unix(std::time::Duration::from_millis(since))
}

/// Puts what is known of the time on disk before the log is written, whose first record takes the
/// log's own time back; why that could not be done.
pub(super) fn settle_time(gate: &Gate, settings: &Settings) -> Option<String> {
    let (file, known) = (&settings.clock.file, gate.floor().latest());
    if known == Timestamp::MIN || floor::read(file) == Ok(Some(known)) {
        return None;
    }
    let error = floor::write(file, known).err()?.to_string();
    tracing::warn!("what ended may count again if the clock is set back: {error}");
    Some(error)
}
