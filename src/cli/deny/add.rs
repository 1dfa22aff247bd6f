//! `sealgate deny add`.

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::{ArgGroup, Args};
use jiff::Timestamp;
use serde::Serialize;

use super::entry::{self, What, WhatFault, time};
use super::place::{self, CheckedFile, InForce, Place};
use super::who_runs::{self, WhoRuns};
use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::gate::print_in_force;
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain};
use crate::config::Settings;
use crate::containerd::Runtime;
use crate::control::Reloaded;
use crate::daemon;
use crate::errno;
use crate::image::{DOCUMENT_MAX, Digest, Document};
use crate::policy::{Denied, DenyEntry, Documents, PolicyFile, PolicySet, with_deny_entry};

/// The file that entries are added to.
const FILE: &str = "deny.yaml";

/// What to strike off, and why.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("denied").required(true).multiple(true))]
pub(in crate::cli) struct Options {
    #[command(flatten)]
    what: What,
    /// Why, on one line: refusals say it.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Since when; now when left out. Nothing is decided by it.
    #[arg(long, value_name = "TIME", value_parser = time)]
    date: Option<Timestamp>,
    /// Check it and say what it would do; write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write it although it strikes off every image or every signer.
    #[arg(long)]
    force: bool,
}

/// What was done, for programs.
#[derive(Serialize)]
pub(super) struct Done<'d> {
    pub(super) entry: &'d DenyEntry,
    pub(super) file: String,
    pub(super) written: bool,
    /// None where nothing was written.
    pub(super) in_force: Option<bool>,
    pub(super) not_in_force: Option<String>,
    pub(super) gate: Option<&'d Reloaded>,
    #[serde(flatten)]
    pub(super) who_runs: Option<WhoRuns>,
}

impl Options {
    /// What to strike off and why, from now on.
    pub(in crate::cli) fn now(what: What, reason: String, force: bool) -> Self {
        Self { what, reason, date: None, dry_run: false, force }
    }
}

/// The set of the files as they are, and as they would be with an entry more. Nothing is written.
///
/// # Errors
/// When the files are faulty, or cannot be held or read.
pub(in crate::cli) fn prospect(
    denied: Denied,
    settings: &Settings,
) -> Result<[Arc<PolicySet>; 2], CommandError> {
    let date = time(&daemon::now().to_string())?;
    let entry = DenyEntry { denied, reason: "as a question".to_owned(), date };
    let place = Place::hold(settings)?.map_err(CommandError::faulty)?;
    let before = Arc::clone(&place.before);
    if said(&place, &entry, true).is_some() || said(&place, &entry, false).is_some() {
        return Ok([Arc::clone(&before), before]);
    }
    let found = place.file(FILE)?;
    let text = with_deny_entry(found.as_ref(), &entry, &taken(&place));
    let text = text.map_err(|fault| CommandError::faulty(fault.to_string()))?;
    let checked = place.check((FILE, found), Some(text), settings).map_err(CommandError::faulty)?;
    Ok([before, checked.after])
}

/// The names that documents have.
fn taken(place: &Place) -> BTreeSet<String> {
    let lists = place.before.denied().map(|(list, _, _)| list);
    place.before.policies().chain(lists).map(str::to_owned).collect()
}

