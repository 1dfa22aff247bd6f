//! `sealgate trust update` and `sealgate trust list`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::terminal::command_error::is_there;
use super::terminal::screen::{Exit, Screen, Tone, plain, shown};
use crate::config::Settings;
use crate::daemon;
use crate::errno;
use crate::loader::lifetime::{self, Item, Kind};
use crate::loader::{self, Found, TrustOptions};
use crate::tuf::{self, Ask, Change, Updated};

/// How wide a line is at most, but for a path or name that is longer by itself.
const WIDTH: usize = 80;

/// Which root, and from where.
#[derive(Debug, Args)]
pub(super) struct Update {
    /// The root to refresh; those of `trust.update` when left out.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Where its updates are published; that of `trust.mirrors`, or of the shipped root, when left
    /// out.
    #[arg(long, value_name = "URL", requires = "name")]
    mirror: Option<String>,
    /// The TUF root that everything is checked from; NAME.root.json of the folders of roots, or the
    /// shipped one, when left out.
    #[arg(long, value_name = "FILE", requires = "name")]
    root: Option<PathBuf>,
}

#[derive(Serialize)]
struct RootLine<'a> {
    name: &'a str,
    change: Option<&'static str>,
    file: Option<String>,
    root_version: Option<u64>,
    timestamp_version: Option<u64>,
    fresh_until: Option<Timestamp>,
    error: Option<String>,
}

/// Refreshes one root, or each that is configured; 2 when one of them could not be.
pub(super) fn update(options: &Update, settings: &Settings, screen: &mut Screen) -> Exit {
    let trust = &settings.trust;
    let names =
        options.name.as_ref().map_or_else(|| trust.update.clone(), |name| vec![name.clone()]);
    if names.is_empty() {
        screen.complain("no root to refresh: trust.update is empty; name one with --name");
        return Exit::Unable;
    }
    if let Some(Err(error)) = options.root.as_deref().map(is_there) {
        return error.say(screen);
    }
    let mut exit = Exit::Done;
    for name in &names {
        let updated = asked(name, options, trust).and_then(|ask| run(&ask));
        if updated.is_err() {
            exit = Exit::Unable;
        }
        told(name, &updated, screen);
        let found = loader::find(trust, name);
        if let (Ok(updated), Some(found)) = (&updated, found)
            && found.file != updated.file
        {
            let file = shown(&found.file);
            screen.complain(&format!(
                "{name}: {file} comes first in trust.roots, so what was fetched is not used"
            ));
        }
    }
    exit
}

fn asked(name: &str, options: &Update, trust: &TrustOptions) -> Result<Ask, String> {
    if !loader::is_root_name(name) {
        return Err(
            "cannot be the name of a root: expected lower-case letters, digits, -, _, .".to_owned()
        );
    }
    let shipped = loader::shipped(name);
    let mirror = options.mirror.clone().or_else(|| trust.mirrors.get(name).cloned());
    let mirror = mirror.or_else(|| shipped.map(|shipped| shipped.mirror.to_owned()));
    let mirror = mirror.ok_or("no mirror is known: give --mirror, or name one in trust.mirrors")?;
    let root = match &options.root {
        Some(file) => loader::tuf_root_file(file).map(Some).map_err(|fault| (file.clone(), fault)),
        None => loader::tuf_root(trust, name),
    };
    let root = root.map_err(|(file, fault)| format!("{}: {fault}", shown(&file)))?;
    let root = root.ok_or_else(|| {
        let folder = shown(trust.roots.first().unwrap_or(&trust.state));
        format!("no TUF root is known: give --root, or put it to {folder}/{name}.root.json")
    })?;
    let limit = Duration::from_secs(u64::from(trust.update_seconds));
    let proxy = match &trust.proxy {
        Some(proxy) => Some(proxy.clone()),
        None => daemon::environment().proxy_for(&mirror).map_err(|error| error.to_string())?,
    };
    Ok(Ask { name: name.to_owned(), mirror, root, state: trust.state.clone(), proxy, limit })
}

fn run(ask: &Ask) -> Result<Updated, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime for the requests: {}", errno::told(&error)))?;
    let accept =
        |bytes: &[u8]| loader::parse_root(bytes).map(drop).map_err(|fault| fault.to_string());
    runtime.block_on(tuf::update(ask, accept, daemon::now())).map_err(|error| error.to_string())
}

