//! [`Losses`]: what is in force and would not be after a reload; [`Consent`]: what of it an operator
//! lets go, by name. What nobody named stays, and with it the whole set.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::control::Faults;
use crate::deny_fetch::InForce;
use crate::fetched_list::ListFault;
use crate::loader::KeptRead;

/// What an operator lets go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Consent {
    /// Folders that may have no policy any more.
    pub(super) folders: Vec<PathBuf>,
    /// Fetched deny lists of which nothing needs to be in force any more.
    pub(super) lists: Vec<String>,
}

/// What a reload would lose.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Folders that had policies and have none.
    pub(super) folders: Vec<PathBuf>,
    /// Fetched deny lists.
    pub(super) lists: Vec<LostList>,
}

/// A fetched deny list that is in force and would not be.
#[derive(Debug)]
pub(super) struct LostList {
    /// Its name.
    pub(super) name: String,
    /// How many entries are in force of it.
    pub(super) entries: usize,
    /// Why it would not be.
    pub(super) why: WhyLost,
}

/// Why a list in force would not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WhyLost {
    /// The configuration does not name it.
    Unconfigured,
    /// What is kept of it is not believed as it is configured now.
    Unbelieved(ListFault),
    /// Nothing is kept of it: its file was put back, and is gone again.
    Gone,
}

impl Consent {
    /// Nothing is let go.
    pub(super) const fn nothing() -> Self {
        Self { folders: Vec::new(), lists: Vec::new() }
    }
}

impl Losses {
    /// Whether each of them is named.
    pub(super) fn are_let_go(&self, consent: &Consent) -> bool {
        self.folders.iter().all(|folder| consent.folders.contains(folder))
            && self.lists.iter().all(|list| consent.lists.contains(&list.name))
    }

    /// Why they hold a reload up, each in a line, and in the last the command that lets go all of
    /// them and nothing else.
    pub(super) fn refused(&self) -> Faults {
        let shown = |folder: &PathBuf| folder.display().to_string().escape_default().to_string();
        let of_folder = |folder: &PathBuf| {
            format!(
                "no policy is left in {}, and the policies that were there stay in force: bring \
                 them back",
                shown(folder)
            )
        };
        let mut command = "if that is to go, run: sealgate reload".to_owned();
        let folders = self.folders.iter().map(|folder| format!(" --allow-empty {}", shown(folder)));
        let lists = self.lists.iter().map(|list| format!(" --allow-lost-list {}", list.name));
        command.extend(folders.chain(lists));
        let lines = self.folders.iter().map(of_folder);
        Faults::of(lines.chain(self.lists.iter().map(LostList::refused)).chain([command]))
    }
}

impl LostList {
    /// Why it holds a reload up.
    fn refused(&self) -> String {
        let Self { name, entries, why } = self;
        match why {
            WhyLost::Unbelieved(fault) => format!(
                "correct policy.deny_lists: list {name}, of which {entries} entries stay in force, \
                 is not taken as it is configured now: {fault}"
            ),
            WhyLost::Unconfigured => format!(
                "policy.deny_lists no longer has list {name}, of which {entries} entries stay in \
                 force: bring it back"
            ),
            WhyLost::Gone => format!(
                "nothing is kept of list {name}, of which {entries} entries stay in force: look \
                 who removes it from policy.fetched"
            ),
        }
    }
}

/// What to say once an operator let it go.
impl fmt::Display for LostList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, entries, why } = self;
        let until = match why {
            WhyLost::Unbelieved(_) | WhyLost::Gone => " until it is fetched again",
            WhyLost::Unconfigured => "",
        };
        write!(
            f,
            "an operator let the deny list {name} go, which was in force with {entries} entries: it \
             denies NOTHING{until}"
        )
    }
}

/// The lists in force that a load did not read, or read nothing of that is believed.
pub(super) fn lost(read: &[KeptRead], in_force: &BTreeMap<String, InForce>) -> Vec<LostList> {
    let lost = in_force.iter().filter_map(|(name, InForce { entries, .. })| {
        let why = match read.iter().find(|list| list.name == *name) {
            None => WhyLost::Unconfigured,
            Some(KeptRead { kept: Some(Ok(_)), .. }) => return None,
            Some(KeptRead { kept: Some(Err(fault)), .. }) => WhyLost::Unbelieved(fault.clone()),
            Some(KeptRead { kept: None, .. }) => WhyLost::Gone,
        };
        Some(LostList { name: name.clone(), entries: *entries, why })
    });
    lost.collect()
}
