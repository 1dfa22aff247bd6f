//! Reloading: policies and keys are read, put together and let go away from the thread that carries
//! calls. On that thread one pointer is exchanged.
//!
//! A reload comes of a signal, of an operator's word, or of a change in the folders of policies and
//! keys, which are looked at several times a second: a link that is replaced far away is seen so,
//! and what is struck off is in force within a second.
//!
//! A folder that is empty where policies were is a mount that went away, or a mistake: no set without
//! the policies of a folder takes the place of one with, unless an operator says so in so many words.
//! A signal does not: the daily refresh of trust roots sends one, through the service manager. A folder that hangs
//! is given up on and tried again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::signal::unix::Signal;

use super::bounded_reads::{BoundedReads, ReadFault};
use super::noted::{Noted, PolicyState, denials_changed, replaced_changed};
use super::{CLOCK, Daemon, tell};
use crate::audit;
use crate::config;
use crate::control::{Answer, Faults, Reloaded};
use crate::deny_fetch::{self, InForce};
use crate::loader::{self, FolderState};
use crate::policy::PolicySet;
use crate::systemd::News;

/// How often the folders are looked at. With what follows, a change is in force within a second.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long the folders must rest before they are read: a program that writes several files, or one
/// in pieces, is most likely done by then.
const REST: Duration = Duration::from_millis(100);
/// How often in a row they may be found restless before they are read all the same; the reading
/// itself tells whether they change under it. Once: a second is over soon.
const RESTLESS_MAX: u32 = 1;
/// How often the folders are read for one reload when they change meanwhile.
const READS_MAX: u32 = 5;
/// How often a set that could not be loaded is tried again although nothing changed, and folders
/// that hang are looked at again: a disk may have failed for a moment.
const AGAIN: Duration = Duration::from_secs(10);
/// How long a reload waits at its end until the set before is out of memory, so that the next reload
/// finds one set there and not two. Where a decision still uses the old set, it does not wait.
const LET_GO: Duration = Duration::from_secs(1);
/// Who wants a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The gate itself: something in the folders has changed.
    Change,
    /// A signal, or an operator.
    Told,
    /// An operator, who knows that no policy may be left.
    ToldThoughEmpty,
}

/// Why what is on disk is not in force.
#[derive(Debug)]
enum NotReloaded {
    /// The files are faulty.
    Faulty(Faults),
    /// A folder holds no policy any more, and did when the set in force was read.
    Emptied {
        /// The folder.
        folder: PathBuf,
    },
    /// The configuration names deny lists no more that are in force.
    ListsGone {
        /// Each with the number of its entries.
        lists: Vec<(String, usize)>,
    },
    /// The folders could not be read.
    Unread(ReadFault),
}

impl std::fmt::Display for NotReloaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Faulty(faults) => write!(f, "{faults}"),
            Self::Unread(fault) => write!(f, "{fault}"),
            Self::Emptied { folder } => write!(
                f,
                "no policy is left in {}, and the policies that were there stay in force: bring \
                 them back; if there is to be none, run: sealgate reload --allow-empty",
                folder.display().to_string().escape_default()
            ),
            Self::ListsGone { lists } => {
                f.write_str(
                    "policy.deny_lists no longer has what is in force and stays in force: ",
                )?;
                for (number, (list, entries)) in lists.iter().enumerate() {
                    let separator = if number == 0 { "" } else { ", " };
                    write!(f, "{separator}list {list} with {entries} entries")?;
                }
                f.write_str("; bring it back; if it is to go, run: sealgate reload --allow-empty")
            }
        }
    }
}

/// What came of reading the folders once.
struct Reading {
    /// The set, and what an operator should know about it.
    read: Result<(Arc<PolicySet>, Noted), Faults>,
    /// Where it was read, and how the folders were; none when the configuration could not be read.
    at: Option<(loader::Options, FolderState)>,
}

impl Daemon {
    /// Reloads when SIGHUP comes, one reload after the other. A signal that comes during one begins
    /// another after it, so that in the end what is in force is what was there when the last signal
    /// came.
    pub(super) async fn reload_when_told(self: Arc<Self>, mut hangup: Signal) {
        while hangup.recv().await.is_some() {
            drop(self.reload(Cause::Told).await);
        }
    }

