//! [`Prospect`]: the policies without an entry of a deny list and with it, for who asks what depends on
//! it. Nothing is written.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::add::{FILE, said, taken};
use super::entry::time;
use super::list::numbered;
use super::place::Place;
use crate::cli::terminal::command_error::CommandError;
use crate::config::Settings;
use crate::daemon;
use crate::policy::{Denied, DenyEntry, PolicySet, with_deny_entry, without_deny_entry};

/// The policies without the entry and with it.
pub(in crate::cli) struct Prospect {
    /// Without it. Where it is denied by more than one entry, or by a list that no command here
    /// writes, this is the set with it.
    pub(in crate::cli) without: Arc<PolicySet>,
    /// With it.
    pub(in crate::cli) with: Arc<PolicySet>,
    /// Where it is denied already.
    pub(in crate::cli) already: Option<AlreadyDenied>,
}

/// The entry that is there already.
#[derive(Debug, Clone, Serialize)]
pub(in crate::cli) struct AlreadyDenied {
    /// The list that it is in.
    pub(in crate::cli) list: String,
    /// The file of that.
    pub(in crate::cli) file: String,
    /// The entry.
    pub(in crate::cli) entry: DenyEntry,
}

/// The set of the files as they are, and as they would be with an entry more; or, where they have it,
/// as they would be without.
///
/// # Errors
/// When the files are faulty, or cannot be held or read.
pub(in crate::cli) fn prospect(
    denied: Denied,
    settings: &Settings,
) -> Result<Prospect, CommandError> {
    let date = time(&daemon::now().to_string())?;
    let entry = DenyEntry { denied, reason: "as a question".to_owned(), date };
    let place = Place::hold(settings)?.map_err(CommandError::faulty)?;
    let before = Arc::clone(&place.before);
    let there = said(&place, &entry, true).or_else(|| said(&place, &entry, false));
    if let Some((list, file, there)) = there {
        let (list, file) = (list.to_owned(), file.to_owned());
        let already = Some(AlreadyDenied { list, file, entry: there.clone() });
        let without = without(&place, &entry.denied, settings);
        let without = without.unwrap_or_else(|| Arc::clone(&before));
        return Ok(Prospect { without, with: before, already });
    }
    let found = place.file(FILE)?;
    let text = with_deny_entry(found.as_ref(), &entry, &taken(&place));
    let text = text.map_err(|fault| CommandError::faulty(fault.to_string()))?;
    let checked = place.check((FILE, found), Some(text), settings).map_err(CommandError::faulty)?;
    Ok(Prospect { without: before, with: checked.after, already: None })
}

/// The set without the one entry that denies this; none where that is not known.
fn without(place: &Place, denied: &Denied, settings: &Settings) -> Option<Arc<PolicySet>> {
    let all = numbered(&place.before);
    let mut of_it = all.iter().enumerate().filter(|(_, (_, entry))| entry.denied == *denied);
    let (number, (file, _)) = of_it.next()?;
    if of_it.next().is_some() || !place.has(file) {
        return None;
    }
    let in_file = all.iter().take(number).filter(|(other, _)| other == file).count();
    let name = Path::new(file).file_name()?.to_str()?;
    let found = place.file(name).ok()??;
    let text = without_deny_entry(&found, in_file).ok()?;
    let checked = place.check((name, Some(found)), text, settings).ok()?;
    Some(checked.after)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "apiVersion: sealgate/v1\nkind: DenyList\nmetadata: {name: a}\nspec:\n  \
                        logIndexes:\n  - index: 1\n    reason: bad\n    date: 2026-01-31T12:00:00Z\n  \
                        - index: 2\n    reason: bad\n    date: 2026-01-31T12:00:00Z\n";

    fn of(index: u64) -> Denied {
        Denied::LogIndex { index, log: None }
    }

    #[test]
    fn what_is_denied_already_has_a_set_without_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        for name in ["policies", "keys"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        settings.policy.policies = dir.path().join("policies").into();
        settings.policy.keys = dir.path().join("keys");
        std::fs::write(dir.path().join("policies/deny.yaml"), LIST).unwrap();
        let denied = |set: &PolicySet| {
            set.denied().map(|(_, _, entry)| entry.denied.clone()).collect::<Vec<_>>()
        };
        let asked = prospect(of(1), &settings).unwrap();
        assert_eq!(denied(&asked.with), [of(1), of(2)]);
        assert_eq!(denied(&asked.without), [of(2)]);
        assert_eq!(asked.already.unwrap().entry.denied, of(1));
        let asked = prospect(of(3), &settings).unwrap();
        assert_eq!(denied(&asked.without), [of(1), of(2)]);
        assert!(asked.already.is_none() && denied(&asked.with).contains(&of(3)));
        // By another list as well, nothing here can tell what would be without it.
        let more = LIST.replace("name: a", "name: b");
        std::fs::write(dir.path().join("policies/other.yaml"), more).unwrap();
        let asked = prospect(of(1), &settings).unwrap();
        assert_eq!(asked.without.generation(), asked.with.generation());
        assert!(asked.already.is_some());
    }
}
