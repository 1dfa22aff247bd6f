//! What is there when the gate first looks at a namespace of the runtime's: noted once, so that what
//! is not among it is known to have appeared later, whatever a clock says; and forgotten when it is
//! gone. [`Surveys`]: that of several, of which one that fails hinders no other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::containerd::RuntimeError;
use crate::cri::Gate;

/// First pause before a namespace is looked at again that could not be: containerd restarts in a
/// second or two.
const SURVEY_AGAIN: Duration = Duration::from_millis(250);
/// Longest pause while containerd does not answer: what is made meanwhile counts as older than the
/// gate, and a call that finds nobody costs nothing.
const UNANSWERED_AGAIN_MAX: Duration = Duration::from_secs(1);
/// Longest pause after an answer that does not serve: a namespace of too many containers is listed
/// as far as the limit each time, which costs containerd a part of a second.
const SURVEY_AGAIN_MAX: Duration = Duration::from_secs(60);

/// The first looks at several namespaces.
#[derive(Debug)]
pub(super) struct Surveys {
    /// Why those failed that did, as the journal was told.
    failed: BTreeMap<String, String>,
    pause: Duration,
    pause_max: Duration,
}

impl Default for Surveys {
    fn default() -> Self {
        Self { failed: BTreeMap::new(), pause: SURVEY_AGAIN, pause_max: SURVEY_AGAIN_MAX }
    }
}

impl Surveys {
    /// Looks at those of these namespaces that were not looked at yet.
    pub(super) async fn make(&mut self, gate: &Gate, namespaces: &[String]) {
        self.pause_max = UNANSWERED_AGAIN_MAX;
        for namespace in namespaces {
            let outcome = gate.survey(namespace).await;
            if gate.made().is_surveyed(namespace) {
                self.failed.remove(namespace);
            } else {
                self.note_failure(namespace, outcome);
            }
        }
    }

    /// Resolves when more of them were looked at than so many; a pause before each attempt.
    pub(super) async fn more(&mut self, gate: &Gate, namespaces: &[String], surveyed: usize) {
        if surveyed == namespaces.len() {
            std::future::pending::<()>().await;
        }
        loop {
            tokio::time::sleep(self.next_pause()).await;
            self.make(gate, namespaces).await;
            if gate.surveyed(namespaces).len() > surveyed {
                self.pause = SURVEY_AGAIN;
                return;
            }
        }
    }

    fn note_failure(&mut self, namespace: &str, outcome: Result<(), RuntimeError>) {
        let is_unanswered = matches!(&outcome, Err(RuntimeError::Unavailable { .. }));
        if !is_unanswered {
            self.pause_max = SURVEY_AGAIN_MAX;
        }
        let why = match outcome {
            Err(error) => error.to_string(),
            Ok(()) => "it has more containers than are remembered".to_owned(),
        };
        if self.failed.get(namespace) != Some(&why) {
            tracing::warn!(
                namespace,
                "what is made in it around the gate is NOT seen, since its containers could not \
                 be listed: {why}; the gate tries again"
            );
            self.failed.insert(namespace.to_owned(), why);
        }
    }

    /// How long to wait now; twice as long the next time.
    fn next_pause(&mut self) -> Duration {
        let pause = self.pause.min(self.pause_max);
        self.pause = pause.saturating_mul(2);
        pause
    }
}

impl Gate {
    /// Those of these namespaces of which it is known what was there before.
    pub(super) fn surveyed(&self, namespaces: &[String]) -> Vec<String> {
        namespaces.iter().filter(|namespace| self.made().is_surveyed(namespace)).cloned().collect()
    }

    /// Notes what is in this namespace, unless that was done before.
    pub(super) async fn survey(&self, namespace: &str) -> Result<(), RuntimeError> {
        if self.made().is_surveyed(namespace) {
            return Ok(());
        }
        let mut listing = self.runtime().containers_in(namespace).await?;
        let mut found = Vec::new();
        while let Some(listed) = listing.next().await? {
            found.push((listed.id, listed.created));
        }
        self.made().note_present(namespace, found);
        Ok(())
    }

    /// Forgets what was known of this namespace and is gone.
    pub(super) async fn forget_gone(&self, namespace: &str) -> Result<(), RuntimeError> {
        // Before it is listed: what is made meanwhile is not gone.
        let known = self.made().known(namespace);
        let mut listing = self.runtime().containers_in(namespace).await?;
        let mut present = BTreeSet::new();
        while let Some(listed) = listing.next().await? {
            present.insert(listed.id);
        }
        self.made().forget(namespace, gone(&known, &present).into_iter());
        Ok(())
    }
}

/// Those of the known that are not present any more. None where nothing is: a runtime that lists
/// nothing may have lost its store for a while, and what the gate made and forgot would count as made
/// around it when it is back, and be stopped.
pub(super) fn gone<'k>(known: &'k BTreeSet<String>, present: &BTreeSet<String>) -> Vec<&'k String> {
    let is_gone = |id: &&String| !present.is_empty() && !present.contains(*id);
    known.iter().filter(is_gone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_forgotten_where_the_runtime_lists_nothing() {
        let set =
            |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<String>>();
        let known = set(&["a", "b"]);
        let gone =
            |present: &[&str]| gone(&known, &set(present)).into_iter().cloned().collect::<Vec<_>>();
        assert_eq!(gone(&["a"]), ["b"]);
        assert_eq!(gone(&["other"]), ["a", "b"]);
        assert!(gone(&["a", "b"]).is_empty() && gone(&[]).is_empty());
    }

    #[test]
    fn a_namespace_that_cannot_be_listed_is_tried_at_longer_and_longer_pauses() {
        let mut surveys = Surveys::default();
        let too_many = RuntimeError::Malformed { call: "List", what: "too many" };
        surveys.note_failure("moby", Err(too_many));
        let pauses: Vec<Duration> = (0..10).map(|_| surveys.next_pause()).collect();
        assert_eq!(pauses.first(), Some(&SURVEY_AGAIN));
        assert!(pauses.windows(2).all(|two| two[1] == (two[0] * 2).min(SURVEY_AGAIN_MAX)));
        assert_eq!(pauses.last(), Some(&SURVEY_AGAIN_MAX));
        let mut surveys = Surveys { pause_max: UNANSWERED_AGAIN_MAX, ..Surveys::default() };
        let down = RuntimeError::Unavailable { call: "List", reason: "refused".to_owned() };
        surveys.note_failure("moby", Err(down));
        assert!((0..10).all(|_| surveys.next_pause() <= UNANSWERED_AGAIN_MAX));
    }
}