    /// Reloads when the folders of policies and keys have changed, for ever.
    pub(super) async fn reload_on_change(self: Arc<Self>) {
        // Apart, since a log that hangs must not keep changes from being seen.
        tokio::spawn(Arc::clone(&self).record_replaced());
        // How the folders were when they were last read on account of a change.
        let (mut restless, mut tried, mut tried_at) = (0, None, CLOCK.steady());
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let (before, has_failed) = {
                let state = self.policy_state();
                (state.seen.clone(), state.reload_error.is_some())
            };
            let now = match self.look(&before.0).await {
                Ok(now) => now,
                Err(fault) => {
                    self.note_failure(&NotReloaded::Unread(fault));
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            let waited = CLOCK.steady().saturating_duration_since(tried_at);
            let failed_since = has_failed.then_some(waited);
            let rested = match next_step(&now, (&before.1, tried.as_ref()), failed_since) {
                NextStep::Wait => continue,
                NextStep::TryAgain => now,
                NextStep::Read => {
                    tokio::time::sleep(REST).await;
                    let rested = self.look(&before.0).await;
                    if rested != Ok(now) && restless < RESTLESS_MAX {
                        restless += 1;
                        continue;
                    }
                    restless = 0;
                    rested.unwrap_or(now)
                }
            };
            (tried, tried_at) = (Some(rested), CLOCK.steady());
            drop(self.reload(Cause::Change).await);
        }
    }

    /// Answers an operator who asks for a reload.
    pub(super) async fn reload_now(&self, though_empty: bool) -> Answer {
        let cause = if though_empty { Cause::ToldThoughEmpty } else { Cause::Told };
        match self.reload(cause).await {
            Ok((changed, not_recorded)) => {
                let policy = self.policy_status();
                Answer::Reloaded(Box::new(Reloaded { policy, changed, not_recorded }))
            }
            Err(NotReloaded::Faulty(faults)) => Answer::Faulty(faults),
            Err(less @ (NotReloaded::Emptied { .. } | NotReloaded::ListsGone { .. })) => {
                Answer::Faulty(Faults::of([less.to_string()]))
            }
            Err(unread @ NotReloaded::Unread(_)) => Answer::NotDone(unread.to_string()),
        }
    }

    /// Reads the policy and keys again; whether anything else is in force now, and why a change of
    /// what is denied or replaced is not on record. A broken set changes nothing, loudly.
    async fn reload(&self, cause: Cause) -> Result<(bool, Option<String>), NotReloaded> {
        let _turn = self.reloading.lock().await;
        tell(&News::Reloading);
        let config: PathBuf = self.config.clone();
        let memory = Arc::clone(&self.lists.memory);
        let reading = move || load(&config, cause, &|| memory.in_force());
        let reading = self.reads_of(cause).run(reading).await;
        let outcome = match reading.map_err(NotReloaded::Unread) {
            Ok(Reading { read, at }) => {
                // Whatever came of it: how the folders were is known.
                if let Some(at) = at.clone() {
                    self.policy_state().seen = at;
                }
                let options = at.as_ref().map(|(options, _)| options.clone());
                match self.to_put_in_force(read, at, cause) {
                    Ok((set, noted)) => Ok(self.put_in_force(set, noted, options).await),
                    Err(why) => Err(why),
                }
            }
            Err(unread) => Err(unread),
        };
        if let Err(why) = &outcome {
            self.note_failure(why);
        }
        tell(&News::Ready);
        outcome
    }

    fn reads_of(&self, cause: Cause) -> &BoundedReads {
        match cause {
            Cause::Change => &self.reads.own,
            Cause::Told | Cause::ToldThoughEmpty => &self.reads.told,
        }
    }

    /// How the folders are now.
    async fn look(&self, options: &loader::Options) -> Result<FolderState, ReadFault> {
        let options = options.clone();
        self.reads.own.run(move || FolderState::of(&options)).await
    }

    /// What was read, unless it is faulty or leaves the node without a policy that it had.
    fn to_put_in_force(
        &self,
        read: Result<(Arc<PolicySet>, Noted), Faults>,
        at: Option<(loader::Options, FolderState)>,
        cause: Cause,
    ) -> Result<(Arc<PolicySet>, Noted), NotReloaded> {
        let (set, noted) = read.map_err(NotReloaded::Faulty)?;
        let is_emptied = set.is_empty() && !self.gate.policy().is_empty();
        let own =
            || at.map(|(options, _)| options.policies.written().to_owned()).unwrap_or_default();
        let emptied = noted.emptied(&self.policy_state().noted).map(Path::to_owned);
        let emptied = emptied.or_else(|| is_emptied.then(own));
        if let Some(folder) = emptied.filter(|_| cause != Cause::ToldThoughEmpty) {
            return Err(NotReloaded::Emptied { folder });
        }
        let lists = self.lists.memory.gone(&noted.lists);
        if !lists.is_empty() {
            if cause != Cause::ToldThoughEmpty {
                return Err(NotReloaded::ListsGone { lists });
            }
            for (list, entries) in lists {
                tracing::warn!(list, entries, "an operator let a deny list go that was in force");
            }
        }
        noted.warn(super::now());
        Ok((set, noted))
    }

    /// Notes why what is on disk is not in force, and tells the journal when that is news.
    fn note_failure(&self, why: &NotReloaded) {
        let error = why.to_string();
        let mut state = self.policy_state();
        if state.reload_error.as_ref() != Some(&error) {
            tracing::error!(
                "the policy was NOT reloaded, the set before it stays in force: {error}"
            );
        }
        state.reload_error = Some(error);
    }

    /// Reads the policies again for a deny list that was fetched.
    pub(super) async fn reload_for_list(&self) -> Result<(), String> {
        self.reload(Cause::Change).await.map(drop).map_err(|why| why.to_string())
    }

    async fn put_in_force(
        &self,
        set: Arc<PolicySet>,
        noted: Noted,
        options: Option<loader::Options>,
    ) -> (bool, Option<String>) {
        self.lists.memory.note_loaded(&noted.lists);
        let (policy, trust) = (set.generation().to_owned(), set.trust_generation().to_owned());
        let (changed, denials) = {
            // Not held any longer: the set before goes away once nobody has it.
            let (before, after) = (self.gate.policy(), Arc::clone(&set));
            let changed = (before.generation(), before.trust_generation()) != (&*policy, &*trust);
            // Lists have thousands of entries, and calls wait for this thread.
            let told = tokio::task::spawn_blocking(move || denials_changed(&before, &after));
            (changed, told.await.map_err(|lost| lost.to_string()))
        };
        let letting_go = self.gate.replace_policy(Arc::clone(&set));
        self.sandbox_image.look_again();
        let replaced = {
            let mut state = self.policy_state();
            let replaced = replaced_changed(&state.noted.replaced, &noted.replaced, &policy);
            state.taken(noted, options);
            replaced
        };
        for notice in set.exception_notices(self.gate.now()) {
            tracing::warn!("policy: {}", notice.text());
        }
        tracing::info!(policy, trust, "the policy was reloaded");
        let (denials, mut error) = match denials {
            Ok(denials) => (denials, None),
            Err(lost) => (None, Some(lost)),
        };
        for note in denials.into_iter().chain(replaced) {
            error = self.record(note).await.err().or(error);
        }
        if let Some(letting_go) = letting_go {
            drop(tokio::time::timeout(LET_GO, letting_go).await);
        }
        (changed, error)
    }

    /// Puts on record which documents others stand for as the gate starts.
    async fn record_replaced(self: Arc<Self>) {
        let replaced = self.policy_state().noted.replaced.clone();
        let generation = self.gate.policy().generation().to_owned();
        if let Some(note) = replaced_changed(&[], &replaced, &generation) {
            drop(self.record(note).await);
        }
    }

    async fn record(&self, note: audit::Noted) -> Result<(), String> {
        let error = self.recorder.log().note(note).await.err();
        if let Some(error) = &error {
            tracing::error!(%error, "a change of the policies could not be recorded");
        }
        error.map_or(Ok(()), |error| Err(error.to_string()))
    }

    pub(super) fn policy_state(&self) -> std::sync::MutexGuard<'_, PolicyState> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the watch over the folders does next.
#[derive(Debug, PartialEq, Eq)]
enum NextStep {
    /// Nothing.
    Wait,
    /// It reads what could not be put in force before.
    TryAgain,
    /// It reads what has changed.
    Read,
}

/// What to do about folders that are like this now, by how they were when a set was last read, and
/// when a change was last tried; where that failed, by how long it is ago.
///
/// A reload that failed before it came to the folders has read no set: what was tried is not tried
/// again at every look.
fn next_step<S: PartialEq>(
    now: &S,
    (seen, tried): (&S, Option<&S>),
    failed_since: Option<Duration>,
) -> NextStep {
    match failed_since {
        None if now == seen => NextStep::Wait,
        Some(waited) if now == seen || tried == Some(now) => {
            if waited >= AGAIN {
                NextStep::TryAgain
            } else {
                NextStep::Wait
            }
        }
        None | Some(_) => NextStep::Read,
    }
}

/// The set that the configuration names now. What changes while it is read is read again: half of a
/// change is never put in force.
///
/// A deny list that is in force and of which nothing is left that is believed is put back, or holds
/// the reload up: no change of a file takes it out. An operator does, in so many words.
fn load(config: &Path, cause: Cause, in_force: &dyn Fn() -> BTreeMap<String, InForce>) -> Reading {
    let settings = match config::load(config) {
        Ok(settings) => settings,
        Err(error) => return Reading { read: Err(Faults::of([error.to_string()])), at: None },
    };
    let options = settings.policy.clone();
    for _ in 0..READS_MAX {
        let state = FolderState::of(&options);
        let loaded = loader::load(&options, &settings.trust);
        if FolderState::of(&options) != state {
            std::thread::sleep(REST);
            continue;
        }
        // Once the files are read: what was taken before that counts.
        let lists = in_force();
        let loaded = loaded.and_then(|loaded| {
            let restored = deny_fetch::restore(&options, &loaded.lists, &lists);
            let refused = |problem: Box<_>| loader::LoadError { problems: vec![*problem] };
            Ok((restored.map_err(refused)?, loaded))
        });
        let read = match loaded {
            Ok((true, _)) => continue,
            Ok((false, loaded)) => match lost(&loaded, &lists) {
                lost if lost.is_empty() || cause == Cause::ToldThoughEmpty => {
                    let mut noted = Noted::of(&loaded, &settings.trust);
                    noted.warnings.extend(lost.iter().map(LostList::let_go));
                    Ok((Arc::new(loaded.policies), noted))
                }
                lost => Err(Faults::of(lost.iter().map(LostList::refused))),
            },
            Err(error) => Err(Faults::of(error.problems.iter().map(ToString::to_string))),
        };
        return Reading { read, at: Some((options, state)) };
    }
    let error = format!("the folder changed each of {READS_MAX} times while it was read");
    Reading { read: Err(Faults::of([error])), at: None }
}

/// A deny list that is in force, and of which nothing that was read is believed: its key is another
/// in the configuration now, say.
#[derive(Debug)]
struct LostList {
    problem: loader::Problem,
    name: String,
    /// How many entries are in force of it.
    entries: usize,
}

impl LostList {
    /// Why it holds a reload up, and what lets it go.
    fn refused(&self) -> String {
        let (problem, entries) = (&self.problem, self.entries);
        format!(
            "{problem}; its {entries} entries stay in force; if they are to go until it is fetched \
             again, run: sealgate reload --allow-empty"
        )
    }

    /// What to say once an operator let it go.
    fn let_go(&self) -> String {
        let (name, entries) = (&self.name, self.entries);
        format!(
            "an operator let the deny list {name} go, which was in force with {entries} entries: it \
             denies NOTHING until it is fetched again"
        )
    }
}

fn lost(loaded: &loader::Loaded, lists: &BTreeMap<String, InForce>) -> Vec<LostList> {
    let is_lost = |list: &&loader::KeptRead| !matches!(list.kept, Some(Ok(_)));
    let lost = loaded.lists.iter().filter(is_lost).filter_map(|list| {
        let (name, entries) = (list.name.clone(), lists.get(&list.name)?.entries);
        let fault = list.kept.as_ref().and_then(|kept| kept.as_ref().err().cloned());
        let problem = loader::Problem::DenyList { name: name.clone(), fault };
        Some(LostList { problem, name, entries })
    });
    lost.collect()
}

#[cfg(test)]
mod tests;
