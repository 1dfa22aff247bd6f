//! What the running gate says of itself to operators (`sealgate status`), and of an image to
//! containerd's image verifier. It decides nothing. What it says to monitors is in
//! [`readings`].

mod readings;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::known_time::clock_warning;
use super::{CLOCK, Daemon, now};
use crate::audit::{Counters, Health, Noted, Seal, Verdict};
use crate::control::{
    self, Answer, AuditStatus, ConnectionStatus, EvidenceStatus, MemoryStatus, NriStatus,
    PolicyStatus, RefreshStatus, RejudgeStatus, Request, RuntimeStatus, Status, SweptPage,
    TrustStatus,
};
use crate::cri::{ForwardedAs, MayBring, SweepProgress, verify_image};
use crate::nri::{Mode, TripwireHealth};
use crate::proxy::{self, Listener};

/// How long an operator waits for the runtime: it answers in a millisecond, and one that hangs must
/// not hide all the rest.
const RUNTIME_PATIENCE: Duration = Duration::from_millis(500);

/// How long a decision for the verifier may take: containerd ends a verifier after 10 s
/// (`per_verifier_timeout`), and a record may take 2 s to reach the disk.
const DECIDE_WITHIN: Duration = Duration::from_secs(6);

/// What containerd's verifier is told of an image that the runtime may bring: by what it may, since
/// most of these are no proof.
fn may_bring(why: MayBring) -> Answer {
    let (verdict, message) = match why {
        MayBring::Forwarded => ("forwarded", "decided on in the pull that is under way".to_owned()),
        MayBring::Decided(ForwardedAs::Observed { code, message }) => {
            ("observed", format!("observe mode: would be refused: {code}: {message}"))
        }
        MayBring::Decided(ForwardedAs::Admitted { verdict, message }) => {
            let said = match verdict {
                Verdict::Admitted => format!("admitted by policy: {message}"),
                Verdict::Unmatched => format!("unmatched: let through without proof: {message}"),
                Verdict::Warned => format!("warned: let through: {message}"),
                Verdict::Unverified => format!("unverified: let through without proof: {message}"),
                Verdict::Excepted => format!("excepted: let through without proof: {message}"),
                Verdict::Unchecked => format!("unchecked: let through without proof: {message}"),
                Verdict::Refused | Verdict::Unable | Verdict::Unreachable => message,
            };
            (verdict.word(), said)
        }
    };
    Answer::MayBring { verdict: verdict.to_owned(), message }
}

impl Daemon {
    /// Answers root on the control socket, for ever.
    pub(super) async fn answer_operators(self: Arc<Self>, listener: Listener) {
        let root = proxy::Options::default().allowed_uids;
        control::serve(listener, &root, |request| {
            let daemon = Arc::clone(&self);
            async move { daemon.answer(request).await }
        })
        .await;
    }

    /// Answers an operator.
    pub(super) async fn answer(self: &Arc<Self>, request: Request) -> Answer {
        match request {
            Request::Status => Answer::Status(Box::new(self.status().await)),
            Request::Canary => {
                self.test().await;
                Answer::Tested(self.enforcing())
            }
            Request::CacheFlush => {
                let forgotten = self.gate.flush();
                tracing::warn!(
                    verdicts = forgotten.verdicts,
                    evidence = forgotten.evidence,
                    "an operator flushed the memory"
                );
                let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
                self.recorder.log().jot(Noted::Flushed {
                    verdicts: number(forgotten.verdicts),
                    evidence: number(forgotten.evidence),
                });
                Answer::Flushed(MemoryStatus::from(forgotten))
            }
            Request::Sweep => {
                let asked = self.sweeper.ask();
                let progress = SweepProgress { asked, ..self.sweeper.progress() };
                Answer::Swept(Box::new(SweptPage::of(&progress, usize::MAX)))
            }
            Request::Swept { from } => {
                Answer::Swept(Box::new(SweptPage::of(&self.sweeper.progress(), from)))
            }
            Request::ClockLower => self.lower_clock().await,
            Request::Reload => self.reload_now(Vec::new(), Vec::new()).await,
            Request::ReloadLettingGo { folders, lists } => self.reload_now(folders, lists).await,
            Request::VerifyImage { name, digest } => self.verify_image(&name, &digest).await,
            Request::DenyFetch { name } => self.fetch_lists(name.as_deref()).await,
            Request::DenyLower { name, version, reason } => {
                self.lower_list(&name, version, reason).await
            }
        }
    }

