//! [`Tripwire`]: how the connection to the runtime is; [`Judge`]: who says whether a container may
//! be made, and [`NewContainer`] what is known of it.

use std::sync::{Mutex, PoisonError};

use super::error::SessionError;

/// A container that the runtime is about to make; the runtime's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewContainer {
    /// Its id.
    pub id: String,
    /// Its name in the pod.
    pub name: String,
    /// The id of its sandbox.
    pub sandbox_id: String,
    /// The pod's name.
    pub pod_name: String,
    /// The pod's namespace.
    pub pod_namespace: String,
    /// The pod's uid.
    pub pod_uid: String,
    /// Its image, as the runtime notes it.
    pub image: Option<String>,
}

/// Says whether a container may be made, at once: the runtime waits two seconds, and then goes on
/// without the plugin.
pub trait Judge: Send + Sync {
    /// Judges one.
    ///
    /// # Errors
    /// Why it may not be made, for whoever asked the runtime.
    fn may_be_made(&self, container: &NewContainer) -> Result<(), String>;

    /// Hears that the runtime asks no more, and why not, or asks again: once for each change.
    fn changed(&self, asks: Result<(), &SessionError>);
}

/// What the end of a session, or of the attempt at one, changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended {
    /// The runtime asked until then.
    pub(super) asked: bool,
    /// It asked until then, or there is another reason now why it does not.
    pub(super) is_news: bool,
}

/// How the tripwire is.
#[derive(Debug, Default)]
pub struct Tripwire {
    health: Mutex<TripwireHealth>,
}

/// Whether the runtime asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TripwireHealth {
    /// Whether it does.
    pub connected: bool,
    /// The runtime's name and version, as it told them last.
    pub runtime: Option<String>,
    /// Why it does not.
    pub error: Option<String>,
    /// Containers that were asked about since the start.
    pub asked: u64,
    /// Containers that were refused since the start.
    pub refused: u64,
}

impl Tripwire {
    /// How it is now.
    #[must_use]
    pub fn health(&self) -> TripwireHealth {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut TripwireHealth)) {
        change(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Notes that the runtime asks from now on.
    pub(super) fn connected(&self) {
        self.change(|health| (health.connected, health.error) = (true, None));
    }

    /// Notes the end of a session.
    pub(super) fn ended(&self, why: &SessionError) -> Ended {
        let why = why.to_string();
        let mut ended = Ended { asked: false, is_news: false };
        self.change(|health| {
            ended.asked = health.connected;
            ended.is_news = health.connected || health.error.as_ref() != Some(&why);
            (health.connected, health.error) = (false, Some(why));
        });
        ended
    }
}
