//! [`Noted`]: what an operator should know about a policy that was loaded, for the journal and for
//! `sealgate status`; [`PolicyState`]: that of the policy in force, and what became of the last
//! reload; and what a reload puts on record ([`denials_changed`], [`replaced_changed`]).

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;

use crate::audit;
use crate::loader::{
    self, FolderRead, FolderState, KeptRead, Loaded, TrustOptions, Watch, is_volatile,
};
use crate::policy::{PolicySet, Replaced};

/// Most entries of deny lists, or documents, that one note in the audit log names of each kind: it is
/// one line.
const NOTED_MAX: usize = 64;

/// What an operator should know about a policy that was loaded.
#[derive(Debug, Default)]
pub struct Noted {
    /// What is no error and likely not meant.
    pub warnings: Vec<String>,
    /// The ends of the trust roots and keys that it rests on.
    pub watch: Watch,
    /// It is in observe mode.
    pub observes: bool,
    /// What each folder of policies had.
    pub(super) folders: Vec<FolderRead>,
    /// Which documents others of a later folder stand for.
    pub(super) replaced: Vec<Replaced>,
    /// What is kept of the deny lists that are fetched.
    pub(super) lists: Vec<KeptRead>,
}

/// What the last loading of the policy said.
pub(super) struct PolicyState {
    /// Of the policy in force.
    pub(super) noted: Noted,
    /// Why what is on disk is not in force; none when it is.
    pub(super) reload_error: Option<String>,
    /// Where it was loaded from, and how the folders were then.
    pub(super) seen: (loader::Options, FolderState),
    /// By which options the set in force was read: those of a reload that was not taken are not among
    /// them, also not its deny lists.
    pub(super) in_force: loader::Options,
}

impl PolicyState {
    /// Of the set that the gate starts with, and how the folders were before they were read for it.
    pub(super) fn new(noted: Noted, seen: (loader::Options, FolderState)) -> Self {
        let in_force = seen.0.clone();
        Self { noted, reload_error: None, seen, in_force }
    }

    /// A set was put in force that was read by these options.
    pub(super) fn taken(&mut self, noted: Noted, options: Option<loader::Options>) {
        self.noted = noted;
        self.reload_error = None;
        self.in_force = options.unwrap_or_else(|| self.seen.0.clone());
    }
}

impl Noted {
    /// Of a set that was loaded.
    pub(super) fn of(loaded: &Loaded, trust: &TrustOptions) -> Self {
        // Whatever this node keeps fresh, and whatever policies rest on.
        let roots = trust.update.iter().chain(&loaded.roots).map(String::as_str);
        let watch = Watch::new(trust, roots, loaded.ends.iter().cloned());
        let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
        let (folders, replaced) = (loaded.folders.clone(), loaded.replaced.clone());
        let (observes, lists) = (loaded.policies.observes(), loaded.lists.clone());
        Self { warnings, watch, observes, folders, replaced, lists }
    }

    /// The first folder that had documents before and that is gone, that has no policy left, or that
    /// has no document left and is on another file system now: a mount may have gone away. What is there until the next boot goes as it came.
    pub(super) fn emptied(&self, before: &Self) -> Option<&Path> {
        let is_emptied = |now: &&FolderRead| {
            let before = before.folders.iter().find(|before| before.folder == now.folder);
            before.is_some_and(|before| {
                let had = before.documents.total() > 0;
                let is_other = now.documents.total() == 0 && now.device != before.device;
                (had && (!now.is_there || is_other))
                    || (before.documents.policies > 0 && now.documents.policies == 0)
            })
        };
        let kept = self.folders.iter().filter(|folder| !is_volatile(&folder.folder));
        kept.filter(is_emptied).map(|folder| folder.folder.as_path()).next()
    }

    /// Tells the journal; `now` says which ends are near.
    pub(super) fn warn(&self, now: Timestamp) {
        if self.observes {
            tracing::warn!(
                "OBSERVE mode: nothing is refused for what policies and settings say, since \
                 policy.mode is \"observe\""
            );
        }
        for replaced in &self.replaced {
            tracing::info!("policy: {replaced}");
        }
        for warning in &self.warnings {
            tracing::warn!("policy: {warning}");
        }
        for warning in self.watch.warnings(now) {
            tracing::warn!("{warning}");
        }
    }
}

/// What to put on record of how deny lists differ; none where they do not.
pub(super) fn denials_changed(before: &PolicySet, after: &PolicySet) -> Option<audit::Noted> {
    let of = |set: &PolicySet| -> BTreeSet<String> {
        let entries = set.denied();
        entries
            .map(|(list, _, entry)| format!("{} ({list}: {})", entry.denied, entry.reason))
            .collect()
    };
    let (old, new) = (of(before), of(after));
    let (added, removed) = (&new - &old, &old - &new);
    let (added, removed, omitted) = bounded(added, removed)?;
    let policy_generation = after.generation().to_owned();
    Some(audit::Noted::DenyListsChanged { added, removed, omitted, policy_generation })
}

