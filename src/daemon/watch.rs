//! What the gate does beside answering calls: the watch over the runtime, started
//! ([`Daemon::watch_runtime`]), and the image of pods' sandboxes, looked at before the first pod
//! wants it ([`Daemon::keep_sandbox_image`]); deny lists, fetched at their times
//! ([`Daemon::keep_lists`]) and when an operator asks.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;

use super::bounded_reads::ReadFault;
use super::sandbox_seen::SandboxFault;
use super::{CLOCK, Daemon, now};
use crate::aside;
use crate::audit::Noted;
use crate::control::{Answer, DenyListStatus};
use crate::cri::{Drift, Gate, Recorder, Refusal, SandboxRequest};
use crate::deny_fetch::{FetchFault, ListStanding, Taken, TakenList, chance, lower, take};
use crate::fetched_list::{
    FolderFault, KeptList, KnownVersion, ListFault, ListFolder, Options, SignerCheck, bounded_words,
};
use crate::metrics;

/// How often the image of sandboxes is looked at, where it was not admitted.
const AGAIN: Duration = Duration::from_secs(30);
/// How often it is looked whether a deny list is to be fetched.
const LISTS_LOOK: Duration = Duration::from_secs(1);
/// And where it was: a restart of containerd may change which image it is.
const EVERY: Duration = Duration::from_secs(300);

impl Daemon {
    /// Starts what watches the runtime.
    pub(super) fn watch_runtime(&self) {
        let (gate, file) = (Arc::clone(&self.gate), self.settings.sweep.containers.clone());
        tokio::spawn(async move { gate.made().keep(file).await });
        let sweeper = Arc::clone(&self.sweeper);
        tokio::spawn(async move { sweeper.keep_sweeping().await });
        let drift = Drift::new(
            Arc::clone(&self.gate),
            Arc::clone(&self.recorder),
            self.settings.drift.clone(),
        );
        tokio::spawn(Arc::new(drift).watch());
    }

    /// Has the image of sandboxes on the node before a pod wants it, and says when it would be
    /// refused; for ever.
    pub(super) async fn keep_sandbox_image(self: Arc<Self>) {
        loop {
            let outcome = look(&self.gate, &self.recorder).await;
            let pause = if outcome.is_ok() { EVERY } else { AGAIN };
            if self.sandbox_image.note(&outcome) {
                match &outcome {
                    Ok(image) => tracing::info!(image, "the image of pods' sandboxes is admitted"),
                    Err(fault) => tracing::warn!("pods may not start: {}", fault.why),
                }
            }
            // Whichever comes first.
            drop(tokio::time::timeout(pause, self.sandbox_image.again()).await);
        }
    }
}