/// Adds an entry.
pub(in crate::cli) fn run(
    options: &Options,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Exit, CommandError> {
    let reason = entry::reason(&options.reason)?;
    let mut denied = match options.what.denied() {
        Ok(denied) => denied,
        Err(WhatFault::Usage(why)) => return Err(CommandError::usage(why)),
        Err(WhatFault::File(error)) => return Err(error),
    };
    if let Denied::Digest { digest, manifests } = &mut denied
        && options.what.wants_manifests()
    {
        let under = manifests_under(digest, settings)?;
        let new: Vec<Digest> = under.into_iter().filter(|one| !manifests.contains(one)).collect();
        manifests.extend(new);
    }
    let date = options.date.map_or_else(|| time(&daemon::now().to_string()), Ok)?;
    let entry = DenyEntry { denied, reason, date };
    if let Some(what) = strikes_off_all(&entry).filter(|_| !options.force) {
        screen.complain(&format!("{} {what}", plain(&entry.denied.to_string())));
        screen.complain("nothing was written; narrow it down, or add --force");
        return Ok(Exit::Refused);
    }
    let place = match Place::hold(settings)? {
        Ok(place) => place,
        Err(faults) => return Ok(refused(&faults, screen)),
    };
    if let Some((list, file, there)) = said(&place, &entry, true) {
        screen.complain(&said_in("denied already", (list, file, there)));
        let set = (&*place.before, options.dry_run);
        return Ok(already((there, file), set, settings, screen));
    }
    // That one can go without a word here: it is somebody else's.
    if let Some(elsewhere) = said(&place, &entry, false) {
        let added = "denied elsewhere, and added here all the same";
        screen.complain(&said_in(added, elsewhere));
    }
    let found = place.file(FILE)?;
    let text = with_deny_entry(found.as_ref(), &entry, &taken(&place));
    let text = text.map_err(|fault| fault.to_string());
    let checked = text.and_then(|text| place.check((FILE, found), Some(text), settings));
    let checked = match checked {
        Ok(checked) => checked,
        Err(faults) => return Ok(refused(&faults, screen)),
    };
    if let Some(why) = hindrance(&place.before, &checked.after, &entry) {
        screen.complain(&format!("{}: {why}", plain(&checked.path.display().to_string())));
        screen.complain("nothing was written");
        return Ok(Exit::Refused);
    }
    Ok(finish((&entry, "denied:", options.dry_run), (&place, &checked), settings, screen))
}

/// An entry with its list and the file of that.
type SaidIn<'s> = (&'s str, &'s str, &'s DenyEntry);

/// Where the same is denied: by the files that this command writes to, or by others, which are
/// packaged, last until the next boot, or are fetched.
fn said<'p>(place: &'p Place, entry: &DenyEntry, here: bool) -> Option<SaidIn<'p>> {
    let mut all = place.before.denied();
    all.find(|(_, file, there)| there.denied == entry.denied && place.has(file) == here)
}

fn said_in(what: &str, (list, file, there): SaidIn<'_>) -> String {
    let (denied, list, file) = (plain(&there.denied.to_string()), plain(list), plain(file));
    let (since, reason) = (there.date, plain(&there.reason));
    format!("{what}: {denied}\nin list {list} of {file}, since {since}: {reason}")
}

/// The files say it: whether it is in force is the gate's to say.
fn already(
    (entry, file): (&DenyEntry, &str),
    (set, is_dry): (&PolicySet, bool),
    settings: &Settings,
    screen: &mut Screen,
) -> Exit {
    let (gate, why) = match (!is_dry).then(|| place::take(set, settings)) {
        Some(InForce::Yes(gate)) => (Some(gate), None),
        Some(InForce::NotKnown(why)) => (None, Some(why)),
        None => (None, None),
    };
    if let Some(why) = &why {
        screen.complain(&format!("NOT KNOWN TO BE IN FORCE: {why}"));
    }
    let exit = if why.is_some() { Exit::Unable } else { Exit::Done };
    if screen.is_json() {
        screen.json(&Done {
            entry,
            file: file.to_owned(),
            written: false,
            in_force: (!is_dry).then_some(gate.is_some()),
            not_in_force: why,
            gate: gate.as_deref(),
            who_runs: None,
        });
    } else if let Some(gate) = &gate {
        print_in_force(gate, screen);
    }
    exit
}

/// Why the set with an entry more is not what was asked for: a list of a later folder stands for the
/// one that the entry is in, or something else would not be denied any more.
fn hindrance(before: &PolicySet, after: &PolicySet, entry: &DenyEntry) -> Option<String> {
    if !after.denied().any(|(_, _, there)| there == entry) {
        let why = "a list of this name in a later folder stands for the one that would be written";
        return Some(why.to_owned());
    }
    lost(before, after, None)
}