fn told(name: &str, updated: &Result<Updated, String>, screen: &mut Screen) {
    let change = updated.as_ref().ok().map(|updated| match updated.change {
        Change::Installed => "installed",
        Change::Replaced => "replaced",
        Change::Unchanged => "unchanged",
    });
    if screen.is_json() {
        let done = updated.as_ref().ok();
        screen.json(&RootLine {
            name,
            change,
            file: done.map(|updated| updated.file.display().to_string()),
            root_version: done.map(|updated| updated.root_version),
            timestamp_version: done.map(|updated| updated.timestamp_version),
            fresh_until: done.map(|updated| updated.fresh_until),
            error: updated.as_ref().err().cloned(),
        });
    }
    match updated {
        Ok(_) if screen.is_json() => {}
        Ok(updated) => {
            let tone = screen.tone(Tone::Good, change.unwrap_or_default());
            let file = plain(&updated.file.display().to_string());
            screen.line(&format!("{}: {tone}, {file}", plain(name)));
            let (root, stamp) = (updated.root_version, updated.timestamp_version);
            screen.line(&format!(
                "  root version {root}, timestamp version {stamp}, fresh until {}",
                day(updated.fresh_until)
            ));
        }
        Err(error) => {
            screen.complain(&format!("{name}: not refreshed, the root in place stays: {error}"))
        }
    }
}

#[derive(Serialize)]
struct ListedRoot<'a> {
    name: &'a str,
    file: String,
    hidden: Vec<String>,
    items: Vec<Item>,
    warnings: Vec<String>,
    error: Option<String>,
}

/// Prints every root there is; 65 when one of them is faulty.
pub(super) fn list(settings: &Settings, screen: &mut Screen) -> Exit {
    let found = match loader::survey(&settings.trust) {
        Ok(found) => found,
        Err((folder, fault)) => {
            screen.complain(&format!("{}: {fault}", folder.display()));
            return Exit::Unable;
        }
    };
    if found.is_empty() && !screen.is_json() {
        screen
            .line("no trust roots: policies with keys need none, others run sealgate trust update");
    }
    let window = SignedDuration::from_hours(i64::from(settings.trust.expiry_warning_days) * 24);
    for found in &found {
        let now = daemon::now();
        let items = found.root.as_ref().map(lifetime::items).unwrap_or_default();
        let endings = lifetime::ending(&items, now, window);
        let listed = ListedRoot {
            name: &found.name,
            file: found.file.display().to_string(),
            hidden: found.hidden.iter().map(|file| file.display().to_string()).collect(),
            items,
            warnings: endings.iter().map(ToString::to_string).collect(),
            error: found.root.as_ref().err().map(ToString::to_string),
        };
        if screen.is_json() {
            screen.json(&listed);
        } else {
            print(&listed, now, screen);
        }
    }
    let faulty = |found: &Found| found.root.is_err();
    if found.iter().any(faulty) { Exit::Faulty } else { Exit::Done }
}

fn print(listed: &ListedRoot<'_>, now: Timestamp, screen: &mut Screen) {
    screen.line(&format!("{}  {}", plain(listed.name), plain(&listed.file)));
    for file in &listed.hidden {
        screen.line(&format!("  not used: {}", plain(file)));
    }
    if let Some(error) = &listed.error {
        note(Tone::Bad, "error:", error, screen);
    }
    for kind in Kind::ALL {
        let of_kind: Vec<&Item> = listed.items.iter().filter(|item| item.kind == kind).collect();
        if of_kind.is_empty() {
            continue;
        }
        screen.line(&format!("  {kind}"));
        for item in of_kind {
            let from = item.from.map_or_else(|| "          ".to_owned(), day);
            let until = item.until.map_or_else(|| "no end    ".to_owned(), day);
            let until = match item.until {
                Some(end) if end < now => screen.tone(Tone::Warn, &until),
                Some(_) | None => until,
            };
            screen.line(&format!(
                "    {from} to {until}  {}",
                shortened(&plain(&item.name), WIDTH - 30)
            ));
        }
    }
    for warning in &listed.warnings {
        note(Tone::Warn, "warning:", warning, screen);
    }
    if listed.error.is_none() {
        let next = listed
            .items
            .iter()
            .filter(|item| item.until >= Some(now))
            .min_by_key(|item| item.until);
        let next = next.and_then(|item| Some(format!("the {}, {}", item.kind, day(item.until?))));
        screen.line(&format!("  ends next: {}", next.unwrap_or_else(|| "nothing".to_owned())));
    }
}

/// A remark, on as many lines as it takes.
fn note(tone: Tone, word: &str, text: &str, screen: &mut Screen) {
    let mut begin = screen.tone(tone, word);
    for line in wrapped(&plain(text), WIDTH - 4 - word.len()) {
        screen.line(&format!("  {begin} {line}"));
        begin = " ".repeat(word.len());
    }
}

/// Broken at spaces into lines of at most so many characters, where its words are not longer.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The date of a time.
fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

/// At most so many characters, the end left out.
fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}
