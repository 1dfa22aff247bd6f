//! The signals that the gate acts on ([`Signals`]): which end it, and which reload its policy.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the gate acts on.
pub(super) struct Signals {
    /// SIGHUP, which reloads the policy.
    pub(super) hangup: Signal,
    /// What tells the gate to stop.
    pub(super) stop: Stop,
}

/// The signals that tell the gate to stop.
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on these signals are kept until they are asked for, and end no process.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            stop: Stop {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            },
        })
    }
}

impl Stop {
    /// Returns when SIGTERM or SIGINT came.
    pub(super) async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
