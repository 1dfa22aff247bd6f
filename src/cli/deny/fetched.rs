//! `sealgate deny fetch` and `sealgate deny lower`: the lists that the running gate fetches, and
//! what is said of them.

use clap::Args;

use super::entry;
use crate::cli::terminal::gate::{ask_daemon, complain_of};
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain};
use crate::config::Settings;
use crate::control::{Answer, DenyListStatus, Request};

/// Which lists to fetch.
#[derive(Debug, Args)]
pub(in crate::cli) struct FetchOptions {
    /// The list, as policy.deny_lists names it; all of them when left out.
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// Which list to take an older version of.
#[derive(Debug, Args)]
pub(in crate::cli) struct LowerOptions {
    /// The list, as policy.deny_lists names it.
    #[arg(value_name = "NAME")]
    name: String,
    /// This version, or a later one, is taken from now on; not above the highest that was taken.
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u64).range(1..))]
    to: u64,
    /// Why, on one line; it is on record.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Has the gate fetch, and says how the lists stand.
pub(super) fn fetch(options: &FetchOptions, settings: &Settings, screen: &mut Screen) -> Exit {
    let lists = match ask_daemon(settings, Request::DenyFetch { name: options.name.clone() }) {
        Ok(Answer::DenyLists(lists)) => lists,
        other => return complain_of(other, "not fetched", screen),
    };
    if lists.is_empty() && !screen.is_json() {
        screen.line("policy.deny_lists has no list: there is nothing to fetch");
    }
    print_lists(&lists, screen);
    let is_refused = |list: &DenyListStatus| {
        let unknown = ["absent", "unreachable", "unable", "not-in-force"];
        list.failed && list.outcome.as_deref().is_some_and(|code| !unknown.contains(&code))
    };
    if lists.iter().any(is_refused) {
        Exit::Refused
    } else if lists.iter().any(|list| list.failed) {
        Exit::Unable
    } else {
        Exit::Done
    }
}

/// Has the gate take an older version from now on.
pub(super) fn lower(options: &LowerOptions, settings: &Settings, screen: &mut Screen) -> Exit {
    let LowerOptions { name, to, reason } = options;
    let reason = match entry::reason(reason) {
        Ok(reason) => reason,
        Err(error) => return error.say(screen),
    };
    let (list, version) = (name.clone(), *to);
    match ask_daemon(settings, Request::DenyLower { name: list, version, reason }) {
        Ok(Answer::DenyLists(lists)) => {
            if screen.is_json() {
                lists.iter().for_each(|list| screen.json(list));
            } else {
                let name = plain(name);
                screen.line(&format!(
                    "version {to} of {name}, or a later one, is taken from now on; it is on record"
                ));
                screen.line(&format!("run: sealgate deny fetch {name}"));
            }
            Exit::Done
        }
        other => complain_of(other, "not lowered", screen),
    }
}

fn print_lists(lists: &[DenyListStatus], screen: &mut Screen) {
    for list in lists {
        if screen.is_json() {
            screen.json(list);
            continue;
        }
        let code = list.outcome.as_deref().unwrap_or("not fetched yet");
        let tone = if list.failed { Tone::Bad } else { Tone::Good };
        let code = screen.tone(tone, &plain(code));
        let message = list.message.as_deref().unwrap_or_default();
        screen.line(&format!("{}  {code}: {}", plain(&list.name), plain(message)));
        screen.line(&format!("  from {}", plain(&list.source)));
        screen.line(&format!("  in force: {}", in_force(list)));
        if let Some(signer) = &list.signer {
            screen.line(&format!("  signed by {}", plain(signer)));
        }
    }
}

/// What of a list is in force, in words.
fn in_force(list: &DenyListStatus) -> String {
    match (list.version, &list.expires) {
        (Some(version), Some(expires)) => {
            let word = if list.expired { "EXPIRED" } else { "expires" };
            format!("version {version}, {} entries, {word} {}", list.entries, plain(expires))
        }
        (_, _) => "nothing".to_owned(),
    }
}
