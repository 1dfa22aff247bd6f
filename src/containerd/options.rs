//! [`Options`]: where containerd is, how long it is waited for, and which snapshotters and runtimes
//! can be trusted to run what an image's id says.

use std::path::PathBuf;
use std::time::Duration;

/// How the keys of annotations begin that feed a snapshotter (fact P16).
const SNAPSHOT_ANNOTATIONS: &[u8] = b"containerd.io/snapshot";

/// What an operator sets about the runtime behind the gate.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// containerd's socket. Default `/run/containerd/containerd.sock`.
    pub socket: PathBuf,
    /// containerd's configuration file, which names the sandbox image where containerd does not
    /// show it (2.x). Default `/etc/containerd/config.toml`.
    pub config: PathBuf,
    /// The image that containerd makes pods' sandboxes of, where neither containerd nor that file
    /// says it, or in place of what they say. Default: none.
    pub sandbox_image: Option<String>,
    /// Time limit of one call, in milliseconds. Default 10000: the calls take well under one
    /// millisecond, but naming an image writes to a database on a disk that may be busy with a
    /// pull.
    pub call_timeout_ms: u64,
    /// How long a new name may take to be seen by the CRI, in milliseconds. Default 10000: it takes
    /// at most a few milliseconds (fact P2), unless the machine stands still.
    pub name_timeout_ms: u64,
    /// Snapshotters whose layers containerd compares with the image's `diff_ids`; containers on
    /// others are refused (fact P16). Default: the local ones of containerd. A remote or lazy
    /// snapshotter here means that an image's signature no longer says what runs.
    pub snapshotters: Vec<String>,
    /// Runtime types that run the snapshot which containerd prepared; containers of others are
    /// refused. Default `io.containerd.runc.v2` (runc, crun, youki). One that pulls images inside a
    /// guest must not be listed.
    pub runtimes: Vec<String>,
    /// Runtime handlers by which a pull may choose its snapshotter (`ImageSpec.runtime_handler`, or
    /// the annotation `io.containerd.cri.runtime-handler` of a pod, fact P16); pulls that name
    /// another are refused. Default `runc`.
    pub handlers: Vec<String>,
    /// Whether a pod may steer its snapshotter with `containerd.io/snapshot…` annotations (fact
    /// P16). Default false: a pull with such an annotation is refused.
    pub snapshot_annotations: bool,
}

impl Default for Options {
    fn default() -> Self {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        Self {
            socket: PathBuf::from("/run/containerd/containerd.sock"),
            config: PathBuf::from("/etc/containerd/config.toml"),
            sandbox_image: None,
            call_timeout_ms: 10_000,
            name_timeout_ms: 10_000,
            snapshotters: names(&["overlayfs", "native", "btrfs", "zfs", "devmapper", "blockfile"]),
            runtimes: names(&["io.containerd.runc.v2"]),
            handlers: names(&["runc"]),
            snapshot_annotations: false,
        }
    }
}

impl Options {
    /// Whether no pod and no container may have an annotation of this key: it feeds a snapshotter,
    /// which these do not allow.
    #[must_use]
    pub fn refuses_annotation(&self, key: &[u8]) -> bool {
        !self.snapshot_annotations && key.starts_with(SNAPSHOT_ANNOTATIONS)
    }

    /// [`Options::call_timeout_ms`] as a duration.
    #[must_use]
    pub fn call_timeout(&self) -> Duration {
        Duration::from_millis(self.call_timeout_ms)
    }

    /// [`Options::name_timeout_ms`] as a duration.
    #[must_use]
    pub fn name_timeout(&self) -> Duration {
        Duration::from_millis(self.name_timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_option_is_an_error() {
        assert_eq!(toml::from_str::<Options>(""), Ok(Options::default()));
        let set: Options = toml::from_str("socket = '/x'\nsnapshotters = ['native']").unwrap();
        assert_eq!(
            (set.socket, set.snapshotters),
            (PathBuf::from("/x"), vec!["native".to_owned()])
        );
        assert!(toml::from_str::<Options>("snapshoters = []").is_err());
    }
}
