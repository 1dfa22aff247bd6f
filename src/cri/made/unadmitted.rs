//! [`UnadmittedOptions`]: what becomes of calls about what the gate did not admit; [`Unadmitted`]:
//! which of them were told of. Looks at no call.

use std::num::NonZeroUsize;
use std::sync::Mutex;

use lru::LruCache;
use serde::Deserialize;

use super::ContainerOrigin;
use crate::cache::lock_or_empty;

/// Containers and methods remembered as told of: more than a node has of either kind.
const TOLD_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(8191);

/// What becomes of calls about what the gate did not admit, by call: the `[unadmitted]` table of the
/// configuration. Each is reported by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UnadmittedOptions {
    /// StartContainer; one that is not refused here is decided on like any other.
    pub start: OnUnadmitted,
    /// Exec and ExecSync.
    pub exec: OnUnadmitted,
    /// Attach.
    pub attach: OnUnadmitted,
    /// PortForward, of a sandbox.
    pub port_forward: OnUnadmitted,
    /// UpdateContainerResources, and UpdatePodSandboxResources of a sandbox.
    pub update: OnUnadmitted,
}

/// What becomes of a call about what the gate did not admit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnadmitted {
    /// It is recorded, and goes on.
    #[default]
    Report,
    /// It is refused as well.
    Refuse,
}

/// What is known of what the gate did not admit.
#[derive(Debug)]
pub(in crate::cri) struct Unadmitted {
    pub(in crate::cri) options: UnadmittedOptions,
    /// By id and method.
    told: Mutex<LruCache<(String, &'static str), ContainerOrigin>>,
}

impl UnadmittedOptions {
    pub(in crate::cri) fn of(&self, method: &str) -> OnUnadmitted {
        match method {
            "StartContainer" => self.start,
            "Exec" | "ExecSync" => self.exec,
            "Attach" => self.attach,
            "PortForward" => self.port_forward,
            _ => self.update,
        }
    }
}

impl Default for Unadmitted {
    fn default() -> Self {
        let told = Mutex::new(LruCache::new(TOLD_MAX));
        Self { options: UnadmittedOptions::default(), told }
    }
}

impl Unadmitted {
    pub(in crate::cri) fn new(options: UnadmittedOptions) -> Self {
        Self { options, ..Self::default() }
    }

    pub(in crate::cri) fn told(&self, id: &str, method: &'static str) -> Option<ContainerOrigin> {
        let mut told = lock_or_empty(&self.told, LruCache::clear);
        told.get(&(id.to_owned(), method)).copied()
    }

    pub(in crate::cri) fn note_told(
        &self,
        id: &str,
        method: &'static str,
        origin: ContainerOrigin,
    ) {
        lock_or_empty(&self.told, LruCache::clear).put((id.to_owned(), method), origin);
    }
}