    /// Whether the runtime may bring this image.
    async fn verify_image(&self, name: &str, digest: &str) -> Answer {
        let within = DECIDE_WITHIN.min(self.gate.limits().decision());
        let deadline = CLOCK.steady() + within;
        let asked = (&*self.gate, &*self.recorder);
        match verify_image(asked, (name, digest), deadline).await {
            Ok(why) => may_bring(why),
            Err(refused) => Answer::MayNotBring {
                code: refused.code().to_owned(),
                message: refused.to_string(),
            },
        }
    }

    pub(super) fn audit_status(&self) -> AuditStatus {
        let (Health { healthy, error, exposed, waiting }, Counters { written, failed, late, .. }) =
            self.recorder.health();
        let Seal { entries: sealed, at, fault: unsealed, doubt: seal_doubt } = self.recorder.seal();
        let age = |at| CLOCK.steady().saturating_duration_since(at).as_secs();
        AuditStatus {
            healthy,
            error,
            exposed,
            written,
            failed,
            late,
            waiting,
            sealed,
            seal_age_seconds: at.map(age),
            unsealed,
            seal_doubt,
        }
    }

    fn nri_status(&self) -> NriStatus {
        let TripwireHealth { connected, error, asked, refused, .. } = self.tripwire.health();
        let mode = self.settings.nri.mode;
        let error = error.filter(|_| mode != Mode::Off);
        NriStatus { mode: mode.to_string(), connected, error, asked, refused }
    }

    pub(super) fn evidence_status(&self) -> EvidenceStatus {
        let health = self.gate.store_health();
        let counts = self.gate.store_counts().unwrap_or_default();
        EvidenceStatus {
            path: self.settings.evidence.path.display().to_string(),
            healthy: health.healthy,
            error: health.error,
            entries: counts.entries,
            bytes: counts.bytes,
            broken: counts.broken,
            failed_writes: health.failed_writes,
            refreshes: RefreshStatus::from(self.gate.refreshes()),
            rejudged: RejudgeStatus::from(self.gate.rejudged()),
        }
    }

    /// What is wrong with the clock, or with what is kept of it.
    fn clock_warnings(&self) -> Vec<String> {
        let kept = self.floor_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let kept = kept
            .map(|error| format!("what ended may count again if the clock is set back: {error}"));
        clock_warning(&self.gate, now()).into_iter().chain(kept).collect()
    }

    /// The documents in force.
    pub(super) fn policy_status(&self) -> PolicyStatus {
        let set = self.gate.policy();
        let notices = set.exception_notices(self.gate.now());
        let state = self.policy_state();
        let warnings = state.noted.warnings.iter().cloned().chain(self.clock_warnings());
        PolicyStatus {
            generation: set.generation().to_owned(),
            trust_generation: set.trust_generation().to_owned(),
            documents: set.counts().total(),
            policies: set.len(),
            deny_lists: set.counts().deny_lists,
            observe: set.observes(),
            reload_error: state.reload_error.clone(),
            warnings: warnings
                .chain(notices.iter().map(|notice| notice.text().to_owned()))
                .collect(),
            unproven: set.unproven(),
            denied: set.denied().count(),
            exceptions: set.exceptions(),
        }
    }

    fn trust_status(&self) -> TrustStatus {
        let state = self.policy_state();
        TrustStatus {
            roots: state.noted.watch.roots.iter().map(|kept| kept.name.clone()).collect(),
            warnings: state.noted.watch.warnings(now()),
        }
    }

    async fn status(&self) -> Status {
        let asked = tokio::time::timeout(RUNTIME_PATIENCE, self.gate.runtime().version()).await;
        let (version, error) = match asked {
            Ok(Ok(version)) => (Some(format!("{} {}", version.name, version.version)), None),
            Ok(Err(error)) => (None, Some(error.to_string())),
            Err(_) => (
                None,
                Some(format!(
                    "the runtime did not answer within {} ms",
                    RUNTIME_PATIENCE.as_millis()
                )),
            ),
        };
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            enforcing: self.enforcing(),
            up_seconds: CLOCK.steady().saturating_duration_since(self.since).as_secs(),
            policy: self.policy_status(),
            trust: self.trust_status(),
            memory: MemoryStatus::from(self.gate.remembered_counts()),
            evidence: self.evidence_status(),
            runtime: RuntimeStatus {
                socket: self.settings.runtime.socket.display().to_string(),
                version,
                error,
            },
            sandbox: self.sandbox_image.status(),
            nri: self.nri_status(),
            connections: ConnectionStatus::from(self.connections.counts()),
            audit: self.audit_status(),
            deny_lists: self.list_statuses(),
        }
    }
}
