//! `sealgate canary`.

use crate::cli::terminal::gate::{ask_daemon, complain_of, print_enforcing};
use crate::cli::terminal::screen::{Exit, Screen};

use crate::config::Settings;
use crate::control::{Answer, Request};

/// Has the running gate test itself; 1 when something speaks against it.
pub(in crate::cli) fn run(settings: &Settings, screen: &mut Screen) -> Exit {
    match ask_daemon(settings, Request::Canary) {
        Ok(Answer::Tested(status)) => {
            if screen.is_json() {
                screen.json(&status);
            } else {
                print_enforcing(&status, screen);
            }
            if status.enforcing { Exit::Done } else { Exit::Refused }
        }
        other => complain_of(other, "the gate was not tested", screen),
    }
}
