//! The tripwire in the runtime: a plugin of containerd's Node Resource Interface (NRI), by which
//! the runtime asks before it makes a container of a pod, also when another program than the
//! kubelet tells it to.
//!
//! [`keep`] holds the connection and asks a [`Judge`] about each container; [`Tripwire`] says how
//! it is. `wire` has the frames. It judges nothing itself, and knows nothing of the gate.

mod error;
mod session;
mod tripwire;
mod wire;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use tokio::net::UnixStream;

pub use error::SessionError;
pub use tripwire::{Judge, NewContainer, Tripwire, TripwireHealth};

/// First pause before the runtime is tried again; each is twice the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// Longest: so long a container may be made unasked after the runtime has started.
const PAUSE_MOST: Duration = Duration::from_secs(2);

/// What an operator sets about the tripwire.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Whether there is one. Default `auto`.
    pub mode: Mode,
    /// Where the runtime listens for plugins. Default `/var/run/nri/nri.sock`, as the runtime's.
    pub socket: PathBuf,
}

/// What becomes of a container that the gate did not decide on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It is reported until the first container was created through the gate, and refused from
    /// then on: before a kubelet is switched to the gate, all its containers are such.
    #[default]
    Auto,
    /// It is refused from the start.
    Refuse,
    /// The runtime is not asked to ask.
    Off,
}

impl Default for Options {
    fn default() -> Self {
        Self { mode: Mode::Auto, socket: PathBuf::from("/var/run/nri/nri.sock") }
    }
}

/// Keeps the tripwire for ever: connects, answers, and connects again when the runtime was away.
pub async fn keep(options: Options, judge: &dyn Judge, tripwire: &Tripwire) {
    let mut pause = PAUSE_FIRST;
    loop {
        let error = match UnixStream::connect(&options.socket).await {
            Ok(stream) => session::run(stream, judge, tripwire).await,
            Err(error) => SessionError::Connect(error.kind()),
        };
        let ended = tripwire.ended(&error);
        if ended.asked {
            pause = PAUSE_FIRST;
            judge.changed(Err(&error));
        }
        if ended.is_news {
            let socket = options.socket.display();
            tracing::warn!(%socket, %error, "the runtime does not ask the gate about containers \
                that others create; trying again");
        }
        tokio::time::sleep(pause).await;
        pause = PAUSE_MOST.min(pause.saturating_mul(2));
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Refuse => "refuse",
            Self::Off => "off",
        })
    }
}
