//! [`Accounted`]: what accounts for a container that appeared in the runtime and is not known as the
//! gate's. A creation of the gate's own that is under way is waited for.

use std::time::Duration;

use crate::containerd::{Kind, Listed, NAMESPACE, RuntimeError};
use crate::cri::Gate;
use crate::cri::made::{ContainerOrigin, MadeContainers, Making};

/// Longest wait for the one call that accounts for a container: a runtime answers a moment after it
/// made one, and one that takes this long is in distress.
const CREATION_PATIENCE: Duration = Duration::from_secs(30);

/// A container that appeared: what must be known of it to ask what made it.
#[derive(Debug)]
pub(super) struct Appeared {
    namespace: String,
    id: String,
    created: Duration,
    /// What a call would make that made it, by what the CRI notes of it; none where it noted
    /// nothing.
    making: Option<Making>,
}

/// What accounts for a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accounted {
    /// It was not made around the gate, as far as is known.
    Known,
    /// The gate removed it, since it was not what was admitted.
    Removed,
    /// A call broke off, or does not end, that made it: the gate decided on what was asked for, and
    /// has not proven what was made.
    BrokeOff,
    /// No call through the gate.
    NoCall,
}

impl Appeared {
    /// This container.
    pub(super) fn of(listed: &Listed) -> Self {
        Self {
            namespace: listed.namespace.clone(),
            id: listed.id.clone(),
            created: listed.created,
            making: made_as(listed),
        }
    }

    /// What it is to the gate now.
    pub(super) fn origin(&self, made: &MadeContainers) -> ContainerOrigin {
        made.origin_of((&self.namespace, &self.id), self.created)
    }

    /// What accounts for it, once the call that may has ended. One that was made around the gate
    /// under an id of the gate's is the gate's no more.
    pub(super) async fn accounted(&self, made: &MadeContainers) -> Accounted {
        let is_around = || self.origin(made) == ContainerOrigin::Around;
        if !is_around() {
            return Accounted::Known;
        }
        if self.namespace != NAMESPACE {
            return Accounted::NoCall;
        }
        made.disown(&self.id);
        let Some(making) = &self.making else { return Accounted::NoCall };
        let creations = made.creations();
        let call = creations.explain(making, &self.id);
        if let Some(number) = call {
            let ended = async {
                loop {
                    let changed = creations.next_change();
                    if !creations.is_underway(number) || !is_around() {
                        return;
                    }
                    changed.await;
                }
            };
            // One that never ends is no reason to say nothing.
            let _late = tokio::time::timeout(CREATION_PATIENCE, ended).await;
        }
        if !is_around() {
            return Accounted::Known;
        }
        if made.was_removed(&self.id, self.created) {
            return Accounted::Removed;
        }
        let is_late = call.is_some_and(|number| creations.is_underway(number));
        if is_late || creations.broke_off(making, &self.id, self.created) {
            Accounted::BrokeOff
        } else {
            Accounted::NoCall
        }
    }
}

impl Gate {
    /// Whether the runtime has it no more.
    ///
    /// # Errors
    /// [`RuntimeError`] when the runtime did not answer.
    pub(super) async fn is_gone(&self, appeared: &Appeared) -> Result<bool, RuntimeError> {
        let listed = self.runtime().listed(&appeared.namespace, &appeared.id).await?;
        Ok(listed.is_none_or(|listed| listed.created != appeared.created))
    }
}

fn made_as(listed: &Listed) -> Option<Making> {
    let container = listed.container.as_ref().ok()?;
    match listed.kind() {
        Kind::Sandbox => Some(Making::Sandbox {
            namespace: container.pod.namespace.clone()?,
            name: container.pod.name.clone()?,
        }),
        Kind::Container => Some(Making::Container {
            sandbox: container.sandbox.clone()?,
            name: container.created_with.as_ref()?.name.clone(),
        }),
        Kind::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, UNIX_EPOCH};

    use super::*;
    use crate::clock::Clock;

    /// A clock that says 100 s since 1970.
    #[allow(clippy::disallowed_methods, reason = "the steady clock is not asked here")]
    fn clock() -> Clock {
        Clock::new(|| UNIX_EPOCH + Duration::from_secs(100), Instant::now)
    }

    fn making() -> Making {
        Making::Sandbox { namespace: "prod".to_owned(), name: "web".to_owned() }
    }

    fn appeared(id: &str) -> Appeared {
        Appeared {
            namespace: NAMESPACE.to_owned(),
            id: id.to_owned(),
            created: Duration::from_secs(100),
            making: Some(making()),
        }
    }

    fn surveyed() -> MadeContainers {
        let made = MadeContainers::since(Duration::from_secs(50));
        made.note_present(NAMESPACE, Vec::new());
        made
    }

    #[tokio::test(start_paused = true)]
    async fn attack_f_a_creation_under_way_accounts_for_what_it_makes_and_for_nothing_else() {
        let made = surveyed();
        let call = made.creations().begin(making(), clock());
        let (own, around) = (appeared("own"), appeared("around"));
        let ends = async {
            tokio::task::yield_now().await;
            made.note_sandbox("own", Duration::from_secs(100));
            call.settle();
        };
        let (own, around, ()) = tokio::join!(own.accounted(&made), around.accounted(&made), ends);
        assert_eq!((own, around), (Accounted::Known, Accounted::NoCall));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_broke_off_or_does_not_end_has_proven_nothing() {
        let made = surveyed();
        drop(made.creations().begin(making(), clock()));
        assert_eq!(appeared("a").accounted(&made).await, Accounted::BrokeOff);
        assert_eq!(appeared("b").accounted(&made).await, Accounted::NoCall, "one more");
        let _hangs = made.creations().begin(making(), clock());
        assert_eq!(appeared("c").accounted(&made).await, Accounted::BrokeOff);
        made.note_removed("c", Duration::from_secs(101));
        assert_eq!(appeared("c").accounted(&made).await, Accounted::Removed);
    }
}
