//! [`TrialVerdict`]: what a set of policies says of one item, by the evidence on this node; [`Trial`] asks.

use std::sync::Arc;

use serde::Serialize;

use super::item::{Prospect, TrialQuestion};
use crate::audit::Verdict;
use crate::cli::evidence::catalog::Catalog;
use crate::cli::evidence::offline::{KeptJudge, TOO_OLD};
use crate::cri::{self, Ending, Refusal};
use crate::evidence::{Pod, Subject};
use crate::policy::{self, Denial, Permit, PolicySet};

/// A verdict with its reason.
#[derive(Debug, Clone, Serialize)]
pub(super) struct TrialVerdict {
    #[serde(skip)]
    pub(super) prospect: Prospect,
    pub(super) verdict: Verdict,
    pub(super) code: String,
    pub(super) message: String,
    /// Of a refusal: no evidence could change it. Otherwise a signature could that is in the
    /// registry alone.
    #[serde(skip)]
    pub(super) is_certain: bool,
}

/// Asks, of everything that is kept on this node.
pub(super) struct Trial<'t> {
    judge: KeptJudge<'t>,
    catalog: &'t Catalog,
}

impl<'t> Trial<'t> {
    pub(super) fn new(judge: KeptJudge<'t>, catalog: &'t Catalog) -> Self {
        Self { judge, catalog }
    }

    /// What the set says: every name must pass, and under each any of its subjects may.
    pub(super) fn judge(&self, set: &Arc<PolicySet>, asked: &TrialQuestion) -> TrialVerdict {
        if let Some(fault) = &asked.fault {
            return TrialVerdict::untold("not-present", fault.clone());
        }
        let denied = |digest| set.struck_off_digest(digest);
        if let Some(denial) = asked.digests.iter().find_map(denied) {
            return TrialVerdict::denied(denial, true);
        }
        if asked.names.is_empty() {
            return TrialVerdict::untold(
                "not-present",
                "nothing says what was asked for".to_owned(),
            );
        }
        let (mut permits, mut worst) = (Vec::new(), None::<TrialVerdict>);
        for subjects in &asked.names {
            match self.any(set, subjects, &asked.pod) {
                Ok(permit) => permits.push(permit),
                Err(said) if worst.as_ref().is_none_or(|w| w.prospect < said.prospect) => {
                    worst = Some(said);
                }
                Err(_) => {}
            }
        }
        worst.unwrap_or_else(|| TrialVerdict::admitted(&permits))
    }

    /// A permit for one of them, or why there is none: untold where that is so of any.
    fn any(
        &self,
        set: &Arc<PolicySet>,
        subjects: &[Subject],
        pod: &Pod,
    ) -> Result<Permit, TrialVerdict> {
        let mut why = None::<TrialVerdict>;
        for subject in subjects {
            match self.one(set, subject, pod) {
                Ok(permit) => return Ok(permit),
                Err(said) if why.as_ref().is_none_or(|why| said.prospect < why.prospect) => {
                    why = Some(said);
                }
                Err(_) => {}
            }
        }
        Err(why.unwrap_or_else(|| {
            let nothing = "the runtime lists no digest under this name that is this image's";
            TrialVerdict::untold("name-not-listed", nothing.to_owned())
        }))
    }

    fn one(
        &self,
        set: &Arc<PolicySet>,
        subject: &Subject,
        pod: &Pod,
    ) -> Result<Permit, TrialVerdict> {
        let judged = self.judge.judge(set, subject.clone(), pod, self.catalog);
        match judged.verdict {
            policy::Verdict::Permit(_) if judged.too_old => {
                let days = judged.age_seconds.unwrap_or_default() / 86_400;
                let why = "the evidence on this node is older than maxOffline";
                Err(TrialVerdict::untold(TOO_OLD, format!("{why} ({days} days)")))
            }
            policy::Verdict::Permit(permit) => Ok(permit),
            policy::Verdict::Denial(denial) => {
                let labels = &pod.traits.image_labels;
                if set.rests_on_image_labels(&denial) && !set.is_seen_of_image(labels) {
                    let why = "a policy goes by labels of the image (imageLabels), which are not on \
                               this node";
                    return Err(TrialVerdict::untold("not-present", why.to_owned()));
                }
                let without = self.judge.judge_nothing(set, subject.clone(), pod);
                let is_certain = matches!(without, policy::Verdict::Denial(denial)
                    if denial.class() == policy::Class::Refused);
                Err(TrialVerdict::denied(denial, is_certain))
            }
        }
    }
}

impl TrialVerdict {
    fn admitted(permits: &[Permit]) -> Self {
        let (verdict, reason) = cri::admitted(permits.iter());
        let (code, message) = (reason.code.into_owned(), reason.message);
        Self { prospect: Prospect::Admitted, verdict, code, message, is_certain: true }
    }

    fn denied(denial: Denial, is_certain: bool) -> Self {
        let refusal = Refusal::Denied(Arc::new(denial));
        let (prospect, verdict) = match refusal.ending() {
            Ending::Refused => (Prospect::Refused, Verdict::Refused),
            Ending::Unable => (Prospect::Untold, Verdict::Unable),
            Ending::Unreachable => (Prospect::Untold, Verdict::Unreachable),
        };
        let (code, message) = (refusal.code().to_owned(), refusal.to_string());
        Self { prospect, verdict, code, message, is_certain }
    }

    fn untold(code: &str, message: String) -> Self {
        let (prospect, verdict) = (Prospect::Untold, Verdict::Unable);
        Self { prospect, verdict, code: code.to_owned(), message, is_certain: false }
    }

    /// Whether it would run, and something is proven of it.
    pub(super) fn is_proven(&self) -> bool {
        self.verdict == Verdict::Admitted
    }
}
