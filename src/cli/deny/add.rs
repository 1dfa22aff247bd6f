//! `sealgate deny add`.

use std::collections::BTreeSet;

use clap::{ArgGroup, Args};
use jiff::Timestamp;

use super::done::{Done, Ended, How};
use super::entry::{self, What, time};
use super::manifests::denied_on_node;
use super::place::{self, CheckedFile, InForce, Place};
use super::who_runs;
use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::screen::{Exit, Screen, plain};
use crate::config::Settings;
use crate::control::Reloaded;
use crate::daemon;
use crate::policy::{DenyEntry, Documents, PolicyFile, PolicySet, with_deny_entry};

/// The file that entries are added to.
pub(super) const FILE: &str = "deny.yaml";

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

impl Options {
    /// What to strike off and why, from now on.
    pub(in crate::cli) fn now(what: What, reason: String, force: bool) -> Self {
        Self { what, reason, date: None, dry_run: false, force }
    }
}

/// The names that documents have.
pub(super) fn taken(place: &Place) -> BTreeSet<String> {
    let lists = place.before.denied().map(|(list, _, _)| list);
    place.before.policies().chain(lists).map(str::to_owned).collect()
}

/// Adds an entry, and says what came of it.
pub(super) fn run(
    options: &Options,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Exit, CommandError> {
    add(options, settings, screen).map(|ended| ended.tell(screen))
}

/// Adds an entry; what was done is the caller's to say, and why nothing was is said.
///
/// # Errors
/// When the options name no entry, or the files cannot be held or read.
pub(in crate::cli) fn add(
    options: &Options,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Ended, CommandError> {
    let reason = entry::reason(&options.reason)?;
    let denied = denied_on_node(&options.what, settings)?;
    let date = options.date.map_or_else(|| time(&daemon::now().to_string()), Ok)?;
    let entry = DenyEntry { denied, reason, date };
    if let Some(what) = strikes_off_all(&entry).filter(|_| !options.force) {
        screen.complain(&format!("{} {what}", plain(&entry.denied.to_string())));
        screen.complain("nothing was written; narrow it down, or add --force");
        return Ok(Ended::with_nothing(Exit::Refused));
    }
    let place = match Place::hold(settings)? {
        Ok(place) => place,
        Err(faults) => return Ok(Ended::with_nothing(refused(&faults, screen))),
    };
    if let Some((list, file, there)) = said(&place, &entry, true) {
        screen.complain(&said_in("denied already", (list, file, there)));
        let set = (&*place.before, options.dry_run);
        return Ok(already((there, file), set, settings));
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
        Err(faults) => return Ok(Ended::with_nothing(refused(&faults, screen))),
    };
    if let Some(why) = hindrance(&place.before, &checked.after, &entry) {
        screen.complain(&format!("{}: {why}", plain(&checked.path.display().to_string())));
        screen.complain("nothing was written");
        return Ok(Ended::with_nothing(Exit::Refused));
    }
    Ok(finish((&entry, "denied:", options.dry_run), (&place, &checked), settings, screen))
}

/// An entry with its list and the file of that.
pub(super) type SaidIn<'s> = (&'s str, &'s str, &'s DenyEntry);

/// Where the same is denied: by the files that this command writes to, or by others, which are
/// packaged, last until the next boot, or are fetched.
pub(super) fn said<'p>(place: &'p Place, entry: &DenyEntry, here: bool) -> Option<SaidIn<'p>> {
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
) -> Ended {
    let (gate, why) = in_force((!is_dry).then(|| place::take(set, settings)));
    let exit = if why.is_some() { Exit::Unable } else { Exit::Done };
    let done = Done {
        entry: entry.clone(),
        file: file.to_owned(),
        written: false,
        in_force: (!is_dry).then_some(gate.is_some()),
        not_in_force: why,
        gate,
        who_runs: None,
        how: How::Already,
    };
    Ended { exit, done: Some(done) }
}

/// What the gate says of the files that it took, and why it is not known whether they are in force.
fn in_force(taken: Option<InForce>) -> (Option<Box<Reloaded>>, Option<String>) {
    match taken {
        Some(InForce::Yes(gate)) => (Some(gate), None),
        Some(InForce::NotKnown(why)) => (None, Some(why)),
        None => (None, None),
    }
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

/// Puts it in place and has the gate take it.
pub(super) fn finish(
    (entry, verb, is_dry): (&DenyEntry, &'static str, bool),
    (place, checked): (&Place, &CheckedFile),
    settings: &Settings,
    screen: &mut Screen,
) -> Ended {
    let file = checked.path.display().to_string();
    if !is_dry && let Err(why) = place.put(checked) {
        screen.complain(&why);
        return Ended::with_nothing(Exit::Unable);
    }
    // First of all: what follows takes its time.
    let (gate, why) = in_force((!is_dry).then(|| place::take(&checked.after, settings)));
    let who_runs =
        (verb == "denied:").then(|| who_runs::of(&place.before, &checked.after, settings, screen));
    let exit = if why.is_some() { Exit::Unable } else { Exit::Done };
    let done = Done {
        entry: entry.clone(),
        file,
        written: !is_dry,
        in_force: (!is_dry).then_some(gate.is_some()),
        not_in_force: why,
        gate,
        who_runs,
        how: How::Written { verb, is_dry },
    };
    Ended { exit, done: Some(done) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Denied;

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