/// That an entry, other than the one that is to go, would not be denied any more.
pub(super) fn lost(
    before: &PolicySet,
    after: &PolicySet,
    goes: Option<&DenyEntry>,
) -> Option<String> {
    let stays = |entry: &DenyEntry| {
        Some(entry) == goes || after.denied().any(|(_, _, there)| there == entry)
    };
    let (list, file, entry) = before.denied().find(|(_, _, entry)| !stays(entry))?;
    let (list, file, what) = (plain(list), plain(file), plain(&entry.denied.to_string()));
    Some(format!("{what}, in list {list} of {file}, would not be denied any more"))
}

/// What an entry would do that is more than anybody means by it.
fn strikes_off_all(entry: &DenyEntry) -> Option<&'static str> {
    let text = with_deny_entry(None, entry, &BTreeSet::new()).ok()?;
    let file = PolicyFile { name: FILE.to_owned(), bytes: text.into_bytes() };
    let documents = Documents::parse(&[file]).ok()?;
    documents.strikes_off_all().map(|(_, what)| what)
}

/// Says what is wrong with the files as they would be.
pub(super) fn refused(faults: &str, screen: &mut Screen) -> Exit {
    screen.complain(faults);
    screen.complain("nothing was written");
    Exit::Faulty
}

/// Puts it in place, has the gate take it, and says what that does.
pub(super) fn finish(
    (entry, verb, is_dry): (&DenyEntry, &str, bool),
    (place, checked): (&Place, &CheckedFile),
    settings: &Settings,
    screen: &mut Screen,
) -> Exit {
    let file = checked.path.display().to_string();
    if !is_dry && let Err(why) = place.put(checked) {
        screen.complain(&why);
        return Exit::Unable;
    }
    // First of all: what follows takes its time.
    let taken = (!is_dry).then(|| place::take(&checked.after, settings));
    let who_runs =
        (verb == "denied:").then(|| who_runs::of(&place.before, &checked.after, settings, screen));
    let (gate, why) = match &taken {
        Some(InForce::Yes(gate)) => (Some(&**gate), None),
        Some(InForce::NotKnown(why)) => (None, Some(why.clone())),
        None => (None, None),
    };
    let exit = if why.is_some() { Exit::Unable } else { Exit::Done };
    if screen.is_json() {
        let in_force = taken.is_some().then_some(gate.is_some());
        screen.json(&Done {
            entry,
            file,
            written: !is_dry,
            in_force,
            not_in_force: why,
            gate,
            who_runs,
        });
        return exit;
    }
    let tone = if is_dry { Tone::Warn } else { Tone::Good };
    let verb = screen.tone(tone, if is_dry { "dry run:" } else { verb });
    let (what, reason) = (plain(&entry.denied.to_string()), plain(&entry.reason));
    screen.line(&format!("{verb} {what}, since {}: {reason}", entry.date));
    let would = if is_dry { "would be written to" } else { "written to" };
    screen.line(&format!("{would} {}", plain(&file)));
    if let Some(gate) = gate {
        print_in_force(gate, screen);
    }
    if let Some(who_runs) = &who_runs {
        who_runs.print(screen);
    }
    if let Some(why) = why {
        screen.complain(&format!("written, and NOT KNOWN TO BE IN FORCE: {why}"));
    }
    exit
}

