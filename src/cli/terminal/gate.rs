//! The running gate, as several verbs ask it and print what it says.

use super::screen::{Exit, Screen, Tone, plain};
use crate::config::Settings;
use crate::control::{self, Answer, EnforcingStatus, Reloaded, Request};
use crate::errno;

/// What a command says of an answer that it does not know.
pub(in crate::cli) const NOT_UNDERSTOOD: &str =
    "the gate did not understand; is it of the same version?";

/// Speaks to the gate over the control socket of the configuration.
pub(in crate::cli) fn ask_daemon(settings: &Settings, request: Request) -> Result<Answer, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime for the conversation: {}", errno::told(&error)))?;
    runtime
        .block_on(control::ask(&settings.control.socket, request))
        .map_err(|error| error.to_string())
}

/// Says why there is no answer of the kind that was asked for, and what was not done.
pub(in crate::cli) fn complain_of(
    answer: Result<Answer, String>,
    not_done: &str,
    screen: &mut Screen,
) -> Exit {
    let (exit, why) = match answer {
        Ok(Answer::Refused(why)) => (Exit::Refused, why),
        Ok(Answer::NotDone(why)) | Err(why) => (Exit::Unable, why),
        Ok(_) => (Exit::Unable, NOT_UNDERSTOOD.to_owned()),
    };
    screen.complain(&format!("{not_done}: {why}"));
    exit
}

/// Whether the gate is known to enforce: one line, and one for each reason against it.
pub(in crate::cli) fn print_enforcing(status: &EnforcingStatus, screen: &mut Screen) {
    let word = if status.enforcing {
        screen.tone(Tone::Good, "yes, an unsigned image was refused on the kubelet's socket")
    } else {
        screen.tone(Tone::Bad, "NOT KNOWN TO ENFORCE")
    };
    screen.line(&format!("enforces {word}"));
    for doubt in &status.doubts {
        let tone = if doubt.breach { Tone::Bad } else { Tone::Warn };
        let reason = screen.tone(tone, &format!("{}:", plain(&doubt.reason)));
        screen.line(&format!("         {reason} {}", plain(&doubt.seen)));
    }
}

/// What is in force after a reload.
pub(in crate::cli) fn print_in_force(reloaded: &Reloaded, screen: &mut Screen) {
    let Reloaded { policy, changed, not_recorded } = reloaded;
    if policy.observe {
        let what = "OBSERVE mode: nothing is refused";
        screen.line(&screen.tone(Tone::Bad, what));
    }
    let good = screen.tone(Tone::Good, "in force:");
    let unchanged = if *changed { "" } else { ", as before" };
    screen.line(&format!(
        "{good} policies {}, entries of deny lists {}, exceptions {}{unchanged}",
        policy.policies, policy.denied, policy.exceptions
    ));
    screen.line(&format!(
        "          generation {}, keys generation {}",
        plain(&policy.generation),
        plain(&policy.trust_generation)
    ));
    for warning in &policy.warnings {
        let warn = screen.tone(Tone::Warn, "warning:");
        screen.line(&format!("{warn} {}", plain(warning)));
    }
    for sentence in &policy.unproven {
        screen.line(&screen.tone(Tone::Warn, &plain(sentence)));
    }
    if let Some(why) = not_recorded {
        let bad = screen.tone(Tone::Bad, "not on record:");
        screen.line(&format!(
            "{bad} that deny lists, or what replaces what, changed: {}",
            plain(why)
        ));
    }
}

/// How long something has lasted, in its two largest units.
pub(in crate::cli) fn uptime(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    if days > 0 {
        format!("{days} d {hours} h")
    } else if hours > 0 {
        format!("{hours} h {minutes} min")
    } else {
        format!("{minutes} min {} s", seconds % 60)
    }
}
