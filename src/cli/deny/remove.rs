//! `sealgate deny remove`.

use std::path::Path;

use clap::Args;

use super::add::{finish, lost, refused};
use super::list::{is_fetched, numbered};
use super::place::Place;
use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::screen::{Exit, Screen, plain};
use crate::config::Settings;
use crate::policy::{Denied, DenyEntry, Fingerprint, IdentityText, PolicySet, without_deny_entry};

/// What to take back.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Its number in `sealgate deny list`, or its digest, pattern, fingerprint, issuer or subject, or
    /// all of it as the list shows it.
    #[arg(value_name = "NUMBER|VALUE")]
    entry: String,
    /// Check it and say what it would do; write nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Takes an entry back.
pub(super) fn run(
    options: &Options,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Exit, CommandError> {
    let place = match Place::hold(settings)? {
        Ok(place) => place,
        Err(faults) => return Ok(refused(&faults, screen)),
    };
    let all: Vec<(String, DenyEntry)> = numbered(&place.before);
    let wanted = all.iter().enumerate();
    let wanted: Vec<_> = wanted
        .filter(|(number, (_, entry))| is_meant(&options.entry, number + 1, &entry.denied))
        .collect();
    let [(number, (file, entry))] = wanted.as_slice() else {
        let what = plain(&options.entry);
        match wanted.len() {
            0 => screen.complain(&format!("no entry {what}; sealgate deny list has all of them")),
            many => {
                screen.complain(&format!("{many} entries have {what}; name one by its number:"))
            }
        }
        for (number, (_, entry)) in &wanted {
            screen.complain(&format!("  {}  {}", number + 1, entry.denied));
        }
        return Ok(Exit::Refused);
    };
    if is_fetched(&place.before, file) {
        let why = "this entry is of a list that is fetched: take it back where that list is made";
        screen.complain(&format!("{}: {why}", plain(file)));
        return Ok(Exit::Refused);
    }
    let in_file = all.iter().take(*number).filter(|(other, _)| other == file).count();
    let name = Path::new(file).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let found = place.file(&name)?.filter(|found| found.name == *file);
    let Some(found) = found else {
        let why = "it is gone, or in another folder of policies than this command writes to";
        return Err(format!("{file}: {why}; take the entry back there").into());
    };
    let text = without_deny_entry(&found, in_file).map_err(|fault| fault.to_string());
    let checked = text.and_then(|text| place.check((&name, Some(found)), text, settings));
    let checked = match checked {
        Ok(checked) => checked,
        Err(faults) => return Ok(refused(&faults, screen)),
    };
    if let Some(why) = hindrance((&place.before, &checked.after), (file, entry)) {
        screen.complain(&format!("{}: {why}", plain(file)));
        screen.complain("nothing was written");
        return Ok(Exit::Refused);
    }
    let still = still_denied(&checked.after, &entry.denied);
    let verb = if still.is_some() { "taken out:" } else { "not denied any more:" };
    let ended = finish((entry, verb, options.dry_run), (&place, &checked), settings, screen);
    let exit = ended.tell(screen);
    if let Some((list, file)) = still {
        let (list, file) = (plain(list), plain(file));
        screen.complain(&format!("still denied: list {list} of {file} has it too"));
    }
    Ok(exit)
}

/// Why the set with an entry less is not what was asked for: another one went, or none.
fn hindrance(
    (before, after): (&PolicySet, &PolicySet),
    (file, entry): (&str, &DenyEntry),
) -> Option<String> {
    let count = |set: &PolicySet| {
        set.denied().filter(|(_, other, there)| *other == file && *there == entry).count()
    };
    if count(after) >= count(before) {
        let why = "the entry cannot be told from those of a list that another folder replaces; \
                   edit the file";
        return Some(why.to_owned());
    }
    lost(before, after, Some(entry))
}

/// The list, with its file, that denies this all the same.
fn still_denied<'s>(after: &'s PolicySet, denied: &Denied) -> Option<(&'s str, &'s str)> {
    let mut all = after.denied();
    all.find(|(_, _, there)| there.denied == *denied).map(|(list, file, _)| (list, file))
}