/// How a fetch ended: a fixed word, what there is to say, and whether the source gave the list.
type FetchEnd = (&'static str, String, bool);

impl Daemon {
    /// Fetches deny lists at their times, for ever. No call waits for it.
    pub(super) async fn keep_lists(self: Arc<Self>) {
        loop {
            for notice in self.lists.memory.ends(now()) {
                tracing::warn!("{notice}");
            }
            for list in self.configured_lists() {
                if self.lists.memory.begin_if_due(&list, CLOCK.steady()) {
                    let daemon = Arc::clone(&self);
                    tokio::spawn(async move { daemon.fetch_list(&list).await });
                }
            }
            tokio::time::sleep(LISTS_LOOK).await;
        }
    }

    /// Fetches for an operator.
    pub(super) async fn fetch_lists(self: &Arc<Self>, name: Option<&str>) -> Answer {
        let all = self.configured_lists();
        let wanted = |list: &&Options| name.is_none_or(|name| list.name == name);
        let lists: Vec<&Options> = all.iter().filter(wanted).collect();
        if lists.is_empty() {
            return match name {
                Some(name) => Answer::Refused(no_list(name)),
                // All of none are fetched.
                None => Answer::DenyLists(Vec::new()),
            };
        }
        // Each to its end, also where the operator stops waiting.
        join_all(lists.iter().map(|list| {
            let (daemon, list) = (Arc::clone(self), (*list).clone());
            aside::finished(tokio::spawn(async move { daemon.fetch_list(&list).await }))
        }))
        .await;
        let statuses = self.list_statuses().into_iter();
        let is_wanted = |status: &DenyListStatus| lists.iter().any(|list| list.name == status.name);
        Answer::DenyLists(statuses.filter(is_wanted).collect())
    }

    /// Lowers the version from which on a list is taken, for an operator: on record first.
    pub(super) async fn lower_list(&self, name: &str, version: u64, reason: String) -> Answer {
        if !self.configured_lists().iter().any(|list| list.name == name) {
            return Answer::Refused(no_list(name));
        }
        if let Err(answer) = self.lowered(name, version, reason).await {
            return answer;
        }
        tracing::warn!(
            list = name,
            version,
            "an operator lowered the version from which on a deny list is taken"
        );
        let statuses = self.list_statuses().into_iter();
        Answer::DenyLists(statuses.filter(|status| status.name == name).collect())
    }

    async fn lowered(&self, name: &str, version: u64, reason: String) -> Result<(), Answer> {
        let reads = &self.reads.lists;
        let hangs = |_: ReadFault| Answer::NotDone(LISTS_HANG.to_owned());
        let seat = reads.seat().await.map_err(hangs)?;
        let (folder, list) = (self.list_folder(), name.to_owned());
        let known = reads.run_at(Arc::clone(&seat), move || folder.version(&list)).await;
        let known = known.map_err(hangs)?.map(|known| known.map(|remembered| remembered.version));
        let in_force = self.lists.memory.standing(name).kept.map(|kept| kept.head.version);
        // Before it is on record: what is refused did not happen.
        let (list, from) = (name.to_owned(), lowered_from(known, in_force, version)?);
        let noted = Noted::DenyListLowered { list, from, to: version, reason };
        if let Err(error) = self.recorder.log().note(noted).await {
            return Err(Answer::NotDone(format!("it cannot be put on record: {error}")));
        }
        let (folder, list) = (self.list_folder(), name.to_owned());
        let memory = Arc::clone(&self.lists.memory);
        let done = reads.run_at(seat, move || lower((&folder, &memory), &list, version)).await;
        done.map_err(hangs)?.map(drop).map_err(|fault| Answer::NotDone(fault.to_string()))
    }

    /// The lists of the configuration that is in force.
    fn configured_lists(&self) -> Vec<Options> {
        self.policy_state().in_force.deny_lists.clone()
    }

    fn list_folder(&self) -> ListFolder {
        ListFolder::new(&self.policy_state().in_force.fetched)
    }

    /// Fetches one, puts it in force, and remembers and records what came of it.
    async fn fetch_list(self: &Arc<Self>, list: &Options) {
        let turn = self.lists.memory.turn(&list.name);
        let (code, words, is_fetched) = self.fetched(list).await;
        let words = bounded_words(words);
        let moment = (CLOCK.steady(), now(), chance());
        let ended = (code, words.clone(), is_fetched);
        let is_news = self.lists.memory.ended((list, &turn), ended, moment);
        if !is_news {
            return;
        }
        let name = &list.name;
        if is_fetched {
            tracing::info!(list = name, code, "a deny list was fetched: {words}");
            return;
        }
        tracing::warn!(
            list = name,
            code,
            "a deny list was not fetched, and what is in force of it stays: {words}"
        );
        if matches!(code, "absent" | "unreachable" | "unable" | NOT_IN_FORCE) {
            return;
        }
        let (list, source, code) = (name.clone(), list.source.clone(), code.to_owned());
        let noted = Noted::DenyListRefused { list, source, code, message: words };
        if let Err(error) = self.recorder.log().note(noted).await {
            tracing::error!(%error, "a refused deny list could not be recorded");
        }
    }

    async fn fetched(self: &Arc<Self>, list: &Options) -> FetchEnd {
        let taken = match self.had(&list.name).await {
            Ok(taken) => taken,
            Err(fault) => return (fault.code(), fault.to_string(), false),
        };
        let (version, head) = (taken.head.version, taken.head.clone());
        let known = KnownVersion { version, digest: Some(taken.digest.clone()) };
        let expired = match head.expires < now() {
            true => format!("; IT EXPIRED at {}, and denies all the same", head.expires),
            false => String::new(),
        };
        // Where the files were not those of what was taken last, they are now: that is read again.
        let is_well = self.lists.memory.standing(&list.name).fault.is_none();
        if taken.taken == Taken::Same && is_well && self.is_in_force(list, &known) {
            return ("unchanged", format!("version {version}{expired}"), true);
        }
        if taken.taken == Taken::New
            && let Err(error) = self.recorder.log().note(noted(&taken)).await
        {
            tracing::error!(%error, "a deny list that was fetched could not be recorded");
        }
        match self.reload_for_list().await {
            Ok(()) if self.is_in_force(list, &known) => {
                let entries = head.entries;
                let words =
                    format!("version {version} with {entries} entries is in force{expired}");
                ("taken", words, true)
            }
            Ok(()) => (NOT_IN_FORCE, format!("version {version} is kept, and not in force"), false),
            Err(why) => {
                (NOT_IN_FORCE, format!("version {version} is kept, and not in force: {why}"), false)
            }
        }
    }

    fn is_in_force(&self, list: &Options, known: &KnownVersion) -> bool {
        let in_force = self.lists.memory.in_force();
        in_force.get(&list.name).is_some_and(|in_force| in_force.known == *known)
    }

    /// Asks for it, proves it by the keys and trust roots in force, and keeps it.
    async fn had(&self, name: &str) -> Result<TakenList, FetchFault> {
        let (list, check) = self.list_in_force(name)?;
        let fetched: KeptList = self.lists.fetcher.fetch(&list, &check, now()).await?;
        self.taken(name, fetched).await
    }

    /// How a list is configured in the set in force, and who must have signed it.
    fn list_in_force(&self, name: &str) -> Result<(Options, Arc<SignerCheck>), FetchFault> {
        self.policy_state().list(name).ok_or_else(|| FetchFault::Unable(no_list(name)))
    }

    /// Takes one list after the other, away from the thread that carries the node's calls. It is
    /// proven again by what is in force now: a reload may have come while it was fetched.
    async fn taken(&self, name: &str, fetched: KeptList) -> Result<TakenList, FetchFault> {
        let reads = &self.reads.lists;
        let hangs = |_| FetchFault::Unable(LISTS_HANG.to_owned());
        let seat = reads.seat().await.map_err(hangs)?;
        let (folder, (list, check)) = (self.list_folder(), self.list_in_force(name)?);
        let (memory, time) = (Arc::clone(&self.lists.memory), now());
        let taking = move || take((&folder, &memory), (&list, &check), &fetched, time);
        let taken: Result<TakenList, ListFault> =
            reads.run_at(seat, taking).await.map_err(hangs)?;
        taken.map_err(FetchFault::Refused)
    }

    /// How the lists stand.
    pub(super) fn list_statuses(&self) -> Vec<DenyListStatus> {
        let configured = self.configured_lists();
        let standings = self.lists.memory.standings().into_iter();
        let status = |(name, standing): (String, ListStanding)| {
            let mut status = list_status(name, standing, now());
            // Of a list that no load has read yet.
            if let Some(list) = configured.iter().find(|list| list.name == status.name) {
                status.source.clone_from(&list.source);
            }
            status
        };
        standings.map(status).collect()
    }

    /// The same for a monitor.
    pub(super) fn list_readings(&self) -> Vec<metrics::DenyList> {
        let seconds = |time: Option<Timestamp>| {
            time.map(|time| time.as_duration().as_secs_f64()).unwrap_or_default()
        };
        let reading = |(name, standing): (String, ListStanding)| metrics::DenyList {
            name,
            version: standing.kept.as_ref().map(|kept| kept.head.version).unwrap_or_default(),
            expires: seconds(standing.kept.as_ref().map(|kept| kept.head.expires)),
            fetched: seconds(standing.fetched),
            failed: standing.last.is_some() && !standing.is_fetched,
        };
        self.lists.memory.standings().into_iter().map(reading).collect()
    }
}

/// The code of a decision that could not be put on record.
const NOT_RECORDED: &str = "not-recorded";
/// The word of a fetch that gave a list which the rest of the policies keeps from being in force.
const NOT_IN_FORCE: &str = "not-in-force";
/// What is said where reading or writing the files of lists does not end.
const LISTS_HANG: &str = "the folder of fetched lists (policy.fetched) does not answer";

fn no_list(name: &str) -> String {
    format!("policy.deny_lists has no list {}", name.escape_default())
}

/// The version from which a list is lowered to this one: the highest that was taken, by its file or
/// by what is in force. None where the file cannot be read and nothing is in force: then an operator
/// says which version counts.
fn lowered_from(
    known: Result<Option<u64>, FolderFault>,
    in_force: Option<u64>,
    to: u64,
) -> Result<Option<u64>, Answer> {
    if to == 0 {
        return Err(Answer::Refused("versions are above 0".to_owned()));
    }
    let known = match known {
        Ok(None) if in_force.is_none() => {
            let why = "no version of it was ever taken, and any is taken as it is";
            return Err(Answer::Refused(why.to_owned()));
        }
        Ok(known) => known,
        Err(FolderFault::Malformed { .. }) => None,
        Err(fault) => return Err(Answer::NotDone(fault.to_string())),
    };
    match known.max(in_force) {
        Some(from) if to > from => Err(Answer::Refused(format!(
            "nothing newer than version {from} was taken, and version {to} is taken as it is"
        ))),
        from => Ok(from),
    }
}

fn noted(taken: &TakenList) -> Noted {
    let head = &taken.head;
    Noted::DenyListFetched {
        list: head.name.clone(),
        source: head.source.clone(),
        version: head.version,
        digest: taken.digest.to_string(),
        issued: head.issued.to_string(),
        expires: head.expires.to_string(),
        entries: u64::try_from(head.entries).unwrap_or(u64::MAX),
        signer: taken.signer.clone(),
    }
}

fn list_status(name: String, standing: ListStanding, now: Timestamp) -> DenyListStatus {
    let ListStanding { source, kept, fault, fetched, last, is_fetched } = standing;
    let head = kept.as_ref().map(|kept| &kept.head);
    DenyListStatus {
        name,
        source,
        version: head.map(|head| head.version),
        entries: head.map(|head| head.entries).unwrap_or_default(),
        issued: head.map(|head| head.issued.to_string()),
        expires: head.map(|head| head.expires.to_string()),
        expired: head.is_some_and(|head| head.expires < now),
        signer: kept.as_ref().map(|kept| kept.signer.clone()),
        fetched: fetched.map(|time| format!("{time:.0}")),
        failed: last.is_some() && !is_fetched,
        outcome: last.as_ref().map(|(code, _)| (*code).to_owned()),
        message: last.map(|(_, words)| words),
        fault,
    }
}

/// The image that is admitted, or why none is, in words.
async fn look(gate: &Arc<Gate>, recorder: &Recorder) -> Result<String, SandboxFault> {
    let fault = |code: &str, why: String| SandboxFault { code: code.to_owned(), why };
    let refused = |refusal: Refusal| fault(refusal.code(), refusal.to_string());
    let setup = gate.runtime().sandbox_setup().await;
    let setup = setup.map_err(|error| fault("runtime", error.to_string()))?;
    let image = setup.image.map_err(|why| refused(Refusal::SandboxImageUnknown { why }))?;
    let deadline = gate.clock().steady() + gate.limits().decision();
    let ask = SandboxRequest::of_node(image, deadline);
    let set = gate.policy();
    let mut event = recorder.local(&ask.local(&ask.image), &set);
    let admitted = gate.admit_sandbox(&ask, &set, &mut event.timings).await;
    let permit = admitted.map_err(refused)?;
    event.admitted_local(&permit);
    match recorder.admit(std::slice::from_ref(&event)).await {
        Ok(_on_record) => Ok(ask.image),
        Err(_refused) => {
            let why = "the decision on their image could not be recorded".to_owned();
            Err(fault(NOT_RECORDED, why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack C3: raised by a slip, a node would refuse every list that its signer makes next.
    #[test]
    fn attack_c3_a_list_is_lowered_and_never_raised() {
        let refused = |known, in_force, to| {
            matches!(lowered_from(known, in_force, to), Err(Answer::Refused(_)))
        };
        for to in [1, 41, 42] {
            assert_eq!(lowered_from(Ok(Some(42)), Some(42), to), Ok(Some(42)), "{to}");
        }
        assert!(refused(Ok(Some(42)), Some(42), 43));
        assert!(refused(Ok(Some(42)), Some(42), 0));
        assert!(refused(Ok(None), None, 1), "nothing was ever taken");
        // The file was lost: what is in force says it.
        assert_eq!(lowered_from(Ok(None), Some(42), 41), Ok(Some(42)));
        assert!(refused(Ok(None), Some(42), 43));
        let unread = || {
            let path = std::path::PathBuf::from("/var/lib/fleet.version.json");
            Err(FolderFault::Malformed { path, why: "no version".to_owned() })
        };
        assert!(refused(unread(), Some(42), 43));
        assert_eq!(lowered_from(unread(), None, 43), Ok(None), "an operator says which counts");
        let path = std::path::PathBuf::from("/var/lib/fleet.version.json");
        let closed = FolderFault::Io { path, kind: std::io::ErrorKind::PermissionDenied };
        assert!(matches!(lowered_from(Err(closed), None, 1), Err(Answer::NotDone(_))));
    }
}
