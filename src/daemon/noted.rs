//! [`Noted`]: what an operator should know about a policy that was loaded, for the journal and for
//! `sealgate status`; [`PolicyState`]: that of the policy in force, and what became of the last
//! reload.

use jiff::Timestamp;

use crate::loader::{self, FolderState, Loaded, TrustOptions, Watch};

/// What an operator should know about a policy that was loaded.
#[derive(Debug, Default)]
pub struct Noted {
    /// What is no error and likely not meant.
    pub warnings: Vec<String>,
    /// The ends of the trust roots and keys that it rests on.
    pub watch: Watch,
    /// It is in observe mode.
    pub observes: bool,
}

/// What the last loading of the policy said.
pub(super) struct PolicyState {
    /// Of the policy in force.
    pub(super) noted: Noted,
    /// Why what is on disk is not in force; none when it is.
    pub(super) reload_error: Option<String>,
    /// Where it was loaded from, and how the folders were then.
    pub(super) seen: (loader::Options, FolderState),
}

impl Noted {
    /// Of a set that was loaded.
    pub(super) fn of(loaded: &Loaded, trust: &TrustOptions) -> Self {
        // Whatever this node keeps fresh, and whatever policies rest on.
        let roots = trust.update.iter().chain(&loaded.roots).map(String::as_str);
        let watch = Watch::new(trust, roots, loaded.ends.iter().cloned());
        let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
        Self { warnings, watch, observes: loaded.policies.observes() }
    }

    /// Tells the journal; `now` says which ends are near.
    pub(super) fn warn(&self, now: Timestamp) {
        if self.observes {
            tracing::warn!(
                "OBSERVE mode: nothing is refused for what policies and settings say, since \
                 policy.mode is \"observe\""
            );
        }
        for warning in &self.warnings {
            tracing::warn!("policy: {warning}");
        }
        for warning in self.watch.warnings(now) {
            tracing::warn!("{warning}");
        }
    }
}
