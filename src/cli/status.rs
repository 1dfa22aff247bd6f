//! `sealgate status`: how the running gate is, for a tired person.

use super::screen::{Exit, Screen, Tone, plain};
use crate::config::Settings;
use crate::control::{self, Answer, Request, Status, TrustStatus};

/// Asks the gate and prints its answer; 1 when something needs a person.
pub(super) fn run(settings: &Settings, screen: &mut Screen) -> Exit {
    match ask_daemon(settings, Request::Status) {
        Ok(Answer::Status(status)) => {
            if screen.is_json() {
                screen.json(&status);
            } else {
                print(&status, screen);
            }
            if is_well(&status) { Exit::Done } else { Exit::Refused }
        }
        Ok(Answer::Flushed(_) | Answer::Unknown(_)) => {
            screen.complain("the gate did not understand; is it of the same version?");
            Exit::Unable
        }
        Err(error) => {
            screen.complain(&error);
            Exit::Unable
        }
    }
}

/// Speaks to the gate over the control socket of the configuration.
pub(super) fn ask_daemon(settings: &Settings, request: Request) -> Result<Answer, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime for the conversation: {error}"))?;
    runtime.block_on(control::ask(&settings.control.socket, request)).map_err(|error| error.to_string())
}

fn is_well(status: &Status) -> bool {
    status.policy.reload_error.is_none() && status.runtime.error.is_none() && status.audit.healthy
}

fn print(status: &Status, screen: &mut Screen) {
    let up = uptime(status.up_seconds);
    screen.line(&format!("sealgate {}, process {}, up {up}", status.version, status.pid));
    let policy = &status.policy;
    screen.line(&format!(
        "policy   generation {}, {} documents; keys generation {}",
        policy.generation, policy.documents, policy.trust_generation
    ));
    if let Some(error) = &policy.reload_error {
        let bad = screen.tone(Tone::Bad, "the last reload was not taken; the set before it is in force:");
        screen.line(&format!("         {bad} {}", plain(error)));
    }
    for warning in &policy.warnings {
        let warn = screen.tone(Tone::Warn, "warning:");
        screen.line(&format!("         {warn} {}", plain(warning)));
    }
    print_trust(&status.trust, screen);
    let runtime = &status.runtime;
    let state = match (&runtime.version, &runtime.error) {
        (Some(version), _) => screen.tone(Tone::Good, &plain(version)),
        (None, Some(error)) => screen.tone(Tone::Bad, &plain(error)),
        (None, None) => "unknown".to_owned(),
    };
    screen.line(&format!("runtime  {} on {}", state, plain(&runtime.socket)));
    let audit = &status.audit;
    let health =
        if audit.healthy { screen.tone(Tone::Good, "writable") } else { screen.tone(Tone::Bad, "NOT WRITABLE") };
    screen.line(&format!("audit    {health}, {} records written, {} failed", audit.written, audit.failed));
    let memory = &status.memory;
    screen.line(&format!(
        "memory   {} verdicts, {} pieces of evidence, {} proven contents",
        memory.verdicts, memory.evidence, memory.contents
    ));
}

fn print_trust(trust: &TrustStatus, screen: &mut Screen) {
    let roots =
        if trust.roots.is_empty() { "no root is kept fresh".to_owned() } else { plain(&trust.roots.join(", ")) };
    let ends = if trust.warnings.is_empty() { "; nothing ends soon" } else { "" };
    screen.line(&format!("trust    {roots}{ends}"));
    for warning in &trust.warnings {
        let warn = screen.tone(Tone::Warn, "warning:");
        screen.line(&format!("         {warn} {}", plain(warning)));
    }
}

fn uptime(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    if days > 0 {
        format!("{days} d {hours} h")
    } else if hours > 0 {
        format!("{hours} h {minutes} min")
    } else {
        format!("{minutes} min {} s", seconds % 60)
    }
}
