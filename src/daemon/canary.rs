//! The gate's test of itself: on a timer and when an operator asks, and what monitors, operators and
//! the audit log are told of it.
//!
//! What is tested is [`crate::canary`]'s. Here are the timer, what of the node speaks against it
//! (policies in force, the kubelet), and the record of a change.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{CLOCK, Daemon};
use crate::audit::{FindingKind, Reason};
use crate::canary::{self, Doubt, Fault, Pulled};
use crate::control::{DoubtStatus, EnforcingStatus};
use crate::kubelet::{self, Standing};
use crate::policy::AdmitsEverything;

/// How long the pull may take: the gate answers it from memory. Less than an operator waits.
const PULL_LIMIT: Duration = Duration::from_secs(2);
/// How long it may take to read what the kubelet is told: some files, and some for each process.
const READ_LIMIT: Duration = Duration::from_secs(2);
/// How long a kubelet may be silent: it asks for the runtime's status every 5 s.
const KUBELET_SILENT: Duration = Duration::from_secs(60);
/// How late a test may be beyond its time before the last one says nothing any more.
const LATE: Duration = Duration::from_secs(30);

/// How much is shown of what something else answered, in characters: the beginning says what it is.
const WORDS_SHOWN: usize = 200;

impl Daemon {
    /// Tests for ever, at once and then at the times of the configuration.
    pub(super) async fn keep_testing(self: Arc<Self>) {
        loop {
            self.test().await;
            tokio::time::sleep(self.settings.canary.every()).await;
        }
    }

    /// Tests once, remembers what it showed, and records a change.
    pub(super) async fn test(&self) {
        let _turn = self.canary.turn.lock().await;
        let mut doubts = Vec::new();
        doubts.extend(self.doubt_of_socket().await);
        doubts.extend(self.doubt_of_judge());
        doubts.extend(self.doubt_of_configuration().await);
        {
            let mut last = self.canary.last();
            last.tested = Some(CLOCK.steady());
            last.doubts = doubts;
        }
        self.tell_change();
    }

    /// Pulls the reserved image through the socket: this gate must see that pull, and refuse it.
    async fn doubt_of_socket(&self) -> Option<Doubt> {
        let digest = match canary::fresh_digest() {
            Ok(digest) => digest,
            Err(why) => return Some(Doubt::new(Fault::Untested, why)),
        };
        let expected = self.gate.canary().expect_pull(digest);
        let socket = &self.canary.socket;
        let pulled = canary::pull(socket, expected.image(), PULL_LIMIT).await;
        let socket = socket.display();
        match pulled {
            Pulled::Made(id) => Some(Doubt::new(
                Fault::Admitted,
                format!("a pull of the reserved image on {socket} was answered with {id}"),
            )),
            Pulled::Failed(_) if expected.was_refused() => None,
            Pulled::Failed(words) => Some(Doubt::new(
                Fault::Socket,
                format!("something else answers on {socket}: {}", shown(&words)),
            )),
            Pulled::Unanswered(why) => {
                Some(Doubt::new(Fault::Socket, format!("nothing answers on {socket}: {why}")))
            }
        }
    }

    fn doubt_of_judge(&self) -> Option<Doubt> {
        let checked = match &self.canary.judge {
            Ok(judge) => judge.check(CLOCK.now()),
            Err(why) => Err(why.clone()),
        };
        checked.err().map(|why| Doubt::new(Fault::Judge, why))
    }

    /// What the kubelet is told, by its process and files; read aside, since that takes a while.
    async fn doubt_of_configuration(&self) -> Option<Doubt> {
        let socket = self.canary.socket.clone();
        let unknown = |why: String| Some(Doubt::new(Fault::KubeletUnknown, why));
        let Ok(reading) = Arc::clone(&self.canary.reading).try_lock_owned() else {
            return unknown("reading what the kubelet is told hangs".to_owned());
        };
        let standing = tokio::task::spawn_blocking(move || {
            let standing = kubelet::find(Path::new("/")).standing(&socket);
            drop(reading);
            standing
        });
        match tokio::time::timeout(READ_LIMIT, standing).await {
            Ok(Ok(Standing::Ours)) => None,
            Ok(Ok(Standing::Elsewhere(setting))) => Some(Doubt::new(
                Fault::KubeletElsewhere,
                format!("the kubelet's endpoint is {setting}"),
            )),
            Ok(Ok(Standing::Unknown(unread))) => {
                unknown(format!("what the kubelet is told cannot be read: {unread}"))
            }
            // Where none is here, none calls; one that calls and cannot be found is unknown.
            Ok(Ok(Standing::Absent)) if self.connections.kubelet_called().is_none() => None,
            Ok(Ok(Standing::Absent)) => unknown(
                "a kubelet calls, and neither its process nor its files are found".to_owned(),
            ),
            Ok(Err(lost)) => unknown(format!("reading it ended without a result: {lost}")),
            Err(_) => unknown(format!("reading it took more than {} s", READ_LIMIT.as_secs())),
        }
    }

