//! [`Canary`]: what the tests of the gate by itself rest on, and what the last one showed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::canary::{Doubt, Fault, Judge};

/// What the tests rest on, and what the last one showed.
pub(super) struct Canary {
    pub(super) judge: Result<Judge, String>,
    /// Where the kubelet reaches the gate.
    pub(super) socket: PathBuf,
    /// One test at a time.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Held by the thread that reads what the kubelet is told: one that hangs is not joined by more.
    pub(super) reading: Arc<tokio::sync::Mutex<()>>,
    pub(super) last: Mutex<Last>,
}

/// What the last test showed.
#[derive(Default)]
pub(super) struct Last {
    pub(super) tested: Option<Instant>,
    pub(super) doubts: Vec<Doubt>,
    /// The faults that were told last, none of them for a gate that enforces; nothing as long as
    /// there was nothing to tell.
    pub(super) told: Option<Vec<Fault>>,
}

impl Canary {
    /// For a gate that is reached at `socket`. Makes a key.
    pub(super) fn new(socket: PathBuf) -> Self {
        let (turn, reading) = (tokio::sync::Mutex::default(), Arc::default());
        Self { judge: Judge::new(), socket, turn, reading, last: Mutex::default() }
    }

    /// What the last test showed.
    pub(super) fn last(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