/// Whether an entry is the one that the text names.
fn is_meant(text: &str, number: usize, denied: &Denied) -> bool {
    if text == denied.to_string() || text.parse() == Ok(number) {
        return true;
    }
    let is = |one: &IdentityText| match one {
        IdentityText::Exact(one) | IdentityText::RegExp(one) => one == text,
    };
    match denied {
        Denied::Digest { digest, .. } => digest.as_str() == text,
        Denied::Repository { pattern } => pattern == text,
        Denied::Key { fingerprint, .. } | Denied::Certificate { fingerprint } => {
            Fingerprint::parse(text) == Some(*fingerprint)
        }
        Denied::Identity { issuer, subject, .. } => issuer.iter().chain(subject).any(is),
        Denied::LogIndex { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two folders, each with a file.
    fn set(packaged: &str, own: &str) -> PolicySet {
        let dir = tempfile::tempdir().unwrap();
        let folders = ["a", "b"].map(|name| dir.path().join(name));
        for (folder, text) in folders.iter().zip([packaged, own]) {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("deny.yaml"), text).unwrap();
        }
        let mut settings = Settings::default();
        settings.policy.policies = crate::loader::PolicyFolders::new(folders.to_vec()).unwrap();
        settings.policy.keys = dir.path().to_owned();
        crate::loader::load(&settings.policy, &settings.trust).unwrap().policies
    }

    fn list(name: &str, indexes: &[u64]) -> String {
        let item =
            |index: &u64| format!("{{index: {index}, reason: bad, date: 2026-01-31T12:00:00Z}}");
        let items: Vec<String> = indexes.iter().map(item).collect();
        format!(
            "apiVersion: sealgate/v1\nkind: DenyList\nmetadata: {{name: {name}}}\nspec: \
             {{logIndexes: [{}]}}\n",
            items.join(", ")
        )
    }

    #[test]
    fn what_another_list_denies_is_still_denied() {
        let denied = Denied::LogIndex { index: 1, log: None };
        let after = set(&list("shipped", &[1]), &list("own", &[2]));
        assert_eq!(still_denied(&after, &denied).map(|(list, _)| list), Some("shipped"));
        // It stands for the shipped one.
        let after = set(&list("shipped", &[1]), &list("shipped", &[2]));
        assert_eq!(still_denied(&after, &denied), None);
    }

    #[test]
    fn an_entry_goes_by_itself_or_nothing_is_written() {
        let before = set(&list("x", &[9]), &list("own", &[1, 2]));
        let (_, file, entry) = before.denied().find(|(list, ..)| *list == "own").unwrap();
        assert!(hindrance((&before, &before), (file, entry)).is_some(), "nothing went");
        let less = set(&list("x", &[9]), &list("own", &[2]));
        assert_eq!(hindrance((&before, &less), (file, entry)), None);
        let none = set(&list("x", &[9]), &list("own", &[3]));
        assert!(hindrance((&before, &none), (file, entry)).is_some(), "another went too");
    }

    #[test]
    fn an_entry_is_meant_by_its_number_and_by_what_it_has() {
        let fingerprint = Fingerprint::from([7; 32]);
        let key = Denied::Key { fingerprint, signed_after: None };
        let upper = fingerprint.to_string().to_ascii_uppercase();
        for text in ["3", &fingerprint.to_string(), &upper, &format!("key {fingerprint}")] {
            assert!(is_meant(text, 3, &key), "{text}");
        }
        for text in ["", "2", "03x", "key", &Fingerprint::from([8; 32]).to_string()] {
            assert!(!is_meant(text, 3, &key), "{text}");
        }
        let subject = Some(IdentityText::RegExp("^a$".to_owned()));
        let identity = Denied::Identity { issuer: None, subject, signed_after: None };
        assert!(is_meant("^a$", 1, &identity) && !is_meant("a", 1, &identity));
        // A number is that of the list, never that of a log.
        assert!(!is_meant("12", 1, &Denied::LogIndex { index: 12, log: None }));
        assert!(is_meant("log entry 12", 1, &Denied::LogIndex { index: 12, log: None }));
    }
}
