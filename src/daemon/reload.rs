//! Reloading: policies and keys are read, put together and let go away from the thread that carries
//! calls. On that thread one pointer is exchanged.
//!
//! A reload comes of a signal, of an operator's word, or of a change in the folders of policies and
//! keys, which are looked at several times a second: a link that is replaced far away is seen so,
//! and what is struck off is in force within a second.
//!
//! A folder that is empty where policies were is a mount that went away, or a mistake: no set without
//! the policies of a folder, or without a fetched deny list, takes the place of one with, unless an
//! operator names what is to go ([`Consent`]). A signal does not: the daily refresh of trust roots
//! sends one, through the service manager. A folder that hangs is given up on and tried again.

mod losses;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::signal::unix::Signal;

use super::bounded_reads::{BoundedReads, ReadFault};
use super::known_time::clock_behind;
use super::noted::{Noted, PolicyState, came_in_force, denials_changed};
use super::{CLOCK, Daemon, tell};
use crate::aside;
use crate::audit;
use crate::config;
use crate::control::{Answer, Faults, Reloaded};
use crate::deny_fetch::{self, InForce};
use crate::loader::{self, FolderState};
use crate::policy::PolicySet;
use crate::systemd::News;
use losses::{Consent, Losses, LostList, lost};

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
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cause {
    /// The gate itself: something in the folders has changed.
    Change,
    /// A signal, or an operator, who lets go what is named.
    Told(Consent),
}

/// Why what is on disk is not in force.
#[derive(Debug)]
enum NotReloaded {
    /// The files are faulty.
    Faulty(Faults),
    /// What is in force would be lost, and no operator let it go.
    Losing(Losses),
    /// The folders could not be read.
    Unread(ReadFault),
}

impl std::fmt::Display for NotReloaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Faulty(faults) => write!(f, "{faults}"),
            Self::Unread(fault) => write!(f, "{fault}"),
            Self::Losing(losses) => write!(f, "{}", losses.refused()),
        }
    }
}

/// What came of reading the folders once.
struct Reading {
    /// What was read.
    read: Result<LoadedPolicies, Faults>,
    /// Where it was read, and how the folders were; none when the configuration could not be read.
    at: Option<(loader::Options, FolderState)>,
}

/// A set that was read.
struct LoadedPolicies {
    /// The set.
    set: Arc<PolicySet>,
    /// What an operator should know about it.
    noted: Noted,
    /// The deny lists in force that it does not have.
    lists: Vec<LostList>,
}

impl Daemon {
    /// Reloads when SIGHUP comes, one reload after the other. A signal that comes during one begins
    /// another after it, so that in the end what is in force is what was there when the last signal
    /// came.
    pub(super) async fn reload_when_told(self: Arc<Self>, mut hangup: Signal) {
        while hangup.recv().await.is_some() {
            drop(self.reload(Cause::Told(Consent::default())).await);
        }
    }

