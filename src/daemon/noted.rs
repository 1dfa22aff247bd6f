//! [`Noted`]: what an operator should know about a policy that was loaded, for the journal and for
//! `sealgate status`; [`PolicyState`]: that of the policy in force, and what became of the last
//! reload; and what a reload puts on record ([`denials_changed`], [`replaced_changed`]).

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::audit;
use crate::audit::policies::{GenerationTexts, PolicyText};
use crate::fetched_list::{self, ListFolder, SignerCheck, bounded_words};
use crate::loader::{
    self, FileRead, FolderRead, FolderState, KeptRead, ListSigners, Loaded, TrustOptions, Warning,
    Watch, is_volatile,
};
use crate::policy::{PolicySet, Replaced};

/// Most entries of deny lists, or documents, that one note in the audit log names of each kind: it is
/// one line.
const NOTED_MAX: usize = 64;

/// Where the kernel tells boots apart (proc(5)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

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
    /// Who must have signed each of them.
    pub(super) signers: ListSigners,
    /// The files of lists that were fetched once and are not configured.
    pub(super) unused: Vec<PathBuf>,
}

/// What the last loading of the policy said.
pub(super) struct PolicyState {
    /// Of the policy in force.
    pub(super) noted: Noted,
    /// Why what is on disk is not in force; none when it is.
    pub(super) reload_error: Option<String>,
    /// When the policy in force was put there.
    pub(super) taken_at: Timestamp,
    /// When another one last could not be; none for never.
    pub(super) failed_at: Option<Timestamp>,
    /// Where it was loaded from, and how the folders were then.
    pub(super) seen: (loader::Options, FolderState),
    /// By which options the set in force was read: those of a reload that was not taken are not among
    /// them, also not its deny lists.
    pub(super) in_force: loader::Options,
}

impl PolicyState {
    /// Of the set that the gate starts with, and how the folders were before they were read for it.
    pub(super) fn new(noted: Noted, seen: (loader::Options, FolderState), now: Timestamp) -> Self {
        let in_force = seen.0.clone();
        Self { noted, reload_error: None, taken_at: now, failed_at: None, seen, in_force }
    }

    /// What is on disk was not put in force; whether that is news.
    pub(super) fn refused(&mut self, error: &str, now: Timestamp) -> bool {
        self.failed_at = Some(now);
        let before = self.reload_error.replace(error.to_owned());
        before.as_deref() != Some(error)
    }

    /// A set was put in force that was read by these options.
    pub(super) fn taken(&mut self, noted: Noted, options: Option<loader::Options>, now: Timestamp) {
        self.noted = noted;
        self.reload_error = None;
        self.taken_at = now;
        self.in_force = options.unwrap_or_else(|| self.seen.0.clone());
    }

    /// A deny list as it is configured in the set in force, and who must have signed it by the keys
    /// and trust roots in force; none where there is no such list.
    pub(super) fn list(&self, name: &str) -> Option<(fetched_list::Options, Arc<SignerCheck>)> {
        let list = self.in_force.deny_lists.iter().find(|list| list.name == name)?;
        Some((list.clone(), Arc::clone(self.noted.signers.get(name)?)))
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
        let signers = loaded.signers.clone();
        let unused = loaded.warnings.iter().filter_map(Warning::unused_list).map(Path::to_owned);
        let unused = unused.collect();
        Self { warnings, watch, observes, folders, replaced, lists, signers, unused }
    }

    /// The folders that had documents before and that are gone, that have no policy left, or that
    /// have no document left and are on another file system now: a mount may have gone away. What is
    /// there until the next boot goes as it came.
    pub(super) fn emptied(&self, before: &Self) -> Vec<&Path> {
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
        kept.filter(is_emptied).map(|folder| folder.folder.as_path()).collect()
    }

