//! `sealgate clock lower`.

use super::terminal::gate::{NOT_UNDERSTOOD, ask_daemon};
use super::terminal::screen::{Exit, Screen, plain};
use crate::config::Settings;
use crate::control::{Answer, Request};

/// Has the running gate judge as of what the clock says, and says what it did before.
pub(super) fn lower(settings: &Settings, screen: &mut Screen) -> Exit {
    match ask_daemon(settings, Request::ClockLower) {
        Ok(answer @ Answer::ClockLowered { .. }) if screen.is_json() => {
            screen.json(&answer);
            Exit::Done
        }
        Ok(Answer::ClockLowered { from, to }) => {
            screen.line(&format!(
                "judged as of {} from now on, and as of {} before",
                plain(&to),
                plain(&from)
            ));
            Exit::Done
        }
        Ok(Answer::NotDone(why) | Answer::Refused(why)) => {
            screen.complain(&format!("not lowered: {why}"));
            Exit::Refused
        }
        Ok(
            Answer::Status(_)
            | Answer::Tested(_)
            | Answer::Swept(_)
            | Answer::Flushed(_)
            | Answer::Reloaded(_)
            | Answer::DenyLists(_)
            | Answer::Faulty(_)
            | Answer::MayBring { .. }
            | Answer::MayNotBring { .. }
            | Answer::Unknown(_),
        ) => {
            screen.complain(&format!("not lowered: {NOT_UNDERSTOOD}"));
            Exit::Unable
        }
        Err(error) => {
            screen.complain(&format!("not lowered: {error}"));
            Exit::Unable
        }
    }
}
