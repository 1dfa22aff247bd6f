//! `sealgate deny list`.

use std::path::Path;

use serde::Serialize;

use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::gate::ask_daemon;
use crate::cli::terminal::screen::{Exit, Screen, plain};
use crate::config::Settings;
use crate::control::{Answer, DenyListStatus, Request};
use crate::loader::{self, Warning};
use crate::policy::{DenyEntry, PolicySet};

/// How wide a line is at most, but for what must be whole to be named to `remove`.
const WIDTH: usize = 80;
/// The kinds of entries, as they call themselves.
const KINDS: [&str; 6] = ["digest", "repository", "key", "identity", "certificate", "log entry"];

/// One entry, for programs.
#[derive(Serialize)]
struct DenyLine<'l> {
    number: usize,
    list: &'l str,
    file: &'l str,
    #[serde(flatten)]
    entry: &'l DenyEntry,
}

/// Whether entries of this file are those of a list that is fetched.
pub(super) fn is_fetched(set: &PolicySet, file: &str) -> bool {
    set.fetched_lists().iter().any(|head| head.source == file)
}

/// Every entry with its file, in the order of their numbers.
pub(super) fn numbered(set: &PolicySet) -> Vec<(String, DenyEntry)> {
    set.denied().map(|(_, file, entry)| (file.to_owned(), entry.clone())).collect()
}

/// Prints every entry of the files.
pub(super) fn run(settings: &Settings, screen: &mut Screen) -> Result<Exit, CommandError> {
    let loaded = loader::load(&settings.policy, &settings.trust)?;
    let set = loaded.policies;
    if !screen.is_json() && set.denied().next().is_some() {
        screen.line(&row(["NO", "KIND", "SINCE", "FILE", "REASON"]));
    }
    for ((list, file, entry), number) in set.denied().zip(1..) {
        if screen.is_json() {
            screen.json(&DenyLine { number, list, file, entry });
            continue;
        }
        let (kind, value) = parts(entry);
        let name = Path::new(file).file_name().unwrap_or_default().to_string_lossy();
        let name = if is_fetched(&set, file) { format!("fetched {list}").into() } else { name };
        let (name, reason) = (plain(&name), plain(&entry.reason));
        let date: String = entry.date.to_string().chars().take(10).collect();
        screen.line(&row([&number.to_string(), kind, &date, &name, &reason]));
        screen.line(&format!("      {}", plain(&value)));
    }
    let is_of_list = |warning: &&Warning| {
        matches!(
            warning,
            Warning::NoDenyList { .. }
                | Warning::DenyList { .. }
                | Warning::OldDenyList { .. }
                | Warning::UnusedDenyList { .. }
        )
    };
    for warning in loaded.warnings.iter().filter(is_of_list) {
        screen.complain(&warning.to_string());
    }
    let status = ask_daemon(settings, Request::Status);
    let in_force = match &status {
        Ok(Answer::Status(status)) => status.deny_lists.as_slice(),
        Ok(_) | Err(_) => &[],
    };
    if set.denied().next().is_none() {
        screen.complain(&nothing_denied(in_force));
    }
    tell_whether_in_force(&set, &status, screen);
    Ok(Exit::Done)
}

/// What there is to say where the files deny nothing: a fetched list can be in force all the same,
/// since a running gate goes on with what it has.
fn nothing_denied(in_force: &[DenyListStatus]) -> String {
    let deny: Vec<String> = in_force
        .iter()
        .filter(|list| list.entries > 0)
        .map(|list| {
            let version = list.version.unwrap_or_default();
            format!("{}, version {version}, with {} entries", list.name, list.entries)
        })
        .collect();
    match deny.is_empty() {
        true => "nothing is denied".to_owned(),
        false => format!(
            "nothing is denied by the files here; the running gate denies by fetched lists: {}",
            deny.join("; ")
        ),
    }
}

/// The list is that of the files; says so where the gate has something else in force.
fn tell_whether_in_force(set: &PolicySet, status: &Result<Answer, String>, screen: &mut Screen) {
    match status {
        Ok(Answer::Status(status)) if status.policy.generation == set.generation() => {}
        Ok(Answer::Status(_)) => screen.complain(
            "the running gate has something else in force than these files; sealgate reload says why",
        ),
        Ok(_) | Err(_) => {
            screen.complain("the gate does not say whether this is in force; sealgate status says why");
        }
    }
}

/// Its kind, and all that it is matched by.
fn parts(entry: &DenyEntry) -> (&'static str, String) {
    let text = entry.denied.to_string();
    let kind = KINDS.into_iter().find(|kind| text.starts_with(kind)).unwrap_or_default();
    (kind, text.get(kind.len()..).unwrap_or_default().trim_start().to_owned())
}

/// One line of the table.
fn row([number, kind, since, file, reason]: [&str; 5]) -> String {
    let front = format!("{number:>4}  {kind:<11}  {since:<10}  {file:<16}  ");
    let room = WIDTH.saturating_sub(front.chars().count()).max(8);
    let reason = if reason.chars().count() > room {
        reason.chars().take(room - 1).chain(['…']).collect()
    } else {
        reason.to_owned()
    };
    format!("{front}{reason}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Denied, IdentityText};

    #[test]
    fn a_list_that_the_gate_alone_has_denies_all_the_same() {
        let list = DenyListStatus {
            name: "fleet".to_owned(),
            version: Some(7),
            entries: 2,
            ..DenyListStatus::default()
        };
        assert_eq!(nothing_denied(&[]), "nothing is denied");
        assert_eq!(
            nothing_denied(&[DenyListStatus { entries: 0, ..list.clone() }]),
            "nothing is denied"
        );
        let said = nothing_denied(&[list]);
        assert!(said.ends_with("fetched lists: fleet, version 7, with 2 entries"), "{said}");
    }

    #[test]
    fn a_row_fits_a_terminal_and_a_value_is_whole() {
        let line = row(["12", "certificate", "2026-01-31", "deny.yaml", &"why ".repeat(40)]);
        assert_eq!(line.chars().count(), WIDTH, "{line}");
        assert!(line.ends_with('…'), "{line}");
        let subject = Some(IdentityText::Exact("dev@acme.test".to_owned()));
        let date = "2026-01-31T12:00:00Z".parse().unwrap();
        let entry = |denied| DenyEntry { denied, reason: "x".to_owned(), date };
        for (denied, expected) in [
            (
                Denied::Identity { issuer: None, subject, signed_after: None },
                ("identity", "subject dev@acme.test"),
            ),
            (Denied::LogIndex { index: 12, log: None }, ("log entry", "12")),
            (
                Denied::Repository { pattern: "reg.test/**".to_owned() },
                ("repository", "reg.test/**"),
            ),
        ] {
            let entry = entry(denied);
            let (kind, value) = parts(&entry);
            assert_eq!((kind, value.as_str()), expected);
        }
    }
}