    /// Reloads when the folders of policies and keys have changed, for ever.
    pub(super) async fn reload_on_change(self: Arc<Self>) {
        // Apart, since a log that hangs must not keep changes from being seen.
        tokio::spawn(Arc::clone(&self).record_start());
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

    /// Answers an operator who asks for a reload, and lets go what is named: folders that may have no
    /// policy any more, and fetched deny lists.
    pub(super) async fn reload_now(
        self: &Arc<Self>,
        folders: Vec<PathBuf>,
        lists: Vec<String>,
    ) -> Answer {
        match self.reload(Cause::Told(Consent { folders, lists })).await {
            Ok((changed, not_recorded)) => {
                let policy = self.policy_status();
                Answer::Reloaded(Box::new(Reloaded { policy, changed, not_recorded }))
            }
            Err(NotReloaded::Faulty(faults)) => Answer::Faulty(faults),
            Err(NotReloaded::Losing(losses)) => Answer::Faulty(losses.refused()),
            Err(unread @ NotReloaded::Unread(_)) => Answer::NotDone(unread.to_string()),
        }
    }

    /// Reads the policy and keys again; whether anything else is in force now, and why a change of
    /// what is denied or replaced is not on record. A broken set changes nothing, loudly. Who asked
    /// may stop waiting: what was begun is done to its end.
    async fn reload(self: &Arc<Self>, cause: Cause) -> Result<(bool, Option<String>), NotReloaded> {
        let daemon = Arc::clone(self);
        to_its_end(async move { daemon.reload_whole(&cause).await }).await
    }

    async fn reload_whole(&self, cause: &Cause) -> Result<(bool, Option<String>), NotReloaded> {
        let _turn = self.reloading.lock().await;
        tell(&News::Reloading);
        let config: PathBuf = self.config.clone();
        let memory = Arc::clone(&self.lists.memory);
        let reading = move || load(&config, &|| memory.in_force());
        let reading = self.reads_of(cause).run(reading).await;
        let outcome = match reading.map_err(NotReloaded::Unread) {
            Ok(Reading { read, at }) => {
                // Whatever came of it: how the folders were is known.
                if let Some(at) = at.clone() {
                    self.policy_state().seen = at;
                }
                let options = at.map(|(options, _)| options);
                match self.to_put_in_force(read, options.as_ref(), cause) {
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

    fn reads_of(&self, cause: &Cause) -> &BoundedReads {
        match cause {
            Cause::Change => &self.reads.own,
            Cause::Told(_) => &self.reads.told,
        }
    }

    /// How the folders are now.
    async fn look(&self, options: &loader::Options) -> Result<FolderState, ReadFault> {
        let options = options.clone();
        self.reads.own.run(move || FolderState::of(&options)).await
    }

    /// What was read, unless it is faulty or leaves the node without what it had and nobody let go.
    fn to_put_in_force(
        &self,
        read: Result<LoadedPolicies, Faults>,
        options: Option<&loader::Options>,
        cause: &Cause,
    ) -> Result<(Arc<PolicySet>, Noted), NotReloaded> {
        let LoadedPolicies { set, mut noted, lists } = read.map_err(NotReloaded::Faulty)?;
        let emptied = noted.emptied(&self.policy_state().noted).into_iter();
        let mut folders: Vec<PathBuf> = emptied.map(PathBuf::from).collect();
        if folders.is_empty() && set.is_empty() && !self.gate.policy().is_empty() {
            folders.extend(options.map(|options| options.policies.written().to_owned()));
        }
        let losses = Losses { folders, lists };
        if !losses.are_let_go(cause.consent()) {
            return Err(NotReloaded::Losing(losses));
        }
        noted.warnings.extend(losses.lists.iter().map(ToString::to_string));
        noted.warn(super::now());
        Ok((set, noted))
    }

    /// Notes why what is on disk is not in force, and tells the journal when that is news.
    fn note_failure(&self, why: &NotReloaded) {
        let error = why.to_string();
        if self.policy_state().refused(&error, super::now()) {
            tracing::error!(
                "the policy was NOT reloaded, the set before it stays in force: {error}"
            );
            self.recorder.log().jot(audit::Noted::PoliciesRefused { message: error });
        }
    }

    /// Reads the policies again for a deny list that was fetched.
    pub(super) async fn reload_for_list(self: &Arc<Self>) -> Result<(), String> {
        self.reload(Cause::Change).await.map(drop).map_err(|why| why.to_string())
    }

    async fn put_in_force(
        &self,
        set: Arc<PolicySet>,
        mut noted: Noted,
        options: Option<loader::Options>,
    ) -> (bool, Option<String>) {
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
        // Nobody else runs in between: what the memory says is in force is.
        self.lists.memory.note_loaded(&noted.lists);
        self.recorder.log().put_in_force(&policy, &trust);
        self.texts.keep(noted.take_texts(&policy), self.recorder.log());
        self.sandbox_image.look_again();
        let notes = {
            let mut state = self.policy_state();
            let notes = came_in_force(Some(&state.noted), &noted, (&policy, &trust));
            state.taken(noted, options, super::now());
            // Files that were read again and are what they were are no news.
            let is_news = |note: &audit::Noted| {
                changed || !matches!(note, audit::Noted::PoliciesInForce { .. })
            };
            notes.into_iter().filter(is_news).collect::<Vec<_>>()
        };
        for notice in set.exception_notices(self.gate.now()) {
            tracing::warn!("policy: {}", notice.text());
        }
        tracing::info!(policy, trust, "the policy was reloaded");
        let (denials, mut error) = match denials {
            Ok(denials) => (denials, None),
            Err(lost) => (None, Some(lost)),
        };
        for note in denials.into_iter().chain(notes) {
            error = self.record(note).await.err().or(error);
        }
        if let Some(letting_go) = letting_go {
            drop(tokio::time::timeout(LET_GO, letting_go).await);
        }
        (changed, error)
    }

    /// Puts on record what is in force as the gate starts, and which fetched deny lists deny nothing.
    async fn record_start(self: Arc<Self>) {
        let set = self.gate.policy();
        let generations = (set.generation(), set.trust_generation());
        let (notes, lists) = {
            let mut state = self.policy_state();
            self.texts.keep(state.noted.take_texts(generations.0), self.recorder.log());
            (came_in_force(None, &state.noted, generations), state.noted.lists_not_in_force())
        };
        let behind = clock_behind(&self.gate, super::now());
        for note in notes.into_iter().chain(lists).chain(behind) {
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

impl Cause {
    /// What is let go.
    fn consent(&self) -> &Consent {
        const NOTHING: &Consent = &Consent::nothing();
        match self {
            Self::Change => NOTHING,
            Self::Told(consent) => consent,
        }
    }
}

/// Does it to its end, also where nobody waits for that any more.
///
/// # Panics
/// When it did.
async fn to_its_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    aside::finished(tokio::spawn(work)).await
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
/// A deny list that is in force and of which nothing is left on disk that is believed is put back: no
/// change of a file takes it out.
fn load(config: &Path, in_force: &dyn Fn() -> BTreeMap<String, InForce>) -> Reading {
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
        let in_force = in_force();
        let loaded = loaded.and_then(|loaded| {
            let restored = deny_fetch::restore(&options, &loaded.lists, &in_force);
            let refused = |problem: Box<_>| loader::LoadError { problems: vec![*problem] };
            Ok((restored.map_err(refused)?, loaded))
        });
        let read = match loaded {
            Ok((true, _)) => continue,
            Ok((false, loaded)) => {
                let noted = Noted::of(&loaded, &settings.trust);
                let lists = lost(&loaded.lists, &in_force);
                Ok(LoadedPolicies { set: Arc::new(loaded.policies), noted, lists })
            }
            Err(error) => Err(Faults::of(error.problems.iter().map(ToString::to_string))),
        };
        return Reading { read, at: Some((options, state)) };
    }
    let error = format!("the folder changed each of {READS_MAX} times while it was read");
    Reading { read: Err(Faults::of([error])), at: None }
}

#[cfg(test)]
mod tests;