    /// What a start puts on record of fetched deny lists that deny nothing: those of which nothing is
    /// in force, and those that were fetched once and that the configuration does not name.
    pub(super) fn lists_not_in_force(&self) -> Vec<audit::Noted> {
        let of_list = |list: &KeptRead| {
            let (code, message) = match &list.kept {
                Some(Ok(_)) => return None,
                Some(Err(fault)) => (fault.code(), fault.to_string()),
                None => ("not-fetched", "nothing of it is on this node".to_owned()),
            };
            let (list, source) = (list.name.clone(), Some(list.source.clone()));
            Some(audit::Noted::DenyListNotInForce { list, source, code: code.to_owned(), message })
        };
        let of_file = |file: &PathBuf| {
            let list = ListFolder::name_of(file)?;
            let file = file.to_string_lossy();
            let message = bounded_words(format!("policy.deny_lists does not name it: {file}"));
            let code = "not-configured".to_owned();
            Some(audit::Noted::DenyListNotInForce { list, source: None, code, message })
        };
        let lists = self.lists.iter().filter_map(of_list);
        lists.chain(self.unused.iter().filter_map(of_file)).collect()
    }

    /// The texts of the set, which comes in force; they stay in memory no longer than until they are
    /// kept.
    pub(super) fn take_texts(&mut self, generation: &str) -> GenerationTexts {
        let files = self.folders.iter_mut().flat_map(|folder| &mut folder.files);
        let of_file = |file: &mut FileRead| PolicyText {
            file: file.file.to_string_lossy().into_owned(),
            digest: file.digest.clone(),
            documents: file.documents.clone(),
            text: mem::take(&mut file.text),
        };
        let of_list = |list: &KeptRead| {
            let proof = list.kept.as_ref()?.as_ref().ok()?;
            let (digest, text) = (proof.digest.to_string(), Arc::clone(&proof.file));
            let (file, documents) = (list.source.clone(), vec![format!("DenyList {}", list.name)]);
            Some(PolicyText { file, digest, documents, text })
        };
        let files = files.map(of_file).chain(self.lists.iter().filter_map(of_list)).collect();
        GenerationTexts { policy_generation: generation.to_owned(), files }
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

/// What stands at the head of the audit log's files: this node, this boot of it, this process, which
/// began so long after 1970 UTC, and what is in force.
pub(super) fn writing(policies: &PolicySet, began: Duration) -> audit::Writing {
    let name = nix::sys::utsname::uname().ok();
    let node = name.map(|name| name.nodename().to_string_lossy().into_owned()).unwrap_or_default();
    // A system without it has nothing that tells its boots apart.
    let boot_id = std::fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned();
    audit::Writing {
        node,
        boot_id,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        process_start: audit::Timestamp::from_unix(began),
        policy_generation: policies.generation().to_owned(),
        trust_generation: policies.trust_generation().to_owned(),
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

/// What to put on record of a set that comes in force, and of the set before it where there was one.
pub(super) fn came_in_force(
    before: Option<&Noted>,
    after: &Noted,
    (policy, trust): (&str, &str),
) -> Vec<audit::Noted> {
    let replaced = before.map_or_else(Default::default, |before| before.replaced.as_slice());
    let replaced = replaced_changed(replaced, &after.replaced, policy);
    let (old, new) = (before.map(documents_of).unwrap_or_default(), documents_of(after));
    let names = |of: &BTreeMap<&str, &str>, but: &BTreeMap<&str, &str>| -> Vec<String> {
        of.keys().filter(|name| !but.contains_key(*name)).map(|name| (*name).to_owned()).collect()
    };
    let is_other =
        |(name, digest): &(&&str, &&str)| old.get(*name).is_some_and(|old| old != *digest);
    let mut changed: Vec<String> =
        new.iter().filter(is_other).map(|(name, _)| (*name).to_owned()).collect();
    let mut added = if before.is_some() { names(&new, &old) } else { Vec::new() };
    let mut removed = names(&old, &new);
    let mut files: Vec<String> =
        files_of(after).map(|file| format!("{} {}", file.digest, file.file.display())).collect();
    let mut omitted = 0;
    for list in [&mut files, &mut added, &mut removed, &mut changed] {
        omitted += list.len().saturating_sub(NOTED_MAX);
        list.truncate(NOTED_MAX);
    }
    let in_force = audit::Noted::PoliciesInForce {
        files,
        added,
        removed,
        changed,
        omitted: u64::try_from(omitted).unwrap_or(u64::MAX),
        policy_generation: policy.to_owned(),
        trust_generation: trust.to_owned(),
    };
    std::iter::once(in_force).chain(replaced).collect()
}

fn files_of(noted: &Noted) -> impl Iterator<Item = &FileRead> {
    noted.folders.iter().flat_map(|folder| &folder.files)
}

/// The documents, each with the digest of the file that it stands in; of one name, that of the folder
/// that counts.
fn documents_of(noted: &Noted) -> BTreeMap<&str, &str> {
    let mut documents = BTreeMap::new();
    for file in files_of(noted) {
        for name in &file.documents {
            documents.insert(name.as_str(), file.digest.as_str());
        }
    }
    documents
}

/// What to put on record of how it differs which documents that ask for proof or deny something do
/// not count; none where it does not.
fn replaced_changed(
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
    use crate::fetched_list::ListFault;
    use crate::policy::DocumentCounts;

    fn noted(folders: &[(&str, bool, usize, usize)]) -> Noted {
        let read = |(folder, is_there, policies, deny_lists): &(&str, bool, usize, usize)| {
            let (policies, deny_lists) = (*policies, *deny_lists);
            let documents = DocumentCounts { policies, deny_lists, exceptions: 0 };
            let files = Vec::new();
            FolderRead {
                folder: folder.into(),
                is_there: *is_there,
                device: Some(1),
                documents,
                files,
            }
        };
        Noted { folders: folders.iter().map(read).collect(), ..Noted::default() }
    }

    #[test]
    fn a_folder_that_is_gone_or_has_no_policy_left_is_emptied() {
        let before =
            noted(&[("/usr/lib/p", true, 2, 0), ("/etc/p", true, 1, 1), ("/run/p", true, 1, 0)]);
        let emptied = |usr, etc, run| {
            let now = noted(&[usr, etc, run]);
            now.emptied(&before).into_iter().map(Path::to_owned).collect::<Vec<_>>()
        };
        let (usr, etc) = (("/usr/lib/p", true, 2, 0), ("/etc/p", true, 1, 1));
        let path = |path: &str| vec![Path::new(path).to_owned()];
        let none = Vec::<PathBuf>::new();
        assert_eq!(emptied(usr, etc, ("/run/p", false, 0, 0)), none, "it goes as it came");
        assert_eq!(emptied(usr, ("/etc/p", true, 1, 0), ("/run/p", true, 0, 0)), none);
        let both =
            emptied(("/usr/lib/p", true, 0, 0), ("/etc/p", false, 0, 0), ("/run/p", true, 1, 0));
        assert_eq!(both, [path("/usr/lib/p"), path("/etc/p")].concat());
        assert_eq!(emptied(usr, ("/etc/p", true, 0, 1), ("/run/p", true, 1, 0)), path("/etc/p"));
        assert_eq!(
            emptied(("/usr/lib/p", false, 0, 0), etc, ("/run/p", true, 1, 0)),
            path("/usr/lib/p")
        );
        let lists = noted(&[("/etc/p", true, 0, 1)]);
        let taken_back = noted(&[("/etc/p", true, 0, 0)]);
        assert!(taken_back.emptied(&lists).is_empty(), "an entry was taken back");
        assert_eq!(noted(&[("/etc/p", false, 0, 0)]).emptied(&lists), path("/etc/p"));
        let on_other = |deny_lists| {
            let mut noted = noted(&[("/etc/p", true, 0, deny_lists)]);
            noted.folders[0].device = Some(2);
            noted
        };
        assert_eq!(on_other(0).emptied(&lists), path("/etc/p"), "its mount went away");
        assert!(on_other(1).emptied(&lists).is_empty(), "it was mounted elsewhere");
        let elsewhere = noted(&[("/srv/p", true, 0, 0)]);
        assert!(elsewhere.emptied(&before).is_empty(), "it was configured");
    }

    /// A start that denies less than the run before leaves a trace of it in the log.
    #[test]
    fn a_start_puts_lists_on_record_that_deny_nothing() {
        let list = |name: &str, kept| KeptRead {
            name: name.to_owned(),
            source: "https://a.example/deny.yaml".to_owned(),
            kept,
            lowered: None,
        };
        let fault = ListFault::NotSigned("by nobody".to_owned());
        let noted = Noted {
            lists: vec![list("new", None), list("edited", Some(Err(fault)))],
            unused: vec!["/var/lib/deny-lists/left.list.json".into()],
            ..Noted::default()
        };
        let notes = noted.lists_not_in_force();
        let told = notes.iter().map(|noted| {
            let audit::Noted::DenyListNotInForce { list, source, code, .. } = noted else {
                panic!("{noted:?}");
            };
            (list.as_str(), source.is_some(), code.as_str())
        });
        let expected = [
            ("new", true, "not-fetched"),
            ("edited", true, "not-signed"),
            ("left", false, "not-configured"),
        ];
        assert!(told.eq(expected), "{notes:#?}");
        assert!(Noted::default().lists_not_in_force().is_empty());
    }

    #[test]
    fn a_set_that_comes_in_force_names_its_files_and_how_its_documents_differ() {
        let file = |file: &str, digest: &str, documents: &[&str]| FileRead {
            file: file.into(),
            digest: format!("sha256:{digest}"),
            documents: documents.iter().map(|name| (*name).to_owned()).collect(),
            text: Arc::default(),
        };
        let with = |files: Vec<FileRead>| {
            let mut noted = noted(&[("/etc/p", true, 2, 0)]);
            noted.folders[0].files = files;
            noted
        };
        let before = with(vec![
            file("/etc/p/a.yaml", "1", &["ImagePolicy a"]),
            file("/etc/p/b.yaml", "2", &["ImagePolicy b", "ImagePolicy c"]),
        ]);
        let after = with(vec![
            file("/etc/p/b.yaml", "3", &["ImagePolicy b", "Exception d"]),
            file("/etc/p/moved.yaml", "1", &["ImagePolicy a"]),
        ]);
        let [audit::Noted::PoliciesInForce { files, added, removed, changed, omitted, .. }] =
            &came_in_force(Some(&before), &after, ("p", "t"))[..]
        else {
            panic!("one note")
        };
        assert_eq!(files, &["sha256:3 /etc/p/b.yaml", "sha256:1 /etc/p/moved.yaml"]);
        assert_eq!(
            (&added[..], &removed[..]),
            (&["Exception d".into()][..], &["ImagePolicy c".into()][..])
        );
        assert_eq!((&changed[..], *omitted), (&["ImagePolicy b".into()][..], 0), "a is as it was");
        let many = (0..100).map(|n| file(&format!("/etc/p/{n}.yaml"), "1", &[])).collect();
        let [audit::Noted::PoliciesInForce { files, added, omitted, .. }] =
            &came_in_force(None, &with(many), ("p", "t"))[..]
        else {
            panic!("one note")
        };
        assert_eq!((files.len(), added.len(), *omitted), (64, 0, 36), "a note is one line");
    }

    /// Of a reload that was not taken nothing counts, its deny lists neither.
    #[test]
    fn the_options_of_a_refused_reload_are_not_in_force() {
        let options = |fetched: &str| loader::Options {
            fetched: fetched.into(),
            ..loader::Options::default()
        };
        let seen = |fetched: &str| (options(fetched), FolderState::of(&options(fetched)));
        let mut state = PolicyState::new(Noted::default(), seen("/first"), Timestamp::UNIX_EPOCH);
        state.seen = seen("/refused");
        assert_eq!(state.in_force, options("/first"));
        state.taken(Noted::default(), Some(options("/second")), Timestamp::MAX);
        assert_eq!(state.in_force, options("/second"));
    }
}
