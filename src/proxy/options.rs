//! [`Options`]: what an operator can say about the socket. The runtime's own socket is an argument
//! of [`serve`](super::serve()), since other rooms talk to it too.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

/// How the gate serves the CRI.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Where the kubelet reaches the gate; at most 107 bytes (`sun_path`, unix(7)). Not used when a
    /// socket is inherited.
    pub socket: PathBuf,
    /// Permission bits of the socket, 0o600 unless said otherwise: who may not open the runtime's
    /// socket may not open the gate's. Not used when a socket is inherited: then the socket unit
    /// owns mode and owner.
    pub mode: u32,
    /// User that owns the socket, a name or a number; the process's own user when absent.
    pub owner: Option<String>,
    /// Group that owns the socket, a name or a number; the process's own group when absent.
    pub group: Option<String>,
    /// User ids whose processes are answered, beside the gate's own. Root alone by default: the
    /// kubelet is root.
    pub allowed_uids: Vec<u32>,
    /// Connections open at once. One process has at most a quarter of them, one user other than the
    /// gate's own a half; when they are taken, the one that was idle for longest is closed for the
    /// next. The kubelet opens two (cri-facts H2), tools a few.
    pub connections: usize,
    /// Calls open at once on one connection. gRPC servers in Go set no bound; a kubelet with 500
    /// pods stays under 2000, and each open call costs about 4 KiB here.
    pub streams: u32,
    /// Seconds that pulls, creates and other long calls in flight get to end when the gate is told
    /// to stop; it serves on meanwhile. An ordinary pull ends within two minutes: 1.5 GB at 100
    /// Mbit/s.
    pub drain_seconds: u64,
    /// MiB that all requests of owned methods may hold together; one more is refused. Sixteen of
    /// the largest ones.
    pub held_mib: usize,
    /// What becomes of a method of the CRI's two services that this gate does not know.
    pub unknown_methods: UnknownMethods,
}

/// What becomes of a method of the CRI's two services that no row of the table names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownMethods {
    /// It passes, and is logged once by its name: a node's kubelet may be newer than its gate.
    #[default]
    Pass,
    /// It is refused.
    Refuse,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            socket: PathBuf::from("/run/sealgate/cri.sock"),
            mode: 0o600,
            owner: None,
            group: None,
            allowed_uids: vec![0],
            connections: 64,
            streams: 10_000,
            drain_seconds: 120,
            held_mib: 256,
            unknown_methods: UnknownMethods::Pass,
        }
    }
}

impl Options {
    /// How long calls in flight get to end when the gate is told to stop.
    #[must_use]
    pub const fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_the_default_and_what_is_misspelt_an_error() {
        assert_eq!(toml::from_str::<Options>(""), Ok(Options::default()));
        let said = toml::from_str::<Options>("mode = 0o660\ngroup = \"kubelet\"");
        assert_eq!(
            said,
            Ok(Options { mode: 0o660, group: Some("kubelet".into()), ..Options::default() })
        );
        assert!(toml::from_str::<Options>("alowed_uids = [0]").is_err());
    }
}
