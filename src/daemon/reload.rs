//! Reloading: policies and keys are read, put together and let go away from the thread that carries
//! calls. On that thread one pointer is exchanged.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use tokio::signal::unix::Signal;

use super::{Daemon, Noted, PolicyState, tell};
use crate::config;
use crate::loader;
use crate::policy::PolicySet;
use crate::systemd::News;

impl Daemon {
    /// Reloads when SIGHUP comes, one reload after the other. A signal that comes during one begins
    /// another after it, so that in the end what is in force is what was there when the last signal
    /// came.
    pub(super) async fn reload_when_told(self: Arc<Self>, mut hangup: Signal) {
        while hangup.recv().await.is_some() {
            self.reload().await;
        }
    }

    /// Reads the policy and keys again. A broken set changes nothing, loudly.
    async fn reload(&self) {
        tell(&News::Reloading);
        let config: PathBuf = self.config.clone();
        let loaded = tokio::task::spawn_blocking(move || load(&config)).await;
        match loaded
            .unwrap_or_else(|lost| Err(format!("reading it ended without a result: {lost}")))
        {
            Ok((set, noted)) => {
                let (policy, trust) =
                    (set.generation().to_owned(), set.trust_generation().to_owned());
                self.gate.replace_policy(set);
                *self.policy_state() = PolicyState { noted, reload_error: None };
                tracing::info!(policy, trust, "the policy was reloaded");
            }
            Err(error) => {
                tracing::error!(
                    "the policy was NOT reloaded, the set before it stays in force: {error}"
                );
                self.policy_state().reload_error = Some(error);
            }
        }
        tell(&News::Ready);
    }

    fn policy_state(&self) -> std::sync::MutexGuard<'_, PolicyState> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The set that the configuration names now, and what an operator should know about it, which the
/// journal is told.
fn load(config: &Path) -> Result<(Arc<PolicySet>, Noted), String> {
    let settings = config::load(config).map_err(|error| error.to_string())?;
    let loaded =
        loader::load(&settings.policy, &settings.trust).map_err(|error| error.to_string())?;
    let noted = Noted::of(&loaded, &settings.trust);
    noted.warn();
    Ok((Arc::new(loaded.policies), noted))
}
