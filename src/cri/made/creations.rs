//! [`Creations`]: the calls by which the runtime is making something for the gate now, and those
//! that ended without a proof of what they made.
//!
//! A call accounts for one container: for the first that is of its sandbox and its name. What is
//! more than that was not made by it, whatever it says of itself.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Clock;

/// Calls that ended without a proof, remembered: a kubelet has a few of them under way at once.
const ENDED_MAX: usize = 1024;

/// What a call makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cri) enum Making {
    /// The sandbox of this pod.
    Sandbox {
        /// The pod's namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The container of this name.
    Container {
        /// The id of the sandbox; in a request the beginning of it suffices.
        sandbox: String,
        /// The name in the pod.
        name: String,
    },
}

/// The calls that make something.
#[derive(Debug, Default)]
pub(in crate::cri) struct Creations {
    calls: Mutex<CreationCalls>,
    /// One has ended, or is known to have made something.
    changed: Notify,
}

#[derive(Debug, Default)]
struct CreationCalls {
    next: u64,
    underway: Vec<CreationCall>,
    /// Oldest first.
    ended: VecDeque<CreationCall>,
}

#[derive(Debug)]
struct CreationCall {
    number: u64,
    making: Making,
    /// From when, and to when if it is over; since 1970 UTC.
    began: Duration,
    ended: Option<Duration>,
    /// The container that it accounts for.
    explains: Option<String>,
}

/// A creation under way; over when it is dropped.
#[derive(Debug)]
pub(in crate::cri) struct Creation {
    among: Arc<Creations>,
    clock: Clock,
    number: u64,
    is_settled: bool,
}

/// What accounts for a container that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cri) enum GoneOf {
    /// A call that failed: the runtime removed what it had made.
    Failed,
    /// Perhaps a call that is under way and has made nothing yet, as far as is known.
    Underway,
    /// No call through the gate.
    NoCall,
}

impl Making {
    /// Whether a call that makes this may have made that.
    fn may_be(&self, found: &Self) -> bool {
        match (self, found) {
            (
                Self::Container { sandbox, name },
                Self::Container { sandbox: whole, name: found },
            ) => name == found && !sandbox.is_empty() && whole.starts_with(sandbox.as_str()),
            (Self::Sandbox { .. }, Self::Sandbox { .. }) => self == found,
            (Self::Container { .. }, Self::Sandbox { .. })
            | (Self::Sandbox { .. }, Self::Container { .. }) => false,
        }
    }
}

impl CreationCall {
    fn is_free_for(&self, id: &str) -> bool {
        self.explains.as_deref().is_none_or(|explained| explained == id)
    }

    fn lasted_at(&self, at: Duration) -> bool {
        self.began <= at && self.ended.is_none_or(|ended| at <= ended)
    }
}

impl Creations {
    /// The runtime is about to be told to make this.
    pub(in crate::cri) fn begin(self: &Arc<Self>, making: Making, clock: Clock) -> Creation {
        let mut calls = self.lock();
        let number = calls.next;
        calls.next += 1;
        let began = clock.unix();
        calls.underway.push(CreationCall { number, making, began, ended: None, explains: None });
        Creation { among: Arc::clone(self), clock, number, is_settled: false }
    }

    /// Whether any is under way.
    pub(in crate::cri) fn is_busy(&self) -> bool {
        !self.lock().underway.is_empty()
    }

    /// The call under way that accounts for this container, from now on for no other.
    pub(in crate::cri) fn explain(&self, found: &Making, id: &str) -> Option<u64> {
        let mut calls = self.lock();
        let accounts = |call: &&mut CreationCall| call.explains.as_deref() == Some(id);
        let may = |call: &&mut CreationCall| call.explains.is_none() && call.making.may_be(found);
        let number = if let Some(call) = calls.underway.iter_mut().find(accounts) {
            call.number
        } else {
            let call = calls.underway.iter_mut().find(may)?;
            call.explains = Some(id.to_owned());
            call.number
        };
        drop(calls);
        self.changed.notify_waiters();
        Some(number)
    }

    /// Whether this call is under way.
    pub(in crate::cri) fn is_underway(&self, number: u64) -> bool {
        self.lock().underway.iter().any(|call| call.number == number)
    }

    /// Whether a call that ended without a proof accounts for this container, which was made at
    /// this time; from now on for no other.
    pub(in crate::cri) fn broke_off(&self, found: &Making, id: &str, created: Duration) -> bool {
        let is_it = |call: &&mut CreationCall| {
            call.is_free_for(id) && call.making.may_be(found) && call.lasted_at(created)
        };
        match self.lock().ended.iter_mut().find(is_it) {
            Some(call) => {
                call.explains = Some(id.to_owned());
                true
            }
            None => false,
        }
    }

    /// What accounts for a container that was made at this time and is gone. Nothing is known of it
    /// but its id, so that any call may have made it that is not known to have made another.
    pub(in crate::cri) fn explain_gone(&self, id: &str, at: Duration) -> GoneOf {
        let mut calls = self.lock();
        let is_it = |call: &&mut CreationCall| call.is_free_for(id) && call.lasted_at(at);
        if let Some(call) = calls.ended.iter_mut().find(is_it) {
            call.explains = Some(id.to_owned());
            return GoneOf::Failed;
        }
        match calls.underway.iter_mut().any(|call| is_it(&call)) {
            true => GoneOf::Underway,
            false => GoneOf::NoCall,
        }
    }

    /// Resolves when a call ends, or is known to have made something, after this was called.
    pub(in crate::cri) fn next_change(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    fn lock(&self) -> MutexGuard<'_, CreationCalls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Creation {
    /// The creation is over, and what it made is known or removed.
    pub(in crate::cri) fn settle(mut self) {
        self.is_settled = true;
    }
}

impl Drop for Creation {
    fn drop(&mut self) {
        let mut calls = self.among.lock();
        let place = calls.underway.iter().position(|call| call.number == self.number);
        if let Some(mut call) = place.map(|place| calls.underway.swap_remove(place))
            && !self.is_settled
        {
            call.ended = Some(self.clock.unix());
            if calls.ended.len() == ENDED_MAX {
                calls.ended.pop_front();
            }
            calls.ended.push_back(call);
        }
        drop(calls);
        self.among.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