/// The manifests that an index on this node lists.
fn manifests_under(index: &Digest, settings: &Settings) -> Result<Vec<Digest>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| errno::told(&error))?;
    let read = runtime.block_on(async {
        Runtime::new(settings.runtime.clone()).read_content(index, DOCUMENT_MAX).await
    });
    let bytes = read.map_err(|error| error.to_string())?.ok_or_else(|| {
        format!("{index} is not on this node: name what is under it with --manifest")
    })?;
    match Document::parse(&bytes).map_err(|error| format!("{index}: {error}"))? {
        Document::Index(index) => Ok(index.manifests.into_iter().map(|one| one.digest).collect()),
        Document::Manifest(_) => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(options: &[&str]) -> Option<&'static str> {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            options: Options,
        }
        let line = ["x", "--reason", "r"].into_iter().chain(options.iter().copied());
        let line = <Line as clap::Parser>::try_parse_from(line).unwrap();
        let Ok(denied) = line.options.what.denied() else { panic!("{options:?}") };
        strikes_off_all(&DenyEntry { denied, reason: "r".to_owned(), date: daemon::now() })
    }

    /// Folders of which the last is a volatile one, so that the operator's is the one in the middle.
    fn node() -> (tempfile::TempDir, Settings, [std::path::PathBuf; 3]) {
        let dir = tempfile::tempdir().unwrap();
        let late = dir.path().strip_prefix("/").unwrap();
        let folders = [
            dir.path().join("packaged"),
            dir.path().join("own"),
            std::path::Path::new("/run/..").join(late).join("late"),
        ];
        for name in ["packaged", "own", "late", "keys"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let mut settings = Settings::default();
        settings.policy.policies = crate::loader::PolicyFolders::new(folders.to_vec()).unwrap();
        settings.policy.keys = dir.path().join("keys");
        assert_eq!(settings.policy.policies.written(), folders[1]);
        (dir, settings, folders)
    }

    fn entry(index: u64) -> DenyEntry {
        let date = "2026-01-31T12:00:00Z".parse().unwrap();
        let denied = Denied::LogIndex { index, log: None };
        DenyEntry { denied, reason: "bad".to_owned(), date }
    }

    fn list(index: u64) -> String {
        with_deny_entry(None, &entry(index), &BTreeSet::new()).unwrap()
    }

    /// The set with a text as the file, against the set without.
    fn hindered(settings: &Settings, text: String, index: u64) -> Option<String> {
        let place = Place::hold(settings).unwrap().unwrap();
        let found = place.file(FILE).unwrap();
        let checked = place.check((FILE, found), Some(text), settings).unwrap();
        hindrance(&place.before, &checked.after, &entry(index))
    }

    #[test]
    fn a_list_that_stands_for_another_is_no_way_to_deny() {
        let (_dir, settings, [packaged, own, late]) = node();
        assert_eq!(hindered(&settings, list(1), 1), None);
        std::fs::write(packaged.join("p.yaml"), list(2)).unwrap();
        // Of the shipped list's name it would take back what that one denies.
        assert!(hindered(&settings, list(1), 1).unwrap().contains("log entry 2"));
        let taken = BTreeSet::from(["denied".to_owned()]);
        let other = with_deny_entry(None, &entry(1), &taken).unwrap();
        assert_eq!(hindered(&settings, other, 1), None);
        std::fs::remove_file(packaged.join("p.yaml")).unwrap();
        std::fs::write(own.join(FILE), list(2)).unwrap();
        std::fs::write(late.join("l.yaml"), list(3)).unwrap();
        let both = PolicyFile { name: FILE.to_owned(), bytes: list(2).into_bytes() };
        let both = with_deny_entry(Some(&both), &entry(1), &BTreeSet::new()).unwrap();
        assert!(hindered(&settings, both, 1).unwrap().contains("later folder"));
    }

    #[test]
    fn what_another_folder_denies_is_not_said_here() {
        let (_dir, settings, [packaged, own, _]) = node();
        std::fs::write(packaged.join("p.yaml"), list(2)).unwrap();
        std::fs::write(own.join("o.yaml"), list(3).replace("denied", "own")).unwrap();
        let place = Place::hold(&settings).unwrap().unwrap();
        let is_said = |index, here| said(&place, &entry(index), here).is_some();
        assert!(is_said(3, true) && !is_said(3, false));
        assert!(!is_said(2, true) && is_said(2, false));
        assert!(!is_said(1, true) && !is_said(1, false));
    }

    #[test]
    fn an_entry_that_strikes_off_everything_is_known() {
        assert!(strikes(&["--repository", "**"]).is_some());
        assert!(strikes(&["--identity-regexp", ".*"]).is_some());
        assert_eq!(strikes(&["--repository", "reg.test/**"]), None);
        assert_eq!(strikes(&["--identity", "a@b.test"]), None);
        assert_eq!(strikes(&["--identity-regexp", "https://github\\.com/acme/.*"]), None);
    }
}