    /// What speaks against the gate at this moment, the gravest first: what the last test showed,
    /// and what needs no test.
    fn doubts(&self) -> Vec<Doubt> {
        let (tested, mut doubts) = {
            let last = self.canary.last();
            (last.tested, last.doubts.clone())
        };
        let age = |since: Instant| CLOCK.steady().saturating_duration_since(since);
        let most = self.settings.canary.every() + LATE;
        if tested.is_none_or(|tested| age(tested) > most) {
            doubts.push(Doubt::new(Fault::Untested, "the gate has not tested itself in time"));
        }
        let admits = self.gate.policy().admits_everything(self.gate.now()).map(|why| match why {
            AdmitsEverything::Observes => "policy.mode is \"observe\": nothing is refused",
            AdmitsEverything::Unmatched => {
                "no policy enforces, and what no policy matches is admitted (policy.unmatched)"
            }
            AdmitsEverything::Policies => "every policy accepts anything or only warns",
            AdmitsEverything::Exceptions => "exceptions cover every image that has to prove something",
            AdmitsEverything::Unreachable => {
                "every policy that asks for a signature admits what it cannot ask a registry about \
                 (onUnreachable: insecureAdmit)"
            }
            AdmitsEverything::Rest => {
                "what no policy matches is admitted (policy.unmatched), and no policy that enforces \
                 is about every image in every namespace"
            }
        });
        doubts.extend(admits.map(|seen| Doubt::new(Fault::AdmitsEverything, seen)));
        let seen = match self.connections.kubelet_called() {
            None => Some("no kubelet has called since the start".to_owned()),
            Some(called) if age(called) > KUBELET_SILENT => {
                Some(format!("no kubelet has called for {} s", age(called).as_secs()))
            }
            Some(_) => None,
        };
        doubts.extend(seen.map(|seen| Doubt::new(Fault::NoKubelet, seen)));
        doubts.sort_by_key(|doubt| doubt.fault);
        doubts
    }

    /// How it stands, for operators.
    pub(super) fn enforcing(&self) -> EnforcingStatus {
        let doubts: Vec<DoubtStatus> = self
            .doubts()
            .into_iter()
            .map(|Doubt { fault, seen }| DoubtStatus {
                reason: fault.word().to_owned(),
                seen,
                breach: fault.is_breach(),
            })
            .collect();
        EnforcingStatus { enforcing: doubts.is_empty(), doubts }
    }

    /// The same for monitors: whether each fault stands.
    pub(super) fn not_enforcing(&self) -> Vec<(&'static str, bool)> {
        let doubts = self.doubts();
        let stands = |fault| doubts.iter().any(|doubt| doubt.fault == fault);
        Fault::ALL.map(|fault| (fault.word(), stands(fault))).to_vec()
    }

    /// Records that the gate is no longer known to enforce, that other faults keep it from that than
    /// before, and that it enforces again.
    fn tell_change(&self) {
        let doubts = self.doubts();
        for doubt in doubts.iter().filter(|doubt| doubt.fault.is_breach()) {
            tracing::error!(reason = doubt.fault.word(), "NOT ENFORCING: {}", doubt.seen);
        }
        let before = {
            let mut last = self.canary.last();
            let before = last.told.clone();
            if is_told(before.as_deref(), &doubts) {
                last.told = Some(faults(&doubts));
            }
            before
        };
        let Some(reason) = reason_to_record(before.as_deref(), &doubts) else { return };
        let enforces = doubts.is_empty();
        let mut finding = self.recorder.finding(FindingKind::Canary, reason);
        finding.alert = !enforces;
        for doubt in doubts {
            finding.detail.insert(doubt.fault.word().into(), doubt.seen);
        }
        if enforces {
            tracing::info!("the gate enforces again");
        }
        self.recorder.find(finding);
    }
}

fn faults(doubts: &[Doubt]) -> Vec<Fault> {
    doubts.iter().map(|doubt| doubt.fault).collect()
}

/// Whether anything counts as told from now on. A gate that never enforced, since no kubelet has
/// called yet, has nothing to tell, unless it is broken or gone around.
fn is_told(before: Option<&[Fault]>, doubts: &[Doubt]) -> bool {
    before.is_some() || doubts.is_empty() || doubts.iter().any(|doubt| doubt.fault.is_breach())
}

/// What a finding says, where there is one to record.
fn reason_to_record(before: Option<&[Fault]>, doubts: &[Doubt]) -> Option<Reason> {
    if !is_told(before, doubts) || before.unwrap_or_default() == faults(doubts) {
        return None;
    }
    Some(match doubts.first() {
        Some(doubt) => Reason::new(doubt.fault.word(), doubt.seen.clone()),
        None => Reason::new("enforcing", "the gate enforces again"),
    })
}

/// The words of whatever answered: bounded, and on one line.
fn shown(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breach_from_the_start_and_every_other_set_of_faults_is_recorded() {
        let mut before: Option<Vec<Fault>> = None;
        let mut test = |stand: &[Fault]| {
            let doubts: Vec<Doubt> = stand.iter().map(|fault| Doubt::new(*fault, "x")).collect();
            let reason = reason_to_record(before.as_deref(), &doubts);
            if is_told(before.as_deref(), &doubts) {
                before = Some(faults(&doubts));
            }
            reason.map(|reason| reason.code)
        };
        assert_eq!(test(&[Fault::NoKubelet]).as_deref(), None, "it never enforced");
        let breach = [Fault::Socket, Fault::NoKubelet];
        assert_eq!(test(&breach).as_deref(), Some("socket"));
        assert_eq!(test(&breach).as_deref(), None, "no change");
        assert_eq!(test(&[Fault::NoKubelet]).as_deref(), Some("no-kubelet"));
        let admits = [Fault::AdmitsEverything, Fault::NoKubelet];
        assert_eq!(test(&admits).as_deref(), Some("admits-everything"));
        assert_eq!(test(&[]).as_deref(), Some("enforcing"));
        assert_eq!(test(&[]).as_deref(), None);
    }
}