/// What to put on record of how it differs which documents that ask for proof or deny something do
/// not count; none where it does not.
pub(super) fn replaced_changed(
    before: &[Replaced],
    after: &[Replaced],
    generation: &str,
) -> Option<audit::Noted> {
    let of = |replaced: &[Replaced]| -> BTreeSet<String> {
        replaced.iter().filter(|one| one.demanded).map(ToString::to_string).collect()
    };
    let (old, new) = (of(before), of(after));
    let (added, removed, omitted) = bounded(&new - &old, &old - &new)?;
    let policy_generation = generation.to_owned();
    Some(audit::Noted::DocumentsReplaced { added, removed, omitted, policy_generation })
}

/// As many of each as one note names, and how many more there are; none where there is none.
fn bounded(
    added: BTreeSet<String>,
    removed: BTreeSet<String>,
) -> Option<(Vec<String>, Vec<String>, u64)> {
    if added.is_empty() && removed.is_empty() {
        return None;
    }
    let omitted = added.len().saturating_sub(NOTED_MAX) + removed.len().saturating_sub(NOTED_MAX);
    let listed = |entries: BTreeSet<String>| entries.into_iter().take(NOTED_MAX).collect();
    Some((listed(added), listed(removed), u64::try_from(omitted).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::DocumentCounts;

    fn noted(folders: &[(&str, bool, usize, usize)]) -> Noted {
        let read = |(folder, is_there, policies, deny_lists): &(&str, bool, usize, usize)| {
            let (policies, deny_lists) = (*policies, *deny_lists);
            let documents = DocumentCounts { policies, deny_lists, exceptions: 0 };
            FolderRead { folder: folder.into(), is_there: *is_there, device: Some(1), documents }
        };
        Noted { folders: folders.iter().map(read).collect(), ..Noted::default() }
    }

    #[test]
    fn a_folder_that_is_gone_or_has_no_policy_left_is_emptied() {
        let before =
            noted(&[("/usr/lib/p", true, 2, 0), ("/etc/p", true, 1, 1), ("/run/p", true, 1, 0)]);
        let emptied = |usr, etc, run| {
            let now = noted(&[usr, etc, run]);
            now.emptied(&before).map(Path::to_owned)
        };
        let (usr, etc) = (("/usr/lib/p", true, 2, 0), ("/etc/p", true, 1, 1));
        let path = |path: &str| Some(Path::new(path).to_owned());
        assert_eq!(emptied(usr, etc, ("/run/p", false, 0, 0)), None, "it goes as it came");
        assert_eq!(emptied(usr, ("/etc/p", true, 1, 0), ("/run/p", true, 0, 0)), None);
        assert_eq!(emptied(usr, ("/etc/p", true, 0, 1), ("/run/p", true, 1, 0)), path("/etc/p"));
        assert_eq!(
            emptied(("/usr/lib/p", false, 0, 0), etc, ("/run/p", true, 1, 0)),
            path("/usr/lib/p")
        );
        let lists = noted(&[("/etc/p", true, 0, 1)]);
        assert_eq!(
            noted(&[("/etc/p", true, 0, 0)]).emptied(&lists),
            None,
            "an entry was taken back"
        );
        assert!(noted(&[("/etc/p", false, 0, 0)]).emptied(&lists).is_some());
        let on_other = |deny_lists| {
            let mut noted = noted(&[("/etc/p", true, 0, deny_lists)]);
            noted.folders[0].device = Some(2);
            noted
        };
        assert_eq!(on_other(0).emptied(&lists), path("/etc/p").as_deref(), "its mount went away");
        assert_eq!(on_other(1).emptied(&lists), None, "it was mounted elsewhere");
        assert_eq!(noted(&[("/srv/p", true, 0, 0)]).emptied(&before), None, "it was configured");
    }

    /// Of a reload that was not taken nothing counts, its deny lists neither.
    #[test]
    fn the_options_of_a_refused_reload_are_not_in_force() {
        let options = |fetched: &str| loader::Options {
            fetched: fetched.into(),
            ..loader::Options::default()
        };
        let seen = |fetched: &str| (options(fetched), FolderState::of(&options(fetched)));
        let mut state = PolicyState::new(Noted::default(), seen("/first"));
        state.seen = seen("/refused");
        assert_eq!(state.in_force, options("/first"));
        state.taken(Noted::default(), Some(options("/second")));
        assert_eq!(state.in_force, options("/second"));
    }
}
