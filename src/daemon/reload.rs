//! Reloading: policies and keys are read, put together and let go away from the thread that carries
//! calls. On that thread one pointer is exchanged.
//!
//! A reload comes of a signal, of an operator's word, or of a change in the folders of policies and
//! keys, which are looked at several times a second: a link that is replaced far away is seen so,
//! and what is struck off is in force within a second.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::signal::unix::Signal;

use super::{CLOCK, Daemon, Noted, PolicyState, tell};
use crate::audit;
use crate::config;
use crate::control::Answer;
use crate::loader::{self, FolderState};
use crate::policy::PolicySet;
use crate::systemd::News;

/// How often the folders are looked at. With what follows, a change is in force within a second.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// How long the folders must rest before they are read: a program that writes several files, or one
/// in pieces, is most likely done by then.
const REST: Duration = Duration::from_millis(150);
/// How often in a row they may be found restless before they are read all the same; the reading
/// itself tells whether they change under it.
const RESTLESS_MAX: u32 = 3;
/// How often the folders are read for one reload when they change meanwhile.
const READS_MAX: u32 = 5;
/// How often a set that could not be loaded is tried again although nothing changed: a disk may
/// have failed for a moment.
const AGAIN: Duration = Duration::from_secs(10);
/// Most entries of deny lists that one note in the audit log names of each kind: it is one line.
const NOTED_MAX: usize = 64;

/// What came of reading the folders once.
struct Reading {
    /// The set, and what an operator should know about it.
    read: Result<(Arc<PolicySet>, Noted), String>,
    /// Where it was read, and how the folders were; none when the configuration could not be read.
    at: Option<(loader::Options, FolderState)>,
}

impl Daemon {
    /// Reloads when SIGHUP comes, one reload after the other. A signal that comes during one begins
    /// another after it, so that in the end what is in force is what was there when the last signal
    /// came.
    pub(super) async fn reload_when_told(self: Arc<Self>, mut hangup: Signal) {
        while hangup.recv().await.is_some() {
            drop(self.reload().await);
        }
    }

    /// Reloads when the folders of policies and keys have changed.
    pub(super) async fn reload_on_change(self: Arc<Self>) {
        let (mut restless, mut failed_at) = (0, CLOCK.steady());
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let (before, has_failed) = {
                let state = self.policy_state();
                (state.seen.clone(), state.reload_error.is_some())
            };
            let Some(now) = look(before.0.clone()).await else { continue };
            if now == before.1 {
                let waited = CLOCK.steady().saturating_duration_since(failed_at);
                if has_failed && waited >= AGAIN {
                    failed_at = CLOCK.steady();
                    drop(self.reload().await);
                }
                continue;
            }
            tokio::time::sleep(REST).await;
            if look(before.0).await != Some(now) && restless < RESTLESS_MAX {
                restless += 1;
                continue;
            }
            restless = 0;
            failed_at = CLOCK.steady();
            drop(self.reload().await);
        }
    }

    /// Answers an operator who asks for a reload.
    pub(super) async fn reload_now(&self) -> Answer {
        match self.reload().await {
            Ok(not_recorded) => {
                let set = self.gate.policy();
                Answer::Reloaded {
                    generation: set.generation().to_owned(),
                    trust_generation: set.trust_generation().to_owned(),
                    not_recorded,
                }
            }
            Err(error) => Answer::NotDone(error),
        }
    }

    /// Reads the policy and keys again; why a change of what is denied is not on record. A broken
    /// set changes nothing, loudly.
    async fn reload(&self) -> Result<Option<String>, String> {
        let _turn = self.reloading.lock().await;
        tell(&News::Reloading);
        let config: PathBuf = self.config.clone();
        let reading = tokio::task::spawn_blocking(move || load(&config)).await;
        let lost = |lost| format!("reading it ended without a result: {lost}");
        let Reading { read, at } =
            reading.unwrap_or_else(|error| Reading { read: Err(lost(error)), at: None });
        let outcome = match read {
            Ok((set, noted)) => Ok(self.put_in_force(set, noted, at).await),
            Err(error) => {
                let mut state = self.policy_state();
                if state.reload_error.as_ref() != Some(&error) {
                    tracing::error!(
                        "the policy was NOT reloaded, the set before it stays in force: {error}"
                    );
                }
                state.reload_error = Some(error.clone());
                state.seen = at.unwrap_or_else(|| state.seen.clone());
                Err(error)
            }
        };
        tell(&News::Ready);
        outcome
    }

    async fn put_in_force(
        &self,
        set: Arc<PolicySet>,
        noted: Noted,
        at: Option<(loader::Options, FolderState)>,
    ) -> Option<String> {
        let before = self.gate.policy();
        let (policy, trust) = (set.generation().to_owned(), set.trust_generation().to_owned());
        self.gate.replace_policy(Arc::clone(&set));
        self.sandbox_image.look_again();
        {
            let mut state = self.policy_state();
            let seen = at.unwrap_or_else(|| state.seen.clone());
            *state = PolicyState { noted, reload_error: None, seen };
        }
        for notice in set.exception_notices(self.gate.now()) {
            tracing::warn!("policy: {}", notice.text());
        }
        tracing::info!(policy, trust, "the policy was reloaded");
        let noted = denials_changed(&before, &set)?;
        let error = self.recorder.log().note(noted).await.err()?;
        tracing::error!(%error, "a change of what is denied could not be recorded");
        Some(error.to_string())
    }

    fn policy_state(&self) -> std::sync::MutexGuard<'_, PolicyState> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the folders are now; none when that cannot be told.
async fn look(options: loader::Options) -> Option<FolderState> {
    tokio::task::spawn_blocking(move || FolderState::of(&options)).await.ok()
}

/// What to put on record of how deny lists differ; none where they do not.
fn denials_changed(before: &PolicySet, after: &PolicySet) -> Option<audit::Noted> {
    let of = |set: &PolicySet| -> BTreeSet<String> {
        let entries = set.denied();
        entries
            .map(|(list, _, entry)| format!("{} ({list}: {})", entry.denied, entry.reason))
            .collect()
    };
    let (old, new) = (of(before), of(after));
    let (added, removed) = (&new - &old, &old - &new);
    if added.is_empty() && removed.is_empty() {
        return None;
    }
    let omitted = added.len().saturating_sub(NOTED_MAX) + removed.len().saturating_sub(NOTED_MAX);
    let listed = |entries: BTreeSet<String>| entries.into_iter().take(NOTED_MAX).collect();
    Some(audit::Noted::DenyListsChanged {
        added: listed(added),
        removed: listed(removed),
        omitted: u64::try_from(omitted).unwrap_or(u64::MAX),
        policy_generation: after.generation().to_owned(),
    })
}

/// The set that the configuration names now. What changes while it is read is read again: half of a
/// change is never put in force.
fn load(config: &Path) -> Reading {
    let settings = match config::load(config) {
        Ok(settings) => settings,
        Err(error) => return Reading { read: Err(error.to_string()), at: None },
    };
    let options = settings.policy.clone();
    for _ in 0..READS_MAX {
        let state = FolderState::of(&options);
        let loaded = loader::load(&options, &settings.trust);
        if FolderState::of(&options) != state {
            std::thread::sleep(REST);
            continue;
        }
        let read = loaded.map_err(|error| error.to_string()).map(|loaded| {
            let noted = Noted::of(&loaded, &settings.trust);
            noted.warn(super::now());
            (Arc::new(loaded.policies), noted)
        });
        return Reading { read, at: Some((options, state)) };
    }
    let error = format!("the folder changed each of {READS_MAX} times while it was read");
    Reading { read: Err(error), at: None }
}
