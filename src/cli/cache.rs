//! `sealgate cache flush`.

use super::terminal::field::counted;
use super::terminal::gate::{ask_daemon, complain_of};
use super::terminal::screen::{Exit, Screen};
use crate::config::Settings;
use crate::control::{Answer, Request};

/// Makes the running gate forget, and says how much it forgot.
pub(super) fn flush(settings: &Settings, screen: &mut Screen) -> Exit {
    match ask_daemon(settings, Request::CacheFlush) {
        Ok(Answer::Flushed(forgotten)) => {
            if screen.is_json() {
                screen.json(&forgotten);
            } else {
                screen.line(&format!(
                    "forgot {} and {} of evidence",
                    counted(forgotten.verdicts, "verdict"),
                    counted(forgotten.evidence, "piece")
                ));
            }
            Exit::Done
        }
        other => complain_of(other, "nothing was forgotten", screen),
    }
}
